"""Time texts to nanoseconds, compared with the standard library."""

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.catalog.times import NO_TIME, parse_times, template_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ns(moment: datetime) -> int:
    delta = moment - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 10**9 + delta.microseconds * 1000


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("20200101 170000065", "YYYYMMDD hhmmssfff"),
        ("20130101 22:00:00.295", "YYYYMMDD hh:mm:ss.fff"),
        ("2013-01-01 22:00:00.295000+00:00", "YYYY-MM-DD hh:mm:ss.ffffff+oo:oo"),
        ("2020.01.02", "YYYY.MM.DD"),
        ("00:00:00.123", "hh:mm:ss.fff"),
        ("2024-01-31T23:59Z", "YYYY-MM-DDThh:mmZ"),
        ("03/04/2025 10:00", None),  # day first or month first: nobody can tell
        ("1577836800", None),
        ("2020-01.02", None),
        ("yesterday", None),
    ],
)
def test_templates_are_told_only_where_the_order_is_certain(text: str, template: str | None) -> None:
    assert template_of(text) == template


@given(
    moments=st.lists(
        st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001 - wall clocks
        min_size=1,
        max_size=30,
    ),
    minutes=st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_iso_texts_agree_with_the_standard_library(moments: list[datetime], minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    moments = [m.replace(tzinfo=zone) for m in moments]
    times = parse_times(pa.array([m.isoformat(sep=" ") for m in moments]))  # microseconds of zero shorten the text
    assert times.ns.tolist() == [to_ns(m) for m in moments]
    assert times.utc.all()


@pytest.mark.parametrize(
    "text",
    ["2024-02-30 00:00:00", "2023-02-29 00:00:00", "2024-13-01 00:00:00", "2024-01-01 24:00:00", "2024-01-01 23:60:00",
     "2024-01-01 23:59:6x", "2024-01-01_00:00:00", "", "0000-00-00 00:00:00"],
)  # fmt: skip
def test_a_time_that_is_none_leaves_its_neighbours_alone(text: str) -> None:
    good = "2024-02-29 23:59:59"
    expected = to_ns(datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC))
    for place in range(3):  # the first of a block decides nothing
        texts, wanted = [good, good], [expected, expected]
        texts.insert(place, text)
        wanted.insert(place, NO_TIME)
        times = parse_times(pa.array(texts))
        assert times.ns.tolist() == wanted
        assert not times.utc.any()


def test_two_layouts_of_one_length_are_both_read() -> None:
    texts = [
        "2024-02-29T23:59:59",
        "2024-02-29 23:59:59",
        "2024.02.29 23:59:59",
        "29.02.2024 23:59:59",
        "2024-02-29 23:59Z",
    ]
    expected = to_ns(datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC))
    times = parse_times(pa.array(texts))
    assert times.ns.tolist() == [expected, expected, expected, NO_TIME, expected - 59 * 10**9]
    assert times.utc.tolist() == [False, False, False, False, True]


def test_a_given_template_reads_days_first() -> None:
    column = pa.array(["03.04.2025 10:30:00.250", "2025-04-03 10:30:00.25"])
    times = parse_times(column, "DD.MM.YYYY hh:mm:ss.fff")
    assert times.ns.tolist() == [to_ns(datetime(2025, 4, 3, 10, 30, 0, 250_000, tzinfo=UTC)), NO_TIME]


def test_slices_and_long_columns_give_the_same_as_single_rows() -> None:
    texts = [f"2024.01.{1 + i // 3000:02d} {i % 24:02d}:{i % 60:02d}" for i in range(20_000)]
    column = pa.array(texts)
    whole = parse_times(column).ns.tolist()
    assert parse_times(column.slice(12_345, 3)).ns.tolist() == whole[12_345:12_348]
    assert whole == [
        to_ns(datetime(2024, 1, 1 + i // 3000, i % 24, i % 60, tzinfo=UTC)) for i in range(20_000)
    ]  # fmt: skip
