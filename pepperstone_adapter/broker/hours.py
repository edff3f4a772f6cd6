"""When a symbol can be traded: weekly intervals in the venue's zone, and holidays.

The weekly form is the broker's own (cTrader `Interval`): seconds from Sunday 00:00 in an IANA zone, start inclusive,
end exclusive. It is rendered week by week, so a DST change moves the UTC times and not the local ones.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

WEEK_S = 7 * 86_400
NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Holiday:
    """A day (or part of one) without trading.

    Attributes
    ----------
    day
        Local date in the hours' zone; with `yearly`, only month and day count.
    start_s, end_s
        Closed from `start_s` to `end_s` seconds after local midnight; the whole day by default.
    """

    day: date
    name: str = ""
    start_s: int = 0
    end_s: int = 86_400
    yearly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingHours:
    """Weekly sessions with holidays.

    Attributes
    ----------
    zone
        IANA zone of the intervals and the holidays.
    intervals
        ``(start_s, end_s)`` seconds from Sunday 00:00 local, ascending, disjoint; ``end_s`` may reach one week.
    """

    zone: str
    intervals: tuple[tuple[int, int], ...]
    holidays: tuple[Holiday, ...] = field(default=())
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        # A template carries hundreds of holidays; hashing them on each look-up of the rendered month would cost more
        # than the look-up itself.
        object.__setattr__(self, "_hash", hash((self.zone, self.intervals, self.holidays)))

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def always(cls) -> "TradingHours":
        return cls(zone="UTC", intervals=((0, WEEK_S),))

    def is_open(self, ts_ns: int) -> bool:
        """Whether the symbol trades at `ts_ns` (UTC nanoseconds)."""
        starts, ends = _month(self, *_year_month(ts_ns))
        i = bisect_right(starts, ts_ns) - 1
        return i >= 0 and ts_ns < ends[i]

    def next_open(self, ts_ns: int) -> int | None:
        """First instant at or after `ts_ns` at which the symbol trades; None when not within four months."""
        if self.is_open(ts_ns):
            return ts_ns
        year, month = _year_month(ts_ns)
        for _ in range(5):
            starts, _ends = _month(self, year, month)
            i = bisect_right(starts, ts_ns)
            if i < len(starts):
                return starts[i]
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        return None

    def open_intervals(self, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """Open intervals in UTC nanoseconds, clipped to ``[start_ns, end_ns)``, touching ones joined."""
        out: list[tuple[int, int]] = []
        year, month = _year_month(start_ns)
        last = _year_month(end_ns)
        while (year, month) <= last:
            for start, end in zip(*_month(self, year, month), strict=True):
                lo, hi = max(start, start_ns), min(end, end_ns)
                if lo >= hi:
                    continue
                if out and out[-1][1] >= lo:
                    out[-1] = (out[-1][0], max(out[-1][1], hi))
                else:
                    out.append((lo, hi))
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        return out


def _year_month(ts_ns: int) -> tuple[int, int]:
    moment = datetime.fromtimestamp(ts_ns // NS, tz=UTC)
    return moment.year, moment.month


@lru_cache(maxsize=4096)
def _month(hours: TradingHours, year: int, month: int) -> tuple[list[int], list[int]]:
    """Open intervals (UTC ns) that touch one UTC month, as sorted starts and ends; whole, not clipped to the month."""
    zone = ZoneInfo(hours.zone)
    first = date(year, month, 1)
    after = date(year + 1, 1, 1) if month == 12 else date(year, month + 1, 1)
    sunday = first - timedelta(days=(first.weekday() + 1) % 7 + 7)
    spans: list[tuple[int, int]] = []
    while sunday < after + timedelta(days=2):
        spans += [(_utc_ns(zone, sunday, a), _utc_ns(zone, sunday, b)) for a, b in hours.intervals]
        sunday += timedelta(days=7)
    for holiday in hours.holidays:
        for y in (year - 1, year, year + 1) if holiday.yearly else (holiday.day.year,):
            try:
                day = holiday.day.replace(year=y)
            except ValueError:  # a yearly 29 February
                continue
            if not first - timedelta(days=9) <= day <= after + timedelta(days=9):
                continue
            spans = _without(spans, _utc_ns(zone, day, holiday.start_s), _utc_ns(zone, day, holiday.end_s))
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and joined[-1][1] >= start:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return [s for s, _ in joined], [e for _, e in joined]


def _utc_ns(zone: ZoneInfo, day: date, seconds: int) -> int:
    # Wall-clock arithmetic first, zone last: a session that opens at 17:00 does so on both sides of a DST change.
    days, rest = divmod(seconds, 86_400)
    local = datetime.combine(day + timedelta(days=days), time(0)) + timedelta(seconds=rest)
    return int(local.replace(tzinfo=zone).timestamp()) * NS


def _without(spans: list[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for a, b in spans:
        if b <= start or a >= end:
            out.append((a, b))
            continue
        if a < start:
            out.append((a, start))
        if b > end:
            out.append((end, b))
    return out
