"""Rows of the catalog as arrays: their columns, reading them a stretch at a time, framework objects made of them.

Prices are integer points (``10**-digits`` of the symbol), times UTC nanoseconds. `bars_from_arrays` and
`quotes_from_arrays` make framework objects without a Python call per row: the arrays travel as one Arrow stream.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
from nautilus_trader.model import Bar, QuoteTick
from nautilus_trader.persistence import BarDataWrangler, QuoteTickDataWrangler
from numpy.typing import NDArray

from pepperstone_adapter.catalog import layout, volume

type Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarColumns:
    """Bars as arrays: `ts_ns` closing times ascending, prices in integer points, `ticks` the source's tick volume."""

    ts_ns: Int64s
    open: Int64s
    high: Int64s
    low: Int64s
    close: Int64s
    ticks: Int64s
    finer: NDArray[np.bool_] | None = None  # rows stored with more digits than the series has; None where nobody asked

    def __len__(self) -> int:
        return len(self.ts_ns)

    def take(self, rows: slice) -> "BarColumns":
        return BarColumns(
            ts_ns=self.ts_ns[rows], open=self.open[rows], high=self.high[rows], low=self.low[rows],
            close=self.close[rows], ticks=self.ticks[rows],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuoteColumns:
    """Quotes as arrays: `ts_ns` ascending (equal times keep their order), prices in integer points."""

    ts_ns: Int64s
    bid: Int64s
    ask: Int64s
    finer: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.ts_ns)

    def take(self, rows: slice) -> "QuoteColumns":
        return QuoteColumns(ts_ns=self.ts_ns[rows], bid=self.bid[rows], ask=self.ask[rows])


def join_bars(parts: Sequence[BarColumns]) -> BarColumns:
    if len(parts) == 1:
        return parts[0]
    names = ("ts_ns", "open", "high", "low", "close", "ticks")
    return BarColumns(**_joined(parts, names))


def join_quotes(parts: Sequence[QuoteColumns]) -> QuoteColumns:
    if len(parts) == 1:
        return parts[0]
    return QuoteColumns(**_joined(parts, ("ts_ns", "bid", "ask")))


def _joined(parts: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    empty = np.empty(0, np.int64)
    return {n: np.concatenate([getattr(p, n) for p in parts]) if parts else empty for n in names}


class Cursor[C: (BarColumns, QuoteColumns)]:
    """Reads a stored series from its beginning, a stretch at a time; no row is decoded twice.

    Parameters
    ----------
    chunks
        Columns in ascending order.
    join
        Makes one of several, and none of nothing.
    """

    def __init__(self, chunks: Iterator[C], join: Callable[[Sequence[C]], C]) -> None:
        self._chunks: Iterator[C] = chunks
        self._join: Callable[[Sequence[C]], C] = join
        self._rest: list[C] = []  # read, but behind the last stretch

    def ahead(self, rows: int) -> Int64s:
        """Times of the next rows after the last stretch, `rows` of them where there are so many."""
        while sum(map(len, self._rest)) < rows and (chunk := next(self._chunks, None)) is not None:
            self._rest.append(chunk)
        return np.concatenate([np.empty(0, np.int64), *(chunk.ts_ns for chunk in self._rest)])[:rows]

    def until(self, end_ns: int) -> C:
        """The rows after the last stretch that are earlier than `end_ns`."""
        while not self._rest or self._rest[-1].ts_ns[-1] < end_ns:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._rest.append(chunk)
        joined = self._join(self._rest)
        cut = int(np.searchsorted(joined.ts_ns, end_ns))
        self._rest = [joined.take(slice(cut, None))] if cut < len(joined) else []
        return joined.take(slice(cut))


def bars_from_arrays(bar_type: str, digits: int, size_digits: int, columns: BarColumns) -> list[Bar]:
    """Framework bars from arrays."""
    units = volume.stored_units(columns.ticks, bar_type) * 10**size_digits
    arrays = [layout.decimals(a, digits) for a in (columns.open, columns.high, columns.low, columns.close)]
    arrays += [layout.decimals(units, size_digits)] + [layout.timestamps(columns.ts_ns)] * 2
    schema = layout.bar_schema(bar_type, bar_type.split("-")[0], digits, size_digits)
    stream = _ipc(pa.Table.from_arrays(arrays, schema=schema))
    return BarDataWrangler(bar_type, digits, size_digits).process_record_batch_bytes(stream)


def quotes_from_arrays(instrument_id: str, digits: int, size_digits: int, columns: QuoteColumns) -> list[QuoteTick]:
    """Framework quotes from arrays."""
    size = layout.decimals(np.full(len(columns), volume.QUOTE_UNITS * 10**size_digits, np.int64), size_digits)
    arrays = [layout.decimals(columns.bid, digits), layout.decimals(columns.ask, digits), size, size]
    arrays += [layout.timestamps(columns.ts_ns)] * 2
    schema = layout.quote_schema(instrument_id, digits, size_digits)
    stream = _ipc(pa.Table.from_arrays(arrays, schema=schema))
    return QuoteTickDataWrangler(instrument_id, digits, size_digits).process_record_batch_bytes(stream)


def _ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return cast("bytes", sink.getvalue().to_pybytes())
