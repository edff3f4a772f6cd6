"""`pepperstone backtest SETTINGS`."""

from pathlib import Path
from typing import Annotated

import typer

from pepperstone_adapter.cli.options import ResultJson, Set


def command(
    settings: Annotated[Path, typer.Argument(help="Settings file, e.g. configs/backtest/demo.yaml.", metavar="FILE")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Result folder; replaces output.dir of the settings.", metavar="DIR")
    ] = None,
    set_: Set = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of slippage and latency draws.", metavar="N")
    ] = None,
    repeat: Annotated[
        int,
        typer.Option(
            "--repeat", min=1, max=100, metavar="N", help="Run N times in fresh processes and prove that all agree."
        ),
    ] = 1,
    log: Annotated[
        str | None,
        typer.Option(
            "--log", help="Print what strategies log: DEBUG, INFO, WARNING or ERROR and above.", metavar="LEVEL"
        ),
    ] = None,
    json_: ResultJson = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.html.")] = False,
) -> None:
    """Run strategies on stored data and a simulated Pepperstone account; write a result folder.

    The folder holds result.json, ledger.csv, orders.csv, fills.csv, positions.csv, equity.parquet, settings.yaml and
    report.html. It is written whole at the end: a run that fails or is interrupted leaves nothing behind.

    Examples:

        pepperstone backtest configs/backtest/demo.yaml

        pepperstone backtest my.yaml --set account.balance=500 --out out/small

        pepperstone backtest my.yaml --log WARNING

        pepperstone backtest my.yaml --repeat 3
    """
    from pepperstone_adapter.backtest.settings import load_backtest
    from pepperstone_adapter.cli.backtest_console import prove_repeatable, run_with_progress
    from pepperstone_adapter.cli.kinds import expected
    from pepperstone_adapter.cli.result_console import print_result
    from pepperstone_adapter.common.errors import ConfigurationError

    if log is not None and json_:
        raise ConfigurationError("--log and --json both write to standard output; choose one")
    overrides = list(set_ or [])
    overrides += [f"output.dir={out.absolute()}"] if out is not None else []
    overrides += [f"market.seed={seed}"] if seed is not None else []
    overrides += ["output.report=false"] if no_report else []
    overrides += ["output.log=null"] if json_ else [f"output.log={log.upper()}"] if log is not None else []
    with expected("backtest", settings):
        loaded = load_backtest(settings, overrides)
    finished = run_with_progress(loaded, settings.stem, quiet=json_)
    print_result(finished.result, finished.folder, as_json=json_)
    if repeat > 1:
        prove_repeatable(settings, overrides, finished, repeat, quiet=json_)
