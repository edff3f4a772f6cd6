"""What an account costs and allows: commission, leverage, stop-out, mark-up, by product and platform.

    profile = Profile.load({"profile": "razor", "platform": "mt5", "currency": "AUD"})
    profile.commission_rule(spec)             # CommissionRule: 3.50 AUD per lot and side
    profile.leverage_tiers(spec)              # (LeverageTier(None, 30),)
    profile.terms(specs)                      # all of it, resolved for a run

The figures stand in ``data/profiles.yaml`` and ``data/spreads.yaml`` with their sources. Where the broker has answered
for a symbol (`SymbolSpec.commission`, `.leverage_tiers`), its answer wins over the profile.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, Self

import yaml

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.symbols import AssetClass, CommissionKind, CommissionRule, LeverageTier, SymbolSpec
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.simulation.plan import AccountTerms, SpreadTable
from pepperstone_adapter.simulation.spread_table import has_typical_spread, typical_spread

CURRENCIES = ("AUD", "CAD", "CHF", "EUR", "GBP", "HKD", "JPY", "NZD", "SGD", "USD")


class Product(StrEnum):
    RAZOR = "razor"
    STANDARD = "standard"


class Platform(StrEnum):
    CTRADER = "ctrader"
    MT5 = "mt5"


class LeverageClass(StrEnum):
    RETAIL = "retail"  # ASIC's caps
    RETAIL_EU = "retail_eu"  # ESMA's and the FCA's: pairs with AUD are minors
    PRO = "pro"


class HedgedMargin(StrEnum):
    """What opposite positions of one symbol need."""

    MAX_SIDE = "max_side"  # the larger side
    NET = "net"  # the difference
    SUM = "sum"  # both


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Terms of one account.

    Attributes
    ----------
    margin_call_percent, stop_out_percent
        Margin levels (equity / used margin) in percent.
    commissions
        Commission class of a symbol -> rule of one side; a class that is not listed pays none.
    leverage
        Leverage class of a symbol -> tiers by USD notional.
    fx_markup_pips
        Added to the typical spread of FX pairs.
    conversion_fee_percent
        Taken from profit and loss converted to account currency.
    negative_balance_protection
        Whether a balance below zero is reset to zero; a right of retail clients only.
    times_in_force
        What the platform takes, by kind of order (`AccountTerms`).
    """

    product: Product
    platform: Platform
    currency: str
    mode: PositionMode
    leverage_class: LeverageClass
    margin_call_percent: Decimal
    stop_out_percent: Decimal
    hedged_margin: HedgedMargin
    commissions: Mapping[str, CommissionRule]
    leverage: Mapping[str, tuple[LeverageTier, ...]]
    fx_markup_pips: Decimal
    conversion_fee_percent: Decimal
    negative_balance_protection: bool
    times_in_force: Mapping[str, tuple[str, ...]]

    @property
    def name(self) -> str:
        """For reports, e.g. ``razor-mt5-AUD-hedging-retail``."""
        return f"{self.product}-{self.platform}-{self.currency}-{self.mode}-{self.leverage_class}"

    @classmethod
    def load(cls, settings: str | Mapping[str, Any] = "razor-ctrader") -> Self:
        """A profile from its name or from settings.

        Parameters
        ----------
        settings
            ``PRODUCT-PLATFORM`` with optional ``-CURRENCY``, ``-MODE``, ``-LEVERAGE`` behind it
            (``razor-mt5-AUD-netting-pro``), or a mapping with the keys ``profile``, ``platform``, ``currency``,
            ``mode``, ``leverage``; what is missing is razor, ctrader, USD, hedging, retail.

        Raises
        ------
        ConfigurationError
            Unknown key or value; the message lists the allowed ones.
        """
        keys = ("profile", "platform", "currency", "mode", "leverage")
        if isinstance(settings, str):
            parts = settings.split("-")
            if len(parts) > len(keys):
                raise ConfigurationError(f"account profile {settings!r}: wants at most {'-'.join(keys)}")
            settings = dict(zip(keys, parts, strict=False))
        unknown = [key for key in settings if key not in keys]
        if unknown:
            raise ConfigurationError(f"account.{unknown[0]}: unknown key; one of {', '.join(keys)}")
        product = _choice(Product, settings.get("profile", "razor"), "profile")
        platform = _choice(Platform, settings.get("platform", "ctrader"), "platform")
        mode = _choice(PositionMode, settings.get("mode", "hedging"), "mode")
        leverage = _choice(LeverageClass, settings.get("leverage", "retail"), "leverage")
        currency = str(settings.get("currency", "USD"))
        if currency not in CURRENCIES:
            raise ConfigurationError(f"account.currency: {currency!r} is not one of {', '.join(CURRENCIES)}")
        return cls._resolved(product, platform, currency, mode, leverage)

    @classmethod
    def _resolved(
        cls, product: Product, platform: Platform, currency: str, mode: PositionMode, leverage: LeverageClass
    ) -> Self:
        raw = _raw()
        account, rules = raw["accounts"][product], raw["platforms"][platform]
        client = "pro" if leverage is LeverageClass.PRO else "retail"
        commissions = {key: _rule(rule) for key, rule in raw["share_commission"].items()}
        for key, rule in account["commission"][platform].items():
            commissions[key] = _rule(rule if "kind" in rule else rule[currency])
        return cls(
            product=product,
            platform=platform,
            currency=currency,
            mode=mode,
            leverage_class=leverage,
            margin_call_percent=_decimal(rules["margin_call_percent"]),
            stop_out_percent=_decimal(rules["stop_out_percent"][client]),
            hedged_margin=HedgedMargin(rules["hedged_margin"]),
            commissions=commissions,
            leverage={key: _tiers(tiers) for key, tiers in raw["leverage"][leverage].items()},
            fx_markup_pips=_decimal(account["fx_markup_pips"]),
            conversion_fee_percent=_decimal(raw["conversion_fee_percent"]),
            negative_balance_protection=client == "retail",
            times_in_force={kind: tuple(names) for kind, names in rules["times_in_force"].items()},
        )

    def commission_rule(self, spec: SymbolSpec) -> CommissionRule:
        """One side's commission for `spec`; kind NONE where there is none."""
        if spec.commission is not None:
            return spec.commission
        return self.commissions.get(spec.commission_class or spec.asset_class.value, CommissionRule())

    def leverage_tiers(self, spec: SymbolSpec) -> tuple[LeverageTier, ...]:
        """Tiers of `spec` by USD notional, ascending, the last open-ended.

        Raises
        ------
        ConfigurationError
            The symbol's leverage class is not in the profile.
        """
        if spec.leverage_tiers:
            return spec.leverage_tiers
        tiers = self.leverage.get(spec.leverage_class)
        if tiers is None:
            raise ConfigurationError(
                f"{spec.name}: leverage class {spec.leverage_class!r} is unknown; one of {', '.join(self.leverage)}"
            )
        return tiers

    def markup_pips(self, spec: SymbolSpec) -> Decimal:
        """What this account adds to the raw spread of `spec`, in its pips."""
        return self.fx_markup_pips if spec.asset_class is AssetClass.FX else Decimal(0)

    def spread_table(self, spec: SymbolSpec) -> SpreadTable:
        """Typical spread with mark-up, by hour of the week in New York."""
        return SpreadTable(points=typical_spread(spec, self.markup_pips(spec)))

    def terms(self, specs: Iterable[SymbolSpec], spreads: Mapping[str, SpreadTable] | None = None) -> AccountTerms:
        """The account's rules resolved for the symbols of a run.

        `spreads` replace the typical ones by symbol. A symbol that has neither is left out: it can still be traded on
        stored ASK prices.
        """
        listed = list(specs)
        tables = {spec.name: self.spread_table(spec) for spec in listed if has_typical_spread(spec)}
        return AccountTerms(
            commissions={spec.name: self.commission_rule(spec) for spec in listed},
            leverage={spec.name: self.leverage_tiers(spec) for spec in listed},
            spreads={**tables, **(spreads or {})},
            margin_call_level=self.margin_call_percent,
            stop_out_level=self.stop_out_percent,
            hedged_margin=self.hedged_margin.value,
            conversion_fee_percent=self.conversion_fee_percent,
            negative_balance_protection=self.negative_balance_protection,
            times_in_force=self.times_in_force,
        )


@cache
def _raw() -> Any:
    text = resources.files("pepperstone_adapter.simulation").joinpath("data", "profiles.yaml").read_text("utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe either way


def _rule(raw: Mapping[str, Any]) -> CommissionRule:
    return CommissionRule(
        kind=CommissionKind(raw["kind"]),
        rate=_decimal(raw["rate"]),
        currency=raw["currency"],
        minimum=_decimal(raw.get("minimum", 0)),
    )


def _tiers(raw: Any) -> tuple[LeverageTier, ...]:
    if not isinstance(raw, list):
        return (LeverageTier(up_to_usd=None, leverage=_decimal(raw)),)
    return tuple(
        LeverageTier(up_to_usd=None if top is None else _decimal(top), leverage=_decimal(leverage))
        for top, leverage in raw
    )


def _decimal(value: Any) -> Decimal:
    return Decimal(str(value))


def _choice[E: StrEnum](enum: type[E], value: Any, key: str) -> E:
    try:
        return enum(value)
    except ValueError:
        raise ConfigurationError(f"account.{key}: {value!r} is not one of {', '.join(enum)}") from None
