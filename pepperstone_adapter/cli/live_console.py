"""What `pepperstone live` does: settings to a node, with the platforms that are installed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field
from rich.console import Console

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.settings import load_settings
from pepperstone_adapter.ctrader.config import CTraderAccountSettings
from pepperstone_adapter.ctrader.factories import account_clients as ctrader_clients
from pepperstone_adapter.live.node import AccountClients, LiveRun
from pepperstone_adapter.live.settings import AccountSettings, LiveSettings
from pepperstone_adapter.mt5.config import Mt5AccountSettings
from pepperstone_adapter.mt5.factories import account_clients as mt5_clients

type AnyAccount = Annotated[CTraderAccountSettings | Mt5AccountSettings, Field(discriminator="platform")]


class LiveFile(LiveSettings):
    """A live settings file with the accounts of every platform."""

    accounts: Annotated[tuple[AnyAccount, ...], Field(min_length=1, max_length=8)]


def run(path: Path, overrides: Sequence[str], confirm_live: str | None, check: bool) -> int:
    """Run the node of a settings file; returns the process's exit code."""
    settings = load_settings(path, LiveFile, overrides)
    if confirm_live is not None and not any(a.environment is Environment.LIVE for a in settings.accounts):
        raise ConfigurationError("--confirm-live was given and no account of the settings has environment: live")

    def make_clients(account: AccountSettings, whole: LiveSettings) -> AccountClients:
        confirmed = confirm_live if account.environment is Environment.LIVE else None
        if isinstance(account, Mt5AccountSettings):
            return mt5_clients(account, whole, confirmed)
        return ctrader_clients(account, whole, confirmed)

    console = Console()
    live = LiveRun(settings, make_clients, lambda line: console.print(line, markup=False, highlight=False))
    if check:
        live.describe()
        return 0
    return live.run()
