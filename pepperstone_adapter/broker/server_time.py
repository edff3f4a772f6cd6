"""A server's clock as a rule: local wall-clock nanoseconds to UTC for whole columns.

Theory. A clock is UTC plus an offset that changes at known instants. Where the offset grows (spring) an hour of wall
clock does not exist; where it shrinks (autumn) an hour happens twice. A time in the first kind of hour cannot be right
and is reported as bad. A time in the second kind is resolved by the order of rows: times are in the first pass until
they step back, then in the second; when they never step back they stay in the first. Both kinds are counted. Bars as long
as the repeated hour cannot step back in it: of two at one time the second is of the second pass, where the caller knows
that it is another bar.

MetaTrader servers of most FX brokers, Pepperstone's among them, run New York + 7 h: their day begins at the New York
close (17:00) and they change to summer time with the United States, not with Europe. `new-york+7` is that rule.
"""

import difflib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.common.errors import ConfigurationError

END_OF_TIME_S = 9_000_000_000  # the year 2255, near the end of what nanoseconds in 64 bits can count
NS = 1_000_000_000
HOUR_NS = 3600 * NS
NEW_YORK_CLOSE = "new-york+7"

_FIXED = re.compile(r"(?:utc|gmt)?([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
_SHIFTED = re.compile(r"(?:new-york|ny)([+-]\d{1,2})", re.IGNORECASE)
_YEARS = range(1970, 2101)

type Int64s = NDArray[np.int64]
type Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ServerClock:
    """A rule from wall clock to UTC.

    Attributes
    ----------
    name
        How the rule is written in settings and manifests.
    zone
        IANA name of the rule's zone, empty for a fixed offset.
    shift_ns
        Added to the zone's wall clock (New York + 7 h), or the whole fixed offset.
    wall_hours
        Whether bars of several hours follow the wall clock where it changes, as those of a server that stamps all with it
        (MetaTrader): one is then an hour longer or shorter. Else they count from its midnight.
    """

    name: str
    zone: str = ""
    shift_ns: int = 0
    wall_hours: bool = field(default=False, compare=False)

    def to_utc_ns(self, server_ns: int, second_pass: bool = False) -> int:
        """UTC of one server stamp (its wall clock written as nanoseconds since 1970); of a repeated hour its first pass,
        unless the second is asked for."""
        seconds, rest = divmod(server_ns - self.shift_ns, NS)
        if not self.zone:
            return seconds * NS + rest
        local = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=ZoneInfo(self.zone), fold=second_pass)
        return int(local.timestamp()) * NS + rest

    def from_utc_ns(self, utc_ns: int) -> int:
        """The server's stamp at a UTC instant."""
        seconds, rest = divmod(utc_ns, NS)
        offset_s = _offset_s(ZoneInfo(self.zone), datetime.fromtimestamp(seconds, UTC)) if self.zone else 0
        return (seconds + offset_s) * NS + rest + self.shift_ns


UTC_CLOCK = ServerClock("utc")
NEW_YORK_CLOCK = ServerClock(NEW_YORK_CLOSE, "America/New_York", 7 * HOUR_NS)


@dataclass(slots=True)
class FoldState:
    """Where the order of rows stands inside a repeated hour; carried from block to block."""

    transition: int = -1
    last_ns: int = 0
    second_pass: bool = False


@dataclass(slots=True)
class UtcTimes:
    """`ns` in UTC; `gap` marks wall-clock times that never were (their `ns` means nothing); `folded` counts rows in a
    repeated hour."""

    ns: Int64s
    gap: Bools | None = None
    folded: int = 0
    state: FoldState = field(default_factory=FoldState)


def parse_clock(text: str) -> ServerClock:
    """Read a rule: ``utc``, ``+02:00``, ``utc+2``, ``new-york+7``, ``Europe/London``.

    Raises
    ------
    ConfigurationError
        Not a rule; the nearest zone names are suggested.
    """
    name = text.strip()
    if name.lower() in ("utc", "gmt", "z"):
        return UTC_CLOCK
    if match := _FIXED.fullmatch(name):
        sign, hours, minutes = match.groups()
        total = int(hours) * HOUR_NS + int(minutes or 0) * (HOUR_NS // 60)
        if total <= 14 * HOUR_NS:
            minutes = minutes or "00"
            return ServerClock(f"{sign}{int(hours):02d}:{minutes}", shift_ns=total if sign == "+" else -total)
    if (match := _SHIFTED.fullmatch(name)) and abs(ahead := int(match[1])) <= 14:
        return ServerClock(f"new-york{ahead:+d}", "America/New_York", ahead * HOUR_NS)
    if name in available_timezones():
        return ServerClock(name, name)
    by_folded = {z.casefold(): z for z in available_timezones()}
    near = [by_folded[n] for n in difflib.get_close_matches(name.casefold(), by_folded, n=3)]
    hint = f"; did you mean {', '.join(near)}? Or" if near else ";"
    raise ConfigurationError(
        f"'{text}' is no zone rule{hint} use utc, a fixed offset (+02:00), {NEW_YORK_CLOSE} (most MetaTrader "
        "servers, Pepperstone's too) or an IANA name (Europe/London)"
    )


def to_utc(
    local_ns: Int64s, clock: ServerClock, state: FoldState | None = None, again: Bools | None = None
) -> UtcTimes:
    """Convert wall-clock times of consecutive rows; give the returned `state` to the next block of the same source.

    `again` marks rows that begin the second pass of a repeated hour without stepping back.
    """
    state = state or FoldState()
    if not clock.zone:
        return UtcTimes(local_ns - clock.shift_ns, state=state)
    wall = local_ns - clock.shift_ns
    ends, before, after = _transitions(clock.zone)
    segment = np.searchsorted(ends, wall, side="right")  # ends[i] is where the doubt about transition i is over
    ns = wall - before[segment]
    gap: Bools | None = None
    folded = 0
    # `change` of the transition that ends this row's segment: what the wall clock skips (> 0) or repeats (< 0).
    change = (after - before)[segment]
    inside = ends[segment] - wall <= np.abs(change)
    if inside.any():
        gap = inside & (change > 0)
        fold = np.flatnonzero(inside & (change < 0))
        folded = len(fold)
        for i in fold:
            if state.transition != segment[i]:
                state = FoldState(transition=int(segment[i]))
            elif wall[i] < state.last_ns or (again is not None and again[i]):
                state.second_pass = True
            state.last_ns = int(wall[i])
            if state.second_pass:
                ns[i] = wall[i] - after[segment[i]]
    return UtcTimes(ns, gap, folded, state)


def to_local(utc_ns: Int64s, clock: ServerClock) -> Int64s:
    """Wall-clock times of UTC times (always exact)."""
    if not clock.zone:
        return utc_ns + clock.shift_ns
    ends, before, after = _transitions(clock.zone)
    instants = ends - np.maximum(before, after)
    return utc_ns + before[np.searchsorted(instants, utc_ns, side="right")] + clock.shift_ns


def all_offsets(clock: ServerClock) -> set[int]:
    """Every offset from UTC in nanoseconds that a clock has, from 1970 on."""
    if not clock.zone:
        return {clock.shift_ns}
    _, before, after = _transitions(clock.zone)
    return {int(offset) + clock.shift_ns for offset in (*before, *after)}


@lru_cache(maxsize=16)
def _transitions(zone: str) -> tuple[Int64s, Int64s, Int64s]:
    """Wall-clock ends of each doubtful hour, and the offsets before and after each transition.

    The last entry stands for the end of time: the offset never changes again.
    """
    info = ZoneInfo(zone)
    step = timedelta(days=7)
    moment, stop = datetime(_YEARS[0], 1, 1, tzinfo=UTC), datetime(_YEARS[-1], 1, 1, tzinfo=UTC)
    offset = _offset_s(info, moment)
    ends: list[int] = []
    offsets = [offset]
    while moment < stop:
        later = moment + step
        if _offset_s(info, later) != offset:
            low, high = moment, later
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                low, high = (middle, high) if _offset_s(info, middle) == offset else (low, middle)
            changed = _offset_s(info, high)
            ends.append(int(high.timestamp()) + max(offset, changed))
            offset = changed
            offsets.append(offset)
        moment = later
    second = 1_000_000_000
    before = np.array(offsets, np.int64) * second
    return np.array([*ends, END_OF_TIME_S], np.int64) * second, before, np.append(before[1:], before[-1])


def _offset_s(info: tzinfo, moment: datetime) -> int:
    offset = moment.astimezone(info).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0
