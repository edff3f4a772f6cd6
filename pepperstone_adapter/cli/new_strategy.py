"""`pepperstone new-strategy`: a strategy, its settings and a test that pass as written."""

from pathlib import Path
from typing import Annotated

import typer

from pepperstone_adapter.cli.started import as_started
from pepperstone_adapter.common.errors import ConfigurationError


def command(
    name: Annotated[str, typer.Argument(help="Its name, for example my-idea.", show_default=False)],
    template: Annotated[str, typer.Option("--template", "-t", help="ema, breakout or mean-reversion.")] = "ema",
    folder: Annotated[
        Path, typer.Option("--dir", help="A folder of the project.", exists=True, file_okay=False)
    ] = Path(),
) -> None:
    """Write strategies/NAME.py, configs/backtest/NAME.yaml and tests/test_NAME.py into the project.

    The strategy is a working one to begin from; nothing that exists is overwritten.

    Examples:

        pepperstone new-strategy my-idea

        pepperstone new-strategy gold-breakout --template breakout
    """
    from pepperstone_adapter.cli.scaffold import (
        STRATEGY_TEMPLATES,
        StrategyName,
        commands_of_tests,
        fill,
        strategy_source,
    )
    from pepperstone_adapter.common.files import write_atomic
    from pepperstone_adapter.common.settings_errors import did_you_mean

    if template not in STRATEGY_TEMPLATES:
        near = did_you_mean(template, STRATEGY_TEMPLATES)
        raise ConfigurationError(f"'{template}' is not a template: {', '.join(STRATEGY_TEMPLATES)}{near}")
    chosen, parsed = STRATEGY_TEMPLATES[template], StrategyName.parse(name)
    project = _project_of(folder.absolute())
    values = {
        "name": parsed.class_name,
        "file_name": parsed.file_name,
        "module": parsed.module,
        "class_name": parsed.class_name,
        "symbol": chosen.instruments[0],
        "instruments": ", ".join(chosen.instruments),
    }
    settings = as_started(fill("settings.yaml.txt", **values), elsewhere=project != Path.cwd())
    files = {
        project / "strategies" / f"{parsed.module}.py": strategy_source(chosen, parsed),
        project / "configs" / "backtest" / f"{parsed.file_name}.yaml": settings,
        project / "tests" / f"test_{parsed.module}.py": fill("test_strategy.py.txt", **values),
    }
    taken = [str(path) for path in files if path.exists()]
    if taken:
        raise ConfigurationError(f"{', '.join(taken)}: already there; choose another name")
    for path, text in files.items():
        write_atomic(path, text)
        typer.echo(f"wrote {path.relative_to(project)}")
    typer.echo(as_started(f"next:\n  pepperstone backtest configs/backtest/{parsed.file_name}.yaml"))
    for line in commands_of_tests(f"tests/test_{parsed.module}.py"):
        typer.echo(f"  {line}")


def _project_of(folder: Path) -> Path:
    for candidate in (folder, *folder.parents):
        if (candidate / "strategies").is_dir():
            return candidate
    raise ConfigurationError(f"{folder} is not in a project; make one with `pepperstone init DIR`")
