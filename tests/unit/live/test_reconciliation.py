"""Unanswered requests, lost events, lost links and restarts: nothing is sent twice, nothing is lost, nothing is guessed."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import ClientOrderId, OrderStatus, OrderType, PositionId

from pepperstone_adapter.broker.events import OrderChange
from pepperstone_adapter.broker.orders import Protection, Side
from pepperstone_adapter.mapping.id_store import IdStore
from tests.kit.broker import KitBroker
from tests.kit.node import BUY, EURUSD, SELL, Bench, px, run_bench, units

STORE = Path("sandbox-7654321") / "orders.sqlite"


def test_f02_an_order_whose_answer_was_lost_is_adopted_and_sent_once(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.broker.lose_answers = 1
        b.broker.drop_events = 2  # acceptance and fill are lost with it
        order = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(order)
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted", "Filled")
        assert [r for r in b.broker.requests if r.startswith("submit")] == [f"submit {order.client_order_id}"]
        assert len(b.cache.positions_open()) == 1

    run_bench(tmp_path, script)


def test_f12_an_order_nobody_knows_stays_submitted_until_complete_reads_over_time_prove_it(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.broker.swallow_requests = 1
        order = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(order)
        await b.until(lambda: b.client.reconciler.unanswered and b.client.reconciler.unanswered[0].complete_reads >= 1)
        assert b.cache.order(order.client_order_id).status is OrderStatus.SUBMITTED
        await b.reach(order, "REJECTED")
        assert "never reached the broker" in str(b.probe.events[-1].reason)
        assert not b.broker.orders

    run_bench(tmp_path, script, give_up_after_s=0.8)


def test_f11_an_outage_settles_nothing_and_the_truth_comes_after_it(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        f = b.probe.order_factory
        working = f.limit(EURUSD, BUY, units(1_000), px("1.08000"))
        b.probe.submit_order(working)
        await b.names(working.client_order_id, "Initialized", "Submitted", "Accepted")
        b.broker.lose_answers, b.broker.drop_events = 2, 3
        market = f.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(market)
        b.probe.cancel_order(working.client_order_id)
        await b.until(lambda: len(b.client.reconciler.unanswered) == 2, "two unanswered requests")
        await b.reach(market, "SUBMITTED")
        b.session.lose_link()
        b.client.reconciler.answer_deadline_s = 0.0
        for _ in range(3):
            await b.client.reconciler.resolve()
        assert b.cache.order(market.client_order_id).status is OrderStatus.SUBMITTED
        assert b.cache.order(working.client_order_id).status is OrderStatus.PENDING_CANCEL
        b.session.restore_link()
        await b.reach(market, "FILLED")
        await b.reach(working, "CANCELED")
        assert len([r for r in b.broker.requests if r.startswith("submit")]) == 2

    run_bench(tmp_path, script, answer_deadline_s=3600.0, audit_interval_s=3600.0)


def test_f01_orders_are_denied_while_the_link_is_down(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.session.lose_link()
        order = b.probe.order_factory.market(EURUSD, BUY, units(1_000))
        b.probe.submit_order(order)
        await b.names(order.client_order_id, "Initialized", "Denied")
        assert "link is down" in str(b.probe.events[-1].reason)
        b.session.restore_link()
        await b.until(lambda: b.connection.up)
        again = b.probe.order_factory.market(EURUSD, BUY, units(1_000))
        b.probe.submit_order(again)
        await b.names(again.client_order_id, "Initialized", "Submitted", "Accepted", "Filled")

    run_bench(tmp_path, script)


def test_f27_f28_a_deal_told_many_times_is_applied_once(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(order)
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted", "Filled")
        state = next(iter(b.broker.orders.values()))
        for _ in range(3):
            b.broker._say(OrderChange.FILLED, state, state.deals[0], None)
        b.session.lose_link()
        b.session.restore_link()
        await b.client.reconciler.audit()
        assert b.probe.names(order.client_order_id).count("Filled") == 1
        assert int(b.cache.positions_open()[0].quantity) == 10_000

    run_bench(tmp_path, script)


def test_f12_two_rounds_of_questions_at_once_settle_each_request_once(tmp_path: Path) -> None:
    """A link that comes back asks at once, beside the round of every second."""

    async def script(b: Bench) -> None:
        b.broker.lose_answers, b.broker.drop_events = 1, 2
        order = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(order)
        resolver = b.client.reconciler
        await b.until(lambda: resolver.unanswered, "an unanswered request")
        resolver.answer_deadline_s = 0.0
        await asyncio.gather(resolver.resolve(), resolver.resolve())
        assert resolver.unanswered == []
        await b.reach(order, "FILLED")

    run_bench(tmp_path, script, answer_deadline_s=3600.0, audit_interval_s=3600.0)


@pytest.mark.parametrize("ahead_s", [-3600, 5 * 3600])
def test_f53_a_close_by_hand_nobody_told_is_found_by_a_clock_hours_off(tmp_path: Path, ahead_s: int) -> None:
    """Only the list of deals has it, and its stamp is the broker's."""
    broker = KitBroker()
    broker.now_ns += ahead_s * 1_000_000_000

    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(order)
        ticket = PositionId(str((await b.reach(order, "FILLED")).position_id))
        b.broker.drop_events = 10
        b.broker.close_at_broker(str(ticket))
        await b.until(lambda: b.cache.position(ticket).is_closed, "the close")
        assert [str(t) for t in b.cache.position(ticket).trade_ids()] == [d.deal_id for d in broker.all_deals]

    run_bench(tmp_path, script, broker)


def test_f38_an_event_lost_on_a_healthy_link_is_found_by_the_audit(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.limit(EURUSD, BUY, units(10_000), px("1.08400"))
        b.probe.submit_order(order)
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted")
        b.broker.drop_events = 1
        b.broker.set_price("EURUSD", 108_390, 108_397)
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted", "Filled")
        cancelled = b.probe.order_factory.limit(EURUSD, BUY, units(1_000), px("1.07000"))
        b.probe.submit_order(cancelled)
        await b.names(cancelled.client_order_id, "Initialized", "Submitted", "Accepted")
        b.broker.drop_events = 1
        b.broker.end_at_broker(str(b.cache.order(cancelled.client_order_id).venue_order_id))
        await b.names(cancelled.client_order_id, "Initialized", "Submitted", "Accepted", "Canceled")

    run_bench(tmp_path, script)


def test_f38_a_position_missing_now_and_then_keeps_its_levels(tmp_path: Path) -> None:
    """Snapshots flicker: only one that is missing twice in a row is gone."""

    async def script(b: Bench) -> None:
        entry, stop, profit = b.probe.order_factory.bracket(
            EURUSD, BUY, units(10_000), sl_trigger_price=px("1.08000"), tp_price=px("1.09000")
        )
        b.probe.submit_order_list([entry, stop, profit])
        await b.until(lambda: b.cache.positions_open() and not b.client._events.settling, "the protected position")
        for _ in range(3):
            shown = dict(b.broker.positions)
            b.broker.positions.clear()
            await b.client.reconciler.audit()
            b.broker.positions.update(shown)
            await b.client.reconciler.audit()
        assert [b.cache.order(o.client_order_id).status.name for o in (stop, profit)] == ["ACCEPTED", "ACCEPTED"]

    run_bench(tmp_path, script, audit_interval_s=3600.0)


@pytest.mark.parametrize("absolute", [False, True], ids=["distances, then exact", "with the order"])
def test_f65_levels_the_broker_never_set_are_told_gone_and_stop_new_risk(tmp_path: Path, absolute: bool) -> None:
    """The order was accepted with them, so they were told to be in force; the position it made has none."""

    async def script(b: Bench) -> None:
        b.broker.no_levels = True
        entry, stop, profit = b.bracket("1.08000", "1.09000")
        await b.reach(entry, "FILLED")
        for leg in (stop, profit):
            await b.names(leg.client_order_id, "Initialized", "Submitted", "Accepted", "Canceled")
        assert b.client.halted is not None
        assert "has no stop loss at the broker" in b.client.halted
        b.probe.close_position(b.cache.positions_open()[0])  # what a strategy would do then
        await b.until(lambda: not b.broker.positions, "the close")

    run_bench(tmp_path, script, capabilities={"absolute_protection_on_market": absolute})


def test_f65_a_stop_lost_between_two_runs_is_told_at_the_start(tmp_path: Path) -> None:
    broker = KitBroker()

    async def first(b: Bench) -> None:
        entry, _, _ = b.bracket("1.08000", "1.09000")
        await b.reach(entry, "FILLED")
        await b.until(lambda: not b.client._events.settling, "the exact levels")

    async def second(b: Bench) -> None:
        (ticket,) = broker.positions
        state = b.client._startup._state
        assert state is not None
        assert [w for w in state.warnings if f"position {ticket} has lost its stop loss" in w]

    run_bench(tmp_path, first, broker)
    (position,) = broker.positions.values()
    broker.protect(position, Protection(take_profit=Decimal("1.09000")))
    run_bench(tmp_path, second, broker, claim=True)


def test_f38_what_happens_while_an_audit_reads_is_not_undone_by_what_it_has_read(tmp_path: Path) -> None:
    """The snapshot is older than the deals read after it, and than what the broker says meanwhile."""

    async def script(b: Bench) -> None:
        entry, stop, _ = b.bracket("1.08000", "1.09000")
        await b.reach(entry, "FILLED")
        await b.until(lambda: not b.client._events.settling, "the exact levels")
        other, waiting = (
            b.probe.order_factory.market(EURUSD, BUY, units(10_000)),
            b.probe.order_factory.limit(EURUSD, BUY, units(1_000), px("1.07000")),
        )
        b.probe.submit_order(other)
        b.probe.submit_order(waiting)
        ticket = str((await b.reach(other, "FILLED")).position_id)
        await b.reach(waiting, "ACCEPTED")
        read, opened = b.session.deals, ""

        async def meanwhile(since_ns: int, until_ns: int) -> Any:
            nonlocal opened
            b.broker.close_at_broker(ticket)
            opened = b.broker.open_at_broker("EURUSD", Side.SELL, 3_000)
            b.probe.modify_order(stop.client_order_id, trigger_price=px("1.08200"))
            b.probe.modify_order(waiting.client_order_id, price=px("1.07100"))
            for order in (stop, waiting):
                await b.until(lambda o=order: "Updated" in b.probe.names(o.client_order_id), "the new price")  # type: ignore[misc]
            return await read(since_ns, until_ns)

        b.session.deals = meanwhile  # type: ignore[method-assign]
        for _ in range(2):
            await b.client.reconciler.audit()
            assert set(b.client.table.positions) == {str(b.cache.order(entry.client_order_id).position_id), opened}
            b.session.deals = read  # type: ignore[method-assign]
            assert b.client.reconciler._misses == {}
            level, limit = (b.client.table.get(str(order.client_order_id)) for order in (stop, waiting))
            assert (level.stop, limit.limit) == (Decimal("1.08200"), Decimal("1.07100"))
        for order in (stop, waiting):
            assert b.probe.names(order.client_order_id).count("Updated") == 1

    run_bench(tmp_path, script, audit_interval_s=3600.0)


def test_f05_a_cancel_without_an_answer_is_settled_by_asking(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.limit(EURUSD, BUY, units(1_000), px("1.08000"))
        b.probe.submit_order(order)
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted")
        b.broker.swallow_requests = 1
        b.probe.cancel_order(order.client_order_id)
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted", "PendingCancel", "CancelRejected")
        assert b.cache.order(order.client_order_id).status is OrderStatus.ACCEPTED

    run_bench(tmp_path, script)


@pytest.mark.parametrize("event_lost", [False, True])
def test_f06_an_amend_that_was_done_and_not_answered_is_not_called_refused(tmp_path: Path, event_lost: bool) -> None:
    """Its event may come before the question: the broker then shows the order as we know it, because it was done."""

    async def script(b: Bench) -> None:
        order = b.probe.order_factory.limit(EURUSD, BUY, units(10_000), px("1.08000"))
        b.probe.submit_order(order)
        await b.reach(order, "ACCEPTED")
        b.broker.lose_answers, b.broker.drop_events = 1, int(event_lost)
        b.probe.modify_order(order.client_order_id, price=px("1.08100"))
        await b.until(lambda: "Updated" in b.probe.names(order.client_order_id), "the change")
        await b.until(lambda: not b.client.reconciler.unanswered, "the question settled")
        more = b.probe.order_factory.market(EURUSD, BUY, units(1_000))
        b.probe.submit_order(more)
        await b.reach(more, "FILLED")
        assert b.probe.names(order.client_order_id)[-2:] == ["PendingUpdate", "Updated"]
        assert str(b.cache.order(order.client_order_id).price) == "1.08100"

    run_bench(tmp_path, script)


def test_a_restart_finds_positions_deals_legs_and_working_orders_again(tmp_path: Path) -> None:
    broker = KitBroker()
    ids: dict[str, str] = {}

    async def first(b: Bench) -> None:
        f = b.probe.order_factory
        bracket = f.bracket(EURUSD, BUY, units(10_000), sl_trigger_price=px("1.08000"), tp_price=px("1.09000"))
        b.probe.submit_order_list(bracket)
        await b.until(lambda: b.broker.requests and b.broker.requests[-1].startswith("levels"))
        ticket = next(iter(b.broker.positions))
        part = f.market(EURUSD, SELL, units(4_000), reduce_only=True)
        b.probe.submit_order(part, position_id=PositionId(ticket))
        await b.until(lambda: b.broker.positions[ticket].units == 6_000)
        waiting = f.bracket(
            EURUSD,
            BUY,
            units(2_000),
            entry_order_type=OrderType.LIMIT,
            entry_price=px("1.07000"),
            sl_trigger_price=px("1.06000"),
            tp_price=px("1.10000"),
        )
        b.probe.submit_order_list(waiting)
        await b.names(waiting[2].client_order_id, "Initialized", "Submitted", "Accepted")
        ids.update(
            ticket=ticket,
            entry=str(bracket[0].client_order_id),
            stop=str(bracket[1].client_order_id),
            waiting=str(waiting[0].client_order_id),
            waiting_stop=str(waiting[1].client_order_id),
        )

    run_bench(tmp_path, first, broker)
    broker.open_at_broker("EURUSD", Side.SELL, 3_000)  # a manual trade while we were away
    deals = {d.deal_id for d in broker.all_deals}

    async def second(b: Bench) -> None:
        mine = b.cache.position(PositionId(ids["ticket"]))
        assert str(mine.strategy_id).startswith("Probe")
        assert int(mine.quantity) == 6_000
        assert str(mine.avg_px_open) == "1.08507"
        # entry commission 0.35 and that of the partial close 0.14
        assert sum(c.as_decimal() for c in mine.commissions()) == Decimal("0.49")
        await b.until(lambda: len(b.cache.positions_open()) == 2, "the manual trade")
        other = next(p for p in b.cache.positions_open() if p.id != mine.id)
        assert str(other.strategy_id) == "EXTERNAL"
        for key in ("stop", "waiting", "waiting_stop"):
            assert b.cache.order(ClientOrderId(ids[key])).status is OrderStatus.ACCEPTED, key
        fills = [e for o in b.cache.orders() for e in o.events() if type(e).__name__ == "OrderFilled"]
        assert {str(e.trade_id) for e in fills} == deals
        b.probe.modify_order(ClientOrderId(ids["stop"]), trigger_price=px("1.08100"))
        await b.until(
            lambda: (p := broker.positions[ids["ticket"]].protection) is not None and p.stop_loss == Decimal("1.08100"),
            "moved stop",
        )
        broker.set_price("EURUSD", 108_090, 108_097)
        await b.until(lambda: b.cache.order(ClientOrderId(ids["stop"])).status is OrderStatus.FILLED, "stop hit")
        assert b.cache.position(PositionId(ids["ticket"])).is_closed
        b.probe.cancel_order(ClientOrderId(ids["waiting"]))
        await b.until(lambda: b.cache.order(ClientOrderId(ids["waiting_stop"])).status is OrderStatus.CANCELED)

    run_bench(tmp_path, second, broker, claim=True)


def test_a_part_closed_by_hand_under_the_entrys_text_is_not_taken_for_the_entry_at_a_restart(tmp_path: Path) -> None:
    """MetaTrader may write a position's comment on the deals that close it."""
    broker = KitBroker()
    ids: dict[str, str] = {}

    async def first(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(order)
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted", "Filled")
        ids.update(ticket=next(iter(b.broker.positions)), entry=str(order.client_order_id))

    run_bench(tmp_path, first, broker)
    broker.close_at_broker(ids["ticket"], units=4_000, echo=ids["entry"])

    async def second(b: Bench) -> None:
        mine = b.cache.position(PositionId(ids["ticket"]))
        assert int(mine.quantity) == 6_000
        assert {str(t) for t in mine.trade_ids()} == {d.deal_id for d in broker.all_deals}
        assert [str(t) for t in b.cache.order(ClientOrderId(ids["entry"])).trade_ids] == [broker.all_deals[0].deal_id]

    run_bench(tmp_path, second, broker, claim=True)


@pytest.mark.parametrize("filled", [True, False], ids=["filled", "working"])
def test_f83_the_levels_of_a_bracket_come_back_after_a_kill_before_its_answer_was_noted(
    tmp_path: Path, filled: bool
) -> None:
    """What is left of it then: its rows as they were written before it was sent."""
    broker = KitBroker()
    ids: dict[str, str] = {}

    async def first(b: Bench) -> None:
        entry, stop, profit = b.bracket("1.08000", "1.09000", at=None if filled else "1.08400")
        await b.reach(entry, "FILLED" if filled else "ACCEPTED")
        await b.until(lambda: not b.client._events.settling, "the exact levels")
        ids.update(stop=str(stop.client_order_id), profit=str(profit.client_order_id))

    run_bench(tmp_path, first, broker)
    with IdStore(tmp_path / STORE) as store:
        store._db.execute("UPDATE orders SET order_id=NULL, position_id=NULL, ended=0")

    async def second(b: Bench) -> None:
        for name in ("stop", "profit"):
            await b.until(lambda n=name: b.cache.order(ClientOrderId(ids[n])) is not None, name)  # type: ignore[misc]
            assert b.cache.order(ClientOrderId(ids[name])).status is OrderStatus.ACCEPTED
        b.probe.modify_order(ClientOrderId(ids["stop"]), trigger_price=px("1.08100"))
        await b.until(lambda: "Updated" in b.probe.names(ClientOrderId(ids["stop"])), "the moved stop")
        b.broker.set_price("EURUSD", 108_390, 108_397)  # fills what works
        b.broker.set_price("EURUSD", 108_090, 108_097)
        await b.until(lambda: b.cache.order(ClientOrderId(ids["stop"])).status is OrderStatus.FILLED, "the stop")
        await b.until(lambda: b.cache.order(ClientOrderId(ids["profit"])).status is OrderStatus.CANCELED, "the target")
        assert b.cache.positions_open() == []

    run_bench(tmp_path, second, broker, claim=True)


def test_f82_an_intent_that_was_never_sent_is_closed_at_the_next_start(tmp_path: Path) -> None:
    broker = KitBroker()

    async def first(b: Bench) -> None:
        order = b.probe.order_factory.limit(EURUSD, BUY, units(1_000), px("1.08000"))
        b.probe.submit_order(order)
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted")

    run_bench(tmp_path, first, broker)
    broker.orders.clear()  # as if the process had died between the note and the wire

    async def second(b: Bench) -> None:
        await b.until(lambda: not b.client._store.open_records(), "closed intent")  # type: ignore[union-attr]
        assert broker.requests == [broker.requests[0]]

    run_bench(tmp_path, second, broker)
    with IdStore(tmp_path / STORE) as store:
        assert not store.open_records()
