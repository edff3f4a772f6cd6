"""A broker's symbol as a framework instrument.

FX and metals become `CurrencyPair`, everything else `Cfd`. Sizes are units, so a `Quantity` of 100,000 EURUSD is one
lot and the multiplier is always one. What the framework has no field for (swap, commission, hours, leverage tiers,
short selling) goes into ``info["terms"]`` as one JSON text, and comes back unchanged from a Parquet catalog:

    json.loads(instrument.info["terms"])["swap"]["long"]

One text, because the engine copies an instrument with its ``info`` several times an order: as nested values it took 6 %
of a backtest.

Margin: the framework's margin model divides ``margin_init`` by the account's leverage, so exactly one of the two may
carry it. Here it is the instrument: ``margin_init = margin_maint = 1 / leverage``, and the account must be given
leverage 1. Without `leverage` both are zero and the framework checks no margin; the simulation does its own, by tiers.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any

from nautilus_trader.model import AssetClass as FrameworkAssetClass
from nautilus_trader.model import Cfd, Currency, CurrencyPair, InstrumentId, Price, Quantity, Symbol, Venue

from pepperstone_adapter.broker.symbols import AssetClass, CommissionRule, LeverageTier, SymbolSpec

DEFAULT_VENUE = "PEPPERSTONE"

_ASSET_CLASS = {
    AssetClass.FX: FrameworkAssetClass.FX,
    AssetClass.METAL: FrameworkAssetClass.COMMODITY,
    AssetClass.INDEX: FrameworkAssetClass.INDEX,
    AssetClass.ENERGY: FrameworkAssetClass.COMMODITY,
    AssetClass.CRYPTO: FrameworkAssetClass.CRYPTOCURRENCY,
    AssetClass.SHARE: FrameworkAssetClass.EQUITY,
    AssetClass.OTHER: FrameworkAssetClass.ALTERNATIVE,
}

type Instrument = CurrencyPair | Cfd


def instrument_id(symbol: str, venue: str = DEFAULT_VENUE) -> InstrumentId:
    """``EURUSD.PEPPERSTONE``. A symbol may hold dots itself (``AAPL.US``): the venue follows the last one."""
    return InstrumentId(Symbol(symbol), Venue(venue))


def instrument_from_spec(
    spec: SymbolSpec,
    venue: str = DEFAULT_VENUE,
    *,
    leverage: Decimal | None = None,
    commission: CommissionRule | None = None,
    leverage_tiers: Sequence[LeverageTier] | None = None,
    ts_ns: int = 0,
) -> Instrument:
    """The framework's instrument for `spec`.

    Parameters
    ----------
    leverage
        Sets ``margin_init`` and ``margin_maint`` to its inverse, rounded up to eight places (see the module's text).
    commission, leverage_tiers
        The account's own for ``info["terms"]``; by default what the spec itself carries.
    ts_ns
        Time of the definition, UTC nanoseconds.
    """
    margin = Decimal(0) if leverage is None else (1 / leverage).quantize(Decimal("1e-8"), rounding=ROUND_CEILING)
    increment = plain(spec.volume_step)
    size_precision = spec.size_digits
    common: dict[str, Any] = {
        "instrument_id": instrument_id(spec.name, venue),
        "raw_symbol": Symbol(spec.name),
        "quote_currency": Currency.from_str(spec.quote_currency),
        "price_precision": spec.digits,
        "size_precision": size_precision,
        "price_increment": Price.from_str(f"{spec.point:f}"),
        "size_increment": Quantity.from_str(increment),
        "ts_event": ts_ns,
        "ts_init": ts_ns,
        "lot_size": Quantity.from_str(plain(spec.contract_size)),
        "max_quantity": Quantity.from_str(plain(spec.volume_max)),
        "min_quantity": Quantity.from_str(plain(spec.volume_min)),
        "margin_init": margin,
        "margin_maint": margin,
        "info": {"terms": json.dumps(symbol_terms(spec, commission, leverage_tiers))},
    }
    if spec.asset_class in (AssetClass.FX, AssetClass.METAL):
        return CurrencyPair(base_currency=Currency.from_str(spec.base_currency), **common)
    return Cfd(asset_class=_ASSET_CLASS[spec.asset_class], **common)


def symbol_terms(
    spec: SymbolSpec,
    commission: CommissionRule | None = None,
    leverage_tiers: Sequence[LeverageTier] | None = None,
) -> dict[str, Any]:
    """What the framework has no field for, as JSON values (numbers as text, so that none loses a digit).

    Holidays are left out: they belong to the symbol table and to the broker's answer, which may change any day.
    """
    rule = commission or spec.commission
    tiers = spec.leverage_tiers if leverage_tiers is None else leverage_tiers
    return {
        "description": spec.description,
        "asset_class": spec.asset_class.value,
        "contract_size": plain(spec.contract_size),
        "pip": f"{spec.pip:f}",
        "swap": {
            "mode": spec.swap.mode.value,
            "long": plain(spec.swap.long),
            "short": plain(spec.swap.short),
            "triple_day": spec.swap.triple_day.value if spec.swap.triple_day else None,
            "weekend": spec.swap.weekend,
        },
        "commission": None
        if rule is None
        else {
            "kind": rule.kind.value,
            "rate": plain(rule.rate),
            "currency": rule.currency,
            "minimum": plain(rule.minimum),
        },
        "hours": {"zone": spec.hours.zone, "week_s": [list(span) for span in spec.hours.intervals]},
        "leverage_class": spec.leverage_class,
        "leverage_tiers": [
            {"up_to_usd": None if t.up_to_usd is None else plain(t.up_to_usd), "leverage": plain(t.leverage)}
            for t in tiers
        ],
        "trading_mode": spec.trading_mode.value,
        "short_selling": spec.short_selling,
        "stops_distance_points": spec.stops_distance_points,
        "source": spec.source,
        "as_of": spec.as_of,
    }


def instruments(
    specs: Mapping[str, SymbolSpec],
    venue: str = DEFAULT_VENUE,
) -> dict[str, Instrument]:
    """All of `specs` by symbol name, without margin."""
    return {name: instrument_from_spec(spec, venue) for name, spec in specs.items()}


def plain(number: Decimal) -> str:
    """Decimal text without exponent and without trailing zeros: ``1E+3`` is ``1000``, ``0.10`` is ``0.1``."""
    text = f"{number.normalize():f}"
    return "0" if text in ("-0", "") else text
