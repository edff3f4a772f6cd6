"""How long to wait before attempt number n: exponential with jitter, as a pure function.

Jitter spreads the clients that lost one server at one moment; the floor keeps the first retry from being instant, the
ceiling keeps a long outage from turning into a long absence after it.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Delay of attempt n is ``min(max_s, initial_s × factor^n)``, less a random part of up to `jitter` of it.

    Attributes
    ----------
    jitter
        Share of the delay that is random, 0 to 1: the result lies in ``[(1 - jitter) × d, d]``.
    """

    initial_s: float = 1.0
    factor: float = 2.0
    max_s: float = 60.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if self.initial_s <= 0 or self.factor < 1 or self.max_s < self.initial_s or not 0 <= self.jitter <= 1:
            raise ValueError(f"not a backoff: {self}")

    def delay_s(self, attempt: int, random: Callable[[], float]) -> float:
        """Return the wait before retry `attempt` (0 is the first), with `random` giving a number in [0, 1)."""
        if attempt < 0:
            raise ValueError(f"attempt counts from 0: {attempt}")
        # The exponent is capped because a float overflows at 2^1024 and an outage can outlast any guess.
        full = min(self.max_s, self.initial_s * self.factor ** min(attempt, 64))
        return full * (1.0 - self.jitter * random())
