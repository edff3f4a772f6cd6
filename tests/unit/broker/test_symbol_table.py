"""The symbol table: exact names, helpful refusals, overrides that change one field and no other."""

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pytest

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.symbols import (
    AssetClass,
    CommissionKind,
    CommissionRule,
    SwapMode,
    SwapTerms,
    SymbolSpec,
    Weekday,
)
from pepperstone_adapter.common.errors import ConfigurationError

TABLE = symbol_table.load()
WANTED = {
    "EURUSD", "GBPUSD", "USDJPY", "USDCHF", "USDCAD", "AUDUSD", "NZDUSD", "EURGBP", "EURJPY", "USDMXN", "USDZAR",
    "XAUUSD", "XAGUSD", "US500", "US30", "NAS100", "GER40", "UK100", "AUS200", "JPN225", "SpotCrude", "SpotBrent",
    "BTCUSD", "ETHUSD", "AAPL.US", "MSFT.US", "NVDA.US", "TSLA.US",
}  # fmt: skip


@pytest.mark.parametrize("spec", TABLE.values(), ids=TABLE)
def test_every_symbol_is_complete_and_consistent(spec: SymbolSpec) -> None:
    assert spec.volume_min > 0
    assert spec.volume_min % spec.volume_step == 0
    assert spec.volume_max % spec.volume_step == 0
    assert spec.volume_min <= spec.volume_max
    # 0.01 lot or one whole unit (0.1 of an index) is the least that brokers of this kind take
    assert spec.volume_min <= spec.contract_size
    assert 0 <= spec.pip_position <= spec.digits
    assert spec.hours.intervals
    assert spec.description
    assert spec.leverage_class
    assert len(spec.source) > 40
    assert spec.as_of == "2026-11-21"
    assert spec.swap.mode is not SwapMode.DISABLED
    assert spec.swap.long != 0
    assert spec.swap.weekend == (spec.asset_class is AssetClass.CRYPTO)


def test_the_named_markets_are_there() -> None:
    assert set(TABLE) >= WANTED


def test_fx_numbers_of_a_pair() -> None:
    eurusd = symbol_table.get("EURUSD")

    assert (eurusd.base_currency, eurusd.quote_currency) == ("EUR", "USD")
    assert eurusd.point == Decimal("0.00001")
    assert eurusd.pip == Decimal("0.0001")
    assert (eurusd.contract_size, eurusd.volume_min, eurusd.volume_max) == (100_000, 1_000, 10_000_000)
    assert symbol_table.get("USDJPY").point == Decimal("0.001")
    assert symbol_table.get("XAUUSD").base_currency == "XAU"
    assert symbol_table.get("GER40").quote_currency == "EUR"
    assert symbol_table.get("US500").volume_step == Decimal("0.1")


@pytest.mark.parametrize("pair", [n for n, s in TABLE.items() if s.asset_class is AssetClass.FX])
def test_a_yen_pair_has_three_digits_and_others_five(pair: str) -> None:
    spec = TABLE[pair]

    assert (spec.digits, spec.pip_position) == ((3, 2) if spec.quote_currency == "JPY" else (5, 4))
    assert pair == spec.base_currency + spec.quote_currency
    assert spec.swap.triple_day is Weekday.WEDNESDAY


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("EURUSDD", "EURUSD"),
        ("eurusd", "EURUSD"),
        ("EURUSD.a", "EURUSD"),
        ("US50", "US500"),
        ("Spotcrude", "SpotCrude"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_three(name: str, first: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        symbol_table.get(name)

    text = str(refusal.value)
    assert text.startswith(f"unknown symbol {name!r}; did you mean {first}")
    near = text.split("did you mean ")[1].split("?")[0].split(", ")
    assert len(near) == 3
    assert set(near) <= set(TABLE)
    assert f"{{{name}: {{like: {first}}}}}" in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("\u0415URUSD", r"U\+0415 \(CYRILLIC CAPITAL LETTER IE\) at position 1"),
        ("EUR\u200bUSD", r"U\+200B \(ZERO WIDTH SPACE\) at position 4"),
        ("EURUSD\n", r"U\+000A \(control character\) at position 7"),
        ("../etc/passwd.CTRADER", "looks like a path"),
        ("..\\EURUSD", "looks like a path"),
        ("C:EURUSD", "looks like a path"),
        ("EURUSD ", "surrounding spaces"),
        ("", "is empty"),
        ("A" * 41, "over 40 characters"),
        ("@ES", "'@'"),
    ],
)
def test_what_cannot_be_a_name_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        symbol_table.get(name)


def test_an_alias_is_a_copy_under_its_own_name() -> None:
    table = symbol_table.load({"EURUSD.a": {"like": "EURUSD", "volume_max": 5_000_000}})

    assert table["EURUSD.a"].name == "EURUSD.a"
    assert table["EURUSD.a"].volume_max == 5_000_000
    assert table["EURUSD.a"].swap == table["EURUSD"].swap
    assert table["EURUSD"].volume_max == 10_000_000
    assert "EURUSD.a" not in symbol_table.load()


def test_an_override_changes_what_it_names_and_nothing_else() -> None:
    spec = symbol_table.get(
        "GBPUSD",
        {
            "GBPUSD": {
                "swap": {"long": -4.25},
                "commission": {"kind": "per_lot", "rate": 2.25, "currency": "GBP"},
                "leverage_tiers": [{"up_to_usd": 1_000_000, "leverage": 100}, {"up_to_usd": None, "leverage": 20}],
                "hours": {
                    "zone": "Europe/London",
                    "week": {"monday": "08:00-16:30"},
                    "holidays": [{"day": "2025-05-05", "name": "Early May"}],
                },
            }
        },
    )

    before = TABLE["GBPUSD"]
    assert spec.swap.long == Decimal("-4.25")
    assert (spec.swap.short, spec.swap.mode, spec.swap.triple_day) == (
        before.swap.short,
        before.swap.mode,
        before.swap.triple_day,
    )
    assert spec.commission is not None
    assert (spec.commission.kind, spec.commission.rate) == (CommissionKind.PER_LOT, Decimal("2.25"))
    assert [t.leverage for t in spec.leverage_tiers] == [100, 20]
    assert spec.hours.intervals == ((86_400 + 8 * 3600, 86_400 + 16 * 3600 + 1800),)
    assert spec.digits == before.digits
    assert spec.source == f"settings over: {before.source}"


def test_a_symbol_of_ones_own_needs_every_required_field() -> None:
    own = {
        "asset_class": "index", "description": "Netherlands 25", "base_currency": "NETH25", "quote_currency": "EUR",
        "digits": 2, "pip_position": 0, "contract_size": 1, "volume_min": 0.1, "volume_step": 0.1, "volume_max": 100,
        "hours": "de_index", "leverage_class": "index_minor",
    }  # fmt: skip

    assert symbol_table.get("NETH25", {"NETH25": own}).volume_step == Decimal("0.1")
    del own["digits"]
    with pytest.raises(ConfigurationError, match=r"symbols\.NETH25: unknown symbol .* add 'like: SYMBOL'.*digits"):
        symbol_table.load({"NETH25": own})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"digit": 4}, r"symbols\.EURUSD\.digit: unknown field, did you mean 'digits'"),
        ({"swap": {"lon": 1}}, r"symbols\.EURUSD\.swap\.lon: unknown field, did you mean 'long'"),
        ({"swap": 3}, r"symbols\.EURUSD\.swap: wants a mapping"),
        ({"swap": {"mode": "pts"}}, r"symbols\.EURUSD\.swap\.mode: 'pts' is not one of disabled, points"),
        ({"swap": {"long": "nan"}}, r"symbols\.EURUSD\.swap\.long: wants a number"),
        ({"digits": 5.0}, r"symbols\.EURUSD\.digits: wants a whole number"),
        ({"digits": True}, r"symbols\.EURUSD\.digits: wants a whole number"),
        ({"digits": 12}, "must be 0 to 9"),
        ({"pip_position": 7}, "pip_position not above digits"),
        ({"volume_step": 0}, "wants a positive number, got 0"),
        ({"volume_max": "1e400x"}, "wants a positive number"),
        ({"contract_size": float("inf")}, "wants a positive number"),
        ({"volume_min": 0.01}, r"volume_min 0\.01 is not a multiple of volume_step 1000 \(units, not lots\)"),
        ({"volume_min": 20_000_000}, "is above volume_max"),
        ({"short_selling": "yes"}, "wants true or false"),
        ({"hours": "forex"}, "unknown template 'forex'; one of fx, metal"),
        ({"hours": {"zone": "Mars/Base", "week": {}}}, "not an IANA zone"),
        ({"hours": {"zone": "UTC", "week": {"moonday": "00:00-01:00"}}}, "'moonday' is not one of sunday"),
        ({"hours": {"zone": "UTC", "week": {"monday": "10:00-09:00"}}}, "is not HH:MM-HH:MM, ascending"),
        ({"hours": {"zone": "UTC", "week": {"monday": "01:00-03:00, 02:00-04:00"}}}, "spans overlap"),
        ({"swap": {"weekend": "no"}}, r"symbols\.EURUSD\.swap\.weekend: wants true or false, got 'no'"),
        ({"commission": {"rate": 3.5}}, r"symbols\.EURUSD\.commission: .*kind: per_lot"),
        ({"commission": {"currency": "EUR"}}, r"symbols\.EURUSD\.commission: .*kind: per_lot"),
        ({"leverage_tiers": 30}, r"symbols\.EURUSD\.leverage_tiers: wants a list"),
        ({"leverage_tiers": None}, r"symbols\.EURUSD\.leverage_tiers: wants a list"),
        (
            {"leverage_tiers": [{"up_to_usd": 2_000, "leverage": 30}, {"up_to_usd": 1_000, "leverage": 20}]},
            r"symbols\.EURUSD\.leverage_tiers: up_to_usd must rise",
        ),
        (
            {"leverage_tiers": [{"up_to_usd": None, "leverage": 30}, {"up_to_usd": 1_000, "leverage": 20}]},
            r"symbols\.EURUSD\.leverage_tiers: up_to_usd must rise",
        ),
        ({"hours": {"zone": "UTC", "week": {}, "holidays": 5}}, r"symbols\.EURUSD\.hours\.holidays: wants a list"),
        ({"like": "EURUSX"}, "unknown symbol 'EURUSX'; did you mean EURUSD"),
        (["digits"], "wants a mapping of fields"),
    ],
)
def test_a_bad_override_says_where_and_what(changes: object, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        symbol_table.load({"EURUSD": changes})  # type: ignore[dict-item]


def test_one_value_of_a_broker_s_commission_changes_that_value() -> None:
    rule = CommissionRule(kind=CommissionKind.PER_LOT, rate=Decimal("3.5"), currency="EUR")
    told = {"EURUSD": replace(TABLE["EURUSD"], commission=rule)}
    found = symbol_table.load({"EURUSD": {"commission": {"rate": 7}}}, told)["EURUSD"].commission
    assert found == replace(rule, rate=Decimal(7))
    none = symbol_table.load({"EURUSD": {"commission": {"kind": "none"}}}, told)["EURUSD"].commission
    assert none is not None
    assert none.kind is CommissionKind.NONE


def test_swap_of_a_symbol_without_swap_says_how_it_is_counted() -> None:
    none = {"EURUSD": replace(TABLE["EURUSD"], swap=SwapTerms(mode=SwapMode.DISABLED))}
    with pytest.raises(ConfigurationError, match=r"symbols\.EURUSD\.swap: .*mode: points"):
        symbol_table.load({"EURUSD": {"swap": {"long": -3}}}, none)
    found = symbol_table.load({"EURUSD": {"swap": {"mode": "pips", "long": -3}}}, none)["EURUSD"].swap
    assert (found.mode, found.long) == (SwapMode.PIPS, Decimal(-3))
    off = symbol_table.load({"EURUSD": {"swap": {"mode": "disabled", "long": -3}}})["EURUSD"].swap
    assert off.mode is SwapMode.DISABLED


def test_loading_meets_no_framework() -> None:
    code = (
        "import sys; from pepperstone_adapter.broker import symbol_table as t; t.load(); "
        "print([m for m in ('nautilus_trader', 'pandas', 'numpy', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
