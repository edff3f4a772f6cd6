"""Factories of the framework for MetaTrader 5 clients, and the clients of a settings account."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nautilus_trader.live.clients import DataClientFactory, ExecutionClientFactory
from nautilus_trader.model import TraderId

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import CredentialsError
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.factories import (
    AccountClients,
    account_execution_client,
    clients_of,
    connection_for,
    data_client,
)
from pepperstone_adapter.live.settings import AccountSettings, LiveSettings
from pepperstone_adapter.mt5.client.account import Mt5Account
from pepperstone_adapter.mt5.client.gateway_link import GatewayAddress, GatewayLink
from pepperstone_adapter.mt5.client.local_link import LocalLink
from pepperstone_adapter.mt5.client.protocol import GatewayNews
from pepperstone_adapter.mt5.client.session import Mt5Session
from pepperstone_adapter.mt5.config import Mt5AccountSettings, Mt5DataConfig, Mt5ExecConfig, Reach, values_of
from pepperstone_adapter.mt5.constants import (
    PASSWORD_VARIABLE,
    RPYC_TERMINAL,
    SANDBOX_PASSWORD,
    SANDBOX_TERMINAL,
    SANDBOX_VARIABLE,
    TOKEN_VARIABLE,
)
from pepperstone_adapter.mt5.data import Mt5DataClient
from pepperstone_adapter.mt5.execution import Mt5ExecutionClient
from pepperstone_adapter.mt5.gateway.options import GatewayOptions

type Config = Mt5DataConfig | Mt5ExecConfig


def gateway_options(config: Config, env: Mapping[str, str] = os.environ) -> GatewayOptions:
    """The gateway of our own for `local` and `rpyc`, before its port and token are known.

    The password comes from the environment; a terminal that has saved it needs none.
    """
    login: dict[str, Any] = {"login": int(config.account)}
    sandbox = config.environment == Environment.SANDBOX.value
    password = SANDBOX_PASSWORD if sandbox else env.get(PASSWORD_VARIABLE)
    if password:  # without one the terminal uses what it has saved
        login["password"] = password
        if config.server:
            login["server"] = config.server
    if config.path:
        login["path"] = config.path
    address = f"{config.host}:{config.port}"
    if config.terminal == Reach.RPYC.value:
        worker_env = {
            "PEPPERSTONE_MT5_RPYC_HOST": config.host,
            "PEPPERSTONE_MT5_RPYC_PORT": str(config.port),
            "PEPPERSTONE_MT5_RPYC_TUNNEL": "yes" if config.tunnel else "no",
        }
        terminal = RPYC_TERMINAL
    elif sandbox:
        worker_env, terminal = {SANDBOX_VARIABLE: address}, SANDBOX_TERMINAL
    else:
        worker_env, terminal = {}, "MetaTrader5"
    return GatewayOptions(
        port=0, terminal=terminal, login=login, state_dir=Path(config.gateway_dir), worker_env=worker_env
    )


def link_of(
    config: Config, env: Mapping[str, str] = os.environ
) -> Callable[[Callable[[Sequence[GatewayNews]], None]], GatewayLink]:
    """What makes the link to the terminal."""
    if config.terminal != Reach.GATEWAY.value:
        options = gateway_options(config, env)
        return lambda on_news: LocalLink(options, on_news)
    token = env.get(TOKEN_VARIABLE, "")
    away = config.tls or config.ca_file is not None
    if away and not token:
        raise CredentialsError(
            f"the gateway on {config.host} wants its token; set {TOKEN_VARIABLE} to the value it was started with"
        )
    address = GatewayAddress(
        host=config.host,
        port=config.port,
        ca_file=Path(config.ca_file) if config.ca_file else None,
        tls=config.tls,
        token=token,
        name=f"pepperstone-{config.account}",
    )
    return lambda on_news: GatewayLink(address, on_news)


def _terminal_hint(config: Config) -> str:
    """What to look at when the terminal does not become ready."""
    where = f"{config.host}:{config.port}"
    if config.terminal == Reach.GATEWAY.value:
        return f"look at its window, and at the log of the gateway on {where}"
    if config.terminal == Reach.RPYC.value:
        return f"the rpyc server beside it should listen on {where}: start it, or correct the account's host and port"
    if config.environment == Environment.SANDBOX.value:
        return (
            f"the simulated terminal should listen on {where}: start `pepperstone sandbox`, "
            "or correct the account's number or port"
        )
    return "start the MetaTrader 5 terminal of this machine, log in, and look at its window"


def known_spec(table: Mapping[str, SymbolSpec], name: str) -> SymbolSpec | None:
    """What our symbol table says about a broker's symbol: by its name, else by its name without an entity's suffix."""
    return table.get(name) or table.get(name.partition(".")[0])


def session_of(config: Config, env: Mapping[str, str] = os.environ, **time: Any) -> Mt5Session:
    """The session of a configuration; `time` is for a broker that lives in another (see `Mt5Session`)."""
    table = symbol_table.load()

    def hours(name: str) -> TradingHours:
        spec = known_spec(table, name) if config.hours == "table" else None
        return spec.hours if spec is not None else TradingHours.always()

    def leverage_class(name: str) -> str:
        spec = known_spec(table, name)
        return spec.leverage_class if spec is not None else "other"

    expected = Mt5Account(
        login=int(config.account),
        server=config.server,
        server_time=config.server_time,
        symbols=tuple(config.symbols),
        hours=hours,
        leverage_class=leverage_class,
        connect_timeout_s=config.connect_timeout_s,
        sandbox=config.environment == Environment.SANDBOX.value,
        terminal_hint=_terminal_hint(config),
    )
    return Mt5Session(expected, link_of(config, env), **time)


def _connection(config: Config) -> Connection:
    return connection_for(config, lambda: session_of(config))


class Mt5DataClientFactory(DataClientFactory):
    """Makes the data client of an `Mt5DataConfig`."""

    @staticmethod
    def create(*, name: str, config: Any, cache: Any, clock: Any) -> Mt5DataClient:
        return data_client(name, config, cache, clock, _connection(config))


class Mt5ExecutionClientFactory(ExecutionClientFactory):
    """Makes the execution client of an `Mt5ExecConfig`."""

    @staticmethod
    def create(*, name: str, config: Any, cache: Any, clock: Any, trader_id: TraderId) -> Mt5ExecutionClient:
        return account_execution_client(name, config, cache, clock, trader_id, _connection(config))


def account_clients(account: AccountSettings, settings: LiveSettings, confirm_live: str | None) -> AccountClients:
    """The clients of one account of the settings."""
    if not isinstance(account, Mt5AccountSettings):
        raise TypeError(f"not a MetaTrader 5 account: {account.platform}")
    state_dir = Path(settings.state_dir)
    # Half of the node's patience: the session's own error is told, not the framework's timeout.
    values = values_of(account, state_dir, confirm_live, connect_timeout_s=settings.connect_timeout_s / 2)
    return clients_of(
        account,
        state_dir,
        values,
        (Mt5DataConfig, Mt5ExecConfig),
        (Mt5DataClientFactory, Mt5ExecutionClientFactory),
    )
