"""ASK from BID: the spread of a symbol by hour of the week in New York.

Brokers store BID bars only (design D9). The spread of a bar is that of the hour in which it opened, the same for its four
prices: how the spread moved inside a bar is not in the data, so it is not invented.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np

from pepperstone_adapter.simulation.plan import Int64s, SpreadTable
from pepperstone_adapter.simulation.swap import NEW_YORK

NS = 1_000_000_000
HOUR_S = 3_600
WEEK_S = 7 * 24 * HOUR_S
# 1970-01-01 was a Thursday; hour 0 of a table is Sunday 00:00.
_EPOCH_WEEKDAY_S = 4 * 24 * HOUR_S


def spread_points(table: SpreadTable, open_ns: Int64s) -> Int64s:
    """Spread in points at each opening time (UTC nanoseconds)."""
    return np.asarray(table.points, np.int64)[hours_of_week(open_ns)]


def hours_of_week(ts_ns: Int64s) -> Int64s:
    """Hour of the week in New York, 0 = Sunday 00:00, DST included."""
    seconds = ts_ns // NS
    if not len(seconds):
        return seconds
    changes, offsets = _utc_offsets(_year(int(seconds[0])), _year(int(seconds[-1])))
    local = seconds + offsets[np.searchsorted(changes, seconds, side="right")]
    return (local + _EPOCH_WEEKDAY_S) % WEEK_S // HOUR_S


def _year(second: int) -> int:
    return datetime.fromtimestamp(second, tz=UTC).year


@lru_cache(maxsize=64)
def _utc_offsets(first: int, last: int) -> tuple[Int64s, Int64s]:
    """Instants at which New York's offset changes within whole years, and the offset before, between and after them."""
    moment, end = datetime(first, 1, 1, tzinfo=UTC), datetime(last + 1, 1, 1, tzinfo=UTC)
    changes: list[int] = []
    offsets = [_offset(moment)]
    while moment < end:
        following = moment + timedelta(hours=1)
        if _offset(following) != offsets[-1]:
            changes.append(int(following.timestamp()))
            offsets.append(_offset(following))
        moment = following
    return np.array(changes, np.int64), np.array(offsets, np.int64)


def _offset(moment: datetime) -> int:
    delta = moment.astimezone(NEW_YORK).utcoffset()
    assert delta is not None
    return int(delta.total_seconds())
