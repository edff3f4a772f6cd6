"""Rows as arrays between the steps of an import: UTC nanoseconds and integer points, ready to be written."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

type Int64s = NDArray[np.int64]
type Bools = NDArray[np.bool_]


def crossed(bid: Sequence[Int64s], ask: Sequence[Int64s]) -> Bools:
    """Rows whose ASK lies below the BID in any price.

    Of bars the extremes tell as well as open and close: at the moment of the BID's high the ASK was at most its own high,
    and at the moment of the ASK's low the BID was at least its own low.
    """
    found = ask[0] < bid[0]
    for b, a in zip(bid[1:], ask[1:], strict=True):
        found = found | (a < b)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """`values` are integer arrays by name: prices by role, and ``ticks`` for bars with volume."""

    ts_ns: Int64s
    values: dict[str, Int64s]

    def __len__(self) -> int:
        return len(self.ts_ns)

    def take(self, rows: Bools | Int64s | slice) -> "Chunk":
        return Chunk(self.ts_ns[rows], {n: v[rows] for n, v in self.values.items()})

    @classmethod
    def join(cls, parts: Sequence["Chunk"]) -> "Chunk":
        if len(parts) == 1:
            return parts[0]
        names = parts[0].values
        return cls(
            np.concatenate([p.ts_ns for p in parts]),
            {n: np.concatenate([p.values[n] for p in parts]) for n in names},
        )
