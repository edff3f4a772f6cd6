"""One symbol's two-sided quote from one-sided ticks. Pure.

A tick names the side that changed. Until both sides are known there is no quote; after a lost link both are forgotten,
because the other side may have moved meanwhile. A price that cannot be true (zero, crossed, half or double the last
one) is held back and counted; a jump that the next tick confirms was a jump and passes.
"""

SPIKE = 2  # a price this many times the last one, or this part of it, waits for a second tick


class QuoteMerge:
    """State of one symbol; prices are integer points.

    Attributes
    ----------
    bid, ask
        The last good prices; None until both sides came.
    ts_ns
        When the last tick of any kind came, by the machine's monotonic clock; 0 before the first.
    held_back
        How many ticks gave no quote because of an impossible price.
    """

    __slots__ = ("_ask", "_bid", "_suspect", "ask", "bid", "held_back", "ts_ns")

    def __init__(self) -> None:
        self._bid: int | None = None
        self._ask: int | None = None
        self.bid: int | None = None
        self.ask: int | None = None
        self._suspect: tuple[int, int] | None = None
        self.ts_ns = 0
        self.held_back = 0

    def reset(self) -> None:
        """Forget both sides (lost link); the counters stay."""
        self._bid = self._ask = self.bid = self.ask = None
        self._suspect = None

    def update(self, bid: int | None, ask: int | None, ts_ns: int) -> bool:
        """Take a tick in; True when `bid` and `ask` are now a quote worth publishing."""
        self.ts_ns = ts_ns
        if bid is not None:
            if bid <= 0:
                self.held_back += 1
                return False
            self._bid = bid
        if ask is not None:
            if ask <= 0:
                self.held_back += 1
                return False
            self._ask = ask
        new_bid, new_ask = self._bid, self._ask
        if new_bid is None or new_ask is None:
            return False
        if new_bid > new_ask:
            self.held_back += 1
            return False
        old = self.bid
        if (
            old is not None
            and (new_bid * SPIKE < old or new_bid > old * SPIKE)
            and not self._confirmed(new_bid, new_ask)
        ):
            self.held_back += 1
            return False
        self._suspect = None
        self.bid, self.ask = new_bid, new_ask
        return True

    def _confirmed(self, bid: int, ask: int) -> bool:
        suspect = self._suspect
        self._suspect = (bid, ask)
        return suspect is not None and bid * SPIKE >= suspect[0] and bid <= suspect[0] * SPIKE
