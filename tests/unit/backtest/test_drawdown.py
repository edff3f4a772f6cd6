"""Drawdowns of small curves, worked out by hand."""

from decimal import Decimal

import pytest

from pepperstone_adapter.backtest.drawdown import drawdowns


def curve(*values: int) -> tuple[list[int], list[Decimal]]:
    return list(range(0, 10 * len(values), 10)), [Decimal(v) for v in values]


def test_two_falls_and_their_recovery() -> None:
    #        t:   0    10    20   30    40    50   60
    found = drawdowns(*curve(100, 120, 90, 120, 150, 110, 130))
    first, second = found.episodes
    assert (first.peak_ns, first.trough_ns, first.recovered_ns) == (10, 20, 30)
    assert (first.depth, first.pct) == (30, 25)  # 120 - 90; 30 / 120
    assert (second.peak_ns, second.trough_ns, second.recovered_ns) == (40, 50, None)
    assert second.depth == 40  # 150 - 110
    assert second.pct == Decimal(40) / 150 * 100
    assert found.absolute == 10  # 100 - 90
    # Below the peak from 20 to 30 and from 50 to the end at 60: 20 of 60.
    assert found.underwater_pct == pytest.approx(100 / 3)


def test_maximal_is_by_money_and_relative_by_percent() -> None:
    found = drawdowns(*curve(100, 70, 1000, 800, 1000))
    assert found.maximal is not None
    assert found.relative is not None
    assert (found.maximal.depth, found.maximal.pct) == (200, 20)
    assert (found.relative.depth, found.relative.pct) == (30, 30)


def test_top_is_deepest_first_and_earlier_first_among_equals() -> None:
    found = drawdowns(*curve(100, 90, 100, 95, 100, 90, 101))
    assert [e.trough_ns for e in found.top(2)] == [10, 50]
    assert [e.depth for e in found.top(5)] == [10, 10, 5]


def test_the_last_touch_of_a_peak_starts_the_fall() -> None:
    (fall,) = drawdowns(*curve(100, 110, 110, 100)).episodes
    assert fall.peak_ns == 20


@pytest.mark.parametrize("values", [(), (100,), (100, 100, 120)])
def test_a_curve_without_a_fall(values: tuple[int, ...]) -> None:
    found = drawdowns(*curve(*values))
    assert found.episodes == ()
    assert (found.maximal, found.relative, found.absolute, found.underwater_pct) == (None, None, 0, 0.0)


def test_a_balance_below_zero_has_no_percentage() -> None:
    (fall,) = drawdowns(*curve(-10, -30)).episodes
    assert (fall.depth, fall.pct) == (20, 0)
