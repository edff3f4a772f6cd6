"""Time as a port: logic takes `now` as an argument, and only the outermost layer reads a clock."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for stamps; waiting goes by the reactor's own seconds, which only rise."""

    def now_ns(self) -> int:
        """Return UTC wall time in nanoseconds since 1970; it may step when the host is corrected."""
        ...


class SystemClock:
    """The host's clock."""

    def now_ns(self) -> int:
        return time.time_ns()
