"""`pepperstone data import|download|recorded|check|list`: stored market data."""

from pathlib import Path
from typing import Annotated

import typer

from pepperstone_adapter.cli import download
from pepperstone_adapter.cli.options import DEFAULT_CATALOG, CatalogPath, Json

app = typer.Typer(no_args_is_help=True, help="Import, download, check and list market data; keep recordings.")


@app.command("import")
def import_(
    files: Annotated[list[Path] | None, typer.Argument(help="Files of bars or quotes.", metavar="FILE")] = None,
    catalog: CatalogPath = DEFAULT_CATALOG,
    symbol: Annotated[
        str | None,
        typer.Option("--symbol", help="Whose prices; told from the file's name if it says so.", metavar="NAME"),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(
            "--zone",
            metavar="ZONE",
            help="Clock of the file's times: utc, +02:00, new-york+7 (Pepperstone's servers) or an IANA name.",
        ),
    ] = None,
    period: Annotated[
        str | None,
        typer.Option("--period", help="Bar period (M1, H1, ...); told from the rows otherwise.", metavar="PERIOD"),
    ] = None,
    side: Annotated[
        str | None, typer.Option("--side", help="bid or ask, for bars of one side.", metavar="SIDE")
    ] = None,
    columns: Annotated[
        Path | None, typer.Option("--columns", help="Column map (YAML) of any other CSV.", metavar="FILE")
    ] = None,
    samples: Annotated[bool, typer.Option("--samples", help="Import the bundled sample data.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out, counted.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            help="Accept rows that are: zero, negative, crossed; or: instrument (any price range).",
            metavar="KIND",
        ),
    ] = None,
    sort: Annotated[bool, typer.Option("--sort", help="Put rows in order of time.")] = False,
    duplicates: Annotated[
        str, typer.Option("--duplicates", help="For rows of equal time: refuse, first or last.", metavar="RULE")
    ] = "",
    round_: Annotated[bool, typer.Option("--round", help="Round prices to the symbol's digits.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put the file's rows in place of different stored ones.")
    ] = False,
    json_: Json = False,
) -> None:
    """Import files of bars or quotes into the catalog.

    Formats are told from the first lines: MetaTrader 5 exports (bars, ticks), the same in integer points, HistData
    ticks and bars, TrueFX ticks, FXCM bars, all plain, gzip or zip, UTF-8 or UTF-16. Any other CSV needs a column map
    (--columns).

    A file is imported whole or not at all. The same file twice changes nothing; rows that differ from stored ones of
    the same time range are refused unless --replace.

    Examples:

        pepperstone data import EURUSD_M1_2024.csv --zone new-york+7

        pepperstone data import DAT_ASCII_EURUSD_T_202401.csv

        pepperstone data import prices.csv --symbol XAUUSD --columns map.yaml
    """
    from pepperstone_adapter.catalog.column_map import load_column_map
    from pepperstone_adapter.catalog.request import ImportRequest, Policy
    from pepperstone_adapter.catalog.samples import requests
    from pepperstone_adapter.cli.data_console import import_with_progress
    from pepperstone_adapter.cli.kinds import expected
    from pepperstone_adapter.common.errors import ConfigurationError

    policy = Policy(
        skip_bad=skip_bad, allow=frozenset(allow or ()), sort=sort, duplicates=duplicates, round_digits=round_
    )
    with expected("columns", columns):
        column_map = load_column_map(columns) if columns else None
    wanted = requests(catalog) if samples else []
    wanted += [
        ImportRequest(
            catalog=catalog, file=file, symbol=symbol, zone=zone, period=period, side=side, column_map=column_map,
            policy=policy, replace=replace,
        )
        for file in files or ()
    ]  # fmt: skip
    if not wanted:
        raise ConfigurationError("nothing to import; name one or more files, or --samples for the bundled data")
    import_with_progress(wanted, as_json=json_)


app.command("download")(download.command)


@app.command("recorded")
def recorded(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of runs (CATALOG/live/ID); all that are left by default.", metavar="FOLDER"),
    ] = None,
    catalog: CatalogPath = DEFAULT_CATALOG,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put the run's rows in place of different stored ones.")
    ] = False,
) -> None:
    """Keep what live runs recorded before they were killed.

    A live run with `record` puts its quotes and bars into the catalog when it stops. One that was killed, or whose
    machine went down, leaves them in the catalog's `live` folder; the next start names it. Its order events and fills
    stay in the folder either way. Rows that differ from stored ones of the same time range are refused unless
    --replace.

    Examples:

        pepperstone data recorded --catalog catalog/recorded

        pepperstone data recorded catalog/recorded/live/5d6f3c1e-...
    """
    from pepperstone_adapter.cli.data_console import keep_recorded

    keep_recorded(catalog, runs or [], replace=replace)


@app.command()
def check(
    symbols: Annotated[
        list[str] | None, typer.Argument(help="Symbols; all stored ones by default.", metavar="SYMBOL")
    ] = None,
    catalog: CatalogPath = DEFAULT_CATALOG,
    threshold: Annotated[
        float,
        typer.Option("--threshold", min=0.0, max=100.0, help="Exit 3 when a series' quality is below this percentage."),
    ] = 95.0,
    start: Annotated[
        str | None, typer.Option("--start", help="Judge from: 2024-01-31 (midnight UTC) or 2024-01-31T09:30:00Z.")
    ] = None,
    end: Annotated[str | None, typer.Option("--end", help="Up to, exclusive.")] = None,
    json_: Json = False,
) -> None:
    """Judge stored data; exit 3 below a threshold.

    Found are gaps against trading hours and holidays, duplicates, disorder, bars off their period's grid, crossed or
    impossible prices, digits too many, and spikes of one or two rows; they are counted in all and by month.
    Quality is the share of the slots in which the symbol trades (bar periods; five minutes for quotes) that hold a
    sound row, for each month and in all: from the first stored row to the last, or from --start to --end.

    Examples:

        pepperstone data check EURUSD

        pepperstone data check --start 2024-01-01 --threshold 99
    """
    from pepperstone_adapter.cli.data_console import check_stored

    check_stored(catalog, symbols or [], threshold, start=start, end=end, as_json=json_)


@app.command("list")
def list_(
    catalog: CatalogPath = DEFAULT_CATALOG,
    quality: Annotated[bool, typer.Option(help="Judge quality too; reads every row.")] = True,
    json_: Json = False,
) -> None:
    """List what is stored: range, rows, quality and source.

    With --json also the name of each series (a bar's is its bar type), its size and its files.
    """
    from pepperstone_adapter.cli.data_console import list_stored

    list_stored(catalog, with_quality=quality, as_json=json_)
