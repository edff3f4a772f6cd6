"""What is known about one account's orders, positions and deals, and what each message of the venue changes in it.

The rules that keep money right, whatever order messages arrive in:

* A deal counts once, by its id, wherever it came from (stream, deal list, order details). It is marked as seen only
  when its event has been made.
* An order's state moves forward only: what is older than the state known (by the venue's own stamp), or would reopen
  an order that has ended, changes nothing. A repeated message changes nothing.
* A fill of an order whose acceptance has not been seen is preceded by that acceptance.
* A closed position does not come back with what was said before its end.
* An opening fill takes no levels from a position it did not outdate: it is said before they are set, in the same
  millisecond, and may arrive after.
* The balance follows `balanceVersion`, not arrival.
* A deal that closes more of a position than was told of it is ahead of one that was lost or overtaken: whoever hears of
  a close first takes it for an error, and of a position that has ended for one that is open.

Pure: events out, no I/O, no clock.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from pepperstone_adapter.broker.events import BrokerEvent, OrderChange, OrderChanged, PositionChanged
from pepperstone_adapter.broker.orders import Deal, OrderState, OrderStatus, PositionState, Protection
from pepperstone_adapter.ctrader.client.parsing import Execution

ENDED_KEPT = 5_000
DEALS_KEPT = 50_000
ENDS = {
    OrderStatus.FILLED: OrderChange.FILLED,
    OrderStatus.CANCELED: OrderChange.CANCELED,
    OrderStatus.EXPIRED: OrderChange.EXPIRED,
    OrderStatus.REJECTED: OrderChange.REJECTED,
}


class Book:
    """One account's book.

    Attributes
    ----------
    orders
        Open orders by id.
    ended
        Orders that have ended, newest last, bounded.
    positions
        Open positions by id.
    tied
        Our own client ids of closing orders, by order id: the venue carries none for them.
    """

    def __init__(self) -> None:
        self.orders: dict[str, OrderState] = {}
        self.ended: OrderedDict[str, OrderState] = OrderedDict()
        self.positions: dict[str, PositionState] = {}
        self.tied: dict[str, str] = {}
        self._deals: OrderedDict[str, None] = OrderedDict()
        self._last_change: dict[str, OrderChange] = {}
        self._closed_ns: OrderedDict[str, int] = OrderedDict()  # positions that were closed, and when
        self._told: dict[str, Decimal] = {}  # by position: the units that the deals told make

    def order(self, order_id: str) -> OrderState | None:
        return self.orders.get(order_id) or self.ended.get(order_id)

    def client_id_of(self, order_id: str) -> str | None:
        return self.tied.get(order_id)

    def saw_deal(self, deal_id: str) -> bool:
        return deal_id in self._deals

    def mark_deals(self, deal_ids: Iterable[str]) -> None:
        """Know deals without an event: those from before this session."""
        for deal_id in deal_ids:
            self._deals[deal_id] = None
        while len(self._deals) > DEALS_KEPT:
            self._deals.popitem(last=False)

    def is_ahead(self, deal: Deal) -> bool:
        """Whether an unseen deal closes what no deal told has opened."""
        return deal.closed_units > self._told.get(deal.position_id, 0) and not self.saw_deal(deal.deal_id)

    def load(self, positions: Iterable[PositionState], orders: Iterable[OrderState]) -> None:
        """Begin with a snapshot, without events."""
        self.positions = {position.position_id: position for position in positions}
        self._told = {position_id: position.units for position_id, position in self.positions.items()}
        for order in orders:
            self._keep(order, OrderChange.ACCEPTED)

    def apply(self, execution: Execution, ts_ns: int) -> list[BrokerEvent]:
        """Events that one execution of the venue means; none for a repeated or outdated one."""
        order, change, deal = execution.order, execution.change, execution.deal
        opening = deal is not None and order is not None and not order.closing
        position = self._position(execution.position, opening)
        if order is None or change is None:
            return [PositionChanged(position=position, ts_ns=ts_ns)] if position is not None else []
        if change is OrderChange.FILLED and order.status is OrderStatus.PARTIALLY_FILLED:
            change = OrderChange.PARTIALLY_FILLED
        if deal is not None and self.saw_deal(deal.deal_id):
            return []
        known = self.order(order.order_id)
        if deal is None and known is not None and self._is_old_news(order, known, change):
            return []
        events: list[BrokerEvent] = []
        stamp = order.updated_ns or ts_ns
        if known is None and deal is not None:
            accepted = replace(order, status=OrderStatus.ACCEPTED, filled_units=Decimal(0), average_price=None)
            events.append(
                OrderChanged(change=OrderChange.ACCEPTED, order=accepted, by_server=execution.by_server, ts_ns=stamp)
            )
        if known is not None and order.updated_ns < known.updated_ns:
            order = replace(known, reason=order.reason)  # an unseen deal of the past: the order itself has moved on
        self._keep(order, change)
        events.append(
            OrderChanged(
                change=change,
                order=order,
                deal=deal,
                position=position,
                by_server=execution.by_server,
                error=execution.error,
                ts_ns=deal.ts_ns if deal is not None else stamp,
            )
        )
        if deal is not None:
            self.mark_deals([deal.deal_id])
            self._count(deal)
        return events

    def trailed(self, position_id: str, stop: Decimal, updated_ns: int) -> list[BrokerEvent]:
        """A trailing stop moved: the position and its protective order follow."""
        for order in list(self.orders.values()):
            if order.position_id == position_id and order.protection is not None and order.closing and order.stop_price:
                moved = replace(order.protection, stop_loss=stop)
                self.orders[order.order_id] = replace(
                    order, stop_price=stop, protection=moved, updated_ns=max(order.updated_ns, updated_ns)
                )
        position = self.positions.get(position_id)
        if position is None:
            return []
        protection = replace(position.protection or Protection(), stop_loss=stop, trailing=True)
        self.positions[position_id] = position = replace(position, protection=protection)
        return [PositionChanged(position=position, ts_ns=updated_ns)]

    def margin(self, position_id: str, used: Decimal) -> None:
        position = self.positions.get(position_id)
        if position is not None:
            self.positions[position_id] = replace(position, used_margin=used)

    def compare(
        self, positions: Iterable[PositionState], orders: Iterable[OrderState], ts_ns: int
    ) -> tuple[list[BrokerEvent], list[str], list[str]]:
        """Hold the book against a snapshot.

        Returns
        -------
        events
            New and changed orders and positions, already kept.
        missing_orders, missing_positions
            Ids the snapshot does not hold. That alone proves nothing (one may be absent from a single answer): the
            order's own state, or the closing deal, must be asked for.
        """
        events: list[BrokerEvent] = []
        present: set[str] = set()
        for order in orders:
            present.add(order.order_id)
            known = self.order(order.order_id)
            change = OrderChange.ACCEPTED if known is None else OrderChange.REPLACED
            if known is not None and (known == order or self._is_old_news(order, known, change)):
                continue
            self._keep(order, change)
            events.append(OrderChanged(change=change, order=order, by_server=True, ts_ns=order.updated_ns or ts_ns))
        held: set[str] = set()
        for position in positions:
            held.add(position.position_id)
            old = self.positions.get(position.position_id)
            if old == position or self._is_past(position):
                continue
            self.positions[position.position_id] = position
            events.append(PositionChanged(position=position, ts_ns=position.updated_ns or ts_ns))
        missing_orders = [order_id for order_id in self.orders if order_id not in present]
        missing_positions = [position_id for position_id in self.positions if position_id not in held]
        return events, missing_orders, missing_positions

    def ended_order(self, order: OrderState, deals: Iterable[Deal], ts_ns: int) -> list[BrokerEvent]:
        """Events for an order whose present state and deals were asked for by its id."""
        events: list[BrokerEvent] = []
        unseen = sorted((d for d in deals if not self.saw_deal(d.deal_id)), key=lambda d: (d.ts_ns, int(d.deal_id)))
        for deal in unseen:
            done = order.status is OrderStatus.FILLED and deal is unseen[-1]
            change = OrderChange.FILLED if done else OrderChange.PARTIALLY_FILLED
            state = order if done else replace(order, status=OrderStatus.PARTIALLY_FILLED)
            events += self.apply(
                Execution(change=change, order=state, deal=deal, position=None, by_server=True, error=""), ts_ns
            )
        end = ENDS.get(order.status)
        known = self.orders.get(order.order_id)
        if end is None or known is None:
            return events
        self._keep(order, end)
        if end is not OrderChange.FILLED:
            events.append(OrderChanged(change=end, order=order, by_server=True, ts_ns=order.updated_ns or ts_ns))
        return events

    def drop_position(self, position_id: str, ts_ns: int) -> list[BrokerEvent]:
        position = self.positions.pop(position_id, None)
        return [PositionChanged(position=replace(position, units=Decimal(0)), ts_ns=ts_ns)] if position else []

    # -- inside -----------------------------------------------------------------------------------------------------

    def _is_old_news(self, order: OrderState, known: OrderState, change: OrderChange) -> bool:
        if change in (OrderChange.CANCEL_REJECTED, OrderChange.AMEND_REJECTED):
            return False
        if not known.status.is_open and order.status.is_open:
            return True
        if order.updated_ns < known.updated_ns:
            return True
        if change is OrderChange.ACCEPTED:
            return True  # it is known, so its acceptance has been told
        return order == known and self._last_change.get(order.order_id) is change

    def _position(self, position: PositionState | None, opening_fill: bool) -> PositionState | None:
        if position is None:
            return None
        known = self.positions.get(position.position_id)
        if not position.units:
            self._close(position, known)
            # The venue blanks the price of a closed position; the one it was opened at is worth keeping.
            return replace(position, open_price=known.open_price) if known is not None else position
        if self._is_past(position):
            return known
        if opening_fill and known is not None and known.updated_ns == position.updated_ns and not position.protection:
            position = replace(position, protection=known.protection)
        self.positions[position.position_id] = position
        return position

    def _count(self, deal: Deal) -> None:
        told = self._told.pop(deal.position_id, Decimal(0)) + deal.units - 2 * deal.closed_units
        if told > 0:
            self._told[deal.position_id] = told

    def _close(self, position: PositionState, known: PositionState | None) -> None:
        self.positions.pop(position.position_id, None)
        self._closed_ns[position.position_id] = max(position.updated_ns, known.updated_ns if known is not None else 0)
        while len(self._closed_ns) > ENDED_KEPT:
            self._closed_ns.popitem(last=False)

    def _is_past(self, position: PositionState) -> bool:
        known = self.positions.get(position.position_id)
        if known is not None:
            return position.updated_ns < known.updated_ns
        closed_ns = self._closed_ns.get(position.position_id)
        return closed_ns is not None and position.updated_ns <= closed_ns

    def _keep(self, order: OrderState, change: OrderChange) -> None:
        self._last_change[order.order_id] = change
        if order.status.is_open:
            self.orders[order.order_id] = order
            return
        self.orders.pop(order.order_id, None)
        self.ended[order.order_id] = order
        self.ended.move_to_end(order.order_id)
        while len(self.ended) > ENDED_KEPT:
            old, _ = self.ended.popitem(last=False)
            self._last_change.pop(old, None)
            self.tied.pop(old, None)
