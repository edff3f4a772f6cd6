"""The house keeps its shape: the tests reach every module, and no file outgrows a reader.

A module has its test at the same path (`common/files.py`, `tests/unit/common/test_files.py`), or is imported by another
test, directly or through its neighbours in the same folder (a test of a ledger reaches its parts), or stands in
`TESTED_BY` with the test that covers it.
"""

import ast
from pathlib import Path

import pytest

from pepperstone_adapter.common.resources import resource_root

ROOT = resource_root()
MAX_LINES = 500

# A key that ends in `/` is a folder whose parts are proved together, through the door named.
TESTED_BY = {
    "pepperstone_adapter/simulation/": "tests/backtest/test_money_by_hand.py",
    "pepperstone_adapter/__main__.py": "tests/unit/cli/test_main.py",
}


def modules() -> list[str]:
    found = [path for folder in ("pepperstone_adapter", "strategies") for path in (ROOT / folder).rglob("*.py")]
    own = (path for path in found if path.name != "__init__.py" and not path.stem.endswith("_pb2"))
    return sorted(path.relative_to(ROOT).as_posix() for path in own)


def names_imported_by(text: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def file_of(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def reached_by_tests() -> set[str]:
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    waiting = {name for path in tests for name in names_imported_by(path.read_text())}
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        file = file_of(name)
        if name in reached or file is None or file.is_relative_to(ROOT / "tests"):
            continue
        reached.add(name)
        neighbours = names_imported_by(file.read_text())
        waiting |= {n for n in neighbours if (other := file_of(n)) is not None and other.parent == file.parent}
    return reached


REACHED = reached_by_tests()


def test_there_is_something_to_check() -> None:
    assert len(modules()) > 10
    assert "pepperstone_adapter.common.resources" in REACHED


@pytest.mark.parametrize("module", modules())
def test_every_module_has_its_test(module: str) -> None:
    path = Path(module)
    mirror = Path("tests/unit", *path.parts[path.parts[0] == "pepperstone_adapter" : -1], f"test_{path.name}")
    dotted = ".".join(path.with_suffix("").parts)
    assert (ROOT / mirror).is_file() or dotted in REACHED or module.startswith(tuple(TESTED_BY)), (
        f"write {mirror}, or name in TESTED_BY the test that covers it"
    )


@pytest.mark.parametrize(("module", "test"), TESTED_BY.items())
def test_what_is_tested_elsewhere_exists(module: str, test: str) -> None:
    assert (ROOT / module).exists()
    assert (ROOT / test).is_file()


@pytest.mark.parametrize("module", modules())
def test_no_module_outgrows_a_reader(module: str) -> None:
    lines = len((ROOT / module).read_text().splitlines())
    assert lines <= MAX_LINES, f"{lines} lines; cut it where the subject changes"
