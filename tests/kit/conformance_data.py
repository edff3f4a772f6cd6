"""The framework's data conformance cases (TC-D) that are the same at every venue, as steps on a running node."""

import json
from itertools import pairwise
from typing import Any

from nautilus_trader.live import LiveNode
from nautilus_trader.model import BarType, ClientId, InstrumentId, MarketStatusAction, Venue
from nautilus_trader.testkit import DataTesterConfig

from tests.kit.node import EURUSD, VENUE, Bench

M1 = BarType.from_str("EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
GBPUSD = InstrumentId.from_str("GBPUSD.PEPPERSTONE")
HISTORY = {"tape": {"source": "walk", "history_days": 2, "ticks_per_s": 40.0}}


async def instruments_are_requested_and_one_is_loaded_on_demand(b: Bench) -> None:
    """TC-D01, TC-D03."""
    b.probe.request_instruments(Venue(VENUE))
    await b.until(lambda: any(i.id == EURUSD for i in b.probe.instruments), "the instruments asked for")
    assert b.cache.instrument(GBPUSD) is None  # not in the settings' symbols
    b.probe.subscribe_quotes(GBPUSD)
    await b.until(lambda: b.cache.instrument(GBPUSD) is not None, "an instrument loaded on demand")
    await b.until(lambda: b.cache.quote(GBPUSD) is not None, "its quote")
    eurusd = b.cache.instrument(EURUSD)
    assert (eurusd.price_precision, str(eurusd.size_increment)) == (5, "1000")
    assert json.loads(eurusd.info["terms"])["contract_size"] == "100000"


async def an_instrument_is_subscribed(b: Bench) -> None:
    """TC-D02."""
    b.probe.subscribe_instrument(EURUSD)
    await b.until(lambda: any(i.id == EURUSD for i in b.probe.instruments), "instrument published")


async def quotes_come_until_they_are_unsubscribed(b: Bench) -> None:
    """TC-D20, TC-D70."""
    await b.until(lambda: b.probe.quotes, "the first quote")
    b.sandbox.push("EURUSD", "1.08600", "1.08608")
    await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.08600", "the new quote")
    quote = b.probe.quotes[-1]
    assert str(quote.ask_price) == "1.08608"
    assert quote.ts_event <= quote.ts_init
    b.probe.unsubscribe_quotes(EURUSD)
    b.probe.subscribe_quotes(GBPUSD)
    await b.until(lambda: any(q.instrument_id == GBPUSD for q in b.probe.quotes), "the other symbol")
    seen = len([q for q in b.probe.quotes if q.instrument_id == EURUSD])
    b.sandbox.push("EURUSD", "1.08700", "1.08708")
    b.sandbox.push("GBPUSD", "1.26500", "1.26510")
    await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.26500", "the later quote")
    assert len([q for q in b.probe.quotes if q.instrument_id == EURUSD]) == seen


async def past_quotes_are_in_order(b: Bench) -> None:
    """TC-D21."""
    await b.until(lambda: len(b.probe.quotes) > 5, "live quotes first")
    b.probe.request_quotes(EURUSD)
    await b.until(lambda: b.probe.history, "history")
    quotes = b.probe.history[0]
    assert quotes
    assert all(x.ts_event <= y.ts_event for x, y in pairwise(quotes))


async def past_bars_are_whole(b: Bench) -> None:
    """TC-D41."""
    b.probe.request_bars(M1, limit=100)
    await b.until(lambda: b.probe.history, "history")
    bars = b.probe.history[0]
    assert len(bars) == 100
    assert min(later.ts_event - earlier.ts_event for earlier, later in pairwise(bars)) == 60_000_000_000
    assert bars[-1].ts_event <= b.probe.clock.timestamp_ns()


async def a_status_is_told(b: Bench) -> None:
    """TC-D60."""
    b.probe.subscribe_instrument_status(EURUSD)
    await b.until(lambda: b.probe.statuses, "a status")
    assert b.probe.statuses[0].action is MarketStatusAction.TRADING
    assert b.probe.statuses[0].is_trading


async def what_the_venue_has_not_ends_nothing(b: Bench) -> None:
    """TC-D30, TC-D31, TC-D50 to TC-D53, TC-D61: quotes go on."""
    b.probe.subscribe_trades(EURUSD)
    b.probe.request_trades(EURUSD)
    b.probe.subscribe_mark_prices(EURUSD)
    b.probe.subscribe_index_prices(EURUSD)
    b.probe.subscribe_funding_rates(EURUSD)
    b.probe.subscribe_instrument_close(EURUSD)
    await b.until(lambda: b.probe.quotes, "the first quote")
    b.sandbox.push("EURUSD", "1.08600", "1.08608")
    await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.08600", "quotes go on")


#: Everything the framework's own tester can ask of a venue like this.
EVERYTHING: dict[str, Any] = {
    "subscribe_quotes": True,
    "subscribe_bars": True,
    "subscribe_instrument": True,
    "subscribe_instrument_status": True,
    "subscribe_book_deltas": True,
    "manage_book": True,
    "request_instruments": True,
    "request_quotes": True,
    "request_bars": True,
    "can_unsubscribe": True,
    "log_data": False,
}


def add_tester(node: LiveNode) -> None:
    config = DataTesterConfig(client_id=ClientId(VENUE), instrument_ids=[EURUSD], bar_types=[M1], **EVERYTHING)
    node.add_builtin_actor("DataTester", config)
