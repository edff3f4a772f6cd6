"""Quotes of a session: what a price that is there already says about the server's clock."""

import asyncio
from typing import Any

import pytest

from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.mt5.client.market_rows import MarketRows
from pepperstone_adapter.mt5.client.quotes import Quotes

NOW_MS = 1_700_000_000_000
NS_PER_MS = 1_000_000
CLOCK = parse_clock("NY+7")


@pytest.mark.parametrize(
    ("newest_ms", "confirmed"), [(NOW_MS + 7_200_000 - 10, True), (9_200_000_000_000_000_000, False), (-5, False)]
)
def test_a_price_that_is_there_confirms_the_clock_and_one_of_no_time_says_nothing(
    newest_ms: int, confirmed: bool
) -> None:
    asked: list[str] = []

    async def call(fn: str, *_args: Any) -> Any:
        asked.append(fn)
        return {"time_msc": newest_ms}

    def now_ns() -> int:
        return NOW_MS * NS_PER_MS

    quotes = Quotes(call, CLOCK, MarketRows(lambda _events: None, now_ns), lambda _events: None, now_ns)
    asyncio.run(quotes.listen("EURUSD"))
    assert quotes.clock_check.confirmed(now_ns()) is confirmed
    assert (quotes.watched, asked) == (("EURUSD",), ["subscribe_ticks", "symbol_info_tick"])
