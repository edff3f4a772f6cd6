"""What `pepperstone live` does: settings to a node, with the platforms that are installed."""

import importlib
import importlib.util
import time
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, create_model
from rich.console import Console

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.settings import load_settings
from pepperstone_adapter.live.factories import AccountClients
from pepperstone_adapter.live.node import LiveRun
from pepperstone_adapter.live.recording import Recorded
from pepperstone_adapter.live.settings import AccountSettings, LiveSettings

# A platform gives its account settings (`config`) and the clients of an account (`factories.account_clients`).
PLATFORMS = {
    "ctrader": ("pepperstone_adapter.ctrader", "CTraderAccountSettings"),
    "mt5": ("pepperstone_adapter.mt5", "Mt5AccountSettings"),
}


def installed() -> dict[str, type[AccountSettings]]:
    """Account settings of every platform that is part of this installation."""
    return {
        name: getattr(importlib.import_module(f"{package}.config"), model)
        for name, (package, model) in PLATFORMS.items()
        if importlib.util.find_spec(f"{package}.config") and importlib.util.find_spec(f"{package}.factories")
    }


def live_file() -> type[LiveSettings]:
    """The model of a live settings file: each account is checked by its own platform."""
    models: list[Any] = list(installed().values())
    account: Any = models[0]
    if len(models) > 1:
        account = Annotated[reduce(or_, models), Field(discriminator="platform")]
    return create_model(
        "LiveFile",
        __base__=LiveSettings,
        __doc__=LiveSettings.__doc__,
        accounts=(Annotated[tuple[account, ...], Field(min_length=1, max_length=8)], ...),
    )


LiveFile = live_file()


def run(path: Path, overrides: Sequence[str], confirm_live: str | None, check: bool) -> int:
    """Run the node of a settings file; returns the process's exit code."""
    settings = load_settings(path, LiveFile, overrides)
    if confirm_live is not None and not any(a.environment is Environment.LIVE for a in settings.accounts):
        raise ConfigurationError("--confirm-live was given and no account of the settings has environment: live")

    def make_clients(account: AccountSettings, whole: LiveSettings) -> AccountClients:
        package, _ = PLATFORMS[account.platform]
        make: Callable[[AccountSettings, LiveSettings, str | None], AccountClients]
        make = importlib.import_module(f"{package}.factories").account_clients
        return make(account, whole, confirm_live if account.environment is Environment.LIVE else None)

    console = Console()
    live = LiveRun(
        settings, make_clients, lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True), _keep
    )
    if check:
        live.describe()
        return 0
    return live.run()


def _keep(recorded: Recorded) -> Iterable[str]:
    from pepperstone_adapter.catalog.recorded import keep

    return keep(
        recorded.run,
        recorded.catalog,
        recorded.specs,
        platform=recorded.platform,
        source=recorded.source,
        now_ns=time.time_ns(),
    )
