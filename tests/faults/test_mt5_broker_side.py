"""What the broker or a person does on MetaTrader 5 (F50, F58 to F70), judged by the broker's books."""

import asyncio
import time
from decimal import Decimal
from pathlib import Path

import pytest

from pepperstone_adapter.broker.events import AccountChanged, OrderChanged, PositionChanged, SymbolChanged
from pepperstone_adapter.broker.orders import (
    DealReason,
    OrderType,
    Protection,
    Side,
    TimeInForce,
)
from pepperstone_adapter.broker.symbols import TradingMode
from pepperstone_adapter.common.errors import NotFound, OrderRefused
from pepperstone_adapter.mt5.client.identity import magic_of
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.ledger import NewOrder, Protect
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit import mt5 as kit
from tests.kit.ctrader import Recorder, run
from tests.kit.mt5 import LOGIN, NETTING
from tests.kit.mt5_scene import Scene, chain, order, play, scene

D = Decimal


def test_f58_f59_f60_closed_and_opened_by_hand(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        deal = await s.open()
        ledger, now = s.broker.terminal.ledger, s.broker.clock.now_ns
        s.broker.call(ledger.close, LOGIN, int(deal.position_id), D(4_000), now())
        await s.told.until(lambda: s.told.of(PositionChanged)[-1].position.units == D(6_000))
        s.broker.call(ledger.close, LOGIN, int(deal.position_id), D(6_000), now())
        await s.told.until(lambda: s.told.of(PositionChanged)[-1].position.units == 0)
        by_hand = NewOrder(symbol="EURUSD", side=Side.SELL, type=OrderType.MARKET, units=D(1_000), origin="mobile")
        s.broker.call(ledger.submit, LOGIN, by_hand, now())
        await s.told.until(lambda: s.told.of(PositionChanged)[-1].position.units == D(1_000))
        assert s.told.of(OrderChanged)[-1].order.client_order_id is None

    play(tmp_path, script)


@pytest.mark.parametrize("keep", [True, False], ids=["magic kept", "magic stripped"])
def test_f61_a_level_hit_is_the_brokers_order_on_our_position(keep: bool, tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        deal = await s.open(protection=Protection(stop_loss=D("1.09900")))
        s.broker.push("EURUSD", "1.09890", "1.09900")
        await s.told.until(lambda: len(s.told.of(OrderChanged)) == 3)
        hit = s.told.of(OrderChanged)[-1]
        assert (hit.deal.position_id, hit.deal.reason) == (deal.position_id, DealReason.STOP_LOSS)
        assert (hit.order.client_order_id, hit.by_server) == (None, True)
        assert hit.deal.gross_profit == D("-12.00")  # 10,000 × (1.09890 - 1.10010)

    play(tmp_path, script, level_deals_keep_magic=keep)


def test_f62_a_stop_out_is_adopted(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        await s.open(units=D(200_000))  # margin 200,000 × 1.1001 / 30 = 7,334.00
        s.broker.push("EURUSD", "1.06500", "1.06510")  # 200,000 × -0.0351 = -7,020: equity 2,973 < half of 7,334
        await s.told.until(lambda: len(s.told.of(OrderChanged)) == 3)
        out = s.told.of(OrderChanged)[-1]
        assert (out.deal.reason, out.order.stop_out, out.by_server) == (DealReason.STOP_OUT, True, True)
        assert out.deal.gross_profit == D("-7020.00")
        assert (out.order.client_order_id, out.deal.client_order_id) == (None, None)

    play(tmp_path, script)


def test_f63_f64_f65_f66_changes_the_broker_or_a_person_made(tmp_path: Path) -> None:
    clock = TestClock(time.time_ns())

    async def script(s: Scene) -> None:
        ledger, now = s.broker.terminal.ledger, s.broker.clock.now_ns
        states = {
            name: await s.session.submit(order(name, OrderType.LIMIT, limit_price=D("1.09000"), **more))
            for name, more in (
                ("A", {}),
                ("B", {}),
                ("G", {"time_in_force": TimeInForce.GTD, "expires_ns": (now() // 10**9 + 60) * 10**9}),
            )
        }
        s.broker.call(lambda: ledger.amend(LOGIN, int(states["A"].order_id), now(), limit_price=D("1.08500")))
        await s.told.until(lambda: "replaced" in s.told.changes("A"))
        s.broker.call(ledger.cancel, LOGIN, int(states["B"].order_id), now())
        await s.told.until(lambda: "canceled" in s.told.changes("B"))
        assert s.told.changes("G") == ["accepted"]
        s.broker.advance(60.0)
        await s.told.until(lambda: "expired" in s.told.changes("G"))
        deal = await s.open()
        s.broker.call(ledger.protect, LOGIN, int(deal.position_id), Protect(stop_loss=D("1.09000")), now())
        await s.told.until(lambda: s.told.of(PositionChanged)[-1].position.protection is not None)
        assert s.told.of(PositionChanged)[-1].position.protection == Protection(stop_loss=D("1.09000"))

    play(tmp_path, script, clock=clock)


def test_f67_a_deposit_changes_the_account_only(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.broker.call(s.broker.terminal.ledger.cash, LOGIN, D(500), s.broker.clock.now_ns())
        await s.told.until(lambda: any(a.account.balance == D(10_500) for a in s.told.of(AccountChanged)))
        assert s.told.of(OrderChanged) == []

    play(tmp_path, script)


def test_f68_opposite_tickets_of_one_symbol_stay_apart(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        first = await s.open("O-1")
        await s.open("O-2", side=Side.SELL, units=D(5_000))
        third = await s.open("O-3")
        await s.session.close_position(first.position_id, D(10_000), "C-1")
        await s.filled("C-1")
        assert set(kit.held(s.broker).values()) == {D(-5_000), D(10_000)}
        await s.session.close_position(third.position_id, D(3_000), "C-2")
        await s.filled("C-2")
        assert set(kit.held(s.broker).values()) == {D(-5_000), D(7_000)}

    play(tmp_path, script)


def test_f70_no_money_is_said_by_name(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        with pytest.raises(OrderRefused, match="NO_MONEY"):
            await s.session.submit(order(units=D(1_000_000)))
        assert s.orders_of("O-1") == 0

    play(tmp_path, script)


def test_f50_a_symbol_that_changes_is_told_within_a_minute_and_measures_the_next_order(tmp_path: Path) -> None:
    later_ns = 0

    async def script(broker: Sandbox, gate: kit.Gateway) -> None:
        nonlocal later_ns
        session, told = kit.session_of(gate, now_ns=lambda: time.time_ns() + later_ns), Recorder()
        await session.connect(told)
        try:
            await session.subscribe_quotes(["EURUSD"])
            await session.submit(order())
            await told.until(lambda: "filled" in told.changes("O-1"))
            rules = broker.terminal.rules
            broker.call(
                rules.__setitem__, "EURUSD", rules["EURUSD"].model_copy(update={"trade_mode": 3, "stops_level": 40})
            )
            later_ns = 60_000_000_000
            await told.until(lambda: told.of(SymbolChanged))
            (change,) = told.of(SymbolChanged)
            assert (change.spec.name, change.spec.trading_mode, change.spec.stops_distance_points) == (
                "EURUSD",
                TradingMode.CLOSE_ONLY,
                40,
            )
            assert change.spec in await session.symbols()
            with pytest.raises(OrderRefused, match="CLOSE_ONLY"):
                await session.submit(order("O-2"))
            (position,) = (await session.snapshot()).positions
            await session.close_position(position.position_id, D(10_000), "C-1")
        finally:
            await session.close()

    with chain(tmp_path) as (broker, gate):
        asyncio.run(asyncio.wait_for(script(broker, gate), 60))


def test_f61_netting_a_close_that_meets_the_hit_of_its_stop_turns_nothing_round(tmp_path: Path) -> None:
    """The close is at the server already when the price comes; it names its position, and there is none any more."""

    async def script(s: Scene) -> None:
        deal = await s.open(protection=Protection(stop_loss=D("1.05000")))
        s.fault("hang_before")  # it is worked on after that
        closing = asyncio.create_task(s.session.close_position(deal.position_id, D(10_000), "C-1"))
        under_way = s.broker.terminal.faults._armed[0]
        while not under_way.done:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        s.broker.push("EURUSD", "1.04990", "1.05000")
        s.broker.clear_faults()
        with pytest.raises(NotFound, match="POSITION_CLOSED"):
            await closing
        await s.told.until(lambda: len([e for e in s.told.of(OrderChanged) if e.deal]) == 2)
        assert s.told.of(OrderChanged)[-1].deal.reason is DealReason.STOP_LOSS
        assert kit.held(s.broker, NETTING) == {}
        assert magic_of("C-1") not in kit.magic_counts(s.broker, NETTING)

    with chain(tmp_path, gateway={"login": {"login": NETTING, "password": "sandbox"}}) as (broker, gate):

        async def main() -> None:
            async with scene(broker, gate, login=NETTING) as stage:
                await script(stage)
                await stage.judge()

        run(main)
