"""The broker's words in the wire's enumerations."""

from pepperstone_adapter.broker.orders import OrderStatus, OrderType, Side, TimeInForce
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.ledger import EventKind, PositionStatus, TriggerMethod

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
