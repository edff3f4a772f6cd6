"""How orders fill: at the quote, worse by the slippage that is drawn, at the price given for a stop-out.

The framework's matching engine decides *when* an order fills. This model is asked once per fill for the book to fill
against; it notes the quote of that moment for the record and answers None (fill as you would) unless the price must
differ. Draws depend only on the seed and the order's own id, so they do not change with the order of events.

The framework logs and swallows what a Python fill model raises; so nothing may escape: `failures` takes it.
"""

import hashlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from nautilus_trader.execution import FillModel
from nautilus_trader.model import BookOrder, BookType, OrderBook, OrderSide, OrderType, Price, Quantity

from pepperstone_adapter.simulation.failures import Failures
from pepperstone_adapter.simulation.plan import Slippage
from pepperstone_adapter.simulation.tape import Tape

_DEEP = 10**12
_TRIGGERED = (OrderType.STOP_MARKET, OrderType.TRAILING_STOP_MARKET, OrderType.MARKET_IF_TOUCHED)
_TRAILING = (OrderType.TRAILING_STOP_MARKET, OrderType.TRAILING_STOP_LIMIT)
_TOUCHED = (OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)
_TRIGGERED_LIMITS = (OrderType.STOP_LIMIT, OrderType.TRAILING_STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED)


def drawn_points(slippage: Slippage, seed: int, key: str) -> int:
    """Whole points of slippage for one order: uniform over the range, with the given probability."""
    digest = hashlib.sha256(f"{seed}|{key}".encode()).digest()
    if int.from_bytes(digest[:8]) >= slippage.probability * 2**64:
        return 0
    return slippage.min_points + int.from_bytes(digest[8:16]) % (slippage.max_points - slippage.min_points + 1)


class AccountFills(FillModel):
    """Fill model of the simulated account.

    Attributes
    ----------
    quotes
        Client order id -> the framework's BID and ASK when it last filled; taken out by the recorder.
    slipped
        Client order id -> points of slippage at its last fill; taken out by the recorder.
    forced
        Client order id -> price at which the broker closes a position (stop-out).
    passed
        Client order id -> price at which a bar met a stop-limit that it ran through.
    refused
        Asked when a pending order is met: whether the account cannot carry it now.
    """

    def __new__(cls, *_args: Any, **_kwargs: Any) -> "AccountFills":
        return super().__new__(cls)

    def __init__(
        self,
        slippage: Mapping[str, Slippage],
        seed: int,
        tapes: Mapping[str, Tape],
        now_ns: Callable[[], int],
        failures: Failures,
    ) -> None:
        self.quotes: dict[str, tuple[Price, Price]] = {}
        self.slipped: dict[str, int] = {}
        self.forced: dict[str, Decimal] = {}
        self.passed: dict[str, Decimal] = {}
        self.refused: Callable[[Any], bool] | None = None
        self._slippage = {name: s for name, s in slippage.items() if s.probability > 0}
        self._seed = seed
        self.tapes = tapes
        self._now_ns = now_ns
        self._failures = failures

    def is_limit_filled(self) -> bool:
        return True

    def is_slipped(self) -> bool:
        return False

    def fill_limit_inside_spread(self) -> bool:
        return False

    def get_orderbook_for_fill_simulation(
        self, instrument: Any, order: Any, best_bid: Price | None = None, best_ask: Price | None = None
    ) -> OrderBook | None:
        try:
            return self._book(instrument, order, best_bid, best_ask)
        except Exception as error:  # noqa: BLE001 - the framework would only log it
            self._failures.add(error, "the fill model")
            return None

    def _book(self, instrument: Any, order: Any, bid: Price | None, ask: Price | None) -> OrderBook | None:
        if bid is None or ask is None:
            return None
        key = str(order.client_order_id)
        order_type = order.order_type
        at_market = order_type == OrderType.MARKET
        self.quotes[key] = (bid, ask) if at_market else self._sides(instrument, bid, ask)
        if self.forced and key in self.forced:
            price = self.forced[key]
            return _book_at(instrument, price, price)
        if at_market and not self._slippage:
            return None
        if not at_market and self.refused is not None and self.refused(order):
            return OrderBook(instrument.id, BookType.L1_MBP)  # nothing to fill against: the order is not executed
        trails = order_type == OrderType.TRAILING_STOP_MARKET
        if order_type in _TRIGGERED_LIMITS:
            price = self._limit_price(order, str(instrument.raw_symbol), bid.as_decimal(), ask.as_decimal())
            return _book_at(instrument, price, price)
        if not (self._slippage or trails) or order_type == OrderType.LIMIT:
            return None
        symbol = str(instrument.raw_symbol)
        slippage = self._slippage.get(symbol)
        points = drawn_points(slippage, self._seed, key) if slippage else 0
        if not points and not trails:
            return None
        if points:
            self.slipped[key] = points
        low, high = bid.as_decimal(), ask.as_decimal()
        if order_type in _TRIGGERED:
            low = high = self._trigger_price(order, symbol, low, high)
        worse = Decimal(points).scaleb(-instrument.price_precision)
        return _book_at(instrument, low - worse, high + worse)

    def _sides(self, instrument: Any, bid: Price, ask: Price) -> tuple[Price, Price]:
        """BID and ASK of one moment: inside a bar, and above all at a gap, the engine has moved one side and not the other."""
        tape, now = self.tapes[str(instrument.raw_symbol)], self._now_ns()
        closed = tape.quote(now)
        if closed is None or tape.opened(now) is None:
            return bid, ask
        low, high = (Price.from_str(f"{side:.{instrument.price_precision}f}") for side in closed)
        return low, high

    def _trigger_price(self, order: Any, symbol: str, bid: Decimal, ask: Decimal) -> Decimal:
        """Where an order with a trigger is executed: at its price, or at the open of a bar that opened beyond it.

        At the time of asking the engine's quote is the bar's extreme, not the price at which the order was met. A
        trailing stop that was moved in this very bar was not there at its open. A gap is worse for a stop and better
        for an order that waits for the market to come to it.
        """
        buy = order.side == OrderSide.BUY
        opened = self.tapes[symbol].opened(self._now_ns())
        if opened is None or order.trigger_price is None:
            return ask if buy else bid
        trigger: Decimal = order.trigger_price.as_decimal()
        if order.order_type in _TRAILING and _moved(order, self._now_ns()):
            return trigger
        above = buy != (order.order_type in _TOUCHED)
        return (max if above else min)(trigger, opened[1] if buy else opened[0])

    def _limit_price(self, order: Any, symbol: str, bid: Decimal, ask: Decimal) -> Decimal:
        """Where a limit order that had to be triggered is executed; never worse than its limit.

        At the time that triggers it: where any order with a trigger is. Later the market comes to a limit that waits, and
        fills it at its price, like other limits.
        """
        buy = order.side == OrderSide.BUY
        limit: Decimal = self.passed.pop(str(order.client_order_id), order.price.as_decimal())
        if order.ts_triggered != self._now_ns():
            return limit
        reached = self._trigger_price(order, symbol, bid, ask)
        return min(limit, reached) if buy else max(limit, reached)

    def met(self, order: Any) -> Decimal | None:
        """Where the bar of this moment met a stop-limit that it triggered; None when it opened beyond the limit."""
        symbol, buy = str(order.instrument_id.symbol), order.side == OrderSide.BUY
        opened = self.tapes[symbol].opened(self._now_ns())
        if opened is None:
            return None
        price, limit = self._trigger_price(order, symbol, *opened), order.price.as_decimal()
        return price if (price <= limit if buy else price >= limit) else None


def _moved(order: Any, ts_ns: int) -> bool:
    """Whether a trailing stop stood elsewhere before the row of a time; a change of its quantity does not count."""
    if order.ts_last != ts_ns:
        return False
    levels = [getattr(event, "trigger_price", None) for event in order.events() if event.ts_event < ts_ns]
    before = next((level for level in reversed(levels) if level is not None), None)
    return bool(before != order.trigger_price)


def _book_at(instrument: Any, bid: Decimal, ask: Decimal) -> OrderBook:
    book = OrderBook(instrument.id, BookType.L1_MBP)
    size = Quantity(_DEEP, instrument.size_precision)
    digits = instrument.price_precision
    book.add(BookOrder(OrderSide.BUY, Price.from_str(f"{bid:.{digits}f}"), size, 1), 0, 0, 0)
    book.add(BookOrder(OrderSide.SELL, Price.from_str(f"{ask:.{digits}f}"), size, 2), 0, 0, 0)
    return book
