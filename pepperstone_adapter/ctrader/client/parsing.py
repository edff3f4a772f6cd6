"""Orders, positions, deals, the account: payloads to `broker` structs.

Presence is tested wherever absence means something: the schema's defaults read as plausible data. A value an
enumeration does not know makes its field absent; where money hangs on it, that is a `DataError`, not a guess.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from google.protobuf.message import Message

from pepperstone_adapter import openapi
from pepperstone_adapter.broker.account import AccountSnapshot, Environment, PositionMode
from pepperstone_adapter.broker.events import OrderChange
from pepperstone_adapter.broker.orders import (
    Deal,
    DealEntry,
    DealReason,
    OrderState,
    OrderStatus,
    OrderType,
    PositionState,
    Protection,
    Side,
    TimeInForce,
)
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.ctrader.client import units as u
from pepperstone_adapter.openapi import messages as oa

type SpecOf = Callable[[int], SymbolSpec]

SIDES: dict[int, Side] = {oa.TradeSide.BUY: Side.BUY, oa.TradeSide.SELL: Side.SELL}
TYPES: dict[int, OrderType] = {
    oa.OrderType.MARKET: OrderType.MARKET,
    oa.OrderType.LIMIT: OrderType.LIMIT,
    oa.OrderType.STOP: OrderType.STOP,
    oa.OrderType.STOP_LOSS_TAKE_PROFIT: OrderType.PROTECTION,
    oa.OrderType.MARKET_RANGE: OrderType.MARKET_RANGE,
    oa.OrderType.STOP_LIMIT: OrderType.STOP_LIMIT,
}
TIMES_IN_FORCE: dict[int, TimeInForce] = {
    oa.TimeInForce.GOOD_TILL_DATE: TimeInForce.GTD,
    oa.TimeInForce.GOOD_TILL_CANCEL: TimeInForce.GTC,
    oa.TimeInForce.IMMEDIATE_OR_CANCEL: TimeInForce.IOC,
    oa.TimeInForce.FILL_OR_KILL: TimeInForce.FOK,
    oa.TimeInForce.MARKET_ON_OPEN: TimeInForce.DAY,
}
STATUSES: dict[int, OrderStatus] = {
    oa.OrderStatus.ORDER_STATUS_ACCEPTED: OrderStatus.ACCEPTED,
    oa.OrderStatus.ORDER_STATUS_FILLED: OrderStatus.FILLED,
    oa.OrderStatus.ORDER_STATUS_REJECTED: OrderStatus.REJECTED,
    oa.OrderStatus.ORDER_STATUS_EXPIRED: OrderStatus.EXPIRED,
    oa.OrderStatus.ORDER_STATUS_CANCELLED: OrderStatus.CANCELED,
}
CHANGES: dict[int, OrderChange] = {
    oa.ExecutionType.ORDER_ACCEPTED: OrderChange.ACCEPTED,
    oa.ExecutionType.ORDER_FILLED: OrderChange.FILLED,
    oa.ExecutionType.ORDER_REPLACED: OrderChange.REPLACED,
    oa.ExecutionType.ORDER_CANCELLED: OrderChange.CANCELED,
    oa.ExecutionType.ORDER_EXPIRED: OrderChange.EXPIRED,
    oa.ExecutionType.ORDER_REJECTED: OrderChange.REJECTED,
    oa.ExecutionType.ORDER_CANCEL_REJECTED: OrderChange.CANCEL_REJECTED,
    oa.ExecutionType.ORDER_PARTIAL_FILL: OrderChange.PARTIALLY_FILLED,
}
MODES = {
    oa.AccountType.HEDGED: PositionMode.HEDGING,
    oa.AccountType.NETTED: PositionMode.NETTING,
    oa.AccountType.SPREAD_BETTING: PositionMode.SPREAD_BETTING,
}
RIGHTS_NOTES = {
    oa.AccessRights.CLOSE_ONLY: "the broker allows this account to close positions only",
    oa.AccessRights.NO_TRADING: "this account is read-only",
    oa.AccessRights.NO_LOGIN: "the broker has closed access to this account",
}
FILLED_DEALS = (oa.DealStatus.FILLED, oa.DealStatus.PARTIALLY_FILLED)
DEFAULT_MONEY_DIGITS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """An `ExecutionEvent` as it concerns orders; `change` is None for balance events."""

    change: OrderChange | None
    order: OrderState | None
    deal: Deal | None
    position: PositionState | None
    by_server: bool
    error: str


def require(message: Message, *fields: str) -> None:
    """Raise `DataError` that names the first absent field, and the enum value that may hide there."""
    for field in fields:
        if not message.HasField(field):
            name = type(message).DESCRIPTOR.name
            number = type(message).DESCRIPTOR.fields_by_name[field].number
            hidden = (
                " (it holds a value this version does not know)" if number in openapi.unknown_numbers(message) else ""
            )
            raise DataError(f"{name}.{field} is missing in the venue's message{hidden}")


def order_state(order: oa.Order, spec_of: SpecOf, client_order_id: str | None = None) -> OrderState:
    """Parse an order. `client_order_id` overrides what the venue says (closing orders, which carry none of ours)."""
    require(order, "orderId", "tradeData", "orderType", "orderStatus")
    data = order.tradeData
    require(data, "symbolId", "volume", "tradeSide")
    spec = spec_of(data.symbolId)
    digits = spec.digits
    status, filled = STATUSES[order.orderStatus], u.units(order.executedVolume)
    if status is OrderStatus.ACCEPTED and filled:
        status = OrderStatus.PARTIALLY_FILLED
    if client_order_id is None and order.clientOrderId and not order.closingOrder:
        client_order_id = order.clientOrderId
    stop = u.price(order.stopPrice, digits) if order.HasField("stopPrice") else None
    limit = u.price(order.limitPrice, digits) if order.HasField("limitPrice") else None
    side, kind = SIDES[data.tradeSide], TYPES[order.orderType]
    if kind is OrderType.STOP_LIMIT and limit is None and stop is not None and order.HasField("slippageInPoints"):
        limit = stop + side.sign * order.slippageInPoints * spec.point  # the venue says it as a distance only
    tif = TIMES_IN_FORCE[enum_of(order, "timeInForce", oa.TimeInForce.GOOD_TILL_CANCEL)]
    return OrderState(
        order_id=str(order.orderId),
        symbol=spec.name,
        side=side,
        type=kind,
        status=status,
        units=u.units(data.volume),
        filled_units=filled,
        average_price=u.price(order.executionPrice, digits) if order.executionPrice else None,
        client_order_id=client_order_id,
        position_id=str(order.positionId) if order.positionId else None,
        time_in_force=tif,
        limit_price=limit,
        stop_price=stop,
        slippage_points=order.slippageInPoints if order.HasField("slippageInPoints") else None,
        expires_ns=u.ns(order.expirationTimestamp) if order.expirationTimestamp else None,
        protection=_order_protection(order, digits, limit if kind is OrderType.LIMIT else stop),
        closing=order.closingOrder,
        stop_out=order.isStopOut,
        tag=data.label,
        comment=data.comment,
        created_ns=u.ns(data.openTimestamp),
        updated_ns=u.ns(order.utcLastUpdateTimestamp),
    )


def _order_protection(order: oa.Order, digits: int, entry: Decimal | None) -> Protection | None:
    guaranteed = order.tradeData.guaranteedStopLoss
    if order.orderType == oa.OrderType.STOP_LOSS_TAKE_PROFIT:
        return Protection(
            stop_loss=u.price(order.stopPrice, digits) if order.HasField("stopPrice") else None,
            take_profit=u.price(order.limitPrice, digits) if order.HasField("limitPrice") else None,
            trailing=order.trailingStopLoss,
            guaranteed=guaranteed,
        )
    if order.HasField("stopLoss") or order.HasField("takeProfit"):
        return Protection(
            stop_loss=u.price(order.stopLoss, digits) if order.HasField("stopLoss") else None,
            take_profit=u.price(order.takeProfit, digits) if order.HasField("takeProfit") else None,
            trailing=order.trailingStopLoss,
            guaranteed=guaranteed,
        )
    if order.HasField("relativeStopLoss") or order.HasField("relativeTakeProfit"):
        away = u.distance(order.relativeStopLoss, digits) if order.HasField("relativeStopLoss") else None
        beyond = u.distance(order.relativeTakeProfit, digits) if order.HasField("relativeTakeProfit") else None
        if entry is not None:  # of an order that waits for a price they are prices, however the venue says them
            sign = SIDES[order.tradeData.tradeSide].sign
            away = None if away is None else entry - sign * away
            beyond = None if beyond is None else entry + sign * beyond
        return Protection(
            stop_loss=away,
            take_profit=beyond,
            trailing=order.trailingStopLoss,
            guaranteed=guaranteed,
            distance=entry is None,
        )
    return None


def position_state(position: oa.Position, spec_of: SpecOf, account_digits: int | None = None) -> PositionState | None:
    """Parse a position; None for the empty shell of a pending order (status CREATED). A closed one has zero units."""
    require(position, "positionId", "tradeData", "positionStatus")
    data = position.tradeData
    require(data, "symbolId", "volume", "tradeSide")
    if position.positionStatus == oa.PositionStatus.POSITION_STATUS_CREATED:
        return None
    spec = spec_of(data.symbolId)
    digits = spec.digits
    cents = money_digits(position, account_digits)
    closed = position.positionStatus == oa.PositionStatus.POSITION_STATUS_CLOSED
    protection = None
    if position.HasField("stopLoss") or position.HasField("takeProfit"):
        protection = Protection(
            stop_loss=u.price(position.stopLoss, digits) if position.HasField("stopLoss") else None,
            take_profit=u.price(position.takeProfit, digits) if position.HasField("takeProfit") else None,
            trailing=position.trailingStopLoss,
            guaranteed=position.guaranteedStopLoss,
        )
    identity = str(position.positionId)
    return PositionState(
        position_id=identity,
        ticket=identity,
        symbol=spec.name,
        side=SIDES[data.tradeSide],
        units=Decimal(0) if closed else u.units(data.volume),
        open_price=u.price(position.price, digits),
        opened_ns=u.ns(data.openTimestamp),
        swap=u.money(position.swap, cents),
        commission=u.money(position.commission, cents),
        used_margin=u.money(position.usedMargin, cents) if position.HasField("usedMargin") else None,
        protection=protection,
        tag=data.label,
        comment=data.comment,
        updated_ns=u.ns(position.utcLastUpdateTimestamp),
    )


def deal(
    payload: oa.Deal,
    spec_of: SpecOf,
    order: OrderState | None = None,
    account_digits: int | None = None,
) -> Deal | None:
    """Parse a deal; None for one that executed nothing (rejected, missed, in error).

    `order` says what the deal itself does not: the client's id, the reason, the tag.
    """
    require(payload, "dealId", "orderId", "positionId", "filledVolume", "symbolId", "tradeSide", "dealStatus")
    if payload.dealStatus not in FILLED_DEALS or not payload.filledVolume:
        return None
    require(payload, "executionPrice", "executionTimestamp")
    spec = spec_of(payload.symbolId)
    cents = money_digits(payload, account_digits)
    detail = payload.closePositionDetail if payload.HasField("closePositionDetail") else None
    entry, closed = DealEntry.IN, 0
    if detail is not None:
        closed = detail.closedVolume if detail.HasField("closedVolume") else payload.filledVolume
        entry = DealEntry.OUT if closed >= payload.filledVolume else DealEntry.IN_OUT
        cents_closed = money_digits(detail, cents)
    execution = u.price(payload.executionPrice, spec.digits)
    return Deal(
        deal_id=str(payload.dealId),
        order_id=str(payload.orderId),
        position_id=str(payload.positionId),
        symbol=spec.name,
        side=SIDES[payload.tradeSide],
        units=u.units(payload.filledVolume),
        price=execution,
        ts_ns=u.ns(payload.executionTimestamp),
        entry=entry,
        commission=u.money(payload.commission, cents),
        gross_profit=u.money(detail.grossProfit, cents_closed) if detail is not None else Decimal(0),
        swap=u.money(detail.swap, cents_closed) if detail is not None else Decimal(0),
        conversion_fee=u.money(detail.pnlConversionFee, cents_closed) if detail is not None else Decimal(0),
        closed_units=u.units(closed),
        reason=deal_reason(order, execution),
        client_order_id=order.client_order_id if order is not None else None,
        balance=u.money(detail.balance, cents_closed) if detail is not None else None,
        balance_version=detail.balanceVersion if detail is not None and detail.HasField("balanceVersion") else None,
        tag=order.tag if order is not None else "",
    )


def deal_reason(order: OrderState | None, execution: Decimal) -> DealReason:
    """Why a deal happened. Which level of a protective order fired is not stated: the fill price tells."""
    if order is None:
        return DealReason.CLIENT
    if order.stop_out:
        return DealReason.STOP_OUT
    if order.type is not OrderType.PROTECTION:
        return DealReason.CLIENT
    target = order.limit_price
    if target is None:
        return DealReason.STOP_LOSS
    reached = execution >= target if order.side is Side.SELL else execution <= target
    return DealReason.TAKE_PROFIT if reached else DealReason.STOP_LOSS


def execution(
    event: oa.ExecutionEvent,
    spec_of: SpecOf,
    client_id_of: Callable[[str], str | None] = lambda _order_id: None,
    account_digits: int | None = None,
) -> Execution:
    """Parse an execution event. `client_id_of` gives our own id for an order the venue carries without one."""
    require(event, "executionType")
    order = None
    if event.HasField("order"):
        order = order_state(event.order, spec_of, client_id_of(str(event.order.orderId)))
    return Execution(
        change=CHANGES.get(event.executionType),
        order=order,
        deal=deal(event.deal, spec_of, order, account_digits) if event.HasField("deal") else None,
        position=position_state(event.position, spec_of, account_digits) if event.HasField("position") else None,
        by_server=event.isServerEvent,
        error=event.errorCode,
    )


def account(trader: oa.Trader, currency: str, environment: Environment, ts_ns: int, note: str = "") -> AccountSnapshot:
    """Parse the account. Equity and margin are not in it; the session adds them."""
    require(trader, "ctidTraderAccountId", "balance", "depositAssetId")
    cents = money_digits(trader, None)
    rights = enum_of(trader, "accessRights", oa.AccessRights.FULL_ACCESS)
    may_act = not note  # what else forbids trading forbids closing too
    note = RIGHTS_NOTES.get(oa.AccessRights(rights), note)
    mode = enum_of(trader, "accountType", oa.AccountType.HEDGED)
    return AccountSnapshot(
        account_number=str(trader.traderLogin or trader.ctidTraderAccountId),
        environment=environment,
        broker=trader.brokerName,
        currency=currency,
        money_digits=cents,
        mode=MODES[oa.AccountType(mode)],
        balance=u.money(trader.balance, cents),
        leverage=Decimal(trader.leverageInCents) / 100,
        trading_allowed=rights == oa.AccessRights.FULL_ACCESS and not note,
        closing_allowed=may_act and rights in (oa.AccessRights.FULL_ACCESS, oa.AccessRights.CLOSE_ONLY),
        trading_note=note,
        guaranteed_stops=trader.isLimitedRisk,
        ts_ns=ts_ns,
    )


def enum_of(message: Message, field: str, absent: int) -> int:
    """Read an enumeration that may be left out; a value this version does not know is not "left out"."""
    if not message.HasField(field) and _number(message, field) in openapi.unknown_numbers(message):
        require(message, field)
    value: int = getattr(message, field) if message.HasField(field) else absent
    return value


def _number(message: Message, field: str) -> int:
    number: int = type(message).DESCRIPTOR.fields_by_name[field].number
    return number


def money_digits(message: oa.Position | oa.Deal | oa.ClosePositionDetail | oa.Trader, fallback: int | None) -> int:
    """Digits of the money in a message: its own where it says so, else the account's, else two."""
    if message.HasField("moneyDigits"):
        return message.moneyDigits
    return DEFAULT_MONEY_DIGITS if fallback is None else fallback
