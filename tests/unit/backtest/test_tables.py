"""CSV tables and the equity file."""

import csv
import io
from dataclasses import replace
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from pepperstone_adapter.backtest.tables import cell, csv_tables, equity_table
from tests.kit.records import random_trades, record_of


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_ledger_sums_to_the_end_balance_exactly() -> None:
    record = record_of(random_trades(50))
    rows = read(csv_tables(record)["ledger.csv"])
    total = Decimal(0)
    for row in rows:
        total += Decimal(row["amount"])
        assert Decimal(row["balance_after"]) == total
    assert total == record.end_balance
    assert [r["ts_event"] for r in rows] == sorted(r["ts_event"] for r in rows)


def test_columns() -> None:
    tables = csv_tables(record_of(random_trades(1)))
    assert tables["ledger.csv"].splitlines()[0] == (
        "ts_event,kind,instrument_id,position_id,trade_id,amount,currency,rate,balance_after"
    )
    assert tables["fills.csv"].splitlines()[0] == (
        "ts_event,trade_id,client_order_id,venue_order_id,position_id,strategy_id,instrument_id,order_type,side,units,"
        "price,bid,ask,quote_currency,rate,commission,slippage,reason"
    )
    assert "opened,closed,open_price" in tables["positions.csv"]
    assert tables["orders.csv"].splitlines()[0].endswith("position_id,tags,created,ended")


@pytest.mark.parametrize("text", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\tx", "\rx"])
def test_b56_text_that_is_a_formula_is_made_harmless(text: str) -> None:
    record = record_of(random_trades(1))
    record.orders[0] = replace(record.orders[0], tags=text)
    assert read(csv_tables(record)["orders.csv"])[0]["tags"] == "'" + text


def test_numbers_keep_their_sign_and_their_digits() -> None:
    assert cell(Decimal("-0.10")) == "-0.10"
    assert cell(Decimal("1E+3")) == "1000"
    assert cell(-5) == "-5"
    assert cell(None) == ""


def test_an_open_position_has_no_close() -> None:
    record = record_of(random_trades(1))
    record.positions[0] = replace(record.positions[0], closed_ns=0, close_price=None)
    row = read(csv_tables(record)["positions.csv"])[0]
    assert (row["closed"], row["close_price"]) == ("", "")


def test_equity_file() -> None:
    record = record_of(random_trades(5))
    table = pq.read_table(io.BytesIO(equity_table(record.equity)))
    assert table.num_rows == len(record.equity)
    assert str(table.schema.field("ts").type) == "timestamp[ns, tz=UTC]"
    assert table["equity"][-1].as_py() == float(record.end_equity)
    assert table["margin_level"][0].as_py() is None
    assert equity_table([]) != b""
