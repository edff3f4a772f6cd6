"""Events repeated, out of order, partial, refused late or lost (F18 to F38) on a real node, judged by the ledger."""

import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from nautilus_trader.model import OrderSide, PositionId, TimeInForce

from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.ledger.state import Liquidity
from tests.kit.ctrader_node import ACCOUNT_ID, sandbox
from tests.kit.faults import SHORT, Trader, account, requests, rule, run_live
from tests.kit.node import EURUSD, SELL, Bench, px, units

D = Decimal
#: What cannot be read ends the link, and the link says why.
LINK_ENDS = {
    "stall": "said nothing",
    "garbage": "is no message",
    "oversize": "announced a frame of 2147483647 bytes",
    "padded": "announced a frame of 16777",
    "nested": "is no message",
}


def on_execution(kind: str, execution: str, **more: object):
    return rule(kind, "ExecutionEvent", on="reply", execution=execution, **more)


def liquidity(b: Bench, bound: Liquidity | None) -> None:
    b.sandbox.call(b.sandbox.ledger.set_liquidity, "EURUSD", bound)


@pytest.mark.parametrize(
    "kind",
    [
        "stall",
        "garbage",
        "oversize",
        "padded",
        "nested",
        "slice",
        "empty",
        "unknown_field",
        "unknown_enum",
        "unknown_type",
        "missing",
    ],
)
def test_F18_F19_F20_F21_F22_F23_F24_F25_F26_whatever_becomes_of_a_fills_frame_the_fill_counts_once(
    tmp_path: Path, kind: str
) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(on_execution(kind, "ORDER_FILLED"))
        order = t.market()
        await t.reach(order, "FILLED")
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted", "Filled")
        if kind in LINK_ENDS:  # before the fill was told, or a moment after it where the fill itself came through
            await b.until(lambda: b.connection.link_losses, "a lost link")
        assert b.connection.link_losses == (kind in LINK_ENDS)
        if kind in LINK_ENDS:
            assert LINK_ENDS[kind] in str(b.connection.session._account.last_failure)
        if kind in ("unknown_enum", "missing"):  # money-relevant and not understood: no new risk until a person looks
            assert b.client.halted is not None
            await t.reach(t.market(), "DENIED")
            b.probe.close_position(b.cache.position(PositionId(str(b.cache.positions_open()[0].id))))
            await b.until(lambda: not b.cache.positions_open(), "a close in spite of the halt")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("sliced", [False, True], ids=["a thousand frames in one write", "a byte in each write"])
def test_F25_however_the_stream_is_cut_the_same_prices_and_fills_come(tmp_path: Path, sliced: bool) -> None:
    """A thousand prices, a point lower each; on the way a limit order fills and a bracket's stop is hit."""
    path = [108_500 - n for n in range(1, 1_001)]

    async def script(b: Bench) -> None:
        t = Trader(b)
        if sliced:
            b.sandbox.add_fault(rule("slice", on="reply", times=0))
        entry, stop, profit = b.bracket("1.07900", "1.09500")
        await t.reach(entry, "FILLED")
        resting = await t.working("1.08400")
        await b.until(lambda: not b.client._events.settling, "exact levels")
        b.probe.quotes.clear()
        b.sandbox.call(lambda: [b.sandbox.venue.push("EURUSD", bid, bid + 7) for bid in path])
        await b.until(lambda: len(b.probe.quotes) >= len(path), "every price")
        assert [int(q.bid_price.as_decimal() * 100_000) for q in b.probe.quotes] == path
        await t.reach(resting, "FILLED")
        await t.reach(stop, "FILLED")
        await t.reach(profit, "CANCELED")
        await b.names(resting.client_order_id, "Initialized", "Submitted", "Accepted", "Filled")
        assert b.connection.link_losses == 0

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("copies", [1, 4])
def test_F27_repeated_executions_count_once(tmp_path: Path, copies: int) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("duplicate", "ExecutionEvent", on="reply", times=0, copies=copies))
        _, ticket = await t.opened()
        _, other = await t.opened(SELL, 20_000)
        order = b.probe.order_factory.market(EURUSD, SELL, units(4_000), reduce_only=True)
        b.probe.submit_order(order, position_id=PositionId(ticket))
        await t.reach(order, "FILLED")
        assert int(b.cache.position(PositionId(ticket)).quantity) == 6_000
        assert int(b.cache.position(PositionId(other)).quantity) == 20_000

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F27_a_repeated_part_leaves_the_rest_of_the_order_alive(tmp_path: Path) -> None:
    """A part that counted twice would make the order look full, and its rest would wait at the broker unwatched."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working("1.08400")
        b.sandbox.add_fault(rule("duplicate", "ExecutionEvent", on="reply", times=0, copies=4))
        liquidity(b, Liquidity(D(3_000), 1))
        b.sandbox.push("EURUSD", "1.08390", "1.08397")
        await t.reach(order, "PARTIALLY_FILLED")
        b.probe.modify_order(order.client_order_id, price=px("1.08300"))
        await b.until(lambda: str(b.cache.order(order.client_order_id).price) == "1.08300", "the rest amended")
        b.probe.cancel_order(order.client_order_id)
        known = await t.reach(order, "CANCELED")
        assert int(known.filled_qty) == 3_000

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F28_a_deal_from_the_stream_the_lists_and_the_snapshot_counts_once(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(on_execution("duplicate", "ORDER_FILLED", times=0, copies=2))
        order, ticket = await t.opened()
        for n in range(2):
            b.probe.query_order(b.cache.order(order.client_order_id))
            b.sandbox.call(b.sandbox.venue.disconnect_clients, "again")  # catch-up reads the same deal again
            await t.down_and_up(n + 1)
        before = requests(b.sandbox, "DealListReq")
        await b.until(lambda: requests(b.sandbox, "DealListReq") >= before + 2, "two audits")
        assert b.probe.names(order.client_order_id).count("Filled") == 1
        assert int(b.cache.position(PositionId(ticket)).quantity) == 10_000

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F29_a_fill_that_overtakes_its_acceptance_is_told_in_order(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(on_execution("swap", "ORDER_ACCEPTED", times=0))
        for side in (OrderSide.BUY, OrderSide.SELL):
            order, _ = await t.opened(side)
            await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted", "Filled")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F30_acceptance_and_fill_in_one_packet(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(on_execution("slow", "ORDER_ACCEPTED", seconds=0.2))
        order, _ = await t.opened()
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted", "Filled")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("parts", [2, 5, 20])
def test_F31_partial_fills_add_up_in_units_and_in_price(tmp_path: Path, parts: int) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        liquidity(b, Liquidity(D(20_000) / parts))
        order = t.market(n=20_000)
        known = await t.reach(order, "FILLED")
        assert b.probe.names(order.client_order_id).count("Filled") == parts
        assert known.filled_qty.as_decimal() == D(20_000)
        deals = account(b.sandbox).deals
        paid = sum(d.units * d.price for d in deals) / D(20_000)
        assert D(str(round(known.avg_px, 9))) == round(paid, 9)

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F32_a_cancel_after_a_partial_fill_keeps_what_was_filled(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working("1.08400")
        liquidity(b, Liquidity(D(3_000), 1))
        b.sandbox.push("EURUSD", "1.08390", "1.08397")
        await t.reach(order, "PARTIALLY_FILLED")
        b.probe.cancel_order(order.client_order_id)
        known = await t.reach(order, "CANCELED")
        assert int(known.filled_qty) == 3_000
        assert [int(p.quantity) for p in b.cache.positions_open()] == [3_000]

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F32_an_expiry_after_a_partial_fill_keeps_what_was_filled(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = b.probe.order_factory.limit(
            EURUSD,
            OrderSide.BUY,
            units(10_000),
            px("1.08400"),
            time_in_force=TimeInForce.GTD,
            expire_time=b.sandbox.clock.now_ns() + 60_000_000_000,
        )
        b.probe.submit_order(order)
        await t.reach(order, "ACCEPTED")
        liquidity(b, Liquidity(D(3_000), 1))
        b.sandbox.push("EURUSD", "1.08390", "1.08397")
        await t.reach(order, "PARTIALLY_FILLED")
        b.sandbox.advance(60)
        known = await t.reach(order, "EXPIRED")
        assert int(known.filled_qty) == 3_000

    with sandbox(tmp_path, TestClock(time.time_ns())) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("late_s", [0.2, 0.6, 0.9, 1.3])
def test_F33_a_fill_that_races_the_reading_of_its_deal_counts_once(tmp_path: Path, late_s: float) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        for execution in ("ORDER_ACCEPTED", "ORDER_FILLED"):
            b.sandbox.add_fault(on_execution("delay", execution, seconds=late_s, times=0))
        order, ticket = await t.opened()
        before = requests(b.sandbox, "DealListReq")
        await b.until(lambda: requests(b.sandbox, "DealListReq") >= before + 2, "two audits")
        assert b.probe.names(order.client_order_id).count("Filled") == 1
        assert int(b.cache.position(PositionId(ticket)).quantity) == 10_000

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script, audit_interval_s=0.3)


def test_F34_a_refusal_after_the_acceptance_ends_the_order(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working()
        order_id = int(str(b.cache.order(order.client_order_id).venue_order_id))
        ledger, now_ns = b.sandbox.ledger, b.sandbox.clock.now_ns()
        b.sandbox.call(ledger.reject, ACCOUNT_ID, order_id, now_ns, "MARKET_CLOSED")
        await t.reach(order, "REJECTED")
        assert "MARKET_CLOSED" in b.probe.events[-1].reason
        assert b.cache.positions_open() == []

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F35_a_fill_while_a_cancel_is_under_way_is_a_fill(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working("1.08400")
        b.sandbox.add_fault(rule("swallow", "CancelOrderReq"))
        b.probe.cancel_order(order.client_order_id)
        await b.until(lambda: t.status(order) == "PENDING_CANCEL", "the cancel under way")
        b.sandbox.push("EURUSD", "1.08390", "1.08397")
        await t.reach(order, "FILLED")
        assert "CancelRejected" not in b.probe.names(order.client_order_id)
        assert "Canceled" not in b.probe.names(order.client_order_id)

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("fate", ["FILLED", "CANCELED", "ACCEPTED"])
def test_F36_order_not_found_is_not_believed_until_the_broker_has_been_asked(tmp_path: Path, fate: str) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working("1.08400")
        ledger, now_ns = b.sandbox.ledger, b.sandbox.clock.now_ns
        order_id = int(str(b.cache.order(order.client_order_id).venue_order_id))
        b.sandbox.add_fault(rule("drop", "ExecutionEvent", on="reply", times=2))
        if fate == "FILLED":
            b.sandbox.push("EURUSD", "1.08390", "1.08397")
        elif fate == "CANCELED":
            b.sandbox.call(ledger.cancel, ACCOUNT_ID, order_id, now_ns())
        b.sandbox.add_fault(rule("error", "CancelOrderReq", text="ORDER_NOT_FOUND"))
        b.probe.cancel_order(order.client_order_id)
        if fate == "ACCEPTED":  # a refused cancel is told only where the order is working all the same
            await b.until(lambda: "CancelRejected" in b.probe.names(order.client_order_id), "the refusal")
        await t.reach(order, fate)
        if fate != "ACCEPTED":
            assert "CancelRejected" not in b.probe.names(order.client_order_id)

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script, audit_interval_s=30.0)


def test_F36_a_close_of_a_position_that_is_gone_finds_out_how_it_went(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        _, ticket = await t.opened()
        b.sandbox.add_fault(rule("drop", "ExecutionEvent", on="reply", times=2))
        b.sandbox.call(b.sandbox.ledger.close, ACCOUNT_ID, int(ticket), D(10_000), b.sandbox.clock.now_ns())
        close = b.probe.order_factory.market(EURUSD, SELL, units(10_000), reduce_only=True)
        b.probe.submit_order(close, position_id=PositionId(ticket))
        await t.reach(close, "REJECTED")
        assert any("POSITION_NOT_FOUND" in getattr(e, "reason", "") for e in b.probe.events)
        await b.until(lambda: not b.cache.positions_open(), "the position closed by the deal of the manual close")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F37_a_fill_at_the_old_price_while_an_amend_is_under_way(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working("1.08400")
        b.sandbox.add_fault(rule("swallow", "AmendOrderReq"))
        b.probe.modify_order(order.client_order_id, price=px("1.07000"))
        await b.until(lambda: t.status(order) == "PENDING_UPDATE", "the amend under way")
        b.sandbox.push("EURUSD", "1.08390", "1.08397")
        known = await t.reach(order, "FILLED")
        assert int(known.filled_qty) == 10_000

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F37_an_amend_of_a_partly_filled_order_never_overfills(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working("1.08400")
        liquidity(b, Liquidity(D(4_000), 1))
        b.sandbox.push("EURUSD", "1.08390", "1.08397")
        await t.reach(order, "PARTIALLY_FILLED")
        b.probe.modify_order(order.client_order_id, quantity=units(6_000))
        await b.until(
            lambda: (
                int(b.cache.order(order.client_order_id).quantity) == 6_000
                or "ModifyRejected" in b.probe.names(order.client_order_id)
            ),
            "an answer",
        )
        liquidity(b, None)
        b.sandbox.push("EURUSD", "1.08380", "1.08387")
        known = await t.reach(order, "FILLED")
        assert known.filled_qty == known.quantity

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("execution", ["ORDER_ACCEPTED", "ORDER_FILLED", "both"])
def test_F38_executions_lost_on_a_healthy_link_are_found_by_the_audit(tmp_path: Path, execution: str) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        for name in ("ORDER_ACCEPTED", "ORDER_FILLED") if execution == "both" else (execution,):
            b.sandbox.add_fault(on_execution("drop", name, times=0))
        orders = [t.market() for _ in range(6)]
        for order in orders:
            await t.reach(order, "FILLED")
            await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted", "Filled")
        assert b.connection.link_losses == 0
        assert requests(b.sandbox, "NewOrderReq") == 6

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("cut", [False, True])
def test_F12_F38_a_close_whose_deal_the_audit_finds_before_its_deadline_is_still_ours(
    tmp_path: Path, cut: bool
) -> None:
    """The venue keeps no id of ours with a close: while one is unanswered, its deal must not be taken for a stranger's."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        _, ticket = await t.opened()
        b.sandbox.add_fault(rule("mute", "ClosePositionReq"))
        close = b.probe.order_factory.market(EURUSD, SELL, units(4_000), reduce_only=True)
        b.probe.submit_order(close, position_id=PositionId(ticket))
        reads = requests(b.sandbox, "DealListReq")
        await b.until(lambda: requests(b.sandbox, "DealListReq") >= reads + 3, "audits while the close is under way")
        assert t.status(close) == "SUBMITTED"  # whose deal it is cannot be known yet
        if cut:  # what the client itself finds when it reads the account again must wait as well
            b.sandbox.call(b.sandbox.venue.disconnect_clients, "and back")
            await t.down_and_up()
        await t.reach(close, "FILLED")
        assert [str(e.strategy_id) for e in b.probe.events].count("EXTERNAL") == 0
        assert [str(o.client_order_id) for o in b.cache.orders() if str(o.strategy_id) == "EXTERNAL"] == []
        assert requests(b.sandbox, "ClosePositionReq") == 1

    with sandbox(tmp_path) as broker:
        patient = replace(SHORT, order_answer_s=3.0)
        run_live(tmp_path, broker, script, timings=patient, audit_interval_s=0.1)


def test_F12_two_closes_of_one_size_one_lost_and_one_answered_late_keep_their_own_deals(tmp_path: Path) -> None:
    """The lost one must not take the order of the one that is still under way."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        _, ticket = await t.opened()
        b.sandbox.add_fault(rule("swallow", "ClosePositionReq"))
        lost, late = (b.probe.order_factory.market(EURUSD, SELL, units(4_000), reduce_only=True) for _ in range(2))
        b.probe.submit_order(lost, position_id=PositionId(ticket))
        await b.until(lambda: b.client.reconciler.unanswered, "the first one's deadline")
        b.sandbox.add_fault(rule("delay", "ExecutionEvent", on="reply", times=2, seconds=0.4))
        b.probe.submit_order(late, position_id=PositionId(ticket))
        await t.reach(late, "FILLED")
        await t.reach(lost, "REJECTED")
        assert len(account(b.sandbox).deals) == 2

    with sandbox(tmp_path) as broker:
        patient = replace(SHORT, order_answer_s=2.0)  # five times the delay of the late one's answer
        run_live(tmp_path, broker, script, timings=patient, audit_interval_s=0.1)


@pytest.mark.parametrize("what", ["cancelled", "filled", "amended"])
def test_F38_the_end_or_change_of_a_working_order_that_nobody_told_is_found(tmp_path: Path, what: str) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working("1.08400")
        order_id = int(str(b.cache.order(order.client_order_id).venue_order_id))
        ledger, now_ns = b.sandbox.ledger, b.sandbox.clock.now_ns
        b.sandbox.add_fault(rule("drop", "ExecutionEvent", on="reply", times=3))
        if what == "cancelled":
            b.sandbox.call(ledger.cancel, ACCOUNT_ID, order_id, now_ns())
            await t.reach(order, "CANCELED")
        elif what == "filled":
            b.sandbox.push("EURUSD", "1.08390", "1.08397")
            await t.reach(order, "FILLED")
        else:
            b.sandbox.call(ledger.amend, ACCOUNT_ID, order_id, now_ns(), limit_price=D("1.08300"))
            await b.until(lambda: str(b.cache.order(order.client_order_id).price) == "1.08300", "the change")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F38_a_snapshot_that_flickers_ends_nothing(tmp_path: Path) -> None:
    """Everything open is missing from single answers: it is not gone (M9)."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        order, (_, ticket) = await t.working(), await t.opened()
        b.sandbox.add_fault(rule("flicker", "ReconcileReq", copies=1))
        before = requests(b.sandbox, "ReconcileReq")
        await b.until(lambda: requests(b.sandbox, "ReconcileReq") >= before + 4, "snapshots")
        assert t.status(order) == "ACCEPTED"
        assert b.cache.position(PositionId(ticket)).is_open

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script, audit_interval_s=0.3)


def test_F38_reads_that_fail_are_never_taken_for_flat(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order, (_, ticket) = await t.working(), await t.opened()
        b.sandbox.add_fault(rule("error", "ReconcileReq", times=0, text="INTERNAL_SERVER_ERROR"))
        b.sandbox.call(b.sandbox.venue.disconnect_clients, "and back")
        await b.until(lambda: not b.connection.up, "the link down")
        before = requests(b.sandbox, "ReconcileReq")
        await b.until(lambda: requests(b.sandbox, "ReconcileReq") >= before + 3, "failed reads")
        assert not b.connection.up  # the gate opens after the snapshot, never before (M7)
        assert t.status(order) == "ACCEPTED"
        assert b.cache.position(PositionId(ticket)).is_open
        await t.reach(t.market(), "DENIED")
        b.sandbox.clear_faults()
        await t.down_and_up()

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
