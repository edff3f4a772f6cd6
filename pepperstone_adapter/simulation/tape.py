"""What the market was at any time of the run, as arrays: one tape per symbol.

The tape holds the rows of the window that is loaded, and the last row before it. It answers what the framework's own
cache cannot without a Python call per row: the quote at a time, the path inside a bar, and bounds over a stretch of time.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.simulation.plan import Int64s

_EMPTY = np.empty(0, np.int64)


@dataclass(slots=True, eq=False)
class Rows:
    """Rows of one symbol, ascending; for quotes the four prices of a side are the same array. Prices are points."""

    ts_ns: Int64s = field(default_factory=lambda: _EMPTY)
    bid: tuple[Int64s, Int64s, Int64s, Int64s] = (_EMPTY, _EMPTY, _EMPTY, _EMPTY)  # open, high, low, close
    ask: tuple[Int64s, Int64s, Int64s, Int64s] = (_EMPTY, _EMPTY, _EMPTY, _EMPTY)

    def __len__(self) -> int:
        return len(self.ts_ns)

    def tail(self) -> "Rows":
        """The last row alone."""
        return Rows(self.ts_ns[-1:], _last(self.bid), _last(self.ask))

    def after(self, earlier: "Rows") -> "Rows":
        """These rows behind `earlier`."""
        if not len(earlier):
            return self
        return Rows(
            np.concatenate((earlier.ts_ns, self.ts_ns)), _joined(earlier.bid, self.bid), _joined(earlier.ask, self.ask)
        )


type Four = tuple[Int64s, Int64s, Int64s, Int64s]


def _last(four: Four) -> Four:
    if four[0] is four[3]:
        return (four[0][-1:],) * 4
    return four[0][-1:], four[1][-1:], four[2][-1:], four[3][-1:]


def _joined(a: Four, b: Four) -> Four:
    if b[0] is b[3]:
        return (np.concatenate((a[0], b[0])),) * 4
    o, h, lo, c = (np.concatenate((x, y)) for x, y in zip(a, b, strict=True))
    return o, h, lo, c


class Tape:
    """One symbol's market over the loaded window.

    Attributes
    ----------
    of_quotes
        Whether its rows are quotes, not bars.
    """

    def __init__(self, spec: SymbolSpec) -> None:
        self.spec = spec
        self.rows = Rows()
        self.of_quotes = True
        self._times = self._bids = self._asks = _EMPTY.data

    def load(self, rows: Rows) -> None:
        """Replace the window; its predecessor's last row stays in front, so that a symbol that pauses keeps its price."""
        self.rows = rows.after(self.rows.tail()) if len(self.rows) else rows
        self.of_quotes = rows.bid[0] is rows.bid[3]
        # Orders ask for single rows: a memory view has them as plain integers, and costs nothing to make.
        self._times, self._bids, self._asks = self.rows.ts_ns.data, self.rows.bid[3].data, self.rows.ask[3].data

    def index(self, ts_ns: int) -> int:
        """The last row at or before a time; -1 when there is none."""
        return bisect_right(self._times, ts_ns) - 1

    def quote(self, ts_ns: int) -> tuple[Decimal, Decimal] | None:
        """BID and ASK at a time."""
        i = bisect_right(self._times, ts_ns) - 1
        if i < 0:
            return None
        scale = -self.spec.digits
        return Decimal(self._bids[i]).scaleb(scale), Decimal(self._asks[i]).scaleb(scale)

    def has_row(self, ts_ns: int) -> bool:
        """Whether a row has a time: then there was a market, also where the session ended inside the bar."""
        i = self.index(ts_ns)
        return i >= 0 and self._times[i] == ts_ns

    def next_bar(self, ts_ns: int) -> int | None:
        """When the bar after a time ends; None when it is not loaded yet, or rows are quotes."""
        i = self.index(ts_ns) + 1
        return None if i >= len(self.rows) or self.of_quotes else int(self._times[i])

    def opened(self, ts_ns: int) -> tuple[Decimal, Decimal] | None:
        """Opening BID and ASK of the bar that ends at a time; None when no row has that time or rows are quotes."""
        i = self.index(ts_ns)
        if i < 0 or self._times[i] != ts_ns or self.of_quotes:
            return None
        scale = -self.spec.digits
        return Decimal(int(self.rows.bid[0][i])).scaleb(scale), Decimal(int(self.rows.ask[0][i])).scaleb(scale)
