"""Pages of history over a terminal of plain functions."""

import asyncio
from typing import Any

import numpy as np

from pepperstone_adapter.broker.server_time import UTC_CLOCK
from pepperstone_adapter.common.errors import VenueError
from pepperstone_adapter.mt5.client import history
from pepperstone_adapter.mt5.gateway.wire import TICKS_DTYPE
from tests.kit.mt5_rows import spec

NS = 1_000_000_000
FIRST_S = 1_600_000_000


def test_a_page_of_ticks_too_large_for_one_answer_is_halved_until_it_fits() -> None:
    seconds = 4000
    ticks = np.zeros(seconds, TICKS_DTYPE)  # one tick a second
    ticks["time"] = FIRST_S + np.arange(seconds)
    ticks["time_msc"] = ticks["time"] * 1000
    ticks["bid"], ticks["ask"] = 1.1, 1.2
    asked: list[int] = []

    async def call(_fn: str, _symbol: str, low: int, high: int, _flags: int) -> Any:
        asked.append(high - low)
        if high - low > 1000:
            raise VenueError("too_large", "frame of 40000000 bytes is over the limit")
        return ticks[(ticks["time"] >= low) & (ticks["time"] <= high)]

    async def pause(_seconds: float) -> None:
        return None

    found = asyncio.run(
        history.ticks(call, spec(), FIRST_S * NS, (FIRST_S + seconds) * NS, UTC_CLOCK, pause)  # type: ignore[arg-type]
    )
    assert [t.ts_ns // NS for t in found] == ticks["time"].tolist()
    assert asked[0] == 4000
    assert min(asked) == 1000
