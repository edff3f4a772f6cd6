"""Reading a terminal's ticks without losing or repeating one.

`copy_ticks_from` starts at a whole second, and several ticks, even equal ones, may share a millisecond. So the cursor
is the pair (last millisecond seen, how many ticks of that millisecond were taken): ask from the second of the cursor,
skip everything before its millisecond and the first `taken` rows of it, take the rest. Rows are never compared by
value.

Where the server's clock goes back (an autumn Sunday; symbols that trade around the clock go on), stamps fall by an hour
in the order of arrival, and that hour's seconds are there twice. Then the cursor also remembers the newest stamp of the
first pass, ranges of seconds are read instead, and what comes after the fall in a range is the second pass. A terminal
that sorted both passes into each other would show no fall; nothing is read of it until its stamps have caught up.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PAGE: Final = 4096  # the terminal keeps that many ticks of a symbol in its fast cache
PAGE_MAX: Final = 1 << 18  # 15 MiB, half of what a frame may hold; no symbol makes that many ticks in a second
HOUR_S: Final = 3600
AHEAD_MS: Final = 2 * 86_400_000  # server clocks run hours ahead of UTC, never days
BACK_MS: Final = 10_000  # a stamp so much older than the one before: the clock went back


@dataclass(frozen=True, slots=True)
class TickCursor:
    """Where reading stands; `time_msc` is the server's clock in milliseconds.

    `first_until_msc` is the newest stamp of the first pass while reading in the second one, else 0.
    """

    time_msc: int
    taken: int = 0
    first_until_msc: int = 0

    @property
    def second(self) -> int:
        return self.time_msc // 1000


@dataclass(frozen=True, slots=True)
class TickPage:
    """What one read gave.

    Attributes
    ----------
    rows
        The new ticks, oldest first.
    cursor
        Where to read on.
    more
        The page was full: read again at once.
    page
        How many rows to ask for next time; doubled when one second holds more ticks than a page.
    lost
        The terminal no longer has the cursor's millisecond: ticks may be missing before `rows`.
    """

    rows: NDArray[Any]
    cursor: TickCursor
    more: bool
    page: int
    lost: bool


def may_be(stamp_msc: int, now_ns: int) -> bool:
    """Whether a stamp may be one of the server's clock by now."""
    return 0 < stamp_msc <= now_ns // 1_000_000 + AHEAD_MS


def in_time(cursor: TickCursor, read: NDArray[Any], now_ns: int) -> NDArray[Any]:
    """`read` without the rows whose stamps the server's clock cannot have: one of next year would take the cursor there,
    and nothing would be read until then."""
    stamps, low = read["time_msc"], cursor.time_msc - 2 * HOUR_S * 1000
    high = now_ns // 1_000_000 + AHEAD_MS
    if len(read) == 0 or (stamps.min() >= low and stamps.max() <= high):
        return read
    return read[(stamps >= low) & (stamps <= high)]


def advance(cursor: TickCursor, read: NDArray[Any], page: int) -> TickPage:
    """Take what is new in `read`, the answer to "`page` ticks from ``cursor.second``"."""
    stamps = read["time_msc"]
    first = int(stamps.searchsorted(cursor.time_msc, "left"))
    after = int(stamps.searchsorted(cursor.time_msc, "right"))
    held = after - first
    lost = cursor.taken > held and len(read) > 0
    start = first + min(cursor.taken, held)
    rows = read[start:]
    full = len(read) >= page
    if len(rows) == 0:
        if full and page >= PAGE_MAX:
            return TickPage(rows, TickCursor((cursor.second + 1) * 1000), True, PAGE, True)  # never twice the same read
        # A full page without anything new: this second alone is larger than the page.
        return TickPage(rows, cursor, full, min(page * 2, PAGE_MAX) if full else page, lost)
    last = int(stamps[-1])
    taken = len(read) - int(stamps.searchsorted(last, "left"))
    stuck = full and last // 1000 == cursor.second
    return TickPage(rows, TickCursor(last, taken), full, min(page * 2, PAGE_MAX) if stuck else page, lost)


def fall(read: NDArray[Any]) -> int:
    """Index of the first row after the clock went back; the number of rows where it did not."""
    stamps = read["time_msc"]
    if len(stamps) < 2:
        return len(stamps)
    steps = stamps[1:] - stamps[:-1]
    deepest = int(steps.argmin())
    return deepest + 1 if steps[deepest] <= -BACK_MS else len(stamps)


def in_second_pass(cursor: TickCursor, newest_msc: int) -> bool:
    """Whether the hour of `cursor` happens again, as far as the newest stamp tells."""
    return bool(cursor.first_until_msc) or newest_msc < cursor.time_msc - BACK_MS


def both_passes(cursor: TickCursor, newest_msc: int) -> tuple[int, int]:
    """First and last second of the range that has the rest of the first pass and what is there of the second."""
    if cursor.first_until_msc:
        until = cursor.first_until_msc // 1000
        # From a minute before the end at least: of a shorter range the fall could not be told from disorder.
        return min(cursor.second, until - 60), max(newest_msc // 1000, until) + 1
    return cursor.second - HOUR_S, max(newest_msc // 1000, cursor.second + HOUR_S) + 1


def advance_again(cursor: TickCursor, read: NDArray[Any], newest_msc: int, page: int, most: int) -> TickPage:
    """Take at most `most` new rows of `read`, the answer to the range of `both_passes`."""
    turn = fall(read)
    if turn == len(read):
        if not (cursor.first_until_msc and newest_msc // 1000 > cursor.first_until_msc // 1000):
            return TickPage(read[:0], cursor, False, page, False)  # no second pass to be seen (yet)
        turn = 0  # the terminal has forgotten the first pass
    first, second = read[:turn], read[turn:]
    here = TickCursor(cursor.time_msc, cursor.taken)
    if cursor.first_until_msc:
        until_msc, found = cursor.first_until_msc, advance(here, second, len(second) + 1)
        head, tail = first[:0], found.rows
    else:
        until_msc, found = int(first["time_msc"][-1]), advance(here, first, len(first) + 1)
        head, tail = found.rows, second
    rows = np.concatenate((head, tail))[:most]
    if len(rows) == 0:
        return TickPage(rows, cursor, False, page, found.lost)
    left = len(head) + len(tail) - len(rows)
    if left >= len(tail):  # cut before the second pass
        until_msc, passed = 0, first[: len(first) - (left - len(tail))]
    else:
        passed = second[: len(second) - left]
    last = int(passed["time_msc"][-1])
    taken = len(passed) - int(passed["time_msc"].searchsorted(last, "left"))
    if last // 1000 > until_msc // 1000:
        until_msc = 0  # beyond the repeated hour
    return TickPage(rows, TickCursor(last, taken, until_msc), left > 0, page, found.lost)
