"""The table of README.md against the tests: every number has its row, every test a row names exists, none is left out."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = HERE.parent
NUMBER = re.compile(r"\b([FfSb])(\d{2})\b")


def rows() -> list[list[str]]:
    lines = (HERE / "README.md").read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| F\d\d", line)]


@cache
def numbers_in(file: Path) -> frozenset[str]:
    """Numbers in the names of a file's tests: ``f27`` and ``f28`` of ``test_f27_f28_…``; letters small."""
    tree = ast.parse(file.read_text())
    names = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test")]
    return frozenset(part.lower() for name in names for part in re.findall(r"[A-Za-z]\d{2}(?=_|$)", name))


def references() -> list[tuple[str, str, frozenset[str]]]:
    """``(row, reference, numbers of the tests there)`` of every test a row names."""
    client = frozenset[str]().union(*(numbers_in(file) for file in HERE.glob("test_client_*.py")))
    out = []
    for fault, _what, tests, *_ in rows():
        for reference in re.sub(r"\([^)]*\)", "", tests).split(";"):
            named = re.search(r"`([^`]+)`", reference)
            if named is None:
                out.append((fault, reference.strip(), client))
                continue
            path = (TESTS if "/" in named[1] else HERE) / f"{named[1]}.py"
            out.append((fault, reference.strip(), numbers_in(path) if path.exists() else frozenset()))
    return out


@pytest.mark.parametrize(
    ("fault", "reference", "there"), references(), ids=lambda value: value[:40] if isinstance(value, str) else "tests"
)
def test_every_test_a_row_names_exists(fault: str, reference: str, there: frozenset[str]) -> None:
    if reference.startswith("not applicable") or fault.startswith("F71-"):
        return
    numbers = {f"{letter}{number}".lower() for letter, number in NUMBER.findall(reference.replace("_", " "))}
    named = re.search(r"`([^`]+)`", reference)
    if named is not None:
        assert ((TESTS if "/" in named[1] else HERE) / f"{named[1]}.py").exists()
        numbers -= {f"{a}{b}".lower() for a, b in NUMBER.findall(named[1])}
    assert numbers <= there, f"{fault}: {reference} names tests that are not there: {sorted(numbers - there)}"
    assert numbers or named is not None


def test_every_fault_has_a_row() -> None:
    told: set[int] = set()
    for fault, *_ in rows():
        spans = re.findall(r"F(\d\d)-F(\d\d)", fault)
        told |= {n for a, b in spans for n in range(int(a), int(b) + 1)} | {
            int(n) for n in re.findall(r"F(\d\d)", fault)
        }
    assert told == set(range(1, 97))


@pytest.mark.parametrize("file", sorted(HERE.glob("test_*.py")), ids=lambda file: file.stem)
def test_every_numbered_test_of_this_folder_is_in_the_table(file: Path) -> None:
    tests = " ".join(tests for _fault, _what, tests, *_ in rows())
    told = {f"{letter}{number}".lower() for letter, number in NUMBER.findall(tests.replace("_", " "))}
    assert {n for n in numbers_in(file) if n.startswith("f")} <= told
