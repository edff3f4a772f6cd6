"""`pepperstone config`: check, show or describe settings files, without running anything."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pepperstone_adapter.cli.kinds import expected, kind_of, model_of
from pepperstone_adapter.cli.options import Set
from pepperstone_adapter.common.errors import ConfigurationError

if TYPE_CHECKING:
    from pepperstone_adapter.common.settings import StrictModel

app = typer.Typer(no_args_is_help=True, help="Check, show or describe settings files.")

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

    text = json.dumps(settings_schema(model_of(kind)), indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomic(output, text)
        typer.echo(f"wrote {output}")


def _load(file: Path, kind: str | None, overrides: Sequence[str]) -> tuple[str, "StrictModel"]:
    from pepperstone_adapter.common.settings import load_settings

    kind = kind or kind_of(file)
    with expected(kind, file):
        settings = load_settings(file, model_of(kind), overrides)
    return kind, settings


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
