"""A sandbox with two quoted symbols, and a link that has logged in."""

from pathlib import Path

import pytest

from tests.kit.sandbox_wire import Bench, MemoryLink


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    for symbol, bid, ask in (("EURUSD", "1.10000", "1.10002"), ("USDJPY", "150.000", "150.003")):
        made.push(bid, ask, symbol)
    return made


@pytest.fixture
def link(bench: Bench) -> MemoryLink:
    return bench.link().login()
