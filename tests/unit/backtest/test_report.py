"""The report page: complete, offline, and safe against text from outside."""

import base64
import gzip
import json
import re
import shutil
import subprocess
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pepperstone_adapter.backtest.figures import figures
from pepperstone_adapter.backtest.report import embedded, heat, monthly_rows, render, tone, words
from pepperstone_adapter.backtest.report_data import MAX_CANDLES, MAX_POINTS, Candles, chart_data, extremes, thin
from pepperstone_adapter.backtest.result import build_result
from pepperstone_adapter.simulation.record import LedgerKind, RunRecord
from tests.kit.records import HOUR_NS, Trade, random_trades, record_of
from tests.unit.backtest.test_result import FACTS

INSTRUMENT = "GBPUSD.PEPPERSTONE"


def candles(count: int) -> Candles:
    close = np.linspace(1.2, 1.4, count)
    ts_ns = np.arange(count, dtype=np.int64) * HOUR_NS
    return Candles(ts_ns=ts_ns, open=close, high=close + 0.01, low=close - 0.01, close=close)


def page_of(record: RunRecord, settings_yaml: str = "") -> str:
    return render(record, build_result(record, FACTS), {INSTRUMENT: candles(100)}, settings_yaml)


def data_of(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    parsed: dict[str, object] = json.loads(found.group(1))
    return parsed


@pytest.fixture(scope="module")
def page() -> str:
    return page_of(record_of(random_trades(120)), "account:\n  currency: USD\n")


def test_nothing_is_fetched(page: str) -> None:
    without_library = re.sub(r'<script type="text/plain" id="plotly">.*?</script>', "", page, flags=re.S)
    assert not re.search(r"""(src|href)\s*=|url\(|@import|fetch\(|https?://""", without_library)


def test_the_chart_library_is_whole(page: str) -> None:
    found = re.search(r'id="plotly">(.*?)</script>', page, re.S)
    assert found is not None
    assert b"plotly.js v" in gzip.decompress(base64.b64decode(found.group(1)))[:200]


def test_every_section_and_the_figures_of_the_result(page: str) -> None:
    for title in (
        "Equity, balance and drawdown", "Monthly returns", "By instrument", "By strategy", "Price and fills",
        "Margin level", "Trades", "About this run", "Settings as run", "Not simulated",
    ):  # fmt: skip
        assert title in page
    record = record_of(random_trades(120))
    assert f"{record.end_balance:,.2f}" in page
    for digest in ("a" * 64, record.events_sha256):
        assert digest in page


def test_text_from_outside_is_escaped() -> None:
    evil = "</script><script>alert(1)</script>"
    record = record_of(random_trades(3))
    record.positions = [replace(p, strategy_id=evil, exit_reason=evil) for p in record.positions]
    record.orders[0] = replace(record.orders[0], status="REJECTED", reason=evil)
    page = page_of(record, settings_yaml=evil)
    assert evil not in page
    assert data_of(page)["trades"][0][1] == evil  # type: ignore[index]


def test_a_run_without_trades_has_a_page() -> None:
    record = record_of([])
    assert data_of(page_of(record))["trades"] == []
    record.equity = []
    assert data_of(page_of(record))["equity"]["t"] == []  # type: ignore[index,call-overload]


def test_extremes_keep_the_ends_the_lowest_and_the_highest() -> None:
    values = np.sin(np.linspace(0, 300, 100_000))
    values[777], values[50_001] = -9.0, 9.0
    kept = extremes(values, MAX_POINTS)
    assert len(kept) <= MAX_POINTS + 2
    assert {0, 777, 50_001, 99_999} <= set(kept.tolist())
    assert list(kept) == sorted(set(kept))
    assert extremes(values[:10], 100).tolist() == list(range(10))


def test_thinned_candles_keep_highs_and_lows() -> None:
    many = candles(10_000)
    many.high[4_321], many.low[9_999] = 9.0, 0.1
    few = thin([many], 10_000, MAX_CANDLES)
    assert (len(few.ts_ns), few.merged) == (1_429, 7)  # 10,000 into no more than 1,500: seven to one
    assert (few.high.max(), few.low.min()) == (9.0, 0.1)
    assert (few.open[0], few.close[-1]) == (many.open[0], many.close[-1])
    assert few.ts_ns[-1] == many.ts_ns[-1]
    whole = thin([many], 10_000, 10_000)
    assert (len(whole.ts_ns), whole.merged) == (10_000, 1)


@pytest.mark.parametrize("edges", [[], [1], [3, 6], [7, 14, 5_000], [6_999, 7_000, 9_999]])
def test_candles_thinned_piece_by_piece_are_those_of_the_whole(edges: list[int]) -> None:
    many = candles(10_000)
    many.high[4_321], many.low[9_999] = 9.0, 0.1
    bounds = pairwise([0, *edges, 10_000])
    pieces = [
        Candles(
            ts_ns=many.ts_ns[a:b], open=many.open[a:b], high=many.high[a:b], low=many.low[a:b], close=many.close[a:b]
        )
        for a, b in bounds
    ]
    few, whole = thin(iter(pieces), 10_000, MAX_CANDLES), thin([many], 10_000, MAX_CANDLES)
    for name in ("ts_ns", "open", "high", "low", "close"):
        assert (getattr(few, name) == getattr(whole, name)).all(), name


def test_a_chart_without_bars_is_empty() -> None:
    assert len(thin([], 0, MAX_CANDLES).ts_ns) == 0


def test_drawdown_of_the_chart_counts_from_the_start_balance() -> None:
    record = record_of(random_trades(2))
    record.equity = [replace(record.equity[0], equity=Decimal(9_000)), replace(record.equity[1], equity=Decimal(9_500))]
    assert chart_data(record, {})["equity"]["drawdown"] == [-10.0, -5.0]


def test_fills_go_to_their_instrument() -> None:
    record = record_of(random_trades(30))
    fills = chart_data(record, {INSTRUMENT: candles(5)})["fills"]
    assert list(fills) == [INSTRUMENT]
    assert len(fills[INSTRUMENT]["t"]) == sum(f.instrument_id == INSTRUMENT for f in record.fills)


def test_monthly_rows_have_a_cell_for_every_month() -> None:
    rows = monthly_rows(record_of(random_trades(200)))
    assert [year for year, _, _ in rows] == sorted({year for year, _, _ in rows})
    assert all(len(cells) == 12 for _, cells, _ in rows)


def test_small_pieces() -> None:
    assert (tone(1.0), tone(-1.0), tone(0.0), tone(None)) == ("up", "down", "", "")
    assert (heat(0.0), heat(100.0)) == ("0.00", "0.60")
    assert (words(INSTRUMENT), words("take_profit"), words("LONG")) == ("GBPUSD", "Take profit", "Long")
    assert "<" not in str(embedded({"a": "<&>"}))
    assert json.loads(str(embedded({"a": "<&>"}))) == {"a": "<&>"}


def test_a_page_in_yen_shows_no_cents() -> None:
    record = record_of(random_trades(120), start=Decimal(1_000_000))
    record.account_currency = "JPY"
    page = page_of(record)
    text = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)
    assert "1,000,000" in text
    assert not re.findall(r"\d,\d{3}\.\d\d", text)
    assert data_of(page)["digits"] == 0
    script = re.search(r"<script>(.*?)</script>", page, re.S)
    assert script is not None
    assert ",.2f" not in script.group(1)


# What of a browser the page's script touches; colours are the names of their variables, a chart is what it is drawn from.
BROWSER = """
const elements = {};
const element = (extra = {}) => ({ dataset: {}, children: [], classList: { add() {} }, setAttribute() {}, appendChild(c) {
  this.children.push(c); }, replaceChildren(...c) { this.children = c; }, value: "", textContent: "", ...extra });
const document = { documentElement: element(), body: element(), head: element(), querySelectorAll: () => [],
  createElement: () => element(), getElementById: (id) => (elements[id] ??= element()) };
const getComputedStyle = () => ({ getPropertyValue: (name) => name, fontFamily: "" });
const matchMedia = () => ({ matches: false }), location = { search: "" };
const Plotly = { react: (node, traces) => { node.traces = traces; } };
elements.data = element({ textContent: DATA_TEXT }); elements.plotly = element({ textContent: NO_LIBRARY });
process.on("exit", () => {
  const charts = Object.entries(elements).filter(([, e]) => e.traces).map(([id, e]) => [id, e.traces]);
  const rows = elements["trade-rows"].children.map((row) => row.children.map((c) => [c.textContent, c.className]));
  console.log(JSON.stringify({ ...Object.fromEntries(charts), rows }));
});
"""
NODE = shutil.which("node")
in_a_browser = pytest.mark.skipif(NODE is None, reason="runs the page's script with node")


def drawn(page: str) -> dict[str, Any]:
    """The traces of each chart of a page by its id, and the cells of the trades table as `rows`."""
    found = re.search(r"<script>(.*?)</script>", page, re.S)
    assert found is not None
    library = json.dumps(base64.b64encode(gzip.compress(b"")).decode())
    browser = BROWSER.replace("DATA_TEXT", json.dumps(json.dumps(data_of(page)))).replace("NO_LIBRARY", library)
    script, options = browser + found.group(1), {"capture_output": True, "text": True, "check": True, "timeout": 60}
    charts: dict[str, Any] = json.loads(subprocess.run([str(NODE), "-"], input=script, **options).stdout)
    return charts


@in_a_browser
def test_a_trade_of_zero_is_neither_green_nor_red() -> None:
    record = record_of(random_trades(3))
    record.positions = [
        replace(p, net=Decimal(net), mae=Decimal(-i), mfe=Decimal(i), closed_ns=i * HOUR_NS)
        for i, (p, net) in enumerate(zip(record.positions, ("0.00", "12.50", "-3.00"), strict=True), 1)
    ]
    page = drawn(page_of(record))
    assert coloured(page["chart-mae"]) == {-1: "--soft", -2: "--up", -3: "--down"}
    assert coloured(page["chart-mfe"]) == {1: "--soft", 2: "--up", 3: "--down"}
    assert coloured(page["chart-distribution"]) == {0: "--soft", 12.5: "--up", -3: "--down"}
    # The last that closed stands first.
    assert [row[11] for row in page["rows"]] == [["−3.00", "down"], ["12.50", "up"], ["0.00", "soft"]]


def coloured(traces: list[dict[str, Any]]) -> dict[float, str]:
    """The colour at each place of a chart's points."""
    of = [(t["x"], t["marker"]["color"]) for t in traces]
    return {x: c if isinstance(c, str) else c[i] for places, c in of for i, x in enumerate(places)}


@in_a_browser
def test_a_negative_balance_that_was_written_off_is_no_price_move() -> None:
    # 10,000 from 1.1 to 0.1 lose 10,000, and 0.70 of commission: -0.70 of a balance of 10,000, which the broker writes off.
    # With half of 10 points paid twice, 1.00, prices have taken 9,999: -9,999 - 1.00 - 0.70 + 0.70 = -10,000.
    trade = Trade(
        symbol="EURUSD", opened_ns=HOUR_NS, closed_ns=2 * HOUR_NS, open_price=Decimal("1.1"), close_price=Decimal("0.1")
    )
    record = record_of([trade])
    row = record.ledger[-1]
    record.ledger = [
        *record.ledger,
        replace(row, kind=LedgerKind.ADJUSTMENT, amount=Decimal("0.70"), balance_after=Decimal(0), trade_id=""),
    ]
    record.end_balance = record.end_equity = Decimal(0)
    page = page_of(record)
    (chart,) = drawn(page)["chart-costs"]
    assert [name.split("  ")[0] for name in chart["y"]] == [
        "Before costs",
        "Spread",
        "Commission",
        "Written off",
        "Net",
    ]
    assert chart["x"] == [-9999.0, -1.0, -0.7, 0.7, -10000.0]
    assert sum(map(Decimal, map(str, chart["x"][:-1]))) == Decimal("-10000.00")
    assert "A negative balance of 0.70 was written off by the broker" in page
    assert ("Negative balance written off", "0.70") in dict(figures(build_result(record, FACTS)))["Money"]
    assert "written off" not in page_of(record_of([trade]))
