"""One symbol's two-sided quote from one-sided ticks. Pure.

A tick names the side that changed. Until both sides are known there is no quote; after a lost link both are forgotten,
because the other side may have moved meanwhile. A price that cannot be true (zero, half or double the last one of its
side) is held back and counted, and so is a crossed pair; a jump that the side's next price confirms was a jump and passes.
"""

SPIKE = 2  # a price this many times the last one of its side, or this part of it, waits for a second one


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

    __slots__ = ("_ask", "_bid", "_suspect_ask", "_suspect_bid", "ask", "bid", "held_back", "ts_ns")

    def __init__(self) -> None:
        self._bid: int | None = None
        self._ask: int | None = None
        self.bid: int | None = None
        self.ask: int | None = None
        self._suspect_bid: int | None = None
        self._suspect_ask: int | None = None
        self.ts_ns = 0
        self.held_back = 0

    def reset(self) -> None:
        """Forget both sides (lost link); the counters stay."""
        self._bid = self._ask = self.bid = self.ask = None
        self._suspect_bid = self._suspect_ask = None

    def update(self, bid: int | None, ask: int | None, ts_ns: int) -> bool:
        """Take a tick in; True when `bid` and `ask` are now a quote worth publishing."""
        self.ts_ns = ts_ns
        credible = True
        if bid is not None:
            if _credible(bid, self._bid, self._suspect_bid):
                self._bid, self._suspect_bid = bid, None
            else:
                self._suspect_bid, credible = bid, False
        if ask is not None:
            if _credible(ask, self._ask, self._suspect_ask):
                self._ask, self._suspect_ask = ask, None
            else:
                self._suspect_ask, credible = ask, False
        if not credible:
            self.held_back += 1
            return False
        new_bid, new_ask = self._bid, self._ask
        if new_bid is None or new_ask is None:
            return False
        # Crossed; or one side has jumped and the other, which has said the same, waits to be confirmed.
        if new_bid > new_ask or _near(self._suspect_ask, new_bid) or _near(self._suspect_bid, new_ask):
            self.held_back += 1
            return False
        self.bid, self.ask = new_bid, new_ask
        return True


def _credible(price: int, last: int | None, suspect: int | None) -> bool:
    return price > 0 if last is None else _near(price, last) or _near(suspect, price)


def _near(price: int | None, other: int) -> bool:
    return price is not None and 0 < price <= other * SPIKE and other <= price * SPIKE
