"""Blocks of a file to chunks in UTC, checked and in order: the steps between text and Parquet.

text -> points and wall clock (`parse`) -> UTC, bars stamped with their close (`zones`, `periods`) -> order and doubles
(`ordering`) -> chunks. Every step counts what it finds in one `BadRows`.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.server_time import UTC_CLOCK, FoldState, to_utc
from pepperstone_adapter.catalog import formats, periods, plausible
from pepperstone_adapter.catalog.bad_rows import BadRows
from pepperstone_adapter.catalog.columns import Bools, Chunk, Int64s
from pepperstone_adapter.catalog.ordering import LastOfEqual, Order, sort_chunks
from pepperstone_adapter.catalog.parse import BlockParser, Rows
from pepperstone_adapter.catalog.request import Reading
from pepperstone_adapter.catalog.source import OnProgress, read_blocks
from pepperstone_adapter.common.errors import DataError

EARLIEST_NS = 631_152_000_000_000_000  # 1990-01-01
DAY_NS = periods.DAY_NS
FAR_NS = np.iinfo(np.int64).max  # a time no row has
SPIKE = 0.2
SORT_WINDOW_ROWS = 500_000
_UNITS_PER_S = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class Pipeline:
    """Reads one file. `period` is known once the first chunk of bars has come out.

    Parameters
    ----------
    scratch
        An existing folder for the runs of a sort.
    """

    def __init__(self, reading: Reading, scratch: Path, on_progress: OnProgress | None = None) -> None:
        self.reading = reading
        self.bad = BadRows()
        self.period: BarPeriod | None = reading.period
        self.first_chunk: Chunk | None = None
        policy = reading.policy
        self._file = str(reading.source.path)
        self._parser = BlockParser(
            reading.form, reading.spec.digits, self.bad, policy.allow, round_digits=policy.round_digits
        )
        self._clock = reading.clock or UTC_CLOCK
        self._fold = FoldState()
        self._last_two = np.full((2, 2), FAR_NS)  # times and opens of the two bars before a block
        self._order = Order()
        self._as_written, self._disordered = Order(), False  # before a sort
        self._scratch = scratch
        self._on_progress = on_progress
        self._last_price = 0
        self._latest_ns = time.time_ns() + DAY_NS

    def chunks(self) -> Iterator[Chunk]:
        """Chunks in ascending time."""
        policy = self.reading.policy
        chunks = self._read()
        if policy.sort:
            chunks = map(self._judge_sorted, sort_chunks(chunks, self._scratch, SORT_WINDOW_ROWS))
        if policy.duplicates == "last":
            chunks = self._keep_last(chunks)
        for chunk in chunks:
            if len(chunk):
                self._note_spikes(chunk)
                yield chunk

    def refusal(self) -> DataError | None:
        """The error the rows read so far deserve."""
        return self.bad.refusal(self._file, self.reading.policy.tolerated)

    def _read(self) -> Iterator[Chunk]:
        for block in read_blocks(self.reading.source, self._on_progress):
            try:
                rows = self._parser.parse(block)
            except DataError as error:
                raise DataError(f"{self._file} {error}") from error
            chunk = self._in_utc(rows)
            if self.first_chunk is None and len(chunk):
                self._check_instrument(chunk)
                self.first_chunk = chunk
            yield chunk

    def _in_utc(self, rows: Rows) -> Chunk:
        if not len(rows):
            return Chunk(rows.ts_ns, self._values(rows))
        self._check_offsets(rows.utc)
        # Numbers since 1970 are UTC, unless a clock is given: then they count its wall clock, as MetaTrader's do.
        with_offset = bool(rows.utc[0]) and not (self.reading.form.epoch and self.reading.clock)
        clock = UTC_CLOCK if with_offset else self._clock
        local, period = rows.ts_ns, None
        if self.reading.form.kind == formats.BARS:
            likely = (local >= EARLIEST_NS) & (local <= self._latest_ns)
            if self.period is None and not likely.any():  # wrong times tell no period: the times are what is wrong
                self._parser.drop(rows, {"epoch": ~likely}, {"epoch": self._unit_hint()})
                return Chunk(rows.ts_ns, self._values(rows))
            period = self._known_period(local[likely])
        converted = to_utc(local, clock, self._fold, self._hour_again(rows) if period is BarPeriod.H1 else None)
        self._fold = converted.state
        self.bad.note("folded", converted.folded)
        utc = converted.ns
        bad: dict[str, Bools] = {"epoch": (utc < EARLIEST_NS) | (utc > self._latest_ns)}
        if converted.gap is not None:
            bad["gap"] = converted.gap
        if period is not None:
            if self.reading.form.stamp == "close":
                local = periods.open_times(local, period)
                closed = utc
            else:
                closed = periods.close_times(local, utc, period, clock)
            bad["off_period"] = periods.off_period(local, period)
            utc = closed
        rows.ts_ns = utc
        self._parser.drop(rows, bad, {"epoch": self._unit_hint()})
        if not self.reading.policy.sort:
            self._parser.drop(rows, self._order_masks(rows.ts_ns), keep_equal=self._keeps_equal())
        elif self.reading.form.carry:
            self._check_sides(rows.ts_ns)
        return Chunk(rows.ts_ns, self._values(rows))

    def _hour_again(self, rows: Rows) -> Bools:
        """H1 bars that stand where the row before them stands, are another bar than it, and come in a file that begins with
        the oldest. A copy of a bar, and the same bar read again when it was complete, have its open: of such a row nothing
        tells whether it is the hour's second pass, so it stays a double."""
        now = np.stack([rows.ts_ns, rows.prices[self.reading.form.price_roles[0]]])
        joined = np.concatenate([self._last_two, now], axis=1)
        self._last_two = joined[:, -2:]
        ts_ns, opens = joined
        return np.asarray((ts_ns[2:] == ts_ns[1:-1]) & (ts_ns[1:-1] > ts_ns[:-2]) & (opens[2:] != opens[1:-1]))

    def _check_sides(self, ts_ns: Int64s) -> None:
        """A blank side stands for the price before it, and what was before it only the order of recording knows."""
        self._disordered |= bool(self._as_written.judge(ts_ns)[0].any())
        if self._disordered and self._parser.carried:
            raise DataError(
                f"{self._file}: rows out of order and blank sides that stand for the price before them: no sorting brings "
                "those back; export it again, oldest row first"
            )

    def _values(self, rows: Rows) -> dict[str, Int64s]:
        return rows.prices if rows.ticks is None else {**rows.prices, "ticks": rows.ticks}

    def _check_offsets(self, utc: Bools) -> None:
        if utc.all():
            if self.reading.clock is not None and self.reading.form.clock is None and not self.reading.form.epoch:
                raise DataError(f"{self._file}: its times carry their own offset from UTC; leave --zone out")
        elif utc.any():
            raise DataError(f"{self._file}: some times carry an offset from UTC and some do not; export it again")
        elif self.reading.clock is None:
            raise DataError(f"{self._file}: its times carry no offset from UTC; give the clock with --zone")

    def _known_period(self, local_ns: Int64s) -> BarPeriod:
        if self.period is None:
            self.period = periods.tell_period(local_ns, self._file)
        return self.period

    def _unit_hint(self) -> str:
        given = self.reading.form.epoch
        for unit, per_s in _UNITS_PER_S.items() if given else ():
            likely = EARLIEST_NS / 1e9 <= self._parser.epoch_number / per_s <= self._latest_ns / 1e9
            if unit != given and likely:
                return f"the numbers look like {unit}, the column map says {given}"
        return ""

    def _keeps_equal(self) -> bool:
        """Whether rows of equal time pass: the step after this one keeps the last of them, or policy keeps all."""
        return self.reading.policy.duplicates == "last"

    def _order_masks(self, ts_ns: Int64s) -> dict[str, Bools]:
        before, equal = self._order.judge(ts_ns)
        masks = {"disorder": before}
        if self.reading.form.kind == formats.QUOTES and not self.reading.policy.duplicates:
            self.bad.note("same_time", int(equal.sum()))
        else:
            masks["duplicate"] = equal
        return masks

    def _judge_sorted(self, chunk: Chunk) -> Chunk:
        masks = self._order_masks(chunk.ts_ns)
        equal = masks.get("duplicate")
        if equal is None or not equal.any():
            return chunk
        self.bad.add("duplicate", int(equal.sum()))
        return chunk if self._keeps_equal() else chunk.take(~equal)

    def _keep_last(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        keeper = LastOfEqual()
        for chunk in chunks:
            yield keeper.feed(chunk)
        yield from keeper.rest()

    def _check_instrument(self, chunk: Chunk) -> None:
        if "instrument" not in self.reading.policy.allow:
            points = chunk.values[self.reading.form.price_roles[0]]
            plausible.check_digits(self.reading.spec, points, self._file)

    def _note_spikes(self, chunk: Chunk) -> None:
        role = self.reading.form.price_roles[-1] if self.reading.form.kind == formats.BARS else "bid"
        price = chunk.values[role].astype(np.float64)
        before = np.concatenate(([self._last_price or price[0]], price[:-1]))
        with np.errstate(divide="ignore", invalid="ignore"):
            self.bad.note("spike", int((np.abs(price / before - 1) > SPIKE).sum()))
        self._last_price = int(price[-1])
