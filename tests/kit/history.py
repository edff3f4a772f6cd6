"""A broker that only has a past: closed bars and ticks of one symbol from plain lists, behind the port's two reads."""

from collections.abc import Callable, Sequence

from pepperstone_adapter.broker.capabilities import Capabilities
from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick

MINUTE_NS = 60_000_000_000
DAY_NS = 86_400_000_000_000


class PastBroker:
    """Answers `history_bars` and `history_ticks` from `bars` and `ticks`; `asked` is every question.

    `before_answer` runs first and may raise: a broken link, a rate limit.
    """

    def __init__(self, bars: Sequence[Bar] = (), ticks: Sequence[Tick] = ()) -> None:
        self.bars, self.ticks = list(bars), list(ticks)
        self.asked: list[tuple[int, int]] = []
        self.before_answer: Callable[[], None] = lambda: None
        self.capabilities = Capabilities(bar_periods=(BarPeriod.M1, BarPeriod.H1, BarPeriod.D1))

    async def history_bars(self, symbol: str, period: BarPeriod, start_ns: int, end_ns: int) -> list[Bar]:
        self.asked.append((start_ns, end_ns))
        self.before_answer()
        return [b for b in self.bars if b.symbol == symbol and b.period is period and start_ns <= b.open_ns < end_ns]

    async def history_ticks(self, symbol: str, start_ns: int, end_ns: int) -> list[Tick]:
        self.asked.append((start_ns, end_ns))
        self.before_answer()
        return [t for t in self.ticks if t.symbol == symbol and start_ns <= t.ts_ns < end_ns]
