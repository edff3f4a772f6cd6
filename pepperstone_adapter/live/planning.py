"""What a framework order becomes at the broker: an opening order, a close of a ticket, or a level of a position. Pure.

The order of checks is the order a person would want to hear about: link and account first, then what the symbol allows,
then what the venue cannot do.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from nautilus_trader.model import OrderInitialized
from nautilus_trader.model import OrderType as FrameworkType

from pepperstone_adapter.broker.capabilities import Capabilities
from pepperstone_adapter.broker.orders import OrderRequest, OrderType, PositionState, Protection, TimeInForce
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.live.tracking import CLOSE, ENTRY, LEG, OrderTable, TrackedOrder
from pepperstone_adapter.mapping.ids import Leg, strategy_of, tag_of, venue_text
from pepperstone_adapter.mapping.orders import (
    CLOSE_BY,
    NO_CLOSE_BY,
    Bracket,
    LegPlan,
    MarketView,
    NotSendable,
    check_protection,
    check_trading,
    check_volume,
    leg_plan,
    order_request,
    protection_of,
    resolve_ticks,
    side_of,
    time_in_force,
)


@dataclass(frozen=True, slots=True)
class Open:
    """A new order, with the legs that come with it."""

    order: TrackedOrder
    request: OrderRequest
    legs: tuple[TrackedOrder, ...] = ()

    @property
    def tracked(self) -> tuple[TrackedOrder, ...]:
        return (self.order, *self.legs)


@dataclass(frozen=True, slots=True)
class Close:
    """Close `units` of a ticket: at the market, or by an opposite ticket."""

    order: TrackedOrder
    position: PositionState
    units: Decimal
    time_in_force: TimeInForce = TimeInForce.GTC
    by: PositionState | None = None

    @property
    def tracked(self) -> tuple[TrackedOrder, ...]:
        return (self.order,)


@dataclass(frozen=True, slots=True)
class Protect:
    """Give an open position a stop loss or take profit (the level stands in `order`)."""

    order: TrackedOrder
    position: PositionState

    @property
    def tracked(self) -> tuple[TrackedOrder, ...]:
        return (self.order,)


type Plan = Open | Close | Protect


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Everything a plan depends on besides the order itself."""

    spec: SymbolSpec
    capabilities: Capabilities
    market: MarketView
    table: OrderTable
    netting: bool
    open_gate: str | None  # why nothing may be sent at all
    risk_gate: str | None  # why nothing may be opened
    guaranteed_stops: bool = False  # the account takes no opening order without a stop loss that the broker guarantees


def plan_order(
    init: OrderInitialized, position_id: str | None, params: dict[str, Any] | None, around: Surroundings
) -> Plan:
    """Decide what a single order becomes.

    Raises
    ------
    NotSendable
        With the reason for OrderDenied.
    """
    if around.open_gate is not None:
        raise NotSendable(around.open_gate)
    position = _position_of(init, position_id, around)
    other = _other_of(params, position, around)
    if position is None:
        if init.reduce_only:
            raise NotSendable(
                "reduce-only needs the position it reduces"
                + ("" if around.netting else ": pass position_id (a hedging account has many)")
            )
        if around.risk_gate is not None:
            raise NotSendable(around.risk_gate)
        return _open(init, params, around)
    if init.order_side is not None and side_of(init) is position.side:
        raise NotSendable(f"ticket {position.position_id} cannot be added to; send the order without position_id")
    _check_closing(init, params)
    if init.order_type is FrameworkType.MARKET:
        return _close(init, position, around, other)
    return _protect(init, position, around)


def plan_bracket(bracket: Bracket, params: dict[str, Any] | None, around: Surroundings) -> Open:
    """Decide what a bracket becomes: one order that carries its levels.

    Raises
    ------
    NotSendable
        With the reason for OrderDenied of every order of the list.
    """
    for gate in (around.open_gate, around.risk_gate):
        if gate is not None:
            raise NotSendable(gate)
    if around.netting and any(p.symbol == around.spec.name for p in around.table.positions.values()):
        raise NotSendable(
            "a netting account has one position and one pair of levels per symbol: "
            "modify its stop loss and take profit instead of sending a bracket"
        )
    legs = {plan.leg: resolve_ticks(plan, around.spec) for plan in bracket.legs}
    return _open(bracket.entry, params, around, legs)


def _position_of(init: OrderInitialized, position_id: str | None, around: Surroundings) -> PositionState | None:
    if not around.netting:
        if position_id is None:
            return None
        position = around.table.positions.get(position_id)
        if position is None:
            raise NotSendable(f"no open position {position_id} at the broker")
        return position
    if not init.reduce_only:
        return None
    side = side_of(init)
    return next(
        (p for p in around.table.positions.values() if p.symbol == around.spec.name and p.side is not side), None
    )


def _other_of(
    params: dict[str, Any] | None, position: PositionState | None, around: Surroundings
) -> PositionState | None:
    """The open position that an order names as the one to close by; None when it names none."""
    if CLOSE_BY not in (params or {}):
        return None
    if around.netting:
        raise NotSendable(f"{CLOSE_BY}: a netting account has one position a symbol, so there is none to close it by")
    if not around.capabilities.close_by:
        raise NotSendable(f"{CLOSE_BY}: {NO_CLOSE_BY}")
    if position is None:
        raise NotSendable(f"{CLOSE_BY} needs position_id as well: the position that is closed by the other one")
    other = around.table.positions.get(str((params or {})[CLOSE_BY]))
    if other is None:
        raise NotSendable(f"{CLOSE_BY}: no open position {(params or {})[CLOSE_BY]} at the broker")
    if other.symbol != position.symbol or other.side is position.side:
        raise NotSendable(
            f"{CLOSE_BY}: {position.position_id} is {position.side} {position.symbol} and {other.position_id} is "
            f"{other.side} {other.symbol}; it takes two opposite positions of one symbol"
        )
    return other


def _check_closing(init: OrderInitialized, params: dict[str, Any] | None) -> None:
    unknown = sorted(set(params or ()) - {CLOSE_BY})
    if unknown:
        raise NotSendable(f"an order for an open position takes no {', '.join(unknown)}; it takes {CLOSE_BY} only")
    if params and init.order_type is not FrameworkType.MARKET:
        raise NotSendable(f"{CLOSE_BY} is done at once, so it takes a MARKET order, not {init.order_type.name}")


def _open(
    init: OrderInitialized,
    params: dict[str, Any] | None,
    around: Surroundings,
    legs: dict[Leg, LegPlan] | None = None,
) -> Open:
    caps, spec, side = around.capabilities, around.spec, side_of(init)
    text, tag = _texts(init, caps)
    cid, strategy = str(init.client_order_id), str(init.strategy_id)
    at_market = init.order_type is FrameworkType.MARKET
    as_distance = at_market and not caps.absolute_protection_on_market
    protection = None
    if legs:
        reference = around.market.entry(side) if at_market else _entry_level(init)
        stop, profit = legs.get(Leg.STOP_LOSS), legs.get(Leg.TAKE_PROFIT)
        protection = protection_of(stop, profit, side, reference, as_distance, caps)
    if around.guaranteed_stops:
        protection = _guaranteed(protection)
    request = order_request(init, params, spec, caps, around.market, text, tag, protection)
    order = TrackedOrder(
        client_order_id=cid,
        venue_text=text,
        strategy_id=strategy,
        symbol=spec.name,
        side=side,
        units=request.units,
        kind=ENTRY,
        # Of legs the venue keeps the levels, not the ids.
        venue_knows=caps.keeps_texts and text == cid and strategy_of(tag) == strategy and not legs,
        limit=request.limit_price,
        stop=request.stop_price,
        # A trailing stop starts at its distance from the fill, so only fixed levels need the correction.
        wants_exact=as_distance and any(plan.trailing is None for plan in (legs or {}).values()),
        submitted_ns=around.market.now_ns,
    )
    tracked = tuple(_leg(plan, order, caps) for plan in (legs or {}).values())
    return Open(order, request, tracked)


def _guaranteed(protection: Protection | None) -> Protection:
    if protection is None or protection.stop_loss is None:
        raise NotSendable(
            "a limited-risk account takes no order without a stop loss that the broker guarantees: send a bracket with one"
        )
    if protection.trailing:
        raise NotSendable(
            "on a limited-risk account the broker guarantees the stop loss, and such a stop does not trail"
        )
    return replace(protection, guaranteed=True)


def _leg(plan: LegPlan, entry: TrackedOrder, caps: Capabilities) -> TrackedOrder:
    return TrackedOrder(
        client_order_id=plan.client_order_id,
        venue_text=venue_text(plan.client_order_id, caps.client_order_id_max),
        strategy_id=entry.strategy_id,
        symbol=entry.symbol,
        side=entry.side.opposite,
        units=entry.units,
        kind=LEG,
        leg=plan.leg,
        parent=entry.client_order_id,
        limit=plan.price if plan.leg is Leg.TAKE_PROFIT else None,
        stop=plan.price if plan.leg is Leg.STOP_LOSS else None,
        trails=plan.trailing is not None,
        submitted_ns=entry.submitted_ns,
    )


def _close(init: OrderInitialized, position: PositionState, around: Surroundings, other: PositionState | None) -> Close:
    units = init.quantity.as_decimal()
    check_trading(around.spec, side_of(init), closing=True)
    tif = time_in_force(init, OrderType.MARKET, around.capabilities, closing=True)
    if units > position.units:
        raise NotSendable(f"position {position.position_id} has {position.units} units, not {units}")
    if other is not None and units < (smaller := min(position.units, other.units)):
        raise NotSendable(
            f"{CLOSE_BY}: {smaller.normalize():f} units go, the whole of the smaller position, not {units}"
        )
    if other is None and units < position.units:
        check_volume(units, around.spec)
    text, _ = _texts(init, around.capabilities)
    order = TrackedOrder(
        client_order_id=str(init.client_order_id),
        venue_text=text,
        strategy_id=str(init.strategy_id),
        symbol=around.spec.name,
        side=side_of(init),
        units=units,
        kind=CLOSE,
        position_id=position.position_id,
        submitted_ns=around.market.now_ns,
    )
    return Close(order, position, units, tif, other)


def _protect(init: OrderInitialized, position: PositionState, around: Surroundings) -> Protect:
    plan = resolve_ticks(leg_plan(init), around.spec)
    units = init.quantity.as_decimal()
    if units != position.units:
        raise NotSendable(
            f"a level protects the whole position: {position.position_id} has {position.units} units, not {units}"
        )
    now = position.protection or Protection()
    existing = now.stop_loss if plan.leg is Leg.STOP_LOSS else now.take_profit
    if existing is not None:
        kind = "stop loss" if plan.leg is Leg.STOP_LOSS else "take profit"
        raise NotSendable(f"position {position.position_id} already has a {kind} at {existing}: modify that order")
    on_its_way = around.table.leg(position.position_id, plan.leg)
    if on_its_way is not None:
        raise NotSendable(
            f"position {position.position_id}: {on_its_way.client_order_id} is its {plan.leg.value} already"
        )
    market = around.market.bid if position.side.sign > 0 else around.market.ask
    wished = protection_of(
        plan if plan.leg is Leg.STOP_LOSS else None,
        plan if plan.leg is Leg.TAKE_PROFIT else None,
        position.side,
        market,
        as_distance=False,
        capabilities=around.capabilities,
    )
    check_protection(wished, position.side, market, around.spec)
    text, _ = _texts(init, around.capabilities)
    order = TrackedOrder(
        client_order_id=str(init.client_order_id),
        venue_text=text,
        strategy_id=str(init.strategy_id),
        symbol=around.spec.name,
        side=side_of(init),
        units=units,
        kind=LEG,
        leg=plan.leg,
        position_id=position.position_id,
        limit=wished.take_profit,
        stop=wished.stop_loss,
        trails=plan.trailing is not None,
        submitted_ns=around.market.now_ns,
    )
    return Protect(order, position)


def _texts(init: OrderInitialized, caps: Capabilities) -> tuple[str, str]:
    return (
        venue_text(str(init.client_order_id), caps.client_order_id_max),
        tag_of(str(init.strategy_id), caps.tag_max),
    )


def _entry_level(init: OrderInitialized) -> Decimal | None:
    level = init.trigger_price if init.trigger_price is not None and init.price is None else init.price
    return None if level is None else level.as_decimal()


def changed_level(order: TrackedOrder, price: Decimal | None, trigger: Decimal | None) -> Decimal:
    """The new level of a leg from a modify command.

    Raises
    ------
    NotSendable
        The command names no level, or the wrong kind.
    """
    wanted = trigger if order.leg is Leg.STOP_LOSS else price
    if wanted is None and order.leg is Leg.TAKE_PROFIT:
        wanted = trigger  # a market-if-touched take profit
    if wanted is None:
        raise NotSendable("only the price of a stop loss or take profit can be changed")
    return wanted
