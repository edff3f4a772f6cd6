"""Stop loss and take profit of a position, carried by one working order of its own where the venue has such orders.

Recorded order of things: the entry fills; only then the broker creates the protective order (opposite side, both
levels in one order) and the levels appear on the position; after a partial close the broker replaces it with the rest's
volume; an amend replaces both levels at once, so a level left out is removed.
"""

from decimal import Decimal

from pepperstone_adapter.broker.orders import OrderStatus, OrderType, Side
from pepperstone_adapter.sandbox.ledger.events import EventKind
from pepperstone_adapter.sandbox.ledger.quotes import Quote
from pepperstone_adapter.sandbox.ledger.records import Order, Position, PositionStatus, Protect, TriggerMethod
from pepperstone_adapter.sandbox.ledger.state import Account, State


class Protections:
    def __init__(self, state: State) -> None:
        self._state = state

    def follow(self, account: Account, order: Order, position: Position, now_ns: int) -> None:
        """After a fill: give a new position its levels, keep a protective order's volume equal to its position's."""
        if position.status is PositionStatus.CLOSED:
            self.drop(account, position, now_ns, order.ref, except_order=order.order_id)
            return
        wished = order.protect
        if wished is not None and wished.any and not order.closing and not position.protected:
            self._adopt(position, wished, order.average_price or position.open_price)
            self.place(account, position, now_ns, order.ref, by_server=True, client_id=order.client_id)
            return
        working = account.working.get(position.protection_order_id)
        if working is not None and working is not order and working.units != position.units:
            working.units = position.units
            working.updated_ns = position.updated_ns = now_ns
            self._announce(EventKind.REPLACED, account, working, position, now_ns, order.ref, by_server=True)

    def _adopt(self, position: Position, wished: Protect, fill_price: Decimal) -> None:
        sign = position.side.sign
        stop, target = wished.stop_loss, wished.take_profit
        if wished.stop_distance is not None:
            stop = fill_price - sign * wished.stop_distance
        if wished.profit_distance is not None:
            target = fill_price + sign * wished.profit_distance
        position.stop_loss, position.take_profit = stop, target
        position.guaranteed = bool(wished.guaranteed)
        position.trigger = wished.trigger or TriggerMethod.TRADE
        position.trailing_distance = abs(fill_price - stop) if wished.trailing and stop is not None else None

    def place(
        self, account: Account, position: Position, now_ns: int, ref: str, *, by_server: bool, client_id: str = ""
    ) -> None:
        """Create or replace the protective order from the levels the position now has, and say so."""
        position.updated_ns = now_ns
        position.strikes = 0
        working = account.working.get(position.protection_order_id)
        if not self._state.rules.protection_orders:
            self._state.emit(
                EventKind.REPLACED, account.account_id, now_ns, position=position, ref=ref, by_server=by_server
            )
            return
        if not position.protected:
            if working is not None:
                self.drop(account, position, now_ns, ref, by_server=by_server)
            return
        kind = EventKind.REPLACED
        if working is None:
            kind = EventKind.ACCEPTED
            working = Order(
                order_id=self._state.new_order_id(),
                account_id=account.account_id,
                symbol=position.symbol,
                side=position.side.opposite,
                type=OrderType.PROTECTION,
                units=position.units,
                position_id=position.position_id,
                closing=True,
                label=position.label,
                comment=position.comment,
                magic=position.magic,
                client_id=client_id or position.client_id,
                created_ns=now_ns,
            )
            position.protection_order_id = working.order_id
            account.orders[working.order_id] = account.working[working.order_id] = working
        working.stop_price, working.limit_price = position.stop_loss, position.take_profit
        working.trailing = position.trailing
        working.units = position.units
        working.updated_ns = now_ns
        working.trigger_ns = 0
        self._announce(kind, account, working, position, now_ns, ref, by_server=by_server)

    def drop(
        self,
        account: Account,
        position: Position,
        now_ns: int,
        ref: str,
        *,
        by_server: bool = True,
        except_order: int = 0,
    ) -> None:
        """Forget the levels; cancel the working protective order unless it is the one that just filled."""
        position.stop_loss = position.take_profit = position.trailing_distance = None
        working = account.working.pop(position.protection_order_id, None)
        position.protection_order_id = 0
        if working is None or working.order_id == except_order:
            return
        working.status = OrderStatus.CANCELED
        working.updated_ns = working.closed_ns = now_ns
        self._announce(EventKind.CANCELED, account, working, position, now_ns, ref, by_server=by_server)

    def trail(self, account: Account, position: Position, quote: Quote, now_ns: int) -> None:
        """Move a trailing stop after the market, never back."""
        if position.trailing_distance is None or position.stop_loss is None:
            return
        sign = position.side.sign
        level = quote.opening(position.side.opposite) - sign * position.trailing_distance
        if (level - position.stop_loss) * sign <= 0:
            return
        position.stop_loss = level
        working = account.working.get(position.protection_order_id)
        if working is not None:
            working.stop_price = level
        self._state.emit(
            EventKind.TRAILED, account.account_id, now_ns, order=working, position=position, by_server=True
        )

    def _announce(
        self,
        kind: EventKind,
        account: Account,
        order: Order,
        position: Position,
        now_ns: int,
        ref: str,
        *,
        by_server: bool,
    ) -> None:
        self._state.emit(kind, account.account_id, now_ns, order=order, position=position, ref=ref, by_server=by_server)


def beyond(side: Side, stop: Decimal, price: Decimal) -> bool:
    """Whether a stop order of `side` is reached: a buy stop from below, a sell stop from above."""
    return price >= stop if side is Side.BUY else price <= stop
