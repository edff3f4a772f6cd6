"""Clients of one connection, made from a platform's configuration.

The data client and the execution client of an account share one session. Their configurations carry the same `key`, and
the first of the two factories to run makes the connection. Nothing is opened here: that is the clients' `_connect`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nautilus_trader.model import AccountId, TraderId, Venue

from pepperstone_adapter.broker.account import Environment, PositionMode
from pepperstone_adapter.broker.session import BrokerSession
from pepperstone_adapter.live.config import (
    AccountConfig,
    AccountDataConfig,
    AccountExecConfig,
    LiveDataConfig,
    LiveExecConfig,
)
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.data import BrokerDataClient
from pepperstone_adapter.live.execution import BrokerExecutionClient
from pepperstone_adapter.live.keys import check_before_connecting, check_reported, masked
from pepperstone_adapter.live.settings import AccountSettings

_connections: dict[str, Connection] = {}


def connection_of(key: str) -> Connection | None:
    """The connection of an account of this process, once a client of it was made."""
    return _connections.get(key)


def forget(key: str) -> None:
    """A node has ended: the next one makes connections of its own."""
    _connections.pop(key, None)


def shared_connection(
    key: str,
    open_session: Callable[[], BrokerSession],
    *,
    venue: str,
    symbols: tuple[str, ...],
    environment: Environment,
    account_number: str,
    confirm_live: str | None,
    prime_timeout_s: float = 10.0,
) -> Connection:
    """The connection of an account, made on first use; the three keys are checked once the broker has answered."""
    connection = _connections.get(key)
    if connection is None:
        connection = Connection(
            open_session,
            venue,
            symbols,
            check=lambda reported: check_reported(environment, account_number, confirm_live, reported),
            prime_timeout_s=prime_timeout_s,
        )
        _connections[key] = connection
    return connection


def connection_for(
    config: AccountConfig, open_session: Callable[[], BrokerSession], prime_timeout_s: float = 10.0
) -> Connection:
    """The connection of a configuration's account.

    Raises
    ------
    ConfigurationError
        A live account without its keys.
    """
    environment = Environment(config.environment)
    check_before_connecting(environment, config.account, config.confirm_live)
    return shared_connection(
        config.key,
        open_session,
        venue=config.venue,
        symbols=tuple(config.symbols),
        environment=environment,
        account_number=config.account,
        confirm_live=config.confirm_live,
        prime_timeout_s=prime_timeout_s,
    )


def data_client(name: str, config: LiveDataConfig, cache: Any, clock: Any, connection: Connection) -> BrokerDataClient:
    return BrokerDataClient(
        name=name, config=config, cache=cache, clock=clock, connection=connection, venue=Venue(connection.venue)
    )


def execution_client(
    name: str,
    config: LiveExecConfig,
    cache: Any,
    clock: Any,
    trader_id: TraderId,
    connection: Connection,
    *,
    account_number: str,
    mode: PositionMode,
    currency: str,
) -> BrokerExecutionClient:
    client = BrokerExecutionClient(
        name=name,
        config=config,
        cache=cache,
        clock=clock,
        trader_id=trader_id,
        connection=connection,
        venue=Venue(connection.venue),
        account_id=AccountId(f"{connection.venue}-{masked(account_number)}"),
        mode=PositionMode.HEDGING if mode is PositionMode.SPREAD_BETTING else mode,
        currency=currency,
    )
    connection.execution = client
    return client


def account_execution_client(
    name: str, config: AccountExecConfig, cache: Any, clock: Any, trader_id: TraderId, connection: Connection
) -> BrokerExecutionClient:
    """The execution client of a configuration that knows its account."""
    return execution_client(
        name,
        config,
        cache,
        clock,
        trader_id,
        connection,
        account_number=config.account,
        mode=PositionMode(config.mode),
        currency=config.currency,
    )


@dataclass(frozen=True, slots=True)
class AccountClients:
    """What a platform makes of one account of the settings.

    Attributes
    ----------
    key
        Under which the clients of the account find their shared connection.
    """

    account: AccountSettings
    key: str
    data_config: AccountDataConfig
    data_factory: type
    exec_config: AccountExecConfig
    exec_factory: type


def clients_of(
    account: AccountSettings,
    state_dir: Path,
    values: dict[str, Any],
    configs: tuple[type[AccountDataConfig], type[AccountExecConfig]],
    factories: tuple[type, type],
) -> AccountClients:
    """The clients of one account of the settings.

    Parameters
    ----------
    values
        What both configurations of the platform take.
    configs, factories
        The platform's, of the data client and of the execution client.
    """
    data = configs[0](stale_after_s=account.stale_after_s, **values)
    execution = configs[1](
        state_dir=str(state_dir / data.platform),
        audit_interval_s=account.audit_interval_s,
        give_up_after_s=account.give_up_after_s,
        **values,
    )
    return AccountClients(
        account=account,
        key=data.key,
        data_config=data,
        data_factory=factories[0],
        exec_config=execution,
        exec_factory=factories[1],
    )
