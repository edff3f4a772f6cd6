"""`pepperstone probe`: what only a real account can tell, asked read-only."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Run read-only checks against a real account and report what it answers.")


@app.callback()
def _group() -> None:
    """A group of commands, one for each platform."""


@app.command()
def ctrader(
    settings: Annotated[
        Path | None,
        typer.Argument(help="Settings file with an account (live or download settings).", metavar="FILE"),
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="Account number, where no settings file names it.")
    ] = None,
    environment: Annotated[
        str | None, typer.Option("--environment", help="demo, live or sandbox of that account.")
    ] = None,
    seconds: Annotated[
        float,
        typer.Option("--seconds", min=1, max=600, help="How long prices are watched, and then the idle link."),
    ] = 32.0,
    record: Annotated[
        Path | None,
        typer.Option("--record", help="Write the messages to this file, without what is private.", metavar="FILE"),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: account.key=value. May be repeated.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Ask a cTrader server what the documents leave open. Read-only: it holds no request that trades.

    It signs in, reads account, symbols, lists and history, watches prices and the book of a few symbols, leaves the
    link idle for a while, and prints each answer beside what this program assumes. A line marked `differs` is worth a
    report: attach the recording (--record). Credentials, account numbers, labels and balances are replaced in it;
    prices, volumes, deals and times are not.

    Examples:

        pepperstone probe ctrader --account 1234567

        pepperstone probe ctrader configs/live/ctrader-demo.yaml --account 1234567 --record probe.jsonl

    Exit codes: 0 the probe ran (also when answers differ), 4 credentials, 5 no connection.
    """
    from pepperstone_adapter.cli.probe_console import probe_ctrader
    from pepperstone_adapter.common.errors import ConfigurationError

    if settings is None and account is None:
        raise ConfigurationError(
            "no account: give --account NUMBER (a demo account), or a settings file that names one"
        )
    given = {"account.account": account, "account.environment": environment}
    options = [f"{key}={value}" for key, value in given.items() if value is not None]
    probe_ctrader(settings, [*options, *(set_ or ())], seconds, record, as_json=json_)


@app.command()
def mt5(
    settings: Annotated[
        Path | None,
        typer.Argument(help="Settings file with an account (live or download settings).", metavar="FILE"),
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="Account number, where no settings file names it.")
    ] = None,
    symbols: Annotated[
        Path | None,
        typer.Option("--symbols", help="Write every symbol as the terminal deals it to this file.", metavar="FILE"),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: account.key=value. May be repeated.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
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

    options = [f"account.account={account}"] if account is not None else []
    probe_mt5(settings, [*options, *(set_ or ())], symbols, as_json=json_)
