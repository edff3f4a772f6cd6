"""Plays a tape to a venue: at the clock's pace, or as fast as it can be served."""

import asyncio
from collections.abc import Callable, Iterable

from pepperstone_adapter.sandbox.clock import BrokerClock, TestClock
from pepperstone_adapter.sandbox.tape import TapeTick

BURST = 256  # ticks pushed before other work on the loop gets its turn
SOON_S = 0.001


async def play(tape: Iterable[TapeTick], push: Callable[[str, int, int, int], None], clock: BrokerClock) -> int:
    """Push every tick when its time has come; a `TestClock` is carried along by the tape. Returns how many."""
    carried = clock if isinstance(clock, TestClock) else None
    count = 0
    for tick in tape:
        count += 1
        if carried is not None:
            carried.set(tick.ts_ns)
        else:
            wait_s = clock.wait_s(tick.ts_ns)
            if wait_s is not None and wait_s > SOON_S:
                await asyncio.sleep(wait_s)
        push(tick.symbol, tick.bid_points, tick.ask_points, tick.ts_ns)
        if count % BURST == 0:
            await asyncio.sleep(0)
    return count
