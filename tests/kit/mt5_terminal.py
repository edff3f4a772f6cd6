"""A simulated terminal in this thread: its module without a pipe, its rows by name. No sockets, no processes."""

from decimal import Decimal
from typing import Any

from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.ledger import SymbolTerms
from pepperstone_adapter.sandbox.mt5_terminal import trading
from pepperstone_adapter.sandbox.mt5_terminal.module import Mt5Module
from pepperstone_adapter.sandbox.mt5_terminal.server import CALLS
from pepperstone_adapter.sandbox.mt5_terminal.settings import Mt5Account, Mt5Settings
from pepperstone_adapter.sandbox.mt5_terminal.structs import FIELDS
from pepperstone_adapter.sandbox.mt5_terminal.terminal import Terminal
from tests.kit.sandbox_ledger import T0, fx

LOGIN = 3_000_001
FOK, IOC, RETURN = 0, 1, 2


class Pipe:
    """The module's pipe without a socket."""

    hold_gil = False

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def call(self, fn: str, *args: Any) -> dict[str, Any]:
        answer = CALLS[fn](self._terminal, *args)
        return {"value": answer.value, "kind": answer.kind, "error": answer.error}

    def close(self) -> None:
        pass


def module_of(terminal: Terminal) -> Mt5Module:
    """The module as a process beside `terminal` has it after `initialize`."""
    module = Mt5Module("", 0)
    module._pipe = Pipe(terminal)  # type: ignore[assignment]
    return module


def terminal_of(*terms: SymbolTerms, settings: dict[str, Any] | None = None, **rule: Any) -> Terminal:
    """A terminal with one hedging account of 20,000 USD, EURUSD at 1.10000/1.10010, Monday 08:00 UTC.

    Parameters
    ----------
    rule
        How every symbol is dealt (`Mt5Symbol`).
    settings
        Further settings of the terminal.
    """
    account = Mt5Account(login=LOGIN, balance=Decimal(20_000))
    facts: dict[str, Any] = {"accounts": (account,), "symbol": rule, **(settings or {})}
    terminal = Terminal(Mt5Settings(**facts), terms or (fx("EURUSD"),), TestClock(T0))
    terminal.push("EURUSD", 110_000, 110_010)
    return terminal


def send(terminal: Terminal, **request: Any) -> tuple[int, int, float]:
    """``(retcode, order, volume)`` of one trade request."""
    blank = {name: "" if name in ("symbol", "comment") else 0 for name, _ in FIELDS["TradeRequest"]}
    floats = dict.fromkeys(("volume", "price", "stoplimit", "sl", "tp"), 0.0)
    values = blank | floats | {"action": 1, "symbol": "EURUSD", "type_filling": IOC} | request
    answer = trading.order_send(terminal, list(values.values())).value
    return answer[0], answer[2], answer[3]


def named(struct: str, rows: list[list[Any]]) -> list[dict[str, Any]]:
    """Rows of a struct as maps of its fields."""
    return [{name: value for (name, _), value in zip(FIELDS[struct], row, strict=True)} for row in rows]
