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


def test_the_costs_that_are_shown_add_up(capsys: Any) -> None:
    result = build_result(record_of(random_trades(20)), FACTS)
    result["costs"] = {
        "commission": 231.21, "swap": 837.15, "spread": 183.88, "slippage": 45.39, "conversion": 1.0, "stop_out_fees": 2.5,
        "total": 1301.13,
    }  # fmt: skip
    print_result(result, Path("out"), as_json=False)
    told = capsys.readouterr().out
    rows = [line.split("│")[3:5] for line in told.splitlines() if line.startswith("│")]
    texts = {name.strip(): text.strip() for name, text in rows}
    names = ("Commission", "Swap", "Spread", "Slippage", "Conversion", "Stop-out fees")
    # 231.21 + 837.15 + 183.88 + 45.39 + 1.00 + 2.50 = 1,301.13
    assert sum(Decimal(texts[name]) for name in names) == Decimal("1301.13")
    assert texts["Costs in all"] == "1,301.13"
    result["costs"] |= {"slippage": 0.0, "conversion": 0.0, "stop_out_fees": 0.0, "total": 1252.24}
    print_result(result, Path("out"), as_json=False)
    told = capsys.readouterr().out
    assert not any(name in told for name in names[3:])


def test_why_orders_were_refused_and_that_none_was_sent_is_said(capsys: Any) -> None:
    result = build_result(record_of(random_trades(20)), FACTS)
    result["orders"] |= {"count": 40, "refusals": {"MARKET_CLOSED": 2, "NOT_ENOUGH_MONEY": 1933}}
    print_result(result, Path("out"), as_json=False)
    told = capsys.readouterr().out
    assert "\nRefused 1,933 NOT_ENOUGH_MONEY; 2 MARKET_CLOSED\n" in told
    assert "no order" not in told
    result["orders"] |= {"count": 0, "refusals": {}}
    print_result(result, Path("out"), as_json=False)
    told = capsys.readouterr().out
    assert "\nTrades  no order was sent; with --log INFO the run shows what the strategies log\n" in told
    assert "Refused  " not in told.replace("Refused orders", "")


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
