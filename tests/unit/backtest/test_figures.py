"""How figures are written."""

import re
from decimal import Decimal

import pytest

from pepperstone_adapter.backtest.figures import FINDING_WORDS, duration, figures, findings, money, pct, ratio, signed
from pepperstone_adapter.backtest.report import render
from pepperstone_adapter.backtest.result import build_result
from pepperstone_adapter.catalog.quality import FINDINGS
from pepperstone_adapter.simulation.record import EquityPoint
from tests.kit.records import random_trades, record_of
from tests.unit.backtest.test_result import FACTS


def test_figures_in_words() -> None:
    assert (money(1234567.5, "EUR"), money(-0.5, "EUR"), money(3.0, "EUR", True), money(0.0, "EUR", True)) == (
        "1,234,567.50",
        "−0.50",
        "+3.00",
        "0.00",
    )
    assert (money(1234567.0, "JPY"), money(-5.0, "JPY"), money(3.0, "JPY", True)) == ("1,234,567", "−5", "+3")
    assert (pct(12.345, 2), pct(-1.0), pct(1.0, 1, True)) == ("12.35 %", "−1.0 %", "+1.0 %")
    assert (ratio(1.005), ratio(-2.0), signed(-0.04)) == ("1.00", "−2.00", "−0.0")
    assert {money(None, "EUR"), pct(None), ratio(None), signed(None), duration(None)} == {"–"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "0 min 5 s"), (60, "1 min"), (3_660, "1 h 1 min"), (86_400 * 3 + 7_200, "3 d 2 h"), (0, "0 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_run_without_a_losing_trade_has_no_gross_loss() -> None:
    rows = dict(figures(build_result(record_of([]), FACTS))[0][1])
    assert rows["Gross loss"] == "0.00"


def test_an_amount_and_a_percentage_beside_it_are_of_one_fall() -> None:
    # 10,000 -> 6,000 is 40 % and 4,000; later 100,000 -> 80,000 is 20 % and 20,000.
    record = record_of([])
    record.end_equity = Decimal(100_000)
    record.equity = [
        EquityPoint(
            ts_ns=(n + 1) * 3_600 * 10**9, balance=value, equity=value, used_margin=Decimal(0), margin_level=None,
            open_positions=0,
        )
        for n, value in enumerate(map(Decimal, (10_000, 6_000, 100_000, 80_000)))
    ]  # fmt: skip
    document = build_result(record, FACTS)
    rows = dict(figures(document)[2][1])
    assert rows["Max drawdown, equity"] == "20,000.00 (20.00 %)"
    assert rows["Relative drawdown, equity"] == "40.00 % (4,000.00)"
    assert rows["Max drawdown, balance"] == "0.00 (0.00 %)"
    page = render(record, document, {})
    assert '<div class="value ">40.00 %</div><div class="note">4,000.00, equity</div>' in page


@pytest.mark.parametrize("count", [0, 1, 100])
def test_every_figure_has_a_text(count: int) -> None:
    groups = figures(build_result(record_of(random_trades(count)), FACTS))
    titles = [title for title, _ in groups]
    assert titles == ["Money", "Return", "Risk", "Trades", "Holding time and orders", "Order of trades"]
    assert all(isinstance(text, str) and text for _, rows in groups for _, text in rows)


def test_amounts_of_a_yen_account_have_no_cents() -> None:
    record = record_of(random_trades(100))
    in_dollars = dict(entry for _, rows in figures(build_result(record, FACTS)) for entry in rows)
    record.account_currency = "JPY"
    in_yen = dict(entry for _, rows in figures(build_result(record, FACTS)) for entry in rows)
    amounts = [name for name in in_dollars if in_dollars[name] != in_yen[name]]
    assert len(amounts) > 20
    cents = re.compile(r"\d\.\d\d(?! %)")
    assert all(cents.search(in_dollars[name]) for name in amounts)
    assert not [in_yen[name] for name in amounts if cents.search(in_yen[name])]


def test_what_is_wrong_with_the_data_in_words() -> None:
    assert set(FINDING_WORDS) == set(FINDINGS)
    found = {"EURUSD": {"crossed": 5, "spikes": 1}, "XAUUSD": {"crossed": 1, "outside": 2}}
    data = {
        "findings_by_instrument": found, "closed_rows": 1_234, "crossed_rows": 6, "lone_ask_rows": 0, "resolution": "M1",
    }  # fmt: skip
    assert findings({"data": data}) == [
        "1 row of EURUSD far from the neighbours",
        "1,234 rows outside trading hours (XAUUSD), left out",
        "6 rows with ASK below BID (EURUSD, XAUUSD), given the ASK of the spread table",
    ]
    assert findings({"data": data | {"findings_by_instrument": {}, "closed_rows": 0, "resolution": "tick"}}) == [
        "6 rows with ASK below BID, left out"
    ]
    alone = {"findings_by_instrument": {}, "closed_rows": 0, "crossed_rows": 0, "lone_ask_rows": 1, "resolution": "M1"}
    assert findings({"data": alone}) == ["1 row of ASK prices without a BID bar of its time, left out"]
    assert findings({"data": alone | {"lone_ask_rows": 2}}) == [
        "2 rows of ASK prices without a BID bar of their time, left out"
    ]
