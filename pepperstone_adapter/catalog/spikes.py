"""Prices that go far away and come back: one row, or two rows in a row, at a level that no neighbour knows.

A row is a spike when it reaches further than a limit (a share of the price) from the price in front of it *and* from the one
behind it. Two rows are one when the price between them, the close of the first and the open of the second, lies beyond
the limit from the row in front of both and from the one behind both, on the same side. A new level that lasts longer is none.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

type Int64s = NDArray[np.int64]
type Bools = NDArray[np.bool_]

REACH = 2  # rows in front of and behind a piece of a series that a look at it needs


def spikes(
    four: tuple[Int64s, Int64s, Int64s, Int64s], before: Sequence[int], behind: Sequence[int], limit: float
) -> Bools:
    """Which rows of a piece are spikes.

    Parameters
    ----------
    four
        Open, high, low and close of bars; for quotes four times the same price.
    before, behind
        Closes of the last `REACH` rows in front of the piece, opens of the first `REACH` behind it; fewer where there
        are no more. A first or last row of the series that does not touch its one neighbour is held to the two next to it.
    limit
        0.05 is 5 %.
    """
    opens, highs, lows, closes = four
    front, back = _around(opens, closes, before, behind, limit)
    single = _beyond(highs, lows, front, back, limit)
    gap = [np.nan] * REACH
    near = np.concatenate(([*gap, *before][-REACH:], closes))
    far = np.concatenate((opens, [*behind, *gap][:REACH]))
    # Of the pairs that begin with the row in front of the piece, with its first row, and so on to its last.
    level, next_level = near[1:], far[:-1]
    double = _beyond(np.minimum(level, next_level), np.maximum(level, next_level), near[:-1], far[1:], limit)
    return np.asarray(single | double[1:] | double[:-1])


def _beyond(highs: NDArray, lows: NDArray, front: NDArray, back: NDArray, limit: float) -> Bools:  # type: ignore[type-arg]
    low, high = np.minimum(front, back).astype(np.float64), np.maximum(front, back).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((highs / high - 1 > limit) | (1 - lows / low > limit))


def _around(
    opens: Int64s, closes: Int64s, before: Sequence[int], behind: Sequence[int], limit: float
) -> tuple[Int64s, Int64s]:
    """The price in front of each row and the one behind it."""

    def outer(own: int, touching: int, inner: list[int]) -> int:
        """What stands for the side without a row: the row itself, or if it does not touch its neighbour the one beyond."""
        return inner[-1] if inner and abs(touching - inner[0]) > limit * abs(inner[0]) else own

    inward = [*opens[1 : 1 + REACH].tolist(), *behind][:REACH]
    backward = [*closes[-2 : -2 - REACH : -1].tolist(), *reversed(before)][:REACH]
    first = before[-1] if before else outer(int(opens[0]), int(closes[0]), inward)
    last = behind[0] if behind else outer(int(closes[-1]), int(opens[-1]), backward)
    return np.concatenate(([first], closes[:-1])), np.concatenate((opens[1:], [last]))
