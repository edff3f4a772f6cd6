"""Symbols, silence, closed markets, clocks and prices (F48 to F57) on a real node over real TLS, judged by the ledger."""

import asyncio
import sys
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import BarType, OrderSide, PositionId

from pepperstone_adapter.broker.events import LinkDown
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.market import Tick
from pepperstone_adapter.ctrader.client.protocol import Timings
from pepperstone_adapter.live.config import LiveDataConfig
from pepperstone_adapter.sandbox.clock import RunningClock
from pepperstone_adapter.sandbox.process import start_process
from pepperstone_adapter.sandbox.server import Credentials, settings_for_tests
from tests.kit.ctrader import Recorder, session_of
from tests.kit.ctrader_node import ACCOUNT_ID, LOGIN, sandbox
from tests.kit.faults import SHORT, Trader, account, requests, rule, run_live
from tests.kit.node import EURUSD, SELL, Bench, Probe, px, units

D = Decimal


def change_symbol(b: Bench, **changes: Any) -> None:
    ledger = b.sandbox.ledger
    terms = ledger.symbols["EURUSD"]
    b.sandbox.call(ledger.change_symbol, replace(terms, spec=replace(terms.spec, **changes)), b.sandbox.clock.now_ns())


class Busy(Probe):
    """A strategy that computes until what it waits for has happened (or a minute has passed)."""

    def __init__(self) -> None:
        super().__init__()
        self.wait_for: Any = None
        self.heard = False

    def on_quote(self, quote: Any) -> None:
        super().on_quote(quote)
        if self.wait_for is not None:
            waited_for, self.wait_for = self.wait_for, None
            end = time.monotonic() + 60
            while not self.heard and time.monotonic() < end:
                self.heard = waited_for()


def test_F48_a_strategy_that_blocks_stops_no_heartbeat_and_loses_no_fill(tmp_path: Path) -> None:
    from tests.kit.faults import HEARTBEAT

    probe = Busy()

    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working("1.08400")
        counts = b.sandbox.journal.counts
        before = counts.get(HEARTBEAT, 0)
        probe.wait_for = lambda: counts.get(HEARTBEAT, 0) >= before + 3
        b.sandbox.push("EURUSD", "1.08390", "1.08397")  # blocks the strategy, and fills the order meanwhile
        await t.reach(order, "FILLED")
        assert probe.heard, "heartbeats stopped with the strategy"
        assert b.connection.link_losses == 0

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script, probe=probe)


def test_F48_a_computation_that_keeps_the_interpreter_is_not_taken_for_a_silent_broker(tmp_path: Path) -> None:
    """No other thread gets a turn, longer than the link's patience; meanwhile the broker, elsewhere, goes on sending."""

    async def main() -> None:
        recorder = Recorder()
        session = session_of(process, login=int(LOGIN), timings=SHORT)  # type: ignore[arg-type]
        await session.connect(recorder)
        await session.subscribe_quotes(["EURUSD"])
        await recorder.until(lambda: recorder.of(Tick))
        turns_s = sys.getswitchinterval()
        sys.setswitchinterval(60.0)
        try:
            end_s = time.monotonic() + SHORT.silent_s + 0.5
            while time.monotonic() < end_s:
                pass
        finally:
            sys.setswitchinterval(turns_s)
        seen = len(recorder.of(Tick))
        await recorder.until(lambda: len(recorder.of(Tick)) > seen + 20)
        assert recorder.of(LinkDown) == []
        await session.close()

    tape = {"source": "walk", "history_days": 0, "ticks_per_s": 50.0}
    with start_process(settings_for_tests(tmp_path, tape=tape)) as process:
        process.credentials = Credentials()  # type: ignore[attr-defined]
        asyncio.run(main())


def test_F49_quotes_give_way_to_newer_ones_while_a_strategy_blocks_and_no_fill_does(tmp_path: Path) -> None:
    """More prices than may wait, with fills and a position closed by hand among them."""
    probe = Busy()

    async def script(b: Bench) -> None:
        t = Trader(b)
        _, ticket = await t.opened()
        resting = [await t.working(f"1.0840{n}") for n in range(3)]
        mailbox = b.connection.session._mailbox

        def flood() -> None:
            for n in range(60_000):
                b.sandbox._quote("EURUSD", 108_500 + n % 50, 108_507 + n % 50)
                if n % 15_000 == 14_999:  # three dips, a resting order is filled in each
                    b.sandbox._quote("EURUSD", 108_390, 108_403 - n // 15_000)
            b.sandbox.ledger.close(ACCOUNT_ID, int(ticket), D(10_000), b.sandbox.clock.now_ns())
            b.sandbox._quote("EURUSD", 108_490, 108_497)

        probe.wait_for = lambda: mailbox.conflated > 0
        b.sandbox.push("EURUSD", "1.08499", "1.08506")  # blocks the strategy
        b.sandbox.call(flood)
        await b.until(lambda: probe.heard, "quotes that gave way")
        for order in resting:
            await t.reach(order, "FILLED")
        await b.until(lambda: b.cache.position(PositionId(ticket)).is_closed, "the close by hand")
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.08490", "the newest price")
        assert b.connection.link_losses == 0

    with sandbox(tmp_path) as broker:
        # without an audit, which would find lost fills
        run_live(tmp_path, broker, script, probe=probe, timings=Timings(), audit_interval_s=3600.0)


def test_F50_a_symbol_that_changes_is_the_measure_of_the_next_order_and_touches_no_open_one(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        resting, (_, ticket) = await t.working(n=1_000), await t.opened(n=1_000)
        b.probe.subscribe_instrument(EURUSD)
        change_symbol(b, volume_min=D(5_000), volume_step=D(5_000))
        await b.until(lambda: int(b.cache.instrument(EURUSD).min_quantity) == 5_000, "the new definition")
        await t.reach(t.market(n=6_000), "DENIED")
        assert "not a multiple of 5,000 units" in b.probe.events[-1].reason
        assert t.status(resting) == "ACCEPTED"
        await t.opened(n=5_000)
        assert b.cache.position(PositionId(ticket)).is_open

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F51_a_subscription_that_died_in_silence_is_asked_for_again(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        def die() -> None:
            for connection in b.sandbox.venue.connections:
                for subscribed in connection.subscriptions.values():
                    subscribed.spots.clear()

        ask_bars = BarType.from_str(f"{EURUSD}-1-HOUR-ASK-EXTERNAL")
        b.probe.subscribe_bars(ask_bars)
        await Trader(b).opened()
        assert b.data is not None
        building = b.data.built
        await b.until(lambda: len(building) == 1, "a bar of the ask")
        b.sandbox.push("EURUSD", "1.08590", "1.08597")
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.08590", "a price")
        asked = requests(b.sandbox, "SubscribeSpotsReq")
        b.sandbox.call(die)
        b.sandbox.push("EURUSD", "1.08990", "1.08997")
        pushed_ms = b.sandbox.clock.now_ns() // 1_000_000
        await b.until(lambda: b.sandbox.clock.now_ns() // 1_000_000 > pushed_ms, "another stamp")
        b.sandbox.push("EURUSD", "1.08600", "1.08607")
        await b.until(lambda: requests(b.sandbox, "SubscribeSpotsReq") > asked, "subscribing again")
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.08600", "what was missed")
        b.sandbox.push("EURUSD", "1.08610", "1.08617")
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.08610", "prices that flow again")
        await b.until(lambda: not building.interrupted, "the ticks that passed unseen")
        forming = building._builders[ask_bars]._high
        ended = [round(bar.high.as_decimal() * 100_000) for bar in b.probe.bars]  # the hour may just be over
        assert max([forming, *ended]) == 108_997
        assert b.connection.link_losses == 0

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script, data=LiveDataConfig(stale_after_s=0.5))


@pytest.mark.parametrize("lost", ["UnsubscribeSpotsReq", "SubscribeSpotsReq"])
def test_F51_a_link_that_is_lost_while_a_silent_symbol_is_asked_for_again_costs_no_prices(
    tmp_path: Path, lost: str
) -> None:
    async def script(b: Bench) -> None:
        b.sandbox.add_fault(rule("cut_before", lost))
        await Trader(b).down_and_up()
        b.sandbox.push("EURUSD", "1.08590", "1.08597")
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.08590", "prices that flow again")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script, data=LiveDataConfig(stale_after_s=0.5))


def test_F51_a_subscription_that_is_refused_once_is_asked_for_until_it_is_there(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.sandbox.add_fault(rule("error", "SubscribeSpotsReq", text="INTERNAL_SERVER_ERROR"))
        await b.until(lambda: not b.sandbox.venue.faults.pending, "a refused subscription")
        b.sandbox.push("EURUSD", "1.08590", "1.08597")
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.08590", "prices that flow again")
        assert b.connection.link_losses == 0

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script, data=LiveDataConfig(stale_after_s=0.5))


def test_F52_a_market_that_closes_refuses_orders_by_name_and_opens_as_if_nothing_had_been(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        resting, (_, ticket) = await t.working(), await t.opened()
        change_symbol(b, hours=TradingHours(zone="UTC", intervals=()))
        await b.until(lambda: not b.connection.specs["EURUSD"].hours.intervals, "the closed hours")
        order = t.market()
        await b.until(lambda: t.status(order) in ("REJECTED", "DENIED"), "a refusal")
        assert "closed" in b.probe.events[-1].reason.lower()
        change_symbol(b, hours=TradingHours.always())
        await b.until(lambda: b.connection.specs["EURUSD"].hours.intervals, "the open hours")
        b.sandbox.push("EURUSD", "1.07900", "1.07907")  # a gap, and the first price after it
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.07900", "the first price after the gap")
        await t.opened()
        assert t.status(resting) == "ACCEPTED"
        assert b.cache.position(PositionId(ticket)).is_open
        assert b.connection.link_losses == 0

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("ahead_s", [-3600, -300, 300, 5 * 3600])
def test_F53_a_local_clock_wrong_by_minutes_or_hours_loses_no_deal_and_names_the_brokers_time(
    tmp_path: Path, ahead_s: int
) -> None:
    """The broker's clock is ahead of ours, or behind: what happens in a gap is found all the same, and what an earlier
    run has done is not told as new."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        near, (_, ticket) = await t.working("1.08400"), await t.opened()
        b.sandbox.add_fault(rule("mute", "NewOrderReq"))
        unanswered = t.market(SELL)
        await b.until(lambda: requests(b.sandbox, "NewOrderReq") == 3, "the order at the broker")
        b.sandbox.call(b.sandbox.venue.disconnect_clients, "gone")
        b.sandbox.push("EURUSD", "1.08390", "1.08397")  # a fill while nobody listens
        b.sandbox.call(b.sandbox.ledger.close, ACCOUNT_ID, int(ticket), D(10_000), b.sandbox.clock.now_ns())
        await t.down_and_up()
        await t.reach(near, "FILLED")
        await t.reach(unanswered, "FILLED")
        await b.until(lambda: b.cache.position(PositionId(ticket)).is_closed, "the close by hand")
        b.sandbox.add_fault(rule("drop", "ExecutionEvent", on="reply", times=2))
        await t.reach(t.market(), "FILLED")  # nothing but the audit finds it
        stamps = {str(e.trade_id): e.ts_event for e in b.probe.events if type(e).__name__ == "OrderFilled"}
        told = {str(d.deal_id): d.ts_ns for d in account(b.sandbox).deals}
        # the wire carries milliseconds
        assert all(stamps[deal_id] // 1_000_000 == told[deal_id] // 1_000_000 for deal_id in stamps)
        inits = [quote.ts_init for quote in b.probe.quotes]
        assert inits == sorted(inits)

    async def restarted(b: Bench) -> None:
        held = {str(p.position_id) for p in account(b.sandbox).positions.values()}
        deals = {str(d.deal_id) for d in account(b.sandbox).deals if str(d.position_id) in held}
        await b.until(lambda: {str(p.id) for p in b.cache.positions_open()} == held, "the positions of the first run")
        assert {str(t) for p in b.cache.positions_open() for t in p.trade_ids()} == deals

    clock = RunningClock(start_ns=time.time_ns() + ahead_s * 1_000_000_000)
    with sandbox(tmp_path, clock=clock) as broker:
        run_live(tmp_path, broker, script)
        run_live(tmp_path, broker, restarted)


def test_F56_prices_with_equal_and_earlier_stamps_come_in_the_order_they_were_sent(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        first = b.sandbox.clock.now_ns() // 1_000_000 * 1_000_000
        b.probe.quotes.clear()
        stamps = [first, first, first - 1_000_000_000, first + 1_000_000]
        for n, stamp in enumerate(stamps):
            b.sandbox.call(b.sandbox._quote, "EURUSD", 108_600 + n, 108_607 + n, stamp)
        await b.until(lambda: b.probe.quotes and str(b.probe.quotes[-1].bid_price) == "1.08603", "the last price")
        whole = [q for q in b.probe.quotes if q.ask_price - q.bid_price == px("0.00007")]
        assert [str(q.bid_price) for q in whole] == ["1.08600", "1.08601", "1.08602", "1.08603"]
        assert [q.ts_event for q in whole] == stamps
        order = b.probe.order_factory.market(EURUSD, OrderSide.BUY, units(1_000))
        b.probe.submit_order(order)
        await t.reach(order, "FILLED")
        assert b.cache.quote(EURUSD).bid_price == px("1.08603")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F57_a_price_that_cannot_be_true_is_no_quote_and_the_next_true_one_is(tmp_path: Path) -> None:
    """A spike of the ask alone, with a bid behind it; a crossed pair; a bid of nothing."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        b.probe.quotes.clear()
        for bid, ask in (
            ("1.08500", "2.40000"),
            ("1.08501", "2.40000"),
            ("1.08600", "1.08400"),
            ("0.00000", "1.08507"),
        ):
            b.sandbox.push("EURUSD", bid, ask)
        b.sandbox.push("EURUSD", "1.08503", "1.08511")
        await b.until(lambda: b.probe.quotes and str(b.probe.quotes[-1].ask_price) == "1.08511", "the true price")
        seen = {(str(q.bid_price), str(q.ask_price)) for q in b.probe.quotes}
        assert all("1.08500" <= bid < ask < "1.08600" for bid, ask in seen), seen
        assert b.connection.quotes["EURUSD"].held_back >= 3
        await t.opened(n=1_000)

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
