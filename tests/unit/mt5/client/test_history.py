"""Pages of history over a terminal of plain functions."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from pepperstone_adapter.broker.market import Bar, BarPeriod
from pepperstone_adapter.broker.server_time import NEW_YORK_CLOCK, UTC_CLOCK
from pepperstone_adapter.common.errors import NotFound, VenueError
from pepperstone_adapter.mt5.client import history, parsing
from pepperstone_adapter.mt5.client.market_rows import MarketRows
from pepperstone_adapter.mt5.gateway.wire import RATES_DTYPE, TICKS_DTYPE
from tests.kit import mt5_rows
from tests.kit.mt5_rows import spec

NS = 1_000_000_000
FIRST_S = 1_600_000_000
ROWS = MarketRows(lambda _events: None, lambda: 2_000_000_000 * NS)


def test_a_page_of_ticks_too_large_for_one_answer_is_halved_until_it_fits() -> None:
    seconds = 4000
    ticks = np.zeros(seconds, TICKS_DTYPE)  # one tick a second
    ticks["time"] = FIRST_S + np.arange(seconds)
    ticks["time_msc"] = ticks["time"] * 1000
    ticks["bid"], ticks["ask"] = 1.1, 1.2
    asked: list[int] = []

    async def call(_fn: str, _symbol: str, low: int, high: int, _flags: int) -> Any:
        asked.append(high - low)
        if high - low > 1000:
            raise VenueError("too_large", "frame of 40000000 bytes is over the limit")
        return ticks[(ticks["time"] >= low) & (ticks["time"] <= high)]

    async def pause(_seconds: float) -> None:
        return None

    found = asyncio.run(
        history.ticks(call, ROWS, spec(), FIRST_S * NS, (FIRST_S + seconds) * NS, UTC_CLOCK, pause)  # type: ignore[arg-type]
    )
    assert [t.ts_ns // NS for t in found] == ticks["time"].tolist()
    assert asked[0] == 4000
    assert min(asked) == 1000


def test_deals_too_many_for_one_answer_are_read_in_parts_each_once() -> None:
    """A year of an account on which other programs deal as well; a node with an old position asks for it at its start."""
    deals = [mt5_rows.deal(n, time=FIRST_S + n, time_msc=(FIRST_S + n) * 1000) for n in range(4000)]

    async def call(_fn: str, low: int, high: int) -> Any:
        found = [deal for deal in deals if low <= deal["time"] <= high]
        if len(found) > 1000:
            raise VenueError("too_large", "frame of 40000000 bytes is over the limit")
        return found

    def read(row: Any) -> Any:
        return parsing.deal(row, spec(), UTC_CLOCK, 2, None)

    found = asyncio.run(history.deals(call, read, FIRST_S * NS, (FIRST_S + 4000) * NS, UTC_CLOCK))
    assert [deal.deal_id for deal in found] == [str(n) for n in range(4000)]


def test_a_second_of_deals_too_large_for_one_answer_is_an_error() -> None:
    async def call(_fn: str, _low: int, _high: int) -> Any:
        raise VenueError("too_large", "frame of 40000000 bytes is over the limit")

    with pytest.raises(VenueError, match="too_large"):
        asyncio.run(history.deals(call, lambda _row: None, FIRST_S * NS, (FIRST_S + 60) * NS, UTC_CLOCK))


def minutes(low: int, high: int) -> Any:
    """M1 rows that open in the server's seconds ``[low, high]``."""
    opened = np.arange(-(-low // 60) * 60, high + 1, 60)
    rows = np.zeros(len(opened), RATES_DTYPE)
    rows["time"] = opened
    for name in ("open", "high", "low", "close"):
        rows[name] = 1.1
    return rows


def bars_of(refused: Callable[[int], bool], pages: int) -> tuple[list[int], list[float]]:
    """Opening seconds of the bars of so many pages, and the pauses made; a page that begins at a refused second is."""
    paused: list[float] = []

    async def call(_fn: str, _symbol: str, _timeframe: int, low: int, high: int) -> Any:
        if refused(low):
            raise NotFound("-4", "Not found")
        return minutes(low, high)

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    start_s = FIRST_S // 60 * 60
    end_s = start_s + pages * history.PAGE_BARS * 60
    found = asyncio.run(
        history.bars(call, ROWS, spec(), BarPeriod.M1, start_s * NS, end_s * NS, UTC_CLOCK, pause)  # type: ignore[arg-type]
    )
    return [(bar.open_ns // NS - start_s) // 60 for bar in found], paused


def page_of(low: int) -> int:
    return (low - FIRST_S // 60 * 60) // 60 // history.PAGE_BARS


def test_pages_before_a_symbols_history_begins_do_not_end_the_request() -> None:
    found, paused = bars_of(lambda low: page_of(low) < 30, 32)
    assert found == list(range(30 * history.PAGE_BARS, 32 * history.PAGE_BARS))
    # The first refused page waits for a download that may be under way, 29 others only shortly, two good ones 0.2 s each.
    assert sum(paused) == pytest.approx(15.7 + 29 * 0.7 + 2 * 0.2)


def test_a_hole_in_the_history_is_an_error_and_so_is_no_history_at_all() -> None:
    with pytest.raises(NotFound, match="refused a part"):
        bars_of(lambda low: page_of(low) == 1, 3)
    with pytest.raises(NotFound, match="no such history"):
        bars_of(lambda _low: True, 2)


@pytest.mark.parametrize(
    ("period", "opened", "ends"),
    [
        (BarPeriod.M5, "2026-11-01T05:55", "2026-11-01T06:00"),  # 08:55 of the first pass; 08:00 of the second one
        (BarPeriod.H1, "2026-11-01T05:00", "2026-11-01T06:00"),
        (BarPeriod.H4, "2026-11-01T05:00", "2026-11-01T10:00"),  # 08:00 to 12:00, an hour of it twice
        (BarPeriod.H4, "2026-03-08T06:00", "2026-03-08T09:00"),  # and here one left out
        (BarPeriod.H3, "2026-03-08T07:00", "2026-03-08T09:00"),  # its own nine o'clock is in that hour: it opens at ten
        (BarPeriod.D1, "2026-10-31T21:00", "2026-11-01T22:00"),
        (BarPeriod.MN1, "2026-10-31T21:00", "2026-11-30T22:00"),
    ],
)
def test_a_bar_is_over_when_the_servers_clock_has_left_its_period(period: BarPeriod, opened: str, ends: str) -> None:
    opened_ns, ends_ns = (int(datetime.fromisoformat(f"{at}+00:00").timestamp()) * NS for at in (opened, ends))
    bar = Bar("BTCUSD", period, opened_ns, 1, 1, 1, 1, 1)
    assert not history.is_closed(bar, NEW_YORK_CLOCK, ends_ns - 1)
    assert history.is_closed(bar, NEW_YORK_CLOCK, ends_ns)
