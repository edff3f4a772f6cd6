"""How `backtest` and `demo` run in the terminal: progress, Ctrl-C, the proof that runs agree."""

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pepperstone_adapter.backtest.job import Finished, run_backtest
from pepperstone_adapter.backtest.settings import BacktestSettings, load_backtest
from pepperstone_adapter.common.errors import PepperstoneError

INTERRUPTED = 130


def run_with_progress(settings: BacktestSettings, name: str, *, quiet: bool) -> Finished:
    """Run with a bar on standard error: simulated date, share done, time left."""
    console = Console(stderr=True, quiet=quiet)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("[dim]{task.fields[simulated]}"),
        TimeElapsedColumn(),
        TextColumn("[dim]left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with progress:
        task = progress.add_task(name, total=1.0, simulated="")

        def advance(ts_ns: int, done: float) -> None:
            simulated = f"{datetime.fromtimestamp(ts_ns // 1_000_000_000, tz=UTC):%Y-%m-%d}"
            progress.update(task, completed=done, simulated=simulated)

        return run_backtest(settings, name, advance, lambda: _interruptible(progress.stop))


def prove_repeatable(file: Path, overrides: Sequence[str], first: Finished, count: int, *, quiet: bool) -> None:
    """Run again `count` - 1 times, each in a process of its own, and compare events, balance and settings.

    Raises
    ------
    PepperstoneError
        Two runs differ; the message names what.
    """
    console = Console(stderr=True, quiet=quiet)
    spawn = multiprocessing.get_context("spawn")
    wanted = _fingerprint(first.result)
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        for number in range(2, count + 1):
            with console.status(f"run {number} of {count}"):
                found = pool.submit(_run_again, str(file), list(overrides)).result()
            different = [key for key, value in wanted.items() if found[key] != value]
            if different:
                detail = "; ".join(f"{key} {wanted[key]} and {found[key]}" for key in different)
                raise PepperstoneError(f"run {number} differs from run 1: {detail}")
    console.print(f"{count} runs agree: events {wanted['events'][:16]}…", highlight=False)


def _run_again(file: str, overrides: list[str]) -> dict[str, str]:
    # In a process of its own; the parent reports the interrupt.
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = [*overrides, f"output.dir={Path(folder) / 'result'}", "output.report=false"]
        return _fingerprint(run_backtest(load_backtest(file, elsewhere), "repeat").result)


def _fingerprint(result: dict[str, Any]) -> dict[str, str]:
    return {**result["hashes"], "end_balance": str(result["account"]["end_balance"])}


@contextmanager
def _interruptible(tidy: Callable[[], None]) -> Iterator[None]:
    """End the process at once on Ctrl-C.

    An exception would not do while the engine runs: the framework catches what is raised inside a strategy's callback.
    Nothing of a run is on the disk then, so there is nothing to clean up but the terminal.
    """

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        tidy()
        sys.stderr.write("error: interrupted\n")
        sys.stderr.flush()
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
