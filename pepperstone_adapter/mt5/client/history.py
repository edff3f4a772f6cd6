"""Bars, ticks and deals of the past, in UTC; bars and ticks in pages.

The first request for old data may come back short or empty while the terminal still fetches it from the trade server.
So a page counts only when two reads in a row agree, with growing pauses between them.

Pages are short, because the terminal does one thing at a time: an order goes between two of them (see `gateway.dispatch`).
Before a symbol's history begins a terminal may refuse a page instead of giving an empty one; what is asked after the
first refused page is asked without long pauses. A refused page after a good one is a hole, and an error.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.broker.orders import Deal
from pepperstone_adapter.broker.server_time import ServerClock, to_utc
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import NotFound, VenueError
from pepperstone_adapter.mt5.client.constants import TIMEFRAMES
from pepperstone_adapter.mt5.client.market_rows import MarketRows
from pepperstone_adapter.mt5.client.stream_times import passes

NS: Final = 1_000_000_000
MS_NS: Final = 1_000_000
HOUR_S: Final = 3600
DAY_S: Final = 86_400
COPY_TICKS_INFO: Final = 1
PAGE_BARS: Final = 5_000
PAGE_TICKS_S: Final = 2 * 3600
TOO_LARGE: Final = "too_large"  # the gateway's word for an answer over its frame limit
NOT_YET: Final = ("-1", "-4")  # call failed, not found: nothing here, or nothing yet
PAUSES_S: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
BEFORE_S: Final = PAUSES_S[:3]  # for a page after a refused one

PERIOD_S: Final[dict[BarPeriod, int]] = {
    **{period: minutes * 60 for period, minutes in TIMEFRAMES.items() if minutes < 60},
    BarPeriod.H1: 3600,
    BarPeriod.H2: 2 * 3600,
    BarPeriod.H3: 3 * 3600,
    BarPeriod.H4: 4 * 3600,
    BarPeriod.H6: 6 * 3600,
    BarPeriod.H8: 8 * 3600,
    BarPeriod.H12: 12 * 3600,
    BarPeriod.D1: DAY_S,
    BarPeriod.W1: 7 * DAY_S,
    BarPeriod.MN1: 31 * DAY_S,
}

type Call = Callable[..., Awaitable[Any]]
type Pause = Callable[[float], Awaitable[None]]


def server_window(clock: ServerClock, start_ns: int, end_ns: int) -> tuple[int, int]:
    """Server seconds that hold ``[start_ns, end_ns)``: wider by an hour where the clock goes back in between."""
    first, last = clock.from_utc_ns(start_ns), clock.from_utc_ns(end_ns)
    more_s = HOUR_S if last - first < end_ns - start_ns else 0
    return first // NS - more_s, -(-last // NS) + more_s


async def bars(
    call: Call,
    read: MarketRows,
    spec: SymbolSpec,
    period: BarPeriod,
    start_ns: int,
    end_ns: int,
    clock: ServerClock,
    pause: Pause = asyncio.sleep,
) -> Sequence[Bar]:
    """Bars that open in ``[start_ns, end_ns)``, ascending, the forming one among them."""
    low, high = server_window(clock, start_ns, end_ns)
    step = PERIOD_S[period] * PAGE_BARS
    out: list[Bar] = []
    pages = _Pages(pause)
    for page_low in range(low, high, step):
        page_high = min(page_low + step, high)
        rows = await pages.read(
            partial(call, "copy_rates_range", spec.name, TIMEFRAMES[period], page_low, page_high - 1)
        )
        if rows is not None:
            out += [b for b in read.bars(rows, spec, period, clock) if start_ns <= b.open_ns < end_ns]
    pages.ended()
    return out


def is_closed(bar: Bar, clock: ServerClock, now_ns: int) -> bool:
    """Whether a bar's period is over, above an hour by the server's clock; months have their own lengths."""
    if PERIOD_S[bar.period] <= HOUR_S:
        return bar.open_ns + PERIOD_S[bar.period] * NS <= now_ns
    opened_s, now_s = clock.from_utc_ns(bar.open_ns) // NS, clock.from_utc_ns(now_ns) // NS
    if bar.period is not BarPeriod.MN1:
        late_s = opened_s % min(PERIOD_S[bar.period], DAY_S)  # where the clock left its first hour out
        return opened_s - late_s + PERIOD_S[bar.period] <= now_s
    opened = datetime.fromtimestamp(opened_s, UTC)
    following = datetime(opened.year + opened.month // 12, opened.month % 12 + 1, 1, tzinfo=UTC)
    return int(following.timestamp()) <= now_s


async def ticks(
    call: Call,
    read: MarketRows,
    spec: SymbolSpec,
    start_ns: int,
    end_ns: int,
    clock: ServerClock,
    pause: Pause = asyncio.sleep,
) -> Sequence[Tick]:
    """Quotes in ``[start_ns, end_ns)``, ascending, a missing side carried from the tick before."""
    low, high = server_window(clock, start_ns, end_ns)
    out: list[Tick] = []
    bid: int | None = None
    ask: int | None = None
    pages = _Pages(pause)
    for page_low in range(low, high, PAGE_TICKS_S):
        page_high = min(page_low + PAGE_TICKS_S, high)
        for rows in await _tick_pages(call, spec.name, page_low, page_high, pages):
            for tick in read.ticks(rows, spec, lambda stamps: to_utc(stamps * MS_NS, clock).ns):
                bid, ask = tick.bid or bid, tick.ask or ask
                if bid is not None and ask is not None and start_ns <= tick.ts_ns < end_ns:
                    out.append(Tick(spec.name, bid, ask, tick.ts_ns))
    pages.ended()
    # A page that cuts a repeated hour has a part of both of its passes.
    return sorted(out, key=lambda tick: tick.ts_ns)


async def deals(
    call: Call, read: Callable[[Any], Deal | None], start_ns: int, end_ns: int, clock: ServerClock
) -> Sequence[Deal]:
    """Deals in ``[start_ns, end_ns)`` in order of ticket; a stamp in an hour that happens twice is of the pass in the range."""
    low, high = server_window(clock, start_ns, end_ns)
    found = []
    for row in await _deal_rows(call, low - 1, high + 1):
        deal, moments = read(row), passes(clock, row["time_msc"] * MS_NS)
        at_ns = next((at for at in moments if start_ns <= at < end_ns), None)
        if deal is not None and at_ns is not None:
            found.append(replace(deal, ts_ns=at_ns))
    return sorted(found, key=lambda deal: int(deal.deal_id))


async def _deal_rows(call: Call, low: int, high: int) -> list[Any]:
    """Deals of the server's seconds ``[low, high]``; halved where those of an account do not fit into one answer."""
    try:
        return list(await call("history_deals_get", low, high))
    except VenueError as error:
        if error.code != TOO_LARGE or high <= low:
            raise
        middle = (low + high) // 2
        return [*await _deal_rows(call, low, middle), *await _deal_rows(call, middle + 1, high)]


async def _tick_pages(call: Call, symbol: str, low: int, high: int, pages: "_Pages") -> list[Any]:
    """Ticks of the server's seconds ``[low, high)``; halved where a busy symbol's do not fit into one answer."""
    try:
        rows = await pages.read(partial(call, "copy_ticks_range", symbol, low, high, COPY_TICKS_INFO))
    except VenueError as error:
        if error.code != TOO_LARGE or high - low < 2:
            raise
        middle = (low + high) // 2
        return [
            page for part in ((low, middle), (middle, high)) for page in await _tick_pages(call, symbol, *part, pages)
        ]
    if rows is None:
        return []
    # Both ends of a range are inclusive to the millisecond: stop one second early, the next page begins there.
    return [rows[rows["time"] < high]]


class _Pages:
    """The pages of one request, oldest first: where history begins, and whether it has a hole."""

    def __init__(self, pause: Pause) -> None:
        self._pause = pause
        self._refused = self._found = False

    async def read(self, page: Callable[[], Awaitable[Any]]) -> Any:
        """The rows of a page; None before history begins. Raises `NotFound` for a hole."""
        rows = await _settled(page, self._pause, BEFORE_S if self._refused and not self._found else PAUSES_S)
        self._refused |= rows is None
        self._found |= rows is not None
        if rows is None and self._found:
            raise NotFound("-4", "the terminal refused a part of the history and gave what is before it; ask again")
        return rows

    def ended(self) -> None:
        """No more pages. Raises `NotFound` when every one was refused."""
        if self._refused and not self._found:
            raise NotFound("-4", "the terminal has no such history")


async def _settled(read: Callable[[], Awaitable[Any]], pause: Pause, pauses_s: Sequence[float]) -> Any:
    """Rows that two reads agreed upon, or those of the last; None when it was refused."""
    before: int | None = None
    rows: Any = ()
    for pause_s in pauses_s:
        await pause(pause_s)
        try:
            rows = await read()
        except VenueError as error:
            if error.code not in NOT_YET:
                raise
            rows = None
        size = -1 if rows is None else len(rows)
        if size == before and size >= 0:
            return rows
        before = size
    return rows
