"""Two results side by side."""

from dataclasses import replace
from pathlib import Path

import pytest

from pepperstone_adapter.backtest.compare import compare, render_comparison, settings_difference
from pepperstone_adapter.backtest.result import write_result
from pepperstone_adapter.common.errors import DataError
from tests.kit.records import random_trades, record_of
from tests.unit.backtest.test_report import data_of
from tests.unit.backtest.test_result import FACTS


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    a, b = tmp_path / "a", tmp_path / "b"
    write_result(a, record_of(random_trades(60)), replace(FACTS, settings_yaml="account: {currency: USD}\nseed: 1\n"))
    other = replace(
        FACTS, settings_yaml="account: {currency: EUR}\nseed: 1\n", hashes={**FACTS.hashes, "code": "d" * 64}
    )
    write_result(b, record_of(random_trades(60, seed=8)), other)
    return a, b


def test_what_differs(two: tuple[Path, Path]) -> None:
    found = compare(*two)
    assert found.settings == {"account.currency": ("USD", "EUR")}
    assert found.same == {"settings": True, "data": True, "code": False, "events": False}
    net = next(f for f in found.figures if f.name == "Net profit")
    change = found.b["account"]["net_profit"] - found.a["account"]["net_profit"]
    assert net.change == f"{change:+,.2f}".replace("-", "−")


def test_a_result_equals_itself(two: tuple[Path, Path]) -> None:
    found = compare(two[0], two[0])
    assert found.settings == {}
    assert all(found.same.values())
    assert {f.change for f in found.figures} <= {"0.00", "0.00 %", "0", ""}


def test_amounts_in_two_currencies_have_no_difference(two: tuple[Path, Path]) -> None:
    file = two[1] / "result.json"
    file.write_text(file.read_text().replace('"currency": "USD"', '"currency": "EUR"'))
    figures = {f.name: f for f in compare(*two).figures}
    assert figures["Net profit"].a.endswith(" USD")
    assert figures["Net profit"].b.endswith(" EUR")
    assert (figures["Net profit"].change, figures["Net profit"].difference) == ("", None)
    assert figures["Return"].change.endswith(" %")
    assert [len(text.split()[0].partition(".")[2]) for text in (figures["Swap"].a, figures["Swap"].b)] == [2, 2]
    file.write_text(file.read_text().replace('"currency": "EUR"', '"currency": "JPY"'))
    assert "." not in {f.name: f for f in compare(*two).figures}["Swap"].b


def test_the_page_draws_both_curves(two: tuple[Path, Path]) -> None:
    page = render_comparison(compare(*two), *two)
    curves = data_of(page)["curves"]
    assert [c["name"] for c in curves] == ["a", "b"]  # type: ignore[attr-defined]
    assert curves[0]["pct"][0] == 0.0  # type: ignore[index]
    assert "account.currency" in page


def test_lists_of_groups_are_compared_by_place() -> None:
    a = {"strategies": [{"name": "A", "config": {"n": 1}}], "empty": [], "gone": 1}
    b = {"strategies": [{"name": "A", "config": {"n": 2}}, {"name": "B"}], "empty": []}
    assert settings_difference(a, b) == {
        "strategies.0.config.n": ("1", "2"),
        "gone": ("1", "–"),
        "strategies.1.name": ("–", "B"),
    }


@pytest.mark.parametrize("name", ["settings.yaml", "result.json"])
def test_a_damaged_folder_is_named(two: tuple[Path, Path], name: str) -> None:
    (two[1] / name).write_bytes(b"\xff\xfe{")
    with pytest.raises(DataError, match=f"b.{name}"):
        compare(*two)


def test_a_damaged_curve_is_named(two: tuple[Path, Path]) -> None:
    (two[1] / "equity.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"equity\.parquet: cannot be read"):
        render_comparison(compare(*two), *two)


def test_what_is_empty_and_where_results_lie_are_no_differences(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for folder, text in ((a, "x: {y: null}\noutput: {dir: a}\n"), (b, "x: {}\noutput: {dir: b}\n")):
        write_result(folder, record_of(random_trades(3)), replace(FACTS, settings_yaml=text))
    assert list(compare(a, b).settings) == ["x"]  # an empty group stands for itself
    assert settings_difference({"x": {"y": None, "z": 1}}, {"x": {"z": 1}}) == {}
