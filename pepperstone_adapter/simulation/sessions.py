"""Which rows can be traded on, and whether an order may be sent.

Data stamped outside a symbol's hours is no market: it is left out of the run and counted, so nothing can fill on it,
pending orders wait, and a gap fills at the first price after the opening. A bar counts as open when any part of the
interval it covers is. Orders are taken for five minutes after a session ends: brokers stop a little before the hour
(FX at 16:59, on Fridays at 16:55 New York) while the last bar still closes on the hour, and a strategy acting on it
(every daily bar closes so) must be able to trade at that bar's close. A bar that ends later than that after its market
has closed (a daily bar of a share at 17:00 New York, any weekly bar on Saturday) is taken to end when the market closed:
its last price is of then.
"""

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.simulation.plan import Int64s

AFTER_CLOSE_NS = 5 * 60 * 1_000_000_000
DAY_NS = 86_400 * 1_000_000_000


def tradable(hours: TradingHours, ts_ns: Int64s, length_ns: int = 0) -> NDArray[np.bool_]:
    """Which rows touch an open interval: bars cover ``(ts - length, ts)``, quotes (`length_ns` 0) that instant."""
    if not len(ts_ns):
        return np.zeros(0, bool)
    spans = hours.open_intervals(int(ts_ns[0]) - max(length_ns, 1), int(ts_ns[-1]) + 1)
    if not spans:
        return np.zeros(len(ts_ns), bool)
    starts = np.array([s for s, _ in spans], np.int64)
    ends = np.array([e for _, e in spans], np.int64)
    if length_ns == 0:
        i = np.searchsorted(starts, ts_ns, side="right") - 1
        return (i >= 0) & (ts_ns < ends[np.maximum(i, 0)])
    # The last interval that starts before the bar's end must not have ended by the bar's start.
    i = np.searchsorted(starts, ts_ns, side="left") - 1
    return (i >= 0) & (ends[np.maximum(i, 0)] > ts_ns - length_ns)


def closing_times(hours: TradingHours, ts_ns: Int64s, length_ns: int) -> Int64s:
    """When bars that end at `ts_ns` ended trading: then, or at the close before it if that is too long ago for an order."""
    if not len(ts_ns):
        return ts_ns
    spans = hours.open_intervals(int(ts_ns[0]) - length_ns, int(ts_ns[-1]) + 1)
    if not spans:
        return ts_ns
    starts, ends = (np.array(edges, np.int64) for edges in zip(*spans, strict=True))
    closes = ends[np.maximum(np.searchsorted(starts, ts_ns, side="left") - 1, 0)]
    return np.where((closes > ts_ns - length_ns) & (closes < ts_ns - AFTER_CLOSE_NS), closes, ts_ns)


def accepts_orders(hours: TradingHours, ts_ns: int) -> bool:
    return hours.is_open(ts_ns) or hours.is_open(ts_ns - AFTER_CLOSE_NS - 1)


def session(hours: TradingHours, ts_ns: int) -> tuple[int, int] | None:
    """Start and end of the session open at a time, no more than a day of it; None when it is closed."""
    spans = hours.open_intervals(ts_ns, ts_ns + DAY_NS)
    return spans[0] if spans and spans[0][0] == ts_ns else None
