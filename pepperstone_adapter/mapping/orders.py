"""Framework orders as requests to a broker, or the reason why not. Pure: nothing is sent from here.

Everything a venue cannot do is refused *before* the order is marked as sent (`NotSendable`, which becomes OrderDenied)
with the reason and what to do instead. What a venue can do stands in `Capabilities`; this file never asks which venue
it is. A bracket becomes one protected order: the legs are levels of the position, not orders of their own.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from nautilus_trader.model import (
    ContingencyType,
    OrderInitialized,
    OrderSide,
    TrailingOffsetType,
    TriggerType,
)
from nautilus_trader.model import OrderType as FrameworkType
from nautilus_trader.model import TimeInForce as FrameworkTif

from pepperstone_adapter.broker.capabilities import Capabilities
from pepperstone_adapter.broker.orders import OrderRequest, OrderType, Protection, Side, TimeInForce
from pepperstone_adapter.broker.symbols import SymbolSpec, TradingMode
from pepperstone_adapter.common.errors import PepperstoneError
from pepperstone_adapter.mapping.ids import Leg

SIDES = {OrderSide.BUY: Side.BUY, OrderSide.SELL: Side.SELL}
TYPES = {
    FrameworkType.MARKET: OrderType.MARKET,
    FrameworkType.LIMIT: OrderType.LIMIT,
    FrameworkType.STOP_MARKET: OrderType.STOP,
    FrameworkType.STOP_LIMIT: OrderType.STOP_LIMIT,
}
TIFS = {
    FrameworkTif.GTC: TimeInForce.GTC,
    FrameworkTif.GTD: TimeInForce.GTD,
    FrameworkTif.DAY: TimeInForce.DAY,
    FrameworkTif.IOC: TimeInForce.IOC,
    FrameworkTif.FOK: TimeInForce.FOK,
}
STOP_LOSS_TYPES = (FrameworkType.STOP_MARKET, FrameworkType.TRAILING_STOP_MARKET)
TAKE_PROFIT_TYPES = (FrameworkType.LIMIT, FrameworkType.MARKET_IF_TOUCHED)
PARAMS = ("slippage_points", "base_price")
CLOSE_BY = "close_by"  # parameter of an order for an open position: the opposite position it is closed by
NO_CLOSE_BY = "the venue closes no position by another; close each of the two with an order of its own"


class NotSendable(PepperstoneError):
    """This order cannot be sent as it is; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketView:
    """What the market looks like now: prices None before the first quote."""

    bid: Decimal | None
    ask: Decimal | None
    now_ns: int

    def entry(self, side: Side) -> Decimal | None:
        return self.ask if side is Side.BUY else self.bid


@dataclass(frozen=True, slots=True, kw_only=True)
class LegPlan:
    """A level that protects a position. `trailing` is the distance it keeps, else None; `price` the exact level."""

    client_order_id: str
    leg: Leg
    price: Decimal | None
    trailing: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    entry: OrderInitialized
    legs: tuple[LegPlan, ...]

    def leg(self, kind: Leg) -> LegPlan | None:
        return next((plan for plan in self.legs if plan.leg is kind), None)


def side_of(init: OrderInitialized) -> Side:
    return SIDES[init.order_side]


def check_volume(units: Decimal, spec: SymbolSpec) -> None:
    """Whether a volume can be ordered.

    Raises
    ------
    NotSendable
        Below the minimum, above the maximum, or off the step.
    """
    if units < spec.volume_min:
        raise NotSendable(f"volume {_volume(units, spec)} is below the minimum of {_volume(spec.volume_min, spec)}")
    if units > spec.volume_max:
        raise NotSendable(f"volume {_volume(units, spec)} is above the maximum of {_volume(spec.volume_max, spec)}")
    if units % spec.volume_step:
        lower = units // spec.volume_step * spec.volume_step
        raise NotSendable(
            f"volume {_volume(units, spec)} is not a multiple of {_volume(spec.volume_step, spec)}; "
            f"the nearest are {_number(lower)} and {_number(lower + spec.volume_step)} units"
        )


def check_price(value: Decimal, name: str, spec: SymbolSpec) -> None:
    if value <= 0:
        raise NotSendable(f"{name} {value} is not positive")
    if value % spec.point:
        lower = value // spec.point * spec.point
        raise NotSendable(
            f"{name} {value} has more than {spec.digits} decimals; the nearest are {lower} and {lower + spec.point}"
        )


def check_trading(spec: SymbolSpec, side: Side, closing: bool) -> None:
    """Whether the symbol's trading mode lets this order through."""
    if spec.trading_mode is TradingMode.DISABLED:
        raise NotSendable(f"{spec.name}: trading is disabled by the broker")
    if spec.trading_mode is TradingMode.CLOSE_ONLY and not closing:
        raise NotSendable(f"{spec.name}: the broker allows closing only")
    if side is Side.SELL and not spec.short_selling and not closing:
        raise NotSendable(f"{spec.name}: the broker allows no short positions")


def order_request(
    init: OrderInitialized,
    params: dict[str, Any] | None,
    spec: SymbolSpec,
    capabilities: Capabilities,
    market: MarketView,
    venue_text: str,
    tag: str,
    protection: Protection | None = None,
) -> OrderRequest:
    """An opening order as the broker's request.

    Raises
    ------
    NotSendable
        With the reason; nothing has been sent.
    """
    side = side_of(init)
    kind = _type_of(init, params)
    units = init.quantity.as_decimal()
    check_trading(spec, side, closing=False)
    check_volume(units, spec)
    _check_features(init, params, capabilities)
    tif = time_in_force(init, kind, capabilities)
    limit = _price(init.price, "limit price", spec) if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None
    stop = _price(init.trigger_price, "stop price", spec) if kind in (OrderType.STOP, OrderType.STOP_LIMIT) else None
    if capabilities.stop_limit_as_distance:
        _check_stop_limit(limit, stop, side)
    expires = _expiry(init, tif, market.now_ns)
    base, slippage = _range(params, side, kind, spec, market)
    reference = limit if kind is OrderType.LIMIT else stop if stop is not None else market.entry(side)
    if protection is not None:
        check_protection(protection, side, reference, spec)
    return OrderRequest(
        client_order_id=venue_text,
        symbol=spec.name,
        side=side,
        type=kind,
        units=units,
        time_in_force=tif,
        limit_price=limit,
        stop_price=stop,
        base_price=base,
        slippage_points=slippage,
        expires_ns=expires,
        protection=protection,
        tag=tag,
    )


def bracket_of(inits: list[OrderInitialized]) -> Bracket | None:
    """The entry with its legs; None when the orders of the list do not depend on each other.

    Raises
    ------
    NotSendable
        The list is linked in a way no position level can express.
    """
    if all(i.contingency_type is None for i in inits):
        return None
    entries = [i for i in inits if i.parent_order_id is None]
    children = [i for i in inits if i.parent_order_id is not None]
    if len(entries) != 1 or entries[0].contingency_type is not ContingencyType.OTO or not children:
        raise NotSendable(
            "a linked order list must be a bracket (one entry with a stop loss, a take profit or both); "
            "the venue has no OCO pairs"
        )
    entry = entries[0]
    legs: list[LegPlan] = []
    for child in children:
        if child.parent_order_id != entry.client_order_id or child.order_side == entry.order_side:
            raise NotSendable(f"{child.client_order_id} does not close its entry {entry.client_order_id}")
        if child.quantity != entry.quantity:
            raise NotSendable("a leg must have the entry's quantity: the venue protects whole positions")
        plan = leg_plan(child)
        if any(plan.leg is other.leg for other in legs):
            raise NotSendable(f"two legs are both a {plan.leg.value}; a position has one of each")
        legs.append(plan)
    return Bracket(entry=entry, legs=tuple(legs))


def leg_plan(init: OrderInitialized) -> LegPlan:
    """A closing order of a position as one of its levels.

    A take profit's `post_only` (the framework's default in a bracket) says nothing here: the broker fills a level as it
    fills any take profit.

    Raises
    ------
    NotSendable
        Not a stop, trailing stop, limit or market-if-touched, or with terms a level cannot have.
    """
    cid = str(init.client_order_id)
    if init.order_type not in (*STOP_LOSS_TYPES, *TAKE_PROFIT_TYPES):
        raise NotSendable(
            f"{init.order_type.name} cannot protect a position; use STOP_MARKET, TRAILING_STOP_MARKET or LIMIT"
        )
    if init.time_in_force is not FrameworkTif.GTC:
        raise NotSendable("a position's stop loss or take profit has no expiry: use GTC")
    _check_trigger(init)
    if init.order_type in TAKE_PROFIT_TYPES:
        level = init.price if init.order_type is FrameworkType.LIMIT else init.trigger_price
        return LegPlan(client_order_id=cid, leg=Leg.TAKE_PROFIT, price=None if level is None else level.as_decimal())
    level = init.trigger_price
    if init.order_type is FrameworkType.STOP_MARKET:
        return LegPlan(client_order_id=cid, leg=Leg.STOP_LOSS, price=None if level is None else level.as_decimal())
    if init.activation_price is not None:
        raise NotSendable("the venue's trailing stop has no activation price: it trails from the start")
    if init.trailing_offset is None or init.trailing_offset_type not in (
        TrailingOffsetType.PRICE,
        TrailingOffsetType.TICKS,
    ):
        raise NotSendable("a trailing stop needs an offset in price or in ticks")
    offset = init.trailing_offset
    return LegPlan(
        client_order_id=cid,
        leg=Leg.STOP_LOSS,
        price=None if level is None else level.as_decimal(),
        # The sign tells ticks from price until the symbol is known (`resolve_ticks`).
        trailing=offset if init.trailing_offset_type is TrailingOffsetType.PRICE else -offset,
    )


def resolve_ticks(plan: LegPlan, spec: SymbolSpec) -> LegPlan:
    """The plan with its trailing distance as a price."""
    if plan.trailing is None or plan.trailing > 0:
        return plan
    return LegPlan(
        client_order_id=plan.client_order_id, leg=plan.leg, price=plan.price, trailing=-plan.trailing * spec.point
    )


def protection_of(
    stop_loss: LegPlan | None,
    take_profit: LegPlan | None,
    side: Side,
    reference: Decimal | None,
    as_distance: bool,
    capabilities: Capabilities,
) -> Protection:
    """Levels for a position that `side` opened (or will open) at about `reference`.

    Parameters
    ----------
    as_distance
        Send distances from the fill (the venue takes no absolute level with a market order); the exact levels are set
        after the fill.
    """
    trailing = stop_loss is not None and stop_loss.trailing is not None
    if trailing and not capabilities.trailing_stop:
        raise NotSendable("the venue has no trailing stops of its own")
    if reference is None and (as_distance or trailing):
        raise NotSendable("no quote yet: the distance to the stop loss or take profit cannot be worked out")
    stop = None
    if stop_loss is not None:
        stop = stop_loss.price
        if stop_loss.trailing is not None and stop is None and reference is not None:
            stop = reference - stop_loss.trailing * side.sign
    profit = take_profit.price if take_profit is not None else None
    if (stop_loss is not None and stop is None) or (take_profit is not None and profit is None):
        raise NotSendable("a stop loss or take profit without a price")
    if as_distance and reference is not None:
        stop = None if stop is None else (reference - stop) * side.sign
        profit = None if profit is None else (profit - reference) * side.sign
        if (stop is not None and stop <= 0) or (profit is not None and profit <= 0):
            raise NotSendable(_wrong_side(side, reference))
    return Protection(stop_loss=stop, take_profit=profit, trailing=trailing, distance=as_distance)


def check_protection(protection: Protection, side: Side, reference: Decimal | None, spec: SymbolSpec) -> None:
    """Whether levels stand on the right side of the price and keep the symbol's least distance."""
    least = spec.stops_distance_points * spec.point
    for name, level, sign in (("stop loss", protection.stop_loss, -1), ("take profit", protection.take_profit, 1)):
        if level is None:
            continue
        if protection.distance:
            away = level
        else:
            check_price(level, name, spec)
            if reference is None:
                continue
            away = (level - reference) * side.sign * sign
        if away <= 0:
            raise NotSendable(f"{name}: {_wrong_side(side, reference)}")
        if away < least:
            raise NotSendable(
                f"{name} is {_number(away / spec.point)} points from the price; the broker wants at least "
                f"{spec.stops_distance_points}"
            )


def _wrong_side(side: Side, reference: Decimal | None) -> str:
    below, above = ("stop loss", "take profit") if side is Side.BUY else ("take profit", "stop loss")
    return f"for a {side.value} at about {reference} the {below} must be below and the {above} above"


def _type_of(init: OrderInitialized, params: dict[str, Any] | None) -> OrderType:
    kind = TYPES.get(init.order_type)
    if kind is None:
        raise NotSendable(
            f"{init.order_type.name} orders do not exist at the venue; use MARKET, LIMIT, STOP_MARKET or STOP_LIMIT"
        )
    if kind is OrderType.MARKET and params and "slippage_points" in params:
        return OrderType.MARKET_RANGE
    return kind


def _check_features(init: OrderInitialized, params: dict[str, Any] | None, capabilities: Capabilities) -> None:
    if init.quote_quantity:
        raise NotSendable("the venue takes volumes in units of the base, not in quote currency")
    if init.display_qty is not None:
        raise NotSendable("the venue has no iceberg orders (display_qty)")
    if init.post_only and not capabilities.post_only:
        raise NotSendable("the venue has no post-only orders")
    _check_trigger(init)
    unknown = sorted(set(params or ()) - set(PARAMS))
    if unknown:
        raise NotSendable(f"unknown order parameter {', '.join(unknown)}; known: {', '.join(PARAMS)}")


def _check_trigger(init: OrderInitialized) -> None:
    if init.trigger_type not in (None, TriggerType.DEFAULT, TriggerType.BID_ASK):
        raise NotSendable(f"stops are triggered by bid and ask at the venue, not by {init.trigger_type.name}")


def _check_stop_limit(limit: Decimal | None, stop: Decimal | None, side: Side) -> None:
    if limit is not None and stop is not None and (limit - stop) * side.sign < 0:
        raise NotSendable(
            f"stop-limit {side.value}: the venue keeps the limit as a distance beyond the stop, so limit {limit} "
            f"cannot stand {'below' if side is Side.BUY else 'above'} stop {stop}"
        )


def time_in_force(
    init: OrderInitialized, kind: OrderType, capabilities: Capabilities, closing: bool = False
) -> TimeInForce:
    """How long an order is good for, as the venue knows it. Raises `NotSendable`."""
    what = "orders that close a position" if closing else f"{kind.value.replace('_', '-')} orders"
    allowed = capabilities.closing_time_in_force if closing else capabilities.time_in_force.get(kind)
    if not allowed:
        raise NotSendable(f"the venue has no {what}")
    wanted = TIFS.get(init.time_in_force)
    if kind in (OrderType.MARKET, OrderType.MARKET_RANGE) and wanted is TimeInForce.GTC:
        # The framework's default says "no wish": a market order fills at once or not at all.
        return next(t for t in (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK) if t in allowed)
    if wanted is None or wanted not in allowed:
        raise NotSendable(
            f"the venue has no {init.time_in_force.name} for {what}; use {', '.join(sorted(t.name for t in allowed))}"
        )
    return wanted


def _expiry(init: OrderInitialized, tif: TimeInForce, now_ns: int) -> int | None:
    if tif is not TimeInForce.GTD:
        return None
    if init.expire_time is None:
        raise NotSendable("GTD without an expire time")
    if init.expire_time <= now_ns:
        raise NotSendable("GTD: the expire time lies in the past")
    return int(init.expire_time)


def _price(value: Any, name: str, spec: SymbolSpec) -> Decimal:
    if value is None:
        raise NotSendable(f"an order without its {name}")
    number: Decimal = value.as_decimal()
    check_price(number, name, spec)
    return number


def _range(
    params: dict[str, Any] | None, side: Side, kind: OrderType, spec: SymbolSpec, market: MarketView
) -> tuple[Decimal | None, int | None]:
    if kind is not OrderType.MARKET_RANGE:
        if params and "base_price" in params:
            raise NotSendable("base_price needs slippage_points (a market-range order)")
        return None, None
    slippage = (params or {})["slippage_points"]
    if not isinstance(slippage, int) or isinstance(slippage, bool) or slippage < 0:
        raise NotSendable(f"slippage_points must be a whole number of points, not {slippage!r}")
    given = (params or {}).get("base_price")
    base = market.entry(side) if given is None else Decimal(str(given))
    if base is None:
        raise NotSendable("no quote yet: a market-range order needs a base price")
    check_price(base, "base_price", spec)
    return base, slippage


def _volume(units: Decimal, spec: SymbolSpec) -> str:
    return f"{_number(units)} units ({_number(units / spec.contract_size)} lots)"


def _number(value: Decimal) -> str:
    return f"{value.normalize():,f}"
