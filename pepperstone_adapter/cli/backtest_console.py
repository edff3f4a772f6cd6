"""How `backtest` and `demo` run in the terminal: progress, Ctrl-C, the proof that runs agree."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pepperstone_adapter.backtest.job import Finished, command_line, run_backtest
from pepperstone_adapter.backtest.settings import BacktestSettings
from pepperstone_adapter.cli.interrupt import ends_at_once
from pepperstone_adapter.common.errors import PepperstoneError


def run_with_progress(settings: BacktestSettings, name: str, *, quiet: bool) -> Finished:
    """Run with a bar on standard error: simulated date, share done, time left."""
    console = Console(stderr=True, quiet=quiet)
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("[dim]{task.fields[simulated]}"),
        TimeElapsedColumn(),
        TextColumn("[dim]left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal or settings.output.log is not None,  # lines of a strategy would break it
        transient=True,
    )
    with progress:
        task = progress.add_task(name, total=1.0, simulated="")

        def advance(ts_ns: int, done: float) -> None:
            simulated = f"{datetime.fromtimestamp(ts_ns // 1_000_000_000, tz=UTC):%Y-%m-%d}"
            progress.update(task, completed=done, simulated=simulated)

        return run_backtest(settings, name, advance, lambda: ends_at_once(progress.stop))


def prove_repeatable(file: Path, overrides: Sequence[str], first: Finished, count: int, *, quiet: bool) -> None:
    """Run again `count` - 1 times, each in a process of its own, and compare events, balance and settings.

    Raises
    ------
    PepperstoneError
        A run failed, or two differ; the message names what.
    """
    console = Console(stderr=True, quiet=quiet)
    wanted = _fingerprint(first.result)
    for number in range(2, count + 1):
        with console.status(f"run {number} of {count}"):
            found = _fingerprint(_run_again(file, overrides, number))
        different = [key for key, value in wanted.items() if found[key] != value]
        if different:
            detail = "; ".join(f"{key} {wanted[key]} and {found[key]}" for key in different)
            raise PepperstoneError(f"run {number} differs from run 1: {detail}")
    console.print(f"{count} runs agree: events {wanted['events'][:16]}…", highlight=False)


def _run_again(file: Path, overrides: Sequence[str], number: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = command_line(file, (*overrides, "output.report=false"), Path(folder) / "result")
        ran = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)  # noqa: S603
    if ran.returncode:
        raise PepperstoneError(f"run {number} failed: {ran.stderr.strip() or f'exit code {ran.returncode}'}")
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


def _fingerprint(result: dict[str, Any]) -> dict[str, str]:
    return {**result["hashes"], "end_balance": str(result["account"]["end_balance"])}
