"""`broker` requests as trade requests of the terminal: plain maps with every field of the type the module wants.

Units become lots by the contract size, UTC becomes server time, and missing values are sent, not left out: for the
module a missing key is zero, and a zero stop loss removes the stop loss.
"""

from decimal import Decimal
from typing import Any, Final

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
from pepperstone_adapter.broker.server_time import ServerClock
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import OrderRefused
from pepperstone_adapter.mt5.client.constants import (
    Action,
    Execution,
    Filling,
    FillingFlag,
    Lifetime,
    LifetimeFlag,
    OrderKind,
)
from pepperstone_adapter.mt5.client.identity import comment_of, magic_of
from pepperstone_adapter.mt5.client.parsing import ticket_of

type TradeRequest = dict[str, Any]

DEVIATION_POINTS: Final = 20  # ignored with market execution, which Pepperstone uses
_KINDS: Final = {
    (OrderType.MARKET, Side.BUY): OrderKind.BUY,
    (OrderType.MARKET, Side.SELL): OrderKind.SELL,
    (OrderType.LIMIT, Side.BUY): OrderKind.BUY_LIMIT,
    (OrderType.LIMIT, Side.SELL): OrderKind.SELL_LIMIT,
    (OrderType.STOP, Side.BUY): OrderKind.BUY_STOP,
    (OrderType.STOP, Side.SELL): OrderKind.SELL_STOP,
    (OrderType.STOP_LIMIT, Side.BUY): OrderKind.BUY_STOP_LIMIT,
    (OrderType.STOP_LIMIT, Side.SELL): OrderKind.SELL_STOP_LIMIT,
}
_IMMEDIATE: Final = {
    TimeInForce.FOK: (Filling.FOK, FillingFlag.FOK, "IOC"),
    TimeInForce.IOC: (Filling.IOC, FillingFlag.IOC, "FOK"),
}


def lots(units: Decimal, spec: SymbolSpec, closing: bool = False) -> float:
    """Units as the float the module wants.

    Raises
    ------
    OrderRefused
        The units are not a whole number of volume steps; rounding them would trade another size than asked. A close is for
        the server to judge: a position may be older than the step.
    """
    if units <= 0 or (units % spec.volume_step and not closing):
        lot_step = spec.volume_step / spec.contract_size
        raise OrderRefused(
            "INVALID_VOLUME",
            f"{units:f} units of {spec.name} are not a multiple of {spec.volume_step:f} units ({lot_step:f} lots)",
        )
    return float(units / spec.contract_size)


def filling_order(filling_flags: int, execution: int, wanted: TimeInForce) -> tuple[Filling, ...]:
    """Filling modes to try for a market order, best first.

    A refusal for the filling mode (10030) comes before any execution, so trying the next one is safe. With market
    and exchange execution FOK and IOC need their flag; RETURN belongs to other modes, yet some symbols take nothing else.
    A symbol without any flag has told nothing: the server decides.

    Raises
    ------
    OrderRefused
        The symbol does not take the IOC or FOK that was asked for. The other one is another order: all or nothing, or a
        part of it.
    """
    flags = FillingFlag(filling_flags & (FillingFlag.FOK | FillingFlag.IOC))
    if wanted is not TimeInForce.GTC:
        mode, flag, other = _IMMEDIATE[wanted]
        if flags and not flags & flag and execution in (Execution.MARKET, Execution.EXCHANGE):
            raise OrderRefused(
                "INVALID_FILL",
                f"the symbol takes {other} and no {wanted.upper()} orders; send {other}, or GTC, which takes the symbol's "
                "own filling mode",
            )
        return (mode,)
    if execution == Execution.EXCHANGE:
        return (Filling.RETURN, Filling.IOC, Filling.FOK)
    if flags & FillingFlag.IOC:
        return (Filling.IOC, Filling.FOK, Filling.RETURN)
    if flags & FillingFlag.FOK:
        return (Filling.FOK, Filling.IOC, Filling.RETURN)
    return (Filling.RETURN, Filling.IOC, Filling.FOK)


def market(
    request: OrderRequest, spec: SymbolSpec, filling: Filling, price: float, ticket: str | None = None
) -> TradeRequest:
    """A market order; with `ticket` it closes or reduces that position."""
    out: TradeRequest = {
        "action": int(Action.DEAL),
        "symbol": request.symbol,
        "volume": lots(request.units, spec, closing=ticket is not None),
        "type": int(_KINDS[OrderType.MARKET, request.side]),
        "price": price,
        "deviation": DEVIATION_POINTS if request.slippage_points is None else request.slippage_points,
        "type_filling": int(filling),
        "type_time": int(Lifetime.GTC),
        **_levels(request.protection),
        **_identity(request.client_order_id),
    }
    return out | ({"position": int(ticket)} if ticket else {})


def pending(request: OrderRequest, spec: SymbolSpec, clock: ServerClock, expiration_flags: int) -> TradeRequest:
    """A limit, stop or stop-limit order. Pending orders always use RETURN, whatever the execution mode."""
    stop_limit = request.type is OrderType.STOP_LIMIT
    first = request.limit_price if request.type is OrderType.LIMIT else request.stop_price
    if first is None or (stop_limit and request.limit_price is None):
        raise OrderRefused("INVALID_PRICE", f"a {request.type} order needs its price")
    if stop_limit and request.limit_price is not None and (request.limit_price - first) * request.side.sign > 0:
        word = "at or below" if request.side is Side.BUY else "at or above"
        raise OrderRefused(
            "INVALID_PRICE",
            f"MetaTrader places the limit {request.limit_price:f} when the stop {first:f} is reached: it must lie {word} "
            "the stop",
        )
    out: TradeRequest = {
        "action": int(Action.PENDING),
        "symbol": request.symbol,
        "volume": lots(request.units, spec),
        "type": int(_KINDS[request.type, request.side]),
        "price": float(first),
        "stoplimit": float(request.limit_price) if stop_limit and request.limit_price is not None else 0.0,
        "type_filling": int(Filling.RETURN),
        **_lifetime(request.time_in_force, request.expires_ns, clock, expiration_flags),
        **_levels(request.protection),
        **_identity(request.client_order_id),
    }
    return out


def modify(
    change: AmendRequest, current: OrderState, magic: int, clock: ServerClock, expiration_flags: int
) -> TradeRequest:
    """New prices, levels or expiry of a pending order, the old ones for what does not change.

    Raises
    ------
    OrderRefused
        The volume of a pending order cannot be changed in MetaTrader.
    """
    if change.units is not None and change.units != current.units:
        raise OrderRefused(
            "INVALID_VOLUME", "MetaTrader cannot change the volume of a pending order; cancel and replace"
        )
    stop_limit = current.type is OrderType.STOP_LIMIT
    limit = change.limit_price if change.limit_price is not None else current.limit_price
    stop = change.stop_price if change.stop_price is not None else current.stop_price
    first = limit if current.type is OrderType.LIMIT else stop
    tif = TimeInForce.GTD if change.expires_ns is not None else current.time_in_force
    expires = change.expires_ns if change.expires_ns is not None else current.expires_ns
    return {
        "action": int(Action.MODIFY),
        "order": int(current.order_id),
        "symbol": current.symbol,
        "price": float(first or 0),
        "stoplimit": float(limit or 0) if stop_limit else 0.0,
        **_lifetime(tif, expires, clock, expiration_flags),
        **_levels(change.protection if change.protection is not None else current.protection),
        "magic": magic,
    }


def remove(order_id: str) -> TradeRequest:
    return {"action": int(Action.REMOVE), "order": ticket_of(order_id)}


def close_by(position: PositionState, other: PositionState, client_order_id: str) -> TradeRequest:
    """Close two positions against each other; the volume is the smaller one's, so none is sent."""
    return {
        "action": int(Action.CLOSE_BY),
        "position": int(position.ticket),
        "position_by": int(other.ticket),
        **_identity(client_order_id),
    }


def set_levels(position: PositionState, protection: Protection) -> TradeRequest:
    """The whole protection of a position; a level left out is removed."""
    return {
        "action": int(Action.SLTP),
        "symbol": position.symbol,
        "position": int(position.ticket),
        **_levels(protection),
    }


def absolute(wish: Protection, side: Side, price: Decimal) -> Protection:
    """Levels given as distances from a fill, as prices."""
    stop, target = wish.stop_loss, wish.take_profit
    return Protection(
        stop_loss=None if stop is None else price - side.sign * stop,
        take_profit=None if target is None else price + side.sign * target,
        trailing=wish.trailing,
        guaranteed=wish.guaranteed,
    )


def price_of(tick: Any, side: Side) -> float:
    """The price a market order names: the side it would be filled at."""
    return float(tick["ask"] if side is Side.BUY else tick["bid"])


def _identity(client_order_id: str) -> TradeRequest:
    return {"magic": magic_of(client_order_id), "comment": comment_of(client_order_id)}


def _levels(protection: Protection | None) -> TradeRequest:
    if protection is not None and (protection.trailing or protection.guaranteed or protection.distance):
        raise OrderRefused("INVALID_STOPS", "MetaTrader takes absolute stop loss and take profit prices only")
    return {
        "sl": float(protection.stop_loss) if protection and protection.stop_loss is not None else 0.0,
        "tp": float(protection.take_profit) if protection and protection.take_profit is not None else 0.0,
    }


def _lifetime(tif: TimeInForce, expires_ns: int | None, clock: ServerClock, flags: int) -> TradeRequest:
    wanted = {
        TimeInForce.GTC: (Lifetime.GTC, LifetimeFlag.GTC),
        TimeInForce.DAY: (Lifetime.DAY, LifetimeFlag.DAY),
        TimeInForce.GTD: (Lifetime.SPECIFIED, LifetimeFlag.SPECIFIED),
    }.get(tif)
    if wanted is None or not flags & wanted[1]:
        raise OrderRefused("INVALID_EXPIRATION", f"the symbol does not take {tif.upper()} for pending orders")
    if tif is not TimeInForce.GTD:
        return {"type_time": int(wanted[0]), "expiration": 0}
    if expires_ns is None:
        raise OrderRefused("INVALID_EXPIRATION", "a GTD order needs its expiry")
    return {"type_time": int(wanted[0]), "expiration": clock.from_utc_ns(expires_ns) // 1_000_000_000}
