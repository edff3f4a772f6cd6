"""Symbols at the start and later: what changed is told, a row that means nothing changes nothing."""

from typing import Any

import pytest

from pepperstone_adapter.broker.events import Notice, SymbolChanged
from pepperstone_adapter.broker.symbols import SymbolSpec, TradingMode
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.mt5.client.account import Mt5Account
from pepperstone_adapter.mt5.client.symbols import LOOK_AGAIN_NS, Symbols
from tests.kit.mt5_rows import EURUSD

ODD = {"trade_contract_size": 0.0}
BROKEN = {"volume_max": float("inf")}  # no number to count in, and no sum that says so


class Desk:
    def __init__(self, *wanted: str) -> None:
        self.rows: dict[str, Any] = {}
        self.specs: dict[str, SymbolSpec] = {}
        self.symbols = Symbols(Mt5Account(login=1, symbols=wanted), self.rows, self.specs)


@pytest.mark.parametrize("odd", [ODD, BROKEN])
def test_an_odd_symbol_is_left_out_with_a_word_unless_the_settings_name_it(odd: dict[str, float]) -> None:
    rows = [EURUSD, EURUSD | {"name": "ODD"} | odd]
    desk = Desk("EURUSD")
    (told,) = desk.symbols.load(rows, 0)
    assert isinstance(told, Notice)
    assert "ODD" in told.text
    assert set(desk.specs) == set(desk.rows) == {"EURUSD"}
    with pytest.raises(DataError, match="ODD"):
        Desk("ODD").symbols.load(rows, 0)


def test_symbols_are_looked_at_once_a_minute() -> None:
    desk = Desk()
    desk.symbols.load([EURUSD], 0)
    asked = (LOOK_AGAIN_NS - 1, LOOK_AGAIN_NS, LOOK_AGAIN_NS + 1, 2 * LOOK_AGAIN_NS)
    assert [desk.symbols.due(now_ns) for now_ns in asked] == [False, True, False, True]


def test_only_what_an_order_is_measured_by_is_a_change_and_flags_are_taken_over_in_silence() -> None:
    desk = Desk()
    desk.symbols.load([EURUSD], 0)
    assert desk.symbols.look(EURUSD | {"filling_mode": 1}, 1) == []
    assert desk.rows["EURUSD"]["filling_mode"] == 1
    (told,) = desk.symbols.look(EURUSD | {"trade_mode": 3}, 2)
    assert isinstance(told, SymbolChanged)
    assert told.spec is desk.specs["EURUSD"]
    assert told.spec.trading_mode is TradingMode.CLOSE_ONLY


@pytest.mark.parametrize("odd", [ODD, BROKEN])
def test_a_row_that_means_nothing_is_told_once_and_changes_nothing(odd: dict[str, float]) -> None:
    desk = Desk()
    desk.symbols.load([EURUSD], 0)
    before = desk.specs["EURUSD"]
    (told,) = desk.symbols.look(EURUSD | odd, 1)
    assert isinstance(told, Notice)
    assert "what was known before still counts" in told.text
    assert desk.symbols.look(EURUSD | odd, 2) == []
    assert desk.specs["EURUSD"] is before
    assert desk.rows["EURUSD"] == EURUSD
