"""Sizes never grow and risk never exceeds what was allowed; the sums by hand are in account currency."""

from datetime import UTC, datetime, time
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pepperstone_adapter.broker.units import (
    floor_to_step,
    floor_to_tick,
    in_session,
    lots_to_units,
    parse_session,
    pip_value,
    tradable_units,
    units_for_risk,
    units_to_lots,
)

D = Decimal
positive = st.decimals(min_value=D("0.0001"), max_value=D("1e9"), places=4)
steps = st.sampled_from([D("0.01"), D("0.1"), D(1), D(50), D(1000)])


@given(positive, steps)
def test_a_floor_is_a_multiple_just_below(units: Decimal, step: Decimal) -> None:
    floored = floor_to_step(units, step)

    assert floored % step == 0
    assert floored <= units < floored + step


@given(positive, st.sampled_from([D(1), D(100), D(5000), D(100_000)]))
def test_lots_and_back(lots: Decimal, contract_size: Decimal) -> None:
    assert units_to_lots(lots_to_units(lots, contract_size), contract_size) == lots


@given(positive, steps, st.integers(1, 50), st.integers(0, 10_000))
def test_what_is_tradable_can_be_ordered(units: Decimal, step: Decimal, least: int, more: int) -> None:
    minimum, maximum = least * step, (least + more) * step

    size = tradable_units(units, minimum, step, maximum)

    assert size == 0 or (minimum <= size <= maximum and size % step == 0 and size <= units)
    assert (size == 0) == (units < minimum)


@given(
    equity=positive,
    risk=st.decimals(min_value=D("0.01"), max_value=D(100), places=2),
    distance=st.decimals(min_value=D("0.00001"), max_value=D(1000), places=5),
    rate=st.decimals(min_value=D("0.0001"), max_value=D(200), places=4),
    step=steps,
)
def test_the_stop_never_costs_more_than_allowed(
    equity: Decimal, risk: Decimal, distance: Decimal, rate: Decimal, step: Decimal
) -> None:
    units = units_for_risk(equity, risk, distance, rate, minimum=step, step=step, maximum=10**9 * step)

    allowed = equity * risk / 100
    assert units * distance * rate <= allowed
    assert units % step == 0
    # and it is the largest such size, up to one part in 10^20 of division
    assume(units < 10**9 * step)
    assert (units + step) * distance * rate > allowed * (1 - D("1e-20"))


@pytest.mark.parametrize(
    ("equity", "risk", "distance", "rate", "step", "expected"),
    [
        # 1 % of 10,000 USD is 100 USD; 20 pips of EURUSD cost 0.0020 USD a unit: 50,000 units
        ("10000", "1", "0.0020", "1", "1000", "50000"),
        # 160 points of USDJPY are 0.160 JPY = 0.001 USD at 160 (1 JPY = 0.00625 USD): 100 / 0.001 = 100,000 units
        ("10000", "1", "0.160", "0.00625", "1000", "100000"),
        # GER40 40 points, EURUSD 1.10: 44 USD a unit; 100 / 44 = 2.27: 2.2 units of step 0.1
        ("10000", "1", "40", "1.10", "0.1", "2.2"),
        # gold 5 USD an ounce, 0.5 % of 2,500 USD = 12.50: 2 ounces
        ("2500", "0.5", "5", "1", "1", "2"),
    ],
)
def test_sizes_by_hand(equity: str, risk: str, distance: str, rate: str, step: str, expected: str) -> None:
    units = units_for_risk(D(equity), D(risk), D(distance), D(rate), minimum=D(step), step=D(step), maximum=D(10**7))

    assert units == D(expected)


def test_too_small_an_account_does_not_trade() -> None:
    # 1 % of 100 USD is 1 USD; 1,000 units with a 20-pip stop already risk 2 USD
    limits = {"minimum": D(1000), "step": D(1000), "maximum": D(10**7)}

    assert units_for_risk(D(100), D(1), D("0.0020"), D(1), **limits) == 0
    assert units_for_risk(D(0), D(1), D("0.0020"), D(1), **limits) == 0
    assert units_for_risk(D(-5), D(1), D("0.0020"), D(1), **limits) == 0


def test_the_maximum_caps() -> None:
    assert units_for_risk(D(10**9), D(1), D("0.001"), D(1), minimum=D(1000), step=D(1000), maximum=D(10**7)) == 10**7


@pytest.mark.parametrize(
    ("risk", "distance", "rate"),
    [("0", "1", "1"), ("101", "1", "1"), ("1", "0", "1"), ("1", "-1", "1"), ("1", "1", "0")],
)
def test_senseless_risk_is_refused(risk: str, distance: str, rate: str) -> None:
    with pytest.raises(ValueError, match=r"must be positive|is not above 0"):
        units_for_risk(D(1000), D(risk), D(distance), D(rate), minimum=D(1), step=D(1), maximum=D(10))


def test_pip_values_by_hand() -> None:
    assert pip_value(D(100_000), D("0.0001"), D(1)) == 10  # EURUSD, USD account
    assert pip_value(D(100_000), D("0.01"), D("0.0065")) == D("6.5")  # USDJPY at a JPYUSD of 0.0065
    assert pip_value(D(1), D(1), D("1.25")) == D("1.25")  # one unit of UK100 on a USD account


def test_ticks_and_steps() -> None:
    assert floor_to_tick(D("1.234567"), D("0.00001")) == D("1.23456")
    with pytest.raises(ValueError, match="step 0 is not positive"):
        floor_to_step(D(1), D(0))


def ns(utc: str) -> int:
    return int(datetime.fromisoformat(utc).replace(tzinfo=UTC).timestamp()) * 10**9


def test_a_session_is_local_through_the_year() -> None:
    london = (time(8), time(16, 30), "Europe/London")

    assert in_session(ns("2024-01-09 08:00"), *london)
    assert not in_session(ns("2024-01-09 07:59"), *london)
    assert not in_session(ns("2024-01-09 16:30"), *london)
    assert in_session(ns("2024-07-09 07:00"), *london)
    assert not in_session(ns("2024-07-09 15:30"), *london)


def test_a_session_over_midnight_and_one_of_all_day() -> None:
    asia = (time(22), time(6), "UTC")

    assert [in_session(ns(f"2024-01-09 {t}"), *asia) for t in ("21:59", "22:00", "05:59", "06:00")] == [
        False,
        True,
        True,
        False,
    ]
    assert in_session(ns("2024-01-09 13:00"), time(0), time(0), "UTC")


def test_sessions_as_text() -> None:
    assert parse_session("08:00-17:30") == (time(8), time(17, 30))
    assert parse_session("18:00 - 24:00") == (time(18), time(0))
    assert in_session(ns("2024-01-09 23:59"), *parse_session("18:00-24:00"), "UTC")
    for bad in (
        "8-17",
        "08:00",
        "08:00-25:00",
        "morning-evening",
        "08:00-17:00+02:00",
        "08:00-12:00-17:00",
        "24:01-08:00",
    ):
        with pytest.raises(ValueError, match=r"is not HH:MM-HH:MM"):
            parse_session(bad)
