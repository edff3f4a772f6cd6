"""What the trade server behind the simulated terminal refuses, code by code, each beside the nearest request it takes.

EURUSD stands at 1.10000/1.10010, a point is 0.00001, a lot 100,000 units. Every terminal is its own.
"""

from decimal import Decimal as D
from typing import Any

import pytest

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.sandbox.mt5_terminal import checks, wall_clock
from pepperstone_adapter.sandbox.mt5_terminal.settings import Mt5Account
from pepperstone_adapter.sandbox.mt5_terminal.terminal import Terminal
from tests.kit.mt5_terminal import FOK, IOC, LOGIN, RETURN, send, terminal_of
from tests.kit.sandbox_ledger import T0, fx

DONE = 10009
DEAL, PENDING, SLTP, MODIFY, REMOVE, CLOSE_BY = 1, 5, 6, 7, 8, 10
BUY, SELL, BUY_LIMIT, SELL_LIMIT, BUY_STOP, SELL_STOP, BUY_STOP_LIMIT, SELL_STOP_LIMIT = range(8)
REQUEST, INSTANT, MARKET, EXCHANGE = range(4)
BOC = 3
LIMIT = {"action": PENDING, "type": BUY_LIMIT, "type_filling": RETURN, "volume": 0.1, "price": 1.09}
STOP_LIMIT = {**LIMIT, "type": BUY_STOP_LIMIT, "price": 1.102, "stoplimit": 1.101}
NOW_S = wall_clock.server_s(T0)


def code(rule: dict[str, Any], settings: dict[str, Any] | None = None, **request: Any) -> int:
    return send(terminal_of(settings=settings, **rule), volume=request.pop("volume", 0.1), **request)[0]


# (what, rule of the symbol, refused request, its code, the nearest request that is taken)
type Row = tuple[str, dict[str, Any], dict[str, Any], int, dict[str, Any]]

SYMBOL: list[Row] = [
    ("trading disabled", {"trade_mode": 0}, {}, 10017, ...),
    ("long only", {"trade_mode": 1}, {"type": SELL}, 10042, {"type": BUY}),
    ("long only, pending", {"trade_mode": 1}, {**LIMIT, "type": SELL_LIMIT, "price": 1.11}, 10042, LIMIT),
    ("short only", {"trade_mode": 2}, {"type": BUY}, 10043, {"type": SELL}),
    ("close only", {"trade_mode": 3}, {}, 10044, ...),
    ("volume: below the least", {}, {"volume": 0.001}, 10014, {"volume": 0.01}),
    ("volume: between the steps", {}, {"volume": 0.015}, 10014, {"volume": 0.02}),
    ("volume: above the most", {}, {"volume": 100.01}, 10014, ...),
    ("volume: of a direction", {"volume_limit_lots": 0.5}, {"volume": 0.51}, 10034, {"volume": 0.5}),
    ("filling: FOK without its flag", {"filling": 2}, {"type_filling": FOK}, 10030, {"type_filling": IOC}),
    ("filling: IOC without its flag", {"filling": 1}, {"type_filling": IOC}, 10030, {"type_filling": FOK}),
    ("filling: RETURN is no market execution's", {"filling": 3}, {"type_filling": RETURN}, 10030, {"type_filling": IOC}),
    ("filling: RETURN where nothing else is", {"filling": 0}, {"type_filling": IOC}, 10030, {"type_filling": RETURN}),
    ("filling: RETURN is the exchange's", {"execution": EXCHANGE, "filling": 0}, {"type_filling": IOC}, 10030,
     {"type_filling": RETURN}),
    ("filling: instant takes any", {"execution": INSTANT, "filling": 0}, {"type_filling": BOC, "price": 1.1001}, 10030,
     {"type_filling": FOK, "price": 1.1001}),
    ("filling: a pending order by its flag", {"filling": 2}, {**LIMIT, "type_filling": FOK}, 10030, LIMIT),
    ("filling: book or cancel by its flag", {"filling": 2}, {**LIMIT, "type_filling": BOC}, 10030, LIMIT),
    ("kind: a pending one as a deal", {}, {"type": BUY_LIMIT}, 10035, {"type": BUY}),
    ("kind: a market one as pending", {}, {**LIMIT, "type": BUY}, 10035, LIMIT),
    ("kind: no market orders", {"order_mode": 126}, {}, 10035, LIMIT),
    ("kind: no limits", {"order_mode": 127 - 2}, LIMIT, 10035, {**LIMIT, "type": BUY_STOP, "price": 1.11}),
    ("kind: no stops", {"order_mode": 127 - 4}, {**LIMIT, "type": BUY_STOP, "price": 1.11}, 10035, LIMIT),
    ("kind: no stop-limits", {"order_mode": 127 - 8}, STOP_LIMIT, 10035, LIMIT),
    ("kind: no stop losses", {"order_mode": 127 - 16}, {"sl": 1.09}, 10035, {"tp": 1.11}),
    ("kind: no take profits", {"order_mode": 127 - 32}, {"tp": 1.11}, 10035, {"sl": 1.09}),
    ("price: a buy limit above the ask", {}, {**LIMIT, "price": 1.1002}, 10015, {**LIMIT, "price": 1.10009}),
    ("price: a sell limit below the bid", {}, {**LIMIT, "type": SELL_LIMIT, "price": 1.09999}, 10015,
     {**LIMIT, "type": SELL_LIMIT, "price": 1.10001}),
    ("price: a buy stop below the ask", {}, {**LIMIT, "type": BUY_STOP, "price": 1.1}, 10015,
     {**LIMIT, "type": BUY_STOP, "price": 1.10011}),
    ("price: a sell stop above the bid", {}, {**LIMIT, "type": SELL_STOP, "price": 1.1001}, 10015,
     {**LIMIT, "type": SELL_STOP, "price": 1.09999}),
    ("price: none", {}, {**LIMIT, "price": 0.0}, 10015, LIMIT),
    ("price: between the points", {}, {**LIMIT, "price": 1.090005}, 10015, LIMIT),
    ("price: nearer than the least distance", {"stops_level": 50}, {**LIMIT, "price": 1.09961}, 10015,
     {**LIMIT, "price": 1.0996}),
    ("price: a limit beyond its stop", {}, {**STOP_LIMIT, "stoplimit": 1.103}, 10015, STOP_LIMIT),
    ("price: a stop-limit without its limit", {}, {**STOP_LIMIT, "stoplimit": 0.0}, 10015, STOP_LIMIT),
    ("price: instant execution wants one", {"execution": INSTANT}, {}, 10015, {"price": 1.1001}),
    ("price: instant, farther than the deviation", {"execution": INSTANT}, {"price": 1.1, "deviation": 9}, 10004,
     {"price": 1.1, "deviation": 10}),
    ("price: request execution as well", {"execution": REQUEST}, {"price": 1.0999, "deviation": 10}, 10004,
     {"price": 1.1001, "deviation": 0}),
    ("stops: a buy's stop loss above the bid", {}, {"sl": 1.10005}, 10016, {"sl": 1.09999}),
    ("stops: a buy's take profit below the bid", {}, {"tp": 1.09}, 10016, {"tp": 1.10001}),
    ("stops: a sell's stop loss below the ask", {}, {"type": SELL, "sl": 1.10005}, 10016, {"type": SELL, "sl": 1.10011}),
    ("stops: nearer than the least distance", {"stops_level": 50}, {"sl": 1.09951}, 10016, {"sl": 1.0995}),
    ("stops: of a pending order by its price", {"stops_level": 50}, {**LIMIT, "sl": 1.08951}, 10016,
     {**LIMIT, "sl": 1.0895}),
    ("expiration: of a kind the symbol has not", {"expiration": 1}, {**LIMIT, "type_time": 1}, 10022, LIMIT),
    ("expiration: past", {}, {**LIMIT, "type_time": 2, "expiration": NOW_S}, 10022,
     {**LIMIT, "type_time": 2, "expiration": NOW_S + 1}),
    ("expiration: none given", {}, {**LIMIT, "type_time": 3}, 10022, {**LIMIT, "type_time": 3, "expiration": NOW_S + 1}),
    ("no such symbol", {}, {"symbol": "NOSUCH"}, 10013, {}),
    ("no such action", {}, {"action": 2}, 10013, {}),
    ("no such order", {}, {"action": REMOVE, "order": 5}, 10013, {}),
    ("no such position", {}, {"action": SLTP, "position": 5, "sl": 1.09}, 10036, {}),
    ("money: more than there is", {}, {"volume": 6.0}, 10019, {"volume": 5.0}),  # 6 × 110,000 / 30 = 22,000 of 20,000
]  # fmt: skip


@pytest.mark.parametrize("row", SYMBOL, ids=lambda row: row[0])
def test_a_request_is_refused_and_the_nearest_good_one_is_taken(row: Row) -> None:
    _, rule, bad, refusal, good = row
    assert code(rule, **bad) == refusal
    if good is not ...:
        assert code(rule, **good) == DONE


@pytest.mark.parametrize(
    ("switch", "refusal"),
    [("connected", 10031), ("trade_allowed", 10027), ("expert_allowed", 10026), ("account_may_trade", 10017)],
)
def test_a_switch_that_is_off_refuses_everything(switch: str, refusal: int) -> None:
    terminal = terminal_of()
    _, ticket, _ = send(terminal, volume=0.1)
    setattr(terminal, switch, False)
    assert send(terminal, volume=0.1)[0] == refusal
    assert send(terminal, volume=0.1, type=SELL, position=ticket)[0] == refusal
    setattr(terminal, switch, True)
    assert send(terminal, volume=0.1)[0] == DONE


def test_the_first_reason_in_the_servers_order_is_the_one_that_is_said() -> None:
    """Each request has one fault less than the one before."""
    hours = symbol_table.get("EURUSD").hours
    terminal = terminal_of(fx("EURUSD", hours=hours), trade_mode=1, filling=2, stops_level=50)
    bad = {"type": SELL, "volume": 0.015, "type_filling": FOK, "sl": 1.0996}
    terminal.connected = terminal.trade_allowed = terminal.expert_allowed = False
    terminal.clock.advance(5 * 86_400)  # type: ignore[attr-defined]  # Saturday
    assert send(terminal, **bad)[0] == 10031
    terminal.connected = True
    assert send(terminal, **bad)[0] == 10027
    terminal.trade_allowed = True
    assert send(terminal, **bad)[0] == 10026
    terminal.expert_allowed = True
    assert send(terminal, **bad)[0] == 10042
    assert send(terminal, **{**bad, "type": BUY})[0] == 10018
    terminal.clock.advance(3 * 86_400)  # type: ignore[attr-defined]  # Tuesday
    terminal.push("EURUSD", 110_000, 110_010)
    assert send(terminal, **{**bad, "type": BUY})[0] == 10014
    assert send(terminal, **{**bad, "type": BUY, "volume": 0.1})[0] == 10030
    assert send(terminal, **{**bad, "type": BUY, "volume": 0.1, "type_filling": IOC})[0] == 10016
    assert send(terminal, type=BUY, volume=0.1, sl=1.0995)[0] == DONE


def test_without_prices_nothing_is_dealt() -> None:
    terminal = terminal_of(fx("EURUSD"), fx("GBPUSD"))
    assert send(terminal, symbol="GBPUSD", volume=0.1)[0] == 10021
    terminal.push("GBPUSD", 125_000, 125_010)
    assert send(terminal, symbol="GBPUSD", volume=0.1)[0] == DONE


def test_a_position_wants_a_close_of_its_other_side_and_no_more_than_it_has() -> None:
    terminal = terminal_of(trade_mode=4)
    _, ticket, _ = send(terminal, volume=0.1)
    assert send(terminal, volume=0.11, type=SELL, position=ticket)[0] == 10038
    assert send(terminal, volume=0.1, type=BUY, position=ticket)[0] == 10013
    assert send(terminal, action=SLTP, position=ticket, sl=1.09)[0] == DONE
    assert send(terminal, action=SLTP, position=ticket, sl=1.09)[0] == 10025
    assert send(terminal, volume=0.1, type=SELL, position=ticket)[0] == DONE
    assert send(terminal, volume=0.1, type=SELL, position=ticket)[0] == 10036


def test_a_symbol_that_may_only_be_closed_is_closed() -> None:
    terminal = terminal_of()
    _, ticket, _ = send(terminal, volume=0.1)
    terminal.rules["EURUSD"] = terminal.rules["EURUSD"].model_copy(update={"trade_mode": 3})
    assert send(terminal, volume=0.1, type=SELL)[0] == 10044
    assert send(terminal, volume=0.1, type=SELL, position=ticket)[0] == DONE


def test_a_pending_order_changes_and_one_that_stays_the_same_is_said() -> None:
    terminal = terminal_of()
    _, ticket, _ = send(terminal, **LIMIT)
    change = {"action": MODIFY, "order": ticket, "price": 1.08}
    assert send(terminal, **change)[0] == DONE
    assert send(terminal, **change)[0] == 10025
    assert send(terminal, **{**change, "price": 1.12})[0] == 10015
    assert send(terminal, action=REMOVE, order=ticket)[0] == DONE
    assert send(terminal, **change)[0] == 10013


# -- the freeze level -------------------------------------------------------------------------------------------------


def moved(terminal: Terminal, bid_points: int) -> None:
    terminal.push("EURUSD", bid_points, bid_points + 10)


def test_a_pending_order_near_the_market_is_frozen() -> None:
    terminal = terminal_of(freeze_level=30)
    _, ticket, _ = send(terminal, **LIMIT)  # 1.09000
    moved(terminal, 109_020)  # ask 1.09030: thirty points above it
    for request in ({"action": MODIFY, "price": 1.08}, {"action": REMOVE}):
        assert send(terminal, order=ticket, **request)[0] == 10029
    moved(terminal, 109_021)
    assert send(terminal, action=MODIFY, order=ticket, price=1.08)[0] == DONE
    assert send(terminal, action=REMOVE, order=ticket)[0] == DONE


def test_a_position_near_its_level_is_frozen() -> None:
    terminal = terminal_of(freeze_level=30)
    _, ticket, _ = send(terminal, volume=0.1, sl=1.09)
    moved(terminal, 109_030)  # a long's stop is held against the bid
    assert send(terminal, action=SLTP, position=ticket, sl=1.08)[0] == 10029
    assert send(terminal, volume=0.1, type=SELL, position=ticket)[0] == 10029
    moved(terminal, 109_031)
    assert send(terminal, action=SLTP, position=ticket, sl=1.08)[0] == DONE
    assert send(terminal, volume=0.1, type=SELL, position=ticket)[0] == DONE


# -- limits -----------------------------------------------------------------------------------------------------------


def test_an_account_has_a_most_of_pending_orders() -> None:
    terminal = terminal_of(settings={"accounts": (Mt5Account(login=LOGIN, balance=D(20_000), limit_orders=1),)})
    assert send(terminal, **LIMIT)[0] == DONE
    assert send(terminal, **LIMIT)[0] == 10033
    assert send(terminal, volume=0.1)[0] == DONE


def test_the_volume_of_a_direction_counts_positions_and_orders() -> None:
    terminal = terminal_of(volume_limit_lots=0.5)
    assert send(terminal, volume=0.3)[0] == DONE
    assert send(terminal, **LIMIT)[0] == DONE  # 0.1
    assert send(terminal, volume=0.11)[0] == 10034
    assert send(terminal, volume=0.5, type=SELL)[0] == DONE
    assert send(terminal, volume=0.1)[0] == DONE


def test_too_many_requests_in_a_second() -> None:
    terminal = terminal_of(settings={"requests_per_s": 2})
    assert [send(terminal, volume=0.1)[0] for _ in range(3)] == [DONE, DONE, 10024]
    terminal.clock.advance(1)  # type: ignore[attr-defined]
    assert send(terminal, volume=0.1)[0] == DONE


def test_a_netting_account_takes_what_reduces_its_position() -> None:
    account = Mt5Account(login=LOGIN, balance=D(20_000), mode=PositionMode.NETTING)
    terminal = terminal_of(settings={"accounts": (account,)})
    assert send(terminal, volume=0.2)[0] == DONE
    terminal.rules["EURUSD"] = terminal.rules["EURUSD"].model_copy(update={"trade_mode": 3})
    assert send(terminal, volume=0.21, type=SELL)[0] == 10044  # would turn it round
    assert send(terminal, volume=0.1, type=BUY)[0] == 10044
    assert send(terminal, volume=0.2, type=SELL)[0] == DONE
    assert terminal.position_rows() == []


def test_every_code_has_its_text() -> None:
    assert {row[3] for row in SYMBOL} <= checks.TEXTS.keys()
