"""A journal whose disk fails."""

import os

from pepperstone_adapter.common.journal import Flusher


def refuse_to_flush(flusher: Flusher) -> None:
    """Put a pipe in the place of the log: a flush of it fails as one of a broken disk does."""
    reading, writing = os.pipe()
    os.dup2(writing, flusher._file)
    os.close(reading)
    os.close(writing)
