"""The framework's data conformance cases (TC-D), run by its own DataTester and by a probe on the sandbox broker."""

import time
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import BarType, BookType

from pepperstone_adapter.mapping.data import UNITS_PER_TICK
from pepperstone_adapter.sandbox.clock import RunningClock
from tests.kit import conformance_data as tc
from tests.kit.conformance_data import HISTORY, M1
from tests.kit.ctrader_node import run_ctrader, sandbox
from tests.kit.node import EURUSD, Bench

M1_ASK = BarType.from_str("EURUSD.PEPPERSTONE-1-MINUTE-ASK-EXTERNAL")


def test_tc_d01_request_instruments_and_d03_load_one(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, tc.instruments_are_requested_and_one_is_loaded_on_demand)


def test_tc_d02_subscribe_instrument(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, tc.an_instrument_is_subscribed)


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


def test_tc_d11_book_at_interval(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.subscribe_book_at_interval(EURUSD, BookType.L2_MBP, 100)
        await b.until(lambda: len(b.probe.books) > 1, "the book again and again")
        b.sandbox.push("EURUSD", "1.08510", "1.08517")
        await b.until(lambda: str(b.probe.books[-1].best_bid_price()) == "1.08510", "the book as it is now")
        assert str(b.probe.books[-1].best_ask_price()) == "1.08517"

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_tc_d13_snapshot_and_d14_managed_book(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.subscribe_book_deltas(EURUSD, BookType.L2_MBP, managed=True)
        await b.until(lambda: b.cache.order_book(EURUSD) is not None, "a managed book")
        await b.until(lambda: b.cache.order_book(EURUSD).best_bid_price() is not None, "levels")
        assert str(b.cache.order_book(EURUSD).best_bid_price()) == "1.08500"
        assert b.probe.books == []
        b.probe.request_book_snapshot(EURUSD)
        await b.until(lambda: b.probe.books, "a snapshot")
        assert [len(side) for side in (b.probe.books[0].bids(), b.probe.books[0].asks())] == [5, 5]
        assert str(b.probe.books[0].best_bid_price()) == "1.08500"

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
    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, tc.quotes_come_until_they_are_unsubscribed)


def test_tc_d21_historical_quotes(tmp_path: Path) -> None:
    with sandbox(tmp_path, **HISTORY) as broker:
        run_ctrader(tmp_path, broker, tc.past_quotes_are_in_order)


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
    with sandbox(tmp_path, **HISTORY) as broker:
        run_ctrader(tmp_path, broker, tc.past_bars_are_whole)


def test_tc_d60_instrument_status(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, tc.a_status_is_told)


def test_tc_d30_d31_d50_d61_what_the_venue_has_not_is_said_and_ends_nothing(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, tc.what_the_venue_has_not_ends_nothing)


def test_the_frameworks_own_tester_runs_over_everything_the_venue_has(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        await b.until(lambda: len(b.probe.quotes) > 20, "quotes")
        await b.until(lambda: b.cache.order_book(EURUSD) is not None, "a managed book")

    with sandbox(tmp_path, **HISTORY) as broker:
        run_ctrader(tmp_path, broker, script, setup=tc.add_tester)
        assert broker.failure is None
