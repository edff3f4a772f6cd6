"""The cursor against a plain model of a terminal: nothing lost, nothing repeated, however reads are cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.mt5.gateway.ticks import PAGE_MAX, TickCursor, advance
from pepperstone_adapter.mt5.gateway.wire import TICKS_DTYPE


def history(stamps: list[int]) -> np.ndarray:
    """Ticks with a running number in `volume`, so that equal prices can still be told apart by the test."""
    rows = [(ms // 1000, 1.1, 1.2, 0.0, n, ms, 6, 0.0) for n, ms in enumerate(stamps)]
    return np.array(rows, dtype=TICKS_DTYPE)


def copy_ticks_from(ticks: np.ndarray, second: int, count: int) -> np.ndarray:
    return ticks[ticks["time"] >= second][:count]


@given(
    gaps=st.lists(st.sampled_from([0, 0, 0, 1, 7, 400, 1500]), min_size=1, max_size=200),
    reads=st.lists(st.integers(0, 40), min_size=1, max_size=60),
    page=st.sampled_from([1, 2, 3, 8, 64]),
)
def test_every_tick_comes_once_and_in_order(gaps: list[int], reads: list[int], page: int) -> None:
    stamps = np.cumsum([1_600_000_000_000, *gaps]).tolist()
    ticks = history(stamps)
    cursor, seen, known = TickCursor(stamps[0]), [], 0
    for more in [*reads, len(stamps)]:
        known = min(known + more, len(ticks))  # so many ticks have arrived by now
        for _ in range(10_000):
            result = advance(cursor, copy_ticks_from(ticks[:known], cursor.second, page), page)
            assert not result.lost
            seen += result.rows["volume"].tolist()
            cursor, page = result.cursor, result.page
            if not result.more:
                break
    assert seen == list(range(len(stamps)))


def test_a_forgotten_millisecond_is_reported() -> None:
    kept = history([1_600_000_000_500])
    assert advance(TickCursor(1_600_000_000_100, 2), kept, 10).lost


def test_a_second_larger_than_the_largest_page_is_left_with_a_report_and_never_read_for_ever() -> None:
    second = history([1_600_000_000_500] * 3)
    result = advance(TickCursor(1_600_000_000_500, 3), second, PAGE_MAX)
    assert not result.more
    full = advance(TickCursor(1_600_000_000_900, 0), np.resize(second, PAGE_MAX), PAGE_MAX)
    assert (full.cursor, full.lost, full.more) == (TickCursor(1_600_000_001_000), True, True)
