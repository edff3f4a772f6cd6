"""Where rows should be: a symbol's trading hours as numbered slots, and the slots a series fills.

A slot is one bar period (five minutes for quotes) of the clock the bars were made on (`grid_clock`), counted from 1970:
a four-hour bar of a MetaTrader server belongs to the grid of the server's day, not of UTC's. A slot is due when the symbol
trades in any part of it. Slots of a week begin on Sunday.
"""

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.server_time import ServerClock, all_offsets, to_local, to_utc
from pepperstone_adapter.catalog import periods
from pepperstone_adapter.common.arrays import distinct
from pepperstone_adapter.mapping.data import period_ns

type Int64s = NDArray[np.int64]

DAY_NS = periods.DAY_NS
WEEK_NS = 7 * DAY_NS
HOUR_NS = 3_600 * 10**9
EPOCH_TO_SUNDAY_NS = 4 * DAY_NS  # 1970-01-01 was a Thursday
QUOTE_SLOT = BarPeriod.M5


def grid_clock(clock: ServerClock, period: BarPeriod) -> ServerClock:
    """The clock that slots are counted on: for periods that summer time moves by whole slots one without it.

    Else the two passes of a repeated hour would be one and the same hour.
    """
    length = period_ns(period)
    offsets = {offset % length for offset in all_offsets(clock)} if length is not None else set()
    return ServerClock("slots", shift_ns=offsets.pop()) if len(offsets) == 1 else clock


def slot_of(local_ns: Int64s, period: BarPeriod) -> Int64s:
    """Number of the slot a wall-clock time falls in."""
    if period is BarPeriod.MN1:
        return np.asarray(local_ns.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64))
    if period is BarPeriod.W1:
        return np.asarray((local_ns + EPOCH_TO_SUNDAY_NS) // WEEK_NS)
    return np.asarray(local_ns // (period_ns(period) or DAY_NS))


def slot_start(slots: Int64s, period: BarPeriod, clock: ServerClock) -> Int64s:
    """UTC times at which slots begin."""
    if period is BarPeriod.MN1:
        local = slots.astype("datetime64[M]").astype("datetime64[ns]").astype(np.int64)
    elif period is BarPeriod.W1:
        local = slots * WEEK_NS - EPOCH_TO_SUNDAY_NS
    else:
        local = slots * (period_ns(period) or DAY_NS)
    return to_utc(local, clock).ns


def due_slots(hours: TradingHours, start_ns: int, end_ns: int, period: BarPeriod, clock: ServerClock) -> Int64s:
    """Slots in which the symbol trades between two UTC times, ascending."""
    spans = np.array(hours.open_intervals(start_ns, end_ns), np.int64).reshape(-1, 2)
    if not len(spans):
        return np.empty(0, np.int64)
    local = to_local(spans.ravel(), clock).reshape(-1, 2)
    first, last = slot_of(local[:, 0], period), slot_of(local[:, 1] - 1, period)
    counts = last - first + 1
    offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return distinct(np.repeat(first, counts) + offsets)


def bar_open_local(close_ns: Int64s, period: BarPeriod, clock: ServerClock) -> Int64s:
    """Wall-clock opening times of stored bars, whose times are their UTC close."""
    length = period_ns(period)
    if length is not None and length <= HOUR_NS:
        return to_local(close_ns - length, clock)
    return periods.open_times(to_local(close_ns, clock), period)


class Grid:
    """The times at which bars of a period open: multiples of it, on the clock they were made on.

    Where that clock is not known (no import says it), the time within the hour is that of most bars of the first piece, and
    nothing else is judged: summer time moves the openings of longer bars by whole hours. Weeks and months are not judged.
    """

    def __init__(self, period: BarPeriod, *, known: bool) -> None:
        self._period = period
        self._known = known or period in (BarPeriod.W1, BarPeriod.MN1)
        self._length = min(period_ns(period) or DAY_NS, HOUR_NS)
        self._offset: int | None = None

    def off(self, open_local: Int64s) -> NDArray[np.bool_]:
        """Which bars, by their wall-clock opening times, open where none of their period does."""
        if self._known:
            return periods.off_period(open_local, self._period)
        within = open_local % self._length
        if self._offset is None and len(within):
            values, counts = np.unique(within, return_counts=True)
            self._offset = int(values[np.argmax(counts)])
        return np.asarray(within != self._offset)
