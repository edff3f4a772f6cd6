"""Ticks and minute bars of one symbol as a terminal keeps them, stamped with the server's wall clock.

Where that clock goes back an hour, ticks stay in the order in which they came (nobody has seen what a real terminal
does), and the minutes of the second pass add nothing to the bars, which are there once.
"""

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.sandbox.mt5_terminal import wall_clock
from pepperstone_adapter.sandbox.mt5_terminal.structs import RATES, TICKS

BID, ASK = 2, 4
#: Seconds of a timeframe constant; weeks and months are cut by the calendar.
TIMEFRAME_S: Final = (
    {n: n * 60 for n in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)}
    | {16384 + h: h * 3600 for h in (1, 2, 3, 4, 6, 8, 12, 24)}
    | {32769: 7 * 86_400, 49153: 31 * 86_400}
)
_FIRST: Final = 4096


class Prices:
    """
    Parameters
    ----------
    keep
        Ticks kept; older ones go.
    flag_bits
        Undocumented bits added to every tick's flags.
    """

    def __init__(self, digits: int, keep: int, flag_bits: int) -> None:
        self._scale = 10.0**digits
        self._digits = digits
        self._keep = keep
        self._bits = flag_bits
        self._ticks = np.zeros(_FIRST, dtype=TICKS)
        self._start = self._end = 0
        self._minutes: list[tuple[int, int, int, int, int, int, int]] = []  # server minute, o, h, l, c, ticks, spread
        self._falls: list[int] = []  # rows before which the clock went back
        self.bid = self.ask = 0.0
        self.time_msc = 0
        self.flags = 0
        self.high = self.low = 0.0

    def push(self, bid_points: int, ask_points: int, utc_ns: int) -> None:
        """One tick; equal stamps and equal prices are kept as they come."""
        bid, ask = bid_points / self._scale, ask_points / self._scale
        time_msc = wall_clock.server_ms(utc_ns)
        flags = (BID if bid != self.bid else 0) | (ASK if ask != self.ask else 0) or BID | ASK
        self._room(1)
        if time_msc < self.time_msc:
            self._falls.append(self._end)
        self._ticks[self._end] = (time_msc // 1000, bid, ask, 0.0, 0, time_msc, flags | self._bits, 0.0)
        self._end += 1
        self.bid, self.ask, self.time_msc, self.flags = bid, ask, time_msc, flags | self._bits
        self._minute(time_msc // 60_000, bid_points, bid_points, bid_points, bid_points, 1, ask_points - bid_points)

    def extend(self, bids: NDArray[Any], asks: NDArray[Any], time_msc: NDArray[Any]) -> None:
        """Many ticks at once, already on the server's clock (for long simulations)."""
        count = len(time_msc)
        self._room(count)
        part = self._ticks[self._end : self._end + count]
        part["time"], part["time_msc"] = time_msc // 1000, time_msc
        part["bid"], part["ask"] = bids / self._scale, asks / self._scale
        part["flags"] = BID | ASK | self._bits
        fallen = np.flatnonzero(np.diff(time_msc, prepend=self.time_msc) < 0)
        self._falls += (self._end + fallen).tolist()
        self._end += count
        last = part[-1]
        self.bid, self.ask, self.time_msc = float(last["bid"]), float(last["ask"]), int(last["time_msc"])
        self.flags = BID | ASK | self._bits

    def load_bar(self, utc_minute: int, o: int, h: int, low: int, c: int, volume: int) -> None:
        self._minute(wall_clock.server_s(utc_minute * 60 * 10**9) // 60, o, h, low, c, volume, 10)

    def _minute(self, minute: int, o: int, h: int, low: int, c: int, volume: int, spread: int) -> None:
        if self._minutes and self._minutes[-1][0] == minute:
            _, first, high, lowest, _, ticks, least = self._minutes[-1]
            self._minutes[-1] = (minute, first, max(high, h), min(lowest, low), c, ticks + volume, min(least, spread))
        elif not self._minutes or minute > self._minutes[-1][0]:
            self._minutes.append((minute, o, h, low, c, volume, spread))

    def _room(self, count: int) -> None:
        if self._end + count <= len(self._ticks):
            return
        kept, gone = self.ticks, max(self._start, self._end - self._keep)
        grown = np.zeros(max(2 * (len(kept) + count), _FIRST), dtype=TICKS)
        grown[: len(kept)] = kept
        self._ticks, self._start, self._end = grown, 0, len(kept)
        self._falls = [row - gone for row in self._falls if row > gone]

    @property
    def ticks(self) -> NDArray[Any]:
        return self._ticks[max(self._start, self._end - self._keep) : self._end]

    def ticks_from(self, second: int, count: int) -> NDArray[Any]:
        for first, last in self._runs():
            stamps = self._ticks["time"][first:last]  # a view: searchsorted would copy the whole column
            if len(stamps) and stamps[-1] >= second:
                begin = first + bisect_left(stamps, second)
                return self._ticks[begin : min(begin + count, self._end)]
        return self._ticks[:0]

    def ticks_range(self, low: int, high: int) -> NDArray[Any]:
        found = []
        for first, last in self._runs():
            stamps = self._ticks["time_msc"][first:last]
            found.append(
                self._ticks[first + bisect_left(stamps, low * 1000) : first + bisect_right(stamps, high * 1000)]
            )
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _runs(self) -> list[tuple[int, int]]:
        """The kept rows between the moments at which the clock went back; each run is sorted."""
        first = max(self._start, self._end - self._keep)
        return list(pairwise([first, *(row for row in self._falls if row > first), self._end]))

    def rates(self, timeframe: int) -> NDArray[Any]:
        """Every bar of a timeframe, oldest first; the last one is still forming."""
        if not self._minutes:
            return np.zeros(0, dtype=RATES)
        rows = np.array(self._minutes, dtype=np.int64)
        opened = _bucket(rows[:, 0] * 60, timeframe)
        starts = np.flatnonzero(np.concatenate(([True], opened[1:] != opened[:-1])))
        ends = np.concatenate((starts[1:], [len(rows)])) - 1
        out = np.zeros(len(starts), dtype=RATES)
        out["time"] = opened[starts]
        out["open"], out["close"] = rows[starts, 1] / self._scale, rows[ends, 4] / self._scale
        out["high"] = np.maximum.reduceat(rows[:, 2], starts) / self._scale
        out["low"] = np.minimum.reduceat(rows[:, 3], starts) / self._scale
        out["tick_volume"] = np.add.reduceat(rows[:, 5], starts)
        out["spread"] = np.minimum.reduceat(rows[:, 6], starts)
        return out


def _bucket(seconds: NDArray[np.int64], timeframe: int) -> NDArray[np.int64]:
    if timeframe == 49153:
        return np.array([_month(int(s)) for s in seconds], dtype=np.int64)
    size = TIMEFRAME_S[timeframe]
    # 1970-01-01 was a Thursday; the terminal's weeks begin on Sunday.
    shift = 4 * 86_400 if timeframe == 32769 else 0
    return (seconds + shift) // size * size - shift


def _month(second: int) -> int:
    moment = datetime.fromtimestamp(second, UTC)
    return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp())
