"""Rows of a range out of large stored files."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pepperstone_adapter.catalog import layout
from pepperstone_adapter.catalog.columns import Chunk
from pepperstone_adapter.catalog.merge import rows_between
from pepperstone_adapter.catalog.writing import SeriesKey, SeriesWriter

GROUP = layout.ROW_GROUP_ROWS
KEY = SeriesKey(
    kind="quotes", identifier="EURUSD.X", instrument_id="EURUSD.X", digits=5, size_digits=0, roles=("bid", "ask")
)


@pytest.fixture
def three_groups(tmp_path: Path) -> Path:
    """Three row groups; the times of their rows are 0, 1, 2, ..."""
    ts = np.arange(3 * GROUP, dtype=np.int64)
    path = tmp_path / "quotes.parquet"
    with SeriesWriter(KEY, path) as writer:
        writer.write(Chunk(ts, {"bid": 100_000 + ts % 1000, "ask": 100_010 + ts % 1000}))
    return path


def times(path: Path, first_ns: int, last_ns: int) -> list[int]:
    return [int(t) for table in rows_between([path], first_ns, last_ns) for t in layout.nanoseconds(table["ts_init"])]


def test_rows_of_a_range_over_row_groups(three_groups: Path) -> None:
    assert times(three_groups, GROUP - 2, GROUP + 1) == [GROUP - 2, GROUP - 1, GROUP, GROUP + 1]
    assert times(three_groups, 3 * GROUP, 4 * GROUP) == []


def test_row_groups_outside_the_range_are_not_read(three_groups: Path) -> None:
    # The pages of the first and the last group are overwritten: reading them would fail.
    data = bytearray(three_groups.read_bytes())
    metadata = pq.ParquetFile(three_groups).metadata
    for group in (0, 2):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            data[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    three_groups.write_bytes(data)
    assert times(three_groups, GROUP, 2 * GROUP - 1) == list(range(GROUP, 2 * GROUP))
    with pytest.raises(OSError):
        times(three_groups, GROUP, 2 * GROUP)


def test_a_file_without_statistics_is_read_in_full(three_groups: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.parquet"
    pq.write_table(pq.read_table(three_groups), plain, write_statistics=False, row_group_size=GROUP)
    assert times(plain, GROUP - 1, GROUP) == [GROUP - 1, GROUP]
