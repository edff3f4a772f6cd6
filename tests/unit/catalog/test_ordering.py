"""Rows put in order of time on the disk."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.catalog.columns import Chunk
from pepperstone_adapter.catalog.ordering import LastOfEqual, Sorter


@given(st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=6), st.integers(1, 40))
def test_rows_come_in_order_of_time_and_those_of_one_time_together_as_they_were_added(
    runs: list[list[int]], window_rows: int
) -> None:
    added = [(ts, number) for number, ts in enumerate(ts for run in runs for ts in run)]
    with TemporaryDirectory() as folder:
        sorter = Sorter(Path(folder), window_rows)
        taken = 0
        for run in runs:
            ts, numbers = np.array(run, np.int64), np.arange(taken, taken + len(run), dtype=np.int64)
            sorter.add(Chunk(ts, {"number": numbers}))
            taken += len(run)
        chunks = [list(zip(c.ts_ns.tolist(), c.values["number"].tolist(), strict=True)) for c in sorter.sorted()]
    assert [row for chunk in chunks for row in chunk] == sorted(added)
    times = [{ts for ts, _ in chunk} for chunk in chunks]
    assert sum(map(len, times)) == len(set().union(*times))


def test_a_block_of_blank_lines_ends_nothing_while_a_row_waits_for_the_next() -> None:
    keeper = LastOfEqual()
    rows = Chunk(np.array([1, 2, 2]), {"bid": np.array([10, 20, 21])})
    blank = Chunk(np.empty(0, np.int64), {})  # what a block without rows gives
    out = [keeper.feed(rows), keeper.feed(blank), *keeper.rest()]
    assert [row for chunk in out if len(chunk) for row in chunk.values["bid"].tolist()] == [10, 21]
