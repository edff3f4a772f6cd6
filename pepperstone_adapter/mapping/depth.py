"""The order book of one symbol from a broker's depth messages: quotes by id in, framework deltas or levels out.

A broker sends single resting quotes, keyed by id; two of them may stand at one price. The framework's L3 book wants
them as they are, its L2 book one size per price, so both views are kept and only what changed is sent.
"""

from nautilus_trader.model import (
    BookAction,
    BookOrder,
    InstrumentId,
    OrderBookDelta,
    OrderBookDeltas,
    OrderBookDepth,
    OrderSide,
    RecordFlag,
)

from pepperstone_adapter.broker.market import DepthLevel, DepthUpdate
from pepperstone_adapter.mapping.data import price, size_from_cents

_LAST = RecordFlag.F_LAST.value
_SNAPSHOT = RecordFlag.F_SNAPSHOT.value
_MBP = RecordFlag.F_MBP.value


class DepthBook:
    """Resting quotes of one symbol."""

    def __init__(self, instrument_id: InstrumentId, digits: int, size_digits: int) -> None:
        self._instrument_id = instrument_id
        self._digits = digits
        self._size_digits = size_digits
        self._quotes: dict[int, DepthLevel] = {}
        self._levels: dict[tuple[bool, int], int] = {}  # (is_bid, price in points) -> hundredths of a unit
        self._sequence = 0

    def clear(self) -> None:
        """Forget everything: after a lost link the broker sends the book anew."""
        self._quotes.clear()
        self._levels.clear()

    def best_sizes(self) -> tuple[int | None, int | None]:
        """Hundredths of a unit at the best bid and ask; None where that side is empty."""
        bids = [p for is_bid, p in self._levels if is_bid]
        asks = [p for is_bid, p in self._levels if not is_bid]
        return (
            self._levels[True, max(bids)] if bids else None,
            self._levels[False, min(asks)] if asks else None,
        )

    def apply(self, update: DepthUpdate, by_quote: bool, ts_init_ns: int) -> OrderBookDeltas | None:
        """Take one message in.

        Parameters
        ----------
        by_quote
            True for the framework's L3 book (every quote), False for L2 (one size per price).

        Returns
        -------
        Deltas with the last one flagged, or None when nothing changed.
        """
        before_quotes = {
            i: self._quotes.get(i) for i in (*update.deletes, *(level.quote_id for level in update.upserts))
        }
        touched = {(q.is_bid, q.price) for q in before_quotes.values() if q is not None}
        touched |= {(level.is_bid, level.price) for level in update.upserts}
        before_levels = {key: self._levels.get(key) for key in touched}
        for quote_id in update.deletes:
            self._remove(quote_id)
        for level in update.upserts:
            self._remove(level.quote_id)
            if level.size > 0:
                self._quotes[level.quote_id] = level
                key = (level.is_bid, level.price)
                self._levels[key] = self._levels.get(key, 0) + level.size
        changes = self._quote_changes(before_quotes) if by_quote else self._level_changes(before_levels)
        return self._deltas(changes, update.ts_ns or ts_init_ns, ts_init_ns, 0 if by_quote else _MBP)

    def snapshot(self, by_quote: bool, ts_event_ns: int, ts_init_ns: int) -> OrderBookDeltas:
        """The whole book as a clear followed by additions, for a new subscriber."""
        self._sequence += 1
        clear = OrderBookDelta.clear(self._instrument_id, self._sequence, ts_event_ns, ts_init_ns)
        changes = (
            self._quote_changes(dict.fromkeys(self._quotes))
            if by_quote
            else self._level_changes(dict.fromkeys(self._levels))
        )
        flags = _SNAPSHOT | (0 if by_quote else _MBP)
        rest = self._deltas(changes, ts_event_ns, ts_init_ns, flags)
        return OrderBookDeltas(self._instrument_id, [clear, *(rest.deltas if rest is not None else [])])

    def depth(self, levels: int, ts_event_ns: int, ts_init_ns: int) -> OrderBookDepth:
        """The best `levels` prices of each side, summed by price."""
        bids = sorted((p for is_bid, p in self._levels if is_bid), reverse=True)[:levels]
        asks = sorted(p for is_bid, p in self._levels if not is_bid)[:levels]
        counts: dict[tuple[bool, int], int] = {}
        for quote in self._quotes.values():
            counts[quote.is_bid, quote.price] = counts.get((quote.is_bid, quote.price), 0) + 1
        self._sequence += 1
        return OrderBookDepth(
            self._instrument_id,
            [self._order(True, p, self._levels[True, p], 0) for p in bids],
            [self._order(False, p, self._levels[False, p], 0) for p in asks],
            [counts[True, p] for p in bids],
            [counts[False, p] for p in asks],
            _LAST,
            self._sequence,
            ts_event_ns,
            ts_init_ns,
        )

    def _remove(self, quote_id: int) -> None:
        old = self._quotes.pop(quote_id, None)
        if old is None:
            return
        key = (old.is_bid, old.price)
        rest = self._levels[key] - old.size
        if rest > 0:
            self._levels[key] = rest
        else:
            del self._levels[key]

    def _quote_changes(self, before: dict[int, DepthLevel | None]) -> list[tuple[BookAction, BookOrder]]:
        out: list[tuple[BookAction, BookOrder]] = []
        for quote_id, old in before.items():
            new = self._quotes.get(quote_id)
            if new == old:
                continue
            if old is not None and (new is None or new.price != old.price or new.is_bid != old.is_bid):
                out.append((BookAction.DELETE, self._order(old.is_bid, old.price, old.size, quote_id)))
                old = None
            if new is not None:
                action = BookAction.ADD if old is None else BookAction.UPDATE
                out.append((action, self._order(new.is_bid, new.price, new.size, quote_id)))
        return out

    def _level_changes(self, before: dict[tuple[bool, int], int | None]) -> list[tuple[BookAction, BookOrder]]:
        out: list[tuple[BookAction, BookOrder]] = []
        for (is_bid, points), old in before.items():
            new = self._levels.get((is_bid, points))
            if new == old:
                continue
            if new is None:
                out.append((BookAction.DELETE, self._order(is_bid, points, old or 0, 0)))
            else:
                action = BookAction.ADD if old is None else BookAction.UPDATE
                out.append((action, self._order(is_bid, points, new, 0)))
        return out

    def _order(self, is_bid: bool, points: int, cents: int, order_id: int) -> BookOrder:
        side = OrderSide.BUY if is_bid else OrderSide.SELL
        return BookOrder(side, price(points, self._digits), size_from_cents(cents, self._size_digits), order_id)

    def _deltas(
        self, changes: list[tuple[BookAction, BookOrder]], ts_event_ns: int, ts_init_ns: int, flags: int
    ) -> OrderBookDeltas | None:
        if not changes:
            return None
        self._sequence += 1
        last = len(changes) - 1
        return OrderBookDeltas(
            self._instrument_id,
            [
                OrderBookDelta(
                    self._instrument_id,
                    action,
                    order,
                    flags | (_LAST if i == last else 0),
                    self._sequence,
                    ts_event_ns,
                    ts_init_ns,
                )
                for i, (action, order) in enumerate(changes)
            ],
        )
