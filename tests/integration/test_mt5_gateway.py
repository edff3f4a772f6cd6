"""What can go wrong between a session, a gateway and its worker without any of them being broken: the account is
another, an answer is lost after the deed, the terminal is busy, a client asks for nonsense."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.broker.events import Notice
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.orders import AmendRequest, OrderRequest, OrderType, Protection, Side
from pepperstone_adapter.common.errors import LinkLost, VenueError
from pepperstone_adapter.mt5.client.session import Mt5Session
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit import mt5 as kit
from tests.kit.ctrader import Recorder
from tests.kit.mt5 import LOGIN, NETTING, Gateway

D = Decimal
SLOW = {"fastest_s": 60.0, "slowest_s": 60.0}  # the worker does not poll by itself: calls are the test's alone

type Script = Callable[[Mt5Session, Recorder, Sandbox, Gateway], Awaitable[None]]


def order(name: str = "O-1", kind: OrderType = OrderType.MARKET, **changes: Any) -> OrderRequest:
    facts: dict[str, Any] = {"client_order_id": name, "symbol": "EURUSD", "side": Side.BUY, "type": kind}
    return OrderRequest(**(facts | {"units": D(10_000)} | changes))


def play(path: Path, script: Script, gateway: dict[str, Any] | None = None, **mt5: Any) -> None:
    with kit.broker(path, **mt5) as broker, kit.gateway(broker, path, **(gateway or {})) as gate:

        async def main() -> None:
            session, told = kit.session_of(gate), Recorder()
            await session.connect(told)
            try:
                await script(session, told, broker, gate)
            finally:
                await session.close()

        asyncio.run(asyncio.wait_for(main(), 60))


def test_an_order_is_refused_when_the_terminal_shows_another_account_however_the_gateway_was_started(
    tmp_path: Path,
) -> None:
    async def script(session: Mt5Session, _told: Recorder, broker: Sandbox, _gate: Gateway) -> None:
        broker.call(setattr, broker.terminal, "login", NETTING)
        with pytest.raises(VenueError, match=r"account 3000002, not 3000001"):
            await session.submit(order())
        assert kit.magic_counts(broker, LOGIN) == kit.magic_counts(broker, NETTING) == {}

    play(tmp_path, script, {"login": {}, **SLOW})


def test_an_executed_order_stays_accepted_when_the_look_at_its_position_fails(tmp_path: Path) -> None:
    async def script(session: Mt5Session, told: Recorder, broker: Sandbox, _gate: Gateway) -> None:
        kit.fault(broker, "error", "positions_get", code=-10_002, text="IPC recv failed", times=0)
        state = await session.submit(order(protection=Protection(stop_loss=D("0.00100"), distance=True)))
        assert state.order_id in kit.held(broker)
        assert any("may be off by the slippage" in n.text for n in told.of(Notice))

    play(tmp_path, script, SLOW)


def test_levels_as_distances_wait_for_a_position_that_shows_late(tmp_path: Path) -> None:
    async def script(session: Mt5Session, told: Recorder, broker: Sandbox, _gate: Gateway) -> None:
        state = await session.submit(order(protection=Protection(stop_loss=D("0.00100"), distance=True)))
        assert told.of(Notice) == []
        book = broker.call(lambda: broker.terminal.ledger.accounts[LOGIN].positions[int(state.order_id)])
        # The stop is 100 points under the fill, which slipped up to 30 points from the 1.10010 that was seen.
        assert book.stop_loss == book.open_price - D("0.00100")

    play(tmp_path, script, position_lag_ms=300, slippage_points_max=30)


def test_an_amendment_the_server_made_is_told_with_its_new_price_when_the_look_at_it_fails(tmp_path: Path) -> None:
    async def script(session: Mt5Session, _told: Recorder, broker: Sandbox, _gate: Gateway) -> None:
        made = await session.submit(order("L", OrderType.LIMIT, limit_price=D("1.09000")))
        kit.fault(broker, "error", "orders_get", code=-1, text="Terminal: Call failed", after=1, times=0)
        change = AmendRequest(order_id=made.order_id, symbol="EURUSD", limit_price=D("1.08000"))
        assert (await session.amend(change)).limit_price == D("1.08000")
        working = broker.call(lambda: [o.limit_price for o in broker.terminal.ledger.accounts[LOGIN].working.values()])
        assert working == [D("1.08000")]

    play(tmp_path, script, SLOW)


def test_a_market_order_that_waited_behind_a_slow_history_call_is_not_sent_late(tmp_path: Path) -> None:
    async def script(session: Mt5Session, _told: Recorder, broker: Sandbox, _gate: Gateway) -> None:
        kit.fault(broker, "hang_before", "copy_rates_range", seconds=6.0)
        now_ns = time.time_ns()
        history = asyncio.create_task(session.history_bars("EURUSD", BarPeriod.M1, now_ns - 10**12, now_ns))
        await asyncio.sleep(0)  # it is asked first
        with pytest.raises(LinkLost, match=r"busy for [56]\.\d s; nothing was sent"):
            await session.submit(order())
        assert kit.magic_counts(broker) == {}
        await history

    play(tmp_path, script)


def test_nonsense_from_a_client_ends_neither_worker_nor_gateway(tmp_path: Path) -> None:
    async def script(session: Mt5Session, _told: Recorder, _broker: Sandbox, gate: Gateway) -> None:
        pid = gate.worker_pid
        for fn, args in (("copy_ticks_from", ("EURUSD", 2**40, 10, 1)), ("copy_rates_from", ("EURUSD", 1, 5, 2**40))):
            with pytest.raises(VenueError, match="SystemError"):
                await session._call(fn, *args)
        assert (gate.worker_pid, gate.restarts) == (pid, 0)

    play(tmp_path, script)
