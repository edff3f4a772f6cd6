"""Typical spreads: wide when the market is thin, never zero, by the New York clock."""

from decimal import Decimal

import pytest

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.simulation.spread_table import has_typical_spread, typical_spread

TABLE = symbol_table.load()


@pytest.mark.parametrize("name", TABLE)
def test_every_symbol_has_a_spread_for_every_hour(name: str) -> None:
    points = typical_spread(TABLE[name])

    assert len(points) == 168
    assert min(points) >= 1


def test_gbpusd_by_hand() -> None:
    points = typical_spread(TABLE["GBPUSD"])  # 3 points on average

    assert points[2 * 24 + 4] == 3  # Tuesday 04:00: 3 x 0.7 = 2.1, up to 3
    assert points[2 * 24 + 17] == 24  # rollover: 3 x 8
    assert points[17] == 36  # Sunday open: 3 x 12
    assert points[18] == 6  # Sunday 18:00: 3 x 1.7 = 5.1, up to 6
    assert points[5 * 24 + 16] == 7  # last hour of the week: 3 x 2.1 = 6.3, up to 7
    assert points[4 * 24 + 16] == 5  # other days at 16:00: 3 x 1.4 = 4.2, up to 5


@pytest.mark.parametrize("name", ["EURUSD", "USDJPY", "XAUUSD", "US500", "GER40", "AUS200", "SpotCrude"])
def test_rollover_and_the_open_are_wider_than_the_day(name: str) -> None:
    points = typical_spread(TABLE[name])
    day = points[2 * 24 + 10]
    sunday_open = 17 if TABLE[name].asset_class == "fx" else 18

    assert points[2 * 24 + 17] > day
    assert points[sunday_open] > day
    assert points[5 * 24 + 16] > day


def test_a_markup_is_in_pips_of_the_symbol() -> None:
    plain, marked = typical_spread(TABLE["USDJPY"]), typical_spread(TABLE["USDJPY"], Decimal(1))

    assert [b - a for a, b in zip(plain, marked, strict=True)] == [10] * 168


def test_an_alias_has_the_spread_of_what_it_is_like() -> None:
    alias = symbol_table.get("EURUSD.a", {"EURUSD.a": {"like": "EURUSD"}})
    index = symbol_table.get("DE40", {"DE40": {"like": "GER40"}})

    assert typical_spread(alias) == typical_spread(TABLE["EURUSD"])
    assert typical_spread(index) == typical_spread(TABLE["GER40"])


def test_an_unknown_symbol_says_how_to_give_one() -> None:
    spec = symbol_table.get("NETH25", {"NETH25": {"like": "GER40", "base_currency": "NETH25"}})

    assert not has_typical_spread(spec)
    with pytest.raises(ConfigurationError, match=r"no typical spread is known for NETH25; .*\{NETH25: POINTS\}"):
        typical_spread(spec)
