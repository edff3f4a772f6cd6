"""Rows of the terminal as structs, held against what the simulated terminal does."""

from decimal import Decimal
from typing import Any

import pytest

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.mt5.client import parsing
from tests.kit.mt5_rows import EURUSD
from tests.kit.mt5_terminal import module_of, send, terminal_of

DONE = 10009


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        ("trade_allowed", True),  # nothing is off
        ("trade_allowed", False),
        ("expert_allowed", False),
        ("account_may_trade", False),
        ("connected", False),
        ("tradeapi_disabled", True),
    ],
)
def test_closing_is_allowed_exactly_where_the_terminal_closes(switch: str, value: bool) -> None:
    terminal = terminal_of()
    module = module_of(terminal)
    _, ticket, _ = send(terminal, volume=0.1)
    pending, order, _ = send(terminal, action=5, type=2, volume=0.1, price=1.05, type_filling=2)
    assert pending == DONE
    setattr(terminal, switch, value)
    state = module.terminal_info()
    snapshot = parsing.account(module.account_info()._asdict(), state._asdict(), ts_ns=0)
    close = {"action": 1, "symbol": "EURUSD", "type": 1, "volume": 0.1, "position": ticket, "type_filling": 1}
    closed = module.order_send(close)
    removed = module.order_send({"action": 8, "order": order})
    codes = {answer.retcode if answer is not None else module.last_error()[0] for answer in (closed, removed)}
    assert (codes == {DONE}) is snapshot.closing_allowed
    assert snapshot.closing_allowed is snapshot.trading_allowed is (snapshot.trading_note == "")


@pytest.mark.parametrize(
    ("switch", "button"),
    [("trade_allowed", "Algo Trading"), ("tradeapi_disabled", "untick 'Disable automated trading via Python'")],
)
def test_the_note_names_the_switch_that_is_off_and_no_other(switch: str, button: str) -> None:
    terminal = terminal_of()
    setattr(terminal, switch, switch == "tradeapi_disabled")
    module = module_of(terminal)
    note = parsing.account(module.account_info()._asdict(), module.terminal_info()._asdict(), ts_ns=0).trading_note
    assert button in note
    assert ";" not in note


@pytest.mark.parametrize("change", [{"trade_contract_size": 0.0}, {"volume_step": 0.0}, {"trade_mode": 7}])
def test_a_symbol_nothing_could_be_traded_by_is_an_error_with_its_name(change: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"symbol EURUSD: {next(iter(change))}"):
        parsing.symbol_spec(EURUSD | change, TradingHours.always(), "other", "test")


def test_a_swap_mode_the_module_does_not_have_is_no_reason_not_to_trade() -> None:
    assert parsing.symbol_spec(EURUSD | {"swap_mode": 9}, TradingHours.always(), "other", "test").name == "EURUSD"


def test_the_noise_of_a_float_does_not_reach_the_units() -> None:
    assert 57_000_000 * 1e-8 == 0.5700000000000001  # how a server's whole number of 10^-8 lots may arrive
    assert parsing.units_of(57_000_000 * 1e-8, Decimal(100_000)) == 57_000
