"""The trade server's wall clock: New York plus seven hours, so that its midnight is New York's 17:00 all year.

Everything a terminal says carries this wall clock written as if it were UTC. This is the sandbox's own arithmetic, made
from the calendar rule (second Sunday of March, first Sunday of November, 02:00 local), not from a time zone database:
a mistake on the other side cannot agree with itself.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

HOUR_S: Final = 3600
DAY_S: Final = 86_400
SUMMER_S: Final = 3 * HOUR_S  # UTC-4 + 7
WINTER_S: Final = 2 * HOUR_S  # UTC-5 + 7


@lru_cache(maxsize=64)
def summer_of(year: int) -> tuple[int, int]:
    """First and last second (exclusive) of US summer time in UTC."""
    march, november = datetime(year, 3, 1, tzinfo=UTC), datetime(year, 11, 1, tzinfo=UTC)
    second_sunday = march + timedelta(days=(6 - march.weekday()) % 7 + 7)
    first_sunday = november + timedelta(days=(6 - november.weekday()) % 7)
    # 02:00 standard time is 07:00 UTC; 02:00 summer time is 06:00 UTC.
    return int(second_sunday.timestamp()) + 7 * HOUR_S, int(first_sunday.timestamp()) + 6 * HOUR_S


def offset_s(utc_s: int) -> int:
    """How far the server's clock is ahead of UTC."""
    begin, end = summer_of(datetime.fromtimestamp(utc_s, UTC).year)
    return SUMMER_S if begin <= utc_s < end else WINTER_S


def server_ms(utc_ns: int) -> int:
    """Wall clock in milliseconds at a UTC instant."""
    return utc_ns // 1_000_000 + _hour_offset(utc_ns // 1_000_000_000 // HOUR_S) * 1000


def server_s(utc_ns: int) -> int:
    return server_ms(utc_ns) // 1000


@lru_cache(maxsize=4096)
def _hour_offset(utc_hour: int) -> int:
    return offset_s(utc_hour * HOUR_S)


def to_server_s(utc_s: NDArray[Any]) -> NDArray[np.int64]:
    hours = np.asarray(utc_s, dtype=np.int64) // HOUR_S
    unique, where = np.unique(hours, return_inverse=True)
    offsets = np.array([_hour_offset(int(h)) for h in unique], dtype=np.int64)
    out: NDArray[np.int64] = np.asarray(utc_s, dtype=np.int64) + offsets[where]
    return out


def utc_ns(wall_s: int) -> int:
    """UTC of a wall clock second; the first of two where the hour repeats."""
    first = wall_s - SUMMER_S
    if offset_s(first) == SUMMER_S:
        return first * 1_000_000_000
    return (wall_s - WINTER_S) * 1_000_000_000
