"""Order of rows: told on the fly in one pass, or made by an external sort with bounded memory.

The sort writes each chunk, sorted, as a run to a scratch folder, then walks time in windows that hold about one chunk
of rows over all runs. Equal times keep the order of the file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.catalog.columns import Chunk

type Bools = NDArray[np.bool_]

FIRST_ROW = np.iinfo(np.int64).min


@dataclass(slots=True)
class Order:
    """What is out of order or double in consecutive chunks of one file."""

    last_ns: int = FIRST_ROW

    def judge(self, ts_ns: NDArray[np.int64]) -> tuple[Bools, Bools]:
        """Masks of rows earlier than a row before them, and of rows with the time of the row before."""
        reached = np.maximum.accumulate(np.concatenate(([self.last_ns], ts_ns)))
        before, self.last_ns = reached[:-1], int(reached[-1])
        return ts_ns < before, ts_ns == before


@dataclass(slots=True)
class LastOfEqual:
    """Keeps the last of consecutive rows with equal times; the newest row waits for the next chunk."""

    held: list[Chunk] = field(default_factory=list)

    def feed(self, chunk: Chunk) -> Chunk:
        if not len(chunk):
            return chunk
        joined = Chunk.join([*self.held, chunk])
        self.held = [joined.take(slice(-1, None))]
        done = joined.take(slice(None, -1))
        return done.take(done.ts_ns != joined.ts_ns[1:])

    def rest(self) -> list[Chunk]:
        return self.held


@dataclass(slots=True)
class Sorter:
    """Puts the rows it is given in order of time, in bounded memory.

    Attributes
    ----------
    scratch
        An existing folder for the runs.
    window_rows
        About how many rows come out at a time.
    """

    scratch: Path
    window_rows: int
    rows: int = 0
    _names: tuple[str, ...] = ()
    _runs: list["_Run"] = field(default_factory=list)
    _samples: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, chunk: Chunk) -> None:
        if not len(chunk):
            return
        order = np.argsort(chunk.ts_ns, kind="stable")
        self._names = tuple(chunk.values)
        path = self.scratch / f"run-{len(self._runs):05d}.npy"
        ts = chunk.ts_ns[order]
        np.save(path, np.stack([ts, *(chunk.values[n][order] for n in self._names)]))
        self.rows += len(ts)
        self._runs.append(_Run(path, len(ts), int(ts[0])))
        # Every run gives samples of its own times; their quantiles cut time into windows of about equal weight.
        self._samples.append(ts[:: max(1, self.window_rows // 64)].copy())

    def sorted(self) -> Iterator[Chunk]:
        """All rows; those of one time come in one chunk, in the order they were added."""
        if not self._runs:
            return
        samples = np.sort(np.concatenate(self._samples))
        cuts = samples[np.linspace(0, len(samples) - 1, max(1, self.rows // self.window_rows) + 1).astype(int)[1:-1]]
        for cut in [*np.unique(cuts).tolist(), None]:
            parts = [part for run in self._runs if (part := run.until(cut)) is not None]
            if parts:
                rows = np.concatenate(parts, axis=1)
                rows = rows[:, np.argsort(rows[0], kind="stable")]
                yield Chunk(rows[0], {name: rows[i + 1] for i, name in enumerate(self._names)})


@dataclass(slots=True)
class _Run:
    path: Path
    rows: int
    next_ns: int
    taken: int = 0

    def until(self, cut: int | None) -> NDArray[np.int64] | None:
        """The rows before `cut` (None = all) that were not taken yet."""
        if self.taken == self.rows or (cut is not None and self.next_ns >= cut):
            return None
        run = np.load(self.path, mmap_mode="r")  # mapped anew for each window: pages of the last one are given back
        end = self.rows if cut is None else int(np.searchsorted(run[0], cut, side="left"))
        found = np.array(run[:, self.taken : end])
        self.taken = end
        self.next_ns = int(run[0][end]) if end < self.rows else self.next_ns
        return found


def sort_chunks(chunks: Iterable[Chunk], scratch: Path, window_rows: int) -> Iterator[Chunk]:
    """All rows in order of time, in windows of about `window_rows`; `scratch` is an existing folder for the runs."""
    sorter = Sorter(scratch, window_rows)
    for chunk in chunks:
        sorter.add(chunk)
    yield from sorter.sorted()
