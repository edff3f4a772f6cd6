"""Clients of one connection, made from a platform's configuration.

The data client and the execution client of an account share one session. Their configurations carry the same `key`, and
the first of the two factories to run makes the connection. Nothing is opened here: that is the clients' `_connect`.
"""

from collections.abc import Callable
from typing import Any

from nautilus_trader.model import AccountId, TraderId, Venue

from pepperstone_adapter.broker.account import Environment, PositionMode
from pepperstone_adapter.broker.session import BrokerSession
from pepperstone_adapter.live.config import LiveDataConfig, LiveExecConfig
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.data import BrokerDataClient
from pepperstone_adapter.live.execution import BrokerExecutionClient
from pepperstone_adapter.live.keys import check_reported, masked

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
