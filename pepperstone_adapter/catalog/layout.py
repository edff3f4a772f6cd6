"""The framework's Parquet layout, written and read as arrays.

Theory (read from files nautilus_trader 2.0.0rc7 wrote, high-precision build): a price or size is a 128-bit integer of
10^-16, typed ``decimal128(38, 16)``; times are UTC nanoseconds; the schema metadata names type, instrument (and bar
type) and the decimals of prices and sizes. A series is a directory ``data/bars/<bar type>`` or
``data/quotes/<instrument id>`` of files named by their first and last `ts_init`, ranges disjoint. A row costs no
Python object here.

Row groups of 100,000 rows with dictionaries on the decimals and delta-coded times were measured best for the
framework's own reader: a million bars in 0.4 s, and a range query opens only the groups it needs.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from nautilus_trader.model import FIXED_PRECISION
from numpy.typing import NDArray

from pepperstone_adapter.common.errors import ConfigurationError, DataError
from pepperstone_adapter.common.versions import FRAMEWORK, FRAMEWORK_PIN

RAW_SCALE = 16
DECIMAL = pa.decimal128(38, RAW_SCALE)
TIMESTAMP = pa.timestamp("ns", "UTC")
ROW_GROUP_ROWS = 100_000

BAR_COLUMNS = ("open", "high", "low", "close", "volume")
QUOTE_COLUMNS = ("bid_price", "ask_price", "bid_size", "ask_size")
TIME_COLUMNS = ("ts_event", "ts_init")

_LOW32 = np.uint64(0xFFFF_FFFF)
_S32 = np.uint64(32)


def decimals(values: NDArray[np.int64], digits: int) -> pa.Array:
    """Integers of 10^-digits as the framework's fixed-point column, exact (the product is formed in 128 bits)."""
    factor = 10 ** (RAW_SCALE - digits)
    words = np.zeros((len(values), 2), np.uint64)  # little-endian low and high word
    lowest, highest = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    if max(-lowest, highest) < 2**63 // factor:
        np.multiply(values, factor, out=words[:, 0].view(np.int64))
    else:
        v = np.abs(values).astype(np.uint64)
        f_low, f_high = np.uint64(factor & 0xFFFF_FFFF), np.uint64(factor >> 32)
        v_low, v_high = v & _LOW32, v >> _S32
        low, cross_a, cross_b = v_low * f_low, v_low * f_high, v_high * f_low
        middle = (low >> _S32) + (cross_a & _LOW32) + (cross_b & _LOW32)
        words[:, 0] = (low & _LOW32) | (middle << _S32)
        words[:, 1] = v_high * f_high + (cross_a >> _S32) + (cross_b >> _S32) + (middle >> _S32)
    if lowest < 0:
        _negate(words, values < 0, already=max(-lowest, highest) < 2**63 // factor)
    return pa.Array.from_buffers(DECIMAL, len(values), [None, pa.py_buffer(words)])


def _negate(words: NDArray[np.uint64], rows: NDArray[np.bool_], *, already: bool) -> None:
    """Two's complement of 128 bits for some rows; `already` when the low word is negative and lacks its high word."""
    if not already:
        low = ~words[rows, 0] + np.uint64(1)
        words[rows, 1] = ~words[rows, 1] + (low == 0)
        words[rows, 0] = low
    else:
        words[rows, 1] = np.uint64(2**64 - 1)


def integers(column: pa.Array | pa.ChunkedArray, digits: int) -> NDArray[np.int64]:
    """The inverse of `decimals`: integers of 10^-digits (exact below 2^50)."""
    factor = 10 ** (RAW_SCALE - digits)
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = []
    for chunk in chunks:
        words = np.frombuffer(chunk.buffers()[1], np.uint64).reshape(-1, 2)[chunk.offset : chunk.offset + len(chunk)]
        low, high = words[:, 0].view(np.int64), words[:, 1].view(np.int64)
        if (high == low >> 63).all():
            parts.append(low // factor)
        else:
            raw = high.astype(np.float64) * 2.0**64 + words[:, 0].astype(np.float64)
            parts.append(np.rint(raw / factor).astype(np.int64))
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def finer(column: pa.ChunkedArray, digits: int, points: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which values have more digits than `points`, what `integers` made of them."""
    low = [
        np.frombuffer(c.buffers()[1], np.uint64).reshape(-1, 2)[c.offset : c.offset + len(c), 0] for c in column.chunks
    ]
    # The low word decides: it is that of the exact product, which may wrap.
    return np.asarray(np.concatenate(low) != points.view(np.uint64) * np.uint64(10 ** (RAW_SCALE - digits)))


def timestamps(ns: NDArray[np.int64]) -> pa.Array:
    return pa.Array.from_buffers(TIMESTAMP, len(ns), [None, pa.py_buffer(np.ascontiguousarray(ns))])


def nanoseconds(column: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)


def bar_schema(bar_type: str, instrument_id: str, price_digits: int, size_digits: int) -> pa.Schema:
    metadata = {
        "bar_type": bar_type,
        "instrument_id": instrument_id,
        "price_precision": str(price_digits),
        "size_precision": str(size_digits),
        "type_name": "Bar",
    }
    return _schema(BAR_COLUMNS, metadata)


def quote_schema(instrument_id: str, price_digits: int, size_digits: int) -> pa.Schema:
    metadata = {
        "instrument_id": instrument_id,
        "price_precision": str(price_digits),
        "size_precision": str(size_digits),
        "type_name": "QuoteTick",
    }
    return _schema(QUOTE_COLUMNS, metadata)


def _schema(columns: tuple[str, ...], metadata: dict[str, str]) -> pa.Schema:
    fields = [pa.field(name, DECIMAL, nullable=False) for name in columns]
    fields += [pa.field(name, TIMESTAMP, nullable=False) for name in TIME_COLUMNS]
    return pa.schema(fields, metadata=metadata)


def writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A Parquet writer with the framework's compression, encodings and declared order."""
    names: list[str] = schema.names
    options: dict[str, Any] = {
        "compression": "zstd",
        "use_dictionary": [n for n in names if n not in TIME_COLUMNS],
        "column_encoding": dict.fromkeys(TIME_COLUMNS, "DELTA_BINARY_PACKED"),
        "write_statistics": list(TIME_COLUMNS),  # what range queries prune by
        "sorting_columns": [pq.SortingColumn(names.index("ts_init"))],
    }
    return pq.ParquetWriter(path, schema, **options)


def meets(group: Any, low: int, high: int) -> bool:
    """Whether a row group can hold times of ``[low, high)``, by the statistics it was written with."""
    for i in range(group.num_columns):
        column = group.column(i)
        if column.path_in_schema == "ts_init" and column.is_stats_set and column.statistics.has_min_max:
            return bool(column.statistics.min_raw < high and column.statistics.max_raw >= low)
    return True


def check_build() -> None:
    """Refuse a framework build with another fixed point than the layout above.

    Raises
    ------
    ConfigurationError
    """
    if FIXED_PRECISION != RAW_SCALE:
        raise ConfigurationError(
            f"this nautilus_trader build keeps prices in {FIXED_PRECISION} decimals; the catalog needs the "
            f"high-precision build with {RAW_SCALE}: install the published wheel of your platform"
        )


def check_schema(file: Path, schema: pa.Schema) -> None:
    """Refuse a file of another layout (an older framework's, or the 64-bit precision mode).

    Raises
    ------
    DataError
        With the layout found and the one wanted.
    """
    names = set(schema.names)
    wanted = BAR_COLUMNS if "open" in names else QUOTE_COLUMNS
    metadata = schema.metadata or {}
    types = {schema.field(n).type for n in wanted if n in names} | {
        schema.field(n).type for n in TIME_COLUMNS if n in names
    }
    keys = {b"instrument_id", b"price_precision", b"size_precision"}
    if not {*wanted, *TIME_COLUMNS} <= names or types != {DECIMAL, TIMESTAMP} or not keys <= set(metadata):
        found = f"{', '.join(sorted(str(t) for t in types))} in columns {', '.join(schema.names)}"
        raise DataError(
            f"{file} has another layout: {found}; this program reads what {FRAMEWORK} {FRAMEWORK_PIN} writes in high "
            f"precision: {DECIMAL}, {TIMESTAMP} in columns {', '.join((*wanted, *TIME_COLUMNS))}. "
            "Import its source again"
        )


def open_parquet(file: Path) -> pq.ParquetFile:
    """Open one file of a catalog.

    Raises
    ------
    DataError
        It is damaged, or gone since it was listed; the file is named.
    """
    try:
        return pq.ParquetFile(file)
    except FileNotFoundError as error:
        raise DataError(
            f"{file} is gone: another process has stored other data in this catalog meanwhile; run the command again"
        ) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{file} is not a readable Parquet file ({str(error).splitlines()[0]}); "
            "delete it and import its source again"
        ) from error


def range_of(file: Path) -> tuple[int, int]:
    """First and last `ts_init` of one file of a catalog, by its name.

    Raises
    ------
    DataError
        It has another kind of name.
    """
    try:
        return file_range(file.name)
    except ValueError as error:
        raise DataError(f"{file} is not named like a file of the catalog (START_END.parquet); remove it") from error


def file_name(first_ns: int, last_ns: int) -> str:
    return f"{_stamp(first_ns)}_{_stamp(last_ns)}.parquet"


def file_range(name: str) -> tuple[int, int]:
    """First and last `ts_init` (UTC ns) a file name declares; ValueError when it is not one of the catalog's."""
    first, _, last = name.removesuffix(".parquet").partition("_")
    return _unstamp(first), _unstamp(last)


def _stamp(ns: int) -> str:
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H-%M-%S}-{rest:09d}Z"


def _unstamp(text: str) -> int:
    seconds, _, rest = text.removesuffix("Z").rpartition("-")
    moment = datetime.strptime(seconds, "%Y-%m-%dT%H-%M-%S").replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int(rest)
