"""Reading a terminal's ticks without losing or repeating one.

`copy_ticks_from` starts at a whole second, and several ticks, even equal ones, may share a millisecond. So the cursor
is the pair (last millisecond seen, how many ticks of that millisecond were taken): ask from the second of the cursor,
skip everything before its millisecond and the first `taken` rows of it, take the rest. Rows are never compared by
value.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PAGE: Final = 4096  # the terminal keeps that many ticks of a symbol in its fast cache
PAGE_MAX: Final = 1 << 18  # 15 MiB, half of what a frame may hold; no symbol makes that many ticks in a second


@dataclass(frozen=True, slots=True)
class TickCursor:
    """Where reading stands; `time_msc` is the server's clock in milliseconds."""

    time_msc: int
    taken: int = 0

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


def advance(cursor: TickCursor, read: NDArray[Any], page: int) -> TickPage:
    """Take what is new in `read`, the answer to "`page` ticks from ``cursor.second``"."""
    stamps = read["time_msc"]
    first = int(np.searchsorted(stamps, cursor.time_msc, side="left"))
    after = int(np.searchsorted(stamps, cursor.time_msc, side="right"))
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
    taken = len(read) - int(np.searchsorted(stamps, last, side="left"))
    stuck = full and last // 1000 == cursor.second
    return TickPage(rows, TickCursor(last, taken), full, min(page * 2, PAGE_MAX) if stuck else page, lost)
