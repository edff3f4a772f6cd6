"""How good a stored series is: rows that cannot be right, slots without rows, and one percentage per month.

quality = slots filled by sound rows / slots due by the symbol's trading hours; a slot is a bar's period, for quotes
five minutes. All findings but the last lower it.

* missing, gaps: due slots without any row, and runs of them.
* duplicates, disorder: equal or falling times of bars, falling times of quotes.
* non_positive, off_tick, ohlc, crossed: prices that cannot be, off the symbol's digits, high below low, bid above ask.
* spikes: away from the rows before *and* after by more than 5 % (FX), 10 % (metals, indices), 20 % (others); for quotes
  by a fifth of it. A first or last row that does not touch its one neighbour is held to the two next to it.
* outside: slots filled while the symbol is closed by its trading hours.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.server_time import UTC_CLOCK, ServerClock, parse_clock, to_local
from pepperstone_adapter.broker.symbols import AssetClass, SymbolSpec
from pepperstone_adapter.catalog import manifest, slots
from pepperstone_adapter.catalog import specs as spec_store
from pepperstone_adapter.catalog.columns import crossed
from pepperstone_adapter.catalog.periods import DAY_NS, parse_period
from pepperstone_adapter.catalog.rows import BarColumns
from pepperstone_adapter.catalog.store import CatalogStore, Series

SPIKE = {AssetClass.FX: 0.05, AssetClass.METAL: 0.10, AssetClass.INDEX: 0.10}
SPIKE_OTHER = 0.20
QUOTE_SPIKE_SHARE = 0.2
LARGEST_GAPS = 10
LONGEST_BAR_NS = 31 * DAY_NS
FINDINGS = ("duplicates", "disorder", "non_positive", "off_tick", "ohlc", "crossed", "spikes", "outside")

type Int64s = NDArray[np.int64]
type Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A run of due slots without rows: from the first to the end of the last, UTC ns."""

    start_ns: int
    end_ns: int
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """`name` is ``2019-03`` (UTC); slots due, slots filled by sound rows."""

    name: str
    due: int
    sound: int

    @property
    def percent(self) -> float:
        return 100.0 * self.sound / self.due if self.due else 100.0


@dataclass(slots=True, kw_only=True)
class SeriesQuality:
    """Findings of one series; `first_ns` holds the time of the first row of each kind."""

    series: Series
    start_ns: int = 0  # the range judged, both inclusive
    end_ns: int = 0
    rows: int = 0
    due: int = 0
    sound: int = 0
    missing: int = 0
    gap_count: int = 0
    gaps: tuple[Gap, ...] = ()  # the largest
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FINDINGS, 0))
    first_ns: dict[str, int] = field(default_factory=dict)
    months: tuple[Month, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def percent(self) -> float:
        return 100.0 * self.sound / self.due if self.due else 0.0

    def count(self, kind: str, mask: Bools, ts_ns: Int64s) -> None:
        if mask.any():
            self.counts[kind] += int(mask.sum())
            self.first_ns.setdefault(kind, int(ts_ns[np.argmax(mask)]))


def check_series(
    store: CatalogStore,
    series: Series,
    specs: Mapping[str, SymbolSpec] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
) -> SeriesQuality:
    """Read a series and judge it against its symbol.

    Parameters
    ----------
    specs
        Symbols by name. Left out: as the broker told them at the end of the series, where it did, else the table's.
    start_ns, end_ns
        UTC range of row times (end excluded); slots of it before the first and after the last stored row are missing
        ones. Left out: from the first row to the last.

    Raises
    ------
    ConfigurationError
        The series' symbol is in no table.
    DataError
        A stored file cannot be read.
    """
    spec = symbol_table.find(specs if specs is not None else _known(store, series), series.symbol)
    quality = SeriesQuality(series=series)
    if series.digits != spec.digits:
        quality.notes = (f"stored with {series.digits} digits, {spec.name} has {spec.digits}",)
    period = parse_period(series.period) if series.kind == "bars" else slots.QUOTE_SLOT
    clock = slots.grid_clock(_clock_of(store, series), period)
    tick = 10 ** max(0, series.digits - spec.digits)
    held: list[Int64s] = []
    filled: list[Int64s] = []
    judged = _judge_bars if series.kind == "bars" else _judge_quotes
    for ts_ns, bad in judged(store, series, spec, tick, quality, start_ns, end_ns):
        quality.rows += len(ts_ns)
        is_bars = series.kind == "bars"
        local = slots.bar_open_local(ts_ns, period, clock) if is_bars else to_local(ts_ns, clock)
        held.append(np.unique(slots.slot_of(local, period)))
        filled.append(np.unique(slots.slot_of(local[~bad], period)))
    present, sound = (np.unique(np.concatenate(found)) if found else np.empty(0, np.int64) for found in (held, filled))
    quality.start_ns = series.start_ns if start_ns is None else start_ns
    quality.end_ns = series.end_ns if end_ns is None else end_ns - 1
    _compare_slots(quality, spec, present, sound, period, clock)
    return quality


def _known(store: CatalogStore, series: Series) -> dict[str, SymbolSpec]:
    """The broker's own symbols before the table's. A broker tells the holidays it has now; earlier ones are the
    table's, if it counts its hours on the same clock."""
    table = symbol_table.load()
    told = spec_store.stored(store.path, series.end_ns).get(series.symbol)
    if told is None:
        return table
    own = table.get(series.symbol)
    if own is not None and own.hours.zone == told.hours.zone:
        days = {(h.day, h.yearly) for h in told.hours.holidays}
        earlier = tuple(h for h in own.hours.holidays if (h.day, h.yearly) not in days)
        told = replace(told, hours=replace(told.hours, holidays=told.hours.holidays + earlier))
    return table | {series.symbol: told}


def _compare_slots(
    quality: SeriesQuality, spec: SymbolSpec, present: Int64s, sound: Int64s, period: BarPeriod, clock: ServerClock
) -> None:
    start_ns, end_ns = quality.start_ns, quality.end_ns
    is_bars = quality.series.kind == "bars"
    due = slots.due_slots(
        spec.hours, start_ns - LONGEST_BAR_NS if is_bars else start_ns, max(end_ns, start_ns + 1), period, clock
    )
    if is_bars:  # stored at their close, which is the opening of the next
        closes = slots.slot_start(due + 1, period, clock)
        due = due[(closes >= start_ns) & (closes <= end_ns)]
    is_held, is_filled = (np.isin(due, found, assume_unique=True) for found in (present, sound))
    outside = np.setdiff1d(present, due, assume_unique=True)
    if len(outside):
        quality.counts["outside"] = len(outside)
        quality.first_ns["outside"] = int(slots.slot_start(outside[:1], period, clock)[0])
    quality.due, quality.sound = len(due), int(is_filled.sum())
    quality.missing = quality.due - int(is_held.sum())
    starts = slots.slot_start(due, period, clock)
    quality.gap_count, quality.gaps = _gaps(due, is_held, period, clock)
    names, index = np.unique(starts.astype("datetime64[ns]").astype("datetime64[M]"), return_inverse=True)
    dues, sounds = np.bincount(index), np.bincount(index, weights=is_filled)
    quality.months = tuple(
        Month(name=str(n), due=int(d), sound=int(s)) for n, d, s in zip(names, dues, sounds, strict=True)
    )


def _gaps(due: Int64s, is_held: Bools, period: BarPeriod, clock: ServerClock) -> tuple[int, tuple[Gap, ...]]:
    """Runs of empty slots among the due ones: a night or a weekend between two of them does not end a run."""
    edges = np.diff(np.concatenate(([0], (~is_held).astype(np.int8), [0])))
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    if not len(first):
        return 0, ()
    lengths = last - first + 1
    largest = np.sort(np.argsort(-lengths, kind="stable")[:LARGEST_GAPS])
    begins = slots.slot_start(due[first[largest]], period, clock)
    ends = slots.slot_start(due[last[largest]] + 1, period, clock)
    return len(first), tuple(
        Gap(start_ns=int(b), end_ns=int(e), slots=int(n))
        for b, e, n in zip(begins, ends, lengths[largest], strict=True)
    )


def _judge_bars(
    store: CatalogStore,
    series: Series,
    spec: SymbolSpec,
    tick: int,
    quality: SeriesQuality,
    start_ns: int | None,
    end_ns: int | None,
) -> Iterator[tuple[Int64s, Bools]]:
    other = store.bar_series(series.symbol, series.period, "BID") if series.side == "ASK" else None
    limit = SPIKE.get(spec.asset_class, SPIKE_OTHER)
    last_ns, last_close = np.iinfo(np.int64).min, None
    chunks = store.bar_chunks(series.symbol, series.period, series.side, start_ns, end_ns)
    for chunk, behind in _followed(chunks):
        ts, prices = chunk.ts_ns, np.stack([chunk.open, chunk.high, chunk.low, chunk.close])
        bad = _times(quality, ts, last_ns, equal_is_bad=True) | _values(quality, prices, tick, ts)
        shape = (chunk.high < prices[[0, 3]].max(axis=0)) | (chunk.low > prices[[0, 3]].min(axis=0))
        quality.count("ohlc", shape, ts)
        around = _around(chunk.open, chunk.close, last_close, None if behind is None else int(behind.open[0]), limit)
        spikes = _spikes(chunk.high, chunk.low, around, limit)
        quality.count("spikes", spikes, ts)
        bad |= shape | spikes
        if other is not None:
            bad |= _crossed_bars(store, other, chunk, quality)
        last_ns, last_close = int(ts[-1]), int(chunk.close[-1])
        yield ts, bad


def _judge_quotes(
    store: CatalogStore,
    series: Series,
    spec: SymbolSpec,
    tick: int,
    quality: SeriesQuality,
    start_ns: int | None,
    end_ns: int | None,
) -> Iterator[tuple[Int64s, Bools]]:
    limit = SPIKE.get(spec.asset_class, SPIKE_OTHER) * QUOTE_SPIKE_SHARE
    last_ns, last_bid = np.iinfo(np.int64).min, None
    for chunk, behind in _followed(store.quote_chunks(series.symbol, start_ns, end_ns)):
        ts = chunk.ts_ns
        bad = _times(quality, ts, last_ns, equal_is_bad=False)
        bad |= _values(quality, np.stack([chunk.bid, chunk.ask]), tick, ts)
        wrong = crossed([chunk.bid], [chunk.ask])
        quality.count("crossed", wrong, ts)
        around = _around(chunk.bid, chunk.bid, last_bid, None if behind is None else int(behind.bid[0]), limit)
        spikes = _spikes(chunk.bid, chunk.bid, around, limit)
        quality.count("spikes", spikes, ts)
        last_ns, last_bid = int(ts[-1]), int(chunk.bid[-1])
        yield ts, bad | wrong | spikes


def _times(quality: SeriesQuality, ts: Int64s, last_ns: int, *, equal_is_bad: bool) -> Bools:
    before = np.maximum.accumulate(np.concatenate(([last_ns], ts)))[:-1]
    disorder = ts < before
    quality.count("disorder", disorder, ts)
    if not equal_is_bad:
        return np.asarray(disorder)
    equal = ts == before
    quality.count("duplicates", equal, ts)
    return np.asarray(disorder | equal)


def _values(quality: SeriesQuality, prices: Int64s, tick: int, ts: Int64s) -> Bools:
    non_positive = (prices <= 0).any(axis=0)
    quality.count("non_positive", non_positive, ts)
    if tick == 1:
        return np.asarray(non_positive)
    off_tick = (prices % tick != 0).any(axis=0)
    quality.count("off_tick", off_tick, ts)
    return np.asarray(non_positive | off_tick)


def _followed[T](chunks: Iterable[T]) -> Iterator[tuple[T, T | None]]:
    """Each chunk with the one behind it; None behind the last."""
    held: T | None = None
    for chunk in chunks:
        if held is not None:
            yield held, chunk
        held = chunk
    if held is not None:
        yield held, None


def _around(
    opens: Int64s, closes: Int64s, before: int | None, after: int | None, limit: float
) -> tuple[Int64s, Int64s]:
    """The price in front of each row and the one behind it; `before` and `after` the rows, None where there is nothing."""

    def outer(own: int, touching: int, inner: list[int]) -> int:
        """What stands for the side without a row: the row itself, or if it does not touch its neighbour the one beyond."""
        return inner[-1] if inner and abs(touching - inner[0]) > limit * abs(inner[0]) else own

    inward = opens[1:3].tolist() or ([] if after is None else [after])
    backward = closes[-2:-4:-1].tolist() or ([] if before is None else [before])
    if before is None:
        before = outer(int(opens[0]), int(closes[0]), inward)
    if after is None:
        after = outer(int(closes[-1]), int(opens[-1]), backward)
    return np.concatenate(([before], closes[:-1])), np.concatenate((opens[1:], [after]))


def _spikes(highs: Int64s, lows: Int64s, around: tuple[Int64s, Int64s], limit: float) -> Bools:
    """Rows that reach too far from both the price before and the one after."""
    low, high = (reach(*around).astype(np.float64) for reach in (np.minimum, np.maximum))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((highs / high - 1 > limit) | (1 - lows / low > limit))


def _crossed_bars(store: CatalogStore, other: Series, chunk: BarColumns, quality: SeriesQuality) -> Bools:
    bid = store.bars(other.symbol, other.period, "BID", int(chunk.ts_ns[0]), int(chunk.ts_ns[-1]) + 1)
    _, mine, theirs = np.intersect1d(chunk.ts_ns, bid.ts_ns, return_indices=True)
    wrong = np.zeros(len(chunk), np.bool_)
    asks = [side[mine] for side in (chunk.open, chunk.high, chunk.low, chunk.close)]
    wrong[mine] = crossed([side[theirs] for side in (bid.open, bid.high, bid.low, bid.close)], asks)
    quality.count("crossed", wrong, chunk.ts_ns)
    return wrong


def _clock_of(store: CatalogStore, series: Series) -> ServerClock:
    """The clock the bars were made on, from the newest import that knows it."""
    for _, record in reversed(list(manifest.records(store.path))):
        rule = str(record.rules.get("zone", ""))
        if any(s.identifier == series.identifier for s in record.series) and rule and " " not in rule:
            return parse_clock(rule)
    return UTC_CLOCK
