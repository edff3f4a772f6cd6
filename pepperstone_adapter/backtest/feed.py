"""Market data of a run, window by window: arrays for the account's tapes, framework rows for the engine.

Two streams go into the engine for each symbol that has bars:

* execution bars, BID and ASK, labelled ``1-MILLISECOND``: the framework's matching engine executes against the finest bars
  it has seen and ignores the rest, so these alone move the market (where no order waits for a price, quotes of their
  closes are enough: `RunPlan.only_market_orders`);
* the bars strategies have subscribed to, under their own label, after the execution bars of *all* symbols at that time.

So no strategy ever sees a bar, of either side or of any symbol, before the whole market of that moment is in. (With BID
and ASK bars in one stream a strategy that acts on the first of the two is filled against the other side of the bar before:
the "stale side", which earns money that does not exist.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.catalog.columns import Bools, crossed
from pepperstone_adapter.catalog.rows import (
    BarColumns,
    Cursor,
    QuoteColumns,
    bars_from_arrays,
    join_bars,
    join_quotes,
    quotes_from_arrays,
)
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.common.errors import ConfigurationError, DataError
from pepperstone_adapter.simulation.plan import (
    BarArrays,
    DataSource,
    Int64s,
    QuoteArrays,
    RunPlan,
    StoredBars,
    StoredQuotes,
)
from pepperstone_adapter.simulation.sessions import closing_times, tradable
from pepperstone_adapter.simulation.spread import spread_points
from pepperstone_adapter.simulation.tape import Four, Rows

type Label = tuple[str, str, str]  # symbol, period, side

DEFAULT_CHUNK_ROWS = 20_000  # enough that a window's own cost does not count, few enough for the processor's caches
EXECUTION_PERIOD = "1-MILLISECOND"
_EXECUTION_TICKS = 100  # volume of execution bars: far above any order
_UNIT_NS = {
    "SECOND": 10**9, "MINUTE": 60 * 10**9, "HOUR": 3_600 * 10**9, "DAY": 86_400 * 10**9, "WEEK": 7 * 86_400 * 10**9,
    "MONTH": 28 * 86_400 * 10**9,
}  # fmt: skip


def period_ns(period: str) -> int:
    """Length of ``15-MINUTE`` in nanoseconds (a month counts its shortest)."""
    step, _, unit = period.partition("-")
    if not step.isdecimal() or unit not in _UNIT_NS:
        raise ConfigurationError(f"bar period {period!r}: use a form such as 1-MINUTE, 1-HOUR or 1-DAY")
    return int(step) * _UNIT_NS[unit]


@dataclass(slots=True, eq=False)
class Window:
    """Rows of all symbols in one stretch of time."""

    start_ns: int
    end_ns: int
    rows: dict[str, Rows] = field(default_factory=dict)
    bars: dict[tuple[str, str], tuple[Rows, Int64s]] = field(default_factory=dict)  # (symbol, period) -> rows, ticks
    quotes: set[str] = field(default_factory=set)
    closed_rows: int = 0
    crossed_rows: int = 0


class Feed:
    """Reads the sources of a plan in windows of bounded size.

    A window is cut where it has `chunk_size` rows (a bar with both its sides, or a quote), however densely they lie, so
    what the engine holds does not grow with the length of the run nor with a busy hour in it. Beside that a row group
    of each stored series waits as arrays (100,000 rows, some 5 MB).
    """

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._specs = {spec.name: spec for spec in plan.specs}
        self._stores: dict[Path, CatalogStore] = {}
        self._quoted = {s.symbol for s in plan.data if isinstance(s, QuoteArrays | StoredQuotes)}
        # The finest bars of a symbol execute; quotes execute before any bar.
        self._finest: dict[str, str] = {}
        for source in plan.data:
            if source.symbol not in self._specs:
                raise ConfigurationError(f"data of {source.symbol} has no symbol specification in the plan")
            if isinstance(source, BarArrays | StoredBars) and source.symbol not in self._quoted:
                best = self._finest.get(source.symbol)
                if best is None or period_ns(source.period) < period_ns(best):
                    self._finest[source.symbol] = source.period
        self.begins: dict[str, int] = {}  # time of each symbol's first price; of stored rows not before it
        self._data: tuple[DataSource, ...] = tuple(
            replace(s, ts_ns=self._ended(s, s.ts_ns)) if isinstance(s, BarArrays) else s for s in plan.data
        )
        self._asks = self._asks_used = 0  # stored ASK bars of the period, and those that have a BID bar
        self.start_ns, self.end_ns = self._extent()
        self._seeded: set[str] = set()
        self._bars_of_side: dict[tuple[str, str, str], Cursor[BarColumns] | None] = {}
        self._quotes_of: dict[str, Cursor[QuoteColumns]] = {}

    @property
    def bar_labels(self) -> dict[tuple[str, str], SymbolSpec]:
        """``(symbol, period)`` of every bar series of the run."""
        return {
            (s.symbol, s.period): self._specs[s.symbol]
            for s in self._plan.data
            if isinstance(s, BarArrays | StoredBars)
        }

    @property
    def quoted(self) -> set[str]:
        return self._quoted

    @property
    def lone_ask_rows(self) -> int:
        """Stored ASK bars without a BID bar of their time, once all windows have been read."""
        return self._asks - self._asks_used

    def windows(self) -> Iterator[Window]:
        """All windows in order; a row belongs to the window with ``start <= ts < end``."""
        self._bars_of_side, self._quotes_of = {}, {}
        self._asks_used = 0
        start = self.start_ns
        while start < self.end_ns:
            end = self._edge(start, self._plan.chunk_size or DEFAULT_CHUNK_ROWS)
            yield self._window(start, end)
            start = end

    def _edge(self, start: int, rows: int) -> int:
        """Where the window that begins at `start` ends: before the row that would be too many; rows of one time stay
        together."""
        ahead = np.concatenate([self._ahead(source, start, rows + 1) for source in self._data])
        if len(ahead) <= rows:
            return self.end_ns
        return max(int(np.partition(ahead, rows)[rows]), int(ahead.min()) + 1)

    def _window(self, start: int, end: int) -> Window:
        window = Window(start, end)
        for source in self._data:
            spec = self._specs[source.symbol]
            if isinstance(source, QuoteArrays | StoredQuotes):
                columns = self._quotes(source, start, end)
                keep = tradable(spec.hours, columns.ts_ns)
                window.closed_rows += int(len(keep) - keep.sum())
                wrong = crossed([columns.bid], [columns.ask]) & keep
                window.crossed_rows += int(wrong.sum())
                keep &= ~wrong
                bid, ask = columns.bid[keep], columns.ask[keep]
                window.rows[source.symbol] = Rows(columns.ts_ns[keep], (bid,) * 4, (ask,) * 4)
                window.quotes.add(source.symbol)
            else:
                rows, ticks, wrong = self._bars(source, spec, start, end)
                keep = tradable(spec.hours, rows.ts_ns, period_ns(source.period))
                if not keep.all():
                    window.closed_rows += int(len(keep) - keep.sum())
                    rows = Rows(rows.ts_ns[keep], _pick(rows.bid, keep), _pick(rows.ask, keep))
                    ticks, wrong = ticks[keep], wrong[keep]
                window.crossed_rows += int(wrong.sum())
                window.bars[source.symbol, source.period] = rows, ticks
                if self._finest.get(source.symbol) == source.period:
                    window.rows[source.symbol] = rows
        return window

    # --- sources

    def _store(self, path: Path) -> CatalogStore:
        if path not in self._stores:
            self._stores[path] = CatalogStore(path)
        return self._stores[path]

    def _extent(self) -> tuple[int, int]:
        """First time, and the time after the last."""
        first, last = [], []
        low = self._plan.start_ns if self._plan.start_ns is not None else -(2**62)
        high = self._plan.end_ns if self._plan.end_ns is not None else 2**62
        for source in self._data:
            if isinstance(source, BarArrays | QuoteArrays):
                a, b = np.searchsorted(source.ts_ns, [low, high])
                if a == b:
                    raise DataError(f"no data of {source.symbol} in the period of the run")
                first.append(int(source.ts_ns[a]))
                last.append(int(source.ts_ns[b - 1]))
                self._begin(source, first[-1])
                continue
            store = self._store(source.catalog)
            if isinstance(source, StoredBars):
                series = store.bar_series(source.symbol, source.period)
                what = f"{source.period} bars of {source.symbol}"
                asks = store.bar_series(source.symbol, source.period, "ASK")
                self._asks += 0 if asks is None else store.count(asks, low, high)
            else:
                series, what = store.quote_series(source.symbol), f"quotes of {source.symbol}"
            if series is None:
                stored = ", ".join(s.identifier for s in store.series()) or "nothing"
                raise DataError(f"no {what} in the catalog at {source.catalog}; stored: {stored}")
            spec = self._specs[source.symbol]
            if series.digits != spec.digits:
                raise DataError(
                    f"{what} are stored with {series.digits} digits, the symbol has {spec.digits}; "
                    "import them again or set symbols."
                    f"{source.symbol}.digits"
                )
            if not store.count(series, low, high):
                raise DataError(f"no {what} in the period of the run")
            first.append(max(low, series.start_ns))
            if isinstance(source, StoredBars):
                first[-1] = int(self._ended(source, np.array(first[-1:], np.int64))[0])
            last.append(min(high - 1, series.end_ns))
            self._begin(source, first[-1])
        if not first:
            raise ConfigurationError("the run has no data: name at least one instrument")
        return min(first), max(last) + 1

    def _begin(self, source: DataSource, ts_ns: int) -> None:
        if isinstance(source, QuoteArrays | StoredQuotes) or self._finest.get(source.symbol) == source.period:
            self.begins[source.symbol] = ts_ns

    def _ahead(self, source: DataSource, start: int, rows: int) -> Int64s:
        """Times of a source's next rows, `rows` of them where there are so many."""
        if isinstance(source, StoredQuotes):
            return self._stored_quotes(source).ahead(rows)
        if isinstance(source, StoredBars):
            cursor = self._stored_bars(source, "BID")
            return np.empty(0, np.int64) if cursor is None else cursor.ahead(rows)
        a, b = np.searchsorted(source.ts_ns, [start, self.end_ns])
        return source.ts_ns[a : min(b, a + rows)]

    def _stored_bars(self, source: StoredBars, side: str) -> Cursor[BarColumns] | None:
        """The cursor of a stored side; None when it is not stored at all."""
        key = (source.symbol, source.period, side)
        if key not in self._bars_of_side:
            store = self._store(source.catalog)
            stored = store.bar_series(*key) is not None
            self._bars_of_side[key] = Cursor(self._stored_chunks(source, side), join_bars) if stored else None
        return self._bars_of_side[key]

    def _stored_chunks(self, source: StoredBars, side: str) -> Iterator[BarColumns]:
        store = self._store(source.catalog)
        period = self._plan.start_ns, self._plan.end_ns
        for chunk in store.bar_chunks(source.symbol, source.period, side, *period, rows=1):
            yield replace(chunk, ts_ns=self._ended(source, chunk.ts_ns))

    def _ended(self, source: BarArrays | StoredBars, ts_ns: Int64s) -> Int64s:
        """When bars ended: not after their market had closed. In or out of the period of the run they are as stored."""
        times = closing_times(self._specs[source.symbol].hours, ts_ns, period_ns(source.period))
        low, high = self._plan.start_ns, self._plan.end_ns
        as_stored = times < low if low is not None else np.zeros(len(times), np.bool_)
        if high is not None:
            as_stored |= ts_ns >= high
        return np.where(as_stored, ts_ns, times)

    def _stored_quotes(self, source: StoredQuotes) -> Cursor[QuoteColumns]:
        if source.symbol not in self._quotes_of:
            store = self._store(source.catalog)
            chunks = store.quote_chunks(source.symbol, self._plan.start_ns, self._plan.end_ns, rows=1)
            self._quotes_of[source.symbol] = Cursor(chunks, join_quotes)
        return self._quotes_of[source.symbol]

    def _quotes(self, source: QuoteArrays | StoredQuotes, start: int, end: int) -> QuoteColumns:
        if isinstance(source, StoredQuotes):
            return self._stored_quotes(source).until(end)
        a, b = np.searchsorted(source.ts_ns, [start, end])
        return QuoteColumns(ts_ns=source.ts_ns[a:b], bid=source.bid[a:b], ask=source.ask[a:b])

    def _bars(
        self, source: BarArrays | StoredBars, spec: SymbolSpec, start: int, end: int
    ) -> tuple[Rows, Int64s, Bools]:
        """Bars of both sides, their tick volumes, and which of them had their ASK below their BID.

        A BID bar without an ASK that can be gets the spread of the symbol's table.
        """
        ask: Four | None
        if isinstance(source, BarArrays):
            a, b = np.searchsorted(source.ts_ns, [start, end])
            ts, bid = source.ts_ns[a:b], (source.open[a:b], source.high[a:b], source.low[a:b], source.close[a:b])
            ticks = np.ones(b - a, np.int64) if source.volume is None else source.volume[a:b]
            ask, known = None if source.ask is None else _pick(source.ask, slice(a, b)), np.ones(b - a, np.bool_)
        else:
            cursor = self._stored_bars(source, "BID")
            if cursor is None:
                raise DataError(f"no {source.period} BID bars of {source.symbol} in the catalog at {source.catalog}")
            columns = cursor.until(end)
            ts, ticks = columns.ts_ns, columns.ticks
            bid = (columns.open, columns.high, columns.low, columns.close)
            ask, known = self._stored_ask(source, ts, end)
        if ask is None:
            return Rows(ts, bid, self._modelled(spec, ts, bid, source.period)), ticks, np.zeros(len(ts), np.bool_)
        wrong = known & crossed(bid, ask)
        sound = known & ~wrong
        if not sound.all():
            why = f"{int(wrong.sum())} bars of {spec.name} have an ASK below the BID" if wrong.any() else ""
            modelled = self._modelled(spec, ts, bid, source.period, why)
            o, h, lo, c = (np.where(sound, s, m) for s, m in zip(ask, modelled, strict=True))
            ask = (o, h, lo, c)
        return Rows(ts, bid, ask), ticks, wrong

    def _stored_ask(self, source: StoredBars, ts: Int64s, end: int) -> tuple[Four | None, Bools]:
        """Stored ASK bars at the times of the BID bars, and which of them are there; None when none is."""
        cursor = self._stored_bars(source, "ASK")
        columns = None if cursor is None else cursor.until(end)
        if columns is None or not len(columns):
            return None, np.zeros(len(ts), np.bool_)
        four = (columns.open, columns.high, columns.low, columns.close)
        if np.array_equal(columns.ts_ns, ts) and (len(ts) < 2 or np.diff(ts).all()):
            self._asks_used += len(ts)
            return four, np.ones(len(ts), np.bool_)
        at = np.minimum(np.searchsorted(columns.ts_ns, ts), len(columns) - 1)
        known = columns.ts_ns[at] == ts
        self._asks_used += int(np.count_nonzero(np.diff(at[known], prepend=-1)))  # a BID bar may be stored twice
        return _pick(four, at), known

    def _modelled(self, spec: SymbolSpec, ts: Int64s, bid: Four, period: str, why: str = "") -> Four:
        table = self._plan.terms.spreads.get(spec.name)
        if table is None:
            raise ConfigurationError(
                f"{why or 'no ASK prices'} and no spread for {spec.name}: give market.spread.points.{spec.name}, "
                "or import ASK bars"
            )
        spread = spread_points(table, ts - period_ns(period))
        o, h, lo, c = (side + spread for side in bid)
        return o, h, lo, c

    # --- framework rows

    def batches(self, window: Window, labels: Sequence[Label]) -> list[list[Any]]:
        """Everything the engine is given for a window, in the order of equal times.

        With one symbol whose finest BID bars are all that is listened to, those bars can be the execution bars
        themselves, behind the ASK bars of their time: two rows instead of three, and the same fills. Bars of a day and
        longer are few, and their volume may be less than an order's (see `catalog.volume`).
        """
        if len(window.rows) == 1 and len(labels) == 1 and not window.quotes and not self._plan.only_market_orders:
            ((name, rows),) = window.rows.items()
            symbol, period, side = labels[0]
            short = period_ns(period) < _UNIT_NS["DAY"]
            if short and (symbol, side) == (name, "BID") and self._finest[name] == period and len(window.bars) == 1:
                ticks = window.bars[symbol, period][1]
                spec = self._specs[name]
                return [self._framework_bars(spec, period, s, rows, ticks) for s in ("ASK", "BID") if len(rows)]
        shown = (self.visible_bars(window, *label) for label in labels)
        return [*self.execution_rows(window), *(rows for rows in shown if rows)]

    def execution_rows(self, window: Window) -> list[list[Any]]:
        """What moves the market, symbol by symbol, ASK before BID; conversion symbols first."""
        out = []
        for name, rows in sorted(window.rows.items(), key=lambda item: item[0] not in self._quoted):
            spec = self._specs[name]
            if not len(rows):
                continue
            if name in self._quoted:
                if name not in self._seeded and any(symbol == name for symbol, _ in window.bars):
                    out += self._bars_of(
                        spec, EXECUTION_PERIOD, Rows(rows.ts_ns[:1], _first(rows.bid), _first(rows.ask))
                    )
                self._seeded.add(name)
            if name in self._quoted or self._plan.only_market_orders:
                columns = QuoteColumns(ts_ns=rows.ts_ns, bid=rows.bid[3], ask=rows.ask[3])
                out.append(quotes_from_arrays(self._id(name), spec.digits, spec.size_digits, columns))
            else:
                out += self._bars_of(spec, EXECUTION_PERIOD, rows)
        return out

    def _bars_of(self, spec: SymbolSpec, period: str, rows: Rows) -> list[list[Any]]:
        ticks = np.full(len(rows), _EXECUTION_TICKS, np.int64)
        return [self._framework_bars(spec, period, side, rows, ticks) for side in ("ASK", "BID")]

    def visible_bars(self, window: Window, symbol: str, period: str, side: str) -> list[Any]:
        """Bars as strategies see them."""
        rows, ticks = window.bars[symbol, period]
        return self._framework_bars(self._specs[symbol], period, side, rows, ticks) if len(rows) else []

    def _framework_bars(self, spec: SymbolSpec, period: str, side: str, rows: Rows, ticks: Int64s) -> list[Any]:
        o, h, lo, c = rows.bid if side == "BID" else rows.ask
        columns = BarColumns(ts_ns=rows.ts_ns, open=o, high=h, low=lo, close=c, ticks=ticks)
        label = f"{self._id(spec.name)}-{period}-{side}-EXTERNAL"
        return bars_from_arrays(label, spec.digits, spec.size_digits, columns)

    def _id(self, symbol: str) -> str:
        return f"{symbol}.{self._plan.venue}"


def _pick(four: tuple[Int64s, ...], keep: Any) -> Four:
    o, h, lo, c = (a[keep] for a in four)
    return o, h, lo, c


def _first(four: tuple[Int64s, ...]) -> Four:
    o, h, lo, c = (a[:1] for a in four)
    return o, h, lo, c
