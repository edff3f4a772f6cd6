"""What a broker says about one tradable symbol: digits, sizes, costs, hours, leverage.

A `SymbolSpec` has three possible sources, strongest last: our symbol table (data files with source and date), a user's
settings, the broker's own answer. All sizes are units of the instrument (design D10); lots exist only at the edges.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from pepperstone_adapter.broker.hours import TradingHours


class AssetClass(StrEnum):
    FX = "fx"
    METAL = "metal"
    INDEX = "index"
    ENERGY = "energy"
    CRYPTO = "crypto"
    SHARE = "share"
    OTHER = "other"


class SwapMode(StrEnum):
    """How `long` and `short` of `SwapTerms` are read; all are signed, negative = the holder pays, per night."""

    DISABLED = "disabled"
    POINTS = "points"  # quote currency: units × points × 10^-digits
    PIPS = "pips"  # quote currency: units × pips × 10^-pip_position
    PERCENT_ANNUAL = "percent_annual"  # quote currency: units × price × percent / 100 / 360
    MONEY_PER_LOT = "money_per_lot"  # account currency, per lot


class Weekday(StrEnum):
    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"

    @property
    def number(self) -> int:
        """Monday is 0, as in `datetime.date.weekday`."""
        return list(Weekday).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapTerms:
    """Overnight financing. Booked when a position is held over 17:00 New York (server midnight)."""

    mode: SwapMode
    long: Decimal = Decimal(0)
    short: Decimal = Decimal(0)
    triple_day: Weekday | None = Weekday.WEDNESDAY
    weekend: bool = False  # True: charged on Saturday and Sunday nights too (crypto), and no triple day


class CommissionKind(StrEnum):
    NONE = "none"
    PER_LOT = "per_lot"  # `rate` of `currency` per lot and side
    PER_MILLION = "per_million"  # `rate` of `currency` per million of notional (in `currency`) and side
    PERCENT = "percent"  # `rate` percent of the notional in quote currency, per side
    PER_UNIT = "per_unit"  # `rate` of `currency` per unit (share) and side


@dataclass(frozen=True, slots=True, kw_only=True)
class CommissionRule:
    """One side's commission; `minimum` is per order side, in `currency`."""

    kind: CommissionKind = CommissionKind.NONE
    rate: Decimal = Decimal(0)
    currency: str = "USD"
    minimum: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverageTier:
    """Leverage for the part of the notional up to `up_to_usd`; the last tier is open-ended (None)."""

    up_to_usd: Decimal | None
    leverage: Decimal


class TradingMode(StrEnum):
    ENABLED = "enabled"
    CLOSE_ONLY = "close_only"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolSpec:
    """One symbol as a broker defines it.

    Attributes
    ----------
    name
        The broker's own name, exact (``EURUSD``, ``XAUUSD``, ``GER40``).
    base_currency
        The asset bought: an ISO code for FX and metals, else the symbol itself.
    quote_currency
        The currency of price, profit and loss.
    digits
        Decimal places of a price; one point is ``10**-digits``.
    pip_position
        One pip is ``10**-pip_position``.
    contract_size
        Units in one lot.
    volume_min, volume_step, volume_max
        Order sizes in units.
    leverage_class
        Key into an account profile's leverage table.
    commission_class
        Key into an account profile's commission table; empty means the asset class.
    commission
        What the broker said for this symbol and account, else None: the account profile's rule applies.
    leverage_tiers
        What the broker said for this symbol, else empty: the account profile's leverage applies.
    venue_id
        The broker's numeric id where it has one; differs from server to server, so it is never stored.
    source, as_of
        Where the facts come from and when they were read.
    """

    name: str
    description: str
    asset_class: AssetClass
    base_currency: str
    quote_currency: str
    digits: int
    pip_position: int
    contract_size: Decimal
    volume_min: Decimal
    volume_step: Decimal
    volume_max: Decimal
    hours: TradingHours
    swap: SwapTerms
    leverage_class: str
    commission_class: str = ""
    commission: CommissionRule | None = None
    leverage_tiers: tuple[LeverageTier, ...] = ()
    trading_mode: TradingMode = TradingMode.ENABLED
    short_selling: bool = True
    stops_distance_points: int = 0
    margin_currency: str | None = None
    venue_id: int | None = None
    source: str = ""
    as_of: str = ""

    @property
    def point(self) -> Decimal:
        return Decimal(1).scaleb(-self.digits)

    @property
    def pip(self) -> Decimal:
        return Decimal(1).scaleb(-self.pip_position)

    @property
    def size_digits(self) -> int:
        """Decimals of a quantity in units."""
        return max(0, -int(self.volume_step.normalize().as_tuple().exponent))
