"""What we send, field by field."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pepperstone_adapter.broker.orders import (
    AmendRequest,
    OrderState,
    OrderStatus,
    OrderType,
    PositionState,
    Protection,
    Side,
    TimeInForce,
)
from pepperstone_adapter.common.errors import OrderRefused
from pepperstone_adapter.ctrader.client import requests
from pepperstone_adapter.openapi import messages as oa
from tests.kit.requests import market_order
from tests.unit.ctrader.test_market import spec

D = Decimal
EURUSD = spec()


def sent(**changes: object) -> oa.NewOrderReq:
    return requests.new_order(market_order(**changes), 7, EURUSD)


def test_a_market_order_with_levels_as_distances() -> None:
    wish = Protection(stop_loss=D("0.005"), take_profit=D("0.0075"), trailing=True, distance=True)
    assert sent(protection=wish, tag="ema") == oa.NewOrderReq(
        ctidTraderAccountId=7, symbolId=1, orderType=oa.OrderType.MARKET, tradeSide=oa.TradeSide.BUY,
        volume=1_000_000, clientOrderId="O-1", label="ema", timeInForce=oa.TimeInForce.IMMEDIATE_OR_CANCEL,
        relativeStopLoss=500, relativeTakeProfit=750, trailingStopLoss=True,
    )  # fmt: skip


def test_a_limit_order_good_till_a_date_with_exact_levels() -> None:
    message = sent(
        type=OrderType.LIMIT,
        side=Side.SELL,
        limit_price=D("1.20000"),
        time_in_force=TimeInForce.GTD,
        expires_ns=1_700_000_000_123_456_789,
        protection=Protection(stop_loss=D("1.21"), take_profit=D("1.19"), guaranteed=True),
    )
    assert message == oa.NewOrderReq(
        ctidTraderAccountId=7, symbolId=1, orderType=oa.OrderType.LIMIT, tradeSide=oa.TradeSide.SELL,
        volume=1_000_000, clientOrderId="O-1", timeInForce=oa.TimeInForce.GOOD_TILL_DATE,
        expirationTimestamp=1_700_000_000_123, limitPrice=1.2, stopLoss=1.21, takeProfit=1.19, guaranteedStopLoss=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("side", "stop", "limit", "points"), [(Side.BUY, "1.11", "1.1102", 20), (Side.SELL, "1.09", "1.08985", 15)]
)
def test_a_stop_limit_says_its_limit_as_points_beyond_the_stop(side: Side, stop: str, limit: str, points: int) -> None:
    message = sent(type=OrderType.STOP_LIMIT, side=side, stop_price=D(stop), limit_price=D(limit))
    assert (message.stopPrice, message.slippageInPoints) == (float(stop), points)
    assert not message.HasField("limitPrice")


def test_a_market_range_order() -> None:
    message = sent(type=OrderType.MARKET_RANGE, base_price=D("1.1"), slippage_points=30)
    assert (message.orderType, message.baseSlippagePrice, message.slippageInPoints) == (
        oa.OrderType.MARKET_RANGE,
        1.1,
        30,
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"protection": Protection(stop_loss=D("1.09"))}, "distances from the fill"),
        ({"protection": Protection(trailing=True, distance=True)}, "needs a stop loss"),
        ({"type": OrderType.LIMIT}, "needs limit_price"),
        ({"type": OrderType.STOP}, "needs stop_price"),
        ({"type": OrderType.STOP_LIMIT, "stop_price": D("1.11"), "limit_price": D("1.10")}, "at or above"),
        ({"type": OrderType.STOP_LIMIT, "side": Side.SELL, "stop_price": D(1), "limit_price": D("1.1")}, "at or below"),
        ({"type": OrderType.MARKET_RANGE, "base_price": D("1.1")}, "slippage_points"),
        ({"type": OrderType.LIMIT, "limit_price": D(1), "time_in_force": TimeInForce.GTD}, "expires_ns"),
        ({"type": OrderType.LIMIT, "limit_price": D(1), "time_in_force": TimeInForce.DAY}, "GTD"),
        ({"time_in_force": TimeInForce.GTD}, "good till a date"),
        ({"type": OrderType.PROTECTION}, "made by the venue"),
        ({"position_id": "5", "type": OrderType.LIMIT, "limit_price": D(1)}, "market order may close"),
        ({"client_order_id": "x" * 51}, "50"),
        ({"type": OrderType.LIMIT, "limit_price": D("1.000001")}, "5 digits"),
        ({"units": D("0.005")}, "0.01"),
    ],
)
def test_what_the_venue_cannot_say_is_refused_with_a_reason(changes: dict[str, object], words: str) -> None:
    with pytest.raises(OrderRefused, match=words):
        sent(**changes)


NOW = OrderState(
    order_id="61", symbol="EURUSD", side=Side.BUY, type=OrderType.LIMIT, status=OrderStatus.ACCEPTED, units=D(10_000),
    limit_price=D("1.05"), expires_ns=1_700_000_000_000_000_000,
    protection=Protection(stop_loss=D("1.04"), take_profit=D("1.09"), trailing=True),
)  # fmt: skip


def test_an_amend_says_everything_again() -> None:
    message = requests.amend_order(AmendRequest(order_id="61", symbol="EURUSD", limit_price=D("1.06")), NOW, 7, EURUSD)
    assert message == oa.AmendOrderReq(
        ctidTraderAccountId=7, orderId=61, volume=1_000_000, limitPrice=1.06, expirationTimestamp=1_700_000_000_000,
        stopLoss=1.04, takeProfit=1.09, trailingStopLoss=True,
    )  # fmt: skip


def test_an_amend_of_a_partly_filled_order_says_no_volume() -> None:
    """Whether the venue would take it for the whole or for the rest was never seen: the rest could be sent twice."""
    now = replace(NOW, status=OrderStatus.PARTIALLY_FILLED, filled_units=D(6_000))
    moved = requests.amend_order(AmendRequest(order_id="61", symbol="EURUSD", limit_price=D("1.06")), now, 7, EURUSD)
    assert (moved.HasField("volume"), moved.limitPrice, moved.stopLoss) == (False, 1.06, 1.04)
    with pytest.raises(OrderRefused, match="partly filled"):
        requests.amend_order(AmendRequest(order_id="61", symbol="EURUSD", units=D(8_000)), now, 7, EURUSD)


def test_an_amend_of_a_stop_limit_keeps_its_distance_unless_told() -> None:
    now = replace(
        NOW, type=OrderType.STOP_LIMIT, limit_price=None, stop_price=D("1.11"), slippage_points=20, protection=None
    )
    moved = requests.amend_order(AmendRequest(order_id="61", symbol="EURUSD", stop_price=D("1.12")), now, 7, EURUSD)
    assert (moved.stopPrice, moved.slippageInPoints) == (1.12, 20)
    both = AmendRequest(order_id="61", symbol="EURUSD", stop_price=D("1.12"), limit_price=D("1.1201"))
    assert requests.amend_order(both, now, 7, EURUSD).slippageInPoints == 10


POSITION = PositionState(
    position_id="51", symbol="EURUSD", side=Side.BUY, units=D(10_000), open_price=D("1.1"), opened_ns=1,
    protection=Protection(stop_loss=D("1.09"), take_profit=D("1.12"), trailing=True),
)  # fmt: skip


def test_replacing_levels_says_the_trailing_flag_where_it_was_set() -> None:
    (message,) = requests.protect_position(POSITION, Protection(stop_loss=D("1.095")), 7, EURUSD)
    assert message == oa.AmendPositionSLTPReq(
        ctidTraderAccountId=7, positionId=51, stopLoss=1.095, trailingStopLoss=False,
        stopLossTriggerMethod=oa.OrderTriggerMethod.TRADE,
    )  # fmt: skip


def test_taking_a_trailing_stop_away_needs_two_steps() -> None:
    first, second = requests.protect_position(POSITION, Protection(), 7, EURUSD)
    assert (first.stopLoss, first.trailingStopLoss, first.HasField("trailingStopLoss")) == (1.09, False, True)
    assert second == oa.AmendPositionSLTPReq(ctidTraderAccountId=7, positionId=51)


def test_a_bare_position_gets_a_trailing_stop_in_one_step() -> None:
    bare = replace(POSITION, protection=None)
    (message,) = requests.protect_position(bare, Protection(stop_loss=D("1.08"), trailing=True), 7, EURUSD)
    assert (message.stopLoss, message.trailingStopLoss) == (1.08, True)


def test_closing_names_position_and_volume() -> None:
    assert requests.close_position("51", D("0.01"), 7) == oa.ClosePositionReq(
        ctidTraderAccountId=7, positionId=51, volume=1
    )
    with pytest.raises(OrderRefused):
        requests.close_position("51", D(0), 7)
