"""Daily returns and ratios, worked out by hand."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from pepperstone_adapter.backtest.returns import Day, daily, monthly, return_statistics, trading_day, yearly

HOUR_NS = 3_600_000_000_000


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("utc", "day"),
    [
        ("2020-01-15T22:00:00", date(2020, 1, 15)),  # winter: 17:00 New York itself still belongs to the day
        ("2020-01-15T22:00:01", date(2020, 1, 16)),
        ("2020-07-15T21:00:00", date(2020, 7, 15)),  # summer: an hour earlier
        ("2020-07-15T21:00:01", date(2020, 7, 16)),
        ("2020-03-08T21:30:00", date(2020, 3, 9)),  # the Sunday the clocks change
    ],
)
def test_a_trading_day_ends_at_17_new_york(utc: str, day: date) -> None:
    assert trading_day(ns(utc)) == day


def test_daily_takes_the_last_sample_of_each_day() -> None:
    times = [ns(f"2020-01-15T{h:02d}:00:00") for h in (10, 22, 23)] + [ns("2020-01-16T12:00:00")]
    days = daily(times, [Decimal(v) for v in (101, 110, 105, 99)], Decimal(100))
    assert [(d.day, d.equity) for d in days] == [(date(2020, 1, 15), 110), (date(2020, 1, 16), 99)]
    assert [d.change for d in days] == pytest.approx([0.10, -0.10])  # 110/100 - 1, 99/110 - 1


def series(changes: list[float], start: date = date(2021, 3, 1)) -> list[Day]:
    days, equity, at = [], 100.0, start
    for change in changes:
        while at.weekday() > 4:
            at = date.fromordinal(at.toordinal() + 1)
        equity *= 1 + change
        days.append(Day(at, Decimal(str(round(equity, 8))), change))
        at = date.fromordinal(at.toordinal() + 1)
    return days


def test_ratios_of_alternating_days() -> None:
    # 20 days of +2 % and -1 % in turn: mean 0.5 %, squared distance (1.5 %)² each, so s = 1.5 % · sqrt(20/19).
    days = series([0.02, -0.01] * 10)
    s = return_statistics(days, Decimal(100), Decimal(110), years=0.5)
    deviation = 0.015 * math.sqrt(20 / 19)
    assert s.days_per_year == 252
    assert s.sharpe == pytest.approx(0.005 / deviation * math.sqrt(252))
    # Downside: half of the days lose 1 %: sqrt(0.01² / 2).
    assert s.sortino == pytest.approx(0.005 / (0.01 / math.sqrt(2)) * math.sqrt(252))
    assert s.omega == pytest.approx(2.0)  # 10 · 2 % over 10 · 1 %
    assert s.volatility_pct == pytest.approx(100 * deviation * math.sqrt(252))
    assert s.cagr_pct == pytest.approx(100 * (1.1**2 - 1))  # ten percent in half a year
    assert (s.var_95_pct, s.cvar_95_pct) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (s.best_day_pct, s.worst_day_pct, s.winning_days_pct) == (pytest.approx(2), pytest.approx(-1), 50.0)
    # Two values with equal weight: skewness 0, kurtosis 1, so the probability is Φ(SR · sqrt(19)).
    assert s.skew == pytest.approx(0, abs=1e-9)
    assert s.kurtosis == pytest.approx(1)
    z = 0.005 / deviation * math.sqrt(19)
    assert s.probabilistic_sharpe_pct == pytest.approx(100 * 0.5 * (1 + math.erf(z / math.sqrt(2))))


def test_expected_shortfall_is_the_mean_beyond_the_value_at_risk() -> None:
    # 40 days, the two worst -3 % and -5 %: the 5 % quantile lies between the second and third worst.
    s = return_statistics(series([-0.05, -0.03] + [0.01] * 38), Decimal(100), Decimal(120), years=1)
    # numpy's linear quantile: position 0.05 · 39 = 1.95 between -3 % and +1 %: -3 % + 0.95 · 4 % = +0.8 %.
    assert s.var_95_pct == pytest.approx(-0.8)
    assert s.cvar_95_pct == pytest.approx(4.0)  # mean of -5 % and -3 %


def test_few_days_give_no_ratios() -> None:
    s = return_statistics(series([0.01, -0.01, 0.02]), Decimal(100), Decimal(102), years=3 / 365)
    assert (s.sharpe, s.sortino, s.omega, s.var_95_pct, s.cagr_pct, s.volatility_pct) == (None,) * 6
    assert s.best_day_pct == pytest.approx(2)


def test_a_flat_account_has_no_ratio_and_no_crash() -> None:
    s = return_statistics(series([0.0] * 30), Decimal(100), Decimal(100), years=1)
    assert (s.sharpe, s.sortino, s.omega, s.probabilistic_sharpe_pct) == (None,) * 4
    assert s.cagr_pct == pytest.approx(0)
    empty = return_statistics([], Decimal(100), Decimal(100), years=1)
    assert (empty.best_day_pct, empty.winning_days_pct) == (None, None)


def test_a_lost_account_has_no_growth_rate() -> None:
    assert return_statistics([], Decimal(100), Decimal(0), years=1).cagr_pct is None


def test_weekend_days_count_365() -> None:
    days = [*series([0.01, -0.01] * 12), Day(date(2021, 4, 3), Decimal(100), 0.0)]  # a Saturday
    assert return_statistics(days, Decimal(100), Decimal(100), years=1).days_per_year == 365


def test_months_and_years_compound() -> None:
    days = [
        Day(date(2020, 12, 30), Decimal(110), 0.10),
        Day(date(2020, 12, 31), Decimal(99), -0.10),
        Day(date(2021, 1, 4), Decimal(198), 1.0),
    ]
    assert monthly(days) == {(2020, 12): pytest.approx(-1.0), (2021, 1): pytest.approx(100.0)}
    assert yearly(days) == {2020: pytest.approx(-1.0), 2021: pytest.approx(100.0)}
