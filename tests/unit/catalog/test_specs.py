"""A broker's symbols kept beside the prices: unchanged through JSON, one entry a change, the right one for a date."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.hours import Holiday
from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, LeverageTier, SymbolSpec
from pepperstone_adapter.catalog import specs
from pepperstone_adapter.common.errors import DataError

DAY_NS = 86_400_000_000_000
MONDAY_NS = 1_790_553_600_000_000_000  # 2026-09-28


def told(**changes: object) -> SymbolSpec:
    spec = symbol_table.get("EURUSD")
    rule = CommissionRule(kind=CommissionKind.PER_LOT, rate=Decimal("2.50"), currency="USD")
    tiers = (
        LeverageTier(up_to_usd=Decimal(5_000_000), leverage=Decimal(500)),
        LeverageTier(up_to_usd=None, leverage=Decimal("3.33")),
    )
    hours = replace(
        spec.hours, holidays=(Holiday(day=date(2026, 12, 25), name="Christmas", end_s=61_200, yearly=True),)
    )
    facts = {"commission": rule, "leverage_tiers": tiers, "hours": hours, "venue_id": 1, "source": "cTrader Open API"}
    return replace(spec, **{**facts, **changes})  # type: ignore[arg-type]


def keep(catalog: Path, spec: SymbolSpec, now_ns: int, platform: str = "ctrader") -> list[str]:
    return specs.remember(catalog, [spec], platform=platform, source=f"{platform} DEMO-x1", now_ns=now_ns)


def test_a_spec_comes_back_as_it_was_told(tmp_path: Path) -> None:
    spec = told()
    assert keep(tmp_path, spec, MONDAY_NS) == ["EURUSD"]
    back = specs.stored(tmp_path, MONDAY_NS)["EURUSD"]
    # The venue's number differs from server to server and is never kept; the date of reading is.
    assert back == replace(spec, venue_id=None, as_of="2026-09-28")


@pytest.mark.parametrize("name", ["USDJPY", "XAUUSD", "NAS100", "AAPL.US"])
def test_every_kind_of_symbol_survives(tmp_path: Path, name: str) -> None:
    spec = symbol_table.get(name)
    keep(tmp_path, spec, MONDAY_NS)
    assert specs.stored(tmp_path, 0)[name] == replace(spec, venue_id=None, as_of="2026-09-28")


def test_the_same_answer_twice_is_kept_once_and_a_new_one_beside_it(tmp_path: Path) -> None:
    old, new = told(), told(commission=CommissionRule(kind=CommissionKind.PER_LOT, rate=Decimal(3), currency="USD"))
    keep(tmp_path, old, MONDAY_NS)
    assert keep(tmp_path, replace(old, venue_id=77), MONDAY_NS + DAY_NS) == []
    assert keep(tmp_path, new, MONDAY_NS + 2 * DAY_NS) == ["EURUSD"]
    assert [a.read_ns for a in specs.answers(tmp_path, "EURUSD")] == [MONDAY_NS, MONDAY_NS + 2 * DAY_NS]


def test_a_backtest_gets_the_last_answer_of_its_period_and_else_the_first(tmp_path: Path) -> None:
    rates = {0: Decimal(1), 10: Decimal(2), 20: Decimal(3)}
    for day, rate in rates.items():
        rule = CommissionRule(kind=CommissionKind.PER_LOT, rate=rate, currency="USD")
        keep(tmp_path, told(commission=rule), MONDAY_NS + day * DAY_NS)

    def rate_at(day: int) -> Decimal:
        rule = specs.stored(tmp_path, MONDAY_NS + day * DAY_NS)["EURUSD"].commission
        assert rule is not None
        return rule.rate

    assert [rate_at(day) for day in (-400, 0, 9, 10, 500)] == [1, 1, 1, 2, 3]


def test_the_platform_asked_for_is_preferred(tmp_path: Path) -> None:
    keep(tmp_path, told(digits=5), MONDAY_NS)
    keep(tmp_path, told(digits=4, pip_position=4), MONDAY_NS + DAY_NS, platform="mt5")
    late = MONDAY_NS + 9 * DAY_NS
    assert [specs.stored(tmp_path, late, p)["EURUSD"].digits for p in ("ctrader", "mt5", "")] == [5, 4, 4]


def test_nothing_stored_is_nothing_and_damage_is_named(tmp_path: Path) -> None:
    assert specs.stored(tmp_path, MONDAY_NS) == {}
    keep(tmp_path, told(), MONDAY_NS)
    file = tmp_path / "symbols" / "EURUSD.json"
    file.write_text(file.read_text().replace('"2.50"', '"two"').replace('"2.5"', '"two"'))
    with pytest.raises(DataError, match=r"EURUSD\.json is damaged"):
        specs.stored(tmp_path, MONDAY_NS)
