"""Links, order of messages and processes on MetaTrader 5 (F01 to F44, F83, F87), judged by the broker's books."""

import asyncio
import time
from decimal import Decimal
from pathlib import Path

import pytest

from pepperstone_adapter.broker.events import LinkDown
from pepperstone_adapter.broker.market import Tick
from pepperstone_adapter.broker.orders import (
    AmendRequest,
    OrderType,
    Side,
)
from pepperstone_adapter.common.errors import LinkLost, NotFound, OutcomeUnknown, RateLimited, VenueError
from pepperstone_adapter.mt5.client.identity import magic_of
from pepperstone_adapter.sandbox.clock import TestClock
from tests.kit import mt5 as kit
from tests.kit.ctrader import run
from tests.kit.mt5 import LOGIN, NETTING, Gateway
from tests.kit.mt5_scene import Scene, order, play, scene

D = Decimal
NS = 1_000_000_000


def test_f01_no_link_no_order(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.gate.kill_worker()
        await s.told.until(lambda: s.told.of(LinkDown))
        with pytest.raises(LinkLost, match="nothing was sent"):
            await s.session.submit(order())
        await s.recovered()
        assert s.orders_of("O-1") == 0
        await s.open("O-2")

    play(tmp_path, script)


def test_f02_cut_after_the_order_arrived(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.fault("hang_after")
        sending = asyncio.create_task(s.session.submit(order()))
        while s.orders_of("O-1") == 0:  # noqa: ASYNC110 - the broker has it, we have no answer
            await asyncio.sleep(0.005)
        s.gate.cut_clients()
        with pytest.raises(OutcomeUnknown):
            await sending
        s.broker.clear_faults()
        await s.recovered()
        await s.filled("O-1")
        found = await s.found()
        assert found is not None
        assert s.orders_of("O-1") == 1

    play(tmp_path, script)


def test_f05_f06_a_cut_around_amend_and_cancel_leaves_the_brokers_word(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        state = await s.session.submit(order("L", OrderType.LIMIT, limit_price=D("1.09000")))
        s.fault("cut_after")
        with pytest.raises(OutcomeUnknown):
            await s.session.amend(AmendRequest(order_id=state.order_id, symbol="EURUSD", limit_price=D("1.08000")))
        await s.recovered()
        assert "replaced" in s.told.changes("L")  # done at the broker, told after the comparison
        s.fault("cut_before")
        with pytest.raises(OutcomeUnknown):
            await s.session.cancel(state.order_id, "EURUSD")
        await s.recovered(2)
        assert [o.order_id for o in (await s.session.snapshot()).orders] == [state.order_id]
        s.fault("cut_after")
        with pytest.raises(OutcomeUnknown):
            await s.session.cancel(state.order_id, "EURUSD")
        await s.recovered(3)
        await s.told.until(lambda: s.told.changes("L") == ["accepted", "replaced", "canceled"])

    play(tmp_path, script)


def test_f10_many_cuts_leave_one_subscription(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        await s.session.subscribe_quotes(["EURUSD"])
        await s.told.until(lambda: s.told.of(Tick))
        for count in range(1, 51):
            s.gate.cut_clients()
            await s.recovered(count)
        seen = len(s.told.of(Tick))
        s.broker.push("EURUSD", "1.10500", "1.10510")
        await s.told.until(lambda: s.told.of(Tick)[-1].bid == 110_500)
        assert len(s.told.of(Tick)) == seen + 1

    play(tmp_path, script)


def test_f27_f28_the_same_deal_from_poll_and_comparison_is_one(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        await s.open()
        for count in (1, 2, 3):
            s.gate.kill_worker()  # the next worker reads every deal of the window again
            await s.recovered(count)
        assert s.told.changes("O-1") == ["accepted", "filled"]

    play(tmp_path, script)


def test_f28_history_that_shows_every_row_twice(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        for fn in ("history_deals_get", "history_orders_get", "orders_get", "positions_get"):
            s.fault("duplicate", fn, times=0)
        state = await s.session.submit(order("L", OrderType.LIMIT, limit_price=D("1.09000")))
        deal = await s.open()
        assert s.told.changes("O-1") == ["accepted", "filled"]
        found = await s.found("O-1")
        assert [d.deal_id for d in found.deals] == [deal.deal_id]
        now_ns = s.broker.clock.now_ns()
        assert [d.deal_id for d in await s.session.deals(now_ns - 60 * NS, now_ns + NS)] == [deal.deal_id]
        assert [p.position_id for p in (await s.session.snapshot()).positions] == [deal.position_id]
        assert [o.order_id for o in (await s.session.snapshot()).orders] == [state.order_id]
        s.gate.kill_worker()  # a fresh worker reads everything again, twice
        await s.recovered()
        await s.session.close_position(deal.position_id, D(10_000), "C-1")
        await s.filled("C-1")
        assert s.told.changes("L") == ["accepted"]

    play(tmp_path, script)


def test_f35_f36_a_cancel_that_meets_a_fill(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        state = await s.session.submit(order("L", OrderType.LIMIT, limit_price=D("1.09000")))
        s.broker.push("EURUSD", "1.08980", "1.08990")
        with pytest.raises(NotFound):
            await s.session.cancel(state.order_id, "EURUSD")
        await s.filled("L")
        assert s.told.changes("L") == ["accepted", "filled"]

    play(tmp_path, script)


def test_f44_too_many_requests_is_a_definite_no_and_a_close_goes_again(tmp_path: Path) -> None:
    clock = TestClock(time.time_ns())  # all of it is one second at the broker

    async def script(s: Scene) -> None:
        opened = await s.open("O-1")
        with pytest.raises(RateLimited):
            await s.session.submit(order("O-2"))
        with pytest.raises(RateLimited, match="nothing was sent"):
            await s.session.submit(order("O-3"))
        assert s.orders_of("O-2") == s.orders_of("O-3") == 0
        s.broker.advance(1.0)
        await s.session.close_position(opened.position_id, D(10_000), "C-1")
        await s.filled("C-1")
        assert kit.held(s.broker) == {}

    play(tmp_path, script, clock=clock, requests_per_s=1)


def test_f83_a_gateway_killed_between_send_and_answer_never_sends_again(tmp_path: Path) -> None:
    with kit.broker(tmp_path) as broker:
        kit.fault(broker, "hang_after", "order_send")

        async def first(gate: Gateway) -> None:
            async with scene(broker, gate) as s:
                sending = asyncio.create_task(s.session.submit(order()))
                while s.orders_of("O-1") == 0:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
                gate.stop()
                with pytest.raises(OutcomeUnknown):
                    await sending

        with kit.gateway(broker, tmp_path) as gate:
            asyncio.run(asyncio.wait_for(first(gate), 30))

        async def second(gate: Gateway) -> None:
            async with scene(broker, gate) as s:
                with pytest.raises(OutcomeUnknown):
                    await s.session.submit(order())  # its key is on disk: not sent again
                found = await s.found()
                assert found is not None
                assert len(found.deals) == 1
                assert s.orders_of("O-1") == 1

        with kit.gateway(broker, tmp_path) as gate:
            asyncio.run(asyncio.wait_for(second(gate), 30))


def test_f83_accounts_of_one_gateway_share_no_order_keys(tmp_path: Path) -> None:
    """A strategy may name its orders itself: the same name on another account is another order."""
    with kit.broker(tmp_path) as broker:
        for login in (LOGIN, NETTING):
            with kit.gateway(broker, tmp_path, login={"login": login, "password": "sandbox"}) as gate:

                async def main(gate: Gateway = gate, login: int = login) -> None:
                    async with scene(broker, gate, login=login) as s:
                        assert await s.found("mine-1") is None
                        await s.open("mine-1")

                run(main)
        assert [kit.magic_counts(broker, login) for login in (LOGIN, NETTING)] == [{magic_of("mine-1"): 1}] * 2


def test_f83_a_name_that_an_older_order_had_is_refused_and_nothing_of_that_order_is_taken(tmp_path: Path) -> None:
    """A strategy that names its orders itself, and a node whose state is lost: the gateway still knows the name."""

    async def script(s: Scene) -> None:
        opened = await s.open("mine-1")
        working = await s.session.submit(order("mine-2", OrderType.LIMIT, limit_price=D("1.09000")))
        for again in (
            order("mine-1"),  # the same words, and yet another order
            order("mine-1", units=D(20_000)),
            order("mine-1", OrderType.LIMIT, limit_price=D("1.08000")),
            order("mine-2", side=Side.SELL),
        ):
            with pytest.raises(VenueError, match=r"was sent on 20\d\d-.*nothing was sent now: give it another name"):
                await s.session.submit(again)
        with pytest.raises(VenueError, match="another name"):
            await s.session.close_position(opened.position_id, D(10_000), "mine-1")
        assert (s.told.changes("mine-1"), s.told.changes("mine-2")) == (["accepted", "filled"], ["accepted"])
        assert (s.orders_of("mine-1"), s.orders_of("mine-2")) == (1, 1)
        # An order of that name that nobody answered is not the older one, either.
        in_two_days_ns = time.time_ns() + 2 * 86_400 * NS
        for name, order_id in (("mine-1", opened.order_id), ("mine-2", working.order_id)):
            assert (await s.session.find_order(client_order_id=name)).order.order_id == order_id
        assert await s.session.find_order(client_order_id="mine-1", since_ns=in_two_days_ns) is None
        await s.session.close_position(opened.position_id, D(10_000), "C-1")
        await s.filled("C-1")

    play(tmp_path, script)


def test_f87_an_order_without_a_durable_key_is_not_sent(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        keys = s.gate.hosted.supervisor._keys
        s.gate.hosted.call(lambda: keys._db.execute("PRAGMA query_only=ON"))  # as a full disk: every write fails
        with pytest.raises(LinkLost, match="nothing was sent"):
            await s.session.submit(order())
        assert s.orders_of("O-1") == 0
        s.gate.hosted.call(lambda: keys._db.execute("PRAGMA query_only=OFF"))
        await s.open("O-2")

    play(tmp_path, script)
