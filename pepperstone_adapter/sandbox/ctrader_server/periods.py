"""Where bars begin. Up to one hour they follow the epoch; from four hours on, the trading day of New York 17:00.

The day begins at 22:00 UTC in winter and 21:00 in summer; H4 and H12 count from it, weeks begin with Monday's trading
day (Sunday 17:00), months with the trading day of the first.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from pepperstone_adapter.openapi.messages import TrendbarPeriod as Period

NEW_YORK = ZoneInfo("America/New_York")
_EPOCH_MINUTES: dict[int, int] = {
    Period.M1: 1,
    Period.M2: 2,
    Period.M3: 3,
    Period.M4: 4,
    Period.M5: 5,
    Period.M10: 10,
    Period.M15: 15,
    Period.M30: 30,
    Period.H1: 60,
}
_DAY_PARTS: dict[int, int] = {Period.H4: 240, Period.H12: 720}


def bar_start(period: int, minute: int) -> int:
    """Opening minute (minutes since 1970, UTC) of the bar that holds `minute`."""
    step = _EPOCH_MINUTES.get(period)
    if step is not None:
        return minute - minute % step
    day, day_start = _trading_day(minute // 60)
    part = _DAY_PARTS.get(period)
    if part is not None:
        return day_start + (minute - day_start) // part * part
    if period == Period.D1:
        return day_start
    if period == Period.W1:
        return _opening(day - timedelta(days=day.weekday()))
    return _opening(day.replace(day=1))


def next_start(period: int, start: int) -> int:
    """Opening minute of the bar after the one that opens at `start`."""
    step = _EPOCH_MINUTES.get(period)
    if step is not None:
        return start + step
    day, _ = _trading_day(start // 60)
    part = _DAY_PARTS.get(period)
    following = _opening(day + timedelta(days=1))
    if part is not None:
        return min(start + part, following)
    if period == Period.D1:
        return following
    if period == Period.W1:
        return _opening(day + timedelta(days=7))
    return _opening((day.replace(day=1) + timedelta(days=32)).replace(day=1))


@lru_cache(maxsize=65_536)
def _trading_day(hour: int) -> tuple[date, int]:
    """Trading date (the local date most of it lies on) and opening minute of the day that holds a UTC hour."""
    local = datetime.fromtimestamp(hour * 3600, tz=UTC).astimezone(NEW_YORK)
    day = local.date() + timedelta(days=1 if local.hour >= 17 else 0)
    return day, _opening(day)


@lru_cache(maxsize=4_096)
def _opening(day: date) -> int:
    return int(datetime.combine(day - timedelta(days=1), time(17), NEW_YORK).timestamp()) // 60
