"""UTC of stamps in the hour that happens twice.

That hour of an autumn Sunday is told apart by order (a stamp that falls begins the second pass) and by freshness (a stamp
that is an hour old in the first pass was made just now in the second one).
"""

from typing import Final

import numpy as np

from pepperstone_adapter.broker.server_time import HOUR_NS, FoldState, Int64s, ServerClock, to_utc

NS_PER_MS: Final = 1_000_000
FRESH_NS: Final = 5 * 60 * 1_000_000_000  # clocks of two machines, a poll that waited


class StreamTimes:
    """Symbol by symbol, because each stream has its own order."""

    def __init__(self, clock: ServerClock) -> None:
        self._clock = clock
        self._states: dict[str, FoldState] = {}

    def utc_ns(self, symbol: str, server_ms: Int64s, read_ns: int) -> Int64s:
        """UTC nanoseconds of consecutive stamps that were read from the terminal at `read_ns`."""
        server_ns = server_ms * np.int64(NS_PER_MS)
        times = to_utc(server_ns, self._clock, self._states.get(symbol))
        in_first = times.folded and not times.state.second_pass
        if in_first and times.ns[-1] + HOUR_NS <= read_ns + FRESH_NS:
            times = to_utc(server_ns, self._clock, FoldState(times.state.transition, 0, second_pass=True))
        self._states[symbol] = times.state
        return times.ns


def passes(clock: ServerClock, server_ns: int) -> tuple[int, ...]:
    """When a stamp may have been made: one moment, or two in an hour that happens twice."""
    first, second = clock.to_utc_ns(server_ns), clock.to_utc_ns(server_ns, second_pass=True)
    return (first, second) if second > first else (first,)
