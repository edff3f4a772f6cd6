"""The live bars of ask and mid prices: built from the quotes a node sees, and from the broker's ticks where it saw none.

While the link is down, or a stream has died in silence, ticks pass unseen: the bar that was forming lacks some, later
ones all. Such a bar is never handed over as it is. Quotes that come after the gap wait until the broker's tick history
has filled it; then everything follows in order, whole. Where the history cannot be had, the bars of the gap are left
out, and that is said.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from nautilus_trader.common import Logger
from nautilus_trader.model import BarType, PriceType

from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.common.errors import PepperstoneError
from pepperstone_adapter.live.bars import TickBars
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.history import DAY_NS, MAX_TICK_DAYS

HISTORY_LAG_S = 1.0  # a tick is in the broker's history within a second


class BuiltBars:
    """Every bar type that is built, over one connection.

    Parameters
    ----------
    emit
        Takes each closed bar.
    now_ns
        This machine's clock.
    """

    def __init__(
        self, connection: Connection, emit: Callable[[Bar, BarType], None], now_ns: Callable[[], int], log: Logger
    ) -> None:
        self._connection = connection
        self._emit = emit
        self._now_ns = now_ns
        self._log = log
        self._builders: dict[BarType, TickBars] = {}
        self._gaps: Counter[str] = Counter()  # by symbol
        self._filling = 0
        self._behind_ns = 0  # how far the broker's last tick was behind this machine's clock (negative: ahead)

    def __len__(self) -> int:
        return len(self._builders)

    @property
    def interrupted(self) -> bool:
        return any(builder.missing_from_ns for builder in self._builders.values())

    def begin(self, bar_type: BarType, symbol: str, period: BarPeriod, price_type: PriceType) -> None:
        clock = self._connection.session.capabilities.server_clock
        self._builders[bar_type] = TickBars(symbol, period, price_type, clock=clock)

    def end(self, bar_type: BarType) -> bool:
        """Build this one no more; False where it never was."""
        return self._builders.pop(bar_type, None) is not None

    def quote(self, symbol: str, bid: int, ask: int, ts_ns: int) -> None:
        self._behind_ns = self._now_ns() - ts_ns
        for bar_type, builder in self._of((symbol,)):
            done = builder.add(bid, ask, ts_ns)
            if done is not None:
                self._emit(done, bar_type)

    def close_due(self) -> None:
        """Close bars whose period ended without a further tick, a second later by the broker's clock."""
        for bar_type, builder in self._builders.items():
            done = builder.close(self._now_ns() - self._behind_ns - 1_000_000_000)
            if done is not None:
                self._emit(done, bar_type)

    def interrupt(self, symbols: Collection[str] | None = None) -> None:
        """Ticks pass unseen from now on (of all symbols), until `fill_gaps`."""
        for _, builder in self._of(symbols):
            self._gaps[builder.symbol] += 1
            builder.interrupt()

    def to_fill(self, dead: Collection[str]) -> bool:
        """Whether ticks passed unseen that nobody reads, but for symbols whose prices do not flow again."""
        return not self._filling and any(b.missing_from_ns and b.symbol not in dead for b in self._builders.values())

    async def fill_gaps(self, dead: Collection[str] = ()) -> None:
        """Read what passed unseen, and hand over the bars that it belongs to; called when prices flow again, but for
        those of `dead` symbols."""
        self._filling += 1
        try:
            await self._fill_gaps(dead)
        finally:
            self._filling -= 1

    async def _fill_gaps(self, dead: Collection[str]) -> None:
        gaps = self._gaps.copy()
        await asyncio.sleep(HISTORY_LAG_S)
        for symbol in dict.fromkeys(b.symbol for b in self._builders.values() if b.symbol not in dead):
            if gaps[symbol] != self._gaps[symbol]:
                continue  # the gap has grown: whoever saw that reads it whole
            until_ns = max(self._now_ns(), self._now_ns() - self._behind_ns)
            for bar_type, builder in self._of((symbol,)):
                # Of a month; others need not wait for it.
                if builder.missing_from_ns < until_ns - MAX_TICK_DAYS * DAY_NS:
                    self._leave_out(bar_type, builder, f"longer ago than {MAX_TICK_DAYS} days")
            since_ns = min((b.missing_from_ns for _, b in self._of((symbol,)) if b.missing_from_ns), default=0)
            if not since_ns:
                continue
            ticks: Sequence[Tick] = ()
            failure = ""
            try:
                ticks = await self._connection.session.history_ticks(symbol, since_ns, until_ns)
            except PepperstoneError as error:
                failure = f"the broker's ticks could not be read: {error}"
                await asyncio.sleep(HISTORY_LAG_S)  # where the link went with it, that is told by then
            if gaps[symbol] != self._gaps[symbol]:
                continue
            for bar_type, builder in self._of((symbol,)):
                if failure:
                    self._leave_out(bar_type, builder, failure)
                elif builder.missing_from_ns:
                    self._hand_over(bar_type, builder.resume(ticks))

    def _hand_over(self, bar_type: BarType, bars: list[Bar]) -> None:
        if len(bars) > 1:
            text = f"{len(bars)} bars ended while ticks passed unseen; they are handed on late, from the broker's ticks"
            self._log.warning(f"{bar_type}: {text}")
        for one in bars:
            self._emit(one, bar_type)

    def _leave_out(self, bar_type: BarType, builder: TickBars, why: str) -> None:
        if not builder.missing_from_ns:
            return
        count, bars = builder.give_up(self._now_ns() - self._behind_ns)
        if count:
            self._log.warning(f"{bar_type}: up to {count} bars lack ticks that passed unseen and are left out ({why})")
        for one in bars:
            self._emit(one, bar_type)

    def _of(self, symbols: Collection[str] | None) -> list[tuple[BarType, TickBars]]:
        every = list(self._builders.items())
        return every if symbols is None else [one for one in every if one[1].symbol in symbols]
