"""Rows come out of a table as they went in, packed or not."""

from dataclasses import dataclass
from decimal import Decimal

from pepperstone_adapter.simulation.table import Table


@dataclass(slots=True)
class Row:
    count: int
    price: Decimal | None


def made(count: int, points: int | None) -> Row:
    return Row(count, None if points is None else Decimal(points).scaleb(-2))


def test_rows_before_and_after_packing() -> None:
    table = Table(made)
    table.add((1, 11_000))
    table.pack()
    table.add((2, None))
    assert len(table) == 2
    assert table == [Row(1, Decimal("110.00")), Row(2, None)]
    table.pack()
    assert list(table) == [Row(1, Decimal("110.00")), Row(2, None)]
    assert table[1] == Row(2, None)
    assert str(table[0].price) == "110.00"
    assert table[1:] == [Row(2, None)]
    assert table != [Row(2, None), Row(1, Decimal("110.00"))]


def test_two_readers_do_not_disturb_each_other() -> None:
    table = Table(made)
    for i in range(10):
        table.add((i, None))
        table.pack()
    assert [(a.count, b.count) for a, b in zip(table, table, strict=True)] == [(i, i) for i in range(10)]


def test_an_empty_table() -> None:
    table = Table(made)
    table.pack()
    assert not table
    assert table == []
