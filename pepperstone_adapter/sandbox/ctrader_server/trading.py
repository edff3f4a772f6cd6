"""Orders: the wire's requests as the ledger's. The answer is an execution event, an order error, or an error."""

from decimal import Decimal
from typing import Any

from pepperstone_adapter.broker.orders import OrderType, TimeInForce
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.ctrader_server import codes
from pepperstone_adapter.sandbox.ctrader_server.connection import Request
from pepperstone_adapter.sandbox.ctrader_server.directory import price, units
from pepperstone_adapter.sandbox.ctrader_server.wire import OrderError, WireError, handles
from pepperstone_adapter.sandbox.ledger import NewOrder, Protect, SymbolTerms

_MARKET = (OrderType.MARKET, OrderType.MARKET_RANGE)
_TEXT_LIMITS = {"label": 100, "comment": 512, "clientOrderId": 50}
RELATIVE = Decimal(100_000)


def _may_trade(request: Request) -> None:
    if not request.connection.accounts[request.account_id].may_trade:
        raise WireError("token_may_not_trade", "The access token may not trade")


def _symbol(request: Request) -> SymbolTerms:
    name = request.venue.directory.symbol_names.get(request.message.symbolId)
    if name is None:
        raise OrderError("unknown_symbol", f"Symbol {request.message.symbolId} is not found")
    return request.venue.ledger.symbols[name]


def _price(message: Any, name: str) -> Decimal | None:
    return price(getattr(message, name)) if message.HasField(name) else None


def _integer(message: Any, name: str) -> int | None:
    return int(getattr(message, name)) if message.HasField(name) else None


def _protect(message: Any, digits: int) -> Protect | None:
    """Levels of a request; relative ones are hundred-thousandths of price."""
    stop, profit = _integer(message, "relativeStopLoss"), _integer(message, "relativeTakeProfit")
    found = Protect(
        stop_loss=_price(message, "stopLoss"),
        take_profit=_price(message, "takeProfit"),
        stop_distance=round(stop / RELATIVE, digits) if stop is not None else None,
        profit_distance=round(profit / RELATIVE, digits) if profit is not None else None,
        trailing=message.trailingStopLoss if message.HasField("trailingStopLoss") else None,
        guaranteed=message.guaranteedStopLoss if message.HasField("guaranteedStopLoss") else None,
        trigger=codes.TRIGGER_BACK[message.stopTriggerMethod] if message.HasField("stopTriggerMethod") else None,
    )
    return found if found.any or found.trigger is not None else None


@handles(oa.NewOrderReq)
def new_order(request: Request) -> None:
    _may_trade(request)
    message, behaviour = request.message, request.venue.settings.behaviour
    for name, most in _TEXT_LIMITS.items():
        if len(getattr(message, name)) > most:
            raise WireError("INVALID_REQUEST", f"{name} is longer than {most} characters")
    if behaviour.repeated_client_order_id == "refuse" and message.clientOrderId:
        known = request.venue.ledger.accounts[request.account_id].orders.values()
        if any(order.client_id == message.clientOrderId for order in known):
            raise WireError("INVALID_REQUEST", f"clientOrderId {message.clientOrderId} is already used")
    terms = _symbol(request)
    kind = codes.ORDER_TYPE_BACK.get(message.orderType)
    if kind is None:
        raise WireError("INVALID_REQUEST", "Order type is not supported")
    protect = _protect(message, terms.spec.digits)
    if kind in _MARKET and protect is not None and (message.HasField("stopLoss") or message.HasField("takeProfit")):
        if behaviour.absolute_levels_on_market == "refuse":
            raise WireError(
                "INVALID_REQUEST",
                "SL/TP in absolute values are allowed only for order types: [LIMIT, STOP, STOP_LIMIT]",
            )
        protect = None
    position_id = message.positionId if message.HasField("positionId") and behaviour.order_with_position_id else 0
    request.venue.ledger.submit(
        request.account_id,
        NewOrder(
            symbol=terms.name,
            side=codes.SIDE_BACK[message.tradeSide],
            type=kind,
            units=units(message.volume),
            limit_price=_limit(message, kind, terms),
            stop_price=_price(message, "stopPrice") if kind not in _MARKET else None,
            base_price=_price(message, "baseSlippagePrice"),
            slippage_points=_integer(message, "slippageInPoints"),
            time_in_force=_time_in_force(message, kind),
            expires_ns=message.expirationTimestamp * 1_000_000 if message.HasField("expirationTimestamp") else None,
            protect=protect,
            position_id=position_id,
            client_id=message.clientOrderId,
            label=message.label,
            comment=message.comment,
            ref=request.ref,
        ),
        request.venue.clock.now_ns(),
    )


def _time_in_force(message: Any, kind: OrderType) -> TimeInForce:
    if message.timeInForce == oa.TimeInForce.MARKET_ON_OPEN:
        raise WireError("INVALID_REQUEST", "MARKET_ON_OPEN is not supported")
    given = codes.TIME_IN_FORCE_BACK[message.timeInForce] if message.HasField("timeInForce") else TimeInForce.GTC
    if kind in _MARKET:
        return TimeInForce.FOK if given is TimeInForce.FOK else TimeInForce.IOC
    if given is TimeInForce.GTC and message.HasField("expirationTimestamp"):
        return TimeInForce.GTD
    return given


def _limit(message: Any, kind: OrderType, terms: SymbolTerms) -> Decimal | None:
    """The wire gives a stop-limit's limit as points away from its stop."""
    if kind is OrderType.LIMIT:
        return _price(message, "limitPrice")
    stop = _price(message, "stopPrice")
    if kind is not OrderType.STOP_LIMIT or stop is None:
        return None
    points = int(message.slippageInPoints)
    return stop + codes.SIDE_BACK[message.tradeSide].sign * points * terms.spec.point


@handles(oa.CancelOrderReq)
def cancel_order(request: Request) -> None:
    _may_trade(request)
    request.venue.ledger.cancel(
        request.account_id, request.message.orderId, request.venue.clock.now_ns(), ref=request.ref
    )


@handles(oa.AmendOrderReq)
def amend_order(request: Request) -> None:
    """Prices, volume and expiry that are left out stay; the levels are replaced as a whole."""
    _may_trade(request)
    message, ledger = request.message, request.venue.ledger
    order = ledger.accounts[request.account_id].working.get(message.orderId)
    if order is None:
        raise OrderError("unknown_order", f"Order with id {message.orderId} is not found", message.orderId)
    terms = ledger.symbols[order.symbol]
    digits = terms.spec.digits
    limit = _price(message, "limitPrice") if order.type is OrderType.LIMIT else None
    stop, slippage = _price(message, "stopPrice"), _integer(message, "slippageInPoints")
    if order.type is OrderType.STOP_LIMIT and (stop is not None or slippage is not None):
        points = slippage if slippage is not None else order.slippage_points or 0
        limit = (stop or order.stop_price or Decimal(0)) + order.side.sign * points * terms.spec.point
    total = units(message.volume) if message.HasField("volume") else None
    if total is not None and request.venue.settings.behaviour.amend_volume == "rest":
        total += order.filled_units
    ledger.amend(
        request.account_id,
        message.orderId,
        request.venue.clock.now_ns(),
        units=total,
        limit_price=limit,
        stop_price=stop,
        slippage_points=slippage,
        expires_ns=message.expirationTimestamp * 1_000_000 if message.HasField("expirationTimestamp") else None,
        protect=_protect(message, digits) or Protect(),
        ref=request.ref,
    )


@handles(oa.AmendPositionSLTPReq)
def amend_position(request: Request) -> None:
    """Both levels are replaced: one that is left out is removed. A trailing flag left out stays."""
    _may_trade(request)
    message, ledger = request.message, request.venue.ledger
    trigger = message.HasField("stopLossTriggerMethod")
    levels = Protect(
        stop_loss=_price(message, "stopLoss"),
        take_profit=_price(message, "takeProfit"),
        trailing=message.trailingStopLoss if message.HasField("trailingStopLoss") else None,
        guaranteed=message.guaranteedStopLoss if message.HasField("guaranteedStopLoss") else None,
        trigger=codes.TRIGGER_BACK[message.stopLossTriggerMethod] if trigger else None,
    )
    ledger.protect(request.account_id, message.positionId, levels, request.venue.clock.now_ns(), ref=request.ref)


@handles(oa.ClosePositionReq)
def close_position(request: Request) -> None:
    _may_trade(request)
    message, ledger = request.message, request.venue.ledger
    position = ledger.accounts[request.account_id].positions.get(message.positionId)
    client_id = position.client_id if position is not None else ""
    ledger.close(
        request.account_id,
        message.positionId,
        units(message.volume),
        request.venue.clock.now_ns(),
        client_id=client_id,
        ref=request.ref,
    )
