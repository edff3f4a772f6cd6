"""Trading on the simulated terminal, in this thread and without a pipe; each sum worked out by hand."""

from decimal import Decimal as D
from typing import Any

import pytest

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, SwapMode, SwapTerms
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.ledger import violations
from pepperstone_adapter.sandbox.ledger.state import Liquidity
from pepperstone_adapter.sandbox.mt5_terminal.structs import FIELDS
from pepperstone_adapter.sandbox.mt5_terminal.terminal import Terminal
from tests.kit.mt5_terminal import LOGIN, RETURN, named, send, terminal_of
from tests.kit.sandbox_ledger import fx

EXCHANGE = {"execution": 3, "filling": 3}


def order_of(terminal: Terminal) -> dict[str, Any]:
    (row,) = named("TradeOrder", terminal.working_rows())
    return row


def position_of(terminal: Terminal) -> dict[str, Any]:
    (row,) = named("TradePosition", terminal.position_rows())
    return row


# -- the rest of a market order ---------------------------------------------------------------------------------------


def test_with_exchange_execution_the_rest_of_a_return_order_works_on() -> None:
    terminal = terminal_of(**EXCHANGE)
    terminal.ledger.set_liquidity("EURUSD", Liquidity(D(4_000), fills_left=1))
    code, ticket, volume = send(terminal, volume=0.1, type_filling=RETURN, magic=7)
    assert (code, volume) == (10010, 0.04)
    order = order_of(terminal)
    # 0.1 lots = 10,000 units, 4,000 found: 0.06 lots wait
    assert (order["ticket"], order["type"], order["state"], order["volume_current"]) == (ticket, 0, 3, 0.06)
    terminal.ledger.set_liquidity("EURUSD", None)
    terminal.push("EURUSD", 110_100, 110_110)
    assert terminal.working_rows() == []
    position = position_of(terminal)
    # 4,000 at 1.10010 and 6,000 at 1.10110: (0.4 * 1.10010 + 0.6 * 1.10110) = 1.10070
    assert (position["identifier"], position["volume"], position["magic"]) == (ticket, 0.1, 7)
    assert round(position["price_open"], 5) == 1.10070
    ended = terminal.ended_rows()[-1]
    state = [name for name, _ in FIELDS["TradeOrder"]].index("state")
    assert ended[state] == 4
    assert violations(terminal.ledger) == []


def test_a_return_order_that_finds_nothing_is_placed_and_can_be_removed_but_not_changed() -> None:
    terminal = terminal_of(**EXCHANGE)
    terminal.ledger.set_liquidity("EURUSD", Liquidity(D(4_000), fills_left=0))
    code, ticket, _ = send(terminal, volume=0.1, type_filling=RETURN)
    assert (code, order_of(terminal)["state"]) == (10008, 1)
    assert send(terminal, action=7, order=ticket, price=1.2)[0] == 10013
    assert send(terminal, action=8, order=ticket)[0] == 10009
    assert terminal.working_rows() == []
    terminal.ledger.set_liquidity("EURUSD", None)
    terminal.push("EURUSD", 110_100, 110_110)
    assert terminal.position_rows() == []


def test_the_rest_of_a_closing_order_ends_with_its_position() -> None:
    terminal = terminal_of(**EXCHANGE)
    _, ticket, _ = send(terminal, volume=0.1)
    terminal.ledger.set_liquidity("EURUSD", Liquidity(D(4_000), fills_left=1))
    assert send(terminal, volume=0.1, type=1, position=ticket, type_filling=RETURN)[0] == 10010
    terminal.ledger.set_liquidity("EURUSD", None)
    assert send(terminal, volume=0.06, type=1, position=ticket)[0] == 10009
    terminal.push("EURUSD", 110_100, 110_110)
    assert terminal.working_rows() == []
    assert terminal.position_rows() == []
    assert violations(terminal.ledger) == []


def test_the_rest_of_any_other_market_order_is_cancelled() -> None:
    terminal = terminal_of(**EXCHANGE)
    terminal.ledger.set_liquidity("EURUSD", Liquidity(D(4_000), fills_left=1))
    assert send(terminal, volume=0.1)[0] == 10010
    assert terminal.working_rows() == []
    # Instant execution takes RETURN as a filling too, and keeps nothing.
    terminal = terminal_of(execution=1)
    terminal.ledger.set_liquidity("EURUSD", Liquidity(D(4_000), fills_left=1))
    assert send(terminal, volume=0.1, price=1.1001, type_filling=RETURN)[0] == 10010
    assert terminal.working_rows() == []


# -- swap, by the terminal's nine modes -------------------------------------------------------------------------------

SWAP = SwapTerms(mode=SwapMode.POINTS, long=D(-5), short=D(2))
TO_MONDAY, TO_WEDNESDAY = 14 * 3600, 62 * 3600  # from Monday 08:00 UTC to New York's 17:00 in winter
OUT, IN, BY_ROLLOVER = 1, 0, 7


def wait(terminal: Terminal, seconds: float) -> None:
    assert isinstance(terminal.clock, TestClock)
    terminal.clock.advance(seconds)
    terminal.now_ns()


@pytest.mark.parametrize(
    ("mode", "long", "short"),
    [
        (None, "-5.00", "2.00"),  # the symbol's own: points
        (0, "0", "0"),
        (1, "-5.00", "2.00"),  # 100,000 * -5 * 0.00001 ; 100,000 * 2 * 0.00001
        (2, "-6.00", "2.40"),  # -5 EUR a lot at 1.2 ; 2 EUR at 1.2
        (3, "-6.25", "2.50"),  # -5 GBP a lot at 1.25 ; 2 GBP at 1.25
        (4, "-5.00", "2.00"),  # of the account's own money
        (5, "-16.67", "6.67"),  # 100,000 * 1.19990 * -5 % / 360 = -16.665 ; 100,000 * 1.20010 * 2 % / 360 = 6.667
        (6, "-15.28", "6.11"),  # 100,000 * 1.10010 * -5 % / 360 = -15.279 ; 100,000 * 1.10000 * 2 % / 360 = 6.111
    ],
)
def test_a_night_is_charged_as_the_mode_says(mode: int | None, long: str, short: str) -> None:
    for side, expected in ((0, long), (1, short)):
        terminal = terminal_of(fx("EURUSD", swap=SWAP, margin_currency="GBP"), fx("GBPUSD"), swap_mode=mode)
        terminal.push("GBPUSD", 124_990, 125_010)  # mid 1.25
        _, ticket, _ = send(terminal, volume=1.0, type=side)
        terminal.push("EURUSD", 119_990, 120_010)  # mid 1.2
        wait(terminal, TO_MONDAY - 1)
        assert position_of(terminal)["swap"] == 0
        wait(terminal, 1)
        position = position_of(terminal)
        assert D(repr(position["swap"])) == D(expected)
        assert (position["ticket"], position["identifier"]) == (ticket, ticket)


def test_a_night_in_the_symbols_money_counts_three_on_wednesday() -> None:
    terminal = terminal_of(fx("EURUSD", swap=SWAP), swap_mode=2)
    send(terminal, volume=1.0)
    terminal.push("EURUSD", 119_990, 120_010)
    wait(terminal, TO_WEDNESDAY)
    # Monday, Tuesday, and Wednesday's three: five nights of -5 EUR at 1.2
    assert position_of(terminal)["swap"] == -30.00


@pytest.mark.parametrize(
    ("mode", "side", "profit", "again"),
    [
        # opened at 1.10010, closed at the bid 1.10500: 100,000 * 0.00490 ; five points higher
        (7, 0, "490.00", 1.10505),
        (8, 0, "490.00", 1.10505),
        # opened at 1.10000, closed at the ask 1.10510: 100,000 * -0.00510 ; two points to the good are higher for a short
        (7, 1, "-510.00", 1.10512),  # from the price it was closed at
        (8, 1, "-510.00", 1.10502),  # from the bid
    ],
)
def test_a_position_is_opened_again_by_the_swap_points(mode: int, side: int, profit: str, again: float) -> None:
    charge = CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.50"), currency="USD")
    terminal = terminal_of(fx("EURUSD", swap=SWAP, commission=charge), swap_mode=mode)
    stop, target = (1.05, 1.15) if side == 0 else (1.15, 1.05)
    _, ticket, _ = send(terminal, volume=1.0, type=side, magic=7, comment="mine", sl=stop, tp=target)
    terminal.push("EURUSD", 110_500, 110_510)
    wait(terminal, TO_MONDAY)
    position = position_of(terminal)
    assert (position["identifier"], position["type"], position["volume"]) == (ticket, side, 1.0)
    assert position["ticket"] > ticket
    assert (position["price_open"], position["swap"]) == (again, 0)
    assert (position["sl"], position["tp"], position["magic"], position["comment"]) == (stop, target, 7, "mine")
    deals = named("TradeDeal", [terminal.deal_row(deal) for deal in terminal.visible_deals()])[-2:]
    assert [(d["entry"], d["reason"], d["position_id"], d["commission"]) for d in deals] == [
        (OUT, BY_ROLLOVER, ticket, 0),
        (IN, BY_ROLLOVER, ticket, 0),
    ]
    assert (D(repr(deals[0]["profit"])), deals[1]["price"]) == (D(profit), again)
    # the opening paid 3.50, the rollover only made its profit or loss real
    assert terminal.ledger.accounts[LOGIN].balance == D("19996.50") + D(profit)
    # requests go by the new ticket
    assert send(terminal, volume=1.0, type=1 - side, position=ticket)[0] == 10036
    assert send(terminal, volume=1.0, type=1 - side, position=position["ticket"])[0] == 10009
    assert terminal.position_rows() == []
    assert violations(terminal.ledger) == []


def test_opened_again_by_three_nights_points_on_wednesday() -> None:
    terminal = terminal_of(fx("EURUSD", swap=SWAP), swap_mode=7)
    send(terminal, volume=1.0)
    wait(terminal, TO_WEDNESDAY)
    # the market stands at 1.10000: closed there on Wednesday, 3 * 5 points higher again
    assert position_of(terminal)["price_open"] == 1.10015
    # the first close -10 points, then -5 and -5 of Monday and Tuesday: -20.00 on a lot
    assert terminal.ledger.accounts[LOGIN].balance == D("19980.00")


# -- the pause at the rollover ----------------------------------------------------------------------------------------


def test_currencies_do_not_trade_in_the_two_minutes_around_the_servers_midnight() -> None:
    terminal = terminal_of(fx("EURUSD", hours=symbol_table.get("EURUSD").hours))
    wait(terminal, TO_MONDAY - 61)
    _, ticket, _ = send(terminal, volume=0.1, sl=1.09)
    assert ticket
    wait(terminal, 1)  # 23:59:00 on the server
    assert send(terminal, volume=0.1)[0] == 10018
    assert send(terminal, volume=0.1, type=1, position=ticket)[0] == 10018
    terminal.push("EURUSD", 108_900, 108_910)  # beyond the stop, while nothing trades
    assert len(terminal.position_rows()) == 1
    wait(terminal, 119)  # 00:00:59
    assert send(terminal, volume=0.1)[0] == 10018
    wait(terminal, 1)  # 00:01:00
    terminal.push("EURUSD", 108_800, 108_810)
    assert terminal.position_rows() == []
    # 10,000 * (1.08800 - 1.10010) = -121.00: the first price after the pause, not the stop's
    assert terminal.ledger.accounts[LOGIN].balance == D("19879.00")
    assert send(terminal, volume=0.1)[0] == 10009


def test_the_pause_can_be_switched_off_and_the_weekend_stays() -> None:
    terminal = terminal_of(fx("EURUSD", hours=symbol_table.get("EURUSD").hours), rollover_halt=False)
    wait(terminal, TO_MONDAY - 60)
    assert send(terminal, volume=0.1)[0] == 10009
    wait(terminal, 60)  # midnight itself
    assert send(terminal, volume=0.1)[0] == 10009
    wait(terminal, 4 * 86_400)  # Friday 17:00 in New York
    assert send(terminal, volume=0.1)[0] == 10018


# -- close by ---------------------------------------------------------------------------------------------------------


def test_a_close_by_is_one_order_with_a_deal_on_each_position() -> None:
    terminal = terminal_of()
    _, long, _ = send(terminal, volume=0.3)  # at 1.10010
    _, short, _ = send(terminal, volume=0.1, type=1)  # at 1.10000
    code, ticket, volume = send(terminal, action=10, position=long, position_by=short)
    assert (code, volume) == (10009, 0.1)
    orders = named("TradeOrder", terminal.ended_rows())
    assert [order["ticket"] for order in orders] == [long, short, ticket]
    by = orders[-1]
    assert (by["type"], by["state"], by["position_id"], by["position_by_id"]) == (8, 4, long, short)
    assert (by["volume_initial"], by["volume_current"], by["symbol"]) == (0.1, 0.0, "EURUSD")
    deals = named("TradeDeal", [terminal.deal_row(deal) for deal in terminal.visible_deals()])[-2:]
    # the long sells 0.1 lots at the short's opening price: 10,000 * (1.10000 - 1.10010) = -1.00; the short makes nothing
    assert [(d["order"], d["entry"], d["type"], d["position_id"], d["volume"], d["price"]) for d in deals] == [
        (ticket, 3, 1, long, 0.1, 1.1),
        (ticket, 3, 0, short, 0.1, 1.1),
    ]
    assert [d["profit"] for d in deals] == [-1.0, 0.0]
    left = position_of(terminal)
    assert (left["identifier"], left["volume"]) == (long, 0.2)
    assert violations(terminal.ledger) == []


def test_a_close_by_wants_opposite_positions_that_are_there() -> None:
    terminal = terminal_of()
    _, one, _ = send(terminal, volume=0.1)
    _, same, _ = send(terminal, volume=0.1)
    assert send(terminal, action=10, position=one, position_by=same)[0] == 10013
    assert send(terminal, action=10, position=one, position_by=1)[0] == 10036
    assert len(terminal.position_rows()) == 2
