"""New rows beside stored ones: what is already there, what is new, and what contradicts.

The files of a series are its coverage: inside a file's range, the stored rows are the truth. A new file may reach
beyond (its rows outside are added), must repeat the stored rows exactly where ranges overlap, and otherwise is refused;
with `replace` its rows take the place of everything stored between its first and last row, and of those that the same
file gave when it was read in another way (by another clock).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pepperstone_adapter.catalog import coverage, layout
from pepperstone_adapter.catalog.coverage import Interval
from pepperstone_adapter.catalog.manifest import iso
from pepperstone_adapter.common.errors import DataError

COMPARED_ROWS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What to do for one series: files to write, files to remove, and how many of the new rows are stored by it."""

    pieces: tuple[tuple[Path, str], ...]  # staged file, final name
    removes: tuple[Path, ...]
    stored: int


def plan_merge(
    new: Path,
    first_ns: int,
    last_ns: int,
    directory: Path,
    *,
    replace: bool,
    source: str,
    before: Sequence[Interval] = (),
) -> Merge:
    """Compare a staged file with the stored ones; further staged files are written beside it as needed.

    `before` are half-open stretches of stored rows that go with `replace` beside those between the new ones: what the same
    source gave when it was read in another way.

    Raises
    ------
    DataError
        Stored rows of the overlapping range differ and `replace` is off.
    """
    rows = layout.open_parquet(new).metadata.num_rows
    stored = sorted((*layout.range_of(f), f) for f in directory.glob("*.parquet"))
    gone = coverage.union([(first_ns, last_ns + 1)], before if replace else ())
    touched = [(a, b, f) for a, b, f in stored if coverage.within(gone, a, b + 1)]
    if not touched:
        return Merge(pieces=((new, layout.file_name(first_ns, last_ns)),), removes=(), stored=rows)
    _check_same_layout(new, touched[0][2], source)
    if replace:
        keep = [(f, *span) for a, b, f in touched for span in coverage.missing(gone, a, b + 1)]
        pieces = [p for i, (f, a, b) in enumerate(keep) if (p := _piece([f], a, b - 1, new, f"keep-{i}"))]
        pieces.append((new, layout.file_name(first_ns, last_ns)))
        return Merge(pieces=tuple(pieces), removes=tuple(f for *_, f in touched), stored=rows)
    for a, b, file in touched:
        _compare(file, new, max(a, first_ns), min(b, last_ns), directory.name, source)
    edges = [first_ns - 1, *(e for a, b, _ in touched for e in (a, b)), last_ns + 1]
    spans = [(edges[i] + 1, edges[i + 1] - 1) for i in range(0, len(edges), 2)]
    fresh = [p for i, (a, b) in enumerate(spans) if a <= b and (p := _piece([new], a, b, new, f"add-{i}"))]
    count = sum(layout.open_parquet(path).metadata.num_rows for path, _ in fresh)
    return Merge(pieces=tuple(fresh), removes=(), stored=count)


def rows_between(files: Sequence[Path], first_ns: int, last_ns: int) -> Iterator[pa.Table]:
    """Stored columns of the rows in a closed range, a row group at a time; groups of other times are not read."""
    for file in files:
        source = layout.open_parquet(file)
        for group in range(source.num_row_groups):
            if not layout.meets(source.metadata.row_group(group), first_ns, last_ns + 1):
                continue
            table = source.read_row_group(group)
            ts = layout.nanoseconds(table["ts_init"])
            a, b = np.searchsorted(ts, first_ns, "left"), np.searchsorted(ts, last_ns, "right")
            if b > a:
                yield table.slice(a, b - a)


def stored_rows(files: Iterable[Path], first_ns: int, last_ns: int) -> int:
    """How many rows of a closed range are stored in files of a series; a damaged one counts as none."""
    rows = 0
    for file in files:
        a, b = layout.range_of(file)
        with suppress(DataError):
            if first_ns <= a and b <= last_ns:
                rows += layout.open_parquet(file).metadata.num_rows
            elif a <= last_ns and b >= first_ns:
                rows += sum(map(len, rows_between([file], first_ns, last_ns)))
    return rows


def _piece(files: Sequence[Path], first_ns: int, last_ns: int, beside: Path, name: str) -> tuple[Path, str] | None:
    path = beside.with_name(f"{beside.stem}-{name}.parquet")
    first = last = 0
    target: pq.ParquetWriter | None = None
    for table in rows_between(files, first_ns, last_ns):
        ts = layout.nanoseconds(table["ts_init"])
        if target is None:
            target, first = layout.writer(path, table.schema), int(ts[0])
        last = int(ts[-1])
        target.write_table(table, row_group_size=layout.ROW_GROUP_ROWS)
    if target is None:
        return None
    target.close()
    return path, layout.file_name(first, last)


def _check_same_layout(new: Path, stored: Path, source: str) -> None:
    wanted, found = (layout.open_parquet(f).schema_arrow.metadata for f in (stored, new))
    if wanted != found:
        shown = [m[b"price_precision"].decode() + "/" + m[b"size_precision"].decode() for m in (wanted, found)]
        raise DataError(
            f"{source}: {stored.parent.name} is stored with {shown[0]} digits of price/size, this import has "
            f"{shown[1]}; remove the stored series first or correct the symbol's digits"
        )


def _compare(stored: Path, new: Path, first_ns: int, last_ns: int, series: str, source: str) -> None:
    left = _resized(rows_between([stored], first_ns, last_ns))
    right = _resized(rows_between([new], first_ns, last_ns))
    for a, b in zip_longest(left, right):
        if a is not None and b is not None and a.equals(b):
            continue
        difference = _first_difference(a, b)
        raise DataError(
            f"{source}: {series} is already stored from {iso(first_ns)} to {iso(last_ns)} with different rows "
            f"({difference}); if this file is the better one, put it in place of the stored rows with --replace"
        )


def _first_difference(a: pa.Table | None, b: pa.Table | None) -> str:
    if a is None or b is None:
        longer, side = (b, "only in the file") if a is None else (a, "only stored")
        assert longer is not None  # zip_longest gives at least one
        return f"the first: a row at {iso(int(layout.nanoseconds(longer['ts_init'])[0]))} is {side}"
    short = min(len(a), len(b))
    unequal = np.zeros(short, np.bool_)
    for name in a.schema.names:
        left, right = (np.frombuffer(_raw(t, name, short), np.uint8) for t in (a, b))
        unequal |= (left.reshape(short, -1) != right.reshape(short, -1)).any(axis=1)
    at = int(np.argmax(unequal)) if unequal.any() else short
    stored, new = _shown(a, at), _shown(b, at)
    return f"the first: stored {stored}, in the file " + ("another volume" if stored == new else new)


def _shown(table: pa.Table, row: int) -> str:
    if row >= len(table):
        return "nothing"
    prices = "/".join(f"{table[name][row].as_py().normalize():f}" for name in _price_columns(table))
    return f"{iso(int(layout.nanoseconds(table['ts_init'])[row]))} {prices}"


def _price_columns(table: pa.Table) -> list[str]:
    return list(table.schema.names[: 4 if table.schema.names[0] == "open" else 2])


def _raw(table: pa.Table, name: str, rows: int) -> bytes:
    column = table[name].combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    width = column.type.bit_width // 8
    start = column.offset * width
    return bytes(memoryview(column.buffers()[1])[start : start + rows * width])


def _resized(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of `COMPARED_ROWS`."""
    pending: list[pa.Table] = []
    for table in tables:
        pending.append(table)
        while sum(map(len, pending)) >= COMPARED_ROWS:
            joined = pa.concat_tables(pending)
            yield joined.slice(0, COMPARED_ROWS).combine_chunks()
            pending = [joined.slice(COMPARED_ROWS)]
    if pending and sum(map(len, pending)):
        yield pa.concat_tables(pending).combine_chunks()
