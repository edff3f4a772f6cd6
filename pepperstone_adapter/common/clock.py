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
