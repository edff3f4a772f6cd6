"""The tests that `tests/README.md` names are there, and no case of a backtest's bad inputs is without one."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
README = (TESTS / "README.md").read_text()
NAMED = re.findall(r"`([a-z_/0-9]+\.py)::(\w+)`", README)
# Of the list of bad inputs: those of accounts, tokens, gateways and keys belong to the live parts.
WANTED = {*range(1, 4), 7, *range(9, 29), *range(37, 63)}


def test_every_case_is_held() -> None:
    held: set[int] = set()
    for first, last in re.findall(r"^\| B(\d+)(?:–B(\d+))? \|", README, re.MULTILINE):
        held |= set(range(int(first), int(last or first) + 1))
    assert held >= WANTED


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_the_test_is_there(file: str, name: str) -> None:
    functions = {node.name for node in ast.walk(ast.parse((TESTS / file).read_text())) if hasattr(node, "name")}
    assert name in functions
