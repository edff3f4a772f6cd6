"""The rows of a run as files: four CSV tables and the equity curve as Parquet.

Times are UTC ISO-8601 with nanoseconds. Money and prices are written as plain decimals, exactly as they were booked. A
text cell that a spreadsheet would run as a formula (it begins with ``= + - @``, a tab or a carriage return) gets a
leading apostrophe.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pepperstone_adapter.backtest.metrics import iso
from pepperstone_adapter.simulation.record import EquityPoint, FillRow, LedgerRow, OrderRow, PositionRow, RunRecord

LEDGER = (
    "ts_event",
    "kind",
    "instrument_id",
    "position_id",
    "trade_id",
    "amount",
    "currency",
    "rate",
    "balance_after",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_tables(record: RunRecord) -> dict[str, str]:
    """File name -> content of `ledger.csv`, `orders.csv`, `fills.csv`, `positions.csv`."""
    return {
        "ledger.csv": csv_text(LEDGER, (_ledger_cells(row) for row in record.ledger)),
        "orders.csv": _rows(OrderRow, record.orders),
        "fills.csv": _rows(FillRow, record.fills),
        "positions.csv": _rows(PositionRow, record.positions),
    }


def equity_table(points: Sequence[EquityPoint]) -> bytes:
    """`equity.parquet`: ts (UTC ns), balance, equity, used_margin, margin_level (percent, null without margin),
    open_positions. Floats, for frames; the exact money is in `ledger.csv`."""
    table = pa.table(
        {
            "ts": pa.array(np.fromiter((p.ts_ns for p in points), np.int64, len(points)), pa.timestamp("ns", tz="UTC")),
            "balance": pa.array([float(p.balance) for p in points], pa.float64()),
            "equity": pa.array([float(p.equity) for p in points], pa.float64()),
            "used_margin": pa.array([float(p.used_margin) for p in points], pa.float64()),
            "margin_level": pa.array(
                [None if p.margin_level is None else float(p.margin_level) for p in points], pa.float64()
            ),
            "open_positions": pa.array([p.open_positions for p in points], pa.int32()),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def cell(value: Any) -> str:
    """One CSV cell; text that would run as a formula is made harmless."""
    if type(value) is Decimal:
        return format(value, "f")
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else str(value)
    return "" if value is None else str(value)


def _ledger_cells(row: LedgerRow) -> list[Any]:
    return [
        _time(row.ts_ns),
        str(row.kind),
        row.instrument_id,
        row.position_id,
        row.trade_id,
        row.amount,
        row.currency,
        row.rate,
        row.balance_after,
    ]


def _rows(kind: type, rows: Iterable[Any]) -> str:
    names = [f.name for f in fields(kind)]
    header = ["ts_event" if n == "ts_ns" else n.removesuffix("_ns") for n in names]
    times = [n.endswith("_ns") for n in names]

    def cells(row: Any) -> list[Any]:
        values = [getattr(row, n) for n in names]
        return [_time(v) if is_time else v for v, is_time in zip(values, times, strict=True)]

    return csv_text(header, map(cells, rows))


def _time(ts_ns: int) -> str:
    return iso(ts_ns) if ts_ns else ""


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV with the cells of `cell`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([cell(v) for v in row])
    return out.getvalue()
