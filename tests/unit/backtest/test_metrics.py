"""Sections of result.json from records made by hand."""

import math
from dataclasses import replace
from decimal import Decimal

import pytest

from pepperstone_adapter.backtest import metrics
from pepperstone_adapter.simulation.record import EquityPoint, LedgerKind, LedgerRow, RunRecord
from tests.kit.records import HOUR_NS, Trade, record_of

GAIN = Trade(
    symbol="EURUSD",
    opened_ns=10 * HOUR_NS,
    closed_ns=14 * HOUR_NS,
    open_price=Decimal("1.10000"),
    close_price=Decimal("1.10500"),
    swap=Decimal("-0.20"),
)
LOSS = Trade(
    symbol="USDJPY",
    opened_ns=20 * HOUR_NS,
    closed_ns=22 * HOUR_NS,
    open_price=Decimal("110.000"),
    close_price=Decimal("110.550"),
    long=False,
    rate=Decimal("0.009"),
    quote="JPY",
    commission=Decimal("0.30"),
    strategy="Donchian-001",
)
# Gain: 0.005 · 10,000 = 50.00 - 2 · 0.35 - 0.20 = 49.10. Loss: 0.55 · 10,000 · 0.009 = -49.50 - 2 · 0.30 = -50.10.


@pytest.fixture
def record() -> RunRecord:
    return record_of([GAIN, LOSS])


def test_account_and_costs(record: RunRecord) -> None:
    account = metrics.account(record)
    assert account["end_balance"] == Decimal("9999.00")  # 10,000 + 49.10 - 50.10
    assert (account["net_profit"], account["return_pct"]) == (Decimal("-1.00"), pytest.approx(-0.01))
    costs = metrics.costs(record)
    assert (costs["commission"], costs["swap"]) == (Decimal("1.30"), Decimal("0.20"))
    # Two half spreads of half a pip on 10,000 units each way: EURUSD 1.00 USD; USDJPY 0.0001 · 10,000 · 0.009.
    assert costs["spread"] == Decimal("1.01")
    assert costs["total"] == Decimal("2.51")


def test_the_parts_of_the_costs_add_up_to_the_cent(record: RunRecord) -> None:
    # 1.004 and 0.404 are shown as 1.00 and 0.40; with 1.30 and 0.20 they are 2.90, though 2.908 would be shown as 2.91.
    record.costs_spread, record.costs_slippage = Decimal("1.004"), Decimal("0.404")
    costs = metrics.costs(record)
    assert (costs["spread"], costs["slippage"], costs["total"]) == (Decimal("1.00"), Decimal("0.40"), Decimal("2.90"))


def test_costs_have_a_line_for_every_kind_of_charge(record: RunRecord) -> None:
    def row(kind: LedgerKind, amount: str) -> LedgerRow:
        return replace(record.ledger[-1], kind=kind, amount=Decimal(amount))

    record.ledger += [
        row(LedgerKind.CONVERSION, "-0.15"),
        row(LedgerKind.STOP_OUT_FEE, "-2"),
        row(LedgerKind.SWAP, "1"),
    ]
    record.costs_slippage = Decimal("0.40")
    costs = metrics.costs(record)
    assert (costs["conversion"], costs["stop_out_fees"], costs["slippage"]) == (Decimal("0.15"), 2, Decimal("0.40"))
    assert costs["swap"] == Decimal("-0.80")  # 0.20 paid, 1.00 received


def test_trades(record: RunRecord) -> None:
    t = metrics.trade_section(record)
    assert (t["count"], t["wins"], t["losses"], t["open_at_end"]) == (2, 1, 1, 0)
    assert (t["net"], t["largest_win"], t["largest_loss"]) == (Decimal("-1.00"), Decimal("49.10"), Decimal("-50.10"))
    assert t["by_symbol"]["USDJPY.PEPPERSTONE"]["net"] == Decimal("-50.10")
    assert set(t["by_strategy"]) == {"EmaCross-000", "Donchian-001"}
    assert set(t["by_side"]) == {"LONG", "SHORT"}
    assert t["duration_s"] == {"min": 7200, "avg": 10_800, "median": 10_800, "max": 14_400}
    assert t["z_score"] is None


def test_open_positions_are_counted_and_not_mixed_in(record: RunRecord) -> None:
    record.positions.append(replace(record.positions[0], position_id="P-9", closed_ns=0, net=Decimal(1000)))
    t = metrics.trade_section(record)
    assert (t["count"], t["open_at_end"], t["net"]) == (2, 1, Decimal("-1.00"))


def test_orders_and_refusals(record: RunRecord) -> None:
    first = record.orders[0]
    record.orders += [
        replace(first, client_order_id="X1", status="DENIED", reason="no money", filled_units=Decimal(0)),
        replace(first, client_order_id="X2", status="REJECTED", reason="no money", filled_units=Decimal(0)),
        replace(first, client_order_id="X4", status="DENIED", reason="VOLUME_STEP: 3 of 4", filled_units=Decimal(0)),
        replace(first, client_order_id="X3", status="CANCELED", reason="by client", filled_units=Decimal(4000)),
    ]
    o = metrics.order_section(record)
    assert (o["count"], o["fills"], o["partially_filled"]) == (8, 4, 1)
    assert o["by_status"] == {"CANCELED": 1, "DENIED": 2, "FILLED": 4, "REJECTED": 1}
    assert o["refusals"] == {"no money": 2, "VOLUME_STEP": 1}


def test_words_that_differ_in_their_figures_only_are_one_refusal(record: RunRecord) -> None:
    # The framework's own words: prices and order ids in them made each a kind of its own, and of these only twenty were kept.
    words = "STOP_MARKET BUY order stop px of {} was in the market: bid=0.85482, ask=0.85640, but rejected because"
    reasons = [words.format(f"0.856{i:02}") for i in range(30)]
    reasons += [f"Contingent order O-20200113-070000-001-001-{i} already closed" for i in range(9)]
    record.orders = [replace(record.orders[0], status="REJECTED", reason=reason) for reason in reasons]
    assert metrics.order_section(record)["refusals"] == {
        "STOP_MARKET BUY order stop px of … was in the market: bid=…, ask=…, but rejected because": 30,
        "Contingent order … already closed": 9,
    }


def test_balance_drawdown_counts_an_instant_once(record: RunRecord) -> None:
    # The gain and its commission are booked at one instant: no fall of 0.35 in between.
    # Highs: 10,000 at the start (falls to 9,999.65 by the first commission, then 9,999.45 by the swap), 10,049.10.
    found = metrics.balance_drawdowns(record)
    assert [(e.peak, e.trough) for e in found.episodes] == [
        (Decimal(10_000), Decimal("9999.45")),
        (Decimal("10049.10"), Decimal("9999.00")),
    ]


def test_a_balance_stays_below_its_peak_until_the_run_ends(record: RunRecord) -> None:
    # Bookings from hour 10 (commission, below 10,000) to 14 (gain, above) and 20 (commission, below) to 22 (loss); the
    # last balance then holds until the run ends at hour 40, though nothing is booked any more: 4 + 20 hours of 40.
    record.start_ns, record.end_ns = 0, 40 * HOUR_NS
    assert metrics.balance_drawdowns(record).underwater_pct == pytest.approx(100 * (4 + 20) / 40)


def test_what_an_order_on_its_way_at_the_end_cost_is_in_the_ratios_and_the_drawdown(record: RunRecord) -> None:
    # The last sample is 9,999.00, from hour 22 on. A close that arrives after it leaves 9,900.00 at the end.
    record.end_equity = Decimal("9900.00")
    growth = [1 + day.change for day in metrics.days(record)]
    assert math.prod(growth) == pytest.approx(0.99)  # 9,900 / 10,000: the days make up the return of the run
    assert metrics.equity_drawdowns(record).absolute == Decimal("100.00")  # 10,000 - 9,900


def test_exposure_follows_positions_and_conversion(record: RunRecord) -> None:
    most, leverage, _ = metrics.max_exposure(record.fills, record)
    # EURUSD 10,000 · 1.1 = 11,000 USD on 9,999.65; USDJPY 10,000 · 110 · 0.009 = 9,900 USD.
    assert most == Decimal("11000.00000")
    assert leverage == pytest.approx(11_000 / 9_999.65)
    assert metrics.max_exposure([], record) == (0, None, 0)


def test_exposure_counts_both_sides_of_a_hedge(record: RunRecord) -> None:
    hedge = [replace(f, ts_ns=f.ts_ns - 6 * HOUR_NS) for f in record.fills if f.position_id == "P-1"]
    fills = sorted([*record.fills[:2], *hedge], key=lambda f: f.ts_ns)
    # The second position is open from hour 14 on, when the first is closed; move it to overlap.
    overlap = [replace(f, ts_ns=f.ts_ns - 2 * HOUR_NS) if f.position_id == "P-1" else f for f in fills]
    most, _, together = metrics.max_exposure(sorted(overlap, key=lambda f: f.ts_ns), record)
    assert (most, together) == (Decimal("11000") + Decimal("9900"), 2)


def test_time_in_market_is_that_of_the_positions(record: RunRecord) -> None:
    # Hours 9 to 23; open from hour 10 to 14 and from 20 to 22. Which rows of the curve were kept changes nothing.
    assert metrics.time_in_market_pct(record) == pytest.approx(100 * 6 / 14)
    record.equity = [p for p in record.equity if p.open_positions]
    assert metrics.time_in_market_pct(record) == pytest.approx(100 * 6 / 14)
    # Hours that two positions share count once; one still open at the end counts until then.
    gain, loss = record.positions
    record.positions = [replace(loss, opened_ns=12 * HOUR_NS), gain, replace(gain, opened_ns=22 * HOUR_NS, closed_ns=0)]
    assert metrics.time_in_market_pct(record) == pytest.approx(100 * 13 / 14)  # 10 to 22, and 22 to 23
    record.positions = []
    assert metrics.time_in_market_pct(record) == 0.0


def test_positions_between_two_samples_are_counted(record: RunRecord) -> None:
    # The second is opened half an hour before the first is closed: no sample of the curve has both.
    second = [f for f in record.fills if f.position_id == "P-1"]
    record.fills = sorted(
        [
            *(f for f in record.fills if f.position_id == "P-0"),
            replace(second[0], ts_ns=14 * HOUR_NS - HOUR_NS // 2),
            second[1],
        ],
        key=lambda f: f.ts_ns,
    )
    risk = metrics.risk_section(record, metrics.equity_drawdowns(record), metrics.balance_drawdowns(record))
    assert risk["max_open_positions"] == 2


def test_risk_section(record: RunRecord) -> None:
    record.margin_calls, record.stop_outs = 2, 1
    risk = metrics.risk_section(record, metrics.equity_drawdowns(record), metrics.balance_drawdowns(record))
    assert risk["max_drawdown_balance"] == Decimal("50.10")  # 10,049.10 - 9,999.00
    assert risk["max_drawdown_balance_pct"] == pytest.approx(50.10 / 10_049.10 * 100)
    assert (risk["margin_calls"], risk["stop_outs"], risk["max_open_positions"]) == (2, 1, 1)
    # EURUSD margin 10,000 · 1.1 / 30 = 366.67; the lowest level is that of the first sample, equity 9,999.65.
    assert risk["min_margin_level"] == pytest.approx(9_999.65 / (11_000 / 30) * 100, abs=0.01)
    assert risk["max_used_margin"] == Decimal("366.67")


def test_metric_section_names_its_basis(record: RunRecord) -> None:
    m = metrics.metric_section(record, metrics.equity_drawdowns(record))
    assert m["annualisation"]["days_per_year"] == 252
    assert m["annualisation"]["day_ends"] == "17:00 America/New_York"
    assert (m["sharpe"], m["cagr_pct"], m["calmar"]) == (None, None, None)
    assert m["recovery_factor"] == pytest.approx(-1.00 / float(metrics.equity_drawdowns(record).maximal.depth))  # type: ignore[union-attr]


def test_a_run_without_trades() -> None:
    record = record_of([])
    record.equity = [
        EquityPoint(
            ts_ns=1,
            balance=Decimal(1),
            equity=Decimal(1),
            used_margin=Decimal(0),
            margin_level=None,
            open_positions=0,
        )
    ]
    risk = metrics.risk_section(record, metrics.equity_drawdowns(record), metrics.balance_drawdowns(record))
    assert (risk["min_margin_level"], risk["max_exposure"], risk["max_drawdown_balance"]) == (None, 0, 0)
    assert metrics.trade_section(record)["profit_factor"] is None


def test_iso_keeps_nanoseconds() -> None:
    assert metrics.iso(1_577_934_245_000_000_006) == "2020-01-02T03:04:05.000000006Z"
