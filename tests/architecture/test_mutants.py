"""The mutants still fit the code: what each of them breaks stands there once, and its tests are there."""

import runpy
from typing import Any

import pytest

from pepperstone_adapter.common.resources import resource_root

ROOT = resource_root()
MUTANTS: tuple[Any, ...] = runpy.run_path(str(ROOT / "tools" / "mutants.py"))["MUTANTS"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: str(mutant.name))
def test_what_a_mutant_breaks_stands_in_the_code_once(mutant: Any) -> None:
    for file, old, new in mutant.changes:
        assert (ROOT / file).read_text(encoding="utf-8").count(old) == 1, file
        assert old != new
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(encoding="utf-8"), test
