"""Every reason to refuse a request before anything changes. Each function raises `Refused` or returns."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.orders import OrderType, Side, TimeInForce
from pepperstone_adapter.broker.symbols import TradingMode
from pepperstone_adapter.sandbox.ledger.margin import equity, extra_margin, used_margin
from pepperstone_adapter.sandbox.ledger.money import commission
from pepperstone_adapter.sandbox.ledger.quotes import Quote
from pepperstone_adapter.sandbox.ledger.records import Position, Protect
from pepperstone_adapter.sandbox.ledger.refusal import Refusal, Refused
from pepperstone_adapter.sandbox.ledger.state import Account, State
from pepperstone_adapter.sandbox.ledger.terms import Access, SymbolTerms

PENDING = (OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """A request for an order.

    Attributes
    ----------
    position_id
        The ticket to reduce (opposite side) or to add to; 0 opens a new one on hedging accounts.
    client_id, label, comment, magic, origin
        Kept with the order and carried to position and deals.
    rest_works
        What a market order does not find at once stays working and takes the market again at every new price (exchange
        execution); else it is cancelled.
    ref
        The caller's mark, given back with every event this request causes.
    """

    symbol: str
    side: Side
    type: OrderType
    units: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    base_price: Decimal | None = None
    slippage_points: int | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expires_ns: int | None = None
    protect: Protect | None = None
    position_id: int = 0
    client_id: str = ""
    label: str = ""
    comment: str = ""
    magic: int = 0
    origin: str = ""
    rest_works: bool = False
    ref: str = ""


def volume(terms: SymbolTerms, units: Decimal) -> None:
    spec = terms.spec
    if units < spec.volume_min:
        raise Refused(Refusal.BAD_VOLUME, f"Order volume {units} is smaller than minimum {spec.volume_min}")
    if units > spec.volume_max:
        raise Refused(Refusal.BAD_VOLUME, f"Order volume {units} is bigger than maximum {spec.volume_max}")
    step(terms, units)


def step(terms: SymbolTerms, units: Decimal) -> None:
    if units <= 0 or units % terms.spec.volume_step:
        raise Refused(Refusal.BAD_VOLUME, f"Order volume {units} is not a multiple of step {terms.spec.volume_step}")


def price(terms: SymbolTerms, value: Decimal | None, name: str) -> None:
    """A price that is given must be positive and have no more decimals than the symbol."""
    if value is None:
        return
    if not value.is_finite() or value <= 0:
        raise Refused(Refusal.BAD_PRICE, f"{name} must be positive, is {value}")
    if value != round(value, terms.spec.digits):
        raise Refused(Refusal.BAD_PRICE, f"{name} {value} has more digits than allowed: {terms.spec.digits}")


def session(terms: SymbolTerms, now_ns: int) -> None:
    hours = terms.spec.hours
    if hours.is_open(now_ns):
        return
    local = datetime.fromtimestamp(now_ns // 1_000_000_000, tz=UTC).astimezone(ZoneInfo(hours.zone))
    seconds = local.hour * 3600 + local.minute * 60 + local.second
    for day in hours.holidays:
        same = (day.day.month, day.day.day) == (local.month, local.day) and (day.yearly or day.day.year == local.year)
        if same and day.start_s <= seconds < day.end_s:
            raise Refused(Refusal.HOLIDAY, f"{terms.name} has a holiday: {day.name}")
    raise Refused(Refusal.MARKET_CLOSED, f"Market for {terms.name} is closed")


def permission(account: Account, terms: SymbolTerms, side: Side, *, opens: bool) -> None:
    """Account rights, the symbol's trading mode and short selling."""
    if account.terms.access is Access.NO_TRADING:
        raise Refused(Refusal.TRADING_DISABLED, "Trading is disabled for the account")
    if terms.spec.trading_mode is TradingMode.DISABLED:
        raise Refused(Refusal.TRADING_DISABLED, f"Trading is disabled for {terms.name}")
    if not opens:
        return
    if account.terms.access is Access.CLOSE_ONLY or terms.spec.trading_mode is TradingMode.CLOSE_ONLY:
        raise Refused(Refusal.CLOSE_ONLY, f"Only closing is allowed for {terms.name}")
    if side is Side.SELL and not terms.spec.short_selling:
        raise Refused(Refusal.SHORT_NOT_ALLOWED, f"Short selling is not allowed for {terms.name}")


def expiry(order: NewOrder, now_ns: int) -> None:
    if order.time_in_force is TimeInForce.GTD and order.expires_ns is None:
        raise Refused(Refusal.BAD_EXPIRY, "Expiration is required for a good-till-date order")
    if order.expires_ns is not None and order.expires_ns <= now_ns:
        raise Refused(Refusal.BAD_EXPIRY, "Expiration is in the past")


def prices(terms: SymbolTerms, order: NewOrder, quote: Quote | None, *, marketable_limits_fill: bool) -> None:
    """Prices an order type needs, and the side of the market they must stand on."""
    price(terms, order.limit_price, "Limit price")
    price(terms, order.stop_price, "Stop price")
    price(terms, order.base_price, "Base price")
    if order.type is OrderType.LIMIT and order.limit_price is None:
        raise Refused(Refusal.BAD_PRICE, "Limit price is required")
    if order.type in (OrderType.STOP, OrderType.STOP_LIMIT) and order.stop_price is None:
        raise Refused(Refusal.BAD_PRICE, "Stop price is required")
    if order.type is OrderType.STOP_LIMIT and order.limit_price is None:
        raise Refused(Refusal.BAD_PRICE, "A stop-limit order needs a limit")
    if order.type is OrderType.MARKET_RANGE and (order.base_price is None or order.slippage_points is None):
        raise Refused(Refusal.BAD_PRICE, "Base price and slippage are required for a market range order")
    if order.type not in PENDING:
        return
    pending_side(order.type, order.side, order.limit_price, order.stop_price, quote, marketable_limits_fill)


def pending_side(
    kind: OrderType,
    side: Side,
    limit: Decimal | None,
    stop: Decimal | None,
    quote: Quote | None,
    marketable_limits_fill: bool,
) -> None:
    if quote is None:
        return
    market = quote.opening(side)
    word = "ASK" if side is Side.BUY else "BID"
    if stop is not None and kind is not OrderType.LIMIT and (stop - market) * side.sign < 0:
        relation = ">=" if side is Side.BUY else "<="
        raise Refused(
            Refusal.BAD_PRICE,
            f"Stop price for {side.name} order should be {relation} current {word} price. "
            f"current {word}: {market}, stop price: {stop}",
        )
    if (
        kind is OrderType.LIMIT
        and limit is not None
        and not marketable_limits_fill
        and (limit - market) * side.sign > 0
    ):
        raise Refused(Refusal.BAD_PRICE, f"Limit price {limit} for {side.name} order is through the market {market}")


def levels(terms: SymbolTerms, side: Side, protect: Protect, reference: Decimal, *, of: str = "position") -> None:
    """Protective levels must lie on their side of `reference` (the price the position closes at), far enough away."""
    price(terms, protect.stop_loss, "Stop loss")
    price(terms, protect.take_profit, "Take profit")
    for distance, name in ((protect.stop_distance, "SL"), (protect.profit_distance, "TP")):
        if distance is not None and distance <= 0:
            raise Refused(Refusal.BAD_STOPS, f"Relative {name} must be positive")
    word = "BID" if side is Side.BUY else "ASK"
    up, down = (">=", "<=") if side is Side.BUY else ("<=", ">=")
    for value, name, relation, ahead, least in (
        (protect.take_profit, "TP", up, 1, terms.profit_distance_points),
        (protect.stop_loss, "SL", down, -1, terms.stop_distance_points),
    ):
        if value is None:
            continue
        distance = (value - reference) * side.sign * ahead
        if distance < 0:
            raise Refused(
                Refusal.BAD_STOPS,
                f"New {name} for {side.name} {of} should be {relation} current {word} price. "
                f"current {word}: {reference}, {name}: {value}",
            )
        if distance < least * terms.spec.point:
            raise Refused(Refusal.TOO_CLOSE, f"{name} {value} is closer than {least} points to the market {reference}")
    for distance, name, least in (
        (protect.stop_distance, "SL", terms.stop_distance_points),
        (protect.profit_distance, "TP", terms.profit_distance_points),
    ):
        if distance is not None and distance < least * terms.spec.point:
            raise Refused(Refusal.TOO_CLOSE, f"Relative {name} {distance} is smaller than {least} points")


def risk(state: State, account: Account, terms: SymbolTerms, side: Side, units: Decimal) -> None:
    """New risk of `units`: number of positions, exposure, and free margin for margin and opening charge."""
    if account.terms.mode is not PositionMode.NETTING and len(account.positions) >= account.terms.max_positions:
        raise Refused(Refusal.TOO_MANY_POSITIONS, f"More than {account.terms.max_positions} positions")
    held = sum((p.units for p in account.positions.values() if p.symbol == terms.name and p.side is side), Decimal(0))
    if terms.max_exposure_units is not None and held + units > terms.max_exposure_units:
        raise Refused(Refusal.MAX_EXPOSURE, f"Exposure would exceed {terms.max_exposure_units} units of {terms.name}")
    extra = extra_margin(account, terms, side, units, state.quotes)
    if extra <= 0:
        return
    deal_price = state.quotes.need(terms.name).opening(side)
    charge = commission(terms.commission, terms.spec, units, deal_price, state.quotes.rate, account.terms.currency)
    free = equity(account, state.quotes, state.symbols) - used_margin(account)
    if extra + charge > free:
        raise Refused(
            Refusal.NO_MONEY, f"Not enough funds: {extra} of margin needed, {free} {account.terms.currency} free"
        )


def opening_part(account: Account, position: Position | None, side: Side, units: Decimal) -> Decimal:
    """How much of an order adds risk, after what it closes."""
    if position is None or position.side is side:
        return units
    if account.terms.mode is PositionMode.NETTING:
        return max(units - position.units, Decimal(0))
    return Decimal(0)
