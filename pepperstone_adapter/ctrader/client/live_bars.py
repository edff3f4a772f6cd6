"""Closing live bars: the venue sends the forming bar now and then, and never says that one has ended. Pure.

The forming bar lags behind the spots, so its close and extremes are taken from the bids that came since. It ends when
the next one begins, or when its time is over by `GRACE_NS` and nothing came (no tick, no bar: then there is none).

A bar that ended leaves by its `BarLine`: in order, each once, and after a lost link not before those that ended
meanwhile have been read.
"""

from collections.abc import Iterable

from pepperstone_adapter.broker.market import Bar, BarPeriod
from pepperstone_adapter.ctrader.client.market import bar_end_ns

GRACE_NS = 1_500_000_000


class BarCloser:
    """One symbol and period."""

    def __init__(self, period: BarPeriod) -> None:
        self._period = period
        self._forming: Bar | None = None
        self.end_ns = 0
        self._closed_until_ns = 0

    @property
    def open_from_ns(self) -> int:
        """Opening of the forming bar, or the end of the last; 0 where none was ever seen."""
        return self._forming.open_ns if self._forming is not None else self._closed_until_ns

    def bar(self, bar: Bar) -> Bar | None:
        """Take the forming bar as the venue sees it; return the one it ends, if any."""
        forming = self._forming
        if bar.open_ns < self._closed_until_ns or (forming is not None and bar.open_ns < forming.open_ns):
            return None
        done = None
        if forming is not None and bar.open_ns > forming.open_ns:
            done = self._close()
        elif forming is not None:
            bar = bar._replace(high=max(bar.high, forming.high), low=min(bar.low, forming.low))
        self._forming = bar._replace(closed=False)
        self.end_ns = bar_end_ns(self._period, bar.open_ns)
        return done

    def bid(self, points: int, ts_ns: int) -> None:
        """Take a bid in; one after the bar's end belongs to the next, which the venue will send."""
        forming = self._forming
        if forming is None or not forming.open_ns <= ts_ns < self.end_ns:
            return
        self._forming = forming._replace(close=points, high=max(forming.high, points), low=min(forming.low, points))

    def time(self, now_ns: int) -> Bar | None:
        """Return the forming bar if its time is over."""
        if self._forming is None or now_ns < self.end_ns + GRACE_NS:
            return None
        return self._close()

    def _close(self) -> Bar | None:
        done, self._forming = self._forming, None
        self._closed_until_ns = self.end_ns
        return done._replace(closed=True) if done is not None else None


class BarLine:
    """The closed bars of one symbol and period on their way out."""

    def __init__(self, period: BarPeriod) -> None:
        self._period = period
        self._waiting: list[Bar] | None = None
        self.next_ns = 0  # opening of the earliest bar that may still have to be handed over; 0 = none was ever seen

    def seen(self, open_ns: int) -> None:
        """A bar is forming."""
        self.next_ns = self.next_ns or open_ns

    def interrupt(self) -> None:
        """Bars may end unseen from now on: later ones wait until `resume`."""
        if self._waiting is None and self.next_ns:
            self._waiting = []

    def hand(self, bar: Bar) -> list[Bar]:
        """Take a closed bar; return what can be handed over now."""
        if bar.open_ns < self.next_ns:
            return []
        if self._waiting is not None and bar.open_ns > self.next_ns:
            self._waiting.append(bar)
            return []
        self.next_ns = bar_end_ns(self._period, bar.open_ns)
        return [bar]

    def resume(self, missed: Iterable[Bar]) -> list[Bar]:
        """Take the bars that ended unseen; return them, and what waited for them."""
        waiting, self._waiting = self._waiting or [], None
        out: list[Bar] = []
        for bar in sorted((*missed, *waiting), key=lambda bar: bar.open_ns):
            out += self.hand(bar)
        return out

    def bars_until(self, until_ns: int) -> int:
        """How many bars at most open from `next_ns` on and end by `until_ns`."""
        return max(0, until_ns - self.next_ns) // (bar_end_ns(self._period, self.next_ns) - self.next_ns)
