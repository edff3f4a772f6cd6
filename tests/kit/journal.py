"""An order store whose disk fails."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pepperstone_adapter.common.journal import Flusher
from pepperstone_adapter.mapping.id_store import IdStore


def refuse_to_flush(flusher: Flusher) -> None:
    """Put a pipe in the place of the log: a flush of it fails as one of a broken disk does."""
    reading, writing = os.pipe()
    os.dup2(writing, flusher._file)
    os.close(reading)
    os.close(writing)


@contextmanager
def full_disk(store: IdStore) -> Iterator[None]:
    """Nothing more can be written to it: neither a line nor a row. Every line so far is a row."""
    store.flush_soon()
    lines, full = os.dup(store._lines), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, store._lines)
    store._db.execute("PRAGMA query_only=ON")
    try:
        yield
    finally:
        store._db.execute("PRAGMA query_only=OFF")
        os.dup2(lines, store._lines)
        os.close(full)
        os.close(lines)
