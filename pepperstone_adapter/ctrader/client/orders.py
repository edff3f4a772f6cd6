"""The order verbs of one account, and finding an order again. Lives in the network thread.

Nothing here is ever sent twice. An answer is the venue's first word, not the outcome; a request that was written and
not answered ends as `OutcomeUnknown`, and `find` is how its outcome is learnt.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from google.protobuf.message import Message

from pepperstone_adapter import openapi
from pepperstone_adapter.broker.orders import (
    AmendRequest,
    OrderRequest,
    OrderState,
    OrderStatus,
    OrderType,
    PositionState,
    Protection,
)
from pepperstone_adapter.broker.session import FoundOrder
from pepperstone_adapter.common.errors import (
    DataError,
    LinkLost,
    NotFound,
    OutcomeUnknown,
    PepperstoneError,
    VenueError,
)
from pepperstone_adapter.ctrader.client import parsing, requests
from pepperstone_adapter.ctrader.client import units as u
from pepperstone_adapter.ctrader.client.desk import Closing, Desk, Tie
from pepperstone_adapter.ctrader.client.errors import is_session_lost
from pepperstone_adapter.ctrader.client.history import AHEAD_NS, CLOCK_DOUBT_NS, History
from pepperstone_adapter.openapi import PayloadType
from pepperstone_adapter.openapi import messages as oa

#: The venue's first word on a trading request: as the account has read it, or unread while its gate is shut.
type Answer = parsing.Execution | oa.ExecutionEvent
WEEK_NS = 7 * 86_400 * 1_000_000_000


class Orders:
    """Trading requests of one account."""

    def __init__(self, desk: Desk, history: History) -> None:
        self._desk = desk
        self._history = history

    async def submit(self, request: OrderRequest) -> OrderState:
        if request.position_id is not None and request.type is OrderType.MARKET:
            return await self.close(request.position_id, request.units, request.client_order_id)
        desk = self._desk
        desk.require_up()
        message = requests.new_order(request, desk.account_id, desk.symbols.by_name(request.symbol))
        return self._order_of(await self._send(message))

    async def amend(self, request: AmendRequest) -> OrderState:
        desk = self._desk
        desk.require_up()
        now = desk.book.orders.get(request.order_id)
        if now is None:
            now, _ = await self._history.order_details(request.order_id)
            desk.require_up()
        if now.type is OrderType.PROTECTION:
            raise requests.unsupported("the levels of a position are changed by set_protection")
        if not now.status.is_open:
            raise NotFound("ORDER_NOT_FOUND", f"order {now.order_id} is {now.status} already")
        message = requests.amend_order(request, now, desk.account_id, desk.symbols.by_name(now.symbol))
        return self._order_of(await self._send(message))

    async def cancel(self, order_id: str) -> None:
        self._desk.require_up()
        message = oa.CancelOrderReq(ctidTraderAccountId=self._desk.account_id, orderId=int(order_id))
        await self._send(message, reduces_risk=True)

    async def close(self, position_id: str, units: Decimal, client_order_id: str) -> OrderState:
        desk = self._desk
        desk.require_up()
        message = requests.close_position(position_id, units, desk.account_id)
        known = frozenset(
            order.order_id
            for order in (*desk.book.orders.values(), *desk.book.ended.values())
            if order.position_id == position_id
        )
        closing = desk.closings[client_order_id] = Closing(position_id, units, known, max(desk.now_ns, desk.venue_ns))
        try:
            state = self._order_of(await self._send(message, reduces_risk=True, note=Tie(client_order_id)))
        except OutcomeUnknown:
            closing.under_way = False  # from now on its order is looked for
            raise
        except PepperstoneError:
            desk.closings.pop(client_order_id, None)
            raise
        desk.closings.pop(client_order_id, None)
        return state

    async def protect(self, position_id: str, protection: Protection) -> None:
        desk = self._desk
        desk.require_up()
        position = desk.book.positions.get(position_id)
        if position is None:
            raise NotFound("POSITION_NOT_FOUND", f"position {position_id} is not open")
        spec = desk.symbols.by_name(position.symbol)
        for message in requests.protect_position(position, protection, desk.account_id, spec):
            try:
                await self._send(message, reduces_risk=protection.stop_loss is not None)
            except VenueError as error:
                if "nothing to amend" not in error.text.lower():
                    raise

    # -- finding ----------------------------------------------------------------------------------------------------

    async def find(self, client_order_id: str | None, order_id: str | None, since_ns: int) -> FoundOrder | None:
        """Look in every place an order can be; None only after all of them were read to their end.

        Parameters
        ----------
        since_ns
            When the order was sent at the earliest; 0 looks back one week.
        """
        if order_id is None and client_order_id is not None:
            order_id = await self._id_of(client_order_id, since_ns)
        if order_id is None:
            return None
        try:
            order, deals = await self._history.order_details(order_id)
        except NotFound:
            return None
        return FoundOrder(order=order, deals=tuple(deals))

    async def _id_of(self, client_order_id: str, since_ns: int) -> str | None:
        desk = self._desk
        for tied_id, ours in desk.book.tied.items():
            if ours == client_order_id:
                return tied_id
        closing = desk.closings.get(client_order_id)
        if closing is not None:
            return await self._closing_order(client_order_id, closing)
        message = oa.ReconcileReq(ctidTraderAccountId=desk.account_id, returnProtectionOrders=False)
        working: oa.ReconcileRes = await desk.read(message, oa.ReconcileRes)
        found = _with_client_id(working.order, client_order_id)
        if found is None:
            now_ns = desk.now_ns
            since_ns = (since_ns or now_ns - WEEK_NS) - CLOCK_DOUBT_NS
            past = await self._history.orders(since_ns, now_ns + AHEAD_NS)
            found = _with_client_id(past, client_order_id)
        return found

    async def _closing_order(self, client_order_id: str, closing: Closing) -> str | None:
        """The order of an unanswered close: of that position and size, not there before, nobody else's."""
        entries = await self._history.orders_of_position(closing.position_id)
        for entry in sorted(entries, key=lambda order: order.tradeData.openTimestamp):
            order = self._desk.claim(parsing.order_state(entry, self._desk.symbols.by_id))
            if order.client_order_id == client_order_id:
                return order.order_id
        return None

    # -- sending ----------------------------------------------------------------------------------------------------

    async def _send(self, message: Message, reduces_risk: bool = False, note: object = None) -> Answer:
        desk = self._desk
        kind = openapi.payload_type(message)
        desk.caps.take(kind, desk.hub.now_s, reduces_risk)
        request = desk.hub.ask(message, note=note)
        try:
            answer = await request.promise
        except VenueError as error:
            if is_session_lost(error):
                if desk.up:
                    desk.shut(f"the venue no longer knows this session: {error}")
                raise LinkLost(f"{PayloadType(kind).name}: refused, the account's session was lost") from error
            raise
        if not isinstance(answer, oa.ExecutionEvent):
            raise OutcomeUnknown(f"answered with {type(answer).__name__}, which says nothing about the order")
        return request.reading if isinstance(request.reading, parsing.Execution) else answer

    def _order_of(self, answer: Answer) -> OrderState:
        desk = self._desk
        try:
            if not isinstance(answer, parsing.Execution):
                answer = parsing.execution(answer, desk.symbols.by_id, desk.book.client_id_of, desk.money.digits)
        except DataError as error:
            raise OutcomeUnknown(f"the venue's answer could not be read: {error}") from error
        if answer.order is None:
            raise OutcomeUnknown("the venue's answer names no order")
        return answer.order


def rejected_order(request: oa.NewOrderReq, spec_of: parsing.SpecOf) -> OrderState:
    """State of an order that was refused without ever having had an id at the venue."""
    spec = spec_of(request.symbolId)
    return OrderState(
        order_id="",
        symbol=spec.name,
        side=parsing.SIDES[oa.TradeSide(request.tradeSide)],
        type=parsing.TYPES[oa.OrderType(request.orderType)],
        status=OrderStatus.REJECTED,
        units=u.units(request.volume),
        client_order_id=request.clientOrderId,
        tag=request.label,
    )


def rejected_close(request: oa.ClosePositionReq, position: PositionState, client_order_id: str) -> OrderState:
    """State of a close that was refused without ever having had an order at the venue."""
    return OrderState(
        order_id="",
        symbol=position.symbol,
        side=position.side.opposite,
        type=OrderType.MARKET,
        status=OrderStatus.REJECTED,
        units=u.units(request.volume),
        client_order_id=client_order_id,
        position_id=position.position_id,
        closing=True,
        tag=position.tag,
    )


def _with_client_id(orders: Iterable[Any], client_order_id: str) -> str | None:
    for entry in orders:
        if entry.clientOrderId == client_order_id and not entry.closingOrder:
            return str(entry.orderId)
    return None
