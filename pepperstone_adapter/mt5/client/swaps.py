"""How the terminal charges a night, as `SwapTerms`: nine modes into the few kinds we count.

An amount of money per lot has a currency: the symbol's base, its margin's or the account's. In the quote currency it is
a number of points: ``amount = contract size × points × 10^-digits``. In the base currency it grows with the price as an
interest does, where the price is one of the base (``EURUSD``): ``amount × price = contract size × price × percent / 100 /
360``. Both are exact. Modes 7 and 8 close a position at midnight and open it again some points away, which costs what
those points are worth.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from pepperstone_adapter.broker.symbols import SwapMode
from pepperstone_adapter.mt5.client.constants import SwapCode

BANK_YEAR_DAYS: Final = 360
_SAME: Final = {
    SwapCode.DISABLED: SwapMode.DISABLED,
    SwapCode.POINTS: SwapMode.POINTS,
    SwapCode.CURRENCY_DEPOSIT: SwapMode.MONEY_PER_LOT,
    SwapCode.INTEREST_CURRENT: SwapMode.PERCENT_ANNUAL,
    SwapCode.INTEREST_OPEN: SwapMode.PERCENT_ANNUAL,
    SwapCode.REOPEN_CURRENT: SwapMode.POINTS,
    SwapCode.REOPEN_BID: SwapMode.POINTS,
}


def swap_rates(row: Mapping[str, Any]) -> tuple[SwapMode, Decimal, Decimal] | None:
    """Mode, long and short of a ``symbol_info`` row; None when our terms cannot express them."""
    code, contract = row["swap_mode"], Decimal(repr(float(row["trade_contract_size"])))
    long, short = (Decimal(repr(float(row[name]))) for name in ("swap_long", "swap_short"))
    if code in _SAME:
        return _SAME[code], long, short
    currency = {SwapCode.CURRENCY_SYMBOL: row["currency_base"], SwapCode.CURRENCY_MARGIN: row["currency_margin"]}.get(
        code
    )
    if currency and currency == row["currency_profit"]:
        per_lot = Decimal(10) ** int(row["digits"]) / contract
        return SwapMode.POINTS, long * per_lot, short * per_lot
    if currency and currency == row["currency_base"] and row["name"].startswith(currency):
        per_lot = 100 * BANK_YEAR_DAYS / contract
        return SwapMode.PERCENT_ANNUAL, long * per_lot, short * per_lot
    return None


def swap_gaps(rows: Iterable[Mapping[str, Any]]) -> str | None:
    """Which symbols' financing is not told in their specs, or not exactly, or by more than money; None when all is."""
    rows = [row for row in rows if row["swap_long"] or row["swap_short"]]
    unknown = [f"{row['name']} (mode {row['swap_mode']})" for row in rows if swap_rates(row) is None]
    at_open = [row["name"] for row in rows if row["swap_mode"] == SwapCode.INTEREST_OPEN]
    again = [row["name"] for row in rows if row["swap_mode"] in (SwapCode.REOPEN_CURRENT, SwapCode.REOPEN_BID)]
    parts = []
    if again:
        parts.append(
            f"positions are closed and opened again at the broker's midnight, and stand under EXTERNAL then: {_few(again)}"
        )
    if unknown:
        parts.append(f"financing is shown as none, though the broker charges it: {_few(unknown)}")
    if at_open:
        parts.append(
            f"financing is counted from the price of the night, at the broker from the opening: {_few(at_open)}"
        )
    return "; ".join(parts) or None


def _few(names: list[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
