"""Names without an entity's suffix: exact, else unique, else a list; never a guess."""

import pytest

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.mt5.client.aliases import Aliases, resolve


def test_an_exact_name_wins_over_longer_ones() -> None:
    assert resolve("AAPL.US", ["AAPL.US-24", "AAPL.US"]) == "AAPL.US"


@pytest.mark.parametrize("name", ["EURUSD.a", "EURUSD-pro", "EURUSDm", "EURUSD#"])
def test_the_only_name_with_a_suffix_is_found(name: str) -> None:
    assert resolve("EURUSD", ["GBPUSD.a", name]) == name


def test_several_candidates_are_listed_for_a_person() -> None:
    with pytest.raises(ConfigurationError, match=r"EURUSD\.a, EURUSD\.b"):
        resolve("EURUSD", ["EURUSD.b", "EURUSD.a"])


def test_a_longer_symbol_is_not_a_suffix() -> None:
    assert resolve("US50", ["US500"]) is None
    assert resolve("EURUSD", ["XEURUSD"]) is None


def test_rows_and_requests_are_translated_both_ways() -> None:
    aliases = Aliases()
    aliases.learn(["EURUSD", "XAUUSD"], ["EURUSD.a", "XAUUSD"])
    assert aliases.outbound(["EURUSD", 5, {"symbol": "EURUSD", "volume": 0.1}, {"ticket": 7}]) == (
        "EURUSD.a",
        5,
        {"symbol": "EURUSD.a", "volume": 0.1},
        {"ticket": 7},
    )
    event = {"k": "deals", "rows": [{"symbol": "EURUSD.a"}, {"symbol": "GBPUSD.a"}], "orders": [{"symbol": "EURUSD.a"}]}
    assert aliases.inbound(event)["rows"] == [{"symbol": "EURUSD"}, {"symbol": "GBPUSD.a"}]
    assert aliases.inbound(event)["orders"] == [{"symbol": "EURUSD"}]
    assert event["rows"][0] == {"symbol": "EURUSD.a"}  # the ring's own row is not touched
