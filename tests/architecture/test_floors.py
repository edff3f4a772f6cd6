"""A floor imports only floors below it, and nothing heavy is loaded before it is needed."""

import importlib.util
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import pepperstone_adapter
from pepperstone_adapter.cli.commands import COMMANDS, is_installed
from pepperstone_adapter.common.resources import resource_root

# Trees that must live without the framework, so that they outlast its versions (design D2).
PLAIN = ("common", "broker", "openapi", "network", "risk", "ctrader.client", "mt5.client", "mt5.gateway")
# typer itself loads pydantic to read arguments, so only help does without it.
HEAVY = {"nautilus_trader", "pandas", "pyarrow", "numpy", "twisted", "plotly", "rich", "httpx", "keyring"}


def loaded_by(script: str) -> set[str]:
    """The top-level packages a fresh interpreter has loaded after `script`."""
    script += "\nimport sys; print('LOADED', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("LOADED ")[2].split())


def test_import_floors_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))], capture_output=True, text=True, cwd=resource_root()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " kept, 0 broken" in done.stdout


def modules_of(tree: str) -> list[str]:
    name = f"pepperstone_adapter.{tree}"
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return []
    if spec is None or spec.submodule_search_locations is None:
        return []
    found = pkgutil.walk_packages(spec.submodule_search_locations, f"{name}.")
    return [name, *(module.name for module in found)]


@pytest.mark.parametrize("tree", PLAIN)
def test_plain_trees_load_without_the_framework(tree: str) -> None:
    imports = [f"importlib.import_module({name!r})" for name in modules_of(tree) if not name.endswith("__main__")]
    if imports:
        assert "nautilus_trader" not in loaded_by("import importlib\n" + "\n".join(imports))
    else:
        # Not a hole in the net: such a tree is simply not part of this installation.
        assert not (Path(pepperstone_adapter.__path__[0]) / tree.replace(".", "/") / "__init__.py").exists()


@pytest.mark.parametrize("name", ["", *(entry.name for entry in COMMANDS if is_installed(entry))])
def test_help_is_there_before_anything_heavy_is_loaded(name: str) -> None:
    script = f"from pepperstone_adapter.cli.main import main; main({[*name.split(), '--help']!r})"
    assert not loaded_by(script) & {*HEAVY, "pydantic"}


@pytest.mark.parametrize("arguments", [["--version"], ["backtset"], ["backtest", "--repeat", "x", "--json", "y.yaml"]])
def test_a_wrong_line_is_refused_before_anything_heavy_is_loaded(arguments: list[str]) -> None:
    script = f"from pepperstone_adapter.cli.main import main; main({arguments!r})"
    assert not loaded_by(script) & HEAVY


def test_the_measure_of_weight_works() -> None:
    assert "pydantic" in loaded_by("import pepperstone_adapter.common.settings")
