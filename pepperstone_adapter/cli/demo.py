"""`pepperstone demo`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pepperstone_adapter.cli.options import ResultJson
from pepperstone_adapter.cli.started import as_started

if TYPE_CHECKING:
    from rich.console import Console

SETTINGS = "configs/backtest/demo.yaml"


def command(
    out: Annotated[Path, typer.Option("--out", help="Result folder.", metavar="DIR")] = Path("out/demo"),
    catalog: Annotated[
        Path, typer.Option("--catalog", help="Where to build the catalog of bundled data.", metavar="DIR")
    ] = Path("catalog/data"),
    json_: ResultJson = False,
) -> None:
    """Backtest a bundled portfolio on bundled real data and write a report.

    Builds a catalog from the bundled sample data (once), runs configs/backtest/demo.yaml on a simulated Razor account
    and writes the result. Open report.html of the result folder in a browser; no network is needed.
    """
    from rich.console import Console

    from pepperstone_adapter.backtest.settings import load_backtest
    from pepperstone_adapter.cli.backtest_console import run_with_progress
    from pepperstone_adapter.cli.result_console import print_result
    from pepperstone_adapter.common.resources import resource

    console = Console(stderr=True, quiet=json_, markup=False)
    with console.status("building the catalog from the bundled data"):
        built = _build(catalog.absolute(), out.absolute(), console)
    settings = load_backtest(resource(SETTINGS), [f"data.catalog={built}", f"output.dir={out.absolute()}"])
    finished = run_with_progress(settings, "demo", quiet=json_)
    print_result(finished.result, finished.folder, as_json=json_)
    if not json_:
        typer.echo(as_started(f"Next    copy {SETTINGS}, change it, and run `pepperstone backtest YOUR.yaml`"))


def _build(catalog: Path, out: Path, console: "Console") -> Path:
    """The catalog with the samples: the one wanted, or one of the demo's own when that holds other rows of them."""
    from pepperstone_adapter.catalog.samples import build
    from pepperstone_adapter.common.errors import DataError

    try:
        build(catalog)
    except DataError as error:
        own = out.with_name(f"{out.name}-catalog")
        console.print(f"note: {error}", highlight=False, soft_wrap=True)
        console.print(f"note: the demo builds a catalog of its own in {own}", highlight=False, soft_wrap=True)
        build(own)
        return own
    return catalog
