"""Recorded specifications as specs."""

import base64
import json
from decimal import Decimal
from pathlib import Path

import pytest

from pepperstone_adapter import openapi
from pepperstone_adapter.broker.symbols import (
    AssetClass,
    CommissionKind,
    CommissionRule,
    LeverageTier,
    SwapMode,
    SymbolSpec,
    TradingMode,
    Weekday,
)
from pepperstone_adapter.common.errors import DataError, NotFound
from pepperstone_adapter.ctrader.client.symbols import (
    Names,
    SymbolBook,
    UnknownSymbol,
    classify,
    commission,
    holidays,
    leverage_tiers,
    symbol_spec,
    trading_hours,
)
from pepperstone_adapter.openapi import messages as oa

D = Decimal
DATA = Path(__file__).parents[2] / "data" / "ctrader" / "recorded-symbols-trendbars.jsonl"
ASSETS = {5: "EUR", 15: "USD", 17: "XAU", 1261: "US100", 1257: "GER40"}
CATEGORIES = {9: ("Spot Metals", "Metals"), 11: ("Majors", "Forex"), 13: ("Cash Indices", "Indices")}


@pytest.fixture(scope="module")
def recorded() -> dict[str, oa.Symbol | oa.LightSymbol]:
    light, full = (
        openapi.PAYLOAD[row["type"]].FromString(base64.b64decode(row["payload"]))
        for row in map(json.loads, DATA.read_text().splitlines())
        if row["type"] in (2115, 2117)
    )
    assert isinstance(light, oa.SymbolsListRes)
    assert isinstance(full, oa.SymbolByIdRes)
    return {"light": light.symbol, "full": full.symbol}  # type: ignore[dict-item]


def specs(recorded: dict) -> dict[str, SymbolSpec]:
    tiers = {1031: (LeverageTier(up_to_usd=None, leverage=D(20)),)}
    names = Names(assets=ASSETS, categories=CATEGORIES, light={s.symbolId: s for s in recorded["light"]}, tiers=tiers)
    made = [symbol_spec(symbol, names, "2026-01-01", {}) for symbol in recorded["full"]]
    return {spec.name: spec for spec in made}


def test_euro(recorded: dict) -> None:
    euro = specs(recorded)["EURUSD"]
    assert (euro.asset_class, euro.base_currency, euro.quote_currency) == (AssetClass.FX, "EUR", "USD")
    assert (euro.digits, euro.pip_position, euro.venue_id) == (5, 4, 1)
    assert (euro.contract_size, euro.volume_min, euro.volume_step) == (D(100_000), D(1_000), D(1_000))
    # 250,000,000 / 10^8 = 2.50 USD a lot and side
    assert euro.commission == CommissionRule(kind=CommissionKind.PER_LOT, rate=D("2.5"), currency="USD")
    assert (euro.swap.mode, euro.swap.triple_day) == (SwapMode.PIPS, Weekday.WEDNESDAY)
    # Europe/Moscow; Monday 00:05 to Monday 23:55
    assert (euro.hours.zone, euro.hours.intervals[0]) == ("Europe/Moscow", (86_700, 172_500))
    assert euro.trading_mode is TradingMode.ENABLED


def test_gold_and_an_index(recorded: dict) -> None:
    gold, dax = specs(recorded)["XAUUSD"], specs(recorded)["GER40.cash"]
    assert (gold.asset_class, gold.base_currency, gold.contract_size, gold.volume_min) == (
        AssetClass.METAL,
        "XAU",
        D(100),
        D(1),
    )
    # 70 / 10^5 = 0.0007 percent
    assert gold.commission == CommissionRule(kind=CommissionKind.PERCENT, rate=D("0.0007"), currency="USD")
    assert gold.leverage_tiers == (LeverageTier(up_to_usd=None, leverage=D(20)),)
    assert (gold.swap.long, gold.swap.short) == (D("-0.83"), D("-0.083"))
    assert (dax.asset_class, dax.base_currency, dax.quote_currency) == (AssetClass.INDEX, "GER40.cash", "EUR")
    assert (dax.contract_size, dax.volume_min, dax.digits) == (D(1), D("0.01"), 2)
    assert dax.commission is not None
    assert dax.commission.kind is CommissionKind.NONE
    assert dax.swap.triple_day is Weekday.FRIDAY


@pytest.mark.parametrize(
    ("category", "base", "quote", "expected"),
    [
        (("", ""), "EUR", "USD", AssetClass.FX),
        (("", ""), "XAG", "USD", AssetClass.METAL),
        (("Crypto CFDs", ""), "BTC", "USD", AssetClass.CRYPTO),
        (("", ""), "BTC", "USD", AssetClass.CRYPTO),
        (("Brent Oil", "Commodities"), "XBR", "USD", AssetClass.ENERGY),
        (("US Stocks", "Equities"), "AAPL", "USD", AssetClass.SHARE),
        (("Baskets", "Other"), "ZZZ", "USD", AssetClass.OTHER),
    ],
)
def test_classes(category: tuple[str, str], base: str, quote: str, expected: AssetClass) -> None:
    assert classify(category, base, quote) is expected


def symbol(**fields: object) -> oa.Symbol:
    return oa.Symbol(symbolId=1, digits=5, pipPosition=4, **fields)  # type: ignore[arg-type]


def test_commissions_of_every_kind() -> None:
    kinds = oa.CommissionType
    assert commission(symbol(), "USD") is None  # absent reads as USD_PER_MILLION_USD, and is not
    per_million = symbol(commissionType=kinds.USD_PER_MILLION_USD, preciseTradingCommissionRate=3_000_000_000)
    assert commission(per_million, "USD") == CommissionRule(kind=CommissionKind.PER_MILLION, rate=D(30), currency="USD")
    per_lot = symbol(commissionType=kinds.QUOTE_CCY_PER_LOT, commission=250)
    assert commission(per_lot, "EUR") == CommissionRule(kind=CommissionKind.PER_LOT, rate=D("2.5"), currency="EUR")
    with_minimum = symbol(
        commissionType=kinds.PERCENTAGE_OF_VALUE, preciseTradingCommissionRate=10_000,
        preciseMinCommission=200_000_000, minCommissionType=oa.MinCommissionType.CURRENCY, minCommissionAsset="GBP",
    )  # fmt: skip
    assert commission(with_minimum, "USD") == CommissionRule(
        kind=CommissionKind.PERCENT, rate=D("0.1"), currency="GBP", minimum=D(2)
    )


def test_tiers_ascend_and_the_last_is_open() -> None:
    wire = oa.DynamicLeverage(
        leverageId=1,
        tiers=[
            oa.DynamicLeverageTier(volume=200_000_000, leverage=1_000),
            oa.DynamicLeverageTier(volume=100_000_000, leverage=3_000),
        ],
    )
    assert leverage_tiers(wire) == (
        LeverageTier(up_to_usd=D(1_000_000), leverage=D(30)),
        LeverageTier(up_to_usd=None, leverage=D(10)),
    )


def test_a_holiday_of_another_zone_keeps_its_instants() -> None:
    # New Year's Day 1 January 2024 in New York is 19,723 days after 1970; in UTC it begins at 05:00
    entry = oa.Holiday(
        holidayId=1, name="New Year", scheduleTimeZone="America/New_York", holidayDate=19_723, isRecurring=False
    )
    (day,) = holidays([entry], "UTC")
    assert (day.day.isoformat(), day.start_s, day.end_s) == ("2024-01-01", 5 * 3_600, 29 * 3_600)


def test_a_zone_nobody_knows_is_an_error_of_that_symbol() -> None:
    with pytest.raises(DataError, match="Mars/Olympus"):
        trading_hours(symbol(scheduleTimeZone="Mars/Olympus"))
    holiday = oa.Holiday(
        holidayId=1, name="Landing", scheduleTimeZone="Mars/Olympus", holidayDate=19_723, isRecurring=True
    )
    with pytest.raises(DataError, match="Mars/Olympus"):
        trading_hours(symbol(scheduleTimeZone="UTC", holiday=[holiday]))


def test_an_unknown_trading_mode_is_not_enabled(recorded: dict) -> None:
    names = Names(
        assets=ASSETS, light={1: oa.LightSymbol(symbolId=1, symbolName="EURUSD", baseAssetId=5, quoteAssetId=15)}
    )
    known = symbol_spec(symbol(), names, "", {})
    newer = oa.Symbol.FromString(symbol().SerializeToString() + b"\xd8\x01\x09")  # tradingMode 9
    assert known.trading_mode is TradingMode.ENABLED
    assert symbol_spec(newer, names, "", {}).trading_mode is TradingMode.DISABLED


def test_the_book_finds_by_id_and_name_and_tells_what_changed(recorded: dict) -> None:
    book, euro = SymbolBook(), specs(recorded)["EURUSD"]
    assert book.put(euro)
    assert not book.put(euro)
    assert book.by_id(1) is book.by_name("EURUSD")
    with pytest.raises(UnknownSymbol):
        book.by_id(2)
    with pytest.raises(NotFound, match="did you mean EURUSD"):
        book.by_name("eurusd")
