"""What we write is what the framework would have written for the same rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.model import Bar, BarType, InstrumentId, Price, Quantity, QuoteTick
from nautilus_trader.persistence import ParquetDataCatalog

from pepperstone_adapter.catalog import layout, volume
from pepperstone_adapter.catalog.columns import Chunk
from pepperstone_adapter.catalog.rows import BarColumns, QuoteColumns, bars_from_arrays, quotes_from_arrays
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.catalog.writing import SeriesKey, SeriesWriter
from pepperstone_adapter.common.errors import DataError

BAR_TYPE = "XAUUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL"
START_NS = 1_551_394_800_000_000_000
HOUR_NS = 3_600_000_000_000

points = st.integers(min_value=-(2**62), max_value=2**62)


@given(values=st.lists(points, min_size=1, max_size=20), digits=st.integers(min_value=0, max_value=8))
def test_decimals_are_exact_in_128_bits(values: list[int], digits: int) -> None:
    column = layout.decimals(np.array(values, np.int64), digits)
    assert [int(d.as_py().scaleb(16)) for d in column] == [v * 10 ** (16 - digits) for v in values]


@given(
    values=st.lists(st.integers(min_value=-(2**50), max_value=2**50), min_size=1, max_size=20),
    digits=st.integers(min_value=0, max_value=8),
)
def test_integers_come_back_from_decimals(values: list[int], digits: int) -> None:
    array = np.array(values, np.int64)
    assert layout.integers(layout.decimals(array, digits), digits).tolist() == values
    # A slice of a column has an offset into its buffer.
    assert layout.integers(layout.decimals(array, digits).slice(1), digits).tolist() == values[1:]


def _bars() -> Chunk:
    # 1967.00 and more does not fit into 64 bits as 10^-16 (1967e16 > 2^63): both ways of multiplying are used.
    close = np.array([131_419, 196_974, 5], np.int64)
    return Chunk(
        START_NS + HOUR_NS * np.arange(3),
        {
            "open": close - 1,
            "high": close + 3,
            "low": close - 4,
            "close": close,
            "ticks": np.array([677, 2496, 1], np.int64),
        },
    )


def _framework_bars() -> list[Bar]:
    def price(points: int) -> Price:
        return Price.from_str(f"{points / 100:.2f}")

    bar_type = BarType.from_str(BAR_TYPE)
    return [
        Bar(
            bar_type, price(c - 1), price(c + 3), price(c - 4), price(c), Quantity(t * 100_000_000, 0),
            START_NS + i * HOUR_NS, START_NS + i * HOUR_NS,
        )
        for i, (c, t) in enumerate(((131_419, 677), (196_974, 2496), (5, 1)))
    ]  # fmt: skip


def _bar_key() -> SeriesKey:
    return SeriesKey(
        kind="bars", identifier=BAR_TYPE, instrument_id="XAUUSD.PEPPERSTONE", digits=2, size_digits=0,
        roles=("open", "high", "low", "close"),
    )  # fmt: skip


def test_bars_equal_the_framework_file(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    ParquetDataCatalog(str(tmp_path / "theirs")).write_bars(_framework_bars())
    (theirs,) = (tmp_path / "theirs").rglob("*.parquet")

    ours = tmp_path / "ours" / theirs.relative_to(tmp_path / "theirs")
    ours.parent.mkdir(parents=True)
    with SeriesWriter(_bar_key(), ours) as writer:
        writer.write(_bars())

    assert theirs.parent.name == BAR_TYPE
    assert theirs.name == layout.file_name(START_NS, START_NS + 2 * HOUR_NS)
    assert pq.read_table(ours).equals(pq.read_table(theirs), check_metadata=True)
    a, b = pq.ParquetFile(ours), pq.ParquetFile(theirs)
    assert a.schema.equals(b.schema)  # physical types too, not only Arrow's reading of them
    assert a.metadata.row_group(0).sorting_columns == b.metadata.row_group(0).sorting_columns
    for catalog in ("ours", "theirs"):
        assert ParquetDataCatalog(str(tmp_path / catalog)).query_bars([BAR_TYPE]) == _framework_bars()


def test_quotes_equal_the_framework_file(tmp_path: Path) -> None:
    instrument_id = InstrumentId.from_str("USDJPY.PEPPERSTONE")
    size = Quantity(1_000_000_000, 0)
    stamps = [START_NS, START_NS, START_NS + 1]  # two quotes in one nanosecond keep their order
    prices = [("86.655", "86.728"), ("86.657", "86.728"), ("86.655", "86.729")]
    framework = [
        QuoteTick(instrument_id, Price.from_str(b), Price.from_str(a), size, size, ts, ts)
        for ts, (b, a) in zip(stamps, prices, strict=True)
    ]
    (tmp_path / "theirs").mkdir()
    ParquetDataCatalog(str(tmp_path / "theirs")).write_quote_ticks(framework)
    (theirs,) = (tmp_path / "theirs").rglob("*.parquet")
    key = SeriesKey(
        kind="quotes", identifier="USDJPY.PEPPERSTONE", instrument_id="USDJPY.PEPPERSTONE", digits=3, size_digits=0,
        roles=("bid", "ask"),
    )  # fmt: skip
    chunk = Chunk(
        np.array(stamps, np.int64),
        {"bid": np.array([86_655, 86_657, 86_655], np.int64), "ask": np.array([86_728, 86_728, 86_729], np.int64)},
    )
    ours = tmp_path / "ours" / theirs.relative_to(tmp_path / "theirs")
    ours.parent.mkdir(parents=True)
    with SeriesWriter(key, ours) as writer:
        writer.write(chunk)
    assert pq.read_table(ours).equals(pq.read_table(theirs), check_metadata=True)
    assert ParquetDataCatalog(str(tmp_path / "ours")).query_quote_ticks(["USDJPY.PEPPERSTONE"]) == framework


def test_arrays_become_the_same_framework_objects() -> None:
    chunk = _bars()
    columns = BarColumns(ts_ns=chunk.ts_ns, **chunk.values)
    assert bars_from_arrays(BAR_TYPE, 2, 0, columns) == _framework_bars()
    quotes = quotes_from_arrays(
        "EURUSD.PEPPERSTONE", 5, 0,
        QuoteColumns(ts_ns=np.array([7], np.int64), bid=np.array([112_120]), ask=np.array([112_172])),
    )  # fmt: skip
    size = Quantity(1_000_000_000, 0)
    instrument_id = InstrumentId.from_str("EURUSD.PEPPERSTONE")
    assert quotes == [QuoteTick(instrument_id, Price(1.1212, 5), Price(1.12172, 5), size, size, 7, 7)]


def test_row_groups_are_cut_to_size_over_many_chunks(tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    rows = layout.ROW_GROUP_ROWS * 2 + 5
    with SeriesWriter(_bar_key(), path) as writer:
        for start in range(0, rows, 30_001):
            ts = np.arange(start, min(start + 30_001, rows), dtype=np.int64)
            writer.write(Chunk(ts, dict.fromkeys(("open", "high", "low", "close", "ticks"), ts + 1)))
    file = pq.ParquetFile(path)
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [layout.ROW_GROUP_ROWS, layout.ROW_GROUP_ROWS, 5]
    assert layout.nanoseconds(pq.read_table(path)["ts_init"]).tolist() == list(range(rows))
    assert (writer.rows, writer.first_ns, writer.last_ns) == (rows, 0, rows - 1)


def test_tick_volume_is_scaled_and_recoverable() -> None:
    ticks = np.array([0, 1, 68, 340_000, 900_000], np.int64)
    # one tick is 100 million units; none counts as one; 340,000 ticks are the most a quantity holds
    assert volume.stored_units(ticks, BAR_TYPE).tolist() == [
        100_000_000, 100_000_000, 6_800_000_000, 34_000_000_000_000, 34_000_000_000_000,
    ]  # fmt: skip
    assert volume.tick_volume(volume.stored_units(ticks, BAR_TYPE), BAR_TYPE).tolist() == [1, 1, 68, 340_000, 340_000]
    daily = "XAUUSD.PEPPERSTONE-1-DAY-BID-EXTERNAL"
    assert volume.stored_units(ticks, daily).tolist()[2:] == [6_800_000, 34_000_000_000, 90_000_000_000]
    assert Quantity(volume.MAX_UNITS, 0).as_decimal() == 34_000_000_000_000


@given(ns=st.integers(min_value=0, max_value=4_000_000_000_000_000_000))
def test_file_names_hold_their_range(ns: int) -> None:
    assert layout.file_range(layout.file_name(ns, ns + 1)) == (ns, ns + 1)


def test_a_file_of_another_precision_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "bars" / BAR_TYPE
    folder.mkdir(parents=True)
    narrow = pa.schema(
        [(n, pa.binary(8)) for n in layout.BAR_COLUMNS] + [(n, pa.uint64()) for n in layout.TIME_COLUMNS]
    )
    file = folder / layout.file_name(0, 1)
    pq.write_table(narrow.empty_table(), file)
    with pytest.raises(DataError, match=r"fixed_size_binary\[8\].*decimal128\(38, 16\).*Import its source again"):
        CatalogStore(tmp_path).series()
