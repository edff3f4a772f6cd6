"""Faults of the terminal (F71 to F81), judged by the broker's books."""

import asyncio
import os
import signal
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from pepperstone_adapter.broker.events import AccountChanged, LinkDown, LinkUp, Notice, OrderChanged, PositionChanged
from pepperstone_adapter.broker.market import BarPeriod, Tick
from pepperstone_adapter.broker.orders import OrderType, Protection, Side, TimeInForce
from pepperstone_adapter.common.errors import LinkLost, NotFound, OrderRefused, OutcomeUnknown, PepperstoneError
from pepperstone_adapter.sandbox.ledger import NewOrder
from pepperstone_adapter.sandbox.ledger.state import Liquidity
from pepperstone_adapter.sandbox.mt5_terminal.faults import Mt5Fault, Mt5FaultKind
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit import mt5 as kit
from tests.kit.ctrader import Recorder
from tests.kit.mt5 import LOGIN, NETTING
from tests.kit.mt5_scene import Scene, chain, order, play

D = Decimal


@pytest.mark.parametrize("code", [-10_005, -10_002, -10_000])
@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
def test_f71_no_result_is_an_unknown_outcome(code: int, done: bool, tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.fault("error_after" if done else "error", code=code, text="IPC timeout")
        with pytest.raises(OutcomeUnknown):
            await s.session.submit(order())
        found = await s.found()
        assert (found is not None) is done
        assert s.orders_of("O-1") == int(done)
        assert "rejected" not in s.told.changes("O-1")  # O6
        # The same request again is not sent again: the gateway has kept its key.
        with pytest.raises(OutcomeUnknown):
            await s.session.submit(order())
        assert s.orders_of("O-1") == int(done)

    play(tmp_path, script)


@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
def test_f71_a_pipe_that_breaks_in_order_send_is_an_unknown_outcome(done: bool, tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.fault("cut_after" if done else "cut_before")
        with pytest.raises(OutcomeUnknown):
            await s.session.submit(order())
        await s.recovered()
        assert ((await s.found()) is not None) is done
        assert s.orders_of("O-1") == int(done)
        assert ("filled" in s.told.changes("O-1")) is done
        assert "rejected" not in s.told.changes("O-1")  # O6

    play(tmp_path, script)


def test_f72_a_terminal_that_restarts_is_joined_again(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        deal = await s.open()
        assert s.broker.mt5 is not None
        s.broker.call(s.broker.mt5.restart)
        await s.told.until(lambda: s.told.of(LinkDown))
        await s.recovered()
        await s.session.close_position(deal.position_id, D(10_000), "C-1")
        await s.filled("C-1")

    play(tmp_path, script)


def test_f72_positions_and_orders_outlive_a_terminal_that_comes_back_without_its_server(tmp_path: Path) -> None:
    """An update at the weekend, while the broker's server is away: for an hour the terminal has nothing to show."""
    later_ns = 0

    async def script(broker: Sandbox, gate: kit.Gateway) -> None:
        nonlocal later_ns
        session, told = kit.session_of(gate, now_ns=lambda: time.time_ns() + later_ns), Recorder()
        await session.connect(told)
        try:
            await session.submit(order(protection=Protection(stop_loss=D("1.05000"))))
            await session.submit(order("L-1", OrderType.LIMIT, limit_price=D("1.06000")))
            await told.until(lambda: told.of(PositionChanged))
            terminal, server = broker.terminal, broker.mt5
            assert server is not None

            def begins_without() -> None:
                terminal.connected = False
                server.restart()

            broker.call(begins_without)
            await told.until(lambda: told.of(LinkDown))
            while not gate.hosted.call(lambda: gate.hosted.supervisor._ready):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            calls = broker.call(lambda: server.calls)
            while broker.call(lambda: server.calls) < calls + 200:  # noqa: ASYNC110 - looked at again and again
                await asyncio.sleep(0.002)
            later_ns = 3600 * 10**9
            broker.call(setattr, terminal, "connected", True)
            await told.until(lambda: told.of(LinkUp))
            assert told.of(Notice) == []
            assert all(e.position.units for e in told.of(PositionChanged))
            assert (told.changes("O-1"), told.changes("L-1")) == (["accepted", "filled"], ["accepted"])
            assert [p.protection for p in (await session.snapshot()).positions] == [Protection(stop_loss=D("1.05000"))]
            assert len((await session.snapshot()).orders) == 1
        finally:
            await session.close()

    with chain(tmp_path) as (broker, gate):
        asyncio.run(asyncio.wait_for(script(broker, gate), 60))


def test_f72_a_terminal_that_comes_back_with_another_account_is_not_traded(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        assert s.broker.mt5 is not None
        terminal, restart = s.broker.terminal, s.broker.mt5.restart

        def comes_back() -> None:  # the account is gone from this terminal: it starts with the other one
            del terminal.accounts[LOGIN]
            terminal.login = NETTING
            restart()

        s.broker.call(comes_back)
        await s.told.until(lambda: s.told.of(LinkDown))
        with pytest.raises(LinkLost, match="nothing was sent"):
            await s.session.submit(order())
        assert kit.magic_counts(s.broker, LOGIN) == kit.magic_counts(s.broker, NETTING) == {}
        assert s.told.of(LinkUp) == []

    play(tmp_path, script, judge=False)


@pytest.mark.parametrize("code", [10004, 10020, 10021, 10006])
def test_f73_prices_that_moved_are_refusals(code: int, tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.fault("retcode", code=code, text="moved")
        with pytest.raises(OrderRefused):
            await s.session.submit(order())
        assert s.orders_of("O-1") == 0
        await s.open("O-2")

    play(tmp_path, script)


@pytest.mark.parametrize("code", [10012, 10031])
@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
def test_f74_timeout_and_no_connection_are_unknown(code: int, done: bool, tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.fault("retcode_after" if done else "retcode", code=code)
        with pytest.raises(OutcomeUnknown):
            await s.session.submit(order())
        assert ((await s.found()) is not None) is done
        assert s.orders_of("O-1") == int(done)

    play(tmp_path, script)


@pytest.mark.parametrize(
    ("switch", "words"),
    [("trade_allowed", "Algo Trading"), ("tradeapi_disabled", "via Python"), ("expert_allowed", "automated")],
)
def test_f75_a_switch_that_is_off_is_named(switch: str, words: str, tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.broker.call(setattr, s.broker.terminal, switch, switch == "tradeapi_disabled")
        await s.told.until(lambda: any(not a.account.trading_allowed for a in s.told.of(AccountChanged)))
        assert words in s.told.of(AccountChanged)[-1].account.trading_note
        with pytest.raises(OrderRefused):
            await s.session.submit(order())
        assert any(n.halt for n in s.told.of(Notice))
        assert s.orders_of("O-1") == 0

    play(tmp_path, script)


def test_f75_a_symbol_that_is_disabled_is_refused_and_the_others_are_traded(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.fault("retcode", code=10017, text="Trade disabled")
        with pytest.raises(OrderRefused, match="TRADE_DISABLED"):
            await s.session.submit(order())
        assert not any(n.halt for n in s.told.of(Notice))
        await s.open("O-2")

    play(tmp_path, script)


def test_f76_another_account_in_the_terminal_stops_trading(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.broker.call(setattr, s.broker.terminal, "login", NETTING)
        with pytest.raises(PepperstoneError, match=r"account 3000002|no terminal"):
            await s.session.submit(order())
        await s.told.until(lambda: any(d.permanent for d in s.told.of(LinkDown)))
        with pytest.raises(LinkLost):
            await s.session.submit(order("O-2"))
        assert kit.magic_counts(s.broker, LOGIN) == kit.magic_counts(s.broker, NETTING) == {}

    play(tmp_path, script, judge=False)


def test_f76_nothing_of_another_account_is_told_as_ours(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        ours = await s.open()
        await s.told.until(lambda: s.told.of(PositionChanged))

        def switch() -> None:
            terminal = s.broker.terminal
            bought = NewOrder(symbol="EURUSD", side=Side.BUY, type=OrderType.MARKET, units=D(5_000))
            resting = replace(bought, type=OrderType.LIMIT, limit_price=D("1.08000"))
            for request in (bought, resting):
                terminal.ledger.submit(NETTING, request, terminal.now_ns())
            terminal.login = NETTING

        s.broker.call(switch)
        await s.told.until(lambda: any(d.permanent for d in s.told.of(LinkDown)))
        assert {e.order.client_order_id for e in s.told.of(OrderChanged)} == {"O-1"}
        assert {e.position.position_id for e in s.told.of(PositionChanged)} == {ours.position_id}
        assert s.session._book._vanished == {}
        # An order whose outcome is unknown is not looked for in the other account's lists and declared dead.
        with pytest.raises(PepperstoneError, match="logged in to account 3000002, not 3000001"):
            await s.found("O-2")

    play(tmp_path, script, judge=False)


def test_f77_placed_partial_and_nothing_to_change(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.fault("retcode_after", code=10008)  # placed: the fill comes as a deal
        state = await s.session.submit(order())
        assert state.client_order_id == "O-1"
        deal = await s.filled("O-1")
        await s.session.set_protection(deal.position_id, Protection(stop_loss=D("1.05000")))
        await s.session.set_protection(deal.position_id, Protection(stop_loss=D("1.05000")))  # 10025 is done
        s.broker.call(s.broker.terminal.ledger.set_liquidity, "EURUSD", Liquidity(D(3_000), fills_left=1))
        await s.session.submit(order("O-2", time_in_force=TimeInForce.IOC))  # 10010: the rest is told as canceled
        await s.told.until(lambda: s.told.changes("O-2") == ["accepted", "partially_filled", "canceled"])

    play(tmp_path, script)


def test_f78_fields_the_broker_would_refuse(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        with pytest.raises(OrderRefused, match="multiple"):
            await s.session.submit(order("V", units=D(1_234)))
        with pytest.raises(OrderRefused, match="INVALID_STOPS"):
            await s.session.submit(order("S", protection=Protection(stop_loss=D("1.20000"))))
        deal = await s.open()
        ledger = s.broker.terminal.ledger
        s.broker.call(ledger.close, LOGIN, int(deal.position_id), D(10_000), s.broker.clock.now_ns())
        with pytest.raises((NotFound, OrderRefused), match=r"POSITION_CLOSED|no open position"):
            await s.session.close_position(deal.position_id, D(10_000), "C-1")

    play(tmp_path, script)


@pytest.mark.parametrize("when", ["hang_before", "hang_after"])
def test_f79_a_hanging_call_is_ended_and_nothing_is_lost(when: str, tmp_path: Path) -> None:
    """Silence in `order_send`, against a deadline of 3 s (30 s / 10)."""

    async def script(s: Scene) -> None:
        await s.session.subscribe_quotes(["EURUSD"])
        await s.told.until(lambda: s.told.of(Tick))
        s.fault(when)
        sending = asyncio.create_task(s.session.submit(order()))
        for point in range(110_001, 110_101):
            await asyncio.sleep(0.005)
            s.broker.call(s.broker._quote, "EURUSD", point, point + 10)
        assert not sending.done()  # the loop of the node went on meanwhile
        with pytest.raises(OutcomeUnknown):
            await sending
        await s.recovered()
        assert s.gate.restarts >= 1
        await s.told.until(lambda: s.told.of(Tick)[-1].bid == 110_100)
        assert [t.bid for t in s.told.of(Tick)] == [110_000, *range(110_001, 110_101)]  # not one tick lost or doubled
        if when == "hang_after":
            await s.filled("O-1")
        assert ((await s.found()) is not None) is (when == "hang_after")
        assert s.orders_of("O-1") <= 1

    # A hang before the work is done leaves an order the terminal may still make: only the deal stream may tell.
    play(tmp_path, script, gateway={"patience": 1 / 10}, judge=when == "hang_after")


@pytest.mark.parametrize("done", [True, False], ids=["order executed", "order not read"])
def test_f79_a_terminal_silent_for_a_minute_costs_no_tick_and_no_order_its_identity(done: bool, tmp_path: Path) -> None:
    """The whole terminal hangs: the call in flight, every poll, and each fresh worker's attempt to attach. Everything is
    10 times faster than life: 60 s are 6 s here, the deadline of an order 30 s and 3 s, of an attempt to attach 150 s and
    15 s, of a silent worker 20 s and 2 s. 12,000 ticks are made in that minute, 200 a second."""
    patience = {"patience": 1 / 10, "start_s": 150 / 10, "hang_s": 20 / 10}
    silent_s, per_batch = 60 / 10, 200

    async def script(s: Scene) -> None:
        terminal = s.broker.terminal
        await s.session.subscribe_quotes(["EURUSD"])
        await s.told.until(lambda: s.told.of(Tick))
        deal = await s.open("O-0")
        if done:
            s.fault("hang_after")
        else:
            s.broker.call(terminal.answers.clear)
        sending = asyncio.create_task(s.session.submit(order()))
        while done and s.orders_of("O-1") == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        s.broker.call(terminal.answers.clear)
        began_s, points = time.monotonic(), 110_000
        while time.monotonic() - began_s < silent_s or points < 110_000 + 60 * per_batch:
            await asyncio.sleep(silent_s / 60)

            def batch(first: int = points + 1) -> None:
                for point in range(first, first + per_batch):
                    s.broker._quote("EURUSD", point, point + 10)

            s.broker.call(batch)
            points += per_batch
        with pytest.raises((OutcomeUnknown, LinkLost)):
            await sending
        assert s.gate.restarts >= 1
        assert s.told.of(LinkUp) == []
        with pytest.raises(LinkLost, match="nothing was sent"):
            await s.session.submit(order("O-2"))
        s.broker.call(terminal.answers.set)
        await s.recovered()
        await s.told.until(lambda: s.told.of(Tick)[-1].bid == points)
        assert [t.bid for t in s.told.of(Tick)] == [110_000, *range(110_001, points + 1)]
        # The order kept its name; what was never read does not appear later.
        assert ((await s.found()) is not None) is done
        if done:
            assert (await s.filled("O-1")).client_order_id == "O-1"
        assert (s.orders_of("O-0"), s.orders_of("O-1"), s.orders_of("O-2")) == (1, int(done), 0)
        await s.session.close_position(deal.position_id, D(10_000), "C-0")
        await s.filled("C-0")

    play(tmp_path, script, gateway=patience)


def test_f79_a_terminal_that_holds_the_gil_is_ended_as_well(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.fault("hang_after")
        with pytest.raises(OutcomeUnknown):
            await s.session.submit(order())
        await s.recovered()
        await s.filled("O-1")
        assert s.orders_of("O-1") == 1

    play(tmp_path, script, gateway={"patience": 1 / 10}, hold_gil=True)


def test_f79_a_worker_killed_in_the_middle_of_order_send(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.fault("hang_after")
        pid = s.gate.worker_pid
        sending = asyncio.create_task(s.session.submit(order()))
        while s.orders_of("O-1") == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(OutcomeUnknown):
            await sending
        await s.recovered()
        deal = await s.filled("O-1")
        found = await s.found()
        assert found is not None
        assert found.order.order_id == deal.order_id

    play(tmp_path, script)


def test_f80_a_terminal_without_its_server_is_not_connected(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.broker.call(setattr, s.broker.terminal, "connected", False)
        await s.told.until(lambda: s.told.of(LinkDown))
        assert "trade server" in s.told.of(LinkDown)[0].reason
        with pytest.raises(LinkLost):
            await s.session.submit(order())
        s.broker.call(setattr, s.broker.terminal, "connected", True)
        await s.recovered()
        # A symbol that is not in the Market Watch is put there before the order.
        await s.open("O-2", symbol="XAUUSD", units=D(1))

    play(tmp_path, script)


def test_f81_a_deal_that_history_shows_late(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        deal = await s.open()
        await s.session.close_position(deal.position_id, D(10_000), "C-1")
        await s.filled("C-1")
        await s.told.until(lambda: s.told.of(PositionChanged)[-1].position.units == 0)
        kinds = [e for e in s.told.events if isinstance(e, OrderChanged | PositionChanged)]
        flat = next(i for i, e in enumerate(kinds) if isinstance(e, PositionChanged) and e.position.units == 0)
        closed = next(i for i, e in enumerate(kinds) if isinstance(e, OrderChanged) and e.order.closing and e.deal)
        assert closed < flat  # never flat before the deal that made it so
        assert not [n for n in s.told.of(Notice) if n.level == "error"]

    play(tmp_path, script, deal_lag_ms=400.0)


def test_f81_positions_that_follow_late(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        deal = await s.open()
        await s.told.until(lambda: s.told.of(PositionChanged))
        await s.session.close_position(deal.position_id, D(10_000), "C-1")
        await s.told.until(lambda: s.told.of(PositionChanged)[-1].position.units == 0)
        assert s.told.changes("C-1") == ["accepted", "filled"]
        # A fill told before its position is shown: what the strategy does upon it waits for the terminal.
        deal = await s.open("O-2")
        await s.session.set_protection(deal.position_id, Protection(stop_loss=D("1.05000")))
        deal = await s.open("O-3")
        await s.session.close_position(deal.position_id, D(10_000), "C-3")
        await s.filled("C-3")
        gone = deal.position_id
        await s.told.until(
            lambda: any(e.position.position_id == gone and not e.position.units for e in s.told.of(PositionChanged))
        )

    play(tmp_path, script, position_lag_ms=300.0)


def test_a_cancel_and_a_close_go_before_the_pages_of_a_slow_history(tmp_path: Path) -> None:
    """A month of minutes asked for three times at once; both orders are asked for while the first page is with the terminal."""

    async def script(s: Scene) -> None:
        deal = await s.open()
        working = await s.session.submit(order("L-1", OrderType.LIMIT, limit_price=D("1.05000")))
        faults, dispatcher = s.broker.terminal.faults, s.gate.hosted.supervisor._dispatcher
        slow = Mt5Fault(kind=Mt5FaultKind.HANG_AFTER, fn="copy_rates_range", times=0)

        def next_page() -> None:  # the one that is with the terminal is done, the next will hang
            faults.clear()
            faults.add(slow)

        s.broker.call(faults.add, slow)
        now_ns = time.time_ns()
        begun = [
            asyncio.ensure_future(s.session.history_bars("EURUSD", BarPeriod.M1, now_ns - 30 * 86_400 * 10**9, now_ns))
            for _ in range(3)
        ]
        while not s.broker.call(lambda: faults._armed[0].done):  # noqa: ASYNC110 - the first page is with the terminal
            await asyncio.sleep(0.002)
        canceling = asyncio.ensure_future(s.session.cancel(working.order_id, "EURUSD"))
        closing = asyncio.ensure_future(s.session.close_position(deal.position_id, D(10_000), "C-1"))
        while s.gate.hosted.call(lambda: dispatcher.waiting) < 5:  # noqa: ASYNC110 - three pages, cancel, price to close at
            await asyncio.sleep(0.002)
        s.broker.call(next_page)
        await canceling  # another page before it would never end
        # The close itself is asked for with the price in hand; whoever takes longer than the gateway's rest for that
        # (`unit/mt5/gateway/test_dispatch`) waits for one page more.
        while not closing.done():
            await asyncio.wait([closing], timeout=1.0)
            s.broker.call(next_page)
        await closing
        assert kit.held(s.broker) == {}
        assert not any(task.done() for task in begun)
        for task in begun:
            task.cancel()
        s.broker.clear_faults()

    play(tmp_path, script)


def test_f57_rows_that_cannot_be_true_are_left_out_counted_and_told_and_the_stream_goes_on(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        prices = s.broker.terminal.prices["EURUSD"]
        await s.session.subscribe_quotes(["EURUSD"])
        await s.told.until(lambda: len(s.told.of(Tick)) == 1)
        newest_ms = prices.time_msc
        nan = float("nan")
        rows = [  # points of bid and ask, and how far ahead of the newest tick
            (110_001.0, 110_011.0, 1),
            (nan, 110_011.0, 2),
            (-110_001.0, 110_011.0, 3),
            (0.0, 0.0, 4),
            (110_012.0, 110_011.0, 5),
            (110_001.4, 110_011.0, 6),
            (110_002.0, 110_012.0, 7),
            (110_003.0, 110_013.0, 400 * 86_400_000),
        ]
        bids, asks, ahead = (np.array(column) for column in zip(*rows, strict=True))
        s.broker.call(prices.extend, bids, asks, newest_ms + ahead.astype(np.int64))
        await s.told.until(lambda: len(s.told.of(Tick)) == 3)
        s.broker.push("EURUSD", "1.10005", "1.10015")
        await s.told.until(lambda: s.told.of(Tick)[-1].bid == 110_005)
        assert [(t.bid, t.ask) for t in s.told.of(Tick)[1:]] == [
            (110_001, 110_011),
            (110_002, 110_012),
            (110_005, 110_015),
        ]
        await s.session.close()
        told = [n.text for n in s.told.of(Notice) if "cannot be true" in n.text]
        for sum_ in ("3 ticks with no positive price", "1 ticks with a bid above the ask", "1 ticks with more digits"):
            assert sum_ in told[-1]
        assert any("ticks with an impossible time" in text for text in told)

    play(tmp_path, script, judge=False)
