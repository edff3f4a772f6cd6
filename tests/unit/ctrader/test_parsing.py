"""Recorded messages as broker structs: every value checked by hand against the recording."""

import base64
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter import openapi
from pepperstone_adapter.broker.account import Environment, PositionMode
from pepperstone_adapter.broker.events import OrderChange
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.orders import (
    DealEntry,
    DealReason,
    OrderStatus,
    OrderType,
    Protection,
    Side,
    TimeInForce,
)
from pepperstone_adapter.broker.symbols import AssetClass, SwapMode, SwapTerms, SymbolSpec
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.ctrader.client import parsing
from pepperstone_adapter.openapi import messages as oa
from tests.kit import scripted_venue as venue
from tests.kit.scripted_venue import World

D = Decimal
DATA = Path(__file__).parents[2] / "data" / "ctrader" / "recorded-execution.jsonl"
BTC = SymbolSpec(
    name="BTCUSD", description="", asset_class=AssetClass.CRYPTO, base_currency="BTC", quote_currency="USD", digits=2,
    pip_position=0, contract_size=D(1), volume_min=D("0.01"), volume_step=D("0.01"), volume_max=D(100),
    hours=TradingHours.always(), swap=SwapTerms(mode=SwapMode.DISABLED), leverage_class="crypto", venue_id=324,
)  # fmt: skip


def spec_of(symbol_id: int) -> SymbolSpec:
    assert symbol_id == 324
    return BTC


def recorded(note: str) -> Any:
    for row in map(json.loads, DATA.read_text().splitlines()):
        if row["note"] == note:
            return openapi.PAYLOAD[row["type"]].FromString(base64.b64decode(row["payload"]))
    raise AssertionError(note)


def test_acceptance_of_a_market_order_with_distances() -> None:
    done = parsing.execution(recorded("market buy of 1.00 with relative SL and TP: accepted"), spec_of)
    assert done.change is OrderChange.ACCEPTED
    assert done.position is None  # only the empty shell of a position to come
    order = done.order
    assert order is not None
    assert (order.order_id, order.position_id, order.client_order_id) == ("6000001", "5000001", "scrubbed")
    assert (order.side, order.type, order.status, order.time_in_force) == (
        Side.BUY, OrderType.MARKET, OrderStatus.ACCEPTED, TimeInForce.IOC,
    )  # fmt: skip
    assert (order.units, order.filled_units, order.average_price) == (D(1), D(0), None)
    # 9001000 and 10001000 in 1/100000
    assert order.protection == Protection(stop_loss=D("90.01"), take_profit=D("100.01"), distance=True)
    assert order.updated_ns == 1_600_000_124_634_000_000


def test_a_fill_with_its_deal_and_position() -> None:
    done = parsing.execution(recorded("filled"), spec_of)
    assert done.change is OrderChange.FILLED
    deal, position = done.deal, done.position
    assert deal is not None
    assert position is not None
    assert (deal.deal_id, deal.order_id, deal.position_id) == ("7000001", "6000001", "5000001")
    assert (deal.units, deal.price, deal.commission) == (D(1), D("85287.21"), D("-27.72"))
    assert (deal.entry, deal.closed_units, deal.balance) == (DealEntry.IN, D(0), None)
    assert deal.ts_ns == 1_600_000_124_772_000_000
    assert (position.units, position.open_price, position.used_margin) == (D(1), D("85287.21"), D("25611.78"))
    assert position.protection is None  # it comes with the protective order


def test_the_protective_order_and_the_levels_it_carries() -> None:
    done = parsing.execution(recorded("protective order accepted"), spec_of)
    # the fill of 85287.21 less 90.01, plus 100.01
    levels = Protection(stop_loss=D("85197.20"), take_profit=D("85387.22"))
    assert done.order is not None
    assert done.position is not None
    assert (done.order.type, done.order.closing, done.by_server) == (OrderType.PROTECTION, True, True)
    assert done.order.protection == done.position.protection == levels
    assert done.order.client_order_id is None  # the venue echoes the entry's id here; it is not this order's


def test_an_amend_that_drops_the_take_profit() -> None:
    done = parsing.execution(recorded("take profit removed by an amend that left it out"), spec_of)
    assert done.change is OrderChange.REPLACED
    assert done.position is not None
    assert done.position.protection == Protection(stop_loss=D("85200.20"))


def test_a_partial_close_books_its_share() -> None:
    event = recorded("partial close: filled, deal with close detail")
    done = parsing.execution(event, spec_of, client_id_of=lambda order_id: "C-1" if order_id == "6000003" else None)
    deal = done.deal
    assert deal is not None
    assert (deal.side, deal.units, deal.closed_units, deal.entry) == (Side.SELL, D("0.01"), D("0.01"), DealEntry.OUT)
    # 0.01 x (85219.06 - 85287.21) = -0.6815, booked as -0.68
    assert (deal.gross_profit, deal.commission, deal.swap, deal.conversion_fee) == (D("-0.68"), D("-0.28"), D(0), D(0))
    assert (deal.balance, deal.balance_version) == (D("51223996.85"), 4)
    assert deal.client_order_id == "C-1"  # tied by us: the venue keeps no id of ours with a close
    assert done.position is not None
    assert done.position.units == D("0.99")


def test_a_stop_hit_closes_the_position_and_says_why() -> None:
    done = parsing.execution(recorded("stop loss hit, position closed"), spec_of)
    deal, position = done.deal, done.position
    assert deal is not None
    assert position is not None
    assert (deal.reason, deal.price, deal.units) == (DealReason.STOP_LOSS, D("85205.58"), D("0.99"))
    assert (deal.gross_profit, deal.commission, deal.balance) == (D("-80.81"), D("-27.41"), D("51223861.19"))
    assert (position.units, done.by_server) == (D(0), True)


def test_a_reconcile_answer() -> None:
    answer = recorded("reconcile, returnProtectionOrders=true")
    position = parsing.position_state(answer.position[0], spec_of)
    order = parsing.order_state(answer.order[0], spec_of)
    assert position is not None
    assert (position.position_id, position.units, position.side) == ("5000001", D(1), Side.BUY)
    assert (order.order_id, order.type) == ("6000002", OrderType.PROTECTION)


def test_the_account() -> None:
    trader = recorded("trader snapshot at start").trader
    account = parsing.account(trader, "USD", Environment.DEMO, 7)
    assert (account.balance, account.leverage, account.mode) == (D("51223998.09"), D(100), PositionMode.HEDGING)
    assert (account.equity, account.trading_allowed) == (None, True)
    trader.accessRights = oa.AccessRights.CLOSE_ONLY
    closing = parsing.account(trader, "USD", Environment.DEMO, 7)
    assert (closing.trading_allowed, "close positions only" in closing.trading_note) == (False, True)


def test_absent_fields_are_not_their_defaults() -> None:
    event = recorded("filled")
    event.order.ClearField("timeInForce")
    assert parsing.order_state(event.order, spec_of).time_in_force is TimeInForce.GTC  # the schema's default says IOC
    event.deal.ClearField("moneyDigits")
    deal = parsing.deal(event.deal, spec_of, account_digits=4)
    assert deal is not None
    assert deal.commission == D("-0.2772")  # the account's digits
    event.deal.moneyDigits = 0
    deal = parsing.deal(event.deal, spec_of, account_digits=4)
    assert deal is not None
    assert deal.commission == D(-2772)  # zero that was said is zero


def test_a_deal_that_executed_nothing_is_none() -> None:
    event = recorded("filled")
    for status in (
        oa.DealStatus.REJECTED,
        oa.DealStatus.MISSED,
        oa.DealStatus.ERROR,
        oa.DealStatus.INTERNALLY_REJECTED,
    ):
        event.deal.dealStatus = status
        assert parsing.deal(event.deal, spec_of) is None


def test_an_unknown_enum_value_is_an_error_that_names_the_field_not_a_default() -> None:
    trader = recorded("trader snapshot at start").trader
    raw = trader.SerializeToString().replace(b"\x78\x00", b"\x78\x09")  # accountType 9
    with pytest.raises(DataError, match=r"Trader\.accountType .*does not know"):
        parsing.account(oa.Trader.FromString(raw), "USD", Environment.DEMO, 7)


def test_a_netting_reversal_closes_part_of_its_units() -> None:
    event = recorded("partial close: filled, deal with close detail")
    event.deal.filledVolume = 5
    deal = parsing.deal(event.deal, spec_of)
    assert deal is not None
    assert (deal.entry, deal.units, deal.closed_units) == (DealEntry.IN_OUT, D("0.05"), D("0.01"))


@pytest.mark.parametrize(
    ("price", "reason"), [("85387.22", DealReason.TAKE_PROFIT), ("85300.00", DealReason.STOP_LOSS)]
)
def test_which_level_fired_is_read_from_the_fill(price: str, reason: DealReason) -> None:
    order = parsing.order_state(recorded("protective order accepted").order, spec_of)
    assert parsing.deal_reason(order, D(price)) is reason


@pytest.mark.parametrize(
    ("kind", "side", "stop_loss", "take_profit"),
    [
        ({"orderType": oa.OrderType.LIMIT, "limitPrice": 1.05}, oa.TradeSide.BUY, "1.045", "1.06"),
        ({"orderType": oa.OrderType.LIMIT, "limitPrice": 1.05}, oa.TradeSide.SELL, "1.055", "1.04"),
        ({"orderType": oa.OrderType.STOP, "stopPrice": 1.05}, oa.TradeSide.BUY, "1.045", "1.06"),
        ({"orderType": oa.OrderType.STOP_LIMIT, "stopPrice": 1.05, "slippageInPoints": 9}, oa.TradeSide.BUY, "1.045", "1.06"),
    ],
)  # fmt: skip
def test_levels_of_a_working_order_are_prices_also_where_the_venue_says_distances(
    kind: dict[str, Any], side: int, stop_loss: str, take_profit: str
) -> None:
    told = venue.order(side=side, relativeStopLoss=500, relativeTakeProfit=1_000, **kind)
    spec = World().join().account.symbols.by_id(1)
    state = parsing.order_state(told, lambda _symbol_id: spec)
    assert state.protection == Protection(stop_loss=D(stop_loss), take_profit=D(take_profit))
