"""Trade statistics of small lists, worked out by hand."""

import math
from dataclasses import replace
from decimal import Decimal

import pytest

from pepperstone_adapter.backtest import trades
from pepperstone_adapter.simulation.record import PositionRow

HOUR_NS = 3_600_000_000_000
NS = 1_000_000_000


def position(net: str | int, number: int = 0, **changes: object) -> PositionRow:
    row = PositionRow(
        position_id=f"P-{number}",
        strategy_id="S-000",
        instrument_id="EURUSD.PEPPERSTONE",
        side="LONG",
        units=Decimal(1000),
        opened_ns=number * HOUR_NS,
        closed_ns=(number + 1) * HOUR_NS,
        open_price=Decimal("1.1"),
        close_price=Decimal("1.2"),
        gross=Decimal(net),
        commission=Decimal(0),
        swap=Decimal(0),
        net=Decimal(net),
        mae=Decimal(0),
        mfe=Decimal(0),
        exit_reason="client",
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def listed(*nets: str | int) -> list[PositionRow]:
    return [position(net, i) for i, net in enumerate(nets)]


def test_summary() -> None:
    s = trades.summary(listed(30, -10, 0, "-5.50", 20))
    assert (s.count, s.wins, s.losses) == (5, 2, 2)
    assert (s.gross_profit, s.gross_loss, s.net) == (50, Decimal("15.50"), Decimal("34.50"))
    assert s.win_pct == 40.0
    assert s.profit_factor == pytest.approx(50 / 15.5)
    assert s.expectancy == Decimal("6.9")  # 34.50 / 5


def test_summary_of_nothing_and_of_winners_only() -> None:
    empty = trades.summary([])
    assert (empty.count, empty.net, empty.win_pct, empty.profit_factor, empty.expectancy) == (0, 0, None, None, None)
    assert trades.summary(listed(1, 2)).profit_factor is None


def test_payoff_and_expectancy_in_r() -> None:
    rows = listed(30, -10, 10, -20)
    assert trades.payoff(rows) == pytest.approx(20 / 15)
    assert trades.expectancy_r(rows) == pytest.approx((10 / 4) / 15)
    assert trades.payoff(listed(1)) is None
    assert trades.expectancy_r(listed(1)) is None


def test_streaks() -> None:
    rows = listed(1, 2, -5, 40, 0, 3, 4, 5, -1)
    won = trades.streak(rows, winning=True)
    assert (won.longest, won.longest_net) == (3, 12)  # 3, 4, 5
    assert (won.largest_length, won.largest_net) == (1, 40)
    assert won.average_length == pytest.approx(2.0)  # runs of 2, 1, 3
    lost = trades.streak(rows, winning=False)
    assert (lost.longest, lost.largest_net) == (1, -5)
    assert trades.streak([], winning=True) == trades.Streak(0, Decimal(0), Decimal(0), 0, None)


def test_durations() -> None:
    rows = [position(1, opened_ns=0, closed_ns=s * NS) for s in (10, 20, 90)]
    assert trades.durations_s(rows) == {"min": 10.0, "avg": 40.0, "median": 20.0, "max": 90.0}
    assert trades.durations_s([]) is None


def test_closed_leaves_open_positions_out_and_sorts_by_close() -> None:
    rows = [position(1, 5), position(2, 1), position(3, 9, closed_ns=0)]
    assert [t.position_id for t in trades.closed(rows)] == ["P-1", "P-5"]


def test_groups_by_entry_time() -> None:
    friday_23 = 1_577_487_600 * NS  # 2019-12-27 23:00 UTC, a Friday
    row = position(7, opened_ns=friday_23)
    assert (trades.opened_hour(row), trades.opened_weekday(row), trades.opened_month(row)) == ("23", "5 Fri", "12")
    groups = trades.grouped([row, position(-2, side="SHORT")], lambda t: t.side)
    assert {name: g.net for name, g in groups.items()} == {"LONG": 7, "SHORT": -2}


def test_z_score_of_alternating_trades() -> None:
    # 40 trades, 20 wins, 40 runs: P = 2·20·20 = 800; z = (40·39.5 - 800) / sqrt(800·760/39) = 780 / 124.859...
    z, confidence = trades.z_score(listed(*([1, -1] * 20))) or (0, 0)
    assert z == pytest.approx(780 / math.sqrt(800 * 760 / 39))
    assert confidence == pytest.approx(100, abs=1e-4)
    # All wins first: two runs, far below chance.
    clustered, _ = trades.z_score(listed(*([1] * 20 + [-1] * 20))) or (0, 0)
    assert clustered == pytest.approx((40 * 1.5 - 800) / math.sqrt(800 * 760 / 39))


def test_z_score_needs_trades_of_both_signs() -> None:
    assert trades.z_score(listed(*([1, -1] * 10))) is None
    assert trades.z_score(listed(*([1] * 40))) is None


def test_correlation() -> None:
    assert trades.correlation([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert trades.correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert trades.correlation([1, 2, 3, 4], [1, -1, 1, -1]) == pytest.approx(-2 / math.sqrt(5 * 4))
    assert trades.correlation([1, 2], [1, 2]) is None
    assert trades.correlation([1, 1, 1], [1, 2, 3]) is None


def test_a_straight_balance_has_no_error() -> None:
    r, error = trades.balance_line(Decimal(100), listed(*([5] * 30))) or (0, 0)
    assert r == pytest.approx(1)
    assert error == pytest.approx(0, abs=1e-4)
    assert trades.balance_line(Decimal(100), listed(5, 5)) is None


def test_holding_period_returns() -> None:
    # 100 -> 110 -> 99: factors 1.1 and 0.9; arithmetic mean 1.0, geometric sqrt(0.99).
    arithmetic, geometric = trades.holding_period_returns(Decimal(100), listed(10, -11)) or (9, 9)
    assert arithmetic == pytest.approx(0)
    assert geometric == pytest.approx(100 * (math.sqrt(0.99) - 1))
    assert trades.holding_period_returns(Decimal(100), listed(-100)) is None
    assert trades.holding_period_returns(Decimal(100), []) is None
