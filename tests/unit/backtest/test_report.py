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

import numpy as np
import pytest

from pepperstone_adapter.backtest.report import embedded, heat, monthly_rows, render, tone, words
from pepperstone_adapter.backtest.report_data import MAX_CANDLES, MAX_POINTS, Candles, chart_data, extremes, thin
from pepperstone_adapter.backtest.result import build_result
from pepperstone_adapter.simulation.record import RunRecord
from tests.kit.records import HOUR_NS, random_trades, record_of
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


# What of a browser the page's script touches; colours are the names of their variables, and a chart is what it is drawn from.
BROWSER = """
const elements = {}, charts = {};
const element = (extra = {}) => ({ dataset: {}, children: [], classList: { add() {} }, setAttribute() {}, appendChild(c) {
  this.children.push(c); }, replaceChildren(...c) { this.children = c; }, value: "", textContent: "", ...extra });
const document = { documentElement: element(), body: element(), head: element(), querySelectorAll: () => [],
  createElement: () => element(), getElementById: (id) => (elements[id] ??= element()) };
const getComputedStyle = () => ({ getPropertyValue: (name) => name, fontFamily: "" });
const matchMedia = () => ({ matches: false }), location = { search: "" };
const Plotly = { react: (node, traces) => { node.traces = traces; } };
elements.data = element({ textContent: DATA_TEXT }); elements.plotly = element({ textContent: NO_LIBRARY });
process.on("exit", () => {
  const drawn = (id) => elements[id].traces.map((t) => [t.x, t.marker.color]);
  const net = elements["trade-rows"].children.map((row) => [row.children[11].textContent, row.children[11].className]);
  console.log(JSON.stringify([drawn("chart-mae"), drawn("chart-mfe"), drawn("chart-distribution"), net]));
});
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="runs the page's script with node")
def test_a_trade_of_zero_is_neither_green_nor_red() -> None:
    record = record_of(random_trades(3))
    record.positions = [
        replace(p, net=Decimal(net), mae=Decimal(-i), mfe=Decimal(i), closed_ns=i * HOUR_NS)
        for i, (p, net) in enumerate(zip(record.positions, ("0.00", "12.50", "-3.00"), strict=True), 1)
    ]
    page = page_of(record)
    found = re.search(r"<script>(.*?)</script>", page, re.S)
    assert found is not None
    library = base64.b64encode(gzip.compress(b"")).decode()
    browser = BROWSER.replace("DATA_TEXT", json.dumps(json.dumps(data_of(page)))).replace(
        "NO_LIBRARY", json.dumps(library)
    )
    done = subprocess.run(
        [str(shutil.which("node")), "-"],
        input=browser + found.group(1),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    mae, mfe, distribution, net = json.loads(done.stdout)
    colours = {"0.00": "--soft", "12.50": "--up", "-3.00": "--down"}
    assert coloured(mae) == dict(zip((-1, -2, -3), colours.values(), strict=True))
    assert coloured(mfe) == dict(zip((1, 2, 3), colours.values(), strict=True))
    assert coloured(distribution) == {0: "--soft", 12.5: "--up", -3: "--down"}
    assert net == [["−3.00", "down"], ["12.50", "up"], ["0.00", "soft"]]  # the last that closed first


def coloured(traces: list[tuple[list[float], str | list[str]]]) -> dict[float, str]:
    """The colour at each place of a chart's points."""
    return {
        x: colour if isinstance(colour, str) else colour[i] for places, colour in traces for i, x in enumerate(places)
    }
