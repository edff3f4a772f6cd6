"""An MT5 account in the settings: what is refused before anything is opened, and what the clients get."""

from typing import Any

import pytest
from pydantic import ValidationError

from pepperstone_adapter.mt5.config import Mt5AccountSettings, Mt5DataConfig
from pepperstone_adapter.mt5.constants import RPYC_TERMINAL, SANDBOX_TERMINAL
from pepperstone_adapter.mt5.factories import gateway_options, known_spec
from pepperstone_adapter.mt5.providers import Mt5InstrumentProvider


def settings(**changes: Any) -> Mt5AccountSettings:
    return Mt5AccountSettings(**{"account": "123", **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": "10.0.0.5"}, "TLS"),
        ({"terminal": "rpyc", "host": "10.0.0.5"}, "tunnel"),
        ({"terminal": "local", "host": "10.0.0.5"}, "this machine"),
        ({"terminal": "rpyc", "environment": "sandbox"}, "sandbox"),
        ({"server_time": "Mars"}, "Mars"),
    ],
)
def test_unsafe_or_impossible_accounts_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**changes)


def test_each_way_has_its_own_port() -> None:
    ports = [settings(terminal=way).default_port for way in ("gateway", "local", "rpyc")]
    assert ports == [18_815, 5055, 18_812]


def config(**changes: Any) -> Mt5DataConfig:
    return Mt5DataConfig(**{"account": "123", "port": 7000, **changes})


def test_a_gateway_of_our_own_holds_the_terminal_that_was_asked_for() -> None:
    sandbox = gateway_options(config(terminal="local", environment="sandbox"), {})
    assert (sandbox.terminal, dict(sandbox.worker_env)) == (
        SANDBOX_TERMINAL,
        {"PEPPERSTONE_SANDBOX_MT5": "127.0.0.1:7000"},
    )
    rpyc = gateway_options(config(terminal="rpyc"), {})
    assert rpyc.terminal == RPYC_TERMINAL
    assert rpyc.worker_env["PEPPERSTONE_MT5_RPYC_PORT"] == "7000"
    real = gateway_options(config(terminal="local", server="Pepperstone-Demo"), {"PEPPERSTONE_MT5_PASSWORD": "pw"})
    assert real.terminal == "MetaTrader5"
    assert real.login == {"login": 123, "password": "pw", "server": "Pepperstone-Demo"}
    assert "pw" not in repr(real)


def test_hours_of_a_symbol_with_a_suffix_are_its_plain_names() -> None:
    from pepperstone_adapter.broker import symbol_table

    table = symbol_table.load()
    assert known_spec(table, "EURUSD.a") == table["EURUSD"]
    assert known_spec(table, "NOPE.a") is None


def test_the_provider_is_the_shared_one() -> None:
    assert Mt5InstrumentProvider.__module__ == "pepperstone_adapter.live.providers"
