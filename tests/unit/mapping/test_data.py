"""Prices, quotes and bars: exact digits, closes as stamps, the catalog's volume convention."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.model import BarType, InstrumentId, PriceType

from pepperstone_adapter.broker.market import Bar, BarPeriod
from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.catalog import volume
from pepperstone_adapter.mapping import data
from pepperstone_adapter.mapping.data import (
    QuoteScale,
    bar,
    bar_close_ns,
    bar_open_ns,
    bar_type_of,
    period_of,
    price,
    size_from_cents,
)

EURUSD = InstrumentId.from_str("EURUSD.PEPPERSTONE")


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@given(points=st.integers(1, 10**9), digits=st.integers(0, 8))
def test_points_become_prices_without_losing_a_digit(points: int, digits: int) -> None:
    made = price(points, digits)
    assert made.as_decimal() == Decimal(points).scaleb(-digits)
    assert made.precision == digits


def test_a_quote_is_made_of_points_and_sizes_of_the_book_or_the_nominal_one() -> None:
    scale = QuoteScale(EURUSD, 5, 0)
    quote = scale.quote(108_500, 108_507, 10, 20)
    assert (str(quote.bid_price), str(quote.ask_price)) == ("1.08500", "1.08507")
    assert (quote.bid_size, quote.ts_event, quote.ts_init) == (quote.ask_size, 10, 20)
    assert int(quote.bid_size) == data.QUOTE_UNITS
    sized = scale.quote(108_500, 108_507, 10, 20, 50_000_099, 70_000_000)
    assert (str(sized.bid_size), str(sized.ask_size)) == ("500000", "700000")  # hundredths, rounded down


def test_sizes_keep_the_instruments_precision() -> None:
    assert [str(size_from_cents(12_345, digits)) for digits in (0, 1, 2)] == ["123", "123.4", "123.45"]


def test_volume_constants_are_the_catalogs() -> None:
    assert (data.UNITS_PER_TICK, data.UNITS_PER_TICK_DAILY, data.QUOTE_UNITS, data.MAX_UNITS) == (
        volume.UNITS_PER_TICK,
        volume.UNITS_PER_TICK_DAILY,
        volume.QUOTE_UNITS,
        volume.MAX_UNITS,
    )


def test_every_period_has_a_bar_type_and_back() -> None:
    for period in BarPeriod:
        assert period_of(bar_type_of(EURUSD, period)) is period
    assert str(bar_type_of(EURUSD, BarPeriod.H4, PriceType.ASK)) == "EURUSD.PEPPERSTONE-4-HOUR-ASK-EXTERNAL"
    assert period_of(BarType.from_str("EURUSD.PEPPERSTONE-5-SECOND-BID-EXTERNAL")) is None
    assert period_of(BarType.from_str("EURUSD.PEPPERSTONE-100-TICK-BID-INTERNAL")) is None


@pytest.mark.parametrize(
    ("period", "opened", "closed"),
    [
        (BarPeriod.M1, "2026-03-02 10:00", "2026-03-02 10:01"),
        (BarPeriod.H4, "2026-03-02 20:00", "2026-03-03 00:00"),
        (BarPeriod.D1, "2026-03-04 22:00", "2026-03-05 22:00"),  # 17:00 New York, winter
        (BarPeriod.D1, "2026-03-08 21:00", "2026-03-09 21:00"),  # first evening of American summer time
        (BarPeriod.W1, "2026-03-01 22:00", "2026-03-08 21:00"),  # the clock changed on the 8th: an hour short
        (BarPeriod.W1, "2026-10-25 21:00", "2026-11-01 22:00"),  # and back on 1 November: an hour long
        (BarPeriod.MN1, "2026-01-31 22:00", "2026-02-28 22:00"),  # opens on the evening before the first
        (BarPeriod.MN1, "2026-11-30 22:00", "2026-12-31 22:00"),
    ],
)
def test_a_bar_is_named_by_its_close(period: BarPeriod, opened: str, closed: str) -> None:
    assert bar_close_ns(period, ns(opened)) == ns(closed)


def test_a_bar_carries_close_stamp_exact_prices_and_scaled_ticks() -> None:
    source = Bar("EURUSD", BarPeriod.M1, ns("2026-03-02 10:00"), 108_500, 108_520, 108_490, 108_510, 37)
    made = bar(source, bar_type_of(EURUSD, BarPeriod.M1), 5, ts_init_ns=ns("2026-03-02 10:01") + 5)
    assert (str(made.open), str(made.high), str(made.low), str(made.close)) == (
        "1.08500",
        "1.08520",
        "1.08490",
        "1.08510",
    )
    assert int(made.volume) == 37 * 100_000_000
    assert (made.ts_event, made.ts_init) == (ns("2026-03-02 10:01"), ns("2026-03-02 10:01") + 5)
    empty = bar(source._replace(volume=0), bar_type_of(EURUSD, BarPeriod.M1), 5, 0)
    assert int(empty.volume) == 100_000_000  # as one tick
    assert empty.ts_init == empty.ts_event


@pytest.mark.parametrize(
    ("period", "at", "opened"),
    [
        (BarPeriod.M5, "2024-01-15T08:04:59", "2024-01-15T08:00:00"),
        (BarPeriod.H1, "2024-01-15T08:59:59", "2024-01-15T08:00:00"),
        (BarPeriod.H4, "2024-01-15T08:00:00", "2024-01-15T06:00:00"),  # the day began at 22:00 UTC
        (BarPeriod.H4, "2024-07-15T08:00:00", "2024-07-15T05:00:00"),  # at 21:00
        (BarPeriod.H12, "2024-01-15T21:59:59", "2024-01-15T10:00:00"),
        (BarPeriod.D1, "2024-01-15T21:59:59", "2024-01-14T22:00:00"),
        (BarPeriod.D1, "2024-01-15T22:00:00", "2024-01-15T22:00:00"),
        (BarPeriod.D1, "2024-03-11T12:00:00", "2024-03-10T21:00:00"),  # New York changed its clock that night
        (BarPeriod.W1, "2024-01-17T12:00:00", "2024-01-14T22:00:00"),
        (BarPeriod.MN1, "2024-01-31T21:59:59", "2023-12-31T22:00:00"),
        (BarPeriod.MN1, "2024-01-31T22:00:00", "2024-01-31T22:00:00"),
    ],
)
def test_where_the_bar_of_an_instant_opened(period: BarPeriod, at: str, opened: str) -> None:
    assert bar_open_ns(period, ns(at)) == ns(opened)


@pytest.mark.parametrize(
    ("rule", "period", "opened", "closed"),
    [
        ("utc", BarPeriod.H4, "2024-07-15T04:00:00", "2024-07-15T08:00:00"),
        ("utc", BarPeriod.D1, "2024-07-15T00:00:00", "2024-07-16T00:00:00"),
        ("utc", BarPeriod.D1, "2024-03-10T00:00:00", "2024-03-11T00:00:00"),  # New York's change is not this server's
        ("+02:00", BarPeriod.W1, "2024-03-03T22:00:00", "2024-03-10T22:00:00"),
        ("+02:00", BarPeriod.MN1, "2024-02-29T22:00:00", "2024-03-31T22:00:00"),
        ("+05:30", BarPeriod.H1, "2024-07-15T03:30:00", "2024-07-15T04:30:00"),
        ("Asia/Tokyo", BarPeriod.MN1, "2024-03-31T15:00:00", "2024-04-30T15:00:00"),
        ("Europe/Athens", BarPeriod.D1, "2024-03-30T22:00:00", "2024-03-31T21:00:00"),  # Europe's change: 23 hours
    ],
)
def test_bars_follow_the_rule_of_the_account(rule: str, period: BarPeriod, opened: str, closed: str) -> None:
    clock, opened_ns, closed_ns = parse_clock(rule), ns(opened), ns(closed)
    assert bar_close_ns(period, opened_ns, clock) == closed_ns
    for at in (opened_ns, opened_ns + 1, (opened_ns + closed_ns) // 2, closed_ns - 1):
        assert bar_open_ns(period, at, clock) == opened_ns
    made = bar(Bar("EURUSD", period, opened_ns, 1, 1, 1, 1, 1), bar_type_of(EURUSD, period), 5, 0, clock=clock)
    assert made.ts_event == closed_ns


@pytest.mark.parametrize(
    ("day", "period", "edges"),
    [
        # 09:00 to 09:59 of the server's clock never were: its 08:00 to 12:00 are three hours, 06:00 to 12:00 five.
        ("2024-03-10", BarPeriod.H4, ("02", "06", "09", "13", "17", "21")),
        ("2024-03-10", BarPeriod.H6, ("04", "09", "15", "21")),
        ("2024-03-10", BarPeriod.H3, ("04", "07", "09", "12")),  # opens with the change: its own nine o'clock never was
        # 08:00 to 08:59 were twice.
        ("2024-11-03", BarPeriod.H4, ("01", "05", "10", "14", "18", "22")),
        ("2024-11-03", BarPeriod.H2, ("03", "05", "08", "10")),
        ("2024-11-03", BarPeriod.H12, ("10", "22")),
        ("2024-11-03", BarPeriod.H1, ("05", "06", "07", "08")),
    ],
)
def test_bars_of_hours_follow_the_wall_clock_of_a_server_that_stamps_them_with_it(
    day: str, period: BarPeriod, edges: tuple[str, ...]
) -> None:
    clock = replace(parse_clock("new-york+7"), wall_hours=True)
    for opened, closed in pairwise(ns(f"{day}T{hour}:00:00") for hour in edges):
        for at in (opened, opened + 1, (opened + closed) // 2, closed - 1):
            assert bar_open_ns(period, at, clock) == opened
        assert bar_close_ns(period, opened, clock) == closed


def test_bars_open_where_the_sandbox_opens_them() -> None:
    """Written apart from ours; every five hours and a bit of two years, all periods cTrader has."""
    from pepperstone_adapter.ctrader.client.market import PERIODS
    from pepperstone_adapter.sandbox.ctrader_server.periods import bar_start

    first = 28_401_120  # minutes: 2024-01-01
    for minute in range(first, first + 2 * 366 * 1440, 317):
        for period, number in PERIODS.items():
            assert bar_open_ns(period, minute * 60_000_000_000 + 7) == bar_start(number, minute) * 60_000_000_000
