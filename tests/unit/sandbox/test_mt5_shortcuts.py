"""The module's own Python functions, as the wheel has them."""

import pytest

from tests.kit.mt5_terminal import module_of, terminal_of

ANY = {"filling": 3}  # the shortcuts name no filling mode, which is fill-or-kill


def test_buy_and_sell_deal_at_the_newest_price() -> None:
    terminal = terminal_of(**ANY)
    module = module_of(terminal)
    module.symbol_select("EURUSD")
    bought = module.Buy("EURUSD", 0.1, comment="mine")
    sold = module.Sell("EURUSD", 0.1)
    assert (bought.retcode, bought.price, sold.price) == (10009, 1.1001, 1.1)
    sent = bought.request
    assert (sent.deviation, sent.type_filling, sent.price, sent.comment, sent.position) == (10, 0, 1.1001, "mine", 0)
    assert len(module.positions_get()) == 2


def test_a_requote_is_asked_again_ten_times_at_most() -> None:
    terminal = terminal_of(execution=1, **ANY)
    module = module_of(terminal)
    module.symbol_select("EURUSD")
    terminal.requote = 9
    assert module.Buy("EURUSD", 0.1).retcode == 10009
    terminal.requote = 10
    assert module.Buy("EURUSD", 0.1).retcode == 10004
    terminal.requote = 1
    assert module.Buy("EURUSD", 0.1, 1.1001).retcode == 10004  # a given price is sent once


def test_close_closes_a_symbol_or_a_ticket() -> None:
    terminal = terminal_of(**ANY)
    module = module_of(terminal)
    module.symbol_select("EURUSD")
    first, _ = module.Buy("EURUSD", 0.1).order, module.Sell("EURUSD", 0.2)
    assert module.Close("EURUSD", ticket=first) is True
    assert [p.volume for p in module.positions_get()] == [0.2]
    assert module.Close("EURUSD") is True
    assert module.positions_get() == ()
    assert module.Close("EURUSD") is False


def test_some_closed_is_partially_and_no_request_is_none() -> None:
    terminal = terminal_of(freeze_level=50, **ANY)
    module = module_of(terminal)
    module.symbol_select("EURUSD")
    module.Buy("EURUSD", 0.1)
    near = {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0, "sl": 1.0999}
    assert module.order_send(near).retcode == 10009  # ten points from its stop: frozen
    assert module.Close("EURUSD") == "Partially"
    terminal.tradeapi_disabled = True
    assert module.Close("EURUSD") is None
    assert module.Buy("EURUSD", 0.1) is None
    assert module.last_error()[0] == -8


def test_what_fails_in_the_wheel_fails_here() -> None:
    module = module_of(terminal_of(**ANY))
    with pytest.raises(AttributeError):
        module.Buy("NOSUCH", 0.1)
    module.shutdown()
    with pytest.raises(TypeError):
        module.Close("EURUSD")
    assert module.last_error()[0] == -10004
