from decimal import Decimal

import pytest

from pepperstone_adapter.broker.orders import (
    AmendRequest,
    OrderType,
    PositionState,
    Protection,
    Side,
    TimeInForce,
)
from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.common.errors import OrderRefused
from pepperstone_adapter.mt5.client import requests
from pepperstone_adapter.mt5.client.constants import Filling
from pepperstone_adapter.mt5.client.identity import magic_of
from pepperstone_adapter.mt5.client.parsing import order
from pepperstone_adapter.mt5.gateway.calls import checked
from tests.kit import mt5_rows as rows
from tests.kit.requests import market_order

CLOCK = parse_clock("NY+7")


def test_a_market_order_as_the_module_wants_it() -> None:
    levels = Protection(stop_loss=Decimal("1.09"), take_profit=Decimal("1.12"))
    trade = requests.market(market_order(protection=levels), rows.spec(), Filling.IOC, 1.1001)
    assert trade == {
        "action": 1,
        "symbol": "EURUSD",
        "volume": 0.1,  # 10,000 units of 100,000 a lot
        "type": 0,
        "price": 1.1001,
        "deviation": 20,
        "type_filling": 1,
        "type_time": 0,
        "sl": 1.09,
        "tp": 1.12,
        "magic": magic_of("O-1"),
        "comment": "O-1",
    }
    checked("order_send", [trade])  # every field has the type the call table demands


def test_a_close_of_an_odd_volume_is_for_the_server_to_judge_and_an_entry_is_refused_here() -> None:
    """A position whose symbol has got another step since must still be closed whole."""
    odd = market_order(units=Decimal(1_500))
    assert requests.market(odd, rows.spec(), Filling.IOC, 1.1, "42")["volume"] == 0.015
    with pytest.raises(OrderRefused, match="not a multiple"):
        requests.market(odd, rows.spec(), Filling.IOC, 1.1)


def test_a_close_names_its_ticket() -> None:
    assert requests.market(market_order(side=Side.SELL), rows.spec(), Filling.IOC, 1.1, "42")["position"] == 42


def test_a_close_by_names_both_tickets_as_they_are_now_and_no_volume() -> None:
    def held(identifier: str, ticket: str, side: Side) -> PositionState:
        return PositionState(
            position_id=identifier, symbol="EURUSD", side=side, units=Decimal(1), open_price=Decimal(1), opened_ns=0,
            ticket=ticket,
        )  # fmt: skip

    trade = requests.close_by(held("41", "51", Side.BUY), held("42", "42", Side.SELL), "O-1")
    identity = {"magic": magic_of("O-1"), "comment": "O-1"}
    assert trade == {"action": 10, "position": 51, "position_by": 42} | identity
    checked("order_send", [trade])


def test_a_stop_limit_has_its_trigger_in_price_and_its_limit_beside() -> None:
    wanted = market_order(type=OrderType.STOP_LIMIT, stop_price=Decimal("1.11"), limit_price=Decimal("1.1095"))
    trade = requests.pending(wanted, rows.spec(), CLOCK, 15)
    assert (trade["type"], trade["price"], trade["stoplimit"], trade["type_filling"]) == (6, 1.11, 1.1095, 2)


def test_a_stop_limit_whose_limit_lies_beyond_its_stop_is_refused_before_it_is_sent() -> None:
    wanted = market_order(type=OrderType.STOP_LIMIT, stop_price=Decimal("1.11"), limit_price=Decimal("1.1105"))
    with pytest.raises(OrderRefused, match="at or below the stop"):
        requests.pending(wanted, rows.spec(), CLOCK, 15)


def test_an_expiry_is_sent_in_server_time() -> None:
    # 14:00 UTC in July is 17:00 on the server.
    wanted = market_order(
        type=OrderType.LIMIT,
        limit_price=Decimal("1.09"),
        time_in_force=TimeInForce.GTD,
        expires_ns=rows.utc_ns("2022-07-11 14:00"),
    )
    trade = requests.pending(wanted, rows.spec(), CLOCK, 15)
    assert (trade["type_time"], trade["expiration"]) == (2, rows.server_ms("2022-07-11 17:00") // 1000)


def test_what_a_symbol_does_not_take_is_refused_before_it_is_sent() -> None:
    wanted = market_order(type=OrderType.LIMIT, limit_price=Decimal("1.09"), time_in_force=TimeInForce.DAY)
    with pytest.raises(OrderRefused, match="DAY"):
        requests.pending(wanted, rows.spec(), CLOCK, 1)  # only GTC
    with pytest.raises(OrderRefused, match=r"10500 units .* multiple of 1000"):
        requests.lots(Decimal(10_500), rows.spec())
    with pytest.raises(OrderRefused, match="absolute"):
        requests.market(market_order(protection=Protection(trailing=True)), rows.spec(), Filling.IOC, 1.1)


def test_a_modification_sends_every_field_because_a_missing_one_removes() -> None:
    current = order(rows.order(3, sl=1.08, tp=1.13), rows.spec(), CLOCK, "O-1")
    change = AmendRequest(order_id="3", symbol="EURUSD", limit_price=Decimal("1.095"))
    trade = requests.modify(change, current, 77, CLOCK, 15)
    assert (trade["order"], trade["price"], trade["sl"], trade["tp"], trade["magic"]) == (3, 1.095, 1.08, 1.13, 77)
    checked("order_send", [trade])
    with pytest.raises(OrderRefused, match="cancel and replace"):
        requests.modify(AmendRequest(order_id="3", symbol="EURUSD", units=Decimal(20_000)), current, 77, CLOCK, 15)


def test_an_order_of_the_day_stays_one_when_its_price_changes() -> None:
    """The terminal shows when its day ends; the symbol may take no orders with an expiry of their own."""
    row = rows.order(3, type_time=1, time_expiration=rows.server_ms("2022-01-11 00:00") // 1000)
    current = order(row, rows.spec(), CLOCK, "O-1")
    assert current.time_in_force is TimeInForce.DAY
    change = AmendRequest(order_id="3", symbol="EURUSD", limit_price=Decimal("1.095"))
    trade = requests.modify(change, current, 77, CLOCK, 1 | 2)  # GTC and DAY
    assert (trade["type_time"], trade["expiration"]) == (1, 0)
    until = AmendRequest(order_id="3", symbol="EURUSD", expires_ns=rows.utc_ns("2022-01-10 18:00"))
    trade = requests.modify(until, current, 77, CLOCK, 15)
    assert (trade["type_time"], trade["expiration"]) == (2, rows.server_ms("2022-01-10 20:00") // 1000)


@pytest.mark.parametrize(
    ("flags", "execution", "tif", "first"),
    [
        (2, 2, TimeInForce.GTC, Filling.IOC),
        (1, 2, TimeInForce.GTC, Filling.FOK),
        (3, 2, TimeInForce.GTC, Filling.IOC),
        (0, 2, TimeInForce.GTC, Filling.RETURN),
        (4, 2, TimeInForce.GTC, Filling.RETURN),  # 4 is book-or-cancel, not RETURN
        (3, 3, TimeInForce.GTC, Filling.RETURN),
        (1, 2, TimeInForce.FOK, Filling.FOK),
        (2, 1, TimeInForce.FOK, Filling.FOK),  # instant execution takes any
        (1, 0, TimeInForce.IOC, Filling.IOC),
        (0, 2, TimeInForce.IOC, Filling.IOC),  # no flag: the server decides
        (3, 2, TimeInForce.IOC, Filling.IOC),
    ],
)
def test_filling_modes_come_from_the_symbols_flags(
    flags: int, execution: int, tif: TimeInForce, first: Filling
) -> None:
    assert requests.filling_order(flags, execution, tif)[0] is first


@pytest.mark.parametrize(
    ("flags", "execution", "tif", "words"),
    [
        (1, 2, TimeInForce.IOC, "takes FOK and no IOC"),
        (5, 3, TimeInForce.IOC, "takes FOK and no IOC"),
        (2, 2, TimeInForce.FOK, "takes IOC and no FOK"),
    ],
)
def test_all_or_nothing_is_never_sent_for_a_part_or_the_other_way_round(
    flags: int, execution: int, tif: TimeInForce, words: str
) -> None:
    with pytest.raises(OrderRefused, match=words):
        requests.filling_order(flags, execution, tif)
