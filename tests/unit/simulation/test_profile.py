"""Account profiles: what each account pays and may borrow, sums by hand."""

import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.capabilities import Capabilities
from pepperstone_adapter.broker.orders import OrderType
from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, LeverageTier, SymbolSpec
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.ctrader.client.session import CAPABILITIES as CTRADER
from pepperstone_adapter.mt5.client.trader import CAPABILITIES as MT5
from pepperstone_adapter.simulation.margin import tiered_margin
from pepperstone_adapter.simulation.plan import SpreadTable
from pepperstone_adapter.simulation.profile import (
    CURRENCIES,
    HedgedMargin,
    LeverageClass,
    Platform,
    Product,
    Profile,
)

D = Decimal
TABLE = symbol_table.load()
ALL = list(itertools.product(Product, Platform, CURRENCIES, ("hedging", "netting"), LeverageClass))


@pytest.mark.parametrize(("product", "platform", "currency", "mode", "leverage"), ALL)
def test_every_account_knows_every_symbol(
    product: Product, platform: Platform, currency: str, mode: str, leverage: LeverageClass
) -> None:
    profile = Profile.load(f"{product}-{platform}-{currency}-{mode}-{leverage}")

    terms = profile.terms(TABLE.values())

    assert profile.name == f"{product}-{platform}-{currency}-{mode}-{leverage}"
    assert set(terms.commissions) == set(terms.leverage) == set(terms.spreads) == set(TABLE)
    for spec in TABLE.values():
        rule = terms.commissions[spec.name]
        charged = spec.name.endswith(".US") or (product is Product.RAZOR and spec.asset_class == "fx")
        assert (rule.kind is CommissionKind.NONE) == (not charged)
        assert terms.leverage[spec.name][-1].up_to_usd is None
        assert all(points > 0 for points in terms.spreads[spec.name].points)
        assert len(terms.spreads[spec.name].points) == 168


@pytest.mark.parametrize(
    ("currency", "rate"),
    [("AUD", "3.50"), ("USD", "3.50"), ("EUR", "2.60"), ("GBP", "2.25"), ("CHF", "3.30"), ("JPY", "350")],
)
def test_razor_on_metatrader_is_charged_per_lot_in_account_currency(currency: str, rate: str) -> None:
    rule = Profile.load({"profile": "razor", "platform": "mt5", "currency": currency}).commission_rule(TABLE["GBPUSD"])

    assert rule == CommissionRule(kind=CommissionKind.PER_LOT, rate=D(rate), currency=currency)


def test_razor_on_ctrader_is_charged_per_million_dollars() -> None:
    # 30 USD per million: 100,000 USD cost 3 USD a side
    rule = Profile.load("razor-ctrader-EUR").commission_rule(TABLE["USDJPY"])

    assert rule == CommissionRule(kind=CommissionKind.PER_MILLION, rate=D(30), currency="USD")


def test_shares_are_charged_on_every_account_and_metals_on_none() -> None:
    for name in ("razor-mt5", "standard-ctrader"):
        profile = Profile.load(name)
        assert profile.commission_rule(TABLE["AAPL.US"]) == CommissionRule(kind=CommissionKind.PER_UNIT, rate=D("0.02"))
        assert profile.commission_rule(TABLE["XAUUSD"]).kind is CommissionKind.NONE


@pytest.mark.parametrize(
    ("symbol", "retail", "retail_eu", "pro"),
    [
        ("EURUSD", 30, 30, 500),
        ("AUDUSD", 30, 20, 500),
        ("NZDUSD", 20, 20, 500),
        ("USDMXN", 20, 20, 200),
        ("XAUUSD", 20, 20, 500),
        ("XAGUSD", 10, 10, 143),
        ("US500", 20, 20, 400),
        ("SpotCrude", 10, 10, 143),
        ("AAPL.US", 5, 5, 20),
        ("BTCUSD", 2, 2, 100),
    ],
)
def test_first_tiers(symbol: str, retail: int, retail_eu: int, pro: int) -> None:
    profiles = [Profile.load(f"razor-mt5-USD-hedging-{c}") for c in ("retail", "retail_eu", "pro")]

    got = [1000 / tiered_margin(D(1000), D(1000), p.leverage_tiers(TABLE[symbol])) for p in profiles]

    assert [round(leverage, 12) for leverage in got] == [retail, retail_eu, pro]


def test_tiers_are_worked_out_part_by_part() -> None:
    tiers = Profile.load("razor-ctrader-USD-hedging-pro").leverage_tiers(TABLE["EURUSD"])

    # 5,000,000 / 500 + 15,000,000 / 200 + 30,000,000 / 100 + 10,000,000 / 50 = 10,000 + 75,000 + 300,000 + 200,000
    assert tiered_margin(D(60_000_000), D(60_000_000), tiers) == 585_000
    assert tiered_margin(D(6_000_000), D(6_000_000), tiers) == 10_000 + 5_000
    assert tiered_margin(D(0), D(0), tiers) == 0


@given(st.decimals(0, 10**8, places=2), st.decimals(0, 10**6, places=2))
def test_margin_never_falls_when_the_position_grows(notional: Decimal, more: Decimal) -> None:
    tiers = Profile.load("razor-mt5-USD-hedging-pro").leverage_tiers(TABLE["XAUUSD"])

    low, high = (tiered_margin(usd, usd, tiers) for usd in (notional, notional + more))

    assert low <= high <= low + more / 50 + D("1e-15")  # 50 is the last tier's leverage


@pytest.mark.parametrize(
    ("name", "stop_out", "protected"),
    [
        ("razor-mt5-USD-hedging-retail", 50, True),
        ("razor-mt5-USD-hedging-pro", 20, False),
        ("razor-ctrader-USD-hedging-pro", 50, False),
        ("standard-ctrader-USD-hedging-retail_eu", 50, True),
    ],
)
def test_margin_levels(name: str, stop_out: int, protected: bool) -> None:
    profile = Profile.load(name)

    assert (profile.margin_call_percent, profile.stop_out_percent) == (90, stop_out)
    assert profile.negative_balance_protection is protected
    assert profile.hedged_margin is HedgedMargin.MAX_SIDE


def test_standard_adds_a_pip_to_fx_and_to_nothing_else() -> None:
    razor, standard = Profile.load("razor-mt5"), Profile.load("standard-mt5")
    noon = 2 * 24 + 8  # Tuesday 08:00 New York

    def both(symbol: str) -> tuple[int, int]:
        return tuple(profile.spread_table(TABLE[symbol]).points[noon] for profile in (razor, standard))  # type: ignore[return-value]

    assert both("EURUSD") == (1, 11)  # 0.7 points, up to 1; 0.7 + 10 = 10.7, up to 11
    assert both("USDJPY") == (2, 12)  # 1.4 -> 2; 11.4 -> 12
    assert both("XAUUSD")[0] == both("XAUUSD")[1]
    assert both("US500")[0] == both("US500")[1]


def test_the_broker_knows_better() -> None:
    spec = symbol_table.get(
        "EURUSD",
        {
            "EURUSD": {
                "commission": {"kind": "per_lot", "rate": 2.5, "currency": "USD"},
                "leverage_tiers": [{"up_to_usd": None, "leverage": 100}],
            }
        },
    )
    profile = Profile.load("standard-mt5")

    assert profile.commission_rule(spec).rate == D("2.5")
    assert profile.leverage_tiers(spec) == (LeverageTier(up_to_usd=None, leverage=D(100)),)


def test_terms_take_spreads_of_the_settings() -> None:
    own = SpreadTable(points=(7,) * 168)

    terms = Profile.load().terms([TABLE["EURUSD"], TABLE["GBPUSD"]], {"EURUSD": own})

    assert terms.spreads["EURUSD"] is own
    assert terms.spreads["GBPUSD"] == Profile.load().spread_table(TABLE["GBPUSD"])
    assert (terms.margin_call_level, terms.stop_out_level, terms.hedged_margin) == (90, 50, "max_side")


def test_a_symbol_without_a_typical_spread_can_still_trade_on_stored_asks() -> None:
    spec = _nameless()

    assert Profile.load().terms([spec]).spreads == {}


def _nameless() -> SymbolSpec:
    return symbol_table.get("NETH25", {"NETH25": {"like": "GER40", "base_currency": "NETH25"}})


def test_an_unknown_leverage_class_is_named() -> None:
    spec = symbol_table.get("EURUSD", {"EURUSD": {"leverage_class": "fx_mayor"}})

    with pytest.raises(ConfigurationError, match="EURUSD: leverage class 'fx_mayor' is unknown; one of fx_major"):
        Profile.load().leverage_tiers(spec)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"profile": "rasor"}, "account.profile: 'rasor' is not one of razor, standard"),
        ({"platform": "mt4"}, "account.platform: 'mt4' is not one of ctrader, mt5"),
        ({"currency": "SEK"}, "account.currency: 'SEK' is not one of AUD, CAD"),
        ({"leverage": "500"}, "account.leverage: '500' is not one of retail, retail_eu, pro"),
        ({"mode": "fifo"}, "account.mode: 'fifo' is not one of hedging, netting"),
        ({"balance": 1}, "account.balance: unknown key"),
        ("razor-mt5-USD-hedging-pro-x", "wants at most profile-platform-currency-mode-leverage"),
    ],
)
def test_bad_settings(settings: object, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Profile.load(settings)  # type: ignore[arg-type]


def test_defaults() -> None:
    assert Profile.load().name == "razor-ctrader-USD-hedging-retail"
    assert Profile.load({}).mode is PositionMode.HEDGING


@pytest.mark.parametrize(("platform", "live"), [("ctrader", CTRADER), ("mt5", MT5)])
def test_a_platform_takes_the_times_in_force_that_live_trading_takes(platform: str, live: Capabilities) -> None:
    wanted = {kind.value: allowed for kind, allowed in live.time_in_force.items() if kind is not OrderType.MARKET_RANGE}
    found = {
        kind: {name.lower() for name in names}
        for kind, names in Profile.load({"platform": platform}).times_in_force.items()
    }
    assert found == {**wanted, "close": live.closing_time_in_force, "level": {"gtc"}}
