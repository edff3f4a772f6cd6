"""Prices as they come from a broker. Prices are integer points: one point is ``10**-digits`` of the symbol."""

from enum import StrEnum
from typing import NamedTuple


class Tick(NamedTuple):
    """One quote change; a side that did not come is None (cTrader spots are one-sided).

    `ts_ns` is the broker's stamp in UTC nanoseconds, or 0 where it sent none.
    """

    symbol: str
    bid: int | None
    ask: int | None
    ts_ns: int


class DepthLevel(NamedTuple):
    """One resting quote of the book, keyed by the venue's quote id. `size` is in hundredths of a unit."""

    quote_id: int
    is_bid: bool
    price: int
    size: int


class DepthUpdate(NamedTuple):
    symbol: str
    upserts: tuple[DepthLevel, ...]
    deletes: tuple[int, ...]
    ts_ns: int


class BarPeriod(StrEnum):
    M1 = "M1"
    M2 = "M2"
    M3 = "M3"
    M4 = "M4"
    M5 = "M5"
    M6 = "M6"
    M10 = "M10"
    M12 = "M12"
    M15 = "M15"
    M20 = "M20"
    M30 = "M30"
    H1 = "H1"
    H2 = "H2"
    H3 = "H3"
    H4 = "H4"
    H6 = "H6"
    H8 = "H8"
    H12 = "H12"
    D1 = "D1"
    W1 = "W1"
    MN1 = "MN1"


class Bar(NamedTuple):
    """One BID bar; `open_ns` is its opening boundary in UTC nanoseconds, `volume` the broker's tick count."""

    symbol: str
    period: BarPeriod
    open_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    closed: bool = True
    repaired: bool = False
