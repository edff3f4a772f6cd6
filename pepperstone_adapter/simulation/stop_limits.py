"""Stop-limit orders that a bar runs through.

The engine knows a bar by four prices. A buy that is triggered at 1.1050 with a limit of 1.1060 is met at the bar's high,
at 1.1080 say, where its limit cannot be had, and rests until the market comes back. But the market was at 1.1050 on its way
there, and the broker's server, which sees every price, has executed the order. So each bar is looked at once more: an
order that it has triggered is executed where it was met, unless the bar opened beyond the limit. The engine is made to by
an amendment of the limit to one that any market meets; the price is the fill model's to say. Quotes need none of this: the
engine sees each of them.
"""

from typing import Any

from nautilus_trader.model import OrderStatus, OrderType

from pepperstone_adapter.simulation.fills import AccountFills

NEVER = 2**63 - 1
_TYPES = (OrderType.STOP_LIMIT, OrderType.TRAILING_STOP_LIMIT)


class StopLimits:
    """The stop-limit orders of symbols with bars that are not triggered yet.

    Attributes
    ----------
    due_ns
        When the next bar of a symbol that has such an order ends.
    held_until_ns
        Rollovers wait until then for orders that the bar before them has met.
    """

    def __init__(self, broker: Any, fills: AccountFills) -> None:
        self.due_ns = NEVER
        self.held_until_ns = 0
        self._broker = broker
        self._account = broker.account
        self._fills = fills
        self._waiting: dict[Any, str] = {}  # client order id -> symbol

    def __len__(self) -> int:
        """How many are followed; those that have ended are forgotten with the next bar."""
        return len(self._waiting)

    def watch(self, order: Any) -> None:
        """Follow an order that is being sent, if it is of the kind."""
        if order.order_type not in _TYPES:
            return
        symbol, now = str(order.instrument_id.symbol), self._broker.now_ns()
        if not self._fills.tapes[symbol].of_quotes:
            self._waiting[order.client_order_id] = symbol
            if now < self.due_ns:  # else the bar of now is still to be looked at, for the others
                self.look_ahead(now)

    def look_ahead(self, ts_ns: int) -> None:
        """Be awake when the next bar of an order's symbol ends."""
        ends = (self._fills.tapes[symbol].next_bar(ts_ns) for symbol in set(self._waiting.values()))
        self.due_ns = min((end for end in ends if end is not None), default=NEVER)
        if self.due_ns != NEVER:
            self._broker.wake_at(self.due_ns)
            self._account.due_ns = min(self._account.due_ns, self.due_ns)

    def execute(self, ts_ns: int) -> None:
        """Have the orders executed that the bar of a time ran through."""
        for client_order_id in list(self._waiting):
            order = self._broker.cache.order(client_order_id)
            if order is None or order.is_closed:
                del self._waiting[client_order_id]
            if order is None or order.status != OrderStatus.TRIGGERED:
                continue
            del self._waiting[client_order_id]  # from here on a limit like any other
            met = self._fills.met(order) if order.ts_triggered == ts_ns else None
            if met is not None:
                self._broker.execute(order, met)
                self.held_until_ns = ts_ns + self._account.latency_ns + 1
                self._broker.wake_at(self.held_until_ns)
        self.look_ahead(ts_ns)
