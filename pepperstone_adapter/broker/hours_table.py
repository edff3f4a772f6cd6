"""Trading-hours templates: how a person writes weekly hours, and the ones in ``data/hours.yaml``.

A week is written day by day in local time, ``sunday: "17:01-24:00"``; several spans are separated by commas. A span
that runs over midnight is written as two. A holiday closes a whole local day, or a window of hours around its midnight
(``hours: "-07:00 to 17:00"`` closes the server day that ends at 17:00 on that date). The templates name their holidays
by rule (third Monday of January, two days before Easter); a user writes dates.
"""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from pepperstone_adapter.broker.hours import Holiday, TradingHours
from pepperstone_adapter.common.errors import ConfigurationError

_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_SPAN = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_YEARS = range(2010, 2036)
# Where a day off goes that falls on a Saturday (5) or Sunday (6), in days.
_MOVED: dict[str, dict[int, int]] = {"": {}, "nearest": {5: -1, 6: 1}, "monday": {6: 1}, "friday": {5: -1, 6: -2}}
_WINDOW = re.compile(r"(-?)(\d\d):(\d\d) to (-?)(\d\d):(\d\d)")


@cache
def hours_table() -> dict[str, TradingHours]:
    """The templates by name (``fx``, ``gold``, ``us_share``, ...); they carry their holidays."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = resources.files("pepperstone_adapter.broker").joinpath("data", "hours.yaml").read_text(encoding="utf-8")
    raw = yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader either way
    holidays = {group: [day for rule in rules for day in _by_rule(rule)] for group, rules in raw["holidays"].items()}
    out: dict[str, TradingHours] = {}
    for name, template in raw["templates"].items():
        out[name] = TradingHours(
            zone=template["zone"],
            intervals=_intervals(template["week"], f"hours.yaml: {name}"),
            holidays=tuple(day for group in template["holidays"] for day in holidays[group]),
        )
    return out


def hours_from_mapping(value: Any, where: str) -> TradingHours:
    """Hours from ``{zone, week: {day: "HH:MM-HH:MM, ..."}, holidays: [{day, name, hours, yearly}]}``.

    Raises
    ------
    ConfigurationError
        Unknown zone, day or key, a span that is not ``HH:MM-HH:MM`` ascending within its day, a bad date.
    """
    if not isinstance(value, Mapping) or not {"zone", "week"} <= set(value) <= {"zone", "week", "holidays"}:
        raise ConfigurationError(f"{where}: wants a template name or {{zone, week, holidays}}, got {value!r}")
    zone = str(value["zone"])
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(f"{where}.zone: {zone!r} is not an IANA zone such as America/New_York") from None
    listed = value.get("holidays") or ()
    if not isinstance(listed, list | tuple):
        raise ConfigurationError(f"{where}.holidays: wants a list of {{day, name, hours, yearly}}, got {listed!r}")
    holidays = tuple(_holiday(h, f"{where}.holidays[{i}]") for i, h in enumerate(listed))
    return TradingHours(zone=zone, intervals=_intervals(value["week"], where), holidays=holidays)


def true_or_false(value: Any, where: str) -> bool:
    """`value`; a settings file's ``no`` is a text, which Python takes for true.

    Raises
    ------
    ConfigurationError
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"{where}: wants true or false, got {value!r}")
    return value


def _intervals(week: Any, where: str) -> tuple[tuple[int, int], ...]:
    """Seconds from Sunday 00:00, touching spans joined."""
    if not isinstance(week, Mapping):
        raise ConfigurationError(f"{where}.week: wants a mapping of days, got {week!r}")
    spans: list[tuple[int, int]] = []
    for day, text in week.items():
        if day not in _DAYS:
            raise ConfigurationError(f"{where}.week: {day!r} is not one of {', '.join(_DAYS)}")
        spans += _spans(str(text), _DAYS.index(day) * 86_400, f"{where}.week.{day}")
    spans.sort()
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start < joined[-1][1]:
            raise ConfigurationError(f"{where}.week: spans overlap")
        if joined and start == joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)


def _by_rule(rule: Mapping[str, Any]) -> list[Holiday]:
    """One dated holiday a year from a rule of ``hours.yaml`` (its comment lists the forms)."""
    start_s, end_s = _window(rule["hours"], rule["name"]) if "hours" in rule else (0, 86_400)
    out: list[Holiday] = []
    for year in _YEARS:
        if not rule.get("since", year) <= year <= rule.get("until", year):
            continue
        if "easter" in rule:
            day = easter_sunday(year) + timedelta(days=rule["easter"])
        elif "nth" in rule:
            day = _nth_weekday(year, rule["month"], _DAYS.index(rule["weekday"]), rule["nth"])
        else:
            day = date(year, rule["month"], rule["day"])
        day += timedelta(days=_MOVED[rule.get("observed", "")].get(day.weekday(), 0))
        if "workday" in rule:
            ahead = (day + timedelta(days=n) for n in range(9))
            day = [each for each in ahead if each.weekday() < 5][rule["workday"] - 1]
        day += timedelta(days=rule.get("offset", 0))
        out.append(Holiday(day=day, name=rule["name"], start_s=start_s, end_s=end_s))
    return out


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    """`weekday` counts from Sunday = 0; `nth` = -1 is the last of the month."""
    wanted = (weekday - 1) % 7  # Monday = 0, as `date.weekday`
    if nth > 0:
        first = date(year, month, 1)
        return first + timedelta(days=(wanted - first.weekday()) % 7 + 7 * (nth - 1))
    last = (date(year, month, 28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - wanted) % 7)


def easter_sunday(year: int) -> date:
    """Western Easter by the anonymous Gregorian computus (Meeus)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    n = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * n) // 451
    month, day = divmod(h + n - 7 * m + 114, 31)
    return date(year, month, day + 1)


def _spans(text: str, midnight_s: int, where: str) -> list[tuple[int, int]]:
    out = []
    for part in text.split(","):
        found = _SPAN.fullmatch(part.strip())
        start, end = (_seconds(found[1], found[2]), _seconds(found[3], found[4])) if found else (0, 0)
        if not 0 <= start < end <= 86_400:
            raise ConfigurationError(f"{where}: {part.strip()!r} is not HH:MM-HH:MM, ascending, up to 24:00")
        out.append((midnight_s + start, midnight_s + end))
    return out


def _holiday(value: Any, where: str) -> Holiday:
    allowed = {"day", "name", "hours", "yearly"}
    if not isinstance(value, Mapping) or "day" not in value or not set(value) <= allowed:
        raise ConfigurationError(f"{where}: wants {{day, name, hours, yearly}}, got {value!r}")
    day = value["day"]
    if not isinstance(day, date):
        try:
            day = date.fromisoformat(str(day))
        except ValueError:
            raise ConfigurationError(f"{where}.day: {value['day']!r} is not a date YYYY-MM-DD") from None
    start_s, end_s = _window(value["hours"], where) if "hours" in value else (0, 86_400)
    yearly = true_or_false(value.get("yearly", False), f"{where}.yearly")
    return Holiday(day=day, name=str(value.get("name", "")), start_s=start_s, end_s=end_s, yearly=yearly)


def _window(text: Any, where: str) -> tuple[int, int]:
    found = _WINDOW.fullmatch(str(text))
    if not found:
        raise ConfigurationError(f"{where}.hours: {text!r} is not like '-07:00 to 17:00'")
    start_s = _seconds(found[2], found[3]) * (-1 if found[1] else 1)
    end_s = _seconds(found[5], found[6]) * (-1 if found[4] else 1)
    if start_s >= end_s:
        raise ConfigurationError(f"{where}.hours: {text!r} does not ascend")
    return start_s, end_s


def _seconds(hours: str, minutes: str) -> int:
    return int(hours) * 3600 + int(minutes) * 60
