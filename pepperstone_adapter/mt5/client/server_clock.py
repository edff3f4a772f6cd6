"""Does the server's clock follow the rule we were given? A wrong rule shifts every bar, fill and expiry by hours.

A pushed tick was made a moment ago, so its stamp, read by the rule, must be close to our own time. Differences of whole
quarter hours are a wrong rule; small ones are network and clock drift.
"""

from typing import Final

from pepperstone_adapter.broker.server_time import ServerClock

NS: Final = 1_000_000_000
TOLERANCE_NS: Final = 5 * 60 * NS
NEEDED: Final = 3


class ClockCheck:
    """Counts fresh ticks that contradict the rule; a few in a row are proof, one may be a replayed tick."""

    def __init__(self, clock: ServerClock) -> None:
        self._clock = clock
        self._against = 0

    def seen(self, tick_utc_ns: int, now_ns: int) -> str | None:
        """Why trading must stop, or None."""
        difference_ns = tick_utc_ns - now_ns
        if abs(difference_ns) <= TOLERANCE_NS:
            self._against = 0
            return None
        self._against += 1
        if self._against < NEEDED:
            return None
        hours = difference_ns / (3600 * NS)
        return (
            f"fresh ticks are {hours:+.2f} h off: the server's clock does not follow the rule {self._clock.name}, "
            "or this machine's clock is wrong; set server_time in the settings"
        )
