"""The live clients on the sandbox broker over real TLS: every order path once, judged by the broker's own books."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import (
    ClientOrderId,
    OrderStatus,
    PositionId,
    TimeInForce,
    TrailingOffsetType,
    TriggerType,
    Venue,
)

from pepperstone_adapter.sandbox.faults import FaultKind, FaultRule
from tests.kit.ctrader_node import ACCOUNT_ID, run_ctrader, sandbox
from tests.kit.node import BUY, EURUSD, SELL, USD, VENUE, Bench, px, units


def books(b: Bench) -> dict[str, Any]:
    from pepperstone_adapter.sandbox.report import books as report

    found: dict[str, Any] = b.sandbox.call(report, b.sandbox.ledger, ACCOUNT_ID)
    return found


async def filled(b: Bench, order: Any) -> str:
    await b.reach(order, "FILLED")
    return str(b.cache.order(order.client_order_id).position_id)


def test_a_market_order_opens_a_ticket_and_closes_it(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        await b.until(lambda: b.probe.quotes, "a quote")
        order = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(order)
        ticket = await filled(b, order)
        assert b.probe.names(order.client_order_id) == ["Initialized", "Submitted", "Accepted", "Filled"]
        fill = b.probe.events[-1]
        assert str(fill.last_px) == "1.08507"
        assert fill.commission.as_decimal() == Decimal("0.35")  # 0.1 lot at 3.50 a lot and side
        assert [str(p["position_id"]) for p in books(b)["positions"]] == [ticket]
        b.probe.close_position(b.cache.position(PositionId(ticket)))
        await b.until(lambda: not b.cache.positions_open() and not books(b)["positions"], "flat")
        # 10,000 × (1.08500 - 1.08507) = -0.70 and twice 0.35 commission
        await b.until(
            lambda: b.portfolio.account(Venue(VENUE)).balance_total(USD).as_decimal() == Decimal("9998.60"), "balance"
        )
        assert Decimal(str(books(b)["balance"])) == Decimal("9998.60")

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)
        assert broker.violations() == []


def test_a_bracket_gets_its_exact_levels_and_its_stop_fills(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        entry, stop, profit = b.bracket("1.08000", "1.09000")
        ticket = await filled(b, entry)
        await b.until(
            lambda: (
                (p := b.client.table.positions.get(ticket)) is not None
                and p.protection is not None
                and (p.protection.stop_loss, p.protection.take_profit) == (Decimal("1.08000"), Decimal("1.09000"))
            ),
            "exact levels",
        )
        b.probe.modify_order(stop.client_order_id, trigger_price=px("1.08200"))
        await b.until(lambda: str(b.cache.order(stop.client_order_id).trigger_price) == "1.08200", "moved stop")
        part = b.probe.order_factory.market(EURUSD, SELL, units(4_000), reduce_only=True)
        b.probe.submit_order(part, position_id=PositionId(ticket))
        await b.until(lambda: int(b.cache.order(stop.client_order_id).quantity) == 6_000, "smaller leg")
        b.sandbox.push("EURUSD", "1.08190", "1.08197")
        await filled(b, stop)
        await b.reach(profit, "CANCELED")
        assert not books(b)["positions"]

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)
        assert broker.violations() == []


@pytest.mark.parametrize("moment", ["", "Submitted", "Accepted"])
def test_a_cancel_all_while_a_market_bracket_is_on_its_way_takes_its_legs(tmp_path: Path, moment: str) -> None:
    async def script(b: Bench) -> None:
        entry, stop, profit = b.bracket("1.08000", "1.09000")
        if moment:
            await b.until(lambda: moment in b.probe.names(entry.client_order_id), moment)
        b.probe.cancel_all_orders(EURUSD)
        ticket = await filled(b, entry)  # a market order cannot be called back
        for leg in (stop, profit):
            await b.reach(leg, "CANCELED")
            assert "CancelRejected" not in b.probe.names(leg.client_order_id)
        (position,) = books(b)["positions"]
        assert str(position["position_id"]) == ticket
        await b.until(lambda: not b.client._events.settling, "nothing under way")
        (held,) = b.sandbox.ledger.accounts[ACCOUNT_ID].positions.values()
        assert (held.stop_loss, held.take_profit) == (None, None)

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)
        assert broker.violations() == []


@pytest.mark.parametrize("moment", ["", "Accepted"])
def test_a_cancel_all_leaves_a_close_that_is_on_its_way(tmp_path: Path, moment: str) -> None:
    """It is how many strategies stop: `close_all_positions`, then `cancel_all_orders`. What closes a position is no order
    that waits, and a position whose close is called back stays open."""

    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(order)
        ticket = PositionId(await filled(b, order))
        limit = b.probe.order_factory.limit(EURUSD, BUY, units(1_000), px("1.08000"))
        b.probe.submit_order(limit)
        await b.reach(limit, "ACCEPTED")
        b.probe.close_all_positions(EURUSD)
        (close,) = [
            o for o in b.cache.orders() if o.client_order_id not in (order.client_order_id, limit.client_order_id)
        ]
        if moment:
            await b.until(lambda: moment in b.probe.names(close.client_order_id), moment)
        b.probe.cancel_all_orders(EURUSD)
        await filled(b, close)
        await b.reach(limit, "CANCELED")
        assert b.cache.position(ticket).is_closed
        assert "Canceled" not in b.probe.names(close.client_order_id)

    with sandbox(tmp_path, behaviour={"execution_delay_ms": 500.0}) as broker:
        run_ctrader(tmp_path, broker, script)
        assert not broker.ledger.accounts[ACCOUNT_ID].positions
        assert broker.violations() == []


@pytest.mark.parametrize("late", [FaultKind.SLOW, FaultKind.DELAY])
def test_a_pending_bracket_that_fills_before_its_cancel_arrives_loses_its_legs(tmp_path: Path, late: FaultKind) -> None:
    async def script(b: Bench) -> None:
        entry, stop, profit = b.bracket("1.08000", "1.09000", at="1.08300")
        await b.reach(profit, "ACCEPTED")
        b.sandbox.add_fault(
            FaultRule(kind=late, on="reply", message="ExecutionEvent", execution="ORDER_FILLED", seconds=0.5)
        )
        b.sandbox.push("EURUSD", "1.08290", "1.08297")
        positions = b.sandbox.ledger.accounts[ACCOUNT_ID].positions
        await b.until(lambda: len(positions) == 1, "a fill at the broker")
        b.probe.cancel_all_orders(EURUSD)  # the fill has not been heard of
        await filled(b, entry)
        for leg in (stop, profit):
            await b.reach(leg, "CANCELED")
            assert "CancelRejected" not in b.probe.names(leg.client_order_id)
        (held,) = positions.values()
        assert (held.stop_loss, held.take_profit) == (None, None)

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)
        assert broker.violations() == []


def test_pending_orders_are_placed_amended_cancelled_and_expire(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        f = b.probe.order_factory
        orders = [
            f.limit(EURUSD, BUY, units(1_000), px("1.08000")),
            f.stop_market(EURUSD, BUY, units(2_000), px("1.09000"), TriggerType.BID_ASK),
            f.stop_limit(EURUSD, BUY, units(3_000), px("1.09110"), px("1.09100")),
            f.limit(
                EURUSD,
                BUY,
                units(4_000),
                px("1.07000"),
                time_in_force=TimeInForce.GTD,
                expire_time=b.probe.clock.timestamp_ns() + 3_600_000_000_000,
            ),
        ]
        for order in orders:
            b.probe.submit_order(order)
            await b.reach(order, "ACCEPTED")
        b.probe.modify_order(orders[0].client_order_id, quantity=units(5_000), price=px("1.08100"))
        await b.until(lambda: str(b.cache.order(orders[0].client_order_id).price) == "1.08100", "amend")
        assert int(b.cache.order(orders[0].client_order_id).quantity) == 5_000
        b.probe.cancel_all_orders(EURUSD)
        for order in orders:
            await b.reach(order, "CANCELED")
        assert not books(b)["orders"] or all(o["status"] != "accepted" for o in books(b)["orders"])

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)
        assert broker.violations() == []


def test_a_pending_bracket_fills_into_a_protected_position(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        entry, stop, profit = b.bracket("1.08000", "1.09000", at="1.08400")
        for order in (entry, stop, profit):
            await b.reach(order, "ACCEPTED")
        b.sandbox.push("EURUSD", "1.08390", "1.08397")
        ticket = await filled(b, entry)
        await b.until(
            lambda: (
                (p := b.client.table.positions.get(ticket)) is not None
                and p.protection is not None
                and p.protection.stop_loss == Decimal("1.08000")
            ),
            "levels",
        )
        b.sandbox.push("EURUSD", "1.09010", "1.09017")
        await filled(b, profit)
        await b.reach(stop, "CANCELED")

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_two_closes_of_one_ticket_sent_together_both_end(tmp_path: Path) -> None:
    """The first takes a part, the second asked for all: the broker gives it what is left, and nothing stays open."""

    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, units(5_000))
        b.probe.submit_order(order)
        ticket = PositionId(await filled(b, order))
        closes = [b.probe.order_factory.market(EURUSD, SELL, units(n), reduce_only=True) for n in (1_000, 5_000)]
        for close in closes:
            b.probe.submit_order(close, position_id=ticket)
        for close in closes:
            await filled(b, close)
        assert [int(b.cache.order(c.client_order_id).quantity) for c in closes] == [1_000, 4_000]
        assert b.cache.position(ticket).is_closed
        assert b.cache.orders_open() == []

    with sandbox(tmp_path, behaviour={"execution_delay_ms": 100.0}) as broker:
        run_ctrader(tmp_path, broker, script)
        assert [d.units for d in broker.ledger.accounts[ACCOUNT_ID].deals] == [5_000, 1_000, 4_000]


@pytest.mark.parametrize("restarted", [False, True], ids=["same run", "after a restart"])
def test_a_stop_set_anew_after_one_was_removed_is_accepted_and_its_hit_closes_the_position(
    tmp_path: Path, restarted: bool
) -> None:
    """Levels have no id at the venue; the framework gives a venue order id to one order only, for good."""
    ids: dict[str, Any] = {}

    async def set_twice(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(order)
        ids["ticket"] = await filled(b, order)
        for level in ("1.08000", "1.08100", "1.08200"):
            stop = b.probe.order_factory.stop_market(EURUSD, SELL, units(10_000), px(level), reduce_only=True)
            b.probe.submit_order(stop, position_id=PositionId(ids["ticket"]))
            await b.until(lambda o=stop: b.cache.order(o.client_order_id).status is OrderStatus.ACCEPTED, level)  # type: ignore[misc]
            if level != "1.08200":
                b.probe.cancel_order(stop.client_order_id)
                await b.until(lambda o=stop: b.cache.order(o.client_order_id).status is OrderStatus.CANCELED, level)  # type: ignore[misc]
        ids["stop"] = stop.client_order_id
        if not restarted:
            await hit(b)

    async def hit(b: Bench) -> None:
        assert b.cache.order(ids["stop"]).status is OrderStatus.ACCEPTED
        b.sandbox.push("EURUSD", "1.08190", "1.08197")
        await b.until(lambda: b.cache.order(ids["stop"]).status is OrderStatus.FILLED, "stop hit")
        assert b.cache.position(PositionId(ids["ticket"])).is_closed

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, set_twice)
        if restarted:
            run_ctrader(tmp_path, broker, hit, claim=True)
        assert broker.violations() == []
        assert not broker.ledger.accounts[ACCOUNT_ID].positions


def test_a_trailing_stop_follows_at_the_venue(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(order)
        ticket = await filled(b, order)
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
        await b.reach(trail, "ACCEPTED")
        b.sandbox.push("EURUSD", "1.08700", "1.08707")
        await b.until(lambda: str(b.cache.order(trail.client_order_id).trigger_price) == "1.08600", "trailed level")
        b.sandbox.push("EURUSD", "1.08590", "1.08597")
        await filled(b, trail)

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_a_manual_close_and_a_cut_link_leave_the_books_equal(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(order)
        ticket = await filled(b, order)
        b.sandbox.call(b.sandbox.venue.disconnect_clients, "test")
        await b.until(lambda: not b.connection.up, "link down")
        ledger, clock = b.sandbox.ledger, b.sandbox.clock
        b.sandbox.call(ledger.close, ACCOUNT_ID, int(ticket), Decimal(4_000), clock.now_ns())
        await b.until(lambda: b.connection.up, "link up")
        await b.until(lambda: int(b.cache.position(PositionId(ticket)).quantity) == 6_000, "manual partial close")
        again = b.probe.order_factory.market(EURUSD, SELL, units(6_000), reduce_only=True)
        b.probe.submit_order(again, position_id=PositionId(ticket))
        await b.until(lambda: not b.cache.positions_open(), "flat")
        assert not books(b)["positions"]

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)
        assert broker.violations() == []


def test_a_restart_adopts_positions_and_legs_with_their_true_deals(tmp_path: Path) -> None:
    ids: dict[str, str] = {}

    async def first(b: Bench) -> None:
        bracket = b.bracket("1.08000", "1.09000")
        ids["ticket"] = await filled(b, bracket[0])
        ids["stop"] = str(bracket[1].client_order_id)
        waiting = b.probe.order_factory.limit(EURUSD, BUY, units(2_000), px("1.07000"))
        b.probe.submit_order(waiting)
        await b.reach(waiting, "ACCEPTED")
        ids["waiting"] = str(waiting.client_order_id)
        await b.until(lambda: not b.client._events.settling, "exact levels")

    async def second(b: Bench) -> None:
        position = b.cache.position(PositionId(ids["ticket"]))
        assert str(position.strategy_id).startswith("Probe")
        assert str(position.avg_px_open) == "1.08507"
        assert [c.as_decimal() for c in position.commissions()] == [Decimal("0.35")]
        for key in ("stop", "waiting"):
            assert b.cache.order(ClientOrderId(ids[key])).status is OrderStatus.ACCEPTED, key
        b.sandbox.push("EURUSD", "1.07990", "1.07997")
        await b.until(lambda: b.cache.order(ClientOrderId(ids["stop"])).status is OrderStatus.FILLED, "stop hit")
        assert b.cache.position(PositionId(ids["ticket"])).is_closed

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, first)
        run_ctrader(tmp_path, broker, second, claim=True)
        assert broker.violations() == []


def test_a_bundled_strategy_trades_unchanged(tmp_path: Path) -> None:
    from strategies.ema_cross import EmaCross, EmaCrossConfig

    strategy = EmaCross(
        EmaCrossConfig(
            bar_type="EURUSD.PEPPERSTONE-1-SECOND-BID-INTERNAL",
            fast_period=1,
            slow_period=2,
            atr_period=2,
            stop_atr=50,
            target_atr=50,
            units=10_000,
        )
    )

    async def script(b: Bench) -> None:
        held: list[dict[str, Any]] = []  # of one look: a position may be closed a moment later
        await b.until(lambda: held or held.extend(books(b)["positions"]), "a trade")
        ticket = PositionId(str(held[0]["position_id"]))
        await b.until(lambda: b.cache.position(ticket) is not None, "the position")
        assert str(b.cache.position(ticket).strategy_id).startswith("EmaCross")
        assert held[0]["stop_loss"]
        assert held[0]["take_profit"]

    with sandbox(tmp_path, tape={"source": "walk", "history_days": 1, "ticks_per_s": 90.0}) as broker:
        run_ctrader(tmp_path, broker, script, setup=lambda node: node.add_strategy(strategy))
        assert broker.violations() == []


def test_the_account_state_has_equity_and_free_margin(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(order)
        await filled(b, order)
        b.sandbox.push("EURUSD", "1.09007", "1.09014")

        def info(key: str) -> Decimal:
            return Decimal(b.portfolio.account(Venue(VENUE)).last_event.info[key])

        # 10,000 + 10,000 × (1.09007 - 1.08507) - 0.35 commission, which is booked at the close
        await b.until(lambda: info("equity") == Decimal("10049.65"), "equity with the open profit")
        assert info("used_margin") == Decimal("361.69")  # 10,000 × 1.08507 / 30
        assert info("free_margin") == Decimal("9687.96")
        assert b.portfolio.account(Venue(VENUE)).balance_total(USD).as_decimal() == 10_000

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_a_symbol_the_broker_changed_is_published_again(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.subscribe_instrument(EURUSD)
        await b.until(lambda: b.probe.instruments, "the first definition")
        ledger, terms = b.sandbox.ledger, b.sandbox.ledger.symbols["EURUSD"]
        dearer = replace(terms, spec=replace(terms.spec, volume_min=Decimal(5_000)))
        b.sandbox.call(ledger.change_symbol, dearer, b.sandbox.clock.now_ns())
        await b.until(lambda: int(b.probe.instruments[-1].min_quantity) == 5_000, "the new definition")
        assert int(b.cache.instrument(EURUSD).min_quantity) == 5_000
        small = b.probe.order_factory.market(EURUSD, BUY, units(1_000))
        b.probe.submit_order(small)
        await b.reach(small, "DENIED")

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)
