"""Bars of ask or mid prices, which no venue serves: built from ticks, with the same boundaries as its BID bars. Pure.

The first, begun in the middle, is not a bar and is dropped. A minute without a tick has no bar, as at the broker. After
`interrupt` ticks wait: what passed unseen belongs before them.
"""

from collections.abc import Iterable, Sequence

from nautilus_trader.model import PriceType

from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.broker.server_time import NEW_YORK_CLOCK, ServerClock
from pepperstone_adapter.mapping.data import bar_close_ns, bar_open_ns


class TickBars:
    """Builds bars of one symbol, period and price type.

    Parameters
    ----------
    price_type
        ASK or MID. A mid of an odd sum of points is rounded down to the symbol's digits.
    complete
        True when the first tick opens a whole period (history that starts on a boundary), so nothing is dropped.
    clock
        The server's, at whose midnight days begin.

    Attributes
    ----------
    missing_from_ns
        Start of the first period that lacks ticks; 0 where none does.
    """

    def __init__(
        self,
        symbol: str,
        period: BarPeriod,
        price_type: PriceType,
        complete: bool = False,
        clock: ServerClock = NEW_YORK_CLOCK,
    ) -> None:
        self.symbol = symbol
        self._clock = clock
        self.missing_from_ns = 0
        self._period = period
        self._mid = price_type is PriceType.MID
        self._whole = complete
        self._open_ns = self._end_ns = -1
        self._open = self._high = self._low = self._close = 0
        self._ticks = 0
        self._waiting: list[tuple[int, int, int]] = []

    def add(self, bid: int, ask: int, ts_ns: int) -> Bar | None:
        """Take a quote in; the bar it closed, if it closed one."""
        if self.missing_from_ns:
            self._waiting.append((bid, ask, ts_ns))
            return None
        points = (bid + ask) // 2 if self._mid else ask
        if ts_ns < self._end_ns:  # the same period, or a late tick, which belongs to what is still open
            if not self._ticks:  # that bar is closed and published
                return None
            self._high = max(self._high, points)
            self._low = min(self._low, points)
            self._close = points
            self._ticks += 1
            return None
        done = self._finish()
        self._begin(bar_open_ns(self._period, ts_ns, self._clock))
        self._open = self._high = self._low = self._close = points
        self._ticks = 1
        return done

    def close(self, now_ns: int) -> Bar | None:
        """The open bar if its period has ended by `now_ns`."""
        return None if self.missing_from_ns or now_ns < self._end_ns else self._finish()

    def _begin(self, open_ns: int) -> None:
        self._open_ns, self._end_ns = open_ns, self._next_ns(open_ns)

    def _finish(self) -> Bar | None:
        if not self._ticks:
            return None
        whole, self._whole = self._whole, True
        ticks, self._ticks = self._ticks, 0
        if not whole:
            return None
        return Bar(
            self.symbol, self._period, self._open_ns, self._open, self._high, self._low, self._close, ticks, True
        )

    def interrupt(self) -> None:
        """Ticks pass unseen from now on; what comes after them waits."""
        self._waiting = []  # of an earlier gap that was not filled: the history has them as well
        if not self.missing_from_ns and self._open_ns >= 0:
            self.missing_from_ns = self._open_ns if self._ticks else self._end_ns

    def resume(self, unseen: Sequence[Tick]) -> list[Bar]:
        """Take the ticks from `missing_from_ns` on, and those that waited; the bars that they close, in order."""
        return self._go_on(self.missing_from_ns, [(t.bid, t.ask, t.ts_ns) for t in unseen if t.bid and t.ask])

    def give_up(self, now_ns: int) -> tuple[int, list[Bar]]:
        """Go on without the ticks that passed unseen: how many periods lack some, and the bars of what waited."""
        at_ns = self._waiting[0][2] if self._waiting else now_ns
        count, next_ns = 0, self.missing_from_ns  # still to come where the period under way was given up before
        while next_ns <= at_ns:
            count, next_ns = count + 1, self._next_ns(next_ns)
        return count, self._go_on(next_ns, [])

    def _go_on(self, from_ns: int, unseen: list[tuple[int, int, int]]) -> list[Bar]:
        """Begin anew with the period that starts at `from_ns`; what is earlier is told, or lost."""
        waiting, self._waiting = self._waiting, []
        first_ns = waiting[0][2] if waiting else 1 << 63
        self.missing_from_ns = 0
        self._begin(bar_open_ns(self._period, from_ns - 1, self._clock))
        self._ticks, self._whole = 0, True
        ticks = [*(tick for tick in unseen if tick[2] < first_ns), *waiting]
        return [done for tick in ticks if (done := self.add(*tick)) is not None]

    def _next_ns(self, open_ns: int) -> int:
        """Where the next bar begins. In a day whose clock changes, the last bar ends with the day."""
        close_ns = bar_close_ns(self._period, open_ns, self._clock)
        return min(close_ns, bar_open_ns(self._period, close_ns, self._clock))


def bars_from_ticks(
    ticks: Iterable[Tick],
    symbol: str,
    period: BarPeriod,
    price_type: PriceType,
    end_ns: int,
    clock: ServerClock = NEW_YORK_CLOCK,
) -> list[Bar]:
    """Whole bars of a tick history that starts on a boundary."""
    builder = TickBars(symbol, period, price_type, complete=True, clock=clock)
    out: list[Bar] = []
    for tick in ticks:
        if tick.bid is None or tick.ask is None:
            continue
        bar = builder.add(tick.bid, tick.ask, tick.ts_ns)
        if bar is not None:
            out.append(bar)
    last = builder.close(end_ns)
    return [*out, last] if last is not None else out
