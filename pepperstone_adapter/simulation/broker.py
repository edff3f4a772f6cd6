"""The broker inside the engine: a framework strategy that posts to the account, closes positions and keeps time.

It is the one component of ours the framework runs. It trades only CASH (see `cash`) and, on a stop-out, positions of
others. Its orders never pass the desk.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from nautilus_trader.model import (
    InstrumentId,
    OrderInitialized,
    OrderSide,
    OrderSubmitted,
    PositionId,
    Price,
    Quantity,
    TimeInForce,
)
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.simulation.account import Account
from pepperstone_adapter.simulation.books import Posting, Ticket
from pepperstone_adapter.simulation.cash import CASH_SYMBOL
from pepperstone_adapter.simulation.desk import OrderDesk
from pepperstone_adapter.simulation.fees import AccountFees
from pepperstone_adapter.simulation.fills import AccountFills
from pepperstone_adapter.simulation.stop_limits import StopLimits

BROKER_TAG = "BROKER"
_ONE = Quantity.from_int(1)


class Broker(Strategy):
    """Posts, closes, wakes up."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> "Broker":
        return super().__new__(cls, StrategyConfig(order_id_tag=BROKER_TAG, log_events=False, log_commands=False))  # type: ignore[call-arg]

    def __init__(
        self, account: Account, fees: AccountFees, fills: AccountFills, cash_id: InstrumentId, desk: OrderDesk
    ) -> None:
        super().__init__(StrategyConfig(order_id_tag=BROKER_TAG, log_events=False, log_commands=False))
        self.account = account
        self.desk = desk
        self._fees = fees
        self._fills = fills
        self.stop_limits = StopLimits(self, fills)
        self._closing = ""
        self.leaving: dict[
            Ticket, int
        ] = {}  # by a forced closing on its way, and the time of the bar that called for it
        self._cash_id = cash_id
        self._postings: dict[str, list[Posting]] = {}
        self._alarms = 0
        account.broker = self

    def on_start(self) -> None:
        self.now_ns = self.clock.timestamp_ns  # type: ignore[method-assign]  # asked for every order
        self.account.catch_up(self.now_ns())
        self.wake_at(self.account.due_ns)

    def now_ns(self) -> int:
        return int(self.clock.timestamp_ns())

    def wake_at(self, ts_ns: int) -> None:
        """Have `Account.catch_up` called at a time, after the data of that time if no strategy has asked before."""
        self.clock.set_time_alert_ns(self._alarm("due"), ts_ns, self._wake)

    def stop_at(self, ts_ns: int) -> None:
        """Stop the strategies after the row of a time."""
        self.clock.set_time_alert_ns("stop", ts_ns, lambda _event: self._run(self.account.turns.stop))

    def later(self, delay_ns: int, call: Callable[[], None]) -> None:
        self.clock.set_time_alert_ns(self._alarm("later"), self.now_ns() + delay_ns, lambda _event: self._run(call))

    def _alarm(self, kind: str) -> str:
        """A name; the framework rings alarms of equal times in the order of their names, so these follow their making."""
        self._alarms += 1
        return f"{kind}-{self._alarms:012}"

    def withdraw(self, *client_order_ids: Any) -> None:
        """Cancel strategies' orders that ended or could not be carried when met; a stop has ended by then, a limit not."""

        def cancel() -> None:
            for client_order_id in client_order_ids:
                if self.cache.is_order_open(client_order_id):
                    self.cancel_order(client_order_id)
            self.account.sent()

        self.later(0, cancel)

    def end_day_orders(self, ts_ns: int) -> None:
        """Cancel the orders that were good for the day that ended at a time; the framework would keep them."""
        of_day = (order for order in self.cache.orders_open() if order.time_in_force == TimeInForce.DAY)
        ending = [order for order in of_day if order.ts_init < ts_ns]
        ending.sort(key=lambda order: (order.ts_init, str(order.client_order_id)))  # the cache has no order
        for order in ending:
            self.account.recorder.reasons[str(order.client_order_id)] = "the trading day has ended"
        if ending:
            self.withdraw(*(order.client_order_id for order in ending))

    def execute(self, order: Any, price: Decimal) -> None:
        """Have a triggered limit order executed at a price, by an amendment of its limit to what any market meets.

        With latency the market of its arrival is not known, so a limit at the market of now could be left behind.
        """
        key, symbol = str(order.client_order_id), str(order.instrument_id.symbol)
        self._fills.passed[key] = price
        self.account.recorder.limits[key] = str(order.price)
        tape = self._fills.tapes[symbol]
        met = Price.from_str(f"{2 * price if order.side == OrderSide.BUY else tape.spec.point:.{tape.spec.digits}f}")
        Strategy.modify_order(self.account.strategy(order.strategy_id), order.client_order_id, None, met)
        self.account.sent()

    def post(self, rows: list[Posting]) -> None:
        """Change the balance by the sum of `rows`."""
        if not rows:
            return
        order = self.order_factory.market(self._cash_id, OrderSide.BUY, _ONE)
        key = str(order.client_order_id)
        self._postings[key] = rows
        self._fees.postings[key] = sum((row.amount for row in rows), Decimal(0))
        self.submit_order(order)
        self.account.sent()

    @property
    def posting(self) -> bool:
        """Whether a posting is on its way."""
        return bool(self._postings)

    @property
    def busy(self) -> bool:
        """Whether anything of the broker's own is on its way."""
        return bool(self._postings or self._fills.forced)

    def close(self, ticket: Ticket, price: Decimal) -> str:
        """Close a position by force at a price; returns the order's id.

        In netting only an order of the strategy that holds the position closes it; the broker sends it in its name.
        """
        owner = self.account.strategy(ticket.strategy_id) if self.account.netting else None
        order = (owner or self).order_factory.market(
            InstrumentId.from_str(f"{ticket.symbol}.{self._cash_id.venue}"),
            OrderSide.SELL if ticket.sign > 0 else OrderSide.BUY,
            Quantity.from_str(f"{ticket.units:f}"),
            reduce_only=True,
            tags=["stop_out"],
        )
        key = str(order.client_order_id)
        self._fills.forced[key] = price
        self.account.recorder.reasons[key] = "stop_out"
        self._closing = key
        self.leaving[ticket] = self.now_ns()
        if owner is None:
            self.submit_order(order, PositionId(ticket.position_id))
        else:
            Strategy.submit_order(owner, order)
        self.account.sent()
        return key

    def on_order_event(self, event: Any) -> None:
        if isinstance(event, OrderInitialized | OrderSubmitted):
            return
        try:
            self._on_order_event(event)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the run must end with it
            self.account.failures.add(error, "the simulated broker")

    def _on_order_event(self, event: Any) -> None:
        if str(event.instrument_id.symbol) != CASH_SYMBOL:
            self._closing_event(event)
            return
        self.account.recorder.cash_event(event)
        name = type(event).__name__
        if name in ("OrderDenied", "OrderRejected"):
            raise RuntimeError(f"a posting was refused: {event.reason}")
        rows = self._postings.pop(str(event.client_order_id), None) if name == "OrderFilled" else None
        if rows is None:
            return
        for row in rows:
            self.account.recorder.posted(event.ts_event, row)
        self.account.paid(event.ts_event)
        self.submit_order(self.order_factory.market(self._cash_id, OrderSide.SELL, _ONE), event.position_id)

    def _closing_event(self, event: Any) -> None:
        self.account.order_event(event)
        self.forced(event)

    def forced(self, event: Any) -> None:
        """What has become of a forced closing, once it is booked."""
        name = type(event).__name__
        if name in ("OrderDenied", "OrderRejected", "OrderCanceled"):
            # The position closed by itself while the order was on its way.
            self._fills.forced.pop(self._closing, None)
            self.leaving.clear()
            self.account.forced_failed(event.ts_event)
        elif name == "OrderFilled" and str(event.client_order_id) == self._closing:
            self._fills.forced.pop(self._closing, None)
            self.leaving.clear()
            self.account.forced_closed(event.ts_event)

    def _wake(self, _event: Any) -> None:
        self._run(lambda: self.account.catch_up(self.now_ns()))

    def _run(self, call: Callable[[], None]) -> None:
        if self.account.failures.first is not None:
            return
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the run must end with it
            self.account.failures.add(error, "the simulated broker")
