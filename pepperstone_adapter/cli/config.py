"""`pepperstone config`: check, show or describe settings files, without running anything."""

import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pepperstone_adapter.cli.options import Set
from pepperstone_adapter.common.errors import ConfigurationError

if TYPE_CHECKING:
    from pepperstone_adapter.common.settings import StrictModel

app = typer.Typer(no_args_is_help=True, help="Check, show or describe settings files.")

# Where each kind of settings file is defined; the folder below `configs/` has the same name.
_MODELS = {
    "backtest": ("pepperstone_adapter.backtest.settings", "BacktestSettings"),
    "live": ("pepperstone_adapter.cli.live_console", "LiveFile"),
    "download": ("pepperstone_adapter.cli.download_console", "DownloadSettings"),
    "sandbox": ("pepperstone_adapter.sandbox.settings", "SandboxSettings"),
    "columns": ("pepperstone_adapter.catalog.column_map", "ColumnMap"),
}

_Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        help="backtest, live, download, sandbox or columns; when not given, told by the file's folder or keys.",
    ),
]


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Settings files.", show_default=False, metavar="FILE")],
    kind: _Kind = None,
    overrides: Set = None,
) -> None:
    """Report every problem of settings files.

    Each is one line with file, line and key; exit 2 when there is one. The strategies that a backtest or a live node
    would run are imported and built with their configuration, and nothing else is done with them.

    Examples:

        pepperstone config check configs/backtest/*.yaml

        pepperstone config check my.yaml --kind backtest
    """
    problems = []
    for file in files:
        try:
            found, settings = _load(file, kind, overrides or ())
        except ConfigurationError as error:
            problems.append(str(error))
            continue
        wrong = list(_strategy_problems(found, settings))
        problems += wrong
        if not wrong:
            typer.echo(f"{file}: ok ({found})")
    if problems:
        raise ConfigurationError("\n".join(problems))


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="Settings file.", show_default=False, metavar="FILE")],
    kind: _Kind = None,
    overrides: Set = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False,
) -> None:
    """Print settings as they would be used.

    That is with defaults, overrides and whole paths. Secrets are not part of settings, so none can be shown;
    a reference such as keyring:NAME is.
    """
    from pepperstone_adapter.common.settings import dump_settings

    _, settings = _load(file, kind, overrides or ())
    typer.echo(settings.model_dump_json(indent=2) if as_json else dump_settings(settings), nl=as_json)


@app.command()
def schema(
    kind: Annotated[str, typer.Argument(help="backtest, live, download, sandbox or columns.")] = "backtest",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file instead.")] = None,
) -> None:
    """Print the JSON Schema of settings files.

    Editors use it to complete and check YAML.
    With `-o configs/backtest.schema.json`, put `# yaml-language-server: $schema=../backtest.schema.json` on the first
    line of a settings file.
    """
    from pepperstone_adapter.common.files import write_atomic
    from pepperstone_adapter.common.settings import settings_schema

    text = json.dumps(settings_schema(_model(kind)), indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomic(output, text)
        typer.echo(f"wrote {output}")


def _load(file: Path, kind: str | None, overrides: Sequence[str]) -> tuple[str, "StrictModel"]:
    from pepperstone_adapter.common.settings import load_settings

    kind = kind or _kind_of(file)
    return kind, load_settings(file, _model(kind), overrides)


def _strategy_problems(kind: str, settings: "StrictModel") -> Iterator[str]:
    """What the run would say when it builds its strategies."""
    build: Callable[[Any], Any]
    if kind == "backtest":
        from pepperstone_adapter.backtest.plan import strategy_of as build
    elif kind == "live":
        from pepperstone_adapter.live.strategies import strategy_of as build
    else:
        return
    for strategy in settings.strategies:  # type: ignore[attr-defined]
        try:
            build(strategy)
        except ConfigurationError as error:
            yield str(error)


def _model(kind: str) -> type["StrictModel"]:
    from pepperstone_adapter.common.settings_errors import did_you_mean

    if kind not in _MODELS:
        raise ConfigurationError(
            f"'{kind}' is not a kind of settings: {', '.join(_MODELS)}{did_you_mean(kind, _MODELS)}"
        )
    module, name = _MODELS[kind]
    try:
        model: type[StrictModel] = getattr(importlib.import_module(module), name)
        return model
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise ConfigurationError(f"this installation has no '{kind}' settings") from None


def _kind_of(file: Path) -> str:
    folder = file.absolute().parent.name
    if folder in _MODELS:
        return folder
    if not file.is_file():
        return "backtest"  # reading it says what is wrong with the path
    keys = {line.partition(":")[0] for line in file.read_text(errors="replace").splitlines() if line[:1].isalpha()}
    known = {kind: len(keys & set(_model(kind).model_fields)) for kind in _MODELS if _is_installed(kind)}
    return max(known, key=lambda kind: known[kind])


def _is_installed(kind: str) -> bool:
    try:
        _model(kind)
    except ConfigurationError:
        return False
    return True
