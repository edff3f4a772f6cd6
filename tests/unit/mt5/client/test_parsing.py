"""Rows of the terminal as structs, held against what the simulated terminal does."""

import pytest

from pepperstone_adapter.mt5.client import parsing
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
    snapshot = parsing.account(
        module.account_info()._asdict(),
        connected=state.connected,
        terminal_may_trade=state.trade_allowed and not state.tradeapi_disabled,
        ts_ns=0,
    )
    close = {"action": 1, "symbol": "EURUSD", "type": 1, "volume": 0.1, "position": ticket, "type_filling": 1}
    closed = module.order_send(close)
    removed = module.order_send({"action": 8, "order": order})
    codes = {answer.retcode if answer is not None else module.last_error()[0] for answer in (closed, removed)}
    assert (codes == {DONE}) is snapshot.closing_allowed
    assert snapshot.closing_allowed is snapshot.trading_allowed is (snapshot.trading_note == "")
