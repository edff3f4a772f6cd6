"""One series of an import on its way to disk: chunks in, row groups out, in a thread beside the parser.

Building the 128-bit columns and writing Parquet take as long as reading the text; Arrow and NumPy let go of the
interpreter lock meanwhile, so the two run side by side. At most two row groups wait, whatever the size of the file.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pepperstone_adapter.catalog import layout, volume
from pepperstone_adapter.catalog.columns import Chunk

WAITING_GROUPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesKey:
    """What a series is called and how its columns are made.

    Attributes
    ----------
    kind
        ``bars`` or ``quotes``.
    identifier
        Bar type or instrument id: its directory.
    roles
        Names in a chunk of open, high, low, close (or of bid, ask).
    """

    kind: str
    identifier: str
    instrument_id: str
    digits: int
    size_digits: int
    roles: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        if self.kind == "bars":
            return layout.bar_schema(self.identifier, self.instrument_id, self.digits, self.size_digits)
        return layout.quote_schema(self.instrument_id, self.digits, self.size_digits)

    def table(self, chunk: Chunk) -> pa.Table:
        """The chunk as the framework's columns. Sizes are what `catalog.volume` says."""
        rows, unit = len(chunk), 10**self.size_digits
        prices = [layout.decimals(chunk.values[role], self.digits) for role in self.roles]
        if self.kind == "bars":
            ticks = chunk.values.get("ticks", np.ones(rows, np.int64))
            sizes = [layout.decimals(volume.stored_units(ticks, self.identifier) * unit, self.size_digits)]
        else:
            sizes = [_constant(volume.QUOTE_UNITS * unit, rows, self.size_digits)] * 2
        times = [layout.timestamps(chunk.ts_ns)] * 2
        return pa.Table.from_arrays(prices + sizes + times, schema=self.schema)


def _constant(value: int, rows: int, digits: int) -> pa.Array:
    return layout.decimals(np.full(rows, value, np.int64), digits)


class SeriesWriter:
    """Writes one Parquet file; use as a context, then read `rows`, `first_ns`, `last_ns`."""

    def __init__(self, key: SeriesKey, path: Path) -> None:
        self.key, self.path = key, path
        self.rows, self.first_ns, self.last_ns = 0, 0, 0
        self._pending: list[Chunk] = []
        self._held = 0
        self._file = layout.writer(path, key.schema)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parquet")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> "SeriesWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush(self._held)
                self._settle(0)
        finally:
            self._thread.shutdown(wait=True, cancel_futures=True)
            self._file.close()

    def write(self, chunk: Chunk) -> None:
        """Add rows, in order of time."""
        if not len(chunk):
            return
        if not self.rows:
            self.first_ns = int(chunk.ts_ns[0])
        self.rows += len(chunk)
        self.last_ns = int(chunk.ts_ns[-1])
        self._pending.append(chunk)
        self._held += len(chunk)
        self._flush(self._held // layout.ROW_GROUP_ROWS * layout.ROW_GROUP_ROWS)

    def _flush(self, rows: int) -> None:
        if not rows:
            return
        joined = Chunk.join(self._pending)
        self._pending = [joined.take(slice(rows, None))]
        self._held -= rows
        for start in range(0, rows, layout.ROW_GROUP_ROWS):
            part = joined.take(slice(start, min(start + layout.ROW_GROUP_ROWS, rows)))
            self._settle(WAITING_GROUPS)
            self._waiting.append(self._thread.submit(self._write_group, part))

    def _write_group(self, chunk: Chunk) -> None:
        self._file.write_table(self.key.table(chunk), row_group_size=layout.ROW_GROUP_ROWS)

    def _settle(self, allowed: int) -> None:
        while len(self._waiting) > allowed:
            self._waiting.popleft().result()
