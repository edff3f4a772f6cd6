"""Tick volume as the framework's catalog stores it.

The framework's matching engine reads a bar's volume as liquidity: each of the four prices of a bar offers a quarter of
it (rounded down to the size increment; zero means "no market"), and an order above that slips by one tick. A tick
count is no liquidity, so a bar's stored volume is its tick count times a constant large enough to be neutral: for a bar
of a single tick a quarter is 25 million units, 250 lots of a currency pair. Indicators that compare volumes see true
proportions.

A bar without ticks or from a source without volume is stored as one tick. Measured on nautilus_trader 2.0.0rc7:
`Quantity` holds at most 34,028,236,692,093 units, which is 340,000 ticks in an intraday bar; more is stored as that.
"""

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.mapping.data import MAX_UNITS, QUOTE_UNITS, UNITS_PER_TICK, UNITS_PER_TICK_DAILY

__all__ = ["QUOTE_UNITS", "stored_units", "tick_volume", "units_per_tick"]

_LONG = ("DAY", "WEEK", "MONTH", "YEAR")


def units_per_tick(bar_type: str) -> int:
    """Units stored for one tick in bars of `bar_type` (``EURUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL``)."""
    return UNITS_PER_TICK_DAILY if bar_type.split("@")[0].rsplit("-", 3)[1] in _LONG else UNITS_PER_TICK


def stored_units(tick_volume: NDArray[np.int64], bar_type: str) -> NDArray[np.int64]:
    """Whole units to store for tick counts."""
    factor = units_per_tick(bar_type)
    return np.minimum(np.maximum(tick_volume, 1), MAX_UNITS // factor) * factor


def tick_volume(units: NDArray[np.int64], bar_type: str) -> NDArray[np.int64]:
    """Tick counts back from stored units."""
    return units // units_per_tick(bar_type)
