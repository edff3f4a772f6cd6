"""What a broker, a person or a stop-out does behind our back (F58 to F68) on a real node, judged by the ledger."""

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import OrderSide, PositionId, TimeInForce

from pepperstone_adapter.broker.orders import OrderType, Side
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.ledger import NewOrder
from pepperstone_adapter.sandbox.ledger.records import Protect
from tests.kit.ctrader_node import ACCOUNT_ID, sandbox
from tests.kit.faults import Trader, account, rule, run_live
from tests.kit.node import BUY, EURUSD, SELL, Bench, px, units

D = Decimal


def by_hand(b: Bench, verb: str, *arguments: Any, **more: Any) -> Any:
    """Something done in the platform by a person; `verb` is a method of the ledger."""
    broker = b.sandbox
    return broker.call(getattr(broker.ledger, verb), ACCOUNT_ID, *arguments, broker.clock.now_ns(), **more)


def broker_id(b: Bench, order: Any) -> int:
    return int(str(b.cache.order(order.client_order_id).venue_order_id))


def test_F58_a_position_closed_by_hand_is_closed_once_with_its_profit(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        _, ticket = await t.opened()
        b.sandbox.push("EURUSD", "1.08607", "1.08614")
        by_hand(b, "close", int(ticket), D(10_000))
        await b.until(lambda: not b.cache.positions_open(), "the position closed")
        # bought at 1.08507, sold at the bid of 1.08607: 10,000 x 0.00100 = 10.00, commission 0.35 a side
        position = b.cache.position(PositionId(ticket))
        assert position.realized_pnl.as_decimal() == D("9.30")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
        assert account(broker).balance == D("10009.30")


def test_F38_F58_a_position_closed_by_hand_before_its_lost_fill_is_found_is_closed(tmp_path: Path) -> None:
    """The framework takes no close of a position that it has not heard of, and keeps one whose close it did not take."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("drop", "ExecutionEvent", on="reply", execution="ORDER_FILLED"))
        order = t.market()
        await b.until(lambda: account(b.sandbox).positions, "the position at the broker")
        (position_id,) = account(b.sandbox).positions
        by_hand(b, "close", position_id, D(10_000))
        await t.reach(order, "FILLED")
        await b.until(lambda: b.cache.positions_closed(), "the position closed")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F38_F61_a_stop_that_is_hit_before_the_lost_fill_of_its_entry_is_found_closes_the_position(
    tmp_path: Path,
) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("drop", "ExecutionEvent", on="reply", execution="ORDER_FILLED"))
        entry, stop, profit = b.bracket("1.08000", "1.09000")
        await b.until(lambda: account(b.sandbox).positions, "the position at the broker")
        b.sandbox.push("EURUSD", "1.07990", "1.07997")
        await t.reach(entry, "FILLED")
        await t.reach(stop, "FILLED")
        await t.reach(profit, "CANCELED")
        assert b.cache.positions_open() == []

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F59_a_partial_close_by_hand_leaves_the_exact_rest(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        _, ticket = await Trader(b).opened()
        for rest in (7_000, 2_000):
            held = int(b.cache.position(PositionId(ticket)).quantity)
            by_hand(b, "close", int(ticket), D(held - rest))
            await b.until(lambda r=rest: int(b.cache.position(PositionId(ticket)).quantity) == r, f"a rest of {rest}")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F60_a_strangers_position_and_order_are_external_and_left_alone(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        mine = await t.working()
        market = NewOrder(symbol="EURUSD", side=Side.SELL, type=OrderType.MARKET, units=D(5_000))
        resting = NewOrder(
            symbol="EURUSD", side=Side.BUY, type=OrderType.LIMIT, units=D(3_000), limit_price=D("1.04000")
        )
        position_id = by_hand(b, "submit", market).position_id
        by_hand(b, "submit", resting)
        await b.until(lambda: b.cache.position(PositionId(str(position_id))) is not None, "the stranger's position")
        await b.until(lambda: len(b.cache.orders_open()) == 2, "the stranger's order")
        assert str(b.cache.position(PositionId(str(position_id))).strategy_id) == "EXTERNAL"
        b.probe.cancel_all_orders(EURUSD)
        b.probe.close_all_positions(EURUSD)
        await t.reach(mine, "CANCELED")
        working = [o for o in account(b.sandbox).working.values() if o.type is OrderType.LIMIT]
        assert [o.limit_price for o in working] == [D("1.04000")]
        assert position_id in account(b.sandbox).positions

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("side", [BUY, SELL])
@pytest.mark.parametrize("hit", ["stop", "profit"])
def test_F61_a_level_that_is_hit_fills_its_leg_and_ends_the_other(tmp_path: Path, side: OrderSide, hit: str) -> None:
    low, high = ("1.08000", "1.09000")
    stop_px, profit_px = (low, high) if side is BUY else (high, low)
    down, up = ("1.07990", "1.07997"), ("1.09010", "1.09017")
    price = down if (hit == "stop") == (side is BUY) else up

    async def script(b: Bench) -> None:
        t = Trader(b)
        entry, stop, profit = b.bracket(stop_px, profit_px, side=side)
        await t.reach(entry, "FILLED")
        await b.until(lambda: not b.client._events.settling, "exact levels")
        b.sandbox.push("EURUSD", *price)
        filled, other = (stop, profit) if hit == "stop" else (profit, stop)
        await t.reach(filled, "FILLED")
        await t.reach(other, "CANCELED")
        assert b.cache.positions_open() == []

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F62_a_stop_out_is_adopted_and_stops_new_risk_only(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        # 200,000 at 1.08507 and leverage 30 use 7,233.80 of the 10,000; half of that is the stop-out
        _, ticket = await t.opened(n=200_000)
        resting = await t.working("1.01000", 1_000)
        # equity 10,000 - 7.00 - 200,000 x (1.08507 - 1.05000) = 2,979 < 3,616.90
        b.sandbox.push("EURUSD", "1.05000", "1.05007")
        await b.until(lambda: b.cache.position(PositionId(ticket)).is_closed, "the stop-out")
        await b.until(lambda: b.client.halted is not None, "the halt")
        assert b.client.halted.startswith(("margin call", "stop-out"))  # whichever was said first
        await t.reach(t.market(), "DENIED")
        b.probe.cancel_order(resting.client_order_id)  # cancels go on
        await t.reach(resting, "CANCELED")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F63_F64_an_order_changed_and_ended_by_hand_follows(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working()
        by_hand_amend = b.sandbox.ledger.amend
        b.sandbox.call(
            by_hand_amend,
            ACCOUNT_ID,
            broker_id(b, order),
            b.sandbox.clock.now_ns(),
            limit_price=D("1.04500"),
            units=D(12_000),
        )
        await b.until(lambda: str(b.cache.order(order.client_order_id).price) == "1.04500", "the price")
        assert int(b.cache.order(order.client_order_id).quantity) == 12_000
        assert b.probe.names(order.client_order_id)[-1] == "Updated"
        by_hand(b, "cancel", broker_id(b, order))
        await t.reach(order, "CANCELED")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F65_levels_moved_and_removed_by_hand_are_followed(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        entry, stop, profit = b.bracket("1.08000", "1.09000")
        known = await t.reach(entry, "FILLED")
        ticket = int(str(known.position_id))
        await b.until(lambda: not b.client._events.settling, "exact levels")
        by_hand(b, "protect", ticket, Protect(stop_loss=D("1.07500"), take_profit=D("1.09500")))
        await b.until(lambda: str(b.cache.order(stop.client_order_id).trigger_price) == "1.07500", "the stop")
        await b.until(lambda: str(b.cache.order(profit.client_order_id).price) == "1.09500", "the profit")
        by_hand(b, "protect", ticket, Protect(take_profit=D("1.09500")))
        await t.reach(stop, "CANCELED")
        assert t.status(profit) == "ACCEPTED"

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("restart", [False, True])
def test_F65_a_stop_that_trails_at_the_broker_trails_on_whatever_becomes_of_the_profit(
    tmp_path: Path, restart: bool
) -> None:
    """Levels are replaced together. A person made the stop trail, or a run before this one did: both are the broker's word."""

    def trails(b: Bench) -> bool:
        (position,) = account(b.sandbox).positions.values()
        return bool(position.trailing)

    async def move_the_profit(b: Bench) -> None:
        (profit,) = [o for o in b.cache.orders_open() if hasattr(o, "price")]
        b.probe.modify_order(profit.client_order_id, price=px("1.09500"))
        await b.until(lambda: str(b.cache.order(profit.client_order_id).price) == "1.09500", "the profit moved")
        assert trails(b)

    async def first(b: Bench) -> None:
        t = Trader(b)
        entry, stop, _ = b.bracket("1.08000", "1.09000")
        known = await t.reach(entry, "FILLED")
        await b.until(lambda: not b.client._events.settling, "exact levels")
        levels = Protect(stop_loss=D("1.08100"), take_profit=D("1.09000"), trailing=True)
        by_hand(b, "protect", int(str(known.position_id)), levels)
        await b.until(lambda: str(b.cache.order(stop.client_order_id).trigger_price) == "1.08100", "the stop")
        if not restart:
            await move_the_profit(b)

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, first)
        if restart:
            run_live(tmp_path, broker, move_the_profit, claim=True)


def test_F66_an_order_that_expires_at_the_broker_is_expired(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = b.probe.order_factory.limit(
            EURUSD,
            BUY,
            units(1_000),
            px("1.05000"),
            time_in_force=TimeInForce.GTD,
            expire_time=b.sandbox.clock.now_ns() + 60_000_000_000,
        )
        b.probe.submit_order(order)
        await t.reach(order, "ACCEPTED")
        b.sandbox.advance(60)
        await t.reach(order, "EXPIRED")

    with sandbox(tmp_path, TestClock(time.time_ns())) as broker:
        run_live(tmp_path, broker, script)


def test_F66_an_order_that_expired_before_it_was_answered_is_expired(tmp_path: Path) -> None:
    """The framework knows no way from submitted to expired: what the broker has taken is told as accepted first."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("mute", "NewOrderReq"))
        end_ns = b.sandbox.clock.now_ns() + 60_000_000_000
        order = b.probe.order_factory.limit(
            EURUSD, BUY, units(1_000), px("1.05000"), time_in_force=TimeInForce.GTD, expire_time=end_ns
        )
        b.probe.submit_order(order)
        await b.until(lambda: account(b.sandbox).working, "the order at the broker")
        b.sandbox.advance(60)
        await t.reach(order, "EXPIRED")
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted", "Expired")

    with sandbox(tmp_path, TestClock(time.time_ns())) as broker:
        run_live(tmp_path, broker, script, audit_interval_s=3600.0)  # an audit might see it at work


def test_F67_a_deposit_changes_the_account_and_nothing_else(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        await t.opened()
        before = len(b.probe.events)
        by_hand(b, "cash", D("250.50"))
        by_hand(b, "cash", D("-100.25"))
        await b.until(lambda: str(b.connection.account.balance) == "10150.25", "the balance")  # + 250.50 - 100.25
        assert len(b.probe.events) == before

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F68_tickets_on_both_sides_of_one_symbol_stay_apart(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        _, long_one = await t.opened(BUY, 10_000)
        _, short_one = await t.opened(SELL, 7_000)
        _, long_two = await t.opened(BUY, 3_000)
        by_hand(b, "close", int(short_one), D(2_000))
        close = b.probe.order_factory.market(EURUSD, SELL, units(4_000), reduce_only=True)
        b.probe.submit_order(close, position_id=PositionId(long_one))
        await t.reach(close, "FILLED")
        b.sandbox.call(b.sandbox.venue.disconnect_clients, "and back")
        await t.down_and_up()
        sizes = {ticket: b.cache.position(PositionId(ticket)) for ticket in (long_one, short_one, long_two)}
        await b.until(
            lambda: [int(b.cache.position(PositionId(i)).quantity) for i in sizes] == [6_000, 5_000, 3_000], "sizes"
        )
        assert [p.side.name for p in sizes.values()] == ["LONG", "SHORT", "LONG"]

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F68_a_restart_finds_both_sides_with_their_true_deals(tmp_path: Path) -> None:
    tickets: list[str] = []

    async def first(b: Bench) -> None:
        t = Trader(b)
        for side, n in ((BUY, 10_000), (SELL, 7_000)):
            _, ticket = await t.opened(side, n)
            tickets.append(ticket)

    async def second(b: Bench) -> None:
        held = [b.cache.position(PositionId(ticket)) for ticket in tickets]
        assert [(p.side.name, int(p.quantity)) for p in held] == [("LONG", 10_000), ("SHORT", 7_000)]
        by_hand(b, "close", int(tickets[1]), D(7_000))
        await b.until(lambda: b.cache.position(PositionId(tickets[1])).is_closed, "the short closed by hand")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, first)
        run_live(tmp_path, broker, second, claim=True)
