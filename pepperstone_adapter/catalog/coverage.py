"""Which stretches of time have been read: sorted, disjoint, half-open intervals in UTC nanoseconds."""

from collections.abc import Iterable, Sequence

type Interval = tuple[int, int]


def union(*parts: Iterable[Sequence[int]]) -> tuple[Interval, ...]:
    """All intervals together; those that touch are joined, empty ones left out."""
    out: list[Interval] = []
    for start, end in sorted((int(a), int(b)) for part in parts for a, b in part):
        if start >= end:
            continue
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return tuple(out)


def missing(covered: Iterable[Sequence[int]], start: int, end: int) -> tuple[Interval, ...]:
    """The parts of ``[start, end)`` that no interval of `covered` holds, ascending."""
    out: list[Interval] = []
    for a, b in union(covered):
        if b <= start:
            continue
        if a >= end:
            break
        if a > start:
            out.append((start, a))
        start = max(start, b)
    if start < end:
        out.append((start, end))
    return tuple(out)


def within(covered: Iterable[Sequence[int]], start: int, end: int) -> tuple[Interval, ...]:
    """The parts of `covered` that lie in ``[start, end)``."""
    return union((max(a, start), min(b, end)) for a, b in covered)


def without(covered: Iterable[Sequence[int]], taken: Iterable[Sequence[int]]) -> tuple[Interval, ...]:
    """What of `covered` no interval of `taken` holds."""
    taken = union(taken)
    return tuple(part for start, end in union(covered) for part in missing(taken, start, end))


def pieces(intervals: Iterable[Interval], length: int) -> tuple[Interval, ...]:
    """The same time cut at multiples of `length`, so that two runs cut alike."""
    out: list[Interval] = []
    for start, end in intervals:
        while start < end:
            stop = min(end, (start // length + 1) * length)
            out.append((start, stop))
            start = stop
    return tuple(out)


def around(covered: Iterable[Sequence[int]], instant: int) -> Interval:
    """The interval that holds `instant`; an empty one when none does."""
    return next(((a, b) for a, b in union(covered) if a <= instant < b), (instant, instant))
