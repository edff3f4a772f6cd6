"""The rows of a sweep: what is best, what is written, and what the page shows."""

import csv
import json
import re
from decimal import Decimal

import pytest

from pepperstone_adapter.backtest.compare import FIGURES
from pepperstone_adapter.backtest.sweep_table import (
    Axis,
    Row,
    cells,
    columns,
    luck,
    metric_of,
    ranked,
    render_sweep,
    short_names,
    table,
    text,
)
from pepperstone_adapter.common.errors import ConfigurationError
from tests.unit.backtest.test_report import data_of

AXES = (Axis("strategies.0.config.fast", ("10", "20", "-1.50")), Axis("account.mode", ("hedging", "=netting")))
NET, FALL, TRADES, SHARPE = "account.net_profit", "risk.max_drawdown_equity", "trades.count", "metrics.sharpe"


def row(number: int, values: tuple[str, str], net: float, fall: float, sharpe: float | None, **more: float) -> Row:
    figures = {key: None for _, key, _ in FIGURES} | {NET: net, FALL: fall, TRADES: 4, SHARPE: sharpe} | more
    return Row(number, values, figures, "USD")


ROWS = (
    row(1, ("10", "hedging"), -12.5, 30.0, 1e-06),
    row(2, ("10", "=netting"), 99.1, 50.25, None),
    row(3, ("20", "hedging"), 99.1, 10.0, 0.5),
    Row(4, ("20", "=netting"), error="thirty bars are <enough>", exit_code=1),
    row(5, ("-1.50", "hedging"), 100_000_000_000.01, 20.0, -2.0),
)


@pytest.mark.parametrize(
    ("by", "order"),
    [
        (NET, [5, 2, 3, 1, 4]),  # equal ones in the order of the grid, failed ones last
        (FALL, [3, 5, 1, 2, 4]),  # a small fall is the better one
        (SHARPE, [3, 1, 5, 2, 4]),  # without a Sharpe ratio behind those with a bad one
    ],
)
def test_the_best_comes_first(by: str, order: list[int]) -> None:
    assert [r.number for r in ranked(ROWS, by)] == order


FACTOR, WON = "trades.profit_factor", "trades.win_pct"


@pytest.mark.parametrize("prefix", ["", "test."])
@pytest.mark.parametrize("by", [FACTOR, "trades.payoff"])
def test_winners_without_a_loser_have_the_best_profit_factor(by: str, prefix: str) -> None:
    def run(number: int, won: float | None, factor: float | None, value: float | None) -> Row:
        return Row(number, (), {prefix + WON: won, prefix + FACTOR: factor, prefix + by: value}, "USD")

    losers = run(3, 0.0, 0.0, 0.0 if by == FACTOR else None)
    rows = [run(1, None, None, None), run(2, 60.0, 1.5, 1.2), losers, run(4, 100.0, None, None)]
    best_first = [r.number for r in ranked(rows, prefix + by)]
    assert best_first[:2] == [4, 2]
    assert text(rows[3], prefix + by) == "∞"
    assert text(rows[0], prefix + by) == "–"  # no trades, or only such of exactly zero


@pytest.mark.parametrize("by", ["costs.total", "costs.swap", "risk.max_leverage", "risk.stop_outs"])
def test_of_costs_and_dangers_less_is_better(by: str) -> None:
    rows = [Row(1, (), {by: 2.0}), Row(2, (), {by: -1.0}), Row(3, (), {by: 1.0})]
    assert [r.number for r in ranked(rows, by)] == [2, 3, 1]


@pytest.mark.parametrize(("name", "key"), [("net_profit", NET), ("metrics.sharpe", SHARPE), ("count", TRADES)])
def test_a_figure_is_known_by_its_name(name: str, key: str) -> None:
    assert metric_of(name) == key


@pytest.mark.parametrize(("name", "words"), [("sharp", "did you mean 'sharpe'?"), ("xyz", "there are net_profit, ")])
def test_a_figure_that_is_none(name: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        metric_of(name)


def test_the_table_has_the_exact_amounts_and_nothing_a_spreadsheet_would_run() -> None:
    read = list(csv.DictReader(table(AXES, ROWS, test=False).splitlines()))
    assert list(read[0]) == [
        "run",
        "strategies.0.config.fast",
        "account.mode",
        *(key for _, key, _ in FIGURES),
        "error",
    ]
    assert [r[NET] for r in read] == ["-12.50", "99.10", "99.10", "", "100000000000.01"]
    assert [r["strategies.0.config.fast"] for r in read] == ["10", "10", "20", "20", "-1.50"]
    assert read[1]["account.mode"] == "'=netting"
    assert (read[0][TRADES], read[0][SHARPE], read[1][SHARPE]) == ("4", "0.000001", "")
    assert [r["error"] for r in read] == ["", "", "", "thirty bars are <enough>", ""]


def test_amounts_have_the_digits_of_their_currency() -> None:
    yen = Row(1, ("10", "hedging"), {NET: 1234.0, f"test.{NET}": -5.0}, "JPY")
    found = cells(AXES, yen, test=True)
    assert (str(found[NET]), str(found[f"test.{NET}"])) == ("1234", "-5")
    assert (found["run"], found["strategies.0.config.fast"], found["error"]) == (1, Decimal(10), None)
    assert text(yen, NET) == "1,234"


def test_values_that_are_no_finite_number_stay_as_they_were_written() -> None:
    axes = (Axis("strategies.0.config.stop", (".inf", "2.", "+5")),)
    rows = [Row(n, (value,)) for n, value in enumerate(axes[0].values)]
    assert [cells(axes, r, test=False)["strategies.0.config.stop"] for r in rows] == [".inf", Decimal(2), Decimal(5)]
    assert '"numeric": false' in json.dumps(data_of(render_sweep("x", axes, rows, NET, None, ""))["axes"])


def test_the_test_has_columns_of_its_own() -> None:
    assert columns(test=True)[len(FIGURES) :] == [f"test.{key}" for _, key, _ in FIGURES]


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (("a.0.fast", "b"), ["fast", "b"]),
        (("s.0.config.fast", "s.1.config.fast"), ["0.config.fast", "1.config.fast"]),
        (("fast", "s.fast"), ["fast", "s.fast"]),
    ],
)
def test_keys_are_shortened_as_far_as_they_differ(keys: tuple[str, ...], names: list[str]) -> None:
    assert short_names([Axis(key, ("1",)) for key in keys]) == names


def test_a_reader_is_told_how_many_were_tried() -> None:
    assert luck(ROWS, None).startswith(
        "4 combinations were tried on the same data, so the best of them is partly luck."
    )
    assert "ranked by the time before 2021-06-01" in luck(ROWS, "2021-06-01")


def test_the_page_shows_every_row_best_first_and_fetches_nothing() -> None:
    page = render_sweep("<run>", AXES, ROWS, FALL, None, "seed: 1\n")
    data = json.loads(json.dumps(data_of(page)))
    assert [r["run"] for r in data["rows"]] == [3, 5, 1, 2, 4]
    assert data["figures"][:2] == [{"name": "Max drawdown, equity"}, {"name": "Net profit"}]
    assert [axis["numeric"] for axis in data["axes"]] == [True, False]
    assert data["rows"][1]["at"] == [2, 0]
    assert data["rows"][1]["values"][:2] == [20.0, 100_000_000_000.01]
    assert data["rows"][4]["error"] == "thirty bars are <enough>"
    assert "<enough>" not in page
    assert "&lt;run&gt;" in page
    assert "4 combinations were tried" in page
    without_library = re.sub(r'<script type="text/plain" id="plotly">.*?</script>', "", page, flags=re.S)
    assert not re.search(r"""(src|href)\s*=|url\(|@import|fetch\(|https?://""", without_library)
