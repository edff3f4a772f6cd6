"""How a symbol's `swap_mode` charges a night: the module's nine numbers as terms of the ledger.

Source: MetaTrader's ENUM_SYMBOL_SWAP_MODE. 2, 3 and 4 are money per lot in the currency of base, margin and deposit;
5 and 6 a yearly percentage (360 days) of the price of now and of the opening price; 7 and 8 charge no money but close
the position and open it again at the price it was closed at, or at the bid, plus or minus the points.
"""

from dataclasses import replace
from typing import Any, Final

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


def dealt(terms: SymbolTerms, rule: Mt5Symbol) -> SymbolTerms:
    """`terms` with the swap of `rule`; without a mode of its own the symbol keeps what it has."""
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
