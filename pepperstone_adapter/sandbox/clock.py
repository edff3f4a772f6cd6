"""The broker's clock: the host's, the host's at another speed from another moment, or one that only a test moves.

`common.clock.Clock` is the port. Waiting is always real time on the server's loop; `wait_s` says how long a stretch of
broker time lasts there.
"""

import time
from typing import Protocol

NS = 1_000_000_000


class BrokerClock(Protocol):
    def now_ns(self) -> int:
        """UTC nanoseconds of the broker."""
        ...

    def wait_s(self, until_ns: int) -> float | None:
        """Real seconds until `until_ns`; None when only a test can bring it about."""
        ...


class RunningClock:
    """Runs by itself: `speed` broker seconds a second, from `start_ns` (default: now)."""

    def __init__(self, start_ns: int | None = None, speed: float = 1.0) -> None:
        self._origin_ns = time.time_ns() if start_ns is None else start_ns
        self._began = time.monotonic_ns()
        self._speed = speed

    def now_ns(self) -> int:
        passed = time.monotonic_ns() - self._began
        return self._origin_ns + (passed if self._speed == 1.0 else round(passed * self._speed))

    def wait_s(self, until_ns: int) -> float | None:
        return max(0.0, (until_ns - self.now_ns()) / NS / self._speed)


class TestClock:
    """Stands still until `advance`."""

    __test__ = False  # pytest: not a test class

    def __init__(self, start_ns: int) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        return self._now_ns

    def wait_s(self, until_ns: int) -> float | None:
        return 0.0 if until_ns <= self._now_ns else None

    def advance(self, seconds: float) -> None:
        self._now_ns += round(seconds * NS)

    def set(self, now_ns: int) -> None:
        self._now_ns = max(now_ns, self._now_ns)
