"""Intervals of time: joined, subtracted, cut; held to a set of single instants."""

from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.catalog import coverage

INTERVALS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


def instants(intervals: object) -> set[int]:
    return {i for a, b in intervals for i in range(a, b)}  # type: ignore[attr-defined]


@given(INTERVALS, INTERVALS)
def test_a_union_holds_the_same_instants_in_disjoint_ascending_intervals(one: list, two: list) -> None:
    whole = coverage.union(one, two)
    assert instants(whole) == instants(one) | instants(two)
    assert all(a < b for a, b in whole)
    assert all(whole[i][1] < whole[i + 1][0] for i in range(len(whole) - 1))


@given(INTERVALS, st.integers(0, 40), st.integers(0, 40))
def test_what_is_missing_is_what_no_interval_holds(covered: list, start: int, end: int) -> None:
    assert instants(coverage.missing(covered, start, end)) == set(range(start, end)) - instants(covered)


@given(INTERVALS, INTERVALS)
def test_without_is_the_difference(covered: list, taken: list) -> None:
    assert instants(coverage.without(covered, taken)) == instants(covered) - instants(taken)


@given(INTERVALS, st.integers(0, 40), st.integers(0, 40))
def test_within_is_the_common_part(covered: list, start: int, end: int) -> None:
    assert instants(coverage.within(covered, start, end)) == instants(covered) & set(range(start, end))


@given(INTERVALS, st.integers(1, 9))
def test_pieces_are_the_same_time_and_none_crosses_a_multiple(intervals: list, length: int) -> None:
    cut = coverage.pieces(coverage.union(intervals), length)
    assert instants(cut) == instants(intervals)
    assert all(a // length == (b - 1) // length for a, b in cut)


def test_the_interval_around_an_instant() -> None:
    assert coverage.around([(1, 4), (4, 9), (20, 30)], 5) == (1, 9)
    assert coverage.around([(1, 4)], 4) == (4, 4)
