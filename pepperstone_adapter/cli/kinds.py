"""The kinds of settings files: the model of each, the command that takes it, and which one a file seems to be."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pepperstone_adapter.common.errors import ConfigurationError

if TYPE_CHECKING:
    from pepperstone_adapter.common.settings import StrictModel


@dataclass(frozen=True, slots=True)
class Kind:
    """Where the model of a kind is defined, and what takes a file of it."""

    module: str
    model: str
    command: str


# The folder below `configs/` has the same name.
KINDS = {
    "backtest": Kind("pepperstone_adapter.backtest.settings", "BacktestSettings", "pepperstone backtest {}"),
    "live": Kind("pepperstone_adapter.cli.live_console", "LiveFile", "pepperstone live {}"),
    "download": Kind("pepperstone_adapter.cli.download_console", "DownloadSettings", "pepperstone data download {}"),
    "sandbox": Kind("pepperstone_adapter.sandbox.settings", "SandboxSettings", "pepperstone sandbox {}"),
    "columns": Kind("pepperstone_adapter.catalog.column_map", "ColumnMap", "pepperstone data import CSV --columns {}"),
}


def model_of(kind: str) -> type["StrictModel"]:
    """What a file of this kind must be.

    Raises
    ------
    ConfigurationError
        There is no such kind, or this installation has no such part.
    """
    from pepperstone_adapter.common.settings_errors import did_you_mean

    if kind not in KINDS:
        raise ConfigurationError(f"'{kind}' is not a kind of settings: {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    module = KINDS[kind].module
    try:
        model: type[StrictModel] = getattr(importlib.import_module(module), KINDS[kind].model)
        return model
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise ConfigurationError(f"this installation has no '{kind}' settings") from None


def kind_of(file: Path) -> str:
    """The kind that a file is by its folder, else by its keys."""
    folder = file.absolute().parent.name
    if folder in KINDS:
        return folder
    known = _known_keys(file)
    return max(known, key=lambda kind: known[kind]) if known else "backtest"  # reading it says what is wrong with it


@contextmanager
def expected(kind: str, file: Path | None) -> Iterator[None]:
    """Around the reading of a settings file: where another kind was given, that is the mistake, and not its keys."""
    try:
        yield
    except ConfigurationError:
        seems = None if file is None else _another_kind(file, kind)
        if seems is None:
            raise
        raise ConfigurationError(
            f"{file}: seems to be a {seems} file, not a {kind} file; it is for `{KINDS[seems].command.format(file)}`"
        ) from None


def _another_kind(file: Path, kind: str) -> str | None:
    """The kind that knows more of a file's keys than `kind` does and finds less wrong with it."""
    if _keys(file) <= set(model_of(kind).model_fields):
        return None
    known = _known_keys(file)
    more = [other for other, count in known.items() if count > known[kind]]
    problems = {other: _problems(file, other) for other in (kind, *more)}
    best = min(problems, key=lambda other: problems[other])  # `kind` itself where it is as good
    return None if best == kind else best


def _problems(file: Path, kind: str) -> int:
    from pepperstone_adapter.common.settings import load_settings

    try:
        load_settings(file, model_of(kind))
    except ConfigurationError as error:
        return len(str(error).splitlines())
    return 0


def _known_keys(file: Path) -> dict[str, int]:
    keys = _keys(file)
    return {kind: len(keys & set(model_of(kind).model_fields)) for kind in KINDS if _is_installed(kind)} if keys else {}


def _keys(file: Path) -> set[str]:
    """The keys of the top level, also of a file that is no YAML; none where it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return set()
    return {line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()}


def _is_installed(kind: str) -> bool:
    try:
        model_of(kind)
    except ConfigurationError:
        return False
    return True
