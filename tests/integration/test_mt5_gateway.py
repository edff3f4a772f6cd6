"""What can go wrong between a session, a gateway and its worker without any of them being broken: the account is
another, an answer is lost after the deed, the terminal is busy, a client asks for nonsense."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.broker.events import LinkDown, LinkUp, Notice
from pepperstone_adapter.broker.market import BarPeriod, Tick
from pepperstone_adapter.broker.orders import AmendRequest, OrderType, Protection, Side
from pepperstone_adapter.common.errors import ConfigurationError, LinkLost, OrderRefused, VenueError
from pepperstone_adapter.mt5.client.session import Mt5Session
from pepperstone_adapter.mt5.gateway.dispatch import ORDER_WAIT_MAX_S
from pepperstone_adapter.sandbox.ledger import NewOrder
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit import mt5 as kit
from tests.kit.ctrader import Recorder, recorded, run
from tests.kit.mt5 import LOGIN, NETTING, Gateway
from tests.kit.mt5_scene import order
from tests.kit.ports import free_port

D = Decimal
SLOW = {"fastest_s": 60.0, "slowest_s": 60.0}  # the worker does not poll by itself: calls are the test's alone

type Script = Callable[[Mt5Session, Recorder, Sandbox, Gateway], Awaitable[None]]


def play(
    path: Path,
    script: Script,
    gateway: dict[str, Any] | None = None,
    account: dict[str, Any] | None = None,
    prepare: Callable[[Sandbox], None] = lambda _broker: None,
    **mt5: Any,
) -> None:
    with kit.broker(path, **mt5) as broker, kit.gateway(broker, path, **(gateway or {})) as gate:
        broker.call(prepare, broker)

        async def main() -> None:
            async with recorded(kit.session_of(gate, **(account or {}))) as (session, told):
                await script(session, told, broker, gate)

        run(main)


def test_an_order_is_refused_when_the_terminal_shows_another_account_however_the_gateway_was_started(
    tmp_path: Path,
) -> None:
    async def script(session: Mt5Session, _told: Recorder, broker: Sandbox, _gate: Gateway) -> None:
        broker.call(setattr, broker.terminal, "login", NETTING)
        with pytest.raises(VenueError, match=r"account 3000002, not 3000001"):
            await session.submit(order())
        assert kit.magic_counts(broker, LOGIN) == kit.magic_counts(broker, NETTING) == {}

    play(tmp_path, script, {"login": {}, **SLOW})


def test_a_position_opened_while_a_session_starts_is_in_its_first_snapshot(tmp_path: Path) -> None:
    """Positions are read first, deals after them: a deal in between must not be known without its position."""

    async def main(broker: Sandbox, gate: Gateway) -> None:
        async with recorded(kit.session_of(gate)):
            pass  # the worker has had its first look at the account
        kit.fault(broker, "hang_before", "history_deals_get")
        (armed,) = broker.terminal.faults._armed
        async with asyncio.TaskGroup() as group:
            session = kit.session_of(gate)
            connecting = group.create_task(session.connect(Recorder()))
            while not armed.done:  # noqa: ASYNC110 - the positions have been read then
                await asyncio.sleep(0.005)
            by_hand = NewOrder(symbol="EURUSD", side=Side.BUY, type=OrderType.MARKET, units=D(10_000))
            broker.call(broker.terminal.ledger.submit, LOGIN, by_hand, broker.clock.now_ns())
            broker.clear_faults()
            snapshot = await connecting
        assert [p.position_id for p in snapshot.positions] == list(kit.held(broker)) != []
        await session.close()

    with kit.broker(tmp_path) as broker, kit.gateway(broker, tmp_path, **SLOW) as gate:
        run(lambda: main(broker, gate))


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
        kit.fault(broker, "hang_before", "copy_rates_range")
        now_ns = time.time_ns()
        history = asyncio.create_task(session.history_bars("EURUSD", BarPeriod.M1, now_ns - 10**12, now_ns))
        while not broker.call(lambda: broker.terminal.faults._armed[-1].done):  # noqa: ASYNC110 - the terminal has it
            await asyncio.sleep(0.01)
        sending = asyncio.create_task(session.submit(order()))
        await asyncio.wait([sending], timeout=ORDER_WAIT_MAX_S + 0.5)
        broker.clear_faults()
        with pytest.raises(LinkLost, match=r"busy for \d+\.\d s; nothing was sent"):
            await sending
        assert kit.magic_counts(broker) == {}
        await history

    play(tmp_path, script, selected=("EURUSD",))


def test_nonsense_from_a_client_ends_neither_worker_nor_gateway(tmp_path: Path) -> None:
    async def script(session: Mt5Session, _told: Recorder, _broker: Sandbox, gate: Gateway) -> None:
        pid = gate.worker_pid
        for fn, args in (("copy_ticks_from", ("EURUSD", 2**40, 10, 1)), ("copy_rates_from", ("EURUSD", 1, 5, 2**40))):
            with pytest.raises(VenueError, match="SystemError"):
                await session._call(fn, *args)
        assert (gate.worker_pid, gate.restarts) == (pid, 0)

    play(tmp_path, script)


def test_two_nodes_on_one_gateway_do_not_take_each_others_quotes(tmp_path: Path) -> None:
    async def script(session: Mt5Session, told: Recorder, broker: Sandbox, gate: Gateway) -> None:
        other, heard = kit.session_of(gate), Recorder()
        await other.connect(heard)
        await session.subscribe_quotes(["EURUSD"])
        await told.until(lambda: told.of(Tick))
        await other.subscribe_quotes(["EURUSD"])
        # The price of now is there at once, though the gateway read it before.
        assert [t.bid for t in heard.of(Tick)] == [110_000]
        broker.push("EURUSD", "1.10007", "1.10017")
        await heard.until(lambda: len(heard.of(Tick)) == 2)
        await other.unsubscribe_quotes(["EURUSD"])
        broker.push("EURUSD", "1.10008", "1.10018")
        await told.until(lambda: len(told.of(Tick)) == 3)
        await other.close()
        assert [t.bid for t in told.of(Tick)] == [110_000, 110_007, 110_008]
        assert [t.bid for t in heard.of(Tick)] == [110_000, 110_007]

    play(tmp_path, script)


@pytest.mark.parametrize("rule", ["+05:00", "+10:00"])
def test_the_clock_is_checked_for_an_account_nobody_wants_quotes_of(rule: str, tmp_path: Path) -> None:
    async def script(session: Mt5Session, told: Recorder, broker: Sandbox, _gate: Gateway) -> None:
        number = 0
        while not any(d.permanent for d in told.of(LinkDown)):  # by such a rule every new tick is hours old
            number += 1
            broker.push("EURUSD", f"1.1000{number % 10}", "1.10020")
            await asyncio.sleep(0.05)
        assert told.of(Tick) == []
        assert any(n.halt and "server_time" in n.text for n in told.of(Notice))
        with pytest.raises(LinkLost, match="nothing was sent"):
            await session.submit(order())

    play(tmp_path, script, account={"server_time": rule}, selected=("EURUSD",))


@pytest.mark.parametrize("rule", ["new-york+7", "+05:00"])
def test_no_order_for_new_risk_leaves_before_a_tick_has_confirmed_the_clock(rule: str, tmp_path: Path) -> None:
    """By a rule that is wrong the newest tick looks old, as it does with a closed market; closing needs no clock."""

    async def script(session: Mt5Session, told: Recorder, broker: Sandbox, _gate: Gateway) -> None:
        with pytest.raises(OrderRefused, match=r"not confirmed.*nothing was sent.*server_time") as refused:
            await session.submit(order())
        assert refused.value.code == "CLOCK_UNCONFIRMED"
        (held,) = kit.held(broker)
        await session.close_position(held, D(10_000), "C-1")  # what is open may be closed
        assert kit.held(broker) == {}
        waiting = asyncio.ensure_future(session.submit(order("O-2")))
        await asyncio.sleep(0)
        broker.push("EURUSD", "1.10005", "1.10015")
        if rule == "new-york+7":
            await waiting  # the tick it waited for
            await session.submit(order("O-3"))
        else:
            with pytest.raises(OrderRefused, match=r"h off: the server's clock does not follow the rule"):
                await waiting
        assert sum(kit.magic_counts(broker).values()) == (2 if rule == "new-york+7" else 0)
        assert told.of(Notice) == []

    def stale(broker: Sandbox) -> None:  # the market has been quiet for two hours, and a position is open
        ledger, now_ns = broker.terminal.ledger, broker.clock.now_ns()
        by_hand = NewOrder(symbol="EURUSD", side=Side.BUY, type=OrderType.MARKET, units=D(10_000))
        ledger.submit(LOGIN, by_hand, now_ns)
        broker.terminal.push("EURUSD", 110_000, 110_010, now_ns - 2 * 3600 * 10**9)

    play(tmp_path, script, account={"server_time": rule}, prepare=stale)


def test_a_rule_that_puts_the_newest_tick_into_the_future_starts_nothing(tmp_path: Path) -> None:
    async def script(*_scene: Any) -> None:
        raise AssertionError("connected")

    with pytest.raises(ConfigurationError, match="set server_time in the settings"):
        play(tmp_path, script, account={"server_time": "utc"}, selected=("EURUSD",))


def test_quotes_replayed_after_a_long_cut_do_not_accuse_the_clock(tmp_path: Path) -> None:
    async def script(session: Mt5Session, told: Recorder, broker: Sandbox, gate: Gateway) -> None:
        await session.subscribe_quotes(["EURUSD"])
        await told.until(lambda: told.of(Tick))
        gate.kill_worker()
        await told.until(lambda: told.of(LinkDown))
        now_ns = time.time_ns()

        def while_away() -> None:  # ten minutes of ticks, more than a page, that the next worker catches up with
            for i in range(9000):
                broker.terminal.push("EURUSD", 110_000 + i % 9, 110_010 + i % 9, now_ns - 600 * 10**9 + i * 10**6)

        broker.call(while_away)
        await told.until(lambda: told.of(LinkUp) and len(told.of(Tick)) > 9000)
        assert [n.text for n in told.of(Notice) if n.halt] == []

    play(tmp_path, script)


def test_a_worker_that_ran_for_hours_and_dies_is_replaced_once(tmp_path: Path) -> None:
    async def script(session: Mt5Session, told: Recorder, broker: Sandbox, gate: Gateway) -> None:
        await session.subscribe_quotes(["EURUSD"])
        await told.until(lambda: told.of(Tick))
        supervisor = gate.hosted.supervisor
        gate.hosted.call(lambda: setattr(supervisor, "_started_s", supervisor._started_s - 7200))
        gate.kill_worker()
        await told.until(lambda: told.of(LinkUp))
        assert gate.restarts == 1
        assert len(told.of(LinkDown)) == 1

    play(tmp_path, script)


@pytest.mark.parametrize("away_s", [0, 601])
def test_a_gateway_that_began_again_reads_on_where_its_client_stopped_or_says_what_is_missing(
    away_s: int, tmp_path: Path
) -> None:
    later_s = 0
    with kit.broker(tmp_path) as broker:

        async def main() -> None:
            nonlocal later_s
            first = Gateway(broker, tmp_path, port=free_port())
            session, told = kit.session_of(first, now_ns=lambda: time.time_ns() + later_s * 10**9), Recorder()
            await session.connect(told)
            await session.subscribe_quotes(["EURUSD"])
            await told.until(lambda: told.of(Tick))
            broker.push("EURUSD", "1.10000", "1.10011")
            await told.until(lambda: told.of(Tick)[-1].ask == 110_011)
            before = len(told.of(Tick))
            await asyncio.to_thread(first.stop)
            await told.until(lambda: told.of(LinkDown))
            later_s = away_s
            now_ns = time.time_ns()

            def while_away() -> None:  # three in each millisecond
                for i in range(300):
                    broker.terminal.push("EURUSD", 110_000 + i, 110_012 + i, now_ns + i // 3 * 10**6)

            broker.call(while_away)
            again = Gateway(broker, tmp_path, port=first.port)
            await told.until(lambda: told.of(LinkUp))
            broker.push("EURUSD", "1.20000", "1.20010")
            await told.until(lambda: told.of(Tick)[-1].bid == 120_000)
            bids = [tick.bid for tick in told.of(Tick)[before:]]
            missing = [n.text for n in told.of(Notice) if "quotes of the time without a link are missing" in n.text]
            if away_s:
                assert len(missing) == 1
                assert "EURUSD" in missing[0]
                assert bids[-1] == 120_000
            else:
                assert missing == []
                assert bids == [*range(110_000, 110_300), 120_000]
            await session.close()
            await asyncio.to_thread(again.stop)

        asyncio.run(asyncio.wait_for(main(), 60))


def test_a_deal_made_while_the_first_snapshot_was_read_is_told(tmp_path: Path) -> None:
    """The deals are read last: one that comes after that reaches the session as an event before it has started."""
    with kit.broker(tmp_path) as broker, kit.gateway(broker, tmp_path) as gate:

        async def main() -> None:
            session, told = kit.session_of(gate), Recorder()
            kit.fault(broker, "hang_after", "orders_get", seconds=0.3)
            connecting = asyncio.create_task(session.connect(told))
            known = {"k": "deals", "rows": [_deal(77)]}
            while not session._rows:  # noqa: ASYNC110 - until the snapshot is being read
                await asyncio.sleep(0.001)
            session._on_news([known])
            await connecting
            assert [e.deal.deal_id for e in told.events if getattr(e, "deal", None)] == ["77"]
            await session.close()

        asyncio.run(asyncio.wait_for(main(), 60))


def _deal(ticket: int) -> dict[str, Any]:
    whole = {
        "ticket": ticket,
        "order": 5,
        "time": 1,
        "time_msc": 1000,
        "type": 0,
        "entry": 0,
        "magic": 0,
        "position_id": 5,
    }
    money = {"commission": 0.0, "swap": 0.0, "profit": 0.0, "fee": 0.0}
    return {**whole, **money, "reason": 3, "volume": 0.1, "price": 1.1, "symbol": "EURUSD", "comment": ""}
