"""Request pacing: never more than a server allows, the urgent first. Pure: `now_s` (monotonic) is an argument.

Servers count requests in a sliding second. A token bucket that holds n tokens and fills at n a second lets 2n through
in the first second, so a budget here is a window: at most `limit` sends in any `per_s`. A queue in front of the
budgets keeps order within one priority, lets a paused kind of request wait without holding up the others, and keeps a
part of the budget free for urgent requests.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass

from pepperstone_adapter.common.backoff import Backoff


class RateWindow:
    """At most `limit` sends in any `per_s` seconds."""

    def __init__(self, limit: int, per_s: float = 1.0) -> None:
        if limit < 1 or per_s <= 0:
            raise ValueError(f"not a rate: {limit} in {per_s} s")
        self.limit = limit
        self.per_s = per_s
        self._sent: deque[float] = deque()

    def ready_s(self, now_s: float, reserve: int = 0) -> float:
        """Return the first time at which one more send fits while `reserve` of the limit stays free."""
        self._forget(now_s)
        limit = max(1, self.limit - reserve)
        if len(self._sent) < limit:
            return now_s
        return self._sent[len(self._sent) - limit] + self.per_s

    def used(self, now_s: float) -> int:
        self._forget(now_s)
        return len(self._sent)

    def take(self, now_s: float) -> None:
        """Count one send at `now_s`."""
        self._sent.append(now_s)

    def _forget(self, now_s: float) -> None:
        while self._sent and self._sent[0] + self.per_s <= now_s:
            self._sent.popleft()


class Pauses:
    """Kinds of request the server has blocked for a while.

    A server's hint may be too small when it also keeps a longer quota: refusals after a pause wait at least an
    exponential time, and one success forgets them. Refusals within a pause belong to the burst that began it.
    """

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff(initial_s=1.0, factor=2.0, max_s=120.0, jitter=0.0)
        self._until: dict[Hashable, float] = {}
        self._refusals: dict[Hashable, int] = {}

    def refuse(self, key: Hashable, retry_after_s: float, now_s: float) -> float:
        """Pause `key`; return the seconds it will wait."""
        until_s = self._until.get(key, 0.0)
        if until_s > now_s:  # the rest of a burst that was refused together: one refusal, told many times
            self._until[key] = max(until_s, now_s + retry_after_s)
            return self._until[key] - now_s
        count = self._refusals.get(key, 0)
        self._refusals[key] = count + 1
        wait_s = max(retry_after_s, self._backoff.delay_s(count, lambda: 0.0))
        self._until[key] = now_s + wait_s
        return wait_s

    def succeed(self, key: Hashable) -> None:
        self._refusals.pop(key, None)

    def ready_s(self, key: Hashable, now_s: float) -> float:
        until = self._until.get(key)
        if until is None:
            return now_s
        if until <= now_s:
            del self._until[key]
            return now_s
        return until


@dataclass(frozen=True, slots=True)
class Lane:
    """Where a request queues: its budget's name, the key a server may pause, and its priority (0 is first)."""

    budget: str
    key: Hashable
    priority: int


class PacedQueue[T]:
    """Requests waiting for their budget.

    Parameters
    ----------
    budgets
        Window per budget name.
    pauses
        Kinds of request that must wait.
    urgent, reserve
        Priorities up to `urgent` may use a whole budget; later ones leave `reserve[budget]` of it free.
    """

    def __init__(
        self,
        budgets: Mapping[str, RateWindow],
        pauses: Pauses,
        urgent: int = 1,
        reserve: Mapping[str, int] | None = None,
    ) -> None:
        self._budgets = budgets
        self._pauses = pauses
        self._urgent = urgent
        self._reserve = dict(reserve or {})
        self._lanes: dict[Lane, deque[tuple[int, T]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    def push(self, item: T, lane: Lane) -> None:
        self._lanes.setdefault(lane, deque()).append((self._count, item))
        self._count += 1

    def pop(self, now_s: float) -> T | None:
        """Take the next item that may be sent now and count it, or None."""
        best: Lane | None = None
        for lane, queue in self._lanes.items():
            if self._ready_s(lane, now_s) > now_s:
                continue
            if best is None or (lane.priority, queue[0][0]) < (best.priority, self._lanes[best][0][0]):
                best = lane
        if best is None:
            return None
        queue = self._lanes[best]
        _, item = queue.popleft()
        if not queue:
            del self._lanes[best]
        self._budgets[best.budget].take(now_s)
        return item

    def ready_s(self, now_s: float) -> float | None:
        """Return when the next item may be sent (not before `now_s`), or None when nothing waits."""
        return min((self._ready_s(lane, now_s) for lane in self._lanes), default=None)

    def remove(self, matches: Callable[[T], bool]) -> list[T]:
        """Take out every item that matches, oldest first, without counting it."""
        taken: list[tuple[int, T]] = []
        for lane in list(self._lanes):
            queue = self._lanes[lane]
            kept = deque(entry for entry in queue if not matches(entry[1]))
            taken += [entry for entry in queue if matches(entry[1])]
            if kept:
                self._lanes[lane] = kept
            else:
                del self._lanes[lane]
        return [item for _, item in sorted(taken, key=lambda entry: entry[0])]

    def __iter__(self) -> Iterator[T]:
        return (item for queue in self._lanes.values() for _, item in queue)

    def _ready_s(self, lane: Lane, now_s: float) -> float:
        reserve = 0 if lane.priority <= self._urgent else self._reserve.get(lane.budget, 0)
        return max(self._budgets[lane.budget].ready_s(now_s, reserve), self._pauses.ready_s(lane.key, now_s))
