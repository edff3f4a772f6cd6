"""Quotes of a session: what a price that is there already says about the server's clock; where reading goes on."""

import asyncio
from typing import Any

import numpy as np
import pytest

from pepperstone_adapter.broker.events import Notice
from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.common.errors import LinkLost
from pepperstone_adapter.mt5.client.market_rows import MarketRows
from pepperstone_adapter.mt5.client.quotes import AWAY_MAX_S, Quotes
from pepperstone_adapter.mt5.gateway.wire import TICKS_DTYPE, pack_array
from tests.kit import mt5_rows as rows

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


@pytest.mark.parametrize(
    ("late_s", "heard_s"),
    [
        (-2, -2),
        (2, 2),
        (-3600, 0),
        (600, 0),
    ],  # seconds are those of our clock; hours are of one stamp, or of its way here
)
def test_bars_wait_for_the_servers_clock_and_not_for_one_tick_from_the_future_or_from_before_an_outage(
    late_s: int, heard_s: int
) -> None:
    gateway = Gateway()
    gateway.tick("EURUSD", made_ns=NOW_MS * NS_PER_MS)
    gateway.tick("USDJPY", made_ns=NOW_MS * NS_PER_MS, late_ms=late_s * 1000)
    assert gateway.quotes.server_now_ns() == (NOW_MS - heard_s * 1000) * NS_PER_MS


CURSOR = [NOW_MS, 1, 0]
NEWEST = np.zeros(1, TICKS_DTYPE)


class Gateway:
    """Answers subscriptions with `replies`: True where it begins to read, a tick where others read already, or an error."""

    def __init__(self, **replies: Any) -> None:
        self.replies: dict[str, Any] = replies
        self.asked: list[tuple[Any, ...]] = []
        self.said: list[str] = []
        rows_of = MarketRows(self.take, lambda: NOW_MS * NS_PER_MS)
        self.quotes = Quotes(self.call, CLOCK, rows_of, self.take, lambda: NOW_MS * NS_PER_MS)
        self.quotes.wanted = {"EURUSD", "USDJPY"}

    async def call(self, fn: str, *args: Any) -> Any:
        assert fn == "subscribe_ticks"
        self.asked.append(args)
        reply = self.replies[args[0]]
        if isinstance(reply, Exception):
            raise reply
        return reply

    def take(self, events: Any) -> None:
        self.said += [event.text for event in events if isinstance(event, Notice)]

    def tick(self, symbol: str, made_ns: int | None = None, late_ms: int = 0) -> None:
        """One tick has come."""
        row = np.zeros(1, TICKS_DTYPE)
        row["time_msc"], row["bid"], row["ask"] = NOW_MS + 7_200_000 - late_ms, 1.1, 1.2
        item = {"rows": pack_array(row), "cursor": CURSOR, "polled_ns": NOW_MS * NS_PER_MS, "made_ns": made_ns}
        self.quotes.news(item, rows.spec(rows.EURUSD | {"name": symbol}))

    def again(self, away_s: float = 1.0) -> None:
        asyncio.run(self.quotes.again(away_s))


@pytest.mark.parametrize(
    ("broke", "reply", "away_s", "cursor", "missing"),
    [
        (True, True, 1, True, False),  # a gateway that began again reads on at our cursor
        (True, NEWEST, 1, True, True),  # others have begun to read before us, further on
        (True, True, AWAY_MAX_S + 1, False, True),  # too long ago: from the newest tick on
        (False, NEWEST, 1, True, False),  # the ring buffer had all, and the gateway goes on reading
        (False, NEWEST, AWAY_MAX_S + 1, False, False),
        (False, True, AWAY_MAX_S + 1, False, True),  # it had stopped reading for a client that did not come back
    ],
)
def test_reading_goes_on_where_it_stopped_or_what_is_missing_is_said(
    broke: bool, reply: Any, away_s: float, cursor: bool, missing: bool
) -> None:
    desk = Gateway(EURUSD=reply, USDJPY=reply)
    desk.tick("EURUSD")
    if broke:
        desk.quotes.broke()
    desk.again(away_s)
    assert desk.asked == [("EURUSD", CURSOR) if cursor else ("EURUSD",), ("USDJPY",)]
    text = "EURUSD: the quotes of the time without a link are missing"  # of USDJPY none had come
    assert desk.said == ([text] if missing else [])


def test_a_subscription_that_was_made_before_the_link_broke_again_is_not_taken_for_anothers() -> None:
    desk = Gateway(EURUSD=True, USDJPY=LinkLost("away"))
    for symbol in ("EURUSD", "USDJPY"):
        desk.tick(symbol)
    desk.quotes.broke()
    with pytest.raises(LinkLost):
        desk.again()
    desk.replies = {"EURUSD": NEWEST, "USDJPY": True}
    desk.again()
    assert desk.asked[2:] == [("EURUSD", CURSOR), ("USDJPY", CURSOR)]
    assert desk.said == []


def test_a_symbol_nobody_wants_any_more_is_forgotten() -> None:
    async def call(_fn: str, *_args: Any) -> Any:
        return True

    desk = Gateway(EURUSD=True, USDJPY=True)
    desk.tick("EURUSD")
    desk.quotes._call = call
    asyncio.run(desk.quotes.unsubscribe("EURUSD"))
    desk.quotes._call = desk.call
    desk.quotes.wanted.add("EURUSD")
    desk.quotes.broke()
    desk.again()
    assert ("EURUSD",) in desk.asked
    assert desk.said == []
