"""Hours templates against the clock of the markets they describe: weeks, both DST changes, holidays."""

from datetime import UTC, date, datetime

import pytest

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.hours_table import easter_sunday, hours_from_mapping, hours_table
from pepperstone_adapter.common.errors import ConfigurationError

TABLE = symbol_table.load()


def is_open(symbol: str, utc: str) -> bool:
    moment = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    return TABLE[symbol].hours.is_open(int(moment.timestamp()) * 1_000_000_000)


@pytest.mark.parametrize(
    ("symbol", "utc", "expected"),
    [
        # FX: Sunday 17:01 New York. Winter 22:01 UTC, summer 21:01 UTC; the European change does not matter.
        ("EURUSD", "2024-01-07 22:00:59", False),
        ("EURUSD", "2024-01-07 22:01:00", True),
        ("EURUSD", "2024-03-10 21:00:30", False),  # New York went to summer time that morning
        ("EURUSD", "2024-03-10 21:01:00", True),
        ("EURUSD", "2024-03-03 21:30:00", False),
        # the two-minute break at rollover, 16:59-17:01 New York
        ("EURUSD", "2024-01-09 21:58:59", True),
        ("EURUSD", "2024-01-09 21:59:00", False),
        ("EURUSD", "2024-01-09 22:00:59", False),
        ("EURUSD", "2024-01-09 22:01:00", True),
        # Friday 16:55 New York, in winter and in summer
        ("EURUSD", "2024-01-12 21:54:59", True),
        ("EURUSD", "2024-01-12 21:55:00", False),
        ("EURUSD", "2024-07-12 20:54:59", True),
        ("EURUSD", "2024-07-12 20:55:00", False),
        ("EURUSD", "2024-01-13 12:00:00", False),
        # Christmas: the server day from 24 December 17:00 to 25 December 17:00 New York
        ("EURUSD", "2024-12-24 21:58:00", True),
        ("EURUSD", "2024-12-24 22:30:00", False),
        ("EURUSD", "2024-12-25 21:59:00", False),
        ("EURUSD", "2024-12-25 22:01:00", True),
        ("EURUSD", "2025-01-01 12:00:00", False),
        # Good Friday 29 March 2024: gold is shut, FX is not
        ("EURUSD", "2024-03-29 12:00:00", True),
        ("XAUUSD", "2024-03-29 12:00:00", False),
        ("XAUUSD", "2024-03-28 20:00:00", True),
        # gold rests an hour a day: 16:59-18:00 New York
        ("XAUUSD", "2024-01-09 22:30:00", False),
        ("XAUUSD", "2024-01-09 23:00:00", True),
        # Thanksgiving 2021 at 13:00, 2024 at 14:30 New York; the day after at 13:45
        ("XAUUSD", "2021-11-25 17:59:00", True),
        ("XAUUSD", "2021-11-25 18:00:00", False),
        ("XAUUSD", "2024-11-28 19:29:00", True),
        ("XAUUSD", "2024-11-28 19:30:00", False),
        ("XAUUSD", "2024-11-29 18:44:00", True),
        ("XAUUSD", "2024-11-29 18:45:00", False),
        # 4 July 2021 was a Sunday: observed on Monday the 5th
        ("XAUUSD", "2021-07-05 17:30:00", False),
        ("XAUUSD", "2021-07-06 17:30:00", True),
        # US shares: 09:30-16:00 New York; Juneteenth is a holiday from 2022
        ("AAPL.US", "2024-01-09 14:29:59", False),
        ("AAPL.US", "2024-01-09 14:30:00", True),
        ("AAPL.US", "2024-07-09 13:30:00", True),
        ("AAPL.US", "2021-06-18 15:00:00", True),
        ("AAPL.US", "2024-06-19 15:00:00", False),
        ("AAPL.US", "2024-05-27 15:00:00", False),  # Memorial Day, last Monday of May
        ("AAPL.US", "2021-12-24 15:00:00", False),  # Christmas 2021 fell on a Saturday
        ("AAPL.US", "2024-11-29 18:30:00", False),
        # London index: 01:00 London on both sides of its own change (31 March 2024)
        ("UK100", "2024-03-26 01:00:00", True),
        ("UK100", "2024-04-02 00:00:00", True),
        ("UK100", "2024-03-26 00:59:00", False),
        ("UK100", "2024-12-26 12:00:00", False),
        # half days in London: until 12:50 on 24 and 31 December; days off that fall on a weekend move behind it
        ("UK100", "2024-12-24 12:49:00", True),
        ("UK100", "2024-12-24 12:50:00", False),
        ("UK100", "2024-12-31 12:49:00", True),
        ("UK100", "2024-12-31 12:50:00", False),
        ("UK100", "2023-12-22 15:00:00", True),  # 24 December 2023 was a Sunday
        ("UK100", "2021-12-27 12:00:00", False),
        ("UK100", "2021-12-28 12:00:00", False),
        ("UK100", "2021-12-29 12:00:00", True),
        ("UK100", "2020-12-28 12:00:00", False),  # Boxing Day 2020 was a Saturday
        ("UK100", "2022-12-27 12:00:00", False),  # Christmas 2022 was a Sunday
        ("UK100", "2022-01-03 12:00:00", False),
        # bank holidays in London; that of May 2020 was moved to the 8th, that of late May 2022 to 2 June
        ("UK100", "2021-05-03 12:00:00", False),
        ("UK100", "2020-05-04 12:00:00", True),
        ("UK100", "2020-05-08 12:00:00", False),
        ("UK100", "2023-05-08 12:00:00", False),
        ("UK100", "2024-05-27 12:00:00", False),
        ("UK100", "2022-05-30 12:00:00", True),
        ("UK100", "2022-06-02 12:00:00", False),
        ("UK100", "2020-08-31 12:00:00", False),
        ("UK100", "2024-08-26 12:00:00", False),
        ("UK100", "2022-09-19 12:00:00", False),
        # Frankfurt has no trading on 1 May, nor on 24 and 31 December
        ("GER40", "2025-05-01 10:00:00", False),
        ("GER40", "2025-04-30 20:30:00", True),
        ("GER40", "2025-05-02 10:00:00", True),
        ("GER40", "2024-12-23 15:00:00", True),
        ("GER40", "2024-12-24 10:00:00", False),
        ("GER40", "2024-12-27 10:00:00", True),
        ("GER40", "2024-12-31 10:00:00", False),
        ("GER40", "2025-01-02 10:00:00", True),
        # New York: 13:15 on Christmas Eve, 13:00 on a Monday off, in every year; gold later
        ("US500", "2024-12-24 18:14:00", True),
        ("US500", "2024-12-24 18:15:00", False),
        ("NAS100", "2024-12-24 18:15:00", False),
        ("US30", "2024-12-31 18:30:00", True),
        ("US500", "2023-02-20 17:59:00", True),
        ("US500", "2023-02-20 18:00:00", False),
        ("XAUUSD", "2023-02-20 18:00:00", True),
        # Christmas on a Saturday is kept on Friday, on a Sunday on Monday; New Year only on a Monday
        ("XAUUSD", "2021-12-24 15:00:00", False),
        ("US500", "2021-12-24 15:00:00", False),
        ("US500", "2021-12-23 21:30:00", True),
        ("XAUUSD", "2016-12-26 15:00:00", False),
        ("XAUUSD", "2017-01-02 15:00:00", False),
        ("XAUUSD", "2022-01-03 15:00:00", True),
        ("EURUSD", "2021-12-24 15:00:00", True),
        ("AAPL.US", "2017-01-02 15:00:00", False),
        ("AAPL.US", "2021-12-31 15:00:00", True),
        # the day before Independence Day: shares until 13:00, indices until 13:15, Tokyo's index and gold as ever
        ("AAPL.US", "2024-07-03 16:59:00", True),
        ("AAPL.US", "2024-07-03 17:00:00", False),
        ("AAPL.US", "2023-07-03 17:30:00", False),
        ("AAPL.US", "2021-07-02 18:00:00", True),  # the 4th on a Sunday, kept on Monday: no half day
        ("US500", "2024-07-03 17:14:00", True),
        ("US500", "2024-07-03 17:15:00", False),
        ("NAS100", "2024-07-03 18:00:00", False),
        ("US500", "2024-07-03 22:30:00", True),
        ("JPN225", "2024-07-03 18:00:00", True),
        ("XAUUSD", "2024-07-03 18:00:00", True),
        # New York's shares on days without a rule: Hurricane Sandy, two days of mourning
        ("AAPL.US", "2012-10-29 15:00:00", False),
        ("AAPL.US", "2012-10-30 15:00:00", False),
        ("AAPL.US", "2018-12-05 16:00:00", False),
        ("AAPL.US", "2019-12-05 16:00:00", True),
        ("AAPL.US", "2025-01-09 16:00:00", False),
        # Tokyo's index at New York's early close
        ("JPN225", "2024-12-24 18:14:00", True),
        ("JPN225", "2024-12-24 18:15:00", False),
        # Sydney index: 09:50-16:30 and 17:10-07:00 Sydney, UTC+11 in January, UTC+10 in July
        ("AUS200", "2024-01-09 22:50:00", True),
        ("AUS200", "2024-01-10 05:45:00", False),
        ("AUS200", "2024-07-09 23:49:00", False),
        ("AUS200", "2024-07-09 23:50:00", True),
        # its half days end at 14:30, without the night behind them; UTC+11 in December
        ("AUS200", "2024-12-24 03:29:00", True),
        ("AUS200", "2024-12-24 03:30:00", False),
        ("AUS200", "2024-12-24 08:00:00", False),
        ("AUS200", "2024-12-26 02:00:00", False),
        ("AUS200", "2024-04-01 02:00:00", False),  # Easter Monday
        ("AUS200", "2024-12-27 02:00:00", True),
        ("AUS200", "2024-12-31 03:30:00", False),
        ("AUS200", "2023-12-22 05:00:00", True),  # Friday before Christmas Eve on a Sunday: the whole day, no night
        ("AUS200", "2023-12-22 07:00:00", False),
        ("AUS200", "2021-12-28 02:00:00", False),
        ("AUS200", "2022-01-03 02:00:00", False),
        # days off without a night behind them: it would end at 7:00 Sydney (Good Friday 2024 was 29 March)
        ("AUS200", "2024-03-28 12:30:00", True),
        ("AUS200", "2024-03-28 13:30:00", False),
        ("AUS200", "2024-03-29 16:00:00", False),
        ("AUS200", "2024-04-01 18:00:00", False),
        ("AUS200", "2025-01-01 18:00:00", False),
        ("AUS200", "2025-01-01 23:00:00", True),
        # days on which the night is as ever: Australia Day (a Sunday in 2025), ANZAC Day, the King's Birthday
        ("AUS200", "2026-01-26 02:00:00", False),
        ("AUS200", "2026-01-26 06:30:00", True),
        ("AUS200", "2025-01-27 02:00:00", False),
        ("AUS200", "2024-04-25 02:00:00", False),
        ("AUS200", "2024-04-24 19:00:00", True),
        ("AUS200", "2020-06-08 02:00:00", False),
        ("AUS200", "2020-06-08 07:10:00", True),
        ("AUS200", "2022-09-22 02:00:00", False),
        ("BTCUSD", "2024-01-13 12:00:00", True),
        ("BTCUSD", "2024-12-25 12:00:00", True),
        ("US500", "2024-01-07 22:30:00", False),
        ("US500", "2024-01-07 23:00:00", True),
    ],
)
def test_open_or_not(symbol: str, utc: str, expected: bool) -> None:
    assert is_open(symbol, utc) is expected


def test_easter_sundays() -> None:
    # from the published tables of the Western church
    assert [easter_sunday(y) for y in (2000, 2016, 2019, 2024, 2025, 2030)] == [
        date(2000, 4, 23),
        date(2016, 3, 27),
        date(2019, 4, 21),
        date(2024, 3, 31),
        date(2025, 4, 20),
        date(2030, 4, 21),
    ]


def test_spans_that_touch_are_one() -> None:
    hours = hours_from_mapping({"zone": "UTC", "week": {"sunday": "00:00-24:00", "monday": "00:00-12:00"}}, "x")

    assert hours.intervals == ((0, 86_400 + 43_200),)


def test_a_holiday_may_be_a_window_around_its_midnight() -> None:
    hours = hours_from_mapping(
        {
            "zone": "America/New_York",
            "week": dict.fromkeys(("monday", "tuesday", "wednesday"), "00:00-24:00"),
            "holidays": [{"day": "2024-01-09", "hours": "-07:00 to 17:00"}],
        },
        "x",
    )

    def open_at(utc: str) -> bool:
        return hours.is_open(int(datetime.fromisoformat(utc).replace(tzinfo=UTC).timestamp()) * 10**9)

    assert [open_at(f"2024-01-{t}") for t in ("08 21:59", "08 22:00", "09 21:59", "09 22:00")] == [
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("holiday", "said"),
    [
        ({"name": "no day"}, r"holidays\[0\]: wants \{day, name, hours, yearly\}"),
        ({"day": "2024-02-30"}, "is not a date"),
        ({"day": "2024-01-09", "hours": "7 to 8"}, "is not like"),
        ({"day": "2024-01-09", "hours": "17:00 to 13:00"}, "does not ascend"),
        ({"day": "2024-01-09", "when": 1}, "wants"),
        ({"day": "2024-01-09", "yearly": "no"}, r"holidays\[0\]\.yearly: wants true or false, got 'no'"),
    ],
)
def test_a_bad_holiday_is_refused(holiday: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        hours_from_mapping({"zone": "UTC", "week": {}, "holidays": [holiday]}, "x")


@pytest.mark.parametrize(
    ("holiday", "before", "winter"), [("2024-04-01", "2024-03-31", 0), ("2024-12-26", "2024-12-25", 1)]
)
def test_a_day_off_in_frankfurt_is_the_whole_server_day(holiday: str, before: str, winter: int) -> None:
    # Easter Monday and Boxing Day: closed from 17:00 New York of the day before to 17:00, then the next server day opens.
    evening = [f"{day} {hour + winter}:05" for day in (before, holiday) for hour in (21, 22)]
    assert [is_open("GER40", t) for t in evening] == [False, False, True, True]
    assert not is_open("GER40", f"{holiday} 03:00")
    assert not is_open("GER40", f"{holiday} 12:00")
    # London's own day
    assert not is_open("UK100", f"{holiday} 12:00")


def test_equal_hours_are_equal_keys() -> None:
    # `is_open` keeps rendered months by the hours themselves
    again = hours_from_mapping({"zone": "UTC", "week": {"monday": "00:00-12:00"}}, "x")
    same = hours_from_mapping({"zone": "UTC", "week": {"monday": "00:00-12:00"}}, "y")

    assert again == same
    assert hash(again) == hash(same)
    assert hours_table()["fx"] != hours_table()["metal"]
