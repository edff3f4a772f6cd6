"""Rows of a record without their objects: what a run writes down must not fill its memory.

A run of a million bars leaves some 400,000 rows; as Python objects they would take half a gigabyte, and every pass of the
garbage collector would walk them. So a row is added as a plain tuple in the order of its class's fields, `pack` turns what
was added into columns at the end of each window of data and appends them to a temporary file (in memory while it is small),
and a row object is made when somebody reads it.
"""

import marshal
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from decimal import Decimal
from enum import StrEnum
from typing import Any, overload

_IN_MEMORY_BYTES = 4 << 20


class Table[Row](Sequence[Row]):
    """An append-only list of dataclass rows; equal to any sequence of equal rows.

    Iterating reads it from the beginning, one block at a time; an index reads all of it.

    Attributes
    ----------
    fresh
        Rows added since the last `pack`, as tuples.
    """

    def __init__(self, row: Callable[..., Row]) -> None:
        self.fresh: list[tuple[Any, ...]] = []
        self._row = row
        self._texts = [(i, read) for i, read in enumerate(map(_reader, fields(row))) if read]  # type: ignore[arg-type]
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - lives as long as the table
        weakref.finalize(self, self._file.close)
        self._blocks: list[tuple[int, int, int]] = []  # where each block begins, its bytes, its rows

    def add(self, *values: Any) -> None:
        self.fresh.append(values)

    def pack(self) -> None:
        """Put what was added since the last time into the file."""
        if not self.fresh:
            return
        columns: list[Any] = list(zip(*self.fresh, strict=True))
        for i, _ in self._texts:
            columns[i] = [None if value is None else str(value) for value in columns[i]]
        block = marshal.dumps(columns)
        self._blocks.append((self._file.seek(0, 2), len(block), len(self.fresh)))
        self._file.write(block)
        self.fresh = []

    def __len__(self) -> int:
        return sum(rows for _, _, rows in self._blocks) + len(self.fresh)

    def __iter__(self) -> Iterator[Row]:
        for at, size, _ in self._blocks:
            self._file.seek(at)
            yield from self._rows(marshal.loads(self._file.read(size)))  # noqa: S302 - written by `pack`
        yield from [self._row(*values) for values in self.fresh]

    def _rows(self, columns: list[Any]) -> Iterable[Row]:
        for i, read in self._texts:
            columns[i] = [None if text is None else read(text) for text in columns[i]]
        return map(self._row, *columns)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return list(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


def _reader(field: Any) -> Callable[[str], Any] | None:
    """How a field's value is read back from text; None for what needs no text."""
    if field.type in (Decimal, Decimal | None):
        return Decimal
    return field.type if isinstance(field.type, type) and issubclass(field.type, StrEnum) else None
