"""Statistics of daily equity returns.

A day is a *trading day*: it ends at 17:00 New York (that instant included), when the broker's server clock turns and
swaps are booked. The value of a day is the last equity sample in it; a day without a sample is no day (no zero return
is invented for weekends and holidays). A return is ``value / value_before - 1``; the first day is measured from the
start balance.

Ratios are annualised by the square root of the days a year has: 252, or 365 when the account was sampled on weekend
days too (crypto). The risk-free rate is zero. These are ratios of floats, not money.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import NormalDist
from zoneinfo import ZoneInfo

import numpy as np

NEW_YORK = ZoneInfo("America/New_York")
DAY_ENDS = "17:00 America/New_York"
NS = 1_000_000_000
HOUR_S = 3600
MIN_DAYS = 20  # below this a ratio says nothing and is left out
MIN_YEARS = 30 / 365.25  # a growth rate is not extrapolated from less than a month


@dataclass(frozen=True, slots=True)
class Day:
    """A trading day's last equity and its return against the day before."""

    day: date
    equity: Decimal
    change: float


@dataclass(frozen=True, slots=True)
class ReturnStatistics:
    """What daily returns say; None where there are too few days or the ratio has no meaning."""

    days: int
    days_per_year: int
    cagr_pct: float | None
    volatility_pct: float | None
    sharpe: float | None
    sortino: float | None
    omega: float | None
    probabilistic_sharpe_pct: float | None
    var_95_pct: float | None
    cvar_95_pct: float | None
    skew: float | None
    kurtosis: float | None
    best_day_pct: float | None
    worst_day_pct: float | None
    winning_days_pct: float | None


def trading_day(ts_ns: int) -> date:
    """The trading day of an instant: after 17:00 New York it is the next date."""
    # A bar that closes at 17:00 belongs to the day it ends.
    local = datetime.fromtimestamp((ts_ns - 1) // NS, tz=UTC).astimezone(NEW_YORK)
    return local.date() + timedelta(days=1) if local.hour >= 17 else local.date()


def daily(times_ns: Sequence[int], equity: Sequence[Decimal], start: Decimal) -> list[Day]:
    """Equity samples (ascending) to trading days."""
    last: dict[date, Decimal] = {}
    hour_before, day = -1, date.min
    for ts_ns, value in zip(times_ns, equity, strict=True):
        # New York's offset is whole hours, so all instants of one UTC hour belong to one trading day.
        hour = (ts_ns - 1) // (HOUR_S * NS)
        if hour != hour_before:
            hour_before, day = hour, trading_day(ts_ns)
        last[day] = value
    days: list[Day] = []
    before = start
    for day, value in last.items():
        days.append(Day(day, value, float(value / before) - 1 if before > 0 else 0.0))
        before = value
    return days


def days_per_year(days: Sequence[Day]) -> int:
    """365 when there are weekend days among `days`, else 252."""
    return 365 if any(d.day.weekday() >= 5 for d in days) else 252


def return_statistics(days: Sequence[Day], start: Decimal, end: Decimal, years: float) -> ReturnStatistics:
    """Statistics of `days`; `start`, `end` and `years` give the growth rate."""
    per_year = days_per_year(days)
    r = np.array([d.change for d in days], dtype=np.float64)
    enough = len(r) >= MIN_DAYS
    mean = float(r.mean()) if enough else 0.0
    deviation = float(r.std(ddof=1)) if enough else 0.0
    downside = math.sqrt(float(np.mean(np.minimum(r, 0.0) ** 2))) if enough else 0.0
    losses = -float(r[r < 0].sum())
    sharpe = mean / deviation if deviation > 0 else None
    skew, kurtosis = _shape(r, mean) if deviation > 0 else (None, None)
    var = -float(np.quantile(r, 0.05)) if enough else None
    root = math.sqrt(per_year)
    return ReturnStatistics(
        days=len(r),
        days_per_year=per_year,
        cagr_pct=100 * (float(end / start) ** (1 / years) - 1) if years >= MIN_YEARS and end > 0 else None,
        volatility_pct=100 * deviation * root if enough else None,
        sharpe=None if sharpe is None else sharpe * root,
        sortino=mean / downside * root if downside > 0 else None,
        omega=float(r[r > 0].sum()) / losses if enough and losses > 0 else None,
        probabilistic_sharpe_pct=_probabilistic_sharpe(sharpe, skew, kurtosis, len(r)),
        var_95_pct=None if var is None else 100 * var,
        cvar_95_pct=None if var is None else -100 * float(r[r <= -var].mean()),
        skew=skew,
        kurtosis=kurtosis,
        best_day_pct=100 * float(r.max()) if len(r) else None,
        worst_day_pct=100 * float(r.min()) if len(r) else None,
        winning_days_pct=100 * float((r > 0).mean()) if len(r) else None,
    )


def monthly(days: Sequence[Day]) -> dict[tuple[int, int], float]:
    """(year, month) -> percent return of the month, from compounded daily returns."""
    growth: dict[tuple[int, int], float] = {}
    for d in days:
        key = (d.day.year, d.day.month)
        growth[key] = growth.get(key, 1.0) * (1 + d.change)
    return {key: 100 * (value - 1) for key, value in growth.items()}


def yearly(days: Sequence[Day]) -> dict[int, float]:
    """Year -> percent return of the year."""
    growth: dict[int, float] = {}
    for d in days:
        growth[d.day.year] = growth.get(d.day.year, 1.0) * (1 + d.change)
    return {year: 100 * (value - 1) for year, value in growth.items()}


def _shape(r: "np.ndarray[tuple[int], np.dtype[np.float64]]", mean: float) -> tuple[float, float]:
    """Skewness and kurtosis (3 for a normal distribution), from population moments."""
    centred = r - mean
    variance = float(np.mean(centred**2))
    return float(np.mean(centred**3)) / variance**1.5, float(np.mean(centred**4)) / variance**2


def _probabilistic_sharpe(sharpe: float | None, skew: float | None, kurtosis: float | None, n: int) -> float | None:
    """Probability that the true Sharpe ratio is above zero (Bailey and López de Prado 2012, eq. 9), in percent."""
    if sharpe is None or skew is None or kurtosis is None:
        return None
    spread = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if spread <= 0:
        return None
    return 100 * NormalDist().cdf(sharpe * math.sqrt(n - 1) / math.sqrt(spread))
