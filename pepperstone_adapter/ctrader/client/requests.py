"""`broker` requests to payloads. What the venue cannot express is refused here, before anything is written.

* Market orders take their levels as distances (`Protection.distance`); the exact levels are set after the fill by
  whoever knows the quote it wants (the port leaves that to the caller). Pending orders take absolute levels.
* A stop-limit's limit is a distance in points from its stop price; a limit price that cannot be said so is refused.
* An amend that leaves a value out removes it, so every amend says everything: the present order under the changes. But the
  volume of a partly filled order is left out: whether the venue would take it for the whole or for the rest was never seen.
* Closing (`position_id`) is a request of its own and carries no id of ours.
"""

from dataclasses import replace
from decimal import Decimal

from pepperstone_adapter.broker.orders import (
    AmendRequest,
    OrderRequest,
    OrderState,
    OrderType,
    PositionState,
    Protection,
    Side,
    TimeInForce,
)
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import DataError, OrderRefused
from pepperstone_adapter.ctrader.client import units as u
from pepperstone_adapter.openapi import messages as oa

CLIENT_ORDER_ID_MAX = 50
LABEL_MAX = 100
COMMENT_MAX = 512

TYPES = {
    OrderType.MARKET: oa.OrderType.MARKET,
    OrderType.MARKET_RANGE: oa.OrderType.MARKET_RANGE,
    OrderType.LIMIT: oa.OrderType.LIMIT,
    OrderType.STOP: oa.OrderType.STOP,
    OrderType.STOP_LIMIT: oa.OrderType.STOP_LIMIT,
}
SIDES = {Side.BUY: oa.TradeSide.BUY, Side.SELL: oa.TradeSide.SELL}
TIMES_IN_FORCE = {
    TimeInForce.GTC: oa.TimeInForce.GOOD_TILL_CANCEL,
    TimeInForce.GTD: oa.TimeInForce.GOOD_TILL_DATE,
    TimeInForce.IOC: oa.TimeInForce.IMMEDIATE_OR_CANCEL,
    TimeInForce.FOK: oa.TimeInForce.FILL_OR_KILL,
}
AT_MARKET = (OrderType.MARKET, OrderType.MARKET_RANGE)


def unsupported(text: str) -> OrderRefused:
    """Refusal of our own: nothing was written."""
    return OrderRefused("UNSUPPORTED", text)


def new_order(request: OrderRequest, account_id: int, spec: SymbolSpec) -> oa.NewOrderReq:
    """Build a new order.

    Raises
    ------
    OrderRefused
        With code ``UNSUPPORTED`` for what this venue cannot express, ``BAD_VALUE`` for a price or volume off its grid.
    """
    if request.type not in TYPES:
        raise unsupported(f"a {request.type} order is made by the venue only")
    if request.position_id is not None:
        raise unsupported("only a market order may close a position by its ticket")
    if len(request.client_order_id) > CLIENT_ORDER_ID_MAX or len(request.tag) > LABEL_MAX:
        raise unsupported(f"ids have at most {CLIENT_ORDER_ID_MAX} and tags {LABEL_MAX} characters")
    try:
        message = oa.NewOrderReq(
            ctidTraderAccountId=account_id,
            symbolId=spec.venue_id,
            orderType=TYPES[request.type],
            tradeSide=SIDES[request.side],
            volume=u.wire_volume(request.units),
            clientOrderId=request.client_order_id,
        )
        if request.tag:
            message.label = request.tag
        _set_prices(message, request, spec)
        _set_time_in_force(message, request)
        if request.protection is not None:
            _set_protection(message, request.protection, spec, at_market=request.type in AT_MARKET)
    except DataError as error:
        raise OrderRefused("BAD_VALUE", str(error)) from error
    return message


def _set_prices(message: oa.NewOrderReq, request: OrderRequest, spec: SymbolSpec) -> None:
    kind = request.type
    if kind is OrderType.LIMIT:
        message.limitPrice = u.wire_price(_needed(request.limit_price, kind, "limit_price"), spec.digits)
    elif kind in (OrderType.STOP, OrderType.STOP_LIMIT):
        stop = _needed(request.stop_price, kind, "stop_price")
        message.stopPrice = u.wire_price(stop, spec.digits)
        if kind is OrderType.STOP_LIMIT:
            limit = _needed(request.limit_price, kind, "limit_price")
            message.slippageInPoints = slippage_points(request.side, stop, limit, spec)
    elif kind is OrderType.MARKET_RANGE:
        base = _needed(request.base_price, kind, "base_price")
        if request.slippage_points is None or request.slippage_points < 0:
            raise unsupported("a market-range order needs slippage_points of zero or more")
        message.baseSlippagePrice = u.wire_price(base, spec.digits)
        message.slippageInPoints = request.slippage_points


def slippage_points(side: Side, stop: Decimal, limit: Decimal, spec: SymbolSpec) -> int:
    """How far a stop-limit may fill beyond its stop, in points; the limit must lie on that side of the stop."""
    points = (limit - stop) * side.sign / spec.point
    if points < 0 or points != points.to_integral_value():
        where = "at or above" if side is Side.BUY else "at or below"
        raise unsupported(
            f"the limit of a {side} stop-limit must lie {where} its stop, in whole points: {limit} / {stop}"
        )
    return int(points)


def _needed(price: Decimal | None, kind: OrderType, name: str) -> Decimal:
    if price is None:
        raise unsupported(f"a {kind} order needs {name}")
    return price


def _set_time_in_force(message: oa.NewOrderReq, request: OrderRequest) -> None:
    tif = request.time_in_force
    if request.type in AT_MARKET:
        # The venue fills these at once or not; it reports them as IOC itself.
        if tif is TimeInForce.GTD:
            raise unsupported("a market order cannot be good till a date")
        message.timeInForce = TIMES_IN_FORCE[TimeInForce.FOK if tif is TimeInForce.FOK else TimeInForce.IOC]
        return
    if tif not in TIMES_IN_FORCE:
        raise unsupported(f"time in force {tif}: use GTC, or GTD with the end of the day")
    message.timeInForce = TIMES_IN_FORCE[tif]
    if tif is TimeInForce.GTD:
        if request.expires_ns is None:
            raise unsupported("GTD needs expires_ns")
        message.expirationTimestamp = u.ms(request.expires_ns)


def _set_protection(
    message: oa.NewOrderReq | oa.AmendOrderReq, protection: Protection, spec: SymbolSpec, at_market: bool
) -> None:
    if at_market and not protection.distance:
        raise unsupported("a market order takes its levels as distances from the fill; set exact ones after it")
    if protection.trailing and protection.stop_loss is None:
        raise unsupported("a trailing stop needs a stop loss to start from")
    if protection.distance:
        if protection.stop_loss is not None:
            message.relativeStopLoss = u.wire_distance(protection.stop_loss)
        if protection.take_profit is not None:
            message.relativeTakeProfit = u.wire_distance(protection.take_profit)
    else:
        if protection.stop_loss is not None:
            message.stopLoss = u.wire_price(protection.stop_loss, spec.digits)
        if protection.take_profit is not None:
            message.takeProfit = u.wire_price(protection.take_profit, spec.digits)
    if protection.trailing:
        message.trailingStopLoss = True
    if protection.guaranteed:
        message.guaranteedStopLoss = True


def amend_order(request: AmendRequest, now: OrderState, account_id: int, spec: SymbolSpec) -> oa.AmendOrderReq:
    """Build an amend that says everything: `now` under the changes of `request`. Raises like `new_order`."""
    limit = request.limit_price if request.limit_price is not None else now.limit_price
    stop = request.stop_price if request.stop_price is not None else now.stop_price
    expires = request.expires_ns if request.expires_ns is not None else now.expires_ns
    protection = request.protection if request.protection is not None else now.protection
    try:
        message = oa.AmendOrderReq(ctidTraderAccountId=account_id, orderId=int(now.order_id))
        if not now.filled_units:
            message.volume = u.wire_volume(request.units if request.units is not None else now.units)
        elif request.units is not None:
            raise unsupported("the volume of a partly filled order is not changed: cancel it and send a new one")
        if now.type is OrderType.LIMIT and limit is not None:
            message.limitPrice = u.wire_price(limit, spec.digits)
        if now.type in (OrderType.STOP, OrderType.STOP_LIMIT) and stop is not None:
            message.stopPrice = u.wire_price(stop, spec.digits)
        if now.type is OrderType.STOP_LIMIT and stop is not None:
            if limit is not None:
                message.slippageInPoints = slippage_points(now.side, stop, limit, spec)
            elif now.slippage_points is not None:
                message.slippageInPoints = now.slippage_points
        if expires is not None:
            message.expirationTimestamp = u.ms(expires)
        if protection is not None:
            _set_protection(message, protection, spec, at_market=False)
    except DataError as error:
        raise OrderRefused("BAD_VALUE", str(error)) from error
    return message


def close_position(position_id: str, units: Decimal, account_id: int) -> oa.ClosePositionReq:
    try:
        volume = u.wire_volume(units)
    except DataError as error:
        raise OrderRefused("BAD_VALUE", str(error)) from error
    return oa.ClosePositionReq(ctidTraderAccountId=account_id, positionId=int(position_id), volume=volume)


def protect_position(
    position: PositionState, protection: Protection, account_id: int, spec: SymbolSpec
) -> list[oa.AmendPositionSLTPReq]:
    """Build the requests that replace a position's protection, in order; usually one.

    A trailing flag that is left out is kept, and one set to false is refused without a stop loss: taking a trailing
    stop away needs its stop first made an ordinary one, and then an amend that says nothing.
    """
    if protection.distance:
        raise unsupported("the levels of a position are prices, not distances")
    now = position.protection
    steps = []
    if now is not None and now.trailing and protection.stop_loss is None:
        steps.append(_levels(position, replace(now, trailing=False), account_id, spec, say_trailing=True))
    was_trailing = now is not None and now.trailing and protection.stop_loss is not None
    steps.append(_levels(position, protection, account_id, spec, say_trailing=was_trailing))
    return steps


def _levels(
    position: PositionState, protection: Protection, account_id: int, spec: SymbolSpec, say_trailing: bool
) -> oa.AmendPositionSLTPReq:
    message = oa.AmendPositionSLTPReq(ctidTraderAccountId=account_id, positionId=int(position.position_id))
    try:
        if protection.stop_loss is not None:
            message.stopLoss = u.wire_price(protection.stop_loss, spec.digits)
            message.stopLossTriggerMethod = oa.OrderTriggerMethod.TRADE
        if protection.take_profit is not None:
            message.takeProfit = u.wire_price(protection.take_profit, spec.digits)
    except DataError as error:
        raise OrderRefused("BAD_VALUE", str(error)) from error
    if protection.trailing and protection.stop_loss is None:
        raise unsupported("a trailing stop needs a stop loss to start from")
    if protection.trailing or say_trailing:
        message.trailingStopLoss = protection.trailing
    if protection.guaranteed:
        message.guaranteedStopLoss = True
    return message
