"""`pepperstone report show|compare`."""

from pathlib import Path
from typing import Annotated

import typer

from pepperstone_adapter.cli.options import ResultJson

app = typer.Typer(no_args_is_help=True, help="Show a backtest result again, or compare two.")


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="Result folder, e.g. out/demo.", metavar="DIR")],
    json_: ResultJson = False,
) -> None:
    """Print the summary of a result and where its report is."""
    from pepperstone_adapter.backtest.result import read_result
    from pepperstone_adapter.cli.result_console import print_result

    print_result(read_result(folder), folder, as_json=json_)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="First result folder.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="Second result folder.", metavar="B")],
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write a page with both equity curves.", metavar="FILE")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON and nothing else.")] = False,
) -> None:
    """Set two results side by side.

    Shown are figures, settings and inputs that differ; --html writes a page that has the equity curves as well.

    Example:

        pepperstone report compare out/usual out/stress --html out/compare.html
    """
    from pepperstone_adapter.backtest.compare import compare as compare_results
    from pepperstone_adapter.backtest.compare import render_comparison
    from pepperstone_adapter.cli.result_console import print_comparison
    from pepperstone_adapter.common.files import write_atomic

    found = compare_results(a, b)
    if html is not None:
        write_atomic(html, render_comparison(found, a, b))
    print_comparison(found, a, b, html, as_json=json_)
