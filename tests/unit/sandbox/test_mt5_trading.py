"""Trading on the simulated terminal, in this thread and without a pipe; each sum worked out by hand."""

from decimal import Decimal as D
from typing import Any

from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.ledger import SymbolTerms, violations
from pepperstone_adapter.sandbox.ledger.state import Liquidity
from pepperstone_adapter.sandbox.mt5_terminal import trading
from pepperstone_adapter.sandbox.mt5_terminal.settings import Mt5Account, Mt5Settings
from pepperstone_adapter.sandbox.mt5_terminal.structs import FIELDS
from pepperstone_adapter.sandbox.mt5_terminal.terminal import Terminal
from tests.kit.sandbox_ledger import T0, fx

LOGIN = 3_000_001
FOK, IOC, RETURN = 0, 1, 2
EXCHANGE = {"execution": 3, "filling": 3}


def terminal_of(*terms: SymbolTerms, **rule: Any) -> Terminal:
    """A terminal with one hedging account in USD, EURUSD at 1.10000/1.10010, Monday 08:00 UTC."""
    settings = Mt5Settings(accounts=(Mt5Account(login=LOGIN),), symbol=rule)  # type: ignore[arg-type]
    terminal = Terminal(settings, terms or (fx("EURUSD"),), TestClock(T0))
    terminal.push("EURUSD", 110_000, 110_010)
    return terminal


def send(terminal: Terminal, **request: Any) -> tuple[int, int, float]:
    """``(retcode, order, volume)`` of one trade request."""
    blank = {name: "" if name in ("symbol", "comment") else 0 for name, _ in FIELDS["TradeRequest"]}
    floats = dict.fromkeys(("volume", "price", "stoplimit", "sl", "tp"), 0.0)
    values = blank | floats | {"action": 1, "symbol": "EURUSD", "type_filling": IOC} | request
    answer = trading.order_send(terminal, list(values.values())).value
    return answer[0], answer[2], answer[3]


def order_of(terminal: Terminal) -> dict[str, Any]:
    (row,) = terminal.working_rows()
    return {name: value for (name, _), value in zip(FIELDS["TradeOrder"], row, strict=True)}


def position_of(terminal: Terminal) -> dict[str, Any]:
    (row,) = terminal.position_rows()
    return {name: value for (name, _), value in zip(FIELDS["TradePosition"], row, strict=True)}


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
