"""`pepperstone sweep SETTINGS --over KEY=VALUES`."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pepperstone_adapter.cli.options import Set

if TYPE_CHECKING:
    from pepperstone_adapter.backtest.sweep import Sweep
    from pepperstone_adapter.backtest.sweep_table import Row

BEST = 10


def command(
    settings: Annotated[Path, typer.Argument(help="Settings file, e.g. configs/backtest/demo.yaml.", metavar="FILE")],
    over: Annotated[
        list[str],
        typer.Option(
            "--over",
            metavar="KEY=VALUES",
            help="A key and its values: V1,V2,... or FROM:TO:STEP. May be repeated: every combination is run.",
        ),
    ],
    set_: Set = None,
    by: Annotated[
        str, typer.Option("--by", metavar="METRIC", help="Figure of result.json to rank by, e.g. sharpe.")
    ] = "net_profit",
    test_from: Annotated[
        str | None,
        typer.Option(
            "--test-from", metavar="DATE", help="Rank by the time before DATE; show the time after it beside."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, metavar="N", help="Processes at a time; as many as cores when not given."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the sweep; output.dir with -sweep behind when not given."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the result folder of every run, in runs/.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print all rows as JSON and nothing else.")] = False,
) -> None:
    """Backtest every combination of some values; compare the results.

    Every run is a process of its own. The folder holds sweep.csv (a row a run, the names of result.json), sweep.html and
    settings.yaml; it is written whole at the end. All combinations are checked before the first one runs: a value that
    none can run with is an error, and values that do not go together are a row with the reason. A run that fails is a
    row as well, and the exit code is that of the first such run.

    The best of many runs on the same data is partly luck, the more the more were tried (the table says how many):
    --test-from DATE ranks by the time before and shows what the same values did after it.

    Examples:

        pepperstone sweep my.yaml --over strategies.0.config.stop_atr=2:6:0.5

        pepperstone sweep my.yaml --over market.spread.scale=1,2 --by sharpe
    """
    from pepperstone_adapter.backtest.sweep import plan_sweep, run_sweep
    from pepperstone_adapter.backtest.sweep_table import metric_of
    from pepperstone_adapter.cli.interrupt import ends_in_order
    from pepperstone_adapter.cli.kinds import expected

    metric = metric_of(by)
    with expected("backtest", settings), _bar("checking", quiet=json_) as told:
        sweep = plan_sweep(settings, over, set_ or (), metric, test_from, told)
    usual = sweep.settings.output.dir
    folder = out or usual.with_name(f"{usual.name}-sweep")
    with ends_in_order(), _bar("running", quiet=json_) as told:
        rows = run_sweep(sweep, folder, jobs or os.process_cpu_count() or 1, keep=keep, on_done=told)
    _print_rows(sweep, rows) if json_ else _print_best(sweep, rows, folder)
    code = _tell_failures(sweep, rows)
    if code:
        raise typer.Exit(code)


@contextmanager
def _bar(words: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, quiet=quiet)
    done, left = MofNCompleteColumn(), (TimeElapsedColumn(), TextColumn("[dim]left"), TimeRemainingColumn())
    shape = (TextColumn("{task.description}"), BarColumn(bar_width=None), done, *left)
    with Progress(*shape, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(words, total=None)
        yield lambda ended, total: progress.update(task, completed=ended, total=total)


def _print_rows(sweep: "Sweep", rows: "Sequence[Row]") -> None:
    import json
    from decimal import Decimal

    from pepperstone_adapter.backtest.sweep_table import cells

    def plain(value: Decimal) -> float | int:
        return int(value) if value == value.to_integral_value() else float(value)

    shown = [cells(sweep.axes, row, sweep.test_from is not None) for row in rows]
    typer.echo(json.dumps(shown, indent=2, ensure_ascii=False, default=plain))


def _print_best(sweep: "Sweep", rows: "Sequence[Row]", folder: Path) -> None:
    from rich.table import Table

    from pepperstone_adapter.backtest.sweep_table import TEST, luck, ranked, short_names, shown, text
    from pepperstone_adapter.cli.tables import print_whole

    columns = list(shown(sweep.by, False))
    test = sweep.test_from is not None
    best = [row for row in ranked(rows, sweep.by) if row.figures][:BEST]
    title = f"{sweep.file.stem}: the best {len(best)} of {len(rows)} by {dict(columns)[sweep.by]}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("Run", *short_names(sweep.axes), *(f"{title} / test" if test else title for _, title in columns)):
        table.add_column(name, justify="right")
    for row in best:
        pairs = ((key, TEST + key) if test else (key,) for key, _ in columns)
        table.add_row(str(row.number), *row.values, *(" / ".join(text(row, key) for key in pair) for pair in pairs))
    if best:
        if left_out := print_whole(table):
            typer.echo(f"Not shown, the terminal is too narrow: {'; '.join(left_out)}.")
        typer.echo(luck(rows, sweep.test_from))
    typer.echo(f"Table   {folder / 'sweep.csv'}")
    typer.echo(f"Report  {folder / 'sweep.html'}")


def _tell_failures(sweep: "Sweep", rows: "Sequence[Row]") -> int:
    """Say which combinations have no result; the exit code of the first run that failed."""
    from pepperstone_adapter.cli.started import as_started
    from pepperstone_adapter.common.output import tell

    if sweep.refused:
        number, reason = next(iter(sweep.refused.items()))
        what = (
            f"{len(sweep.refused)} of {len(rows)} were not run, their values do not go together; run {number}: {reason}"
        )
        tell(as_started(what))
    failed = [row for row in rows if row.exit_code]
    if not failed:
        return 0
    tell(f"error: {len(failed)} of {len(rows)} runs failed; run {failed[0].number}: {failed[0].error}")
    return failed[0].exit_code
