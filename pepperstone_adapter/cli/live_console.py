"""What `pepperstone live` does: settings to a node, with the platforms that are installed."""

import importlib
import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, create_model
from rich.console import Console

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.catalog.unkept import run_lock, unkept, write_note
from pepperstone_adapter.cli.kinds import expected
from pepperstone_adapter.cli.started import as_started
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.files import FileLock
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
    with expected("live", path):
        settings = load_settings(path, LiveFile, overrides)
    if confirm_live is not None and not any(a.environment is Environment.LIVE for a in settings.accounts):
        raise ConfigurationError("--confirm-live was given and no account of the settings has environment: live")

    def make_clients(account: AccountSettings, whole: LiveSettings) -> AccountClients:
        package, _ = PLATFORMS[account.platform]
        make: Callable[[AccountSettings, LiveSettings, str | None], AccountClients]
        make = importlib.import_module(f"{package}.factories").account_clients
        return make(account, whole, confirm_live if account.environment is Environment.LIVE else None)

    console = Console()

    def say(line: str) -> None:
        console.print(as_started(line), markup=False, highlight=False, soft_wrap=True)

    live = LiveRun(settings, make_clients, say, _CatalogKeeper())
    if check:
        live.describe()
        return 0
    if settings.record is not None:
        for left in unkept(settings.record.catalog):
            live.say(
                f"warning: the recording in {left} is not in the catalog yet; "
                f"put it there: pepperstone data recorded {left}"
            )
    return live.run()


class _CatalogKeeper:
    """Recordings into the catalog. The run's folder is locked from its note until it is kept."""

    def __init__(self) -> None:
        self._lock: FileLock | None = None

    def note(self, recorded: Recorded) -> None:
        if self._lock is None:
            self._lock = run_lock(recorded.run).__enter__()
        write_note(recorded.run, recorded.specs, platform=recorded.platform, source=recorded.source)

    def keep(self, recorded: Recorded) -> Iterator[str]:
        from pepperstone_adapter.catalog.recorded import keep

        try:
            yield from keep(
                recorded.run,
                recorded.catalog,
                recorded.specs,
                platform=recorded.platform,
                source=recorded.source,
                now_ns=time.time_ns(),
            )
        finally:
            if self._lock is not None:
                self._lock.__exit__(None, None, None)
                self._lock = None
