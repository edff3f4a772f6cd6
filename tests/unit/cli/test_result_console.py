"""The summary of a result in the terminal."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.backtest.compare import compare
from pepperstone_adapter.backtest.result import build_result, write_result
from pepperstone_adapter.cli.result_console import print_comparison, print_result
from tests.kit.records import random_trades, record_of
from tests.unit.backtest.test_result import FACTS


def shown(currency: str, capsys: Any) -> str:
    record = record_of(random_trades(20), start=Decimal(1_000_000))
    record.account_currency = currency
    print_result(build_result(record, FACTS), Path("out"), as_json=False)
    return str(capsys.readouterr().out)


@pytest.mark.parametrize(("currency", "start"), [("USD", "1,000,000.00 "), ("JPY", "1,000,000 ")])
def test_amounts_have_the_digits_of_their_currency(currency: str, start: str, capsys: Any) -> None:
    text = shown(currency, capsys)
    assert start in text
    assert (".00 " in text) == (currency == "USD")


@pytest.mark.parametrize("name", ["out[old]", "out[/b]"])
def test_a_folder_with_brackets_is_shown_as_it_is(name: str, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / name
    result = write_result(folder, record_of(random_trades(3)), replace(FACTS, name=name), {})
    print_result(result, folder, as_json=False)
    told = capsys.readouterr().out
    assert f"Result  {folder}\nReport  {folder}/report.html\n" in told
    assert told.startswith(f"{name}: EURUSD")
    html = folder / "a.html"
    print_comparison(compare(folder, folder), folder, folder, html, as_json=False)
    told = capsys.readouterr().out
    assert f" {folder.name} " in told
    assert f"Page  {html}\n" in told
