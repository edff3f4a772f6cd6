"""What a person or a broker decides before trading starts: symbols, accounts, and the house rules of a venue."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.symbols import CommissionRule, LeverageTier, SymbolSpec


class HedgeMargin(StrEnum):
    """How opposite positions of one symbol share margin."""

    MAX = "max"  # the larger side pays
    SUM = "sum"  # both sides pay
    NET = "net"  # the difference pays


class Access(StrEnum):
    FULL = "full"
    CLOSE_ONLY = "close_only"
    NO_TRADING = "no_trading"


class Reopening(StrEnum):
    """At what price, before the swap points, a position is opened again when its swap is charged by re-opening."""

    CLOSE = "close"  # the one it was closed at
    BID = "bid"


class StopOutOrder(StrEnum):
    MOST_MARGIN_USED_FIRST = "most_margin_used_first"
    MOST_LOSING_FIRST = "most_losing_first"


class TicketScheme(StrEnum):
    SEPARATE = "separate"  # orders, positions and deals are numbered apart
    ORDER_IS_POSITION = "order_is_position"  # a position carries the ticket of the order that opened it


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolTerms:
    """A symbol as this broker deals it.

    Attributes
    ----------
    commission, tiers
        Used as they are; the broker's own `SymbolSpec` may leave both open.
    conversion_fee
        Fraction of the gross profit or loss charged where quote and account currency differ (0.007 = 0.7 %).
    stop_distance_points, profit_distance_points
        Least distance of a protective level from the market.
    max_exposure_units
        Cap on one side's open units, or None.
    swap_currency
        Whose money `SwapMode.MONEY_PER_LOT` is; None = the account's.
    swap_on_open_price
        `SwapMode.PERCENT_ANNUAL` counts from the position's opening price instead of the price of now.
    swap_reopens
        No swap is booked: every night the position is closed and opened again, worse by the swap points.
    """

    spec: SymbolSpec
    commission: CommissionRule = field(default_factory=CommissionRule)
    tiers: tuple[LeverageTier, ...] = ()
    conversion_fee: Decimal = Decimal(0)
    stop_distance_points: int = 0
    profit_distance_points: int = 0
    max_exposure_units: Decimal | None = None
    swap_currency: str | None = None
    swap_on_open_price: bool = False
    swap_reopens: Reopening | None = None

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTerms:
    """One account.

    Attributes
    ----------
    leverage
        The account's own; a symbol's tiers may allow less.
    margin_call_levels
        Percent of equity to used margin at which a notice goes out.
    stop_out_level
        Percent at or below which positions are closed, one at a time.
    stop_out_partial
        Close only as much of a position as lifts the level above the stop-out, instead of all of it.
    commission_at_close
        The opening charge is kept with the position and booked with the closing deal; else each deal books its own.
    """

    account_id: int
    currency: str = "USD"
    money_digits: int = 2
    mode: PositionMode = PositionMode.HEDGING
    leverage: Decimal = Decimal(30)
    opening_balance: Decimal = Decimal(10_000)
    hedge_margin: HedgeMargin = HedgeMargin.MAX
    margin_call_levels: tuple[Decimal, ...] = (Decimal(100), Decimal(90), Decimal(70))
    stop_out_level: Decimal = Decimal(50)
    stop_out_order: StopOutOrder = StopOutOrder.MOST_MARGIN_USED_FIRST
    stop_out_partial: bool = False
    access: Access = Access.FULL
    swap_free: bool = False
    limited_risk: bool = False
    negative_balance_protection: bool = True
    commission_at_close: bool = True
    max_positions: int = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRules:
    """House rules that differ from venue to venue.

    Attributes
    ----------
    execution_delay_ns
        From the acceptance of an order to its first execution.
    protection_orders
        Whether the levels of a position are carried by a working order of their own from the moment they are set;
        otherwise an order appears only when a level is hit.
    marketable_limits_fill
        A limit order through the market fills at once (else it is refused).
    pending_when_closed
        Whether pending orders may be placed while the symbol's session is closed.
    slippage_points_max
        Market and stop fills are worse by 0..n points, drawn from the seed.
    margin_call_silence_ns
        No two notices of one level within this time.
    first_order_id, first_position_id, first_deal_id
        Where numbering starts.
    """

    execution_delay_ns: int = 0
    protection_orders: bool = True
    tickets: TicketScheme = TicketScheme.SEPARATE
    marketable_limits_fill: bool = True
    pending_when_closed: bool = True
    slippage_points_max: int = 0
    margin_call_silence_ns: int = 600 * 1_000_000_000
    first_order_id: int = 6_000_001
    first_position_id: int = 5_000_001
    first_deal_id: int = 7_000_001
    seed: int = 1
