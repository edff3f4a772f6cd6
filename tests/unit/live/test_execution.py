"""The execution client in a real node over the kit broker: what the framework is told, and what reaches the broker."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import (
    OrderStatus,
    PositionId,
    TimeInForce,
    TrailingOffsetType,
    TriggerType,
    Venue,
)

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.events import OrderChange
from pepperstone_adapter.broker.orders import DealReason, Protection, Side
from tests.kit.broker import KitBroker
from tests.kit.node import BUY, EURUSD, SELL, USD, VENUE, Bench, px, run_bench, units

SUBMITTED = ("Initialized", "Submitted")
ACCEPTED = (*SUBMITTED, "Accepted")
FILLED = (*ACCEPTED, "Filled")


async def buy(b: Bench, n: int = 10_000) -> str:
    """Open a long ticket at market; its position id."""
    order = b.probe.order_factory.market(EURUSD, BUY, units(n))
    b.probe.submit_order(order)
    await b.names(order.client_order_id, *FILLED)
    await b.until(lambda: b.cache.order(order.client_order_id).position_id is not None)
    return str(b.cache.order(order.client_order_id).position_id)


def reason(b: Bench, order: object) -> str:
    return (
        str(b.probe.events[-1].reason)
        if order is None
        else next(
            str(e.reason)
            for e in b.probe.events
            if e.client_order_id == order.client_order_id and hasattr(e, "reason")  # type: ignore[attr-defined]
        )
    )


def test_a_market_order_fills_and_the_account_follows(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        ticket = await buy(b)
        assert ticket in b.broker.positions
        fill = b.probe.events[-1]
        assert str(fill.last_px) == "1.08507"  # the ask
        assert str(fill.trade_id) == b.broker.all_deals[0].deal_id
        assert fill.commission.as_decimal() == Decimal("0.35")  # 10,000 of 100,000 units at 3.5
        await b.until(lambda: b.portfolio.account(Venue(VENUE)).balance_total(USD).as_decimal() == Decimal("99999.65"))
        # 10,000 units at 1.08507 and 1:30: 361.69
        assert b.portfolio.account(Venue(VENUE)).balance_locked(USD).as_decimal() == Decimal("361.69")

    run_bench(tmp_path, script)


def test_hedging_tickets_live_side_by_side_and_close_one_by_one(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        first, second = await buy(b), await buy(b, 20_000)
        short = b.probe.order_factory.market(EURUSD, SELL, units(5_000))
        b.probe.submit_order(short)
        await b.names(short.client_order_id, *FILLED)
        await b.until(lambda: len(b.cache.positions_open()) == 3)
        part = b.probe.order_factory.market(EURUSD, SELL, units(8_000), reduce_only=True)
        b.probe.submit_order(part, position_id=PositionId(second))
        await b.names(part.client_order_id, *FILLED)
        assert b.broker.positions[second].units == 12_000
        assert b.broker.positions[first].units == 10_000
        assert f"close {second} 8000" in b.broker.requests
        at_once = b.probe.order_factory.market(EURUSD, SELL, units(2_000), time_in_force=TimeInForce.IOC)
        b.probe.submit_order(at_once, position_id=PositionId(second))
        await b.names(at_once.client_order_id, *FILLED)
        assert f"close {second} 2000 IOC" in b.broker.requests
        for position in b.cache.positions_open():
            b.probe.close_position(position)
        await b.until(lambda: not b.broker.positions and not b.cache.positions_open(), "flat")

    run_bench(tmp_path, script)


def test_pending_orders_are_amended_and_cancelled(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.limit(EURUSD, BUY, units(10_000), px("1.08000"))
        b.probe.submit_order(order)
        await b.names(order.client_order_id, *ACCEPTED)
        b.probe.modify_order(order.client_order_id, quantity=units(20_000), price=px("1.08100"))
        await b.names(order.client_order_id, *ACCEPTED, "PendingUpdate", "Updated")
        cached = b.cache.order(order.client_order_id)
        assert (str(cached.price), int(cached.quantity)) == ("1.08100", 20_000)
        b.probe.cancel_order(order.client_order_id)
        await b.reach(order, "CANCELED")
        assert not [o for o in b.broker.orders.values() if o.state.status.is_open]

    run_bench(tmp_path, script)


def test_stop_and_stop_limit_reach_the_broker_with_their_prices(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        f = b.probe.order_factory
        stop = f.stop_market(EURUSD, BUY, units(10_000), px("1.09000"), TriggerType.BID_ASK)
        both = f.stop_limit(EURUSD, BUY, units(10_000), px("1.09150"), px("1.09100"))
        for order in (stop, both):
            b.probe.submit_order(order)
            await b.names(order.client_order_id, *ACCEPTED)
        stops = sorted((o.state.stop_price, o.state.limit_price) for o in b.broker.orders.values())
        assert stops == [(Decimal("1.09000"), None), (Decimal("1.09100"), Decimal("1.09150"))]
        b.broker.set_price("EURUSD", 109_000, 109_007)
        await b.names(stop.client_order_id, *FILLED)

    run_bench(tmp_path, script)


def test_a_bracket_is_one_protected_order_corrected_after_the_fill(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.broker.fill_shift_points = 3  # filled at 1.08510, so the distances that were sent miss by 3 points
        entry, stop, profit = b.bracket("1.08000", "1.09000")
        await b.names(entry.client_order_id, *FILLED)
        ticket = str(b.cache.order(entry.client_order_id).position_id)
        await b.until(lambda: f"levels {ticket} 1.08000 1.09000" in b.broker.requests, "exact levels")
        assert [r.split()[0] for r in b.broker.requests] == ["submit", "levels"]
        for leg, kind in ((stop, "SL"), (profit, "TP")):
            assert b.probe.names(leg.client_order_id) == list(ACCEPTED)
            assert str(b.cache.order(leg.client_order_id).venue_order_id) == f"{ticket}-{kind}"
        b.broker.set_price("EURUSD", 107_990, 107_997)
        await b.names(stop.client_order_id, *FILLED)
        await b.names(profit.client_order_id, *ACCEPTED, "Canceled")
        assert not b.cache.positions_open()

    run_bench(tmp_path, script)


def test_legs_of_a_bracket_move_leave_and_follow_a_partial_close(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        _, stop, profit = b.bracket("1.08000", "1.09000")
        await b.until(lambda: b.broker.positions and b.broker.requests[-1].startswith("levels"))
        ticket = next(iter(b.broker.positions))
        b.probe.modify_order(stop.client_order_id, trigger_price=px("1.08200"))
        await b.names(stop.client_order_id, *ACCEPTED, "PendingUpdate", "Updated")
        protection = b.broker.positions[ticket].protection
        assert protection is not None
        assert (protection.stop_loss, protection.take_profit) == (Decimal("1.08200"), Decimal("1.09000"))
        part = b.probe.order_factory.market(EURUSD, SELL, units(4_000), reduce_only=True)
        b.probe.submit_order(part, position_id=PositionId(ticket))
        await b.until(lambda: int(b.cache.order(stop.client_order_id).quantity) == 6_000, "smaller leg")
        assert int(b.cache.order(profit.client_order_id).quantity) == 6_000
        b.probe.cancel_order(profit.client_order_id)
        await b.reach(profit, "CANCELED")
        protection = b.broker.positions[ticket].protection
        assert protection is not None
        assert (protection.stop_loss, protection.take_profit) == (Decimal("1.08200"), None)

    run_bench(tmp_path, script)


def test_a_pending_bracket_carries_its_legs_and_takes_them_with_it(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        entry, stop, profit = b.bracket("1.07500", "1.09000", at="1.08000")
        for order in (entry, stop, profit):
            await b.names(order.client_order_id, *ACCEPTED)
        b.probe.modify_order(stop.client_order_id, trigger_price=px("1.07600"))
        await b.until(lambda: "Updated" in b.probe.names(stop.client_order_id))
        sent = next(iter(b.broker.orders.values())).state.protection
        assert sent is not None
        assert (sent.stop_loss, sent.take_profit) == (Decimal("1.07600"), Decimal("1.09000"))
        b.probe.cancel_order(entry.client_order_id)
        for order in (entry, stop, profit):
            await b.reach(order, "CANCELED")

    run_bench(tmp_path, script)


async def working_bracket(b: Bench) -> list[Any]:
    orders = b.bracket("1.07500", "1.09000", at="1.08000")
    for order in orders:
        await b.names(order.client_order_id, *ACCEPTED)
    return list(orders)


def test_legs_of_a_working_entry_canceled_together_are_both_gone(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        entry, *legs = await working_bracket(b)
        for leg in legs:
            b.probe.cancel_order(leg.client_order_id)
        for leg in legs:
            await b.reach(leg, "CANCELED")
        (working,) = b.broker.orders.values()
        assert working.state.protection == Protection()
        assert b.cache.order(entry.client_order_id).status is OrderStatus.ACCEPTED

    run_bench(tmp_path, script)


@pytest.mark.parametrize("unanswered", ["swallow_requests", "lose_answers"])
def test_a_leg_of_a_working_entry_is_told_canceled_when_its_level_is_gone(tmp_path: Path, unanswered: str) -> None:
    async def script(b: Bench) -> None:
        _, stop, profit = await working_bracket(b)
        setattr(b.broker, unanswered, 1)
        b.probe.cancel_order(stop.client_order_id)
        await b.reach(stop, "CANCELED")
        (working,) = b.broker.orders.values()
        assert working.state.protection == Protection(take_profit=Decimal("1.09000"))
        setattr(b.broker, unanswered, 2)  # nor is the second try answered: the broker's own order tells
        b.probe.cancel_order(profit.client_order_id)
        await told_as_it_is(b, profit, gone=unanswered == "lose_answers")

    run_bench(tmp_path, script)


@pytest.mark.parametrize("unanswered", ["swallow_requests", "lose_answers"])
def test_a_leg_of_a_position_is_told_canceled_when_its_level_is_gone(tmp_path: Path, unanswered: str) -> None:
    async def script(b: Bench) -> None:
        entry, _, profit = b.bracket("1.08200", "1.09000")
        await b.reach(entry, "FILLED")
        await b.names(profit.client_order_id, *ACCEPTED)
        await b.until(lambda: not b.client._events.settling, "the exact levels")
        setattr(b.broker, unanswered, 2)
        b.probe.cancel_order(profit.client_order_id)
        await told_as_it_is(b, profit, gone=unanswered == "lose_answers")
        (position,) = b.broker.positions.values()
        assert position.protection is not None
        assert (position.protection.take_profit is None) == (unanswered == "lose_answers")

    run_bench(tmp_path, script)


async def told_as_it_is(b: Bench, profit: Any, *, gone: bool) -> None:
    """A level that was removed twice without an answer: what the broker shows is what the strategy hears."""
    if gone:
        await b.reach(profit, "CANCELED")
        assert "CancelRejected" not in b.probe.names(profit.client_order_id)
        return
    await b.until(lambda: "CancelRejected" in b.probe.names(profit.client_order_id))
    assert b.cache.order(profit.client_order_id).status is OrderStatus.ACCEPTED
    (said,) = [e.reason for e in b.probe.events if type(e).__name__ == "OrderCancelRejected"]
    assert said.startswith("sent twice and not answered; the broker still has stop loss ")
    assert said.endswith(", take profit 1.09000")


def test_a_stop_is_attached_to_an_open_ticket_and_trails_at_the_broker(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        ticket = await buy(b)
        trail = b.probe.order_factory.trailing_stop_market(
            EURUSD,
            SELL,
            units(10_000),
            trailing_offset=Decimal("0.00100"),
            trailing_offset_type=TrailingOffsetType.PRICE,
            trigger_type=TriggerType.BID_ASK,
            reduce_only=True,
        )
        b.probe.submit_order(trail, position_id=PositionId(ticket))
        await b.names(trail.client_order_id, *ACCEPTED)
        protection = b.broker.positions[ticket].protection
        assert protection is not None
        assert protection.trailing
        assert protection.stop_loss == Decimal("1.08400")  # bid 1.08500 less 100 points
        b.broker.set_price("EURUSD", 108_700, 108_707)
        await b.until(lambda: str(b.cache.order(trail.client_order_id).trigger_price) == "1.08600", "trailed level")
        b.broker.set_price("EURUSD", 108_590, 108_597)
        await b.names(trail.client_order_id, *ACCEPTED, "Updated", "Filled")

    run_bench(tmp_path, script)


def test_two_levels_asked_for_in_one_breath_both_stand(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        ticket = await buy(b)
        f = b.probe.order_factory
        stop = f.stop_market(EURUSD, SELL, units(10_000), px("1.08200"), reduce_only=True)
        profit = f.limit(EURUSD, SELL, units(10_000), px("1.09000"), reduce_only=True)
        second = f.stop_market(EURUSD, SELL, units(10_000), px("1.08300"), reduce_only=True)
        for order in (stop, profit, second):
            b.probe.submit_order(order, position_id=PositionId(ticket))
        await b.names(stop.client_order_id, *ACCEPTED)
        await b.names(profit.client_order_id, *ACCEPTED)
        await b.names(second.client_order_id, "Initialized", "Denied")
        assert "is its SL already" in reason(b, second)
        protection = b.broker.positions[ticket].protection
        assert protection is not None
        assert (protection.stop_loss, protection.take_profit) == (Decimal("1.08200"), Decimal("1.09000"))
        await b.until(lambda: not b.client.sender._locks, "end of every lock", 5.0)

    run_bench(tmp_path, script)


def test_what_the_venue_cannot_do_is_denied_with_the_reason(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        f = b.probe.order_factory
        ticket = await buy(b)
        cases = [
            (f.market(EURUSD, BUY, units(1_500)), None, "not a multiple of 1,000 units"),
            (f.limit(EURUSD, BUY, units(1_000), px("1.08"), time_in_force=TimeInForce.DAY), None, "no DAY for limit"),
            (f.limit(EURUSD, BUY, units(1_000), px("1.08"), post_only=True), None, "no post-only"),
            (f.limit(EURUSD, BUY, units(2_000), px("1.08"), display_qty=units(1_000)), None, "iceberg"),
            (f.market_to_limit(EURUSD, BUY, units(1_000)), None, "MARKET_TO_LIMIT orders do not exist"),
            (f.stop_market(EURUSD, BUY, units(1_000), px("1.09"), TriggerType.LAST_PRICE), None, "LAST_PRICE"),
            (f.market(EURUSD, SELL, units(11_000)), ticket, "has 10000 units, not 11000"),
            (f.stop_market(EURUSD, SELL, units(5_000), px("1.08"), reduce_only=True), ticket, "whole position"),
            (f.market(EURUSD, BUY, units(1_000)), ticket, "cannot be added to"),
            (
                f.market(EURUSD, SELL, units(1_000), time_in_force=TimeInForce.FOK),
                ticket,
                "no FOK for orders that close a position; use GTC, IOC",
            ),
            (f.market(EURUSD, BUY, units(1_000)), None, None),
        ]
        for order, position, text in cases:
            b.probe.submit_order(order, position_id=PositionId(position) if position else None)
            if text is None:
                await b.names(order.client_order_id, *FILLED)
            else:
                await b.names(order.client_order_id, "Initialized", "Denied")
                assert text in reason(b, order)
        assert [r for r in b.broker.requests if r.startswith("submit")][1:] == [
            f"submit {cases[-1][0].client_order_id}"
        ]

    run_bench(tmp_path, script)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"close_by": "1"}, "close_by: the venue closes no position by another; close each of the two"),
        ({"slippage_points": 5}, "an order for an open position takes no slippage_points"),
    ],
)
def test_a_closing_order_with_words_the_venue_does_not_know_is_denied(
    params: dict[str, object], text: str, tmp_path: Path
) -> None:
    async def script(b: Bench) -> None:
        ticket = await buy(b)
        b.probe.close_position(b.cache.position(PositionId(ticket)), params=params)
        await b.until(lambda: b.probe.names()[-1] == "Denied", "denial")
        assert text in str(b.probe.events[-1].reason)
        assert not [r for r in b.broker.requests if r.startswith("close")]

    run_bench(tmp_path, script)


def test_a_market_range_order_carries_base_price_and_slippage(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(order, params={"slippage_points": 15})
        await b.names(order.client_order_id, *FILLED)
        sent = next(iter(b.broker.orders.values())).request
        assert sent is not None
        assert (sent.base_price, sent.slippage_points) == (Decimal("1.08507"), 15)
        odd = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(odd, params={"slipage_points": 15})
        await b.names(odd.client_order_id, "Initialized", "Denied")
        assert "unknown order parameter slipage_points" in reason(b, odd)

    run_bench(tmp_path, script)


def test_a_refusal_and_a_refused_cancel_become_events(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.broker.reject = "NOT_ENOUGH_MONEY"
        entry, stop, profit = b.bracket("1.08000", "1.09000")
        for order in (entry, stop, profit):
            await b.names(order.client_order_id, *SUBMITTED, "Rejected")
        assert "NOT_ENOUGH_MONEY" in reason(b, entry)

    run_bench(tmp_path, script)


def test_a_partial_fill_then_cancel_keeps_the_fill(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.limit(EURUSD, BUY, units(10_000), px("1.08400"))
        b.probe.submit_order(order)
        await b.names(order.client_order_id, *ACCEPTED)
        b.broker.fills_at = [Decimal("0.4")]
        b.broker.set_price("EURUSD", 108_390, 108_397)
        await b.names(order.client_order_id, *FILLED)
        b.probe.cancel_order(order.client_order_id)
        await b.reach(order, "CANCELED")
        assert int(b.cache.order(order.client_order_id).filled_qty) == 4_000
        assert int(b.cache.positions_open()[0].quantity) == 4_000

    run_bench(tmp_path, script)


def test_cancel_all_leaves_other_instruments_and_strangers_alone(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        stranger = b.broker.place_at_broker("EURUSD", Side.BUY, 3_000, "1.05000")
        await b.until(lambda: b.cache.orders_open(), "stranger's order")
        orders = [b.probe.order_factory.limit(EURUSD, BUY, units(1_000), px(p)) for p in ("1.08000", "1.07000")]
        for order in orders:
            b.probe.submit_order(order)
            await b.names(order.client_order_id, *ACCEPTED)
        b.probe.cancel_all_orders(EURUSD)
        for order in orders:
            await b.reach(order, "CANCELED")
        assert b.broker.orders[stranger].state.status.is_open

    run_bench(tmp_path, script)


def test_manual_trades_are_external_and_manual_closes_reach_our_position(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        mine = await buy(b)
        theirs = b.broker.open_at_broker("EURUSD", Side.SELL, 3_000)
        await b.until(lambda: len(b.cache.positions_open()) == 2)
        position = b.cache.position(PositionId(theirs))
        assert str(position.strategy_id) == "EXTERNAL"
        b.broker.close_at_broker(mine, units=4_000)
        await b.until(lambda: int(b.cache.position(PositionId(mine)).quantity) == 6_000, "partial manual close")
        b.broker.close_at_broker(mine)
        await b.until(lambda: b.cache.position(PositionId(mine)).is_closed, "manual close")
        assert [type(e).__name__ for e in b.probe.position_events][-1] == "PositionClosed"
        # bought at 1.08507, sold at the bid 1.08500: 10,000 × -0.00007 = -0.70, less commissions of 0.35, 0.14, 0.21
        assert b.cache.position(PositionId(mine)).realized_pnl.as_decimal() == Decimal("-1.40")

    run_bench(tmp_path, script)


def test_a_strangers_order_that_is_canceled_after_a_part_is_not_shown_as_open(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.broker.fills_at = [Decimal("0.4")]
        b.broker.open_at_broker("EURUSD", Side.BUY, 5_000)
        await b.until(lambda: b.cache.positions_open(), "the stranger's position")
        b.broker.end_at_broker(next(iter(b.broker.orders)))
        await b.until(lambda: [o.status for o in b.cache.orders()] == [OrderStatus.CANCELED], "the order's end")
        assert b.cache.orders_open() == []
        assert [int(p.quantity) for p in b.cache.positions_open()] == [2_000]  # 0.4 of 5,000, once

    run_bench(tmp_path, script)


def test_a_stop_out_is_adopted_and_halts_new_risk_only(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        first, second = await buy(b), await buy(b)
        b.broker.close_at_broker(first, reason=DealReason.STOP_OUT)
        await b.until(lambda: b.cache.position(PositionId(first)).is_closed)
        assert b.client.halted is not None
        blocked = b.probe.order_factory.market(EURUSD, BUY, units(1_000))
        b.probe.submit_order(blocked)
        await b.names(blocked.client_order_id, "Initialized", "Denied")
        assert "halted: stop-out" in reason(b, blocked)
        b.probe.close_position(b.cache.position(PositionId(second)))
        await b.until(lambda: not b.broker.positions, "close while halted")

    run_bench(tmp_path, script)


def test_orders_changed_or_ended_by_others_follow(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        f = b.probe.order_factory
        moved, gone, old = (f.limit(EURUSD, BUY, units(1_000), px(p)) for p in ("1.08000", "1.07000", "1.06000"))
        for order in (moved, gone, old):
            b.probe.submit_order(order)
            await b.names(order.client_order_id, *ACCEPTED)
        ids = [str(b.cache.order(o.client_order_id).venue_order_id) for o in (moved, gone, old)]
        b.broker.amend_at_broker(ids[0], limit_price=Decimal("1.08200"), units=Decimal(2_000))
        b.broker.end_at_broker(ids[1])
        b.broker.end_at_broker(ids[2], OrderChange.EXPIRED)
        await b.names(moved.client_order_id, *ACCEPTED, "Updated")
        await b.names(gone.client_order_id, *ACCEPTED, "Canceled")
        await b.names(old.client_order_id, *ACCEPTED, "Expired")
        assert str(b.cache.order(moved.client_order_id).price) == "1.08200"

    run_bench(tmp_path, script)


def test_a_netting_account_turns_a_position_round(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        for side, n in ((BUY, 10_000), (SELL, 30_000)):
            order = b.probe.order_factory.market(EURUSD, side, units(n))
            b.probe.submit_order(order)
            await b.names(order.client_order_id, *FILLED)
        await b.until(lambda: [str(p.signed_qty) for p in b.cache.positions_open()] == ["-20000.0"], "short position")
        b.probe.close_position(b.cache.positions_open()[0])
        await b.until(lambda: not b.broker.positions and not b.cache.positions_open(), "flat")

    run_bench(tmp_path, script, broker=KitBroker(PositionMode.NETTING))


def test_an_account_without_a_data_client_prices_its_own_instruments(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        await b.until(lambda: b.cache.quote(EURUSD) is not None, "a quote")
        await buy(b)

    run_bench(tmp_path, script, with_data=False)


def test_a_filled_order_is_noted_as_ended_so_the_next_start_asks_nothing(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        await buy(b)
        assert b.client._store is not None
        assert b.client._store.open_records() == []

    run_bench(tmp_path, script)
