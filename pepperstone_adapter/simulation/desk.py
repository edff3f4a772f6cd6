"""The broker's order desk: what is refused before it reaches the market.

The checks follow the order a server makes them: symbol and mode, session, volume, prices, protection levels, margin. A
refused order ends as `OrderDenied` with a reason that begins with one of the words below, as live orders do.

The framework's `ExecutionAlgorithm.deny_order` is the only way Python has to end an order with an event of its own; that
is all this algorithm is used for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from nautilus_trader.model import ExecAlgorithmId, MarketOrder, OrderSide, OrderType, TimeInForce
from nautilus_trader.trading import ExecutionAlgorithm, ExecutionAlgorithmConfig

from pepperstone_adapter.broker.symbols import SymbolSpec, TradingMode
from pepperstone_adapter.broker.units import units_to_lots
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.mapping.orders import CLOSE_BY, PARAMS
from pepperstone_adapter.simulation.failures import Failures
from pepperstone_adapter.simulation.headroom import Headroom
from pepperstone_adapter.simulation.sessions import accepts_orders, session
from pepperstone_adapter.simulation.tape import Tape
from pepperstone_adapter.simulation.times import iso

_KNOWN = frozenset({
    OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED,
    OrderType.LIMIT_IF_TOUCHED, OrderType.TRAILING_STOP_MARKET, OrderType.TRAILING_STOP_LIMIT,
})  # fmt: skip
_TIMES = frozenset({TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK})
_KINDS = {
    OrderType.MARKET: "market", OrderType.LIMIT: "limit", OrderType.STOP_MARKET: "stop", OrderType.STOP_LIMIT: "stop_limit",
}  # fmt: skip
_PENDING = (
    OrderType.LIMIT, OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED,
)  # fmt: skip


class OrderDesk(ExecutionAlgorithm):
    """Ends refused orders; receives none itself."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> "OrderDesk":
        return super().__new__(cls, ExecutionAlgorithmConfig(exec_algorithm_id=ExecAlgorithmId("DESK")))  # type: ignore[call-arg]

    def __init__(
        self, times_in_force: Mapping[str, Sequence[str]], *, netting: bool, only_market: bool = False
    ) -> None:
        super().__init__(ExecutionAlgorithmConfig(exec_algorithm_id=ExecAlgorithmId("DESK")))
        self._times_in_force = times_in_force
        self._netting = netting
        self._only_market = only_market

    def deny(self, orders: Sequence[Any], reason: str) -> None:
        """Refuse orders that were sent together."""
        for order in orders:
            self.deny_order(order, reason)

    def require_market(self, order: Any, failures: Failures) -> None:
        """End a run that was promised only orders at market; an exception alone the strategy might catch."""
        if self._only_market and order.order_type != OrderType.MARKET:
            error = ConfigurationError(
                f"{order.strategy_id} sends a {order.order_type.name.replace('_', ' ').lower()} order, but "
                "market.only_market_orders says that no order waits for a price; set it to false"
            )
            failures.add(error, "the desk")
            raise error

    def denies(self, orders: Sequence[Any], position_id: Any, params: Mapping[str, Any]) -> bool:
        """Refuse orders for what they say beside their terms (`submit_order(params=…)`), or for a time in force that the
        platform does not have; whether that was so."""
        closing = orders[0].is_reduce_only or (position_id is not None and not self._netting)
        reason = params_refusal(params, closing) if params else None
        for order in orders:
            child = order is not orders[0] and order.parent_order_id is not None
            reason = reason or time_refusal(order, closing or child, self._times_in_force)
        if reason is not None:
            self.deny(orders, reason)
        return reason is not None


class Counter:
    """One symbol's counter at the desk: it remembers what was in order, so that the next order like it is not checked again.

    That is a market order of a volume that may open a position, in a session that has been looked up.
    """

    def __init__(self, spec: SymbolSpec, headroom: Headroom) -> None:
        self._spec = spec
        self._headroom = headroom
        self._volumes: set[int] = set()  # raw quantities
        self._from_ns = self._until_ns = 0

    def grants(self, order: Any, position_id: Any, ts_ns: int) -> bool:
        """Whether an order is beyond doubt: one like it has passed `refusal`, and there is headroom for it."""
        quantity, reduces = order.quantity, order.is_reduce_only
        return (
            self._from_ns <= ts_ns < self._until_ns
            and quantity.raw in self._volumes
            and type(order) is MarketOrder
            and order.time_in_force == TimeInForce.GTC
            and not order.is_quote_quantity
            and (reduces or position_id is None)
            and self._headroom.grants(self._spec.name, 0.0 if reduces else float(quantity))
        )

    def note(self, order: Any, ts_ns: int) -> None:
        """An opening order has passed `refusal`."""
        if self._spec.short_selling and order.order_type == OrderType.MARKET:
            self._volumes.add(order.quantity.raw)
            if not self._from_ns <= ts_ns < self._until_ns:
                self._from_ns, self._until_ns = session(self._spec.hours, ts_ns) or (0, 0)


@dataclass(frozen=True, slots=True)
class Amended:
    """A working order as an amendment would leave it, to be looked at by `refusal` like a new one."""

    side: Any
    order_type: Any
    time_in_force: Any
    expire_time: int | None
    quantity: Any
    price: Any
    trigger_price: Any

    @classmethod
    def of(cls, order: Any, quantity: Any, price: Any, trigger_price: Any) -> "Amended":
        return cls(
            order.side, order.order_type, order.time_in_force, getattr(order, "expire_time", None),
            quantity or order.quantity, price or getattr(order, "price", None),
            trigger_price or getattr(order, "trigger_price", None),
        )  # fmt: skip


def refusal(
    order: Any, spec: SymbolSpec, tape: Tape, ts_ns: int, *, reduces: bool, entry: Decimal | None = None
) -> str | None:
    """Why an order is refused without looking at the account; None when it is not.

    Parameters
    ----------
    reduces
        The order can only reduce a position: mode and short selling do not bind it.
    entry
        Price at which its parent would fill, for protective orders: levels are checked against it.
    """
    return (
        _form(order, reduces)
        or _terms(order, spec, ts_ns)
        or _mode(order, spec, reduces)
        or _session(spec, tape, ts_ns)
        or _volume(order.quantity.as_decimal(), spec, reduces)
        or _levels(order, spec, tape, ts_ns, entry)
    )


def params_refusal(params: Mapping[str, Any], closing: bool) -> str | None:
    """Why an order is refused for its `params`; those it may have live depend on whether it is for an open position."""
    if CLOSE_BY in params:
        return f"UNSUPPORTED_PARAMETER: {CLOSE_BY} is not simulated; close each of the two with an order of its own"
    if closing:
        return f"UNSUPPORTED_PARAMETER: an order for an open position takes no {', '.join(sorted(params))}"
    unknown = sorted(set(params) - set(PARAMS))
    return f"UNSUPPORTED_PARAMETER: {', '.join(unknown)}; known: {', '.join(PARAMS)}" if unknown else None


def time_refusal(order: Any, closing: bool, times_in_force: Mapping[str, Sequence[str]]) -> str | None:
    """Why an order is refused for its time in force. What closes a position and waits is a level of it at the broker."""
    kind = _KINDS.get(order.order_type, "")
    if closing:
        kind = "close" if kind == "market" else "level"
    allowed = times_in_force.get(kind)
    wanted = order.time_in_force.name
    if allowed is None or wanted in allowed:
        return None
    named = {"close": "an order that closes a position", "level": "a level of a position"}
    what = named.get(kind) or f"a {kind.replace('_', '-')} order"
    return f"UNSUPPORTED_TIME_IN_FORCE: {wanted} for {what}; use {', '.join(allowed)}"


def ticket_refusal(order: Any, position_id: Any, position: Any, closing: Decimal, spec: SymbolSpec) -> str | None:
    """Why an order for one ticket of a hedging account is refused: all it can do is close the ticket, or a part of it.

    Parameters
    ----------
    position
        The framework's position, or None.
    closing
        Units of it that other orders at market are about to close.
    """
    if position is None or position.is_closed:
        return f"POSITION_NOT_FOUND: no open position {position_id}"
    if position.is_long == (order.side == OrderSide.BUY):
        return f"INVALID_POSITION: position {position_id} cannot be added to; send the order without position_id"
    held = position.quantity.as_decimal() - closing
    if order.quantity.as_decimal() > held:
        left = "left " if closing else ""
        return (
            f"INVALID_CLOSE_VOLUME: position {position_id} has {_size(held, spec)} {left}to close, "
            f"not {_size(order.quantity.as_decimal(), spec)}"
        )
    return None


def _form(order: Any, reduces: bool) -> str | None:
    """What no platform takes live. The framework makes the take profit of a bracket post-only by itself."""
    if getattr(order, "is_quote_quantity", False):
        return "UNSUPPORTED_ORDER: volumes are in units of the base, not in quote currency"
    if getattr(order, "exec_algorithm_id", None) is not None:
        return f"UNSUPPORTED_ORDER: no execution algorithm {order.exec_algorithm_id} is there to take it"
    if not reduces and getattr(order, "is_post_only", False):
        return "UNSUPPORTED_ORDER: no broker order is post-only"
    if not reduces and getattr(order, "display_qty", None) is not None:
        return "UNSUPPORTED_ORDER: no broker order hides a part (display_qty)"
    return None


def _terms(order: Any, spec: SymbolSpec, ts_ns: int) -> str | None:
    """Order type, prices on the symbol's grid, and an expiry that lies ahead."""
    if order.order_type not in _KNOWN:
        return f"UNSUPPORTED_ORDER_TYPE: {order.order_type.name}"
    if order.time_in_force not in _TIMES:
        return f"UNSUPPORTED_TIME_IN_FORCE: {order.time_in_force.name}"
    for name in ("price", "trigger_price"):
        value = getattr(order, name, None)
        if value is not None:
            level = value.as_decimal()
            if level <= 0:
                return f"INVALID_PRICE: {name} {level} of {spec.name} must be positive"
            if level % spec.point:
                near = level // spec.point * spec.point
                return (
                    f"INVALID_PRICE: {name} {level} of {spec.name} is off its tick; nearest {near}, {near + spec.point}"
                )
    expires_ns = getattr(order, "expire_time", None)
    if order.time_in_force == TimeInForce.GTD and (expires_ns is None or int(expires_ns) <= ts_ns):
        return f"INVALID_EXPIRY: {iso(int(expires_ns)) if expires_ns else 'no time'} is not ahead of {iso(ts_ns)}"
    return None


def _mode(order: Any, spec: SymbolSpec, reduces: bool) -> str | None:
    if reduces:
        return None
    if spec.trading_mode is TradingMode.DISABLED:
        return f"TRADING_DISABLED: {spec.name} cannot be traded"
    if spec.trading_mode is TradingMode.CLOSE_ONLY:
        return f"CLOSE_ONLY: {spec.name} allows only closing orders"
    if not spec.short_selling and order.side == OrderSide.SELL:
        return f"SHORT_SELLING_NOT_ALLOWED: {spec.name} cannot be sold short"
    return None


def _session(spec: SymbolSpec, tape: Tape, ts_ns: int) -> str | None:
    if accepts_orders(spec.hours, ts_ns):
        if tape.index(ts_ns) < 0:
            return f"NO_PRICE: no price of {spec.name} yet"
        return None
    opens = spec.hours.next_open(ts_ns)
    return f"MARKET_CLOSED: {spec.name} is closed{f' until {iso(opens)}' if opens else ''}"


def _volume(units: Decimal, spec: SymbolSpec, reduces: bool) -> str | None:
    if units > spec.volume_max:
        return f"VOLUME_TOO_HIGH: {_size(units, spec)} of {spec.name}, at most {_size(spec.volume_max, spec)}"
    if units < spec.volume_min and not reduces:
        return f"VOLUME_TOO_LOW: {_size(units, spec)} of {spec.name}, at least {_size(spec.volume_min, spec)}"
    if units % spec.volume_step:
        return f"VOLUME_STEP: {_size(units, spec)} of {spec.name} is no multiple of {_size(spec.volume_step, spec)}"
    return None


def _size(units: Decimal, spec: SymbolSpec) -> str:
    """In units, which orders are in, and in lots, which people mistake them for."""
    return f"{units:f} units ({units_to_lots(units, spec.contract_size).normalize():f} lots)"


def _levels(order: Any, spec: SymbolSpec, tape: Tape, ts_ns: int, entry: Decimal | None) -> str | None:
    """Stops must lie beyond the market, on the side that triggers them: buys on ASK, sells on BID."""
    quote = tape.quote(ts_ns)
    if quote is None or order.order_type not in _PENDING:
        return None
    buy = order.side == OrderSide.BUY
    market = (quote[1] if buy else quote[0]) if entry is None else entry
    trigger = getattr(order, "trigger_price", None)
    least = spec.stops_distance_points * spec.point
    if trigger is not None:
        level = trigger.as_decimal()
        touched = order.order_type in (OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)
        above = buy != touched  # stops of buys lie above the market, if-touched ones below
        distance = level - market if above else market - level
        if distance <= 0 or distance < least:
            return _wrong(order, spec, level, market, least, above)
    elif entry is not None:
        level = order.price.as_decimal()
        distance = market - level if buy else level - market
        if distance <= 0 or distance < least:
            return _wrong(order, spec, level, market, least, not buy)
    return None


def _wrong(order: Any, spec: SymbolSpec, level: Decimal, market: Decimal, least: Decimal, above: bool) -> str:
    side = "above" if above else "below"
    return (
        f"INVALID_LEVEL: {order.side.name} {order.order_type.name} at {level} must be {side} {market} of {spec.name}"
        + (f" by at least {least}" if least else "")
    )


def sign_of(order: Any) -> int:
    """1 for an order that buys, -1 for one that sells."""
    return 1 if order.side == OrderSide.BUY else -1


def entry_price(order: Any, tape: Tape, ts_ns: int) -> Decimal | None:
    """Where an entry order would fill: its own price, or the market."""
    for name in ("price", "trigger_price"):
        value = getattr(order, name, None)
        if value is not None:
            return Decimal(value.as_decimal())
    quote = tape.quote(ts_ns)
    return None if quote is None else quote[1 if order.side == OrderSide.BUY else 0]
