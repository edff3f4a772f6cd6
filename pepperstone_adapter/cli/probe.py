"""`pepperstone probe`: what only a real account can tell, asked read-only."""

from pathlib import Path
from typing import Annotated

import typer

from pepperstone_adapter.cli.options import Account, Environment, Json, Set, account_changes

app = typer.Typer(no_args_is_help=True, help="Run read-only checks against a real account and report what it answers.")

_File = Annotated[
    Path | None, typer.Argument(help="Settings file with an account (live or download settings).", metavar="FILE")
]


@app.command()
def ctrader(
    settings: _File = None,
    account: Account = None,
    environment: Environment = None,
    seconds: Annotated[
        float,
        typer.Option("--seconds", min=1, max=600, help="How long prices are watched, and then the idle link."),
    ] = 32.0,
    record: Annotated[
        Path | None,
        typer.Option("--record", help="Write the messages to this file, without what is private.", metavar="FILE"),
    ] = None,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """Ask a cTrader server what the documents leave open. Read-only: it holds no request that trades.

    It signs in, reads account, symbols, lists and history, watches prices and the book of a few symbols, leaves the
    link idle for a while, and prints each answer beside what this program assumes. A line marked `differs` is worth a
    report: attach the recording (--record). Credentials, account numbers, labels and balances are replaced in it;
    prices, volumes, deals and times are not.

    Examples:

        pepperstone probe ctrader --account 1234567

        pepperstone probe ctrader --account 1234567 --record probe.jsonl

        pepperstone probe ctrader configs/live/ctrader-demo.yaml

    Exit codes: 0 the probe ran (also when answers differ), 4 credentials, 5 no connection.
    """
    from pepperstone_adapter.cli.probe_console import probe_ctrader

    probe_ctrader(settings, _changes(settings, account, environment, set_), seconds, record, as_json=json_)


@app.command()
def mt5(
    settings: _File = None,
    account: Account = None,
    environment: Environment = None,
    symbols: Annotated[
        Path | None,
        typer.Option("--symbols", help="Write every symbol as the terminal deals it to this file.", metavar="FILE"),
    ] = None,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """Ask a MetaTrader 5 terminal what only a real one can settle. Read-only: no order, no change of the Market Watch.

    It prints filling flags, stops levels, suffixes, the server clock's offset, where commission is booked, which deals
    keep a magic number, and how far tick and bar history reach. Account numbers and balances are not printed.

    With --symbols it also writes the specification of every symbol, for a sandbox whose terminal deals the same ones
    (mt5.symbol_dump in its settings). Nothing about the account is in that file.

    Examples:

        pepperstone probe mt5 configs/live/mt5-demo.yaml --account 1234567

        pepperstone probe mt5 --account 1234567 --set account.terminal=local

        pepperstone probe mt5 --account 1234567 --symbols symbols.json

    Exit codes: 0 the probe ran, 4 another account or a wrong token, 5 no terminal.
    """
    from pepperstone_adapter.cli.probe_mt5_console import probe_mt5

    probe_mt5(settings, _changes(settings, account, environment, set_), symbols, as_json=json_)


def _changes(settings: Path | None, account: str | None, environment: str | None, set_: list[str] | None) -> list[str]:
    given = account_changes(settings, account, environment)
    return [*(f"{key}={value}" for key, value in given.items() if value is not None), *(set_ or ())]
