"""History from a broker into the catalog: what is missing, piece by piece, each stored before the next is asked for.

Theory. A range is cut into pieces (a day of ticks, some 50,000 periods of bars), and a piece is stored together with
the note that it was read (`download_store`). What was read is not asked for again, so a download that was cut short
goes on where it stopped, and one that is complete asks for nothing. Two things are never noted as read: bars that have
not closed, and an empty end of the last days, where the broker's history may only be late.

Where history begins. A broker keeps ticks for months and bars for years, and years of empty pieces cost hours at five
requests a second. When the first piece of a long range is empty, the beginning is looked for by halving, on the ground
that a history which has begun goes on; a piece counts as empty only when its neighbours before it are empty too, so
that a holiday is not taken for the end of the world. The beginning found is told and recorded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from pepperstone_adapter.broker.events import BrokerEvent, LinkDown, LinkUp, Notice
from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.broker.server_time import ServerClock
from pepperstone_adapter.broker.session import BrokerSession
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.catalog import coverage
from pepperstone_adapter.catalog.bad_rows import BadRows
from pepperstone_adapter.catalog.columns import Chunk
from pepperstone_adapter.catalog.coverage import Interval
from pepperstone_adapter.catalog.download_rows import bar_columns, quote_columns
from pepperstone_adapter.catalog.download_store import DownloadSeries
from pepperstone_adapter.catalog.periods import longest_ns
from pepperstone_adapter.common.errors import ConfigurationError, LinkError, LinkLost, NotFound, RateLimited
from pepperstone_adapter.mapping.data import bar_close_ns

NS = 1_000_000_000
DAY_NS = 86_400 * NS
PIECE_BARS = 50_000
LATE_NS = 7 * DAY_NS  # an empty end younger than this is asked for again next time
SETTLE_NS = 10 * NS  # a bar that closed just now may still be on its way into the broker's history
SEARCH_FROM_PIECES = 8  # shorter ranges are simply read
EMPTY_TICK_DAYS = 3  # days of trading hours without a tick that mean: not begun
TRIES = 6
LINK_PATIENCE_S = 300.0
EMPTY = Chunk(np.empty(0, np.int64), {})


@dataclass(frozen=True, slots=True)
class Wish:
    """One series and the range wanted: openings of bars, or stamps of ticks (`period` None), in ``[start, end)``."""

    symbol: str
    period: BarPeriod | None
    start_ns: int
    end_ns: int


@dataclass(slots=True)
class Outcome:
    """What a download of one series came to.

    Attributes
    ----------
    rows, stored
        Rows received in this run, and how many of them were new in the catalog.
    pieces
        Pieces read in this run; 0 when everything had been read before.
    begins_ns
        The broker's history begins here, which is later than the range asked for; None otherwise.
    lost
        Stretches of the range that were read before and whose files are gone: they are asked for again.
    """

    wish: Wish
    series: DownloadSeries
    rows: int = 0
    stored: int = 0
    pieces: int = 0
    begins_ns: int | None = None
    lost: tuple[Interval, ...] = ()
    bad: BadRows = field(default_factory=BadRows)


class LinkWatch:
    """Takes the events of a session: whether its link is up, and the notices a person should read.

    What a notice says of the rows of one piece is left out: a download counts it over all of them.
    """

    def __init__(self, on_notice: Callable[[Notice], None] = lambda _notice: None) -> None:
        self._up = asyncio.Event()
        self._on_notice = on_notice
        self.fault: str | None = None

    def __call__(self, events: Sequence[BrokerEvent]) -> None:
        for event in events:
            if isinstance(event, LinkUp):
                self._up.set()
            elif isinstance(event, LinkDown):
                self._up.clear()
                if event.permanent:
                    self.fault = event.reason
                    self._up.set()  # nobody need wait for it
            elif isinstance(event, Notice) and not event.of_rows:
                self._on_notice(event)

    async def wait_up(self, timeout_s: float) -> None:
        """Return when the link is up.

        Raises
        ------
        LinkLost
            It did not come up in time, or cannot any more.
        """
        try:
            await asyncio.wait_for(self._up.wait(), timeout_s)
        except TimeoutError:
            raise LinkLost(
                f"the link to the broker was down for {timeout_s:g} s; what was downloaded is stored: "
                "run the same command again to go on"
            ) from None
        if self.fault is not None:
            raise LinkLost(f"the link to the broker is down for good: {self.fault}")


class Download:
    """Downloads series over one connected session, one after the other.

    Parameters
    ----------
    specs
        The broker's symbols by name.
    source
        Whose prices these are (platform, environment, masked account, broker): stands in the manifest.
    now_ns
        The time; nothing after it is asked for.
    on_progress
        Called after each piece with the series' outcome so far, pieces done and pieces in all.
    replace_stored
        Ask for everything in range again and put it in place of what is stored.
    """

    def __init__(
        self,
        session: BrokerSession,
        watch: LinkWatch,
        catalog: Path,
        specs: dict[str, SymbolSpec],
        source: str,
        now_ns: Callable[[], int],
        on_progress: Callable[[Outcome, int, int], None] = lambda _outcome, _done, _total: None,
        *,
        replace_stored: bool = False,
    ) -> None:
        self._session, self._watch = session, watch
        self._catalog, self._specs, self._source = catalog, specs, source
        self._now_ns = now_ns
        self._on_progress = on_progress
        self._replace = replace_stored

    async def fetch(self, wish: Wish) -> Outcome:
        """Download one series.

        Raises
        ------
        DataError
            Stored rows contradict the broker's (`replace_stored` puts the broker's in their place).
        LinkError, VenueError
            The broker could not be reached or refused; what was stored before stays.
        """
        spec = self._specs[wish.symbol]
        periods = self._session.capabilities.bar_periods
        if wish.period is not None and wish.period not in periods:
            raise ConfigurationError(f"this broker has no {wish.period} bars; it has {', '.join(periods)}")
        series = DownloadSeries(self._catalog, spec, wish.period, self._source)
        return await _Run(self, wish, series).run()


class _Run:
    """One series: its pieces and their order."""

    def __init__(self, download: Download, wish: Wish, series: DownloadSeries) -> None:
        self._d, self._wish, self._series = download, wish, series
        self._outcome = Outcome(wish=wish, series=series)
        self._read: dict[int, bool] = {}  # piece -> whether it had rows
        self._late: dict[int, int] = {}  # piece -> from where it was empty and may yet fill
        self._pieces: tuple[Interval, ...] = ()
        self._horizon_ns = 0
        self._refused: dict[int, NotFound] = {}
        self._first_ns: int | None = None  # the earliest row seen in this run

    async def run(self) -> Outcome:
        wish, outcome = self._wish, self._outcome
        self._horizon_ns = self._d._now_ns() - SETTLE_NS
        end_ns = min(wish.end_ns, self._horizon_ns)
        done: tuple[Interval, ...] = ()
        if not self._d._replace:
            done = self._series.covered()
            outcome.lost = coverage.within(self._series.lost(), wish.start_ns, end_ns)
        begins = self._series.begins_ns()
        if begins is not None and begins > wish.start_ns:
            outcome.begins_ns = begins
        self._pieces = coverage.pieces(coverage.missing(done, wish.start_ns, end_ns), piece_ns(wish.period))
        first = 0 if self._d._replace else await self._find_beginning(done)
        self._tell(first)
        for index in range(first, len(self._pieces)):
            if index not in self._read:
                await self._take(index)
                self._tell(first)
        self._check_holes(done)
        await self._note_beginning(done)
        return outcome

    def _tell(self, skipped: int) -> None:
        done = sum(index >= skipped for index in self._read)
        self._d._on_progress(self._outcome, done, len(self._pieces) - skipped)

    # -- where history begins -------------------------------------------------------------------------------------

    async def _find_beginning(self, done: Sequence[Interval]) -> int:
        """The first piece worth reading; everything before it is marked as read and empty."""
        trading = [i for i, piece in enumerate(self._pieces) if self._trades(piece)]
        if len(trading) < SEARCH_FROM_PIECES or await self._take(trading[0]):
            return 0
        low, high = 0, len(trading)  # positions in `trading`: not begun, begun
        if await self._take(trading[-1]):
            high -= 1
        elif not any(start >= self._pieces[-1][1] for start, _ in done):
            return 0  # nothing here and nothing known after it: the beginning cannot be told
        while high - low > 1:
            middle = (low + high) // 2
            begun = await self._first_begun(trading, low, middle)
            low, high = (middle, high) if begun is None else (low, begun)
        first = trading[low] + 1
        for index in range(first, trading[high] if high < len(trading) else len(self._pieces)):
            await self._take(index)  # a weekend, say, whose evening already had some
        before = (self._pieces[0][0], self._pieces[first - 1][1])
        begins_ns = self._outcome.begins_ns = before[1] if self._first_ns is None else self._first_ns
        await asyncio.to_thread(self._series.store, EMPTY, before, BadRows(), begins_ns=begins_ns)
        return first

    async def _note_beginning(self, done: Sequence[Interval]) -> None:
        """Say so when a range that was simply read turned out to reach beyond the broker's history."""
        wish, first_ns = self._wish, self._first_ns
        read_from_start = bool(self._pieces) and self._pieces[0][0] == wish.start_ns
        if self._outcome.begins_ns is None and first_ns is not None and read_from_start:
            earlier = any(start < first_ns for start, _ in done)
            if not earlier and first_ns - wish.start_ns > LATE_NS:
                self._outcome.begins_ns = first_ns
                span = (wish.start_ns, first_ns)
                await asyncio.to_thread(self._series.store, EMPTY, span, BadRows(), begins_ns=first_ns)

    async def _first_begun(self, trading: Sequence[int], low: int, middle: int) -> int | None:
        """The position of a piece with rows at or just before `middle`; None when all looked at are empty."""
        looked_at = EMPTY_TICK_DAYS if self._wish.period is None else 1
        for position in islice(range(middle, low, -1), looked_at):
            if await self._take(trading[position]):
                return position
        return None

    def _trades(self, piece: Interval) -> bool:
        hours = self._series.spec.hours
        return 2 * sum(b - a for a, b in hours.open_intervals(*piece)) >= piece[1] - piece[0]

    def _check_holes(self, done: Sequence[Interval]) -> None:
        """A terminal may refuse what is before its history; refused anywhere else a piece is missing, and not marked as
        read. Raises that refusal."""
        first = min((index for index, had_rows in self._read.items() if had_rows), default=-1)
        for index, error in self._refused.items():
            if index > first or any(start < self._pieces[index][0] for start, _ in done):
                raise error

    # -- one piece ------------------------------------------------------------------------------------------------

    async def _take(self, index: int) -> bool:
        """Read and store a piece; say whether it had rows."""
        if index in self._read:
            return self._read[index]
        start, end = self._pieces[index]
        outcome, bad = self._outcome, BadRows()
        try:
            rows = await self._ask(start, end)
        except NotFound as error:
            self._refused[index], self._read[index] = error, False
            outcome.pieces += 1
            return False
        chunk = self._columns(rows, bad)
        read = (self._read_from(index, rows), self._read_to(index, rows))
        if read[1] < end:
            self._late[index] = max(read[1], start)
        if len(chunk) or read[0] < read[1]:
            # Writing takes its time, and the session's events must be taken meanwhile.
            outcome.stored += await asyncio.to_thread(
                self._series.store, chunk, read, bad, replace_stored=self._d._replace
            )
        outcome.rows += len(chunk)
        outcome.pieces += 1
        for kind, entry in bad.kinds.items():
            outcome.bad.add(kind, entry.count, text=entry.text)
        for note, count in bad.notes.items():
            outcome.bad.note(note, count)
        if rows:
            opened = rows[0].open_ns if isinstance(rows[0], Bar) else rows[0].ts_ns
            self._first_ns = opened if self._first_ns is None else min(self._first_ns, opened)
        self._read[index] = bool(rows)
        return self._read[index]

    def _columns(self, rows: Sequence[Bar] | Sequence[Tick], bad: BadRows) -> Chunk:
        period = self._wish.period
        if period is None:
            return quote_columns([row for row in rows if isinstance(row, Tick)], bad)
        clock = self._d._session.capabilities.server_clock
        return bar_columns([row for row in rows if isinstance(row, Bar)], period, bad, clock)

    def _read_to(self, index: int, rows: Sequence[Bar] | Sequence[Tick]) -> int:
        """How far a piece counts as read: not beyond what has closed, nor over an empty end of the last days."""
        start, end = self._pieces[index]
        seen = _after(rows, start, self._d._session.capabilities.server_clock)
        period = self._wish.period
        closed = self._horizon_ns - (0 if period is None else longest_ns(period))
        later_rows = any(had_rows for other, had_rows in self._read.items() if other > index)
        if end > self._horizon_ns - LATE_NS and not later_rows:
            closed = min(closed, self._horizon_ns - LATE_NS)
        return min(end, max(seen, closed, start))

    def _read_from(self, index: int, rows: Sequence[Bar] | Sequence[Tick]) -> int:
        """Where the stretch begins that this piece completes: rows in it prove that the empty end of the pieces just
        before it was no late history."""
        start = self._pieces[index][0]
        while rows and index - 1 in self._late and self._pieces[index - 1][1] == start:
            index -= 1
            start = self._late.pop(index)
            if start > self._pieces[index][0]:
                break
        return start

    async def _ask(self, start: int, end: int) -> Sequence[Bar] | Sequence[Tick]:
        wish, session = self._wish, self._d._session
        period = wish.period
        if period is None:
            return await self._patiently(lambda: session.history_ticks(wish.symbol, start, end))
        bars = await self._patiently(lambda: session.history_bars(wish.symbol, period, start, end))
        clock = session.capabilities.server_clock
        return [bar for bar in bars if bar.closed and bar_close_ns(period, bar.open_ns, clock) <= self._horizon_ns]

    async def _patiently[T](self, work: Callable[[], Awaitable[Sequence[T]]]) -> Sequence[T]:
        """Wait out rate limits and lost links; history may be asked for as often as need be."""
        tries = 0
        while True:
            try:
                return await work()
            except RateLimited as error:
                tries += 1
                if tries >= TRIES:
                    raise
                await asyncio.sleep(max(error.retry_after_s, 2.0**tries))
            except LinkError:
                tries += 1
                if tries >= TRIES:
                    raise
                await asyncio.sleep(min(0.1 * 2.0**tries, 5.0))  # the session says so itself when its link is down
                await self._d._watch.wait_up(LINK_PATIENCE_S)


def piece_ns(period: BarPeriod | None) -> int:
    """Length of a piece: a day of ticks, `PIECE_BARS` periods of bars."""
    return DAY_NS if period is None else PIECE_BARS * longest_ns(period)


def _after(rows: Sequence[Bar] | Sequence[Tick], start: int, clock: ServerClock) -> int:
    """The end of what the rows cover for certain; `start` where there are none."""
    if not rows:
        return start
    last = rows[-1]
    return bar_close_ns(last.period, last.open_ns, clock) if isinstance(last, Bar) else last.ts_ns + 1
