"""Rows come out of a table as they went in, packed or not."""

from dataclasses import dataclass
from decimal import Decimal

from pepperstone_adapter.simulation.record import LedgerKind, LedgerRow
from pepperstone_adapter.simulation.table import Table


@dataclass(slots=True)
class Row:
    count: int
    price: Decimal | None


def test_rows_before_and_after_packing() -> None:
    table = Table(LedgerRow)
    deposit = LedgerRow(1, LedgerKind.DEPOSIT, Decimal("100.00"), Decimal("100.00"), "USD", Decimal(1))
    swap = LedgerRow(
        2, LedgerKind.SWAP, Decimal("-0.30"), Decimal("99.70"), "EUR", Decimal("1.1"), "EURUSD.P", "P-1", "T"
    )
    table.add(1, LedgerKind.DEPOSIT, Decimal("100.00"), Decimal("100.00"), "USD", Decimal(1), "", "", "")
    table.pack()
    table.add(2, LedgerKind.SWAP, Decimal("-0.30"), Decimal("99.70"), "EUR", Decimal("1.1"), "EURUSD.P", "P-1", "T")
    assert len(table) == 2
    assert table == [deposit, swap]
    table.pack()
    assert list(table) == [deposit, swap]
    assert table[1] == swap
    assert table[1].kind is LedgerKind.SWAP
    assert str(table[0].amount) == "100.00"
    assert table != [swap, deposit]


def test_missing_decimals_stay_missing() -> None:
    table = Table(Row)
    table.add(1, None)
    table.add(2, Decimal("0.10"))
    table.pack()
    assert table[:] == [Row(1, None), Row(2, Decimal("0.10"))]


def test_two_readers_do_not_disturb_each_other() -> None:
    table = Table(Row)
    for i in range(10):
        table.add(i, None)
        table.pack()
    assert [(a.count, b.count) for a, b in zip(table, table, strict=True)] == [(i, i) for i in range(10)]


def test_an_empty_table() -> None:
    table = Table(Row)
    table.pack()
    assert not table
    assert table == []
