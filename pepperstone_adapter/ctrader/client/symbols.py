"""The venue's symbols as `SymbolSpec`, and the book that finds them by id and by name.

A full symbol knows its sizes, costs and hours, and nothing of its name, currencies or class: those come from the light
list, the assets and the categories. Which class a category belongs to differs from broker to broker, so its name is
read, and the currencies decide where it says nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from pepperstone_adapter import openapi
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.hours import Holiday, TradingHours
from pepperstone_adapter.broker.symbols import (
    AssetClass,
    CommissionKind,
    CommissionRule,
    LeverageTier,
    SwapMode,
    SwapTerms,
    SymbolSpec,
    TradingMode,
    Weekday,
)
from pepperstone_adapter.common.errors import DataError, NotFound
from pepperstone_adapter.ctrader.client import units as u
from pepperstone_adapter.ctrader.client.parsing import enum_of, require
from pepperstone_adapter.openapi import messages as oa

METALS = frozenset({"XAU", "XAG", "XPT", "XPD"})
CURRENCIES = frozenset(
    {
        "AUD", "CAD", "CHF", "CNH", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS", "INR", "JPY",
        "KRW", "MXN", "NOK", "NZD", "PLN", "RON", "SEK", "SGD", "THB", "TRY", "TWD", "USD", "ZAR",
    }
)  # fmt: skip
CRYPTOS = frozenset(
    {"ADA", "AVAX", "BCH", "BNB", "BTC", "DOGE", "DOT", "EOS", "ETH", "LINK", "LTC", "SOL", "XLM", "XRP"}
)
#: Words in a class or category name, most telling first.
CLASS_WORDS: tuple[tuple[str, AssetClass], ...] = (
    ("crypto", AssetClass.CRYPTO),
    ("metal", AssetClass.METAL),
    ("gold", AssetClass.METAL),
    ("silver", AssetClass.METAL),
    ("energ", AssetClass.ENERGY),
    ("oil", AssetClass.ENERGY),
    ("gas", AssetClass.ENERGY),
    ("indic", AssetClass.INDEX),
    ("index", AssetClass.INDEX),
    ("share", AssetClass.SHARE),
    ("stock", AssetClass.SHARE),
    ("equit", AssetClass.SHARE),
    ("etf", AssetClass.SHARE),
    ("forex", AssetClass.FX),
    ("fx", AssetClass.FX),
    ("currenc", AssetClass.FX),
)
SWAP_MODES = {
    oa.SwapCalculationType.PIPS: SwapMode.PIPS,
    oa.SwapCalculationType.PERCENTAGE: SwapMode.PERCENT_ANNUAL,
    oa.SwapCalculationType.POINTS: SwapMode.POINTS,
}
COMMISSIONS = {
    oa.CommissionType.USD_PER_MILLION_USD: CommissionKind.PER_MILLION,
    oa.CommissionType.USD_PER_LOT: CommissionKind.PER_LOT,
    oa.CommissionType.PERCENTAGE_OF_VALUE: CommissionKind.PERCENT,
    oa.CommissionType.QUOTE_CCY_PER_LOT: CommissionKind.PER_LOT,
}
TRADING_MODES = {
    oa.TradingMode.ENABLED: TradingMode.ENABLED,
    oa.TradingMode.DISABLED_WITHOUT_PENDINGS_EXECUTION: TradingMode.DISABLED,
    oa.TradingMode.DISABLED_WITH_PENDINGS_EXECUTION: TradingMode.DISABLED,
    oa.TradingMode.CLOSE_ONLY_MODE: TradingMode.CLOSE_ONLY,
}


class UnknownSymbol(DataError):
    """The venue spoke of a symbol id that was not in its list; it must be loaded."""

    def __init__(self, symbol_id: int) -> None:
        super().__init__(f"symbol id {symbol_id} is not in the venue's symbol list")
        self.symbol_id = symbol_id


@dataclass(slots=True)
class Names:
    """What the lists of one account say, besides the full symbols."""

    assets: dict[int, str] = field(default_factory=dict)
    categories: dict[int, tuple[str, str]] = field(default_factory=dict)  # id -> (category name, class name)
    light: dict[int, oa.LightSymbol] = field(default_factory=dict)
    tiers: dict[int, tuple[LeverageTier, ...]] = field(default_factory=dict)  # by leverage id
    swap_free: bool = False


class SymbolBook:
    """Specs by the venue's id and by name."""

    def __init__(self) -> None:
        self._by_id: dict[int, SymbolSpec] = {}
        self._by_name: dict[str, SymbolSpec] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def put(self, spec: SymbolSpec) -> bool:
        """Take a spec in; say whether it is new or differs from the one known (its date of reading apart)."""
        if spec.venue_id is None:
            raise DataError(f"{spec.name}: a symbol without the venue's id")
        old = self._by_id.get(spec.venue_id)
        self._by_id[spec.venue_id] = spec
        self._by_name[spec.name] = spec
        return old is None or old != spec

    def by_id(self, symbol_id: int) -> SymbolSpec:
        spec = self._by_id.get(symbol_id)
        if spec is None:
            raise UnknownSymbol(symbol_id)
        return spec

    def by_name(self, name: str) -> SymbolSpec:
        spec = self._by_name.get(name)
        if spec is None:
            near = symbol_table.suggestions(name, self._by_name)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise NotFound("UNKNOWN_SYMBOL", f"{name!r} is not a symbol of this account{hint}")
        return spec

    def id_of(self, name: str) -> int:
        venue_id = self.by_name(name).venue_id
        assert venue_id is not None, "put() refuses a spec without one"
        return venue_id

    def all(self) -> tuple[SymbolSpec, ...]:
        return tuple(self._by_id.values())


def leverage_tiers(leverage: oa.DynamicLeverage) -> tuple[LeverageTier, ...]:
    """Tiers ascending; volumes are USD cents of notional, leverages hundredths; the last tier is open-ended."""
    ordered = sorted(leverage.tiers, key=lambda tier: tier.volume)
    return tuple(
        LeverageTier(
            up_to_usd=None if i == len(ordered) - 1 else Decimal(tier.volume) / 100,
            leverage=Decimal(tier.leverage) / 100,
        )
        for i, tier in enumerate(ordered)
    )


def symbol_spec(symbol: oa.Symbol, names: Names, as_of: str, known: Mapping[str, SymbolSpec]) -> SymbolSpec:
    """Put a full symbol and the lists together. `known` is the symbol table, asked for the leverage class only."""
    require(symbol, "symbolId", "digits", "pipPosition")
    light = names.light.get(symbol.symbolId)
    if light is None or not light.symbolName:
        raise UnknownSymbol(symbol.symbolId)
    name = light.symbolName
    base, quote = names.assets.get(light.baseAssetId, ""), names.assets.get(light.quoteAssetId, "")
    asset_class = classify(names.categories.get(light.symbolCategoryId, ("", "")), base, quote)
    in_table = known.get(name)
    return SymbolSpec(
        name=name,
        description=light.description,
        asset_class=asset_class,
        base_currency=base if base and asset_class in (AssetClass.FX, AssetClass.METAL) else name,
        quote_currency=quote or "USD",
        digits=symbol.digits,
        pip_position=symbol.pipPosition,
        contract_size=u.units(symbol.lotSize) if symbol.lotSize else Decimal(1),
        volume_min=u.units(symbol.minVolume) if symbol.minVolume else Decimal("0.01"),
        volume_step=u.units(symbol.stepVolume) if symbol.stepVolume else Decimal("0.01"),
        volume_max=u.units(symbol.maxVolume) if symbol.maxVolume else Decimal(10**12),
        hours=trading_hours(symbol),
        swap=swap_terms(symbol, names.swap_free),
        leverage_class=in_table.leverage_class if in_table is not None else str(asset_class),
        commission=commission(symbol, quote or "USD"),
        leverage_tiers=names.tiers.get(symbol.leverageId, ()),
        trading_mode=_trading_mode(symbol, light),
        short_selling=symbol.enableShortSelling if symbol.HasField("enableShortSelling") else True,
        stops_distance_points=_stops_distance(symbol),
        venue_id=symbol.symbolId,
        source="cTrader Open API",
        as_of=as_of,
    )


def classify(category: tuple[str, str], base: str, quote: str) -> AssetClass:
    """Tell the asset class from the names of category and class, and from the currencies."""
    if base in METALS:
        return AssetClass.METAL
    if base in CURRENCIES and quote in CURRENCIES:
        return AssetClass.FX
    for text in (part.casefold() for part in category):
        for word, asset_class in CLASS_WORDS:
            if word in text:
                return asset_class
    return AssetClass.CRYPTO if base in CRYPTOS else AssetClass.OTHER


def swap_terms(symbol: oa.Symbol, swap_free: bool) -> SwapTerms:
    if swap_free or not (symbol.HasField("swapLong") or symbol.HasField("swapShort")):
        return SwapTerms(mode=SwapMode.DISABLED)
    kind = enum_of(symbol, "swapCalculationType", oa.SwapCalculationType.PIPS)
    triple: Weekday | None = None
    if symbol.HasField("swapRollover3Days") and symbol.swapRollover3Days != oa.DayOfWeek.NONE:
        triple = list(Weekday)[symbol.swapRollover3Days - 1]
    return SwapTerms(
        mode=SWAP_MODES[oa.SwapCalculationType(kind)],
        long=Decimal(repr(symbol.swapLong)),
        short=Decimal(repr(symbol.swapShort)),
        triple_day=None if symbol.chargeSwapAtWeekends else triple,
        weekend=symbol.chargeSwapAtWeekends,
    )


def commission(symbol: oa.Symbol, quote: str) -> CommissionRule | None:
    """The rule per side, or None where the venue says nothing. Never both the old and the precise fields."""
    if not symbol.HasField("commissionType"):
        return None
    wire_kind = oa.CommissionType(symbol.commissionType)
    percent = wire_kind is oa.CommissionType.PERCENTAGE_OF_VALUE
    if symbol.HasField("preciseTradingCommissionRate"):
        rate = Decimal(symbol.preciseTradingCommissionRate).scaleb(-5 if percent else -8)
    elif symbol.HasField("commission"):
        rate = Decimal(symbol.commission).scaleb(-5 if percent else -2)
    else:
        return None
    minimum = Decimal(0)
    if symbol.HasField("preciseMinCommission"):
        minimum = Decimal(symbol.preciseMinCommission).scaleb(-8)
    elif symbol.HasField("minCommission"):
        minimum = Decimal(symbol.minCommission).scaleb(-2)
    in_quote = symbol.minCommissionType == oa.MinCommissionType.QUOTE_CURRENCY
    if wire_kind is oa.CommissionType.QUOTE_CCY_PER_LOT:
        currency = quote
    elif percent and minimum:
        currency = quote if in_quote else symbol.minCommissionAsset
    else:
        currency = quote if percent else "USD"
    if not rate and not minimum:
        return CommissionRule(kind=CommissionKind.NONE, currency=currency)
    return CommissionRule(
        kind=COMMISSIONS[wire_kind], rate=rate.normalize(), currency=currency, minimum=minimum.normalize()
    )


def trading_hours(symbol: oa.Symbol) -> TradingHours:
    """Weekly sessions in the symbol's own zone, with its holidays; a symbol without sessions never trades."""
    zone = symbol.scheduleTimeZone or "UTC"
    for name in {zone, *(entry.scheduleTimeZone for entry in symbol.holiday if entry.scheduleTimeZone)}:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError) as error:
            raise DataError(f"symbol {symbol.symbolId}: {name!r} is not a time zone") from error
    intervals = tuple(sorted((part.startSecond, part.endSecond) for part in symbol.schedule))
    return TradingHours(zone=zone, intervals=intervals, holidays=tuple(holidays(symbol.holiday, zone)))


def holidays(entries: Iterable[oa.Holiday], zone: str) -> list[Holiday]:
    """Holidays in the zone of the sessions; an entry of another zone is carried over by its instants."""
    out = []
    for entry in entries:
        day = date(1970, 1, 1) + timedelta(days=entry.holidayDate)
        start_s = entry.startSecond if entry.HasField("startSecond") else 0
        end_s = entry.endSecond if entry.HasField("endSecond") else 86_400
        if entry.scheduleTimeZone and entry.scheduleTimeZone != zone:
            theirs, ours = ZoneInfo(entry.scheduleTimeZone), ZoneInfo(zone)
            midnight = datetime(day.year, day.month, day.day, tzinfo=theirs)
            start = (midnight + timedelta(seconds=start_s)).astimezone(UTC).astimezone(ours)
            length_s = end_s - start_s
            day = start.date()
            start_s = start.hour * 3600 + start.minute * 60 + start.second
            end_s = start_s + length_s
        out.append(Holiday(day=day, name=entry.name, start_s=start_s, end_s=end_s, yearly=entry.isRecurring))
    return out


def _trading_mode(symbol: oa.Symbol, light: oa.LightSymbol) -> TradingMode:
    if light.HasField("enabled") and not light.enabled:
        return TradingMode.DISABLED
    if not symbol.HasField("tradingMode"):
        # Absent reads as enabled; a mode this version does not know must not.
        return TradingMode.ENABLED if 27 not in openapi.unknown_numbers(symbol) else TradingMode.DISABLED
    return TRADING_MODES[oa.TradingMode(symbol.tradingMode)]


def _stops_distance(symbol: oa.Symbol) -> int:
    # Nobody has seen a distance in percent, nor says in which unit it is told: the venue itself refuses what is too near.
    in_points = not symbol.HasField("distanceSetIn") or (
        symbol.distanceSetIn == oa.SymbolDistanceType.SYMBOL_DISTANCE_IN_POINTS
    )
    return max(symbol.slDistance, symbol.tpDistance) if in_points else 0
