"""The framework's data conformance cases (TC-D), run by its own DataTester and by a probe on the sandbox broker."""

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import BarType, BookType, ClientId, InstrumentId, MarketStatusAction, Venue
from nautilus_trader.testkit import DataTesterConfig

from pepperstone_adapter.mapping.data import UNITS_PER_TICK
from pepperstone_adapter.sandbox.clock import RunningClock
from tests.kit.ctrader_node import run_ctrader, sandbox
from tests.kit.node import EURUSD, VENUE, Bench

M1 = BarType.from_str("EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
M1_ASK = BarType.from_str("EURUSD.PEPPERSTONE-1-MINUTE-ASK-EXTERNAL")
HISTORY = {"tape": {"source": "walk", "history_days": 2, "ticks_per_s": 40.0}}


def test_tc_d01_request_instruments_and_d03_load_one(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.request_instruments(Venue(VENUE))
        gbpusd = InstrumentId.from_str("GBPUSD.PEPPERSTONE")
        assert b.cache.instrument(gbpusd) is None  # not in the settings' symbols
        b.probe.subscribe_quotes(gbpusd)
        await b.until(lambda: b.cache.instrument(gbpusd) is not None, "an instrument loaded on demand")
        await b.until(lambda: b.cache.quote(gbpusd) is not None, "its quote")
        eurusd = b.cache.instrument(EURUSD)
        assert (eurusd.price_precision, str(eurusd.size_increment)) == (5, "1000")
        assert eurusd.info["contract_size"] == "100000"

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_tc_d02_subscribe_instrument(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.subscribe_instrument(EURUSD)
        await b.until(lambda: any(i.id == EURUSD for i in b.probe.instruments), "instrument published")

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


@pytest.mark.parametrize("kind", [BookType.L2_MBP, BookType.L3_MBO], ids=["L2", "L3"])
def test_tc_d10_book_deltas(kind: BookType, tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.subscribe_book_deltas(EURUSD, kind)
        await b.until(lambda: b.probe.deltas, "deltas")
        b.sandbox.push("EURUSD", "1.08510", "1.08517")
        await b.until(lambda: len(b.probe.deltas) > 1, "more deltas")
        assert all(d.instrument_id == EURUSD for d in b.probe.deltas)
        await b.until(lambda: int(b.cache.quote(EURUSD).bid_size) < 1_000_000_000, "quotes with sizes of the book")

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_tc_d11_book_at_interval_d13_snapshot_and_d14_managed_book(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.subscribe_book_deltas(EURUSD, BookType.L2_MBP, managed=True)
        await b.until(lambda: b.cache.order_book(EURUSD) is not None, "a managed book")
        await b.until(lambda: b.cache.order_book(EURUSD).best_bid_price() is not None, "levels")
        assert str(b.cache.order_book(EURUSD).best_bid_price()) == "1.08500"
        b.probe.request_book_snapshot(EURUSD)

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_tc_d12_book_depth(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.subscribe_book_depth(EURUSD, BookType.L2_MBP, depth=5)
        b.sandbox.push("EURUSD", "1.08510", "1.08517")
        await b.until(lambda: b.probe.depths, "a depth snapshot")
        depth = b.probe.depths[-1]
        prices = [o.price.as_decimal() for o in depth.bids if o.size.is_positive()]
        assert prices == sorted(prices, reverse=True)
        assert prices

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_tc_d20_quotes_and_d70_unsubscribe(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        await b.until(lambda: b.probe.quotes, "the first quote")
        b.sandbox.push("EURUSD", "1.08600", "1.08608")
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.08600", "the new quote")
        quote = b.probe.quotes[-1]
        assert str(quote.ask_price) == "1.08608"
        assert quote.ts_event <= quote.ts_init
        b.probe.unsubscribe_quotes(EURUSD)
        gbp = InstrumentId.from_str("GBPUSD.PEPPERSTONE")
        b.probe.subscribe_quotes(gbp)
        await b.until(lambda: any(q.instrument_id == gbp for q in b.probe.quotes), "the other symbol")
        seen = len([q for q in b.probe.quotes if q.instrument_id == EURUSD])
        b.sandbox.push("EURUSD", "1.08700", "1.08708")
        b.sandbox.push("GBPUSD", "1.26500", "1.26510")
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.26500", "the later quote")
        assert len([q for q in b.probe.quotes if q.instrument_id == EURUSD]) == seen

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_tc_d21_historical_quotes(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        await b.until(lambda: len(b.probe.quotes) > 5, "live quotes first")
        b.probe.request_quotes(EURUSD)
        await b.until(lambda: b.probe.history, "history")
        quotes = b.probe.history[0]
        assert quotes
        assert all(x.ts_event <= y.ts_event for x, y in pairwise(quotes))

    with sandbox(tmp_path, **HISTORY) as broker:
        run_ctrader(tmp_path, broker, script)


def test_tc_d40_live_bars(tmp_path: Path) -> None:
    minute = 60_000_000_000

    async def script(b: Bench) -> None:
        b.probe.subscribe_bars(M1)
        b.probe.subscribe_bars(M1_ASK)

        def of(kind: BarType) -> list[Any]:
            return [bar for bar in b.probe.bars if bar.bar_type == kind]

        await b.until(lambda: len(of(M1)) > 1 and of(M1_ASK), "closed bars of each")
        for bar in b.probe.bars:
            assert bar.ts_event % minute == 0  # named by its close
            assert bar.ts_event <= bar.ts_init
            assert bar.low <= bar.open <= bar.high
        # Whole: 40 ticks a second over nine symbols are 266 a minute, of which about half move the bid.
        for whole in (of(M1)[-1], of(M1_ASK)[-1]):
            assert int(whole.volume) > 100 * UNITS_PER_TICK

    # Minutes of the broker last three seconds here; its clock starts behind this machine's and does not overtake it.
    clock = RunningClock(time.time_ns() - 20 * minute, speed=20)
    with sandbox(tmp_path, clock, behaviour={"client_silence_s": 0}, **HISTORY) as broker:
        run_ctrader(tmp_path, broker, script)


def test_tc_d41_historical_bars(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.request_bars(M1, limit=100)
        await b.until(lambda: b.probe.history, "history")
        bars = b.probe.history[0]
        assert len(bars) == 100
        steps = {later.ts_event - earlier.ts_event for earlier, later in pairwise(bars)}
        assert min(steps) == 60_000_000_000
        assert bars[-1].ts_event <= b.probe.clock.timestamp_ns()

    with sandbox(tmp_path, **HISTORY) as broker:
        run_ctrader(tmp_path, broker, script)


def test_tc_d60_instrument_status(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.subscribe_instrument_status(EURUSD)
        await b.until(lambda: b.probe.statuses, "a status")
        assert b.probe.statuses[0].action is MarketStatusAction.TRADING
        assert b.probe.statuses[0].is_trading

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_tc_d30_d31_d50_d61_what_the_venue_has_not_is_said_and_ends_nothing(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.subscribe_trades(EURUSD)
        b.probe.request_trades(EURUSD)
        b.probe.subscribe_mark_prices(EURUSD)
        b.probe.subscribe_index_prices(EURUSD)
        b.probe.subscribe_funding_rates(EURUSD)
        b.probe.subscribe_instrument_close(EURUSD)
        await b.until(lambda: b.probe.quotes, "the first quote")
        b.sandbox.push("EURUSD", "1.08600", "1.08608")
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.08600", "quotes go on")

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_the_frameworks_own_tester_runs_over_everything_the_venue_has(tmp_path: Path) -> None:
    config: dict[str, Any] = {
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

    async def script(b: Bench) -> None:
        await b.until(lambda: len(b.probe.quotes) > 20, "quotes")
        await b.until(lambda: b.cache.order_book(EURUSD) is not None, "a managed book")

    with sandbox(tmp_path, **HISTORY) as broker:
        run_ctrader(
            tmp_path,
            broker,
            script,
            setup=lambda node: node.add_builtin_actor(
                "DataTester",
                DataTesterConfig(client_id=ClientId(VENUE), instrument_ids=[EURUSD], bar_types=[M1], **config),
            ),
        )
        assert broker.failure is None
