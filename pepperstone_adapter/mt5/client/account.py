"""The account a session is for, as the settings know it."""

from collections.abc import Callable
from dataclasses import dataclass

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.server_time import NEW_YORK_CLOSE


@dataclass(frozen=True, slots=True, kw_only=True)
class Mt5Account:
    """What the session expects to find.

    Attributes
    ----------
    login
        Account number; any other one in the terminal is refused.
    server
        Trade server name, checked when given.
    server_time
        Rule of the server's clock (see `broker.server_time`).
    symbols
        Names the user knows; where the broker has one only with a suffix, the session translates (see `aliases`).
    hours, leverage_class
        Trading hours and leverage class of a symbol by name: the module has neither.
    sandbox
        The terminal is simulated.
    terminal_hint
        What to do when the terminal does not become ready.
    """

    login: int
    server: str | None = None
    server_time: str = NEW_YORK_CLOSE
    symbols: tuple[str, ...] = ()
    hours: Callable[[str], TradingHours] = lambda _name: TradingHours.always()
    leverage_class: Callable[[str], str] = lambda _name: "other"
    connect_timeout_s: float = 150.0
    sandbox: bool = False
    terminal_hint: str = "look at its window and the gateway's log"
