"""Values out of the network thread, onto an asyncio loop, in order and in batches.

One wake-up of the loop per batch: while a delivery is scheduled, further values only join the list. When the loop is
blocked the list grows; values that may be conflated (quotes) then give way, oldest first and only to a newer one of
the same key, and the loss is counted. Everything else waits for ever and is never dropped.
"""

import asyncio
import threading
from collections.abc import Callable, Hashable, Iterable


class Mailbox[T]:
    """A one-way street between two threads.

    Parameters
    ----------
    loop
        Where `deliver` runs.
    deliver
        Gets each batch, in order. It must not raise; what it raises goes to the loop's exception handler and the next
        batch is still delivered.
    conflate
        Key under which a value may give way to a newer one, or None for one that must arrive.
    max_waiting
        How many values may wait before conflation begins.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deliver: Callable[[list[T]], None],
        conflate: Callable[[T], Hashable | None] = lambda _value: None,
        max_waiting: int = 50_000,
    ) -> None:
        self._loop = loop
        self._deliver = deliver
        self._conflate = conflate
        self._max_waiting = max_waiting
        self._next_conflation = max_waiting
        self._lock = threading.Lock()
        self._waiting: list[T] = []
        self._scheduled = False
        self._closed = False
        self.conflated = 0

    def post(self, values: Iterable[T]) -> None:
        """Send values; any thread. Does nothing once closed."""
        with self._lock:
            if self._closed:
                return
            self._waiting.extend(values)
            if len(self._waiting) > self._next_conflation:
                self._make_room()
            if self._scheduled or not self._waiting:
                return
            self._scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._drain)
        except RuntimeError:  # the loop is closed: nobody is left to read
            self.close()

    def close(self) -> None:
        """Drop what waits and deliver nothing more."""
        with self._lock:
            self._closed = True
            self._waiting = []

    def _drain(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, []
            self._scheduled = False
            self._next_conflation = self._max_waiting
        if batch:
            self._deliver(batch)

    def _make_room(self) -> None:
        newest: set[Hashable] = set()
        kept: list[T] = []
        for value in reversed(self._waiting):
            key = self._conflate(value)
            if key is None:
                kept.append(value)
            elif key not in newest:
                newest.add(key)
                kept.append(value)
        self.conflated += len(self._waiting) - len(kept)
        kept.reverse()
        self._waiting = kept
        # What cannot be conflated stays; scan again only after as much again has come, so that the cost stays linear.
        self._next_conflation = len(kept) + self._max_waiting
