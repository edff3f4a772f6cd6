"""What a symbol does at the server's midnight: how `swap_mode` charges a night, and the pause of trading around it.

Swap source: MetaTrader's ENUM_SYMBOL_SWAP_MODE. 2, 3 and 4 are money per lot in the currency of base, margin and deposit;
5 and 6 a yearly percentage (360 days) of the price of now and of the opening price; 7 and 8 charge no money but close
the position and open it again at the price it was closed at, or at the bid, plus or minus the points.
"""

from dataclasses import replace
from typing import Any, Final

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.symbols import SwapMode
from pepperstone_adapter.sandbox.ledger import Reopening, SymbolTerms
from pepperstone_adapter.sandbox.mt5_terminal.settings import Mt5Symbol

_MODES: Final = (
    SwapMode.DISABLED,
    SwapMode.POINTS,
    SwapMode.MONEY_PER_LOT,
    SwapMode.MONEY_PER_LOT,
    SwapMode.MONEY_PER_LOT,
    SwapMode.PERCENT_ANNUAL,
    SwapMode.PERCENT_ANNUAL,
    SwapMode.POINTS,
    SwapMode.POINTS,
)


_ZONE: Final = "America/New_York"
_DAY_S: Final = 86_400
_MIDNIGHT_S: Final = 17 * 3600  # the server's, in New York
_HALT_S: Final = 120


def dealt(terms: SymbolTerms, rule: Mt5Symbol) -> SymbolTerms:
    """`terms` with the swap and the pause of `rule`; without a swap mode of its own the symbol keeps what it has."""
    if not rule.rollover_halt:
        terms = replace(terms, spec=replace(terms.spec, hours=_without_halt(terms.spec.hours)))
    mode, spec = rule.swap_mode, terms.spec
    if mode is None:
        return terms
    special: dict[int, dict[str, Any]] = {
        2: {"swap_currency": spec.base_currency},
        3: {"swap_currency": spec.margin_currency or spec.base_currency},
        6: {"swap_on_open_price": True},
        7: {"swap_reopens": Reopening.CLOSE},
        8: {"swap_reopens": Reopening.BID},
    }
    return replace(terms, spec=replace(spec, swap=replace(spec.swap, mode=_MODES[mode])), **special.get(mode, {}))


def _without_halt(hours: TradingHours) -> TradingHours:
    """The same hours without the short pauses around server midnight; weekends and other breaks stay."""
    if hours.zone != _ZONE:
        return hours
    joined: list[tuple[int, int]] = []
    for start, end in hours.intervals:
        last = joined[-1][1] if joined else None
        if last is not None and start - last <= _HALT_S and last % _DAY_S <= _MIDNIGHT_S <= start % _DAY_S:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return replace(hours, intervals=tuple(joined))
