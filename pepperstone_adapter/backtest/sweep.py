"""One settings file over a grid of values: every combination is a backtest in a process of its own.

    sweep = plan_sweep(Path("my.yaml"), ["strategies.0.config.fast_period=10:30:10", "account.balance=500,5000"])
    rows = run_sweep(sweep, Path("out/my-sweep"), jobs=2)

Before the first run every combination is checked: its settings, its strategies, the period of its data. A value that no
combination can run with is an error. Values that only do not go together (a fast average slower than the slow one) are a
row with the strategy's reason, and no run. What was checked is what must run: a run whose settings, data or code have
another hash by then is a failed row.

The best of many runs on the same data is partly luck. `test_from` splits the period: a combination then runs twice, before
that date and from it on, each with the start balance and indicators that begin anew; it is ranked by the first.
"""

import math
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice, product
from pathlib import Path
from typing import IO

import yaml

from pepperstone_adapter.backtest.compare import FIGURES
from pepperstone_adapter.backtest.hashes import code_hash, data_hash, settings_hash
from pepperstone_adapter.backtest.job import check_period, command_line
from pepperstone_adapter.backtest.plan import strategy_of
from pepperstone_adapter.backtest.report import environment
from pepperstone_adapter.backtest.result import check_output, read_result, recover, replacing
from pepperstone_adapter.backtest.settings import BacktestSettings, load_backtest, utc_time
from pepperstone_adapter.backtest.sweep_table import NET_PROFIT, TEST, Axis, Row, is_money, render_sweep, table
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.common import orphans
from pepperstone_adapter.common.errors import ConfigurationError, DataError, PepperstoneError
from pepperstone_adapter.common.files import write_atomic
from pepperstone_adapter.common.settings import dump_settings, yaml_text

MAX_RUNS = 5_000
TABLE = "sweep.csv"
RUNS = "runs"
POLL_S = 0.05
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER}):({_NUMBER})")
_COMMA = re.compile(r",(?![^\[{]*[\]}])")  # not within [A,B]


@dataclass(frozen=True, slots=True)
class Run:
    """One process: which combination, and with which hashes its result must come."""

    number: int
    overrides: tuple[str, ...]
    prefix: str
    hashes: Mapping[str, str]

    @property
    def folder(self) -> str:
        return f"{self.number:04d}" + ("-test" if self.prefix else "")


@dataclass(frozen=True, slots=True)
class Sweep:
    """A grid that has been checked. `refused` are the combinations whose values do not go together, with the reason."""

    file: Path
    settings: BacktestSettings
    axes: tuple[Axis, ...]
    by: str
    test_from: str | None
    combinations: tuple[tuple[str, ...], ...]
    runs: tuple[Run, ...]
    refused: Mapping[int, str]


def axis_of(text: str) -> Axis:
    """What one `--over KEY=V1,V2,...` or `--over KEY=FROM:TO:STEP` says; TO belongs to the range where a step meets it.

    Raises
    ------
    ConfigurationError
        No key or no values, a step that leads nowhere, a value that stands there twice, or more than `MAX_RUNS`.
    """
    key, _, given = (part.strip() for part in text.partition("="))
    if not key or not given:
        raise ConfigurationError(f"--over {text}: write --over section.key=V1,V2,... or section.key=FROM:TO:STEP")
    if key.split(".")[0].lower() == "output":
        raise ConfigurationError(f"--over {key}: changes no figure of a result; the sweep's own folder is --out DIR")
    found = _RANGE.fullmatch(given)
    values = _range(key, *map(Decimal, found.groups())) if found else tuple(v.strip() for v in _COMMA.split(given))
    if "" in values:
        raise ConfigurationError(f"--over {text}: a value between the commas is empty")
    twice = sorted({value for value in values if values.count(value) > 1}) if not found else []
    if twice:
        raise ConfigurationError(f"--over {key}: {', '.join(twice)} stands there twice")
    return Axis(key, values)


def _range(key: str, first: Decimal, last: Decimal, step: Decimal) -> tuple[str, ...]:
    if step == 0 or (last - first) / step < 0:
        raise ConfigurationError(f"--over {key}: steps of {step} do not lead from {first} to {last}")
    count = int((last - first) / step) + 1
    if count > MAX_RUNS:
        raise ConfigurationError(
            f"--over {key}: {count:,} values; a sweep is at most {MAX_RUNS:,} runs: widen the step"
        )
    return tuple(f"{first + step * n:f}" for n in range(count))


def plan_sweep(
    file: Path,
    over: Sequence[str],
    sets: Sequence[str] = (),
    by: str = NET_PROFIT,
    test_from: str | None = None,
    on_checked: Callable[[int, int], None] = lambda _done, _total: None,
) -> Sweep:
    """Read the grid and check every combination; nothing runs and nothing is written.

    Parameters
    ----------
    over, sets
        The texts after each `--over` and `--set`.
    by
        The figure to rank by.
    test_from
        UTC date, or time with its zone, at which the period is split.
    on_checked
        Called with the combinations checked, and their number.

    Raises
    ------
    ConfigurationError, DataError
        The grid, the settings without it, or a value that no combination can run with: one line for each.
    """
    axes = tuple(axis_of(text) for text in over)
    _check_keys(axes, sets, by, test_from)
    total = math.prod(len(axis.values) for axis in axes)
    if total > MAX_RUNS:
        sizes = " x ".join(str(len(axis.values)) for axis in axes)
        raise ConfigurationError(f"--over: {sizes} are {total:,} runs, more than {MAX_RUNS:,}; sweep fewer values")
    base = load_backtest(file, sets)
    split = _split(base, test_from)
    combinations = tuple(product(*(axis.values for axis in axes)))
    check = _Check(file)
    runs: list[Run] = []
    refused: dict[int, PepperstoneError] = {}
    for number, values in enumerate(combinations, 1):
        changes = (*sets, *(f"{axis.key}={value}" for axis, value in zip(axes, values, strict=True)))
        try:
            runs += [check.run(number, (*changes, *more), prefix) for prefix, more in split]
        except (ConfigurationError, DataError) as error:
            refused[number] = error
            runs = [run for run in runs if run.number != number]
        on_checked(number, total)
    _refuse_values(axes, combinations, refused)
    reasons = {number: _told(error, axes) for number, error in refused.items()}
    return Sweep(file, base, axes, by, test_from, combinations, tuple(runs), reasons)


def _check_keys(axes: Sequence[Axis], sets: Sequence[str], by: str, test_from: str | None) -> None:
    keys = [axis.key.lower() for axis in axes]
    for axis in axes:
        if keys.count(axis.key.lower()) > 1:
            raise ConfigurationError(f"--over {axis.key}: given twice; write its values behind one --over")
        if axis.key.lower() in {change.partition("=")[0].strip().lower() for change in sets}:
            raise ConfigurationError(f"--over {axis.key}: also given with --set; leave one out")
        if test_from is not None and axis.key.lower() in ("data.start", "data.end"):
            raise ConfigurationError(
                f"--over {axis.key}: --test-from splits the period, so it must be one for all runs"
            )
        if axis.key.lower() == "account.currency" and is_money(by):
            raise ConfigurationError(f"--by {by}: amounts in several currencies have no order; use --by return_pct")


def _split(base: BacktestSettings, test_from: str | None) -> list[tuple[str, tuple[str, ...]]]:
    """Prefix of the figures' names, and changes: for each run of a combination."""
    if test_from is None:
        return [("", ())]
    try:
        moment = utc_time(test_from)
    except ValueError as error:
        raise ConfigurationError(f"--test-from: {error}") from error
    if not base.data.start < moment < base.data.end:
        period = f"{base.data.start:%Y-%m-%d} to {base.data.end:%Y-%m-%d}"
        raise ConfigurationError(f"--test-from {test_from}: not within the period of the settings, {period}")
    return [("", (f"data.end={moment.isoformat()}",)), (TEST, (f"data.start={moment.isoformat()}",))]


class _Check:
    """What a run would refuse before it starts; what many combinations share is asked once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._built: set[str] = set()
        self._code: dict[frozenset[Path], str] = {}
        self._data: dict[str, str] = {}

    def run(self, number: int, overrides: tuple[str, ...], prefix: str) -> Run:
        settings = load_backtest(self._file, overrides)
        if repr(settings.strategies) not in self._built:
            for strategy in settings.strategies:
                strategy_of(strategy)
            self._built.add(repr(settings.strategies))
        data = repr((settings.data, settings.account.platform))
        if data not in self._data:
            store = CatalogStore(settings.data.catalog)
            check_period(settings, store)
            self._data[data] = data_hash(settings, store)
        files = frozenset(Path(s.strategy.rpartition(":")[0]) for s in settings.strategies)
        if files not in self._code:
            self._code[files] = code_hash(files)
        hashes = {"settings": settings_hash(settings), "data": self._data[data], "code": self._code[files]}
        return Run(number, overrides, prefix, hashes)


def _refuse_values(
    axes: Sequence[Axis], combinations: Sequence[tuple[str, ...]], refused: Mapping[int, PepperstoneError]
) -> None:
    """Raise what is wrong with values that no combination can run with, each once."""
    found: dict[str, type[PepperstoneError]] = {}
    for place, axis in enumerate(axes):
        fine = {values[place] for number, values in enumerate(combinations, 1) if number not in refused}
        for value in axis.values:
            if value not in fine:
                first = next(number for number, values in enumerate(combinations, 1) if values[place] == value)
                for line in _told(refused[first], axes).splitlines():
                    found.setdefault(line, type(refused[first]))
    if found:
        raise next(iter(found.values()))("\n".join(found))


def _told(error: PepperstoneError, axes: Sequence[Axis]) -> str:
    """The reason in the words of this command line."""
    text = str(error)
    for axis in axes:
        text = text.replace(f"--set {axis.key}:", f"--over {axis.key}:")
    return text


def run_sweep(
    sweep: Sweep,
    folder: Path,
    jobs: int = 1,
    *,
    keep: bool = False,
    on_done: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Row]:
    """Run every combination, `jobs` at a time, and write `sweep.csv`, `sweep.html` and `settings.yaml`.

    The folder appears whole at the end, in the place of an older sweep; an interrupt ends the processes and leaves nothing.
    Where this process is killed they end by themselves, and the next sweep into the folder removes what is left beside it.

    Parameters
    ----------
    keep
        Whether the result folders stay, as `runs/0001` and on.
    on_done
        Called with the runs done, and their number.

    Returns
    -------
    list[Row]
        One for each combination, in the order of the grid.

    Raises
    ------
    ConfigurationError, DataError
        The folder cannot take the result.
    """
    folder = folder.absolute()
    recover(folder)
    check_output(folder, TABLE)
    try:
        with replacing(folder) as new:
            rows = _run_all(sweep, new, folder, jobs, keep, on_done)
            if not keep:
                shutil.rmtree(new / RUNS, ignore_errors=True)
            settings = dump_settings(sweep.settings)
            page = render_sweep(sweep.file.stem, sweep.axes, rows, sweep.by, sweep.test_from, settings)
            write_atomic(new / TABLE, table(sweep.axes, rows, sweep.test_from is not None))
            write_atomic(new / "settings.yaml", settings)
            write_atomic(new / "sweep.html", page)
    except OSError as e:
        raise DataError(f"{folder}: the result cannot be written ({e.strerror or e}); nothing was left there") from e
    return rows


def _run_all(
    sweep: Sweep, new: Path, folder: Path, jobs: int, keep: bool, on_done: Callable[[int, int], None]
) -> list[Row]:
    report = () if keep else ("output.report=false",)
    commands = [command_line(sweep.file, (*run.overrides, *report), new / RUNS / run.folder) for run in sweep.runs]
    found: dict[int, Row] = {}
    with closing(_processes(commands, jobs)) as ended:
        for done, (place, code, said) in enumerate(ended, 1):
            run = sweep.runs[place]
            result = new / RUNS / run.folder
            found[place] = _outcome(run, sweep.combinations[run.number - 1], result, code, said)
            if keep:
                _rename_in(result, folder / RUNS / run.folder)
            else:
                shutil.rmtree(result, ignore_errors=True)
            on_done(done, len(commands))
    rows = {
        number: Row(number, values, error=sweep.refused.get(number, ""))
        for number, values in enumerate(sweep.combinations, 1)
    }
    for _, row in sorted(found.items()):
        rows[row.number] = _joined(rows[row.number], row)
    return list(rows.values())


def _processes(commands: Sequence[list[str]], jobs: int) -> Generator[tuple[int, int, str]]:
    """Run commands, `jobs` at a time: place, exit code and standard error of each as it ends. None outlives this, nor
    this process."""
    waiting = iter(enumerate(commands))
    running: dict[int, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}
    nothing, environment = subprocess.DEVNULL, orphans.environment()
    try:
        while True:
            for place, command in islice(waiting, jobs - len(running)):
                said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
                process = subprocess.Popen(  # noqa: S603
                    command, stdin=nothing, stdout=nothing, stderr=said, env=environment
                )
                running[place] = process, said
            if not running:
                return
            over = [place for place, (process, _) in running.items() if process.poll() is not None]
            if not over:
                time.sleep(POLL_S)
            for place in over:
                process, said = running.pop(place)
                with said:
                    said.seek(0)
                    yield place, process.returncode, said.read().decode("utf-8", "replace")
    finally:
        for process, _ in running.values():
            process.kill()
        for process, said in running.values():
            process.wait()
            said.close()


def _outcome(run: Run, values: tuple[str, ...], folder: Path, code: int, said: str) -> Row:
    """What a process has found, or why it found nothing."""
    part = "test: " if run.prefix else ""
    if code:
        lines = [line for line in said.splitlines() if line.strip()]
        reasons = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        ended = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
        why = "; ".join(reasons) or ": ".join((ended, *lines[-1:]))
        return Row(run.number, values, error=part + why, exit_code=code if code > 0 else 1)
    result = read_result(folder)
    changed = [name for name, value in run.hashes.items() if result["hashes"][name] != value]
    if changed:
        error = f"{part}{' and '.join(changed)} changed while the sweep ran; run it again"
        return Row(run.number, values, error=error, exit_code=ConfigurationError.exit_code)
    keys = [key.split(".") for _, key, _ in FIGURES]
    figures = {f"{run.prefix}{section}.{name}": result[section][name] for section, name in keys}
    return Row(run.number, values, figures, result["account"]["currency"])


def _joined(row: Row, other: Row) -> Row:
    """The two runs of a combination as one row."""
    return replace(
        row,
        figures={**row.figures, **other.figures},
        currency=row.currency or other.currency,
        error="; ".join(filter(None, (row.error, other.error))),
        exit_code=row.exit_code or other.exit_code,
    )


def _rename_in(result: Path, folder: Path) -> None:
    """Have a kept result name the folder it will lie in, not the one it was made in."""
    file, page = result / "settings.yaml", result / "report.html"
    if file.is_file():
        before = file.read_bytes().decode()
        document = yaml.safe_load(before)
        document["output"]["dir"] = str(folder)
        after = yaml_text(document)
        file.write_bytes(after.encode())
        if page.is_file():
            shown = environment().from_string("{{ text }}")
            old, new = (shown.render(text=text).encode() for text in (before, after))
            page.write_bytes(page.read_bytes().replace(old, new))
