"""The server's memory of prices: ticks in compact arrays, one-minute bars of the bid, and the bars now forming.

Prices are the wire's hundred-thousandths. A minute without a tick has no bar; a bar's volume is its tick count.
"""

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from pepperstone_adapter.openapi.messages import TrendbarPeriod as Period
from pepperstone_adapter.sandbox.ctrader_server.periods import bar_start, next_start

TICKS_KEPT = 500_000


@dataclass(slots=True)
class BidBar:
    minute: int
    open: int
    high: int
    low: int
    close: int
    volume: int

    def add(self, price: int) -> None:
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += 1

    def merge(self, later: "BidBar") -> None:
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume

    def copy(self) -> "BidBar":
        return BidBar(self.minute, self.open, self.high, self.low, self.close, self.volume)


class SymbolHistory:
    """One symbol's past."""

    def __init__(self) -> None:
        self.tick_ms = array("q")
        self.bids = array("q")
        self.asks = array("q")
        self.bars: list[BidBar] = []
        self._minutes: list[int] = []
        self._forming: dict[int, BidBar] = {}

    def add(self, ts_ms: int, bid: int, ask: int) -> None:
        if self.tick_ms:  # a tape that lags may bring a price older than one that was pushed by hand
            ts_ms = max(ts_ms, self.tick_ms[-1])
        self.tick_ms.append(ts_ms)
        self.bids.append(bid)
        self.asks.append(ask)
        if len(self.tick_ms) > 2 * TICKS_KEPT:
            del self.tick_ms[:TICKS_KEPT], self.bids[:TICKS_KEPT], self.asks[:TICKS_KEPT]
        minute = ts_ms // 60_000
        last = self.bars[-1] if self.bars else None
        if last is not None and last.minute >= minute:
            last.add(bid)
        else:
            self.add_bar(BidBar(minute, bid, bid, bid, bid, 1))
        for period, bar in self._forming.items():
            if minute >= next_start(period, bar.minute):
                self._forming[period] = BidBar(bar_start(period, minute), bid, bid, bid, bid, 1)
            else:
                bar.add(bid)

    def add_bar(self, bar: BidBar) -> None:
        """Append a one-minute bar later than all before it."""
        self.bars.append(bar)
        self._minutes.append(bar.minute)

    def forming(self, period: int) -> BidBar | None:
        """The bar of `period` that holds the newest tick; kept up to date from the first time it is asked for."""
        if period not in self._forming:
            if not self.bars:
                return None
            start = bar_start(period, self.bars[-1].minute)
            self._forming[period] = self._aggregate(period, start, self.bars[-1].minute)[-1]
        return self._forming[period]

    def closed(self, period: int, first_minute: int, last_minute: int, now_ms: int) -> list[BidBar]:
        """Bars that open in ``[first_minute, last_minute]`` and have ended before `now_ms`, ascending."""
        if not self.bars or last_minute < self.bars[0].minute - 50_000:
            return []
        found = self._aggregate(period, first_minute, last_minute)
        return [bar for bar in found if next_start(period, bar.minute) * 60_000 <= now_ms]

    def _aggregate(self, period: int, first_minute: int, last_minute: int) -> list[BidBar]:
        # A bar that opens inside the range may hold minutes beyond its end.
        until = last_minute
        if period != Period.M1:
            until = next_start(period, bar_start(period, last_minute)) - 1
        low = bisect_left(self._minutes, first_minute)
        high = bisect_right(self._minutes, until)
        out: list[BidBar] = []
        for bar in self.bars[low:high]:
            start = bar_start(period, bar.minute)
            if start < first_minute or start > last_minute:
                continue
            if out and out[-1].minute == start:
                out[-1].merge(bar)
            else:
                first = bar.copy()
                first.minute = start
                out.append(first)
        return out

    def ticks(self, first_ms: int, last_ms: int, *, asks: bool, most: int) -> tuple[list[tuple[int, int]], bool]:
        """Newest `most` changes of one side in ``[first_ms, last_ms]``, newest first, and whether older are left."""
        prices = self.asks if asks else self.bids
        low = bisect_left(self.tick_ms, first_ms)
        index = bisect_right(self.tick_ms, last_ms) - 1
        out: list[tuple[int, int]] = []
        while index >= low:
            if index == 0 or prices[index] != prices[index - 1]:
                if len(out) == most:
                    return out, True
                out.append((self.tick_ms[index], prices[index]))
            index -= 1
        return out, False
