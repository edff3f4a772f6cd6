"""`pepperstone data download`: history of a broker into the catalog."""

from pathlib import Path
from typing import Annotated

import typer

from pepperstone_adapter.cli.options import Account, Environment, Json, Set, account_changes


def command(
    settings: Annotated[
        Path | None,
        typer.Argument(help="Settings file with the account and what to download; options add to it.", metavar="FILE"),
    ] = None,
    symbol: Annotated[
        list[str] | None, typer.Option("--symbol", help="The broker's symbol name. May be repeated.", metavar="NAME")
    ] = None,
    period: Annotated[
        list[str] | None,
        typer.Option("--period", help="Bars of this period (M1, H1, D1, ...). May be repeated.", metavar="PERIOD"),
    ] = None,
    ticks: Annotated[bool, typer.Option("--ticks", help="Ticks: every change of bid or ask, as quotes.")] = False,
    start: Annotated[
        str | None, typer.Option("--start", help="From: 2024-01-31 (midnight UTC) or 2024-01-31T09:30:00Z.")
    ] = None,
    end: Annotated[str | None, typer.Option("--end", help="Up to, exclusive; now when not given.")] = None,
    catalog: Annotated[Path | None, typer.Option("--catalog", help="Catalog folder.", metavar="DIR")] = None,
    account: Account = None,
    environment: Environment = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Read the whole range again and put it in place of what is stored."),
    ] = False,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """Download bars and ticks from a broker into the catalog. Read-only: nothing is traded.

    What was read is stored piece by piece with a note that it was: a download that was cut short (Ctrl-C, power, a
    lost link) goes on where it stopped when the same command is run again, and a finished one asks for nothing.
    Requests stay below the broker's limits; the broker's symbols (sizes, commission, swap, hours) are stored beside
    the prices, and backtests use them (`data.specs` of a backtest's settings).

    Only closed bars are stored, stamped with their close; bars of brokers are BID. Rows that cannot be right are left
    out and counted. The account section of the settings file is that of live settings; credentials come from
    `pepperstone auth login ctrader`.

    Examples:

        \b
        pepperstone data download --account 1234567 --start 2024-01-01 \\
            --symbol EURUSD --symbol GBPUSD --period M1 --ticks

        pepperstone data download configs/download/ctrader-demo.yaml
    """
    from pepperstone_adapter.cli.download_console import run

    given = {
        "symbols": list(symbol) if symbol else None,
        "periods": list(period) if period else None,
        "ticks": True if ticks else None,
        "start": start,
        "end": end,
        "catalog": str(catalog) if catalog else None,
        **account_changes(settings, account, environment),
    }
    options = [f"{key}={_text(value)}" for key, value in given.items() if value is not None]
    run(settings, [*options, *(set_ or ())], replace=replace, as_json=json_)


def _text(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
