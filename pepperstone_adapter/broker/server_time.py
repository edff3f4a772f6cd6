"""A trade server's wall clock and UTC, by rule; never guessed from data.

MetaTrader stamps everything with the server's wall clock written as if it were UTC. Pepperstone's servers run seven
hours ahead of New York all year, so that the trading day starts at 00:00 when New York is at 17:00; their DST changes
are the US ones. Three forms of a rule exist:

* ``NY+7``: New York wall clock plus so many hours,
* ``fixed:+3``: UTC plus so many hours (halves allowed, ``fixed:+5.5``),
* any IANA zone, ``Europe/Athens``.

When clocks go back an hour happens twice: the first pass is taken and the row is counted as ambiguous. When they go
forward an hour never happens: such a stamp is counted as impossible and read with the offset before the change.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.common.errors import ConfigurationError

NS: Final = 1_000_000_000
FIRST_YEAR: Final = 1990
LAST_YEAR: Final = 2060


@dataclass(frozen=True, slots=True)
class Converted:
    """Stamps in UTC nanoseconds with masks of those that happened twice or never."""

    utc_ns: NDArray[np.int64]
    ambiguous: NDArray[np.bool_]
    impossible: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ServerClock:
    """A zone and a shift: server wall clock = wall clock of `zone` + `shift_s`."""

    zone: str
    shift_s: int

    @classmethod
    def parse(cls, rule: str) -> "ServerClock":
        """Read ``NY+7``, ``fixed:+3`` or an IANA zone.

        Raises
        ------
        ConfigurationError
            The rule is none of them.
        """
        if match := re.fullmatch(r"NY([+-]\d+(?:\.\d+)?)", rule):
            return cls("America/New_York", round(float(match[1]) * 3600))
        if match := re.fullmatch(r"fixed:([+-]\d+(?:\.\d+)?)", rule):
            return cls("UTC", round(float(match[1]) * 3600))
        try:
            ZoneInfo(rule)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigurationError(
                f"unknown server time rule {rule!r}; use NY+7 (Pepperstone), fixed:+3, or a zone such as Europe/Athens"
            ) from None
        return cls(rule, 0)

    def to_utc_ns(self, server_ns: int) -> int:
        """UTC of one server stamp (nanoseconds of the wall clock read as UTC); the first pass of a doubled hour."""
        wall = server_ns - self.shift_s * NS
        seconds, rest = divmod(wall, NS)
        local = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=ZoneInfo(self.zone))
        return int(local.timestamp()) * NS + rest

    def from_utc_ns(self, utc_ns: int) -> int:
        """The server's stamp (nanoseconds of its wall clock read as UTC) at a UTC instant."""
        seconds, rest = divmod(utc_ns, NS)
        offset = datetime.fromtimestamp(seconds, ZoneInfo(self.zone)).utcoffset() or timedelta()
        return (seconds + int(offset.total_seconds()) + self.shift_s) * NS + rest

    def convert(self, server_ns: NDArray[Any]) -> Converted:
        """`to_utc_ns` for an array of int64 stamps."""
        wall = np.asarray(server_ns, dtype=np.int64) - self.shift_s * NS
        starts, offsets = _transitions(self.zone)
        # A stamp belongs to the offset in force when its instant, read with that offset, has passed the change.
        index = np.searchsorted(starts[1:] + offsets[:-1], wall, side="right")
        utc = wall - offsets[index]
        before = offsets[np.maximum(index - 1, 0)]
        change = starts[index]
        impossible = (index > 0) & (utc < change)
        # Read with the offset before a forward change, as documented.
        utc = np.where(impossible, wall - before, utc)
        following = np.minimum(index + 1, len(offsets) - 1)
        ambiguous = (index < len(offsets) - 1) & (wall - offsets[following] >= starts[following]) & ~impossible
        return Converted(utc, ambiguous, impossible)


@lru_cache(maxsize=64)
def _transitions(zone_name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Instants (UTC ns) from which an offset (ns) is in force; the first instant is the distant past."""
    zone = ZoneInfo(zone_name)

    def offset_s(second: int) -> int:
        return int((datetime.fromtimestamp(second, zone).utcoffset() or timedelta()).total_seconds())

    begin = int(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(LAST_YEAR, 1, 1, tzinfo=UTC).timestamp())
    starts, offsets = [-(2**62)], [offset_s(begin)]
    step = 7 * 86_400
    for low in range(begin, end, step):
        a, b = low, low + step
        if offset_s(a) == offset_s(b):
            continue
        while b - a > 1:
            middle = (a + b) // 2
            a, b = (middle, b) if offset_s(middle) == offset_s(low) else (a, middle)
        starts.append(b * NS)
        offsets.append(offset_s(b))
    return np.array(starts, dtype=np.int64), np.array(offsets, dtype=np.int64) * NS
