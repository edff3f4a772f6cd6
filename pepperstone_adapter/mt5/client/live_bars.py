"""Bars as they close. The terminal does not push them: after each boundary of the server's clock the closed bar is asked
for, until it is there or it is plain that the period had no tick."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from pepperstone_adapter.broker.market import Bar, BarPeriod
from pepperstone_adapter.broker.server_time import ServerClock
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import PepperstoneError
from pepperstone_adapter.mt5.client.history import PERIOD_S, Pause

NS: Final = 1_000_000_000
AFTER_S: Final = 0.25
ASK_AGAIN_S: Final = (0.0, 0.5, 1.0, 2.0)

type ReadBars = Callable[[str, BarPeriod, int, int], Awaitable[Sequence[Bar]]]


def forming_opened_ns(clock: ServerClock, now_ns: int, step_ns: int) -> int:
    """UTC at which the bar of now opened. Days and their parts are the server's: a day begins at 21:00 or 22:00 UTC."""
    server_ns = clock.from_utc_ns(now_ns)
    opened_ns = server_ns // step_ns * step_ns
    guess_ns = now_ns - (server_ns - opened_ns)  # exact but for a bar in which the server's clock was changed
    return guess_ns if clock.from_utc_ns(guess_ns) == opened_ns else clock.to_utc_ns(opened_ns)


class LiveBars:
    """One task per subscribed symbol and period.

    Parameters
    ----------
    read
        Closed bars of a symbol and period that open in a range.
    now_ns
        Now, by the server's clock in UTC.
    """

    def __init__(
        self,
        spec: Callable[[str], SymbolSpec],
        read: ReadBars,
        emit: Callable[[Sequence[Bar]], None],
        clock: ServerClock,
        now_ns: Callable[[], int] = time.time_ns,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._now_ns = now_ns
        self._pause = pause
        self._spec = spec
        self._read = read
        self._emit = emit
        self._tasks: dict[tuple[str, BarPeriod], asyncio.Task[Any]] = {}

    def subscribe(self, symbol: str, period: BarPeriod) -> None:
        self._spec(symbol)
        if (symbol, period) not in self._tasks:
            self._tasks[symbol, period] = asyncio.get_running_loop().create_task(self._follow(symbol, period))

    def unsubscribe(self, symbol: str, period: BarPeriod) -> None:
        task = self._tasks.pop((symbol, period), None)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _follow(self, symbol: str, period: BarPeriod) -> None:
        step_ns = PERIOD_S[period] * NS
        last_ns = forming_opened_ns(self._clock, self._now_ns(), step_ns) - 1  # bars that opened before it are history
        while True:
            # Every period but weeks and months divides the day, and server days start on whole hours of UTC.
            boundary_ns = (self._now_ns() // min(step_ns, 3600 * NS) + 1) * min(step_ns, 3600 * NS)
            await self._pause((boundary_ns - self._now_ns()) / NS + AFTER_S)
            for pause_s in ASK_AGAIN_S:
                await self._pause(pause_s)
                try:
                    bars = await self._read(symbol, period, last_ns - 2 * step_ns, boundary_ns)
                except PepperstoneError:
                    continue  # the link is down or busy; the next round reads what was missed
                closed = [b for b in bars if b.open_ns > last_ns]
                if closed:
                    last_ns = closed[-1].open_ns
                    self._emit(closed)
                if last_ns + step_ns == boundary_ns:
                    break  # the newest; without it, what was told is only what an earlier round missed
