"""Every key that a settings file may hold is read somewhere: a key that does nothing is worse than one that is refused."""

import re
from functools import cache
from typing import Any

import pytest

from pepperstone_adapter.backtest.settings import BacktestSettings
from pepperstone_adapter.catalog.column_map import ColumnMap
from pepperstone_adapter.cli.download_console import DownloadSettings
from pepperstone_adapter.cli.live_console import LiveFile
from pepperstone_adapter.common.resources import resource_root
from pepperstone_adapter.common.settings import StrictModel
from pepperstone_adapter.sandbox.settings import SandboxSettings


@cache
def source() -> str:
    files = sorted((resource_root() / "pepperstone_adapter").rglob("*.py"))
    return "\n".join(file.read_text() for file in files)


def is_read(key: str) -> bool:
    """As an attribute, or by its name in quotes."""
    return re.search(rf"""\.{key}\b|["']{key}["']""", source()) is not None


def models(root: type[StrictModel]) -> set[type[StrictModel]]:
    """A model and all that stand in its fields."""
    found: set[type[StrictModel]] = set()
    waiting: list[Any] = [root]
    while waiting:
        kind = waiting.pop()
        kind = getattr(kind, "__value__", kind)  # what a `type` alias stands for
        waiting += getattr(kind, "__args__", ())
        if isinstance(kind, type) and issubclass(kind, StrictModel) and kind not in found:
            found.add(kind)
            waiting += [field.annotation for field in kind.model_fields.values()]
    return found


def test_the_rule_can_fail() -> None:
    assert not is_read("a_key_that_nobody_reads")
    assert len({key for model in models(SandboxSettings) for key in model.model_fields}) > 100


@pytest.mark.parametrize("root", [BacktestSettings, ColumnMap, DownloadSettings, LiveFile, SandboxSettings])
def test_every_key_is_read(root: type[StrictModel]) -> None:
    keys = {f"{model.__name__}.{key}" for model in models(root) for key in model.model_fields}
    assert [key for key in sorted(keys) if not is_read(key.partition(".")[2])] == []
