"""A close-by whose answer is lost (F02, F71, F74, F79, F83): nothing is closed twice, both tickets settle."""

import asyncio
import os
import signal
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import OrderStatus, Quantity

from pepperstone_adapter.broker.events import OrderChanged
from pepperstone_adapter.broker.orders import DealEntry, Side
from pepperstone_adapter.common.errors import OutcomeUnknown
from tests.kit import mt5 as kit
from tests.kit.conformance import BUY, FILLED, SELL
from tests.kit.mt5_node import report, run_mt5, sandbox
from tests.kit.mt5_scene import Scene, play
from tests.kit.node import EURUSD, Bench

D = Decimal

LOST = {
    "F02, F71: the pipe breaks after it was done": ("cut_after", {}, True),
    "F01, F71: the pipe breaks before it was done": ("cut_before", {}, False),
    "F71: no result, and yet it was done": ("error_after", {"code": -10_005, "text": "IPC timeout"}, True),
    "F74: a timeout of the server that did it": ("retcode_after", {"code": 10012}, True),
    "F74: no connection to the server": ("retcode", {"code": 10031}, False),
}


async def pair(s: Scene) -> tuple[str, str]:
    long = await s.open("LONG")
    short = await s.open("SHORT", side=Side.SELL, units=D(4_000))
    return long.position_id, short.position_id


async def settled(s: Scene, long: str, short: str, done: bool) -> None:
    """Each half told once and under its own name, or nothing happened."""
    halves = lambda: [e for e in s.told.of(OrderChanged) if e.deal and e.deal.entry is DealEntry.OUT_BY]  # noqa: E731
    await s.told.until(lambda: len(halves()) == (2 if done else 0))
    assert kit.held(s.broker) == ({long: D(6_000)} if done else {long: D(10_000), short: D(-4_000)})
    assert {(e.order.position_id, e.order.client_order_id) for e in halves()} == (
        {(long, "BY"), (short, None)} if done else set()
    )
    found = await s.found("BY")
    assert (found is not None) is done
    if found is not None:
        assert (found.order.position_id, [d.units for d in found.deals]) == (long, [D(4_000)])
    assert "rejected" not in s.told.changes("BY")  # O6


@pytest.mark.parametrize("name", LOST)
def test_a_close_by_without_an_answer_is_not_sent_again(name: str, tmp_path: Path) -> None:
    kind, values, done = LOST[name]

    async def script(s: Scene) -> None:
        long, short = await pair(s)
        s.fault(kind, **values)
        with pytest.raises(OutcomeUnknown):
            await s.session.close_by(long, short, "BY")
        if kind.startswith("cut"):
            await s.recovered()
        await settled(s, long, short, done)

    play(tmp_path, script)


def test_f79_a_worker_killed_in_a_close_by_closes_both_tickets_once(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        long, short = await pair(s)
        s.fault("hang_after")
        pid = s.gate.worker_pid
        sending = asyncio.create_task(s.session.close_by(long, short, "BY"))
        while len(kit.held(s.broker)) == 2:  # noqa: ASYNC110 - the broker does it, the answer never comes
            await asyncio.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(OutcomeUnknown):
            await sending
        await s.recovered()
        await settled(s, long, short, done=True)

    play(tmp_path, script)


async def hedged(b: Bench) -> tuple[Any, Any]:
    for side, units in ((BUY, 10_000), (SELL, 4_000)):
        order = b.probe.order_factory.market(EURUSD, side, Quantity.from_int(units))
        b.probe.submit_order(order)
        await b.until(lambda o=order: b.cache.order(o.client_order_id).status is FILLED, "fill")  # type: ignore[misc]
    long, short = sorted(b.cache.positions_open(), key=lambda p: -p.signed_qty)
    return long, short


def close_by(b: Bench, one: Any, other: Any) -> Any:
    order = b.probe.order_factory.market(EURUSD, SELL, one.quantity)
    b.probe.submit_order(order, position_id=one.id, params={"close_by": str(other.id)})
    return order.client_order_id


@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
def test_a_node_settles_a_close_by_whose_answer_was_lost(done: bool, tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        long, short = await hedged(b)
        kit.fault(b.sandbox, "cut_after" if done else "cut_before", "order_send")
        order = close_by(b, long, short)
        ended = FILLED if done else OrderStatus.REJECTED
        await b.until(lambda: b.cache.order(order).status is ended, "its end")
        await b.until(lambda: b.cache.position(short.id).is_open is not done, "the short")
        await b.until(lambda: int(b.cache.position(long.id).signed_qty) == (6_000 if done else 10_000), "the long")
        if not done:
            assert "never reached the broker" in str(b.probe.events[-1].reason)

    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, script, answer_deadline_s=0.2, give_up_after_s=3.0)
        assert len(report(broker)["deals"]) == (4 if done else 2)
        assert broker.violations() == []


def test_f83_a_close_by_of_a_run_killed_before_the_answer_is_adopted_by_the_next(tmp_path: Path) -> None:
    sent: list[Any] = []

    async def first(b: Bench) -> None:
        long, short = await hedged(b)
        sent.append(close_by(b, long, short))
        await b.until(lambda: b.cache.order(sent[0]).status is FILLED, "fill")

    async def second(b: Bench) -> None:
        await b.until(lambda: len(b.cache.positions_open()) == 1, "reconciled")
        (left,) = b.cache.positions_open()
        assert int(left.signed_qty) == 6_000
        # The order of the earlier run came back under its own id, with its one deal.
        (order,) = [o for o in b.cache.orders() if "/" in str(o.venue_order_id)]
        assert (order.client_order_id, order.status, order.position_id) == (sent[0], FILLED, left.id)
        assert order.filled_qty == Quantity.from_int(4_000)

    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, first, claim=True)
        (store,) = tmp_path.glob("state5/*/orders.sqlite")
        with closing(sqlite3.connect(store)) as db:  # as a kill leaves it: the intent, and nothing of the answer
            db.execute("UPDATE orders SET order_id=NULL, ended=0 WHERE client_order_id=?", (str(sent[0]),))
            db.commit()
        run_mt5(tmp_path, broker, second, claim=True)
        assert len(report(broker)["deals"]) == 4
        assert broker.violations() == []
