"""`pepperstone live SETTINGS`: run strategies on an account until Ctrl-C."""

from pathlib import Path
from typing import Annotated

import typer

from pepperstone_adapter.cli.options import Set


def command(
    settings: Annotated[
        Path, typer.Argument(help="Settings file, e.g. configs/live/ctrader-sandbox.yaml.", metavar="FILE")
    ],
    set_: Set = None,
    confirm_live: Annotated[
        str | None,
        typer.Option(
            "--confirm-live",
            metavar="ACCOUNT",
            help="Real money: your live account number, the same as in the settings.",
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Read settings and strategies, connect to nothing.")] = False,
) -> None:
    """Run strategies on a sandbox, demo or live account.

    Out of the box, with no account, in two windows:

        pepperstone sandbox configs/sandbox/default.yaml

        pepperstone live configs/live/ctrader-sandbox.yaml

    A demo account needs credentials (`pepperstone auth login ctrader`) and its number in the settings. Real money
    needs three keys: `environment: live`, the live account's number in the settings, and --confirm-live with the
    same number.

    Ctrl-C once stops in order (`on_stop` of the settings says what happens to working orders and positions), twice
    ends at once. Exit codes: 0 ended by a strategy, 130 interrupted, 4 credentials, 5 broker or connection,
    7 orders left with an unknown outcome.
    """
    from pepperstone_adapter.cli.live_console import run

    code = run(settings, set_ or (), confirm_live, check)
    if code:
        raise typer.Exit(code)
