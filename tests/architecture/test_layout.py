"""The house keeps its shape: the tests reach every module, and no file outgrows a reader.

A module is tested when it has its own file of tests at the same path (`common/files.py`,
`tests/unit/common/test_files.py`), when a test imports it, or when it serves such a module of its own package: a test of
the ledger's door proves the ledger's parts. Whatever else is tested only from outside, through another package or in
another process, stands in `TESTED_BY` with the test that proves it.
"""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from pepperstone_adapter.cli.commands import COMMANDS
from pepperstone_adapter.common.resources import resource_root

ROOT = resource_root()
MAX_LINES = 500

# What is tested through another package: the simulated account by runs, what only commands use by commands.
DOORS = {("pepperstone_adapter", "backtest"): ("simulation",), ("pepperstone_adapter", "cli"): ("backtest", "ctrader")}
TESTED_BY = {
    "pepperstone_adapter/__main__.py": "tests/unit/cli/test_main.py",  # runs it as a process
}


def modules() -> list[str]:
    found = [path for folder in ("pepperstone_adapter", "strategies") for path in (ROOT / folder).rglob("*.py")]
    own = (path for path in found if path.name != "__init__.py" and not path.stem.endswith("_pb2"))
    return sorted(path.relative_to(ROOT).as_posix() for path in own)


@cache
def names_in(path: Path) -> frozenset[str]:
    """Modules a file imports, or names in a text as `"pepperstone_adapter.mt5.gateway:serve"` does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = (word.partition(":")[0] for word in node.value.split())
            names |= {word for word in words if word.startswith(("pepperstone_adapter.", "strategies."))}
    return frozenset(names)


def file_of(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def package_of(file: Path) -> tuple[str, ...]:
    """The house's package a module lives in: `pepperstone_adapter/sandbox`, or `strategies`."""
    return file.relative_to(ROOT).parts[:-1][:2]


def reached(names: Iterable[str]) -> set[str]:
    """Modules among `names`, and what they import of their own package."""
    waiting, seen = set(names), set[str]()
    while waiting:
        name = waiting.pop()
        file = file_of(name)
        if name in seen or file is None or not file.is_relative_to(ROOT) or file.is_relative_to(ROOT / "tests"):
            continue
        seen.add(name)
        own = {package_of(file), *(("pepperstone_adapter", name) for name in DOORS.get(package_of(file), ()))}
        waiting |= {n for n in names_in(file) if (other := file_of(n)) and package_of(other) in own}
    return seen


@cache
def reached_by_tests() -> set[str]:
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    said = "\n".join(path.read_text() for path in tests)
    # A command's file is imported by its name in the table, when somebody calls it.
    called = {f"pepperstone_adapter.cli.{entry.module}" for entry in COMMANDS if f'"{entry.name}"' in said}
    return reached({name for path in tests for name in names_in(path)} | called)


def test_the_rule_can_fail(tmp_path: Path) -> None:
    assert len(modules()) > 100
    one = tmp_path / "test_one.py"
    one.write_text("from pepperstone_adapter.simulation.swap import nights\n")
    found = reached(names_in(one))
    assert "pepperstone_adapter.simulation.swap" in found
    assert "pepperstone_adapter.broker.symbols" not in found  # which it imports, from another package
    assert "pepperstone_adapter.simulation.curve" not in found  # which it does not import


def test_every_module_has_its_test() -> None:
    untested = []
    for module in modules():
        path = Path(module)
        mirror = Path("tests/unit", *path.parts[path.parts[0] == "pepperstone_adapter" : -1], f"test_{path.name}")
        dotted = ".".join(path.with_suffix("").parts)
        if not ((ROOT / mirror).is_file() or dotted in reached_by_tests() or module in TESTED_BY):
            untested.append(mirror.as_posix())
    assert untested == [], "write these, or name in TESTED_BY the tests that cover their modules"


@pytest.mark.parametrize(("module", "test"), TESTED_BY.items())
def test_what_is_tested_elsewhere_exists(module: str, test: str) -> None:
    assert (ROOT / module).exists()
    assert (ROOT / test).is_file()


def test_no_module_outgrows_a_reader() -> None:
    lines = {module: len((ROOT / module).read_text().splitlines()) for module in modules()}
    too_long = {module: count for module, count in lines.items() if count > MAX_LINES}
    assert too_long == {}, "cut them where the subject changes"
