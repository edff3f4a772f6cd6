"""Time as a port: logic takes `now` as an argument, and only the outermost layer reads a clock."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings that must not be mixed: wall time for stamps, monotonic time for waiting."""

    def now_ns(self) -> int:
        """Return UTC wall time in nanoseconds since 1970; it may step when the host is corrected."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that only ever rise; deadlines count in these."""
        ...


class SystemClock:
    """The host's clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves when told to, for tests and replays.

    Parameters
    ----------
    start_ns
        Wall time at the beginning, UTC nanoseconds.
    """

    def __init__(self, start_ns: int = 0) -> None:
        self._wall_ns = start_ns
        self._monotonic_s = 0.0

    def now_ns(self) -> int:
        return self._wall_ns

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        if seconds < 0:
            raise ValueError(f"time cannot run back: {seconds}")
        self._monotonic_s += seconds
        self._wall_ns += round(seconds * 1_000_000_000)

    def step_wall(self, seconds: float) -> None:
        """Correct the wall clock alone, as a time service does; `seconds` may be negative."""
        self._wall_ns += round(seconds * 1_000_000_000)
