"""Rows of a record without their objects: what a run writes down must not fill its memory.

A run of a million bars leaves some 400,000 rows; as Python objects they would take half a gigabyte, and every pass of the
garbage collector would walk them. So a row is added as a plain tuple of numbers and text, as its writer has them; `pack`
moves what was added to a temporary file at the end of each window of data (in memory while it is small); and a row object,
with prices and money in Decimal, is made when somebody reads it.
"""

import marshal
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import starmap
from typing import Any, overload

_IN_MEMORY_BYTES = 4 << 20


class Table[Row](Sequence[Row]):
    """An append-only list of rows; equal to any sequence of equal rows.

    Iterating reads it from the beginning, one block at a time; an index reads all of it.

    Parameters
    ----------
    make
        Makes a row of the values of the tuple that was added: int, float, str, bool or None.

    Attributes
    ----------
    add
        Appends one tuple.
    fresh
        Tuples added since the last `pack`.
    """

    def __init__(self, make: Callable[..., Row]) -> None:
        self.fresh: list[tuple[Any, ...]] = []
        self.add = self.fresh.append
        self._make = make
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - lives as long as the table
        weakref.finalize(self, self._file.close)
        self._blocks: list[tuple[int, int, int]] = []  # where each block begins, its bytes, its rows

    def pack(self) -> None:
        """Put what was added since the last time into the file."""
        if not self.fresh:
            return
        block = marshal.dumps(self.fresh)
        self._blocks.append((self._file.seek(0, 2), len(block), len(self.fresh)))
        self._file.write(block)
        self.fresh.clear()

    def __len__(self) -> int:
        return sum(rows for _, _, rows in self._blocks) + len(self.fresh)

    def __iter__(self) -> Iterator[Row]:
        for at, size, _ in self._blocks:
            self._file.seek(at)
            yield from starmap(self._make, marshal.loads(self._file.read(size)))  # noqa: S302 - written by `pack`
        yield from starmap(self._make, list(self.fresh))

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
