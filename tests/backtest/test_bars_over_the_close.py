"""Daily bars of shares and weekly bars end when their market has long closed: a strategy can trade at their close."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nautilus_trader.persistence import ParquetDataCatalog

from pepperstone_adapter.backtest.run import run
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, SwapMode, SwapTerms
from pepperstone_adapter.catalog.rows import BarColumns, bars_from_arrays
from pepperstone_adapter.simulation.plan import BarArrays, StoredBars
from pepperstone_adapter.simulation.record import RunRecord
from tests.kit.runs import NS, Steps, amounts, bars, buy, close_all, plan_steps, run_steps, spec, utc

D = Decimal
DAY_NS = 86_400 * NS
FREE = CommissionRule(kind=CommissionKind.NONE)
SWAP = SwapTerms(mode=SwapMode.POINTS, long=D("-3"), short=D("1"))
# Tuesday, 9 January 2024 to Friday at 17:00 New York, an hour after shares close.
DAYS = [utc(2024, 1, 9 + i, 22) for i in range(4)]
SHARE = spec("AAPL.US", hours=symbol_table.get("AAPL.US").hours, swap=SWAP)
EURUSD = spec("EURUSD", hours=symbol_table.get("EURUSD").hours, swap=SWAP)
# Saturdays, 17:00 New York: the end of MetaTrader's week.
WEEKS = [utc(2024, 1, 6 + 7 * i, 22) for i in range(4)]


def test_a_daily_bar_of_a_share_is_traded_at_its_close() -> None:
    # Bought at 185.03 at 16:00 on Tuesday, sold at 187.00 on Thursday: 10 x 1.97. Two nights, Wednesday's three times: ten
    # shares, three points of 0.01 a share, 0.30 and 0.90.
    steps = Steps({0: buy(10, SHARE), 2: close_all(SHARE)}, "AAPL.US.PEPPERSTONE-1-DAY-BID-EXTERNAL")
    record = run_steps(
        bars(SHARE, [185.0, 186.0, 187.0, 188.0], times=DAYS, period="1-DAY"), {}, symbol=SHARE, strategy=steps, spread=3,
        commission=FREE,
    )  # fmt: skip
    assert [(f.ts_ns, f.price) for f in record.fills] == [
        (utc(2024, 1, 9, 21), D("185.03")),
        (utc(2024, 1, 11, 21), D("187.00")),
    ]
    assert amounts(record, "swap") == [D("-0.30"), D("-0.90")]
    assert record.end_balance == 100_000 + D("19.70") - D("1.20")
    assert steps.row.ts_event == utc(2024, 1, 12, 21)
    assert record.closed_rows == 0


def test_a_weekly_bar_is_traded_on_friday() -> None:
    # Friday at 16:55 New York, when FX stops for the week: 1.1010 to 1.1040 on 100,000, and five nights and three of the
    # weekend's Wednesday.
    acts = {1: buy(100_000, EURUSD), 2: close_all(EURUSD)}
    record = run_steps(
        bars(EURUSD, [1.1, 1.101, 1.104, 1.1], times=WEEKS, period="1-WEEK"), {},
        strategy=Steps(acts, "EURUSD.PEPPERSTONE-1-WEEK-BID-EXTERNAL"), symbol=EURUSD, commission=FREE,
    )  # fmt: skip
    assert [(f.ts_ns, f.price) for f in record.fills] == [
        (utc(2024, 1, 12, 21, 55), D("1.10100")),
        (utc(2024, 1, 19, 21, 55), D("1.10400")),
    ]
    assert amounts(record, "swap") == [D("-3.00")] * 3 + [D("-9.00")] + [D("-3.00")]
    assert amounts(record, "realized_pnl") == [D("300.00")]


def test_bars_within_five_minutes_of_the_close_stay_what_they_are() -> None:
    # FX stops at 16:59 from Monday to Thursday; the daily bar ends at 17:00.
    steps = Steps({0: buy(1_000, EURUSD)}, "EURUSD.PEPPERSTONE-1-DAY-BID-EXTERNAL")
    record = run_steps(bars(EURUSD, [1.1, 1.1], times=DAYS[:2], period="1-DAY"), {}, symbol=EURUSD, strategy=steps)
    assert [f.ts_ns for f in record.fills] == DAYS[:1]


@pytest.mark.parametrize("chunk", [None, 1])
def test_stored_bars_of_both_sides_are_no_others(tmp_path: Path, chunk: int | None) -> None:
    four = bars(SHARE, [185.0, 186.0, 187.0, 188.0], times=DAYS, period="1-DAY")
    catalog = ParquetDataCatalog(str(tmp_path))
    for side, spread in (("BID", 0), ("ASK", 3)):
        columns = BarColumns(
            ts_ns=four.ts_ns, open=four.open + spread, high=four.high + spread, low=four.low + spread,
            close=four.close + spread, ticks=np.full(4, 100),
        )  # fmt: skip
        catalog.write_bars(bars_from_arrays(f"AAPL.US.PEPPERSTONE-1-DAY-{side}-EXTERNAL", 2, 0, columns))

    def result(source: BarArrays | StoredBars, **changes: Any) -> RunRecord:
        steps = Steps({0: buy(10, SHARE), 2: close_all(SHARE)}, "AAPL.US.PEPPERSTONE-1-DAY-BID-EXTERNAL")
        plan, _ = plan_steps(four, {}, symbol=SHARE, strategy=steps, spread=3, commission=FREE)
        return run(replace(plan, data=(source,), **changes))

    stored = StoredBars(catalog=tmp_path, symbol="AAPL.US", period="1-DAY")
    first, second = result(four), result(stored, chunk_size=chunk)
    assert [list(first.fills), list(first.ledger)] == [list(second.fills), list(second.ledger)]
    # A run that begins after Tuesday's close and before its bar as stored keeps that bar, as stored: nothing is traded then.
    late = {"start_ns": utc(2024, 1, 9, 21, 30), "end_ns": DAYS[3]}
    assert [len(result(source, **late).fills) for source in (four, stored)] == [0, 0]
    assert [result(source, **late).bars for source in (four, stored)] == [3, 3]
