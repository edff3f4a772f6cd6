"""Values out of the network thread, onto an asyncio loop, in order and in batches.

Two threads take turns in one interpreter. Once the loop has been woken for something that is waited for (an order's
news), what this thread still has to do would be done before or between the loop's steps, 0.15 ms of it for an order.
So it rests for the time that a loop which has nothing else to do takes to pass the news on.

One wake-up of the loop per batch: while a delivery is scheduled, further values only join the list. When the loop is
blocked the list grows; values that may be conflated (quotes) then give way, oldest first and only to a newer one of
the same key, and the loss is counted. Everything else waits for ever and is never dropped.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Sequence

REST_S = 0.0005


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
    urgent
        Whether a value is waited for: whoever posts it rests for `REST_S`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deliver: Callable[[list[T]], None],
        conflate: Callable[[T], Hashable | None] = lambda _value: None,
        max_waiting: int = 50_000,
        urgent: Callable[[T], bool] = lambda _value: False,
    ) -> None:
        self._loop = loop
        self._deliver = deliver
        self._conflate = conflate
        self._max_waiting = max_waiting
        self._urgent = urgent
        self._next_conflation = max_waiting
        self._lock = threading.Lock()
        self._waiting: list[T] = []
        self._scheduled = False
        self._closed = False
        self.conflated = 0

    def post(self, values: Sequence[T]) -> None:
        """Send values; any thread but the loop's. Does nothing once closed."""
        with self._lock:
            if self._closed:
                return
            self._waiting.extend(values)
            if len(self._waiting) > self._next_conflation:
                self._make_room()
            wake = not self._scheduled and bool(self._waiting)
            self._scheduled = self._scheduled or wake
        if wake:
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # the loop is closed: nobody is left to read
                self.close()
                return
        if any(map(self._urgent, values)):
            time.sleep(REST_S)

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
