"""Symbols of a terminal, written down and loaded again: the loaded terminal shows and does what the first one did."""

import json
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.sandbox.mt5_terminal.terminal import Terminal
from tests.kit.mt5_terminal import module_of, send, terminal_of
from tests.kit.sandbox_ledger import fx

LIVE = {"time", "bid", "ask", "spread", "select", "visible"}


def dump(path: Path, *changes: dict[str, Any]) -> Path:
    """A dump of EURUSD as a terminal has it, once for each of `changes`."""
    (record,) = module_of(terminal_of(filling=3, stops_level=20)).symbols_get()
    records = [record._asdict() | change for change in changes or ({},)]
    path.write_text(json.dumps({"kind": "mt5-symbols", "symbols": records}))
    return path


def loaded(path: Path, **settings: Any) -> Terminal:
    return terminal_of(fx("EURUSD"), fx("USDJPY", digits=3), settings={"symbol_dump": path, **settings})


def test_a_loaded_terminal_shows_every_field_as_it_was_written_down(tmp_path: Path) -> None:
    odd = {"trade_contract_size": 1000.0, "filling_mode": 1, "session_deals": 7, "bank": "B", "swap_long": -1.5}
    path = dump(tmp_path / "symbols.json", odd)
    (shown,) = module_of(loaded(path)).symbols_get()
    (written,) = json.loads(path.read_text())["symbols"]
    assert {k: v for k, v in shown._asdict().items() if k not in LIVE} == {
        k: v for k, v in written.items() if k not in LIVE
    }
    assert (shown.bid, shown.select) == (0.0, False)  # outside the Market Watch, as ever


def test_it_deals_by_what_the_record_says(tmp_path: Path) -> None:
    size = {"trade_contract_size": 1000.0, "volume_min": 0.1, "volume_step": 0.1, "volume_max": 2.0}
    terminal = loaded(dump(tmp_path / "symbols.json", {"filling_mode": 1, **size}))
    assert send(terminal, volume=0.1)[0] == 10030  # IOC, where only FOK is allowed
    assert send(terminal, volume=0.1, type_filling=0, sl=1.0999)[0] == 10016  # nearer than 20 points
    assert send(terminal, volume=0.15, type_filling=0)[0] == 10014
    assert send(terminal, volume=2.1, type_filling=0)[0] == 10014
    assert send(terminal, volume=0.1, type_filling=0)[0] == 10009
    (position,) = terminal.ledger.accounts[terminal.login].positions.values()
    assert position.units == 100  # 0.1 lots of 1,000


def test_names_with_suffixes_are_the_sandboxs_symbols_and_unknown_ones_stand_at_their_price(tmp_path: Path) -> None:
    path = dump(tmp_path / "s.json", {"name": "EURUSD.a"}, {"name": "SpotCrude", "digits": 2, "bid": 75.1, "ask": 75.2})
    module = module_of(loaded(path))
    assert [s.name for s in module.symbols_get()] == ["EURUSD.a", "SpotCrude"]
    assert module.symbol_info("EURUSD") is None
    assert module.symbol_select("EURUSD.a")
    assert module.symbol_select("SpotCrude")
    assert module.symbol_info_tick("EURUSD.a").bid == 1.1  # the tape's EURUSD
    assert module.symbol_info_tick("SpotCrude").ask == 75.2
    buy = {"action": 1, "symbol": "EURUSD.a", "type": 0, "volume": 0.1, "type_filling": 1}
    assert module.order_send(buy).retcode == 10009
    assert [p.symbol for p in module.positions_get()] == ["EURUSD.a"]


def test_prices_of_a_tape_with_other_digits_are_the_same_prices(tmp_path: Path) -> None:
    terminal = loaded(dump(tmp_path / "s.json", {"digits": 4}))
    terminal.push("EURUSD", 123_456, 123_474)  # five digits on the tape
    module = module_of(terminal)
    module.symbol_select("EURUSD")
    tick = module.symbol_info_tick("EURUSD")
    assert (tick.bid, tick.ask) == (1.2346, 1.2347)
    terminal.push("USDJPY", 150_000, 150_010)  # not among the loaded symbols: nothing happens
    assert module.symbol_info("USDJPY") is None


def test_settings_still_change_one_symbol(tmp_path: Path) -> None:
    terminal = loaded(dump(tmp_path / "s.json"), symbols={"EURUSD": {"filling": 4}})
    assert module_of(terminal).symbol_info("EURUSD").filling_mode == 4
    assert terminal.spec("EURUSD").contract_size == D(100_000)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"digits": "5"}, r"symbol 1 \(EURUSD\): digits is '5'"),
        ({"volume_min": 0.0}, "digits or volumes"),
        ({"trade_contract_size": 0.0}, "contract size"),
        ({"swap_mode": 9}, "swap mode"),
    ],
)
def test_a_record_that_cannot_be_is_named(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        loaded(dump(tmp_path / "s.json", change))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no dump of symbols"),
        ("{}", "no list of symbols"),
        ("[1]", "symbol 1: not a record"),
        ('[{"name": "EURUSD"}]', r"symbol 1 \(EURUSD\): has no digits, trade_contract_size"),
    ],
)
def test_a_file_that_is_no_dump_is_told(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        loaded(path)
    with pytest.raises(DataError, match="no dump of symbols"):
        loaded(tmp_path / "missing.json")


def test_a_symbol_that_is_there_twice_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="EURUSD is there twice"):
        loaded(dump(tmp_path / "s.json", {}, {}))
