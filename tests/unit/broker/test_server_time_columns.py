"""Server clocks against zoneinfo, and by hand where clocks change."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.broker.server_time import ServerClock, parse_clock, to_local, to_utc
from pepperstone_adapter.common.errors import ConfigurationError

NS = 1_000_000_000


def ns(*times: str) -> np.ndarray:
    return np.array([np.datetime64(t, "ns") for t in times]).astype(np.int64)


def texts(values: np.ndarray) -> list[str]:
    return [str(t)[:16] for t in values.astype("datetime64[ns]")]


def test_new_york_close_is_server_midnight_on_both_sides_of_the_us_change() -> None:
    clock = parse_clock("new-york+7")
    # 17:00 New York is 22:00 UTC in winter and 21:00 UTC from 10 March 2019 on, three weeks before Europe
    winter_summer = to_utc(ns("2019-03-09T00:00", "2019-03-12T00:00", "2019-11-02T00:00", "2019-11-05T00:00"), clock)
    assert texts(winter_summer.ns) == ["2019-03-08T22:00", "2019-03-11T21:00", "2019-11-01T21:00", "2019-11-04T22:00"]
    assert winter_summer.gap is None
    assert winter_summer.folded == 0


def test_european_summer_time_starts_three_weeks_later() -> None:
    clock = parse_clock("Europe/Athens")
    assert texts(to_utc(ns("2019-03-12T00:00", "2019-04-01T00:00"), clock).ns) == [
        "2019-03-11T22:00",
        "2019-03-31T21:00",
    ]


def test_a_time_that_never_was_is_marked() -> None:
    # New York skips 02:00 to 03:00 on 10 March 2019: 09:00 to 10:00 of the server's clock
    times = to_utc(
        ns("2019-03-10T08:59", "2019-03-10T09:00", "2019-03-10T09:59", "2019-03-10T10:00"), parse_clock("ny+7")
    )
    assert times.gap is not None
    assert times.gap.tolist() == [False, True, True, False]
    assert texts(times.ns[[0, 3]]) == ["2019-03-10T06:59", "2019-03-10T07:00"]


def test_a_repeated_hour_is_resolved_by_the_order_of_rows_over_blocks() -> None:
    clock = parse_clock("America/New_York")
    rows = ns("2019-11-03T00:59", "2019-11-03T01:00", "2019-11-03T01:59", "2019-11-03T01:00", "2019-11-03T01:59",
              "2019-11-03T02:00")  # fmt: skip
    whole = to_utc(rows, clock)
    expected = ["2019-11-03T04:59", "2019-11-03T05:00", "2019-11-03T05:59", "2019-11-03T06:00", "2019-11-03T06:59",
                "2019-11-03T07:00"]  # fmt: skip
    assert texts(whole.ns) == expected
    assert whole.folded == 4
    for cut in range(1, len(rows)):
        first = to_utc(rows[:cut], clock)
        second = to_utc(rows[cut:], clock, first.state)
        assert texts(np.concatenate([first.ns, second.ns])) == expected
        assert first.folded + second.folded == 4


@given(
    zone=st.sampled_from(
        ["America/New_York", "Europe/London", "Asia/Kolkata", "Australia/Sydney", "Africa/Casablanca"]
    ),
    second=st.integers(min_value=0, max_value=4_000_000_000),
)
def test_wall_clocks_agree_with_zoneinfo(zone: str, second: int) -> None:
    clock = parse_clock(zone)
    offset = datetime.fromtimestamp(second, tz=UTC).astimezone(ZoneInfo(zone)).utcoffset()
    assert offset is not None
    local = to_local(np.array([second * NS]), clock)
    assert local[0] == (second + int(offset.total_seconds())) * NS
    back = to_utc(local, clock)
    # the way back is unique except in a repeated hour, where the first pass is taken
    assert back.ns[0] == second * NS or back.folded == 1
    assert back.gap is None or not back.gap.any()


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("UTC", ServerClock("utc")),
        ("+02:00", ServerClock("+02:00", shift_ns=7200 * NS)),
        ("utc-3:30", ServerClock("-03:30", shift_ns=-12_600 * NS)),
        ("NY+7", ServerClock("new-york+7", "America/New_York", 7 * 3600 * NS)),
        ("Europe/London", ServerClock("Europe/London", "Europe/London")),
    ],
)
def test_rules_are_read(text: str, clock: ServerClock) -> None:
    assert parse_clock(text) == clock


@pytest.mark.parametrize("text", ["Europe/Londn", "+25", "server", "", "utc+2.5"])
def test_what_is_no_rule_is_refused_with_the_rules_that_are(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is no zone rule; .*new-york\+7 .*IANA"):
        parse_clock(text)
