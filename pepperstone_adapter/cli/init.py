"""`pepperstone init`: a project folder of the user's own, that runs with the installed package alone."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pepperstone_adapter.cli.started import as_started
from pepperstone_adapter.common.errors import ConfigurationError

_EXAMPLE = "demo"


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new folder.", show_default=False)],
    data: Annotated[bool, typer.Option(help="Build a catalog from the bundled sample data.")] = True,
) -> None:
    """Make a project: strategies, settings, a catalog of sample data, .gitignore and README.

    DIR must be new or empty. It appears whole or not at all.

    Example:

        pepperstone init mytrading
    """
    target = folder.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigurationError(f"{folder}: exists and is not an empty folder; name a new one")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be made ({error.strerror}); name a folder you may write") from error
    try:
        _write_project(building, target.name)
        if data:
            typer.echo("building a catalog from the bundled sample data ...")
            _build_catalog(building)
        building.chmod(0o755)
        if target.exists():
            target.rmdir()
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    typer.echo(f"made {folder}; next:\n  cd {folder}")
    if not data:
        typer.echo(as_started("  pepperstone data import --samples", elsewhere=True))
    typer.echo(as_started(f"  pepperstone backtest configs/backtest/{_EXAMPLE}.yaml", elsewhere=True))


def _write_project(project: Path, name: str) -> None:
    from pepperstone_adapter import __version__
    from pepperstone_adapter.cli.scaffold import commands_of_tests, fill
    from pepperstone_adapter.common.files import write_atomic
    from pepperstone_adapter.common.resources import resource

    for source in sorted(resource("strategies").glob("*.py")):
        write_atomic(project / "strategies" / source.name, source.read_bytes())
    configs = resource("configs")
    for source in sorted(configs.rglob("*.yaml")):
        text = as_started(source.read_text(encoding="utf-8"), elsewhere=True)
        write_atomic(project / "configs" / source.relative_to(configs), text)
    (project / "tests").mkdir()
    write_atomic(project / ".gitignore", fill("gitignore.txt"))
    tests = "\n".join(f"{line:<57} # tests of your strategies" for line in commands_of_tests())
    readme = fill("project_readme.md.txt", name=name, version=__version__, example=_EXAMPLE, tests=tests)
    write_atomic(project / "README.md", as_started(readme, elsewhere=True))


def _build_catalog(project: Path) -> None:
    from pepperstone_adapter.catalog.samples import build
    from pepperstone_adapter.common.versions import check_framework

    check_framework()
    build(project / "catalog" / "data")
