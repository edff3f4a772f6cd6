"""Order keys: one key is sent to the terminal at most once, whatever dies in between.

A key is written as *pending* and synced to disk before the request leaves for the worker, and its answer is written
before the client sees it. A key found pending at start was in flight when something died: its outcome is unknown and
stays so here; only the broker's own lists can settle it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pepperstone_adapter.common.journal import open_journal


@dataclass(frozen=True, slots=True)
class Kept:
    """A key met before, and when that was; `answer` is None while pending or unknown."""

    created_ns: int
    answer: dict[str, Any] | None


class OrderKeys:
    """Keys on disk (SQLite, WAL, every commit flushed).

    Parameters
    ----------
    path
        The database file, or ``:memory:`` in tests.
    """

    def __init__(self, path: Path | str) -> None:
        self._db = open_journal(path)
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, created_ns INTEGER NOT NULL, answer TEXT)"
        )

    def claim(self, key: str, now_ns: int) -> Kept | None:
        """None when the key is new and now ours; otherwise what is kept for it."""
        claimed = self._db.execute("INSERT OR IGNORE INTO keys VALUES (?, ?, NULL)", (key, now_ns)).rowcount == 1
        return None if claimed else self.look(key)

    def look(self, key: str) -> Kept | None:
        """What is kept for `key`; None when it was never claimed."""
        row = self._db.execute("SELECT created_ns, answer FROM keys WHERE key = ?", (key,)).fetchone()
        return None if row is None else Kept(row[0], None if row[1] is None else json.loads(row[1]))

    def settle(self, key: str, answer: dict[str, Any]) -> None:
        self._db.execute("UPDATE keys SET answer = ? WHERE key = ?", (json.dumps(answer), key))

    def release(self, key: str) -> None:
        """Forget a claimed key that provably never reached the terminal."""
        self._db.execute("DELETE FROM keys WHERE key = ? AND answer IS NULL", (key,))

    def forget_before(self, created_ns: int) -> int:
        """Drop settled keys older than `created_ns`; returns how many."""
        return self._db.execute("DELETE FROM keys WHERE created_ns < ? AND answer IS NOT NULL", (created_ns,)).rowcount

    def close(self) -> None:
        self._db.close()
