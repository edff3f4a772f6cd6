"""Is this the right instrument's data? Orders of magnitude, so that USDJPY rows are not stored as EURUSD.

A currency pair's price lies within a factor of ten of the ratio of its currencies' values. The table holds units per
US dollar, in round numbers: an order of magnitude over the last thirty years, no rates. Other symbols are compared with
what the catalog holds of them already.
"""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.broker.symbols import AssetClass, SymbolSpec
from pepperstone_adapter.common.errors import DataError

UNITS_PER_USD = {
    "USD": 1.0, "EUR": 0.9, "GBP": 0.7, "CHF": 1.0, "AUD": 1.4, "NZD": 1.6, "CAD": 1.3, "SGD": 1.4, "JPY": 110.0,
    "HKD": 7.8, "CNH": 6.8, "SEK": 9.0, "NOK": 9.0, "DKK": 6.5, "PLN": 4.0, "CZK": 23.0, "HUF": 280.0, "MXN": 17.0,
    "ZAR": 14.0, "TRY": 8.0, "THB": 33.0, "ILS": 3.6, "INR": 75.0, "KRW": 1200.0, "BRL": 4.0, "CLP": 800.0,
    "IDR": 14_000.0, "TWD": 30.0, "XAU": 1 / 1500, "XAG": 1 / 20, "XPT": 1 / 950, "XPD": 1 / 1000,
}  # fmt: skip
FACTOR = 10.0
STORED_FACTOR = 3.0
ROWS_FOR_DIGITS = 500

_TOKEN = re.compile(r"[A-Za-z0-9]+")


def check_price(spec: SymbolSpec, points: NDArray[np.int64], file: str, stored_points: int | None) -> None:
    """Refuse prices that cannot be the symbol's; `stored_points` is a price of it the catalog holds.

    Raises
    ------
    DataError
    """
    good = points[points > 0]
    if not len(good):
        return
    price = float(np.median(good)) * 10.0**-spec.digits
    if stored_points:
        ratio = price / (stored_points * 10.0**-spec.digits)
        if not 1 / STORED_FACTOR <= ratio <= STORED_FACTOR:
            raise DataError(
                f"{file}: prices around {price:.6g} cannot be {spec.name}: the catalog's are around "
                f"{stored_points * 10.0**-spec.digits:.6g}; is this another symbol's file, or prices in points? "
                "--allow instrument imports it as it is"
            )
        return
    expected = _expected(spec)
    if expected is not None and not expected / FACTOR <= price <= expected * FACTOR:
        raise DataError(
            f"{file}: prices around {price:.6g} cannot be {spec.name} (expected around {expected:.3g}); is this "
            "another symbol's file, or prices in points? --allow instrument imports it as it is"
        )


def check_digits(spec: SymbolSpec, points: NDArray[np.int64], file: str) -> None:
    """Refuse prices two digits coarser than the symbol's: a five-digit symbol never ends in 00 every time.

    Raises
    ------
    DataError
    """
    if len(points) >= ROWS_FOR_DIGITS and spec.digits >= 2 and not (points % 100).any():
        raise DataError(
            f"{file}: no price uses the last two of {spec.name}'s {spec.digits} digits; is this another symbol's file? "
            "--allow instrument imports it as it is"
        )


def _expected(spec: SymbolSpec) -> float | None:
    if spec.asset_class not in (AssetClass.FX, AssetClass.METAL):
        return None
    base, quote = UNITS_PER_USD.get(spec.base_currency), UNITS_PER_USD.get(spec.quote_currency)
    return None if base is None or quote is None else quote / base


def symbols_in_name(file_name: str, known: Iterable[str]) -> list[str]:
    """Known symbols that stand as a word in a file's name (``EURUSD_M1_2024.csv``, ``gbpusd-h1.csv.gz``)."""
    by_folded = {name.casefold(): name for name in known}
    words = (w.casefold() for w in _TOKEN.findall(file_name.replace("_", " ")))
    return list(dict.fromkeys(by_folded[w] for w in words if w in by_folded))
