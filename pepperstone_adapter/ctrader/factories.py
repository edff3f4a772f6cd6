"""Factories of the framework for cTrader clients, and the clients of a settings account."""

from pathlib import Path
from typing import Any

from nautilus_trader.live.clients import DataClientFactory, ExecutionClientFactory
from nautilus_trader.model import TraderId

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.common.errors import ConfigurationError, CredentialsError
from pepperstone_adapter.ctrader.client.desk import Wanted
from pepperstone_adapter.ctrader.client.session import ENDPOINTS, CTraderSession
from pepperstone_adapter.ctrader.client.stores import (
    EnvironmentStore,
    data_dir,
    find_store,
    passphrase_from_environment,
)
from pepperstone_adapter.ctrader.client.tokens import Credentials, CredentialStore, login_hint
from pepperstone_adapter.ctrader.config import (
    LOOPBACK,
    CTraderAccountSettings,
    CTraderDataConfig,
    CTraderExecConfig,
    values_of,
)
from pepperstone_adapter.ctrader.constants import DEFAULT_PROFILE, SANDBOX_HOST, SANDBOX_LOGIN, SANDBOX_PORT
from pepperstone_adapter.ctrader.data import CTraderDataClient
from pepperstone_adapter.ctrader.execution import CTraderExecutionClient
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.factories import (
    AccountClients,
    account_execution_client,
    clients_of,
    connection_for,
    data_client,
)
from pepperstone_adapter.live.keys import check_before_connecting
from pepperstone_adapter.live.settings import AccountSettings, LiveSettings
from pepperstone_adapter.network.tls import Endpoint

SANDBOX_PATIENCE_S = 15.0  # a broker on this machine answers at once or is not there


def load_credentials(environment: Environment, profile: str) -> tuple[CredentialStore, Credentials]:
    """The stored credentials of a profile; the sandbox's own fixed ones for the sandbox. May block.

    A sandbox account that names a profile other than the default one is signed in with what is stored there, so that
    a refused or expired login can be tried. Without one no real credential ever goes to a sandbox.

    Raises
    ------
    CredentialsError
        Nothing is stored under this profile.
    """
    if environment is Environment.SANDBOX and profile == DEFAULT_PROFILE:
        store: CredentialStore = EnvironmentStore(DEFAULT_PROFILE, data_dir(), SANDBOX_LOGIN)
        found = store.load()
        if found is not None:
            return store, found
    stored = find_store(profile, passphrase_from_environment)
    if stored is None:
        hint = "; without `profile` a sandbox account needs none" if environment is Environment.SANDBOX else ""
        raise CredentialsError(
            f"no cTrader credentials are stored for profile '{profile}'; {login_hint(profile)}{hint}"
        )
    return stored


def endpoint_of(config: CTraderAccountSettings | CTraderDataConfig | CTraderExecConfig) -> Endpoint:
    """Where the server of an account is: its environment's, or what the settings say instead."""
    environment = Environment(config.environment)
    if environment is Environment.SANDBOX:
        host = config.host or SANDBOX_HOST
        # Which accounts are live is not asked at a sandbox: a real server under that name would go round the three keys.
        if host not in LOOPBACK:
            raise ConfigurationError(f"environment sandbox is this machine, not {host}")
        if not config.ca_file:
            raise ConfigurationError("environment sandbox needs ca_file (the sandbox prints where its ca.pem is)")
        return Endpoint(host=host, port=config.port or SANDBOX_PORT, ca_file=Path(config.ca_file))
    default = ENDPOINTS[environment.value]
    return Endpoint(host=config.host or default.host, port=config.port or default.port)


def session_of(config: CTraderDataConfig | CTraderExecConfig) -> CTraderSession:
    environment = Environment(config.environment)
    return CTraderSession(
        Wanted(account_number=config.account, environment=environment),
        endpoint_of(config),
        lambda: load_credentials(environment, config.profile),
        connect_timeout_s=config.connect_timeout_s,
    )


def _connection(config: CTraderDataConfig | CTraderExecConfig) -> Connection:
    return connection_for(config, lambda: session_of(config), prime_timeout_s=min(10.0, config.connect_timeout_s / 2))


class CTraderDataClientFactory(DataClientFactory):
    """Makes the data client of a `CTraderDataConfig`."""

    @staticmethod
    def create(*, name: str, config: Any, cache: Any, clock: Any) -> CTraderDataClient:
        return data_client(name, config, cache, clock, _connection(config))


class CTraderExecutionClientFactory(ExecutionClientFactory):
    """Makes the execution client of a `CTraderExecConfig`."""

    @staticmethod
    def create(*, name: str, config: Any, cache: Any, clock: Any, trader_id: TraderId) -> CTraderExecutionClient:
        return account_execution_client(name, config, cache, clock, trader_id, _connection(config))


def account_clients(account: AccountSettings, settings: LiveSettings, confirm_live: str | None) -> AccountClients:
    """The clients of one account of the settings.

    Raises
    ------
    ConfigurationError
        A live account without its keys.
    """
    check_before_connecting(account.environment, account.account, confirm_live)
    if not isinstance(account, CTraderAccountSettings):
        raise TypeError(f"not a cTrader account: {account.platform}")
    # Half of the node's patience: the session's own error is told, not the framework's timeout.
    patience_s = settings.connect_timeout_s / 2
    if account.ca_file is not None:
        patience_s = min(patience_s, SANDBOX_PATIENCE_S)
        if not account.ca_file.exists():
            raise ConfigurationError(
                f"{account.ca_file}: no such ca_file; start `pepperstone sandbox configs/sandbox/default.yaml` first: it "
                "writes the file and prints its path"
            )
    return clients_of(
        account,
        Path(settings.state_dir),
        values_of(account, confirm_live, connect_timeout_s=patience_s),
        (CTraderDataConfig, CTraderExecConfig),
        (CTraderDataClientFactory, CTraderExecutionClientFactory),
    )
