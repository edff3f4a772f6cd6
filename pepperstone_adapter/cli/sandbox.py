"""`pepperstone sandbox SETTINGS`: the simulated broker, until Ctrl-C."""

from pathlib import Path
from typing import Annotated

import typer

from pepperstone_adapter.cli.options import Set


def command(
    settings: Annotated[Path, typer.Argument(help="Settings file, e.g. configs/sandbox/default.yaml.", metavar="FILE")],
    set_: Set = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Stop after so many seconds instead of at Ctrl-C.", min=0)
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the ports as one JSON line and nothing else.")] = False,
) -> None:
    """Start a simulated broker on this machine: cTrader's wire, and a MetaTrader 5 terminal.

    It needs no account. Clients connect to 127.0.0.1 with the printed test credentials and must trust the printed
    certificate file; a node with `terminal: local` finds the terminal. Prices come from a seeded random walk or from
    the catalog.

        pepperstone sandbox configs/sandbox/default.yaml

        pepperstone sandbox configs/sandbox/default.yaml --set tape.speed=10
    """
    from pepperstone_adapter.cli.kinds import expected
    from pepperstone_adapter.cli.sandbox_console import serve
    from pepperstone_adapter.common.settings import load_settings
    from pepperstone_adapter.sandbox.settings import SandboxSettings

    with expected("sandbox", settings):
        loaded = load_settings(settings, SandboxSettings, set_ or ())
    serve(loaded, seconds, as_json=json_)
