"""Does the server's clock follow the rule we were given? A wrong rule shifts every bar, fill and expiry by hours.

A tick that has just been made, read by the rule, must be close to the time of the machine beside the terminal. Only the
gateway knows that a tick is new: ticks it catches up with after a stop, or that waited in its ring buffer, are as old
as the stop was long, and prove nothing. A wrong rule shifts all ticks alike, so differences that disagree prove nothing
either. A stamp from the future is never an old tick.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pepperstone_adapter.broker.server_time import ServerClock

NS: Final = 1_000_000_000
TOLERANCE_NS: Final = 5 * 60 * NS
AGREE_NS: Final = 60 * NS
NEEDED: Final = 3
WATCHED: Final = 3


def symbols_to_watch(rows: Mapping[str, Any], wanted: Iterable[str]) -> tuple[str, ...]:
    """Whose ticks are read for the clock even when nobody asked for their quotes: a few of the Market Watch (nothing is
    added to it), the wanted ones first."""
    order = dict.fromkeys([*(name for name in wanted if name in rows), *rows])
    return tuple(name for name in order if rows[name]["select"])[:WATCHED]


class ClockCheck:
    """Counts new ticks that contradict the rule in the same way; a few in a row are proof."""

    def __init__(self, clock: ServerClock) -> None:
        self._clock = clock
        self._against = 0
        self._difference_ns = 0

    def newest(self, rows: Mapping[str, Any], now_ns: int) -> str | None:
        """Why trading must not start, from the newest tick of all ``symbol_info`` rows; an old one says nothing, because
        the market may be closed."""
        newest_s = max((int(row["time"]) for row in rows.values()), default=0)
        difference_ns = self._clock.to_utc_ns(newest_s * NS) - now_ns
        return self._reason(difference_ns) if difference_ns > TOLERANCE_NS else None

    def seen(self, tick_utc_ns: int, made_ns: int) -> str | None:
        """Why trading must stop, or None; `made_ns` is when the tick came out of the terminal."""
        difference_ns = tick_utc_ns - made_ns
        if abs(difference_ns) <= TOLERANCE_NS:
            self._against = 0
            return None
        agrees = abs(difference_ns - self._difference_ns) <= AGREE_NS
        self._against = self._against + 1 if agrees else 1
        self._difference_ns = difference_ns
        return self._reason(difference_ns) if self._against >= NEEDED else None

    def _reason(self, difference_ns: int) -> str:
        hours = difference_ns / (3600 * NS)
        return (
            f"fresh ticks are {hours:+.2f} h off: the server's clock does not follow the rule {self._clock.name}, "
            "or the clock of the terminal's machine is wrong; set server_time in the settings"
        )
