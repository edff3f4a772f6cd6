"""Every symbol of the table as a framework instrument, and the same again from a Parquet catalog."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import Cfd, CurrencyPair
from nautilus_trader.persistence import ParquetDataCatalog

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.symbols import AssetClass, CommissionKind, CommissionRule, LeverageTier, SymbolSpec
from pepperstone_adapter.mapping.instruments import Instrument, instrument_from_spec, instruments, plain

TABLE = symbol_table.load()


@pytest.mark.parametrize("spec", TABLE.values(), ids=TABLE)
def test_every_symbol(spec: SymbolSpec) -> None:
    instrument = instrument_from_spec(spec, leverage=Decimal(20), ts_ns=7)

    assert str(instrument.id) == f"{spec.name}.PEPPERSTONE"
    assert instrument.id.symbol.value == spec.name
    assert isinstance(instrument, CurrencyPair if spec.asset_class in (AssetClass.FX, AssetClass.METAL) else Cfd)
    assert instrument.quote_currency.code == spec.quote_currency
    assert instrument.price_precision == spec.digits
    assert instrument.price_increment.as_decimal() == spec.point
    assert instrument.size_increment.as_decimal() == spec.volume_step
    assert instrument.min_quantity.as_decimal() == spec.volume_min
    assert instrument.max_quantity.as_decimal() == spec.volume_max
    assert instrument.lot_size.as_decimal() == spec.contract_size
    assert instrument.multiplier.as_decimal() == 1
    assert (instrument.margin_init, instrument.margin_maint) == (Decimal("0.05"), Decimal("0.05"))
    assert instrument.ts_event == 7
    # every tradable size and price can be written without loss
    assert instrument.make_qty(spec.volume_min).as_decimal() == spec.volume_min
    # one value, because every copy of an instrument, several an order, copies each value of its info
    assert list(instrument.info) == ["terms"]
    assert Decimal(terms(instrument)["swap"]["long"]) == spec.swap.long
    assert terms(instrument)["hours"]["week_s"] == [list(span) for span in spec.hours.intervals]


def terms(instrument: Instrument) -> dict[str, Any]:
    return dict(json.loads(instrument.info["terms"]))


def facts(instrument: Instrument) -> tuple[object, ...]:
    return (
        type(instrument), str(instrument.id), str(instrument.raw_symbol), str(instrument.base_currency),
        str(instrument.quote_currency), instrument.price_precision, instrument.size_precision,
        str(instrument.price_increment), str(instrument.size_increment), str(instrument.lot_size),
        str(instrument.min_quantity), str(instrument.max_quantity), instrument.margin_init, instrument.margin_maint,
        instrument.ts_event, instrument.ts_init, instrument.asset_class, instrument.info,
    )  # fmt: skip


def test_a_catalog_gives_back_what_it_took(tmp_path: Path) -> None:
    table = {name: instrument_from_spec(spec, leverage=Decimal(30), ts_ns=5) for name, spec in TABLE.items()}
    catalog = ParquetDataCatalog(str(tmp_path))
    catalog.write_instruments(list(table.values()))

    back = {i.id.symbol.value: i for i in catalog.instruments()}

    assert set(back) == set(table)
    for name, instrument in table.items():
        assert facts(back[name]) == facts(instrument), name


def test_margin_stands_in_one_place_only() -> None:
    # the framework divides margin_init by the account's leverage: without leverage it must be zero, not one
    bare = instrument_from_spec(TABLE["EURUSD"])
    # 1 / 30 = 0.03333333..., rounded up, so that the margin is never a hair too small
    thirty = instrument_from_spec(TABLE["EURUSD"], leverage=Decimal(30))

    assert (bare.margin_init, bare.margin_maint) == (0, 0)
    assert thirty.margin_init == Decimal("0.03333334")


def test_terms_of_the_account_go_into_info() -> None:
    rule = CommissionRule(kind=CommissionKind.PER_LOT, rate=Decimal("3.50"), currency="AUD")
    tiers = [
        LeverageTier(up_to_usd=Decimal(5_000_000), leverage=Decimal(500)),
        LeverageTier(up_to_usd=None, leverage=Decimal("3.33")),
    ]

    told = terms(instrument_from_spec(TABLE["GBPUSD"], commission=rule, leverage_tiers=tiers))

    assert told["commission"] == {"kind": "per_lot", "rate": "3.5", "currency": "AUD", "minimum": "0"}
    assert told["leverage_tiers"] == [
        {"up_to_usd": "5000000", "leverage": "500"},
        {"up_to_usd": None, "leverage": "3.33"},
    ]
    assert terms(instrument_from_spec(TABLE["GBPUSD"]))["commission"] is None


def test_a_venue_of_ones_own() -> None:
    assert str(instruments({"EURUSD": TABLE["EURUSD"]}, venue="SANDBOX")["EURUSD"].id) == "EURUSD.SANDBOX"


@pytest.mark.parametrize(
    ("number", "text"),
    [("1E+3", "1000"), ("0.10", "0.1"), ("-7.20", "-7.2"), ("0", "0"), ("-0.0", "0"), ("5E-7", "0.0000005")],
)
def test_plain_decimals(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text
