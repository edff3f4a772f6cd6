"""US clocks went back on 2021-11-07 and forward on 2022-03-13, both at 02:00 New York wall clock."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.broker.server_time import ServerClock
from pepperstone_adapter.common.errors import ConfigurationError


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


PEPPERSTONE = ServerClock.parse("NY+7")


@pytest.mark.parametrize(
    ("rule", "server", "utc"),
    [
        ("NY+7", "2022-01-10 00:00", "2022-01-09 22:00"),  # winter: server is UTC+2
        ("NY+7", "2022-07-11 00:00", "2022-07-10 21:00"),  # summer: UTC+3
        ("NY+7", "2022-03-15 00:00", "2022-03-14 21:00"),  # US has changed, Europe has not
        ("NY+7", "2021-11-07 08:30", "2021-11-07 05:30"),  # first pass of the doubled hour
        ("fixed:+3", "2022-01-10 00:00", "2022-01-09 21:00"),
        ("fixed:+5.5", "2022-01-10 00:00", "2022-01-09 18:30"),
        ("Europe/Athens", "2022-03-15 00:00", "2022-03-14 22:00"),
        ("UTC", "2022-03-15 00:00", "2022-03-15 00:00"),
    ],
)
def test_server_to_utc(rule: str, server: str, utc: str) -> None:
    clock = ServerClock.parse(rule)
    assert clock.to_utc_ns(ns(server)) == ns(utc)
    assert clock.convert(np.array([ns(server)])).utc_ns.tolist() == [ns(utc)]
    assert clock.from_utc_ns(ns(utc)) == ns(server)


def test_doubled_and_missing_hours_are_marked() -> None:
    stamps = ["2021-11-07 07:59", "2021-11-07 08:30", "2021-11-07 09:00", "2022-03-13 08:59", "2022-03-13 09:30"]
    stamps.append("2022-03-13 10:00")
    result = PEPPERSTONE.convert(np.array([ns(s) for s in stamps]))
    assert result.ambiguous.tolist() == [False, True, False, False, False, False]
    assert result.impossible.tolist() == [False, False, False, False, True, False]
    # 09:30 does not exist on that day: with the offset before the change (server = UTC+2) it reads 07:30.
    assert result.utc_ns[4] == ns("2022-03-13 07:30")


@given(st.integers(ns("1995-01-01 00:00"), ns("2055-01-01 00:00")), st.sampled_from(["NY+7", "Europe/Athens"]))
def test_arrays_and_single_stamps_agree(utc_ns: int, rule: str) -> None:
    clock = ServerClock.parse(rule)
    server = clock.from_utc_ns(utc_ns)
    result = clock.convert(np.array([server]))
    assert result.utc_ns[0] == clock.to_utc_ns(server)
    assert not result.impossible[0]
    assert result.ambiguous[0] or result.utc_ns[0] == utc_ns


def test_a_rule_is_never_guessed() -> None:
    with pytest.raises(ConfigurationError, match=r"NY\+7"):
        ServerClock.parse("broker")
