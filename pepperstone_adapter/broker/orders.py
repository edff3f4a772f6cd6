"""Orders, deals and positions in a broker's words. Prices and money are Decimal, sizes are units, times UTC ns."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    MARKET = "market"
    MARKET_RANGE = "market_range"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    PROTECTION = "protection"  # the venue's own stop-loss/take-profit order of a position


class TimeInForce(StrEnum):
    GTC = "gtc"
    GTD = "gtd"
    DAY = "day"
    IOC = "ioc"
    FOK = "fok"


class OrderStatus(StrEnum):
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELED = "canceled"

    @property
    def is_open(self) -> bool:
        return self in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """Stop loss and take profit of a position, or wished for with an order. None = no such level.

    `trailing` makes the stop follow at its initial distance. `distance=True` means the levels are price distances from
    the fill (what cTrader wants for market orders), else absolute prices.
    """

    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    trailing: bool = False
    guaranteed: bool = False
    distance: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """A new order.

    Attributes
    ----------
    client_order_id
        Our own id; the venue keeps it (clientOrderId, or magic and comment), so that it can be asked for later.
    tag
        Short text kept at the venue with order and position (label), e.g. the strategy id.
    limit_price, stop_price
        For LIMIT and STOP_LIMIT; for STOP and STOP_LIMIT.
    base_price, slippage_points
        For MARKET_RANGE: fill within `slippage_points` of `base_price`, cancel the rest.
    position_id
        Close or reduce this position instead of opening one (hedging accounts).
    """

    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    units: Decimal
    time_in_force: TimeInForce = TimeInForce.GTC
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    base_price: Decimal | None = None
    slippage_points: int | None = None
    expires_ns: int | None = None
    protection: Protection | None = None
    position_id: str | None = None
    tag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendRequest:
    """New values of a pending order; None leaves a value as it is."""

    order_id: str
    symbol: str
    units: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    expires_ns: int | None = None
    protection: Protection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderState:
    """An order as the broker reports it."""

    order_id: str
    symbol: str
    side: Side
    type: OrderType
    status: OrderStatus
    units: Decimal
    filled_units: Decimal = Decimal(0)
    average_price: Decimal | None = None
    client_order_id: str | None = None
    position_id: str | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    slippage_points: int | None = None
    expires_ns: int | None = None
    protection: Protection | None = None
    closing: bool = False  # reduces its position, never opens one
    stop_out: bool = False
    reason: str = ""
    tag: str = ""
    comment: str = ""
    created_ns: int = 0
    updated_ns: int = 0


class DealEntry(StrEnum):
    IN = "in"
    OUT = "out"
    IN_OUT = "in_out"  # a netting reversal: closes all and opens the rest on the other side
    OUT_BY = "out_by"


class DealReason(StrEnum):
    CLIENT = "client"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    STOP_OUT = "stop_out"
    ROLLOVER = "rollover"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """One execution: the only source of fills. Money is in account currency, signed (negative = charge).

    Attributes
    ----------
    commission
        This deal's side only.
    gross_profit, swap, conversion_fee
        Booked by a closing deal; zero otherwise.
    closed_units
        How much of `units` closed a position (all of it for OUT, part of it for IN_OUT).
    balance
        Account balance after the deal, where the venue says it.
    """

    deal_id: str
    order_id: str
    position_id: str
    symbol: str
    side: Side
    units: Decimal
    price: Decimal
    ts_ns: int
    entry: DealEntry
    commission: Decimal = Decimal(0)
    gross_profit: Decimal = Decimal(0)
    swap: Decimal = Decimal(0)
    conversion_fee: Decimal = Decimal(0)
    closed_units: Decimal = Decimal(0)
    reason: DealReason = DealReason.CLIENT
    client_order_id: str | None = None
    balance: Decimal | None = None
    balance_version: int | None = None
    tag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionState:
    """An open position ticket; `units` is zero when it has just closed.

    `position_id` is the identity that never changes (cTrader positionId, MT5 identifier); `ticket` is what a request
    must name now (MT5 may change it).
    """

    position_id: str
    symbol: str
    side: Side
    units: Decimal
    open_price: Decimal
    opened_ns: int
    swap: Decimal = Decimal(0)
    commission: Decimal = Decimal(0)
    used_margin: Decimal | None = None
    protection: Protection | None = None
    ticket: str = ""
    tag: str = ""
    comment: str = ""
    updated_ns: int = 0
