"""The broker's refusals and words in the wire's error codes and enumerations."""

from pepperstone_adapter.broker.orders import OrderStatus, OrderType, Side, TimeInForce
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.ledger import EventKind, PositionStatus, Refusal, TriggerMethod

REFUSAL: dict[Refusal, str] = {
    Refusal.UNKNOWN_SYMBOL: "SYMBOL_NOT_FOUND",
    Refusal.UNKNOWN_ORDER: "ORDER_NOT_FOUND",
    Refusal.UNKNOWN_POSITION: "POSITION_NOT_FOUND",
    Refusal.BAD_VOLUME: "TRADING_BAD_VOLUME",
    Refusal.BAD_PRICE: "TRADING_BAD_PRICES",
    Refusal.BAD_STOPS: "TRADING_BAD_STOPS",
    Refusal.TOO_CLOSE: "PROTECTION_IS_TOO_CLOSE_TO_MARKET",
    Refusal.BAD_EXPIRY: "TRADING_BAD_EXPIRATION_DATE",
    Refusal.INVALID: "INVALID_REQUEST",
    Refusal.MARKET_CLOSED: "MARKET_CLOSED",
    Refusal.HOLIDAY: "SYMBOL_HAS_HOLIDAY",
    Refusal.NO_QUOTES: "NO_QUOTES",
    Refusal.NO_MONEY: "NOT_ENOUGH_MONEY",
    Refusal.MAX_EXPOSURE: "MAX_EXPOSURE_REACHED",
    Refusal.TOO_MANY_POSITIONS: "TOO_MANY_POSITIONS",
    Refusal.TRADING_DISABLED: "TRADING_DISABLED",
    Refusal.CLOSE_ONLY: "TRADING_NOT_ALLOWED",
    Refusal.SHORT_NOT_ALLOWED: "SHORT_SELLING_NOT_ALLOWED",
    Refusal.GUARANTEED_STOP_REQUIRED: "TRADING_BAD_STOPS",
    Refusal.NOTHING_TO_AMEND: "INVALID_REQUEST",
    Refusal.CANNOT_AMEND: "UNABLE_TO_AMEND_ORDER",
    Refusal.CANNOT_CANCEL: "UNABLE_TO_CANCEL_ORDER",
    Refusal.EXECUTION_FAILED: "TRADING_DISABLED",
}

EXECUTION: dict[EventKind, int] = {
    EventKind.ACCEPTED: oa.ExecutionType.ORDER_ACCEPTED,
    EventKind.FILLED: oa.ExecutionType.ORDER_FILLED,
    EventKind.PARTIALLY_FILLED: oa.ExecutionType.ORDER_PARTIAL_FILL,
    EventKind.REPLACED: oa.ExecutionType.ORDER_REPLACED,
    EventKind.CANCELED: oa.ExecutionType.ORDER_CANCELLED,
    EventKind.EXPIRED: oa.ExecutionType.ORDER_EXPIRED,
    EventKind.REJECTED: oa.ExecutionType.ORDER_REJECTED,
}

ORDER_TYPE: dict[OrderType, int] = {
    OrderType.MARKET: oa.OrderType.MARKET,
    OrderType.LIMIT: oa.OrderType.LIMIT,
    OrderType.STOP: oa.OrderType.STOP,
    OrderType.PROTECTION: oa.OrderType.STOP_LOSS_TAKE_PROFIT,
    OrderType.MARKET_RANGE: oa.OrderType.MARKET_RANGE,
    OrderType.STOP_LIMIT: oa.OrderType.STOP_LIMIT,
}
ORDER_TYPE_BACK = {number: kind for kind, number in ORDER_TYPE.items() if kind is not OrderType.PROTECTION}

ORDER_STATUS: dict[OrderStatus, int] = {
    OrderStatus.ACCEPTED: oa.OrderStatus.ORDER_STATUS_ACCEPTED,
    OrderStatus.PARTIALLY_FILLED: oa.OrderStatus.ORDER_STATUS_ACCEPTED,
    OrderStatus.FILLED: oa.OrderStatus.ORDER_STATUS_FILLED,
    OrderStatus.REJECTED: oa.OrderStatus.ORDER_STATUS_REJECTED,
    OrderStatus.EXPIRED: oa.OrderStatus.ORDER_STATUS_EXPIRED,
    OrderStatus.CANCELED: oa.OrderStatus.ORDER_STATUS_CANCELLED,
}

POSITION_STATUS: dict[PositionStatus, int] = {
    PositionStatus.CREATED: oa.PositionStatus.POSITION_STATUS_CREATED,
    PositionStatus.OPEN: oa.PositionStatus.POSITION_STATUS_OPEN,
    PositionStatus.CLOSED: oa.PositionStatus.POSITION_STATUS_CLOSED,
}

TIME_IN_FORCE: dict[TimeInForce, int] = {
    TimeInForce.GTD: oa.TimeInForce.GOOD_TILL_DATE,
    TimeInForce.GTC: oa.TimeInForce.GOOD_TILL_CANCEL,
    TimeInForce.DAY: oa.TimeInForce.GOOD_TILL_DATE,
    TimeInForce.IOC: oa.TimeInForce.IMMEDIATE_OR_CANCEL,
    TimeInForce.FOK: oa.TimeInForce.FILL_OR_KILL,
}
TIME_IN_FORCE_BACK = {
    oa.TimeInForce.GOOD_TILL_DATE: TimeInForce.GTD,
    oa.TimeInForce.GOOD_TILL_CANCEL: TimeInForce.GTC,
    oa.TimeInForce.IMMEDIATE_OR_CANCEL: TimeInForce.IOC,
    oa.TimeInForce.FILL_OR_KILL: TimeInForce.FOK,
}

SIDE = {Side.BUY: oa.TradeSide.BUY, Side.SELL: oa.TradeSide.SELL}
SIDE_BACK = {oa.TradeSide.BUY: Side.BUY, oa.TradeSide.SELL: Side.SELL}

TRIGGER = {
    TriggerMethod.TRADE: oa.OrderTriggerMethod.TRADE,
    TriggerMethod.OPPOSITE: oa.OrderTriggerMethod.OPPOSITE,
    TriggerMethod.DOUBLE_TRADE: oa.OrderTriggerMethod.DOUBLE_TRADE,
    TriggerMethod.DOUBLE_OPPOSITE: oa.OrderTriggerMethod.DOUBLE_OPPOSITE,
}
TRIGGER_BACK = {number: method for method, number in TRIGGER.items()}
