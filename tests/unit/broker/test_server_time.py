"""Single stamps against the calendar and against whole columns. US clocks went back on 2021-11-07."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.broker.server_time import parse_clock, to_utc
from pepperstone_adapter.common.errors import ConfigurationError


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("rule", "server", "utc"),
    [
        ("NY+7", "2022-01-10 00:00", "2022-01-09 22:00"),  # winter: server is UTC+2
        ("NY+7", "2022-07-11 00:00", "2022-07-10 21:00"),  # summer: UTC+3
        ("NY+7", "2022-03-15 00:00", "2022-03-14 21:00"),  # US has changed, Europe has not
        ("NY+7", "2021-11-07 08:30", "2021-11-07 05:30"),  # first pass of the doubled hour
        ("+3", "2022-01-10 00:00", "2022-01-09 21:00"),
        ("+05:30", "2022-01-10 00:00", "2022-01-09 18:30"),
        ("Europe/Athens", "2022-03-15 00:00", "2022-03-14 22:00"),
        ("UTC", "2022-03-15 00:00", "2022-03-15 00:00"),
    ],
)
def test_server_to_utc(rule: str, server: str, utc: str) -> None:
    clock = parse_clock(rule)
    assert clock.to_utc_ns(ns(server)) == ns(utc)
    assert to_utc(np.array([ns(server)]), clock).ns.tolist() == [ns(utc)]
    assert clock.from_utc_ns(ns(utc)) == ns(server)


@given(st.integers(ns("1995-01-01 00:00"), ns("2055-01-01 00:00")), st.sampled_from(["NY+7", "Europe/Athens"]))
def test_arrays_and_single_stamps_agree(utc_ns: int, rule: str) -> None:
    clock = parse_clock(rule)
    server = clock.from_utc_ns(utc_ns)
    result = to_utc(np.array([server]), clock)
    assert result.ns[0] == clock.to_utc_ns(server)
    assert result.gap is None or not result.gap[0]
    assert result.folded or result.ns[0] == utc_ns


def test_a_rule_is_never_guessed() -> None:
    for rule in ("broker", "new-york+15", "new-york-99", "+15:00"):  # no clock on earth is further from another
        with pytest.raises(ConfigurationError, match="no zone rule"):
            parse_clock(rule)
