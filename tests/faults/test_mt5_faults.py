"""The fault matrix on MetaTrader 5 (reliability §2.3, F71 to F81 and the others that touch this venue).

Each test runs the real chain: session, link, gateway, worker process, pipe, simulated terminal. The oracles of §2.1 are
judged from the broker's books: at most one order for an id (O1), every order and deal of ours known (O2), volumes equal
per position (O3), each deal once (O4), no terminal event without evidence (O6), recovery without help (O7).
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.broker.events import AccountChanged, LinkDown, LinkUp, Notice, OrderChanged, PositionChanged
from pepperstone_adapter.broker.market import Tick
from pepperstone_adapter.broker.orders import (
    AmendRequest,
    DealReason,
    OrderRequest,
    OrderType,
    Protection,
    Side,
    TimeInForce,
)
from pepperstone_adapter.common.errors import LinkLost, NotFound, OrderRefused, OutcomeUnknown, RateLimited
from pepperstone_adapter.mt5.client.identity import magic_of
from pepperstone_adapter.mt5.client.session import Mt5Session
from pepperstone_adapter.sandbox.ledger import NewOrder, Protect
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit import mt5 as kit
from tests.kit.ctrader import Recorder
from tests.kit.mt5 import LOGIN, NETTING, Gateway

D = Decimal


def order(name: str = "O-1", kind: OrderType = OrderType.MARKET, **changes: Any) -> OrderRequest:
    facts: dict[str, Any] = {"client_order_id": name, "symbol": "EURUSD", "side": Side.BUY, "type": kind}
    return OrderRequest(**(facts | {"units": D(10_000)} | changes))


class Scene:
    """A running chain, what the session told, and the oracles."""

    def __init__(self, broker: Sandbox, gate: Gateway, session: Mt5Session, told: Recorder) -> None:
        self.broker, self.gate, self.session, self.told = broker, gate, session, told

    async def recovered(self, times: int = 1) -> None:
        await self.told.until(lambda: len(self.told.of(LinkUp)) >= times)

    async def filled(self, name: str) -> Any:
        await self.told.until(lambda: "filled" in self.told.changes(name))
        return next(e.deal for e in self.told.of(OrderChanged) if e.order.client_order_id == name and e.deal)

    async def open(self, name: str = "O-1", **changes: Any) -> Any:
        await self.session.submit(order(name, **changes))
        return await self.filled(name)

    def fault(self, kind: str, fn: str | None = "order_send", **values: Any) -> None:
        kit.fault(self.broker, kind, fn, **values)

    def orders_of(self, name: str) -> int:
        return kit.magic_counts(self.broker).get(magic_of(name), 0)

    async def found(self, name: str = "O-1") -> Any:
        return await self.session.find_order(client_order_id=name)

    async def judge(self) -> None:
        """O1 to O4 from the broker's books."""
        assert all(count <= 1 for count in kit.magic_counts(self.broker).values())
        account = self.broker.call(lambda: self.broker.terminal.ledger.accounts[self.broker.terminal.login])
        deals = {str(deal.deal_id) for deal in account.deals}
        await self.told.until(lambda: {e.deal.deal_id for e in self.told.of(OrderChanged) if e.deal} == deals)
        told = [e.deal.deal_id for e in self.told.of(OrderChanged) if e.deal]
        assert len(told) == len(set(told))
        positions = {p.position_id: p.side.sign * p.units for p in (await self.session.snapshot()).positions}
        assert positions == kit.held(self.broker)
        assert self.broker.violations() == []


@contextmanager
def chain(path: Path, gateway: dict[str, Any] | None = None, **mt5: Any) -> Iterator[tuple[Sandbox, Gateway]]:
    with kit.broker(path, **mt5) as broker, kit.gateway(broker, path, **(gateway or {})) as gate:
        yield broker, gate


@asynccontextmanager
async def scene(broker: Sandbox, gate: Gateway, **account: Any) -> AsyncIterator[Scene]:
    session, told = kit.session_of(gate, **account), Recorder()
    await session.connect(told)
    try:
        yield Scene(broker, gate, session, told)
    finally:
        await session.close()


def play(path: Path, script: Callable[[Scene], Awaitable[None]], judge: bool = True, **options: Any) -> None:
    with chain(path, **options) as (broker, gate):

        async def main() -> None:
            async with scene(broker, gate) as stage:
                await script(stage)
                if judge:
                    await stage.judge()

        asyncio.run(asyncio.wait_for(main(), 60))


# -- A. transport -----------------------------------------------------------------------------------------------------


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
        s.fault("hang_after", seconds=0.3)
        sending = asyncio.create_task(s.session.submit(order()))
        await asyncio.sleep(0)
        await s.told.until(lambda: True)
        while s.orders_of("O-1") == 0:  # noqa: ASYNC110 - the broker has it, we have no answer
            await asyncio.sleep(0.005)
        s.gate.cut_clients()
        with pytest.raises(OutcomeUnknown):
            await sending
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
        for count in range(1, 11):
            s.gate.cut_clients()
            await s.recovered(count)
        seen = len(s.told.of(Tick))
        s.broker.push("EURUSD", "1.10500", "1.10510")
        await s.told.until(lambda: s.told.of(Tick)[-1].bid == 110_500)
        assert len(s.told.of(Tick)) == seen + 1

    play(tmp_path, script)


# -- C. order and duplication -----------------------------------------------------------------------------------------


def test_f27_f28_the_same_deal_from_poll_and_comparison_is_one(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        await s.open()
        for count in (1, 2, 3):
            s.gate.kill_worker()  # the next worker reads every deal of the window again
            await s.recovered(count)
        assert s.told.changes("O-1") == ["accepted", "filled"]

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


def test_f44_too_many_requests_is_a_definite_no(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        await s.open("O-1")
        with pytest.raises(RateLimited):
            await s.session.submit(order("O-2"))
        assert s.orders_of("O-2") == 0

    play(tmp_path, script, requests_per_s=1)


# -- F. broker side ---------------------------------------------------------------------------------------------------


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
    async def script(s: Scene) -> None:
        ledger, now = s.broker.terminal.ledger, s.broker.clock.now_ns
        states = {
            name: await s.session.submit(order(name, OrderType.LIMIT, limit_price=D("1.09000"), **more))
            for name, more in (
                ("A", {}),
                ("B", {}),
                ("G", {"time_in_force": TimeInForce.GTD, "expires_ns": (now() // 10**9 + 2) * 10**9}),
            )
        }
        s.broker.call(lambda: ledger.amend(LOGIN, int(states["A"].order_id), now(), limit_price=D("1.08500")))
        await s.told.until(lambda: "replaced" in s.told.changes("A"))
        s.broker.call(ledger.cancel, LOGIN, int(states["B"].order_id), now())
        await s.told.until(lambda: "canceled" in s.told.changes("B"))
        await s.told.until(lambda: "expired" in s.told.changes("G"))
        deal = await s.open()
        s.broker.call(ledger.protect, LOGIN, int(deal.position_id), Protect(stop_loss=D("1.09000")), now())
        await s.told.until(lambda: s.told.of(PositionChanged)[-1].position.protection is not None)
        assert s.told.of(PositionChanged)[-1].position.protection == Protection(stop_loss=D("1.09000"))

    play(tmp_path, script)


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


# -- G. MetaTrader 5 --------------------------------------------------------------------------------------------------


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
    [("trade_allowed", "Algo Trading"), ("tradeapi_disabled", "Algo Trading"), ("expert_allowed", "automated")],
)
def test_f75_a_switch_that_is_off_is_named(switch: str, words: str, tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.broker.call(setattr, s.broker.terminal, switch, switch == "tradeapi_disabled")
        await s.told.until(lambda: any(not a.account.trading_allowed for a in s.told.of(AccountChanged)))
        assert words in s.told.of(AccountChanged)[-1].account.trading_note
        with pytest.raises(OrderRefused):
            await s.session.submit(order())
        if switch != "tradeapi_disabled":
            assert any(n.halt for n in s.told.of(Notice))
        assert s.orders_of("O-1") == 0

    play(tmp_path, script)


def test_f76_another_account_in_the_terminal_stops_trading(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.broker.call(setattr, s.broker.terminal, "login", NETTING)
        with pytest.raises((OrderRefused, LinkLost, Exception), match=r"account 3000002|no terminal"):
            await s.session.submit(order())
        await s.told.until(lambda: any(d.permanent for d in s.told.of(LinkDown)))
        with pytest.raises(LinkLost):
            await s.session.submit(order("O-2"))
        assert kit.magic_counts(s.broker, LOGIN) == kit.magic_counts(s.broker, NETTING) == {}

    play(tmp_path, script, judge=False)


def test_f77_placed_partial_and_nothing_to_change(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.fault("retcode_after", code=10008)  # placed: the fill comes as a deal
        state = await s.session.submit(order())
        assert state.client_order_id == "O-1"
        deal = await s.filled("O-1")
        await s.session.set_protection(deal.position_id, Protection(stop_loss=D("1.05000")))
        await s.session.set_protection(deal.position_id, Protection(stop_loss=D("1.05000")))  # 10025 is done

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
        with pytest.raises((NotFound, OrderRefused, Exception), match=r"POSITION_CLOSED|no open position"):
            await s.session.close_position(deal.position_id, D(10_000), "C-1")

    play(tmp_path, script)


@pytest.mark.parametrize("when", ["hang_before", "hang_after"])
def test_f79_a_hanging_call_is_ended_and_nothing_is_lost(when: str, tmp_path: Path) -> None:
    """A minute of silence in `order_send`, scaled: 3 s against a deadline of 0.6 s (30 s / 50)."""

    async def script(s: Scene) -> None:
        await s.session.subscribe_quotes(["EURUSD"])
        await s.told.until(lambda: s.told.of(Tick))
        worst_s = await _during(s, when)
        assert worst_s < 0.25  # the loop of the node never stood still
        await s.recovered()
        assert s.gate.restarts >= 1
        await s.told.until(lambda: s.told.of(Tick)[-1].bid == 110_100)
        assert [t.bid for t in s.told.of(Tick)] == [110_000, *range(110_001, 110_101)]  # not one tick lost or doubled
        if when == "hang_after":
            await s.filled("O-1")
        assert ((await s.found()) is not None) is (when == "hang_after")
        assert s.orders_of("O-1") <= 1

    async def _during(s: Scene, when: str) -> float:
        s.fault(when, seconds=3.0)
        sending = asyncio.create_task(s.session.submit(order()))
        worst_s, before = 0.0, time.monotonic()
        for point in range(110_001, 110_101):
            await asyncio.sleep(0.005)
            s.broker.call(s.broker._quote, "EURUSD", point, point + 10)
            now = time.monotonic()
            worst_s, before = max(worst_s, now - before), now
        with pytest.raises(OutcomeUnknown):
            await sending
        return worst_s

    # A hang before the work is done leaves an order the terminal may still make: only the deal stream may tell.
    play(tmp_path, script, gateway={"patience": 0.02}, judge=when == "hang_after")


def test_f79_a_terminal_that_holds_the_gil_is_ended_as_well(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.fault("hang_after", seconds=3.0)
        with pytest.raises(OutcomeUnknown):
            await s.session.submit(order())
        await s.recovered()
        await s.filled("O-1")
        assert s.orders_of("O-1") == 1

    play(tmp_path, script, gateway={"patience": 0.02}, hold_gil=True)


def test_f79_a_worker_killed_in_the_middle_of_order_send(tmp_path: Path) -> None:
    async def script(s: Scene) -> None:
        s.fault("hang_after", seconds=5.0)
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

    play(tmp_path, script, position_lag_ms=300.0)


# -- H. process and host ----------------------------------------------------------------------------------------------


def test_f83_a_gateway_killed_between_send_and_answer_never_sends_again(tmp_path: Path) -> None:
    with kit.broker(tmp_path) as broker:
        kit.fault(broker, "hang_after", "order_send", seconds=5.0)

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
