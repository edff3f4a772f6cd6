"""What stands in the account's books: open things, ended orders, deals, cash, open profit."""

from collections.abc import Sequence
from typing import Any

from pepperstone_adapter.broker.orders import OrderType
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.ctrader_server.connection import Request
from pepperstone_adapter.sandbox.ctrader_server.directory import money, ms, volume
from pepperstone_adapter.sandbox.ctrader_server.wire import WireError, handles
from pepperstone_adapter.sandbox.ledger import Deal, Order
from pepperstone_adapter.sandbox.ledger.state import Account


def _account(request: Request) -> Account:
    return request.venue.ledger.accounts[request.account_id]


def _window(message: Any) -> tuple[int, int]:
    """``(from, to)`` in milliseconds, both inclusive; what is left out does not bound."""
    first = message.fromTimestamp if message.HasField("fromTimestamp") else 0
    last = message.toTimestamp if message.HasField("toTimestamp") else 2**62
    if first > last:
        raise WireError("bad_boundaries", "fromTimestamp is after toTimestamp")
    return first, last


def _page[T](request: Request, rows: Sequence[T], most: int = 0) -> tuple[Sequence[T], bool]:
    """A page (or `most`) of rows that come newest first, in the order and from the end the settings say; are there more?"""
    behaviour = request.venue.settings.behaviour
    most = min(most or behaviour.list_page, behaviour.list_page)
    if behaviour.list_order == "oldest_first":
        rows = rows[::-1]
    page = rows[:most]
    return page[::-1] if behaviour.list_order == "newest_upwards" else page, len(rows) > most


@handles(oa.ReconcileReq)
def reconcile(request: Request) -> oa.ReconcileRes:
    venue, account = request.venue, _account(request)
    response = oa.ReconcileRes(ctidTraderAccountId=request.account_id)
    for position in account.positions.values():
        if not _hidden(venue.hidden, position.position_id):
            response.position.append(venue.encoder.position(position))
    for order in account.working.values():
        # A market order on its way and the protective orders are not pending orders.
        protective = order.type is OrderType.PROTECTION
        pending = order.type in (OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT)
        wanted = pending or (protective and request.message.returnProtectionOrders)
        if wanted and not _hidden(venue.hidden, order.order_id):
            response.order.append(venue.encoder.order(order))
    return response


def _hidden(hidden: dict[int, int], record_id: int) -> bool:
    left = hidden.get(record_id, 0)
    if left:
        hidden[record_id] = left - 1
    return left > 0


def _deals(account: Account, first_ms: int, last_ms: int) -> list[Deal]:
    """Newest first."""
    return [deal for deal in reversed(account.deals) if first_ms <= ms(deal.ts_ns) <= last_ms]


@handles(oa.DealListReq)
def deal_list(request: Request) -> oa.DealListRes:
    message = request.message
    rows, more = _page(request, _deals(_account(request), *_window(message)), max(0, message.maxRows))
    encode = request.venue.encoder.deal
    return oa.DealListRes(ctidTraderAccountId=request.account_id, deal=[encode(d) for d in rows], hasMore=more)


@handles(oa.DealListByPositionIdReq)
def deal_list_by_position(request: Request) -> oa.DealListByPositionIdRes:
    found = [
        deal
        for deal in _deals(_account(request), *_window(request.message))
        if deal.position_id == request.message.positionId
    ]
    rows, more = _page(request, found)
    encode = request.venue.encoder.deal
    return oa.DealListByPositionIdRes(
        ctidTraderAccountId=request.account_id, deal=[encode(d) for d in rows], hasMore=more
    )


def _orders(request: Request) -> list[Order]:
    """Newest first, by the time of the last change or of the order itself, as the settings say."""
    first_ms, last_ms = _window(request.message)
    created = request.venue.settings.behaviour.order_list_time == "created"

    def time_ns(order: Order) -> int:
        return order.created_ns if created else order.updated_ns

    rows = [order for order in _account(request).orders.values() if first_ms <= ms(time_ns(order)) <= last_ms]
    return sorted(rows, key=lambda order: (time_ns(order), order.order_id), reverse=True)


@handles(oa.OrderListReq)
def order_list(request: Request) -> oa.OrderListRes:
    rows, more = _page(request, _orders(request))
    encode = request.venue.encoder.order
    return oa.OrderListRes(ctidTraderAccountId=request.account_id, order=[encode(o) for o in rows], hasMore=more)


@handles(oa.OrderListByPositionIdReq)
def order_list_by_position(request: Request) -> oa.OrderListByPositionIdRes:
    found = [order for order in _orders(request) if order.position_id == request.message.positionId]
    rows, more = _page(request, found)
    encode = request.venue.encoder.order
    return oa.OrderListByPositionIdRes(
        ctidTraderAccountId=request.account_id, order=[encode(o) for o in rows], hasMore=more
    )


@handles(oa.OrderDetailsReq)
def order_details(request: Request) -> oa.OrderDetailsRes:
    account, number = _account(request), request.message.orderId
    order = account.orders.get(number)
    if order is None:
        raise WireError("unknown_order", f"Order with id {number} is not found")
    encode = request.venue.encoder
    return oa.OrderDetailsRes(
        ctidTraderAccountId=request.account_id,
        order=encode.order(order),
        deal=[encode.deal(deal) for deal in account.deals if deal.order_id == number],
    )


@handles(oa.DealOffsetListReq)
def deal_offset_list(request: Request) -> oa.DealOffsetListRes:
    """Which deals closed which, first in first out within a position."""
    account, number = _account(request), request.message.dealId
    deal = next((d for d in account.deals if d.deal_id == number), None)
    if deal is None:
        raise WireError("INVALID_REQUEST", f"Deal with id {number} is not found")
    response = oa.DealOffsetListRes(ctidTraderAccountId=request.account_id)
    for opening, closing, matched in _offsets([d for d in account.deals if d.position_id == deal.position_id]):
        if opening.deal_id == number:
            response.offsetBy.append(_offset(closing, matched))
        if closing.deal_id == number:
            response.offsetting.append(_offset(opening, matched))
    return response


def _offsets(deals: Sequence[Deal]) -> list[tuple[Deal, Deal, int]]:
    opened: list[list[Any]] = []
    out: list[tuple[Deal, Deal, int]] = []
    for deal in deals:
        closing = volume(deal.closed_units)
        while closing and opened:
            matched = min(closing, opened[0][1])
            out.append((opened[0][0], deal, matched))
            closing -= matched
            opened[0][1] -= matched
            if not opened[0][1]:
                opened.pop(0)
        rest = volume(deal.units - deal.closed_units)
        if rest:
            opened.append([deal, rest])
    return out


def _offset(deal: Deal, matched: int) -> oa.DealOffset:
    return oa.DealOffset(
        dealId=deal.deal_id, volume=matched, executionTimestamp=ms(deal.ts_ns), executionPrice=float(deal.price)
    )


@handles(oa.CashFlowHistoryListReq)
def cash_flow_history(request: Request) -> oa.CashFlowHistoryListRes:
    message = request.message
    if message.toTimestamp - message.fromTimestamp > 604_800_000:
        raise WireError("bad_boundaries", "The period is longer than one week")
    response = oa.CashFlowHistoryListRes(ctidTraderAccountId=request.account_id)
    for cash in _account(request).cash:
        if message.fromTimestamp <= ms(cash.ts_ns) <= message.toTimestamp:
            response.depositWithdraw.append(request.venue.encoder.cash(cash))
    return response


@handles(oa.GetPositionUnrealizedPnLReq)
def position_pnl(request: Request) -> oa.GetPositionUnrealizedPnLRes:
    venue, account = request.venue, _account(request)
    digits = account.terms.money_digits
    response = oa.GetPositionUnrealizedPnLRes(ctidTraderAccountId=request.account_id, moneyDigits=digits)
    for position_id in account.positions:
        profit = venue.ledger.open_profit(request.account_id, position_id)
        response.positionUnrealizedPnL.append(
            oa.PositionUnrealizedPnL(
                positionId=position_id,
                grossUnrealizedPnL=money(profit.gross, digits),
                netUnrealizedPnL=money(profit.net, digits),
            )
        )
    return response


def _pnl_v1(request: Request, *, on: bool) -> None:
    if not request.venue.settings.behaviour.pnl_v1:
        raise WireError("unknown_message", "Unsupported message", common=True)
    request.connection.subscriptions[request.account_id].pnl = on


@handles(oa.V1PnLChangeSubscribeReq)
def pnl_subscribe(request: Request) -> oa.V1PnLChangeSubscribeRes:
    _pnl_v1(request, on=True)
    return oa.V1PnLChangeSubscribeRes(ctidTraderAccountId=request.account_id)


@handles(oa.V1PnLChangeUnsubscribeReq)
def pnl_unsubscribe(request: Request) -> oa.V1PnLChangeUnsubscribeRes:
    _pnl_v1(request, on=False)
    return oa.V1PnLChangeUnsubscribeRes(ctidTraderAccountId=request.account_id)
