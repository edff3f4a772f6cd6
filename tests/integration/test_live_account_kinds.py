"""Netting and spread-betting accounts, and an order list in one batch: a real node on the sandbox, judged by its books."""

import time
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import ClientOrderId, OrderSide, PositionSide, Price, TriggerType
from nautilus_trader.model import OrderType as OrderKind

from pepperstone_adapter.broker.orders import OrderType, Side
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.faults import FaultKind, FaultRule
from pepperstone_adapter.sandbox.ledger import NewOrder
from pepperstone_adapter.sandbox.report import books as report
from tests.kit.ctrader_node import run_ctrader, sandbox
from tests.kit.node import BUY, EURUSD, SELL, Bench, units

LIMITED: dict[str, Any] = {
    "id": 1_000_005,
    "login": 2_000_005,
    "mode": "hedging",
    "currency": "USD",
    "balance": 10_000,
    "limited_risk": True,
}
NUMBERS = count(1)
NETTING_ID, NETTING_LOGIN = 1_000_002, "2000002"
BETTING: dict[str, Any] = {
    "id": 1_000_004,
    "login": 2_000_004,
    "mode": "spread_betting",
    "currency": "USD",
    "balance": 10_000,
}


def books(b: Bench, account_id: int) -> dict[str, Any]:
    found: dict[str, Any] = b.sandbox.call(report, b.sandbox.ledger, account_id)
    return found


async def market(b: Bench, side: OrderSide, number: int, **more: Any) -> Any:
    # The framework's own ids repeat when a test starts two nodes within a second.
    name = ClientOrderId(f"M-{next(NUMBERS)}")
    order = b.probe.order_factory.market(EURUSD, side, units(number), client_order_id=name, **more)
    b.probe.submit_order(order)
    await b.reach(order, "FILLED")
    return order


def signed(b: Bench) -> Decimal:
    """The framework's net position."""
    return sum((Decimal(str(p.signed_qty)) for p in b.cache.positions_open()), Decimal(0))


def at_the_broker(b: Bench) -> list[tuple[str, Decimal]]:
    return [(str(p["side"]), Decimal(str(p["units"]))) for p in books(b, NETTING_ID)["positions"]]


def test_closes_of_a_netting_account_take_no_more_than_the_strategy_holds(tmp_path: Path) -> None:
    """The broker would fill them out of another's part, and the framework drops such a fill from its positions."""

    async def script(b: Bench) -> None:
        by_hand = NewOrder(symbol="EURUSD", side=Side.BUY, type=OrderType.MARKET, units=Decimal(2_000))
        b.sandbox.call(b.sandbox.ledger.submit, NETTING_ID, by_hand, b.sandbox.clock.now_ns())
        await b.until(lambda: signed(b) == 2_000, "the position of a stranger")
        await market(b, BUY, 3_000)
        await b.until(lambda: signed(b) == 5_000, "both")
        both = [b.probe.order_factory.market(EURUSD, SELL, units(3_000), reduce_only=True) for _ in range(2)]
        for order in both:
            b.probe.submit_order(order)
        await b.reach(both[0], "FILLED")
        await b.reach(both[1], "DENIED")
        assert at_the_broker(b) == [("buy", 2_000)]
        await b.until(lambda: signed(b) == 2_000, "the stranger's part left")

    with sandbox(tmp_path, behaviour={"execution_delay_ms": 50.0}) as broker:
        run_ctrader(tmp_path, broker, script, login=NETTING_LOGIN, mode="netting", currency="EUR")


def test_a_netting_account_adds_reduces_turns_round_and_closes(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        await market(b, BUY, 10_000)
        await market(b, BUY, 5_000)
        await b.until(lambda: signed(b) == 15_000, "both in one position")
        assert at_the_broker(b) == [("buy", 15_000)]
        await market(b, SELL, 4_000)
        await b.until(lambda: signed(b) == 11_000, "reduced")
        await market(b, SELL, 20_000)
        await b.until(lambda: signed(b) == -9_000, "turned round")
        assert at_the_broker(b) == [("sell", 9_000)]
        stop = b.probe.order_factory.stop_market(
            EURUSD, BUY, units(9_000), Price.from_str("1.09000"), TriggerType.BID_ASK, reduce_only=True
        )
        b.probe.submit_order(stop)
        await b.reach(stop, "ACCEPTED")
        assert [p["stop_loss"] for p in books(b, NETTING_ID)["positions"]] == ["1.09"]
        b.sandbox.push("EURUSD", "1.08995", "1.09002")
        await b.reach(stop, "FILLED")
        await b.until(lambda: signed(b) == 0, "flat")
        assert at_the_broker(b) == []

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script, login=NETTING_LOGIN, mode="netting", currency="EUR")
        assert broker.violations() == []


def test_a_netting_account_comes_back_after_a_restart(tmp_path: Path) -> None:
    async def first(b: Bench) -> None:
        await market(b, BUY, 10_000)
        await market(b, SELL, 3_000)
        await b.until(lambda: signed(b) == 7_000, "seven thousand")

    async def second(b: Bench) -> None:
        await b.until(lambda: signed(b) == 7_000, "the same after a restart")
        (position,) = b.cache.positions_open()
        assert position.side is PositionSide.LONG
        await market(b, SELL, 7_000, reduce_only=True)
        await b.until(lambda: signed(b) == 0, "flat")
        assert at_the_broker(b) == []

    with sandbox(tmp_path) as broker:
        account = {"login": NETTING_LOGIN, "mode": "netting", "currency": "EUR"}
        run_ctrader(tmp_path, broker, first, **account)
        run_ctrader(tmp_path, broker, second, claim=True, **account)
        assert broker.violations() == []


@pytest.mark.parametrize("side", [BUY, SELL], ids=["long", "short"])
def test_a_spread_betting_account_has_tickets_like_a_hedging_one(side: OrderSide, tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        one = await market(b, side, 10_000)
        other = await market(b, BUY if side is SELL else SELL, 3_000)
        await b.until(lambda: len(b.cache.positions_open()) == 2, "two tickets side by side")
        assert len(books(b, BETTING["id"])["positions"]) == 2
        for order in (one, other):
            position = b.cache.position(b.cache.order(order.client_order_id).position_id)
            b.probe.close_position(position)
        await b.until(lambda: not b.cache.positions_open(), "flat")
        assert books(b, BETTING["id"])["positions"] == []

    with sandbox(tmp_path, accounts=[BETTING]) as broker:
        run_ctrader(tmp_path, broker, script, login=str(BETTING["login"]), mode="spread_betting")
        assert broker.violations() == []


def denied(b: Bench, order: Any) -> str:
    return next(
        str(e.reason) for e in b.probe.events if e.client_order_id == order.client_order_id and hasattr(e, "reason")
    )


def test_a_limited_risk_account_takes_brackets_whose_stop_the_broker_guarantees(tmp_path: Path) -> None:
    def held(b: Bench) -> Any:
        return next(iter(b.sandbox.ledger.accounts[LIMITED["id"]].positions.values()))

    async def script(b: Bench) -> None:
        bare = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(bare)
        await b.reach(bare, "DENIED")
        assert "limited-risk" in denied(b, bare)
        trailing = b.probe.order_factory.bracket(
            EURUSD, BUY, units(10_000), tp_price=Price.from_str("1.09000"), sl_trigger_price=Price.from_str("1.08000"),
            sl_order_type=OrderKind.TRAILING_STOP_MARKET, sl_trailing_offset=Decimal("0.00500"),
        )  # fmt: skip
        b.probe.submit_order_list(trailing)
        await b.reach(trailing[0], "DENIED")
        assert "does not trail" in denied(b, trailing[0])
        entry, stop, profit = b.bracket("1.08000", "1.09000")
        await b.reach(entry, "FILLED")
        await b.until(lambda: not b.client._events.settling, "exact levels")
        assert held(b).guaranteed
        assert (held(b).stop_loss, held(b).take_profit) == (Decimal("1.08"), Decimal("1.09"))  # exact after the fill
        b.probe.modify_order(stop.client_order_id, trigger_price=Price.from_str("1.08100"))
        await b.until(lambda: held(b).stop_loss == Decimal("1.081"), "a nearer stop")
        b.probe.cancel_order(profit.client_order_id)
        await b.until(lambda: held(b).take_profit is None, "no take profit")
        assert held(b).guaranteed
        b.probe.cancel_order(stop.client_order_id)
        await b.until(lambda: "CancelRejected" in b.probe.names(stop.client_order_id), "the broker's no")
        assert held(b).stop_loss == Decimal("1.081")
        b.probe.close_position(b.cache.positions_open()[0])
        await b.until(lambda: not b.cache.positions_open(), "flat")

    async def pending(b: Bench) -> None:
        orders = b.bracket("1.06000", "1.09000", at="1.07000")
        await b.reach(orders[0], "ACCEPTED")
        b.probe.modify_order(orders[1].client_order_id, trigger_price=Price.from_str("1.06500"))
        await b.until(lambda: str(b.cache.order(orders[1].client_order_id).trigger_price) == "1.06500", "a nearer stop")
        b.sandbox.push("EURUSD", "1.06990", "1.06997")
        await b.reach(orders[0], "FILLED")
        assert (held(b).guaranteed, held(b).stop_loss) == (True, Decimal("1.065"))
        b.sandbox.push("EURUSD", "1.06000", "1.06007")  # a jump: a plain stop would get 1.06000
        await b.reach(orders[1], "FILLED")
        assert Decimal(str(b.cache.order(orders[1].client_order_id).avg_px)) == Decimal("1.065")

    with sandbox(tmp_path, accounts=[LIMITED]) as broker:
        run_ctrader(tmp_path, broker, script, login=str(LIMITED["login"]))
        run_ctrader(tmp_path, broker, pending, login=str(LIMITED["login"]))
        assert broker.violations() == []


def test_a_guaranteed_stop_whose_exact_level_is_refused_stays_where_it_is_and_is_told_so(tmp_path: Path) -> None:
    """Filled 40 points higher than seen, both distances end 40 points higher; a guaranteed stop is not moved away."""

    async def script(b: Bench) -> None:
        refusal = FaultRule(
            kind=FaultKind.ERROR, on="request", message="AmendPositionSLTPReq", text="WORSE_GSL_NOT_ALLOWED"
        )
        b.sandbox.add_fault(refusal)
        entry, stop, profit = b.bracket("1.08000", "1.09000")
        await b.until(lambda: b.status(entry) == "ACCEPTED", "the order at the broker")
        b.sandbox.push("EURUSD", "1.08540", "1.08547")
        b.sandbox.advance(0.2)
        await b.reach(entry, "FILLED")
        await b.until(lambda: "Updated" in b.probe.names(profit.client_order_id), "where the levels are")
        for order in (stop, profit):
            assert b.probe.names(order.client_order_id) == ["Initialized", "Submitted", "Accepted", "Updated"]
        (held,) = b.sandbox.ledger.accounts[LIMITED["id"]].positions.values()
        assert (held.guaranteed, held.stop_loss, held.take_profit) == (True, Decimal("1.0804"), Decimal("1.0904"))
        assert str(b.cache.order(stop.client_order_id).trigger_price) == "1.08040"
        assert str(b.cache.order(profit.client_order_id).price) == "1.09040"

    clock = TestClock(time.time_ns())
    with sandbox(tmp_path, clock, accounts=[LIMITED], behaviour={"execution_delay_ms": 200.0}) as broker:
        run_ctrader(tmp_path, broker, script, login=str(LIMITED["login"]))
        assert broker.violations() == []
