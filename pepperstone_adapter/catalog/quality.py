"""How good a stored series is: rows that cannot be right, slots without rows, and one percentage per month.

quality = slots filled by sound rows / slots due by the symbol's trading hours; a slot is a bar's period, for quotes
five minutes. All findings but the last lower it.

* missing, gaps: due slots without any row, and runs of them.
* duplicates, disorder: equal or falling times of bars, falling times of quotes.
* off_grid: bars that open where no bar of their period does (an hour of 9:17).
* non_positive, digits, off_tick, ohlc, crossed: prices that cannot be, with more digits than the series is said to have, off
  the symbol's digits, high below low, bid above ask.
* spikes: one row, or two in a row, away from the rows before *and* after by more than 5 % (FX), 10 % (metals, indices),
  20 % (others); for quotes by a fifth of it.
* outside: slots filled while the symbol is closed by its trading hours.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from pepperstone_adapter.catalog.rows import BarColumns, QuoteColumns, join_bars, join_quotes
from pepperstone_adapter.catalog.spikes import REACH, spikes
from pepperstone_adapter.catalog.store import CatalogStore, Series
from pepperstone_adapter.common.arrays import distinct

SPIKE = {AssetClass.FX: 0.05, AssetClass.METAL: 0.10, AssetClass.INDEX: 0.10}
SPIKE_OTHER = 0.20
QUOTE_SPIKE_SHARE = 0.2
LARGEST_GAPS = 10
LONGEST_BAR_NS = 31 * DAY_NS
FINDINGS = (
    "duplicates", "disorder", "off_grid", "non_positive", "digits", "off_tick", "ohlc", "crossed", "spikes", "outside",
)  # fmt: skip

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
    """`name` is ``2019-03`` (UTC); slots due, slots filled by sound rows; how many rows of each kind were found."""

    name: str
    due: int
    sound: int
    findings: Mapping[str, int] = field(default_factory=dict)

    @property
    def percent(self) -> float:
        return 100.0 * self.sound / self.due if self.due else 100.0


@dataclass(slots=True, kw_only=True)
class SeriesQuality:
    """Findings of one series; `first_ns` holds the time of the first row of each kind, `by_month` month -> kind -> rows."""

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
    by_month: dict[str, Counter[str]] = field(default_factory=dict)
    months: tuple[Month, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def percent(self) -> float:
        return 100.0 * self.sound / self.due if self.due else 0.0

    def count(self, kind: str, mask: Bools, ts_ns: Int64s) -> None:
        if not mask.any():
            return
        found = ts_ns[mask]
        self.counts[kind] += len(found)
        self.first_ns.setdefault(kind, int(found[0]))
        # A bar that ends with a month belongs to it.
        for name, rows in zip(
            *np.unique(_months(found - (self.series.kind == "bars")), return_counts=True), strict=True
        ):
            self.by_month.setdefault(str(name), Counter())[kind] += int(rows)


def _months(ts_ns: Int64s) -> NDArray[np.datetime64]:
    return ts_ns.astype("datetime64[ns]").astype("datetime64[M]")


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
    told = _clock_of(store, series)
    clock = slots.grid_clock(told or UTC_CLOCK, period)
    tick = 10 ** max(0, series.digits - spec.digits)
    held: list[Int64s] = []
    filled: list[Int64s] = []
    judged = _judge_bars if series.kind == "bars" else _judge_quotes
    grid = slots.Grid(period, known=told is not None)
    for ts_ns, bad in judged(store, series, spec, tick, quality, start_ns, end_ns):
        quality.rows += len(ts_ns)
        is_bars = series.kind == "bars"
        local = slots.bar_open_local(ts_ns, period, clock) if is_bars else to_local(ts_ns, clock)
        if is_bars:
            off_grid = grid.off(local)
            quality.count("off_grid", off_grid, ts_ns)
            bad |= off_grid
        held.append(distinct(slots.slot_of(local, period)))
        filled.append(distinct(slots.slot_of(local[~bad], period)))
    present, sound = (distinct(np.concatenate(found)) if found else np.empty(0, np.int64) for found in (held, filled))
    quality.start_ns = series.start_ns if start_ns is None else start_ns
    quality.end_ns = series.end_ns if end_ns is None else end_ns - 1
    _compare_slots(quality, spec, present, sound, period, clock)
    return quality


def _known(store: CatalogStore, series: Series) -> dict[str, SymbolSpec]:
    """The broker's own symbols before the table's."""
    told = spec_store.stored(store.path, series.end_ns).get(series.symbol)
    return symbol_table.load() | ({} if told is None else {series.symbol: with_past_holidays(told)})


def with_past_holidays(told: SymbolSpec) -> SymbolSpec:
    """A broker tells the holidays it has now; earlier ones are the table's, if it counts its hours on the same clock."""
    own = symbol_table.load().get(told.name)
    if own is None or own.hours.zone != told.hours.zone:
        return told
    days = {(h.day, h.yearly) for h in told.hours.holidays}
    earlier = tuple(h for h in own.hours.holidays if (h.day, h.yearly) not in days)
    return replace(told, hours=replace(told.hours, holidays=told.hours.holidays + earlier))


def _compare_slots(
    quality: SeriesQuality, spec: SymbolSpec, present: Int64s, sound: Int64s, period: BarPeriod, clock: ServerClock
) -> None:
    start_ns, end_ns = quality.start_ns, quality.end_ns
    is_bars = quality.series.kind == "bars"
    due = slots.due_slots(
        spec.hours, start_ns - LONGEST_BAR_NS if is_bars else start_ns, max(end_ns, start_ns) + 1, period, clock
    )
    if is_bars:  # stored at their close, which is the opening of the next
        closes = slots.slot_start(due + 1, period, clock)
        due = due[(closes >= start_ns) & (closes <= end_ns)]
    is_held, is_filled = (np.isin(due, found, assume_unique=True) for found in (present, sound))
    outside = np.setdiff1d(present, due, assume_unique=True)
    if len(outside):
        opens = slots.slot_start(outside, period, clock)
        quality.count("outside", np.ones(len(outside), np.bool_), opens + is_bars)
        quality.first_ns["outside"] = int(opens[0])
    quality.due, quality.sound = len(due), int(is_filled.sum())
    quality.missing = quality.due - int(is_held.sum())
    starts = slots.slot_start(due, period, clock)
    quality.gap_count, quality.gaps = _gaps(due, is_held, period, clock)
    names, index = np.unique(_months(starts), return_inverse=True)
    slots_of = dict(
        zip(map(str, names), zip(np.bincount(index), np.bincount(index, weights=is_filled), strict=True), strict=True)
    )
    quality.months = tuple(
        Month(name=name, due=int(d), sound=int(s), findings=dict(quality.by_month.get(name, {})))
        for name in sorted({*slots_of, *quality.by_month})
        for d, s in [slots_of.get(name, (0, 0))]
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
    last_ns, before = int(np.iinfo(np.int64).min), list[int]()
    chunks = store.bar_chunks(series.symbol, series.period, series.side, start_ns, end_ns, finer=True)
    for chunk, behind in _followed(chunks, join_bars):
        ts, prices = chunk.ts_ns, np.stack([chunk.open, chunk.high, chunk.low, chunk.close])
        bad = _times(quality, ts, last_ns, equal_is_bad=True) | _values(quality, prices, tick, ts, chunk.finer)
        shape = (chunk.high < prices[[0, 3]].max(axis=0)) | (chunk.low > prices[[0, 3]].min(axis=0))
        quality.count("ohlc", shape, ts)
        far = spikes((chunk.open, chunk.high, chunk.low, chunk.close), before, behind.open.tolist(), limit)
        quality.count("spikes", far, ts)
        bad |= shape | far
        if other is not None:
            bad |= _crossed_bars(store, other, chunk, quality)
        last_ns, before = max(last_ns, int(ts.max())), [*before, *chunk.close[-REACH:].tolist()][-REACH:]
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
    last_ns, before = int(np.iinfo(np.int64).min), list[int]()
    for chunk, behind in _followed(store.quote_chunks(series.symbol, start_ns, end_ns, finer=True), join_quotes):
        ts = chunk.ts_ns
        bad = _times(quality, ts, last_ns, equal_is_bad=False)
        bad |= _values(quality, np.stack([chunk.bid, chunk.ask]), tick, ts, chunk.finer)
        wrong = crossed([chunk.bid], [chunk.ask])
        quality.count("crossed", wrong, ts)
        far = spikes((chunk.bid,) * 4, before, behind.bid.tolist(), limit)
        quality.count("spikes", far, ts)
        last_ns, before = max(last_ns, int(ts.max())), [*before, *chunk.bid[-REACH:].tolist()][-REACH:]
        yield ts, bad | wrong | far


def _times(quality: SeriesQuality, ts: Int64s, last_ns: int, *, equal_is_bad: bool) -> Bools:
    before = np.maximum.accumulate(np.concatenate(([last_ns], ts)))[:-1]
    disorder = ts < before
    quality.count("disorder", disorder, ts)
    if not equal_is_bad:
        return np.asarray(disorder)
    equal = ts == before
    quality.count("duplicates", equal, ts)
    return np.asarray(disorder | equal)


def _values(quality: SeriesQuality, prices: Int64s, tick: int, ts: Int64s, finer: Bools | None) -> Bools:
    bad = (prices <= 0).any(axis=0)
    quality.count("non_positive", bad, ts)
    if finer is not None:
        quality.count("digits", finer, ts)
        bad |= finer
    if tick > 1:
        off_tick = (prices % tick != 0).any(axis=0)
        quality.count("off_tick", off_tick, ts)
        bad |= off_tick
    return np.asarray(bad)


def _followed[C: (BarColumns, QuoteColumns)](
    chunks: Iterable[C], join: Callable[[Sequence[C]], C]
) -> Iterator[tuple[C, C]]:
    """Each piece with the rows behind it that a look for spikes needs."""
    held: list[C] = []

    def behind() -> C:
        return join([chunk.take(slice(REACH)) for chunk in held[1:]]).take(slice(REACH))

    for chunk in chunks:
        held.append(chunk)
        while sum(map(len, held[1:])) >= REACH:
            yield held[0], behind()
            held.pop(0)
    while held:
        yield held[0], behind()
        held.pop(0)


def _crossed_bars(store: CatalogStore, other: Series, chunk: BarColumns, quality: SeriesQuality) -> Bools:
    bid = store.bars(other.symbol, other.period, "BID", int(chunk.ts_ns[0]), int(chunk.ts_ns[-1]) + 1)
    _, mine, theirs = np.intersect1d(chunk.ts_ns, bid.ts_ns, return_indices=True)
    wrong = np.zeros(len(chunk), np.bool_)
    asks = [side[mine] for side in (chunk.open, chunk.high, chunk.low, chunk.close)]
    wrong[mine] = crossed([side[theirs] for side in (bid.open, bid.high, bid.low, bid.close)], asks)
    quality.count("crossed", wrong, chunk.ts_ns)
    return wrong


def _clock_of(store: CatalogStore, series: Series) -> ServerClock | None:
    """The clock the bars were made on, from the newest import that knows it."""
    for _, record in reversed(list(manifest.records(store.path))):
        rule = str(record.rules.get("zone", ""))
        if any(s.identifier == series.identifier for s in record.series) and rule and " " not in rule:
            return parse_clock(rule)
    return None
