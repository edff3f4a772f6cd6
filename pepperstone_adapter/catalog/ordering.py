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
        joined = Chunk.join([*self.held, chunk])
        if not len(joined):
            return joined
        self.held = [joined.take(slice(-1, None))]
        done = joined.take(slice(None, -1))
        return done.take(done.ts_ns != joined.ts_ns[1:])

    def rest(self) -> list[Chunk]:
        return self.held


def sort_chunks(chunks: Iterable[Chunk], scratch: Path, window_rows: int) -> Iterator[Chunk]:
    """All rows in order of time, in windows of about `window_rows`; `scratch` is an existing folder for the runs."""
    runs = [_spill(chunk, scratch / f"run-{i:05d}.npy") for i, chunk in enumerate(chunks) if len(chunk)]
    if not runs:
        return
    names, paths = runs[0][0], [path for _, path in runs]
    # Every run gives samples of its own times; their quantiles cut time into windows of about equal weight.
    step = max(1, window_rows // 64)
    total, sampled = 0, []
    for path in paths:
        run = np.load(path, mmap_mode="r")
        total += run.shape[1]
        sampled.append(run[0, ::step].copy())
    samples = np.sort(np.concatenate(sampled))
    cuts = samples[np.linspace(0, len(samples) - 1, max(1, total // window_rows) + 1).astype(int)[1:-1]]
    starts = [0] * len(paths)
    for cut in [*np.unique(cuts).tolist(), None]:
        parts = []
        for i, path in enumerate(paths):
            run = np.load(path, mmap_mode="r")  # mapped anew for each window: pages of the last one are given back
            end = run.shape[1] if cut is None else int(np.searchsorted(run[0], cut, side="left"))
            if end > starts[i]:
                parts.append(np.array(run[:, starts[i] : end]))
                starts[i] = end
        if parts:
            rows = np.concatenate(parts, axis=1)
            rows = rows[:, np.argsort(rows[0], kind="stable")]
            yield Chunk(rows[0], {name: rows[i + 1] for i, name in enumerate(names)})


def _spill(chunk: Chunk, path: Path) -> tuple[tuple[str, ...], Path]:
    order = np.argsort(chunk.ts_ns, kind="stable")
    names = tuple(chunk.values)
    np.save(path, np.stack([chunk.ts_ns[order], *(chunk.values[n][order] for n in names)]))
    return names, path
