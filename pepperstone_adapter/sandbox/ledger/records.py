"""What stands in the books. Prices and money are `Decimal`, sizes units, times UTC nanoseconds.

Records are mutable inside the ledger; events carry copies.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from pepperstone_adapter.broker.orders import DealEntry, DealReason, OrderStatus, OrderType, Side, TimeInForce


class TriggerMethod(StrEnum):
    """Which price sets a stop off: the side it will trade on, or the other; once, or on two quotes in a row."""

    TRADE = "trade"
    OPPOSITE = "opposite"
    DOUBLE_TRADE = "double_trade"
    DOUBLE_OPPOSITE = "double_opposite"


class PositionStatus(StrEnum):
    CREATED = "created"  # numbered for an order that has not filled
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protect:
    """Levels wished for: absolute prices, or distances from the fill."""

    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    stop_distance: Decimal | None = None
    profit_distance: Decimal | None = None
    trailing: bool | None = None
    guaranteed: bool | None = None
    trigger: TriggerMethod | None = None

    @property
    def any(self) -> bool:
        levels = (self.stop_loss, self.take_profit, self.stop_distance, self.profit_distance)
        return any(v is not None for v in levels)


@dataclass(slots=True, kw_only=True)
class Order:
    """One order. `ref` is the caller's mark of the request behind it, given back with every event it causes.

    `stop_price` of a PROTECTION order is the stop loss and `limit_price` the take profit. `origin` says who placed it
    in the venue's own words; the ledger only carries it.
    """

    order_id: int
    account_id: int
    symbol: str
    side: Side
    type: OrderType
    units: Decimal
    position_id: int
    status: OrderStatus = OrderStatus.ACCEPTED
    filled_units: Decimal = Decimal(0)
    average_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    base_price: Decimal | None = None
    slippage_points: int | None = None
    expires_ns: int | None = None
    protect: Protect | None = None
    closing: bool = False
    trailing: bool = False  # a PROTECTION order whose stop follows the market
    stop_out: bool = False
    rest_works: bool = False  # what the market leaves of a market order waits for the next price
    triggered: bool = False  # a stop-limit whose stop was reached, now a limit
    strikes: int = 0  # quotes in a row beyond a double-trigger stop
    reason: DealReason = DealReason.CLIENT
    client_id: str = ""
    label: str = ""
    comment: str = ""
    magic: int = 0
    origin: str = ""
    ref: str = ""
    created_ns: int = 0
    updated_ns: int = 0
    closed_ns: int = 0
    trigger_ns: int = 0  # when a level or a stop was reached
    counter_position_id: int = 0  # close-by: the other ticket
    raw_commission: Decimal = Decimal(0)  # unrounded charge of all fills so far
    charged: Decimal = Decimal(0)  # what those fills were charged, positive

    @property
    def left_units(self) -> Decimal:
        return self.units - self.filled_units


@dataclass(slots=True, kw_only=True)
class Position:
    """A ticket. `commission` is the opening charge not yet booked (negative), `swap` accrued and not yet booked.

    `margin_rate` is the price of one unit of base in account currency at the opening; margin is fixed by it.
    """

    position_id: int
    account_id: int
    symbol: str
    side: Side
    units: Decimal = Decimal(0)
    open_price: Decimal = Decimal(0)
    status: PositionStatus = PositionStatus.CREATED
    opened_ns: int = 0
    updated_ns: int = 0
    closed_ns: int = 0
    swap: Decimal = Decimal(0)
    commission: Decimal = Decimal(0)
    margin_rate: Decimal = Decimal(0)
    usd_rate: Decimal = Decimal(0)  # one unit of base in USD at the opening: what leverage tiers are read by
    used_margin: Decimal = Decimal(0)
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    trailing_distance: Decimal | None = None
    guaranteed: bool = False
    trigger: TriggerMethod = TriggerMethod.TRADE
    strikes: int = 0
    protection_order_id: int = 0
    label: str = ""
    comment: str = ""
    magic: int = 0
    origin: str = ""
    client_id: str = ""

    @property
    def trailing(self) -> bool:
        return self.trailing_distance is not None

    @property
    def protected(self) -> bool:
        return self.stop_loss is not None or self.take_profit is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """One execution. Money is signed (negative = charge) and rounded to the account's cents.

    `commission` is this deal's own; `booked_commission` what the balance was charged with it (with a closing deal also
    the opening share kept so far). `balance` and `balance_version` are as after the deal.
    """

    deal_id: int
    order_id: int
    position_id: int
    account_id: int
    symbol: str
    side: Side
    units: Decimal
    ordered_units: Decimal
    price: Decimal
    created_ns: int
    ts_ns: int
    entry: DealEntry
    reason: DealReason
    commission: Decimal
    booked_commission: Decimal
    gross_profit: Decimal
    swap: Decimal
    conversion_fee: Decimal
    closed_units: Decimal
    entry_price: Decimal | None
    quote_rate: Decimal  # quote currency in account currency
    margin_rate: Decimal
    base_usd_rate: Decimal
    balance: Decimal
    balance_version: int
    partial: bool
    bid: Decimal
    ask: Decimal
    label: str = ""
    comment: str = ""
    magic: int = 0
    origin: str = ""
    client_id: str = ""

    @property
    def net(self) -> Decimal:
        """What this deal did to the balance."""
        return self.gross_profit + self.swap + self.booked_commission + self.conversion_fee


class CashKind(StrEnum):
    DEPOSIT = "deposit"
    WITHDRAW = "withdraw"
    DIVIDEND = "dividend"
    PROTECTION = "protection"  # negative balance lifted to zero


@dataclass(frozen=True, slots=True, kw_only=True)
class Cash:
    """A change of balance without a deal; `amount` is signed."""

    cash_id: int
    account_id: int
    kind: CashKind
    amount: Decimal
    balance: Decimal
    balance_version: int
    equity: Decimal
    ts_ns: int
    note: str = ""
