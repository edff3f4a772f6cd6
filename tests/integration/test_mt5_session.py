"""The MetaTrader session through a real gateway, a real worker process and the simulated terminal, judged by its books."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.events import LinkDown, LinkUp, Notice, OrderChange, OrderChanged, PositionChanged
from pepperstone_adapter.broker.market import BarPeriod, Tick
from pepperstone_adapter.broker.orders import (
    AmendRequest,
    DealEntry,
    DealReason,
    OrderStatus,
    OrderType,
    Protection,
    Side,
    TimeInForce,
)
from pepperstone_adapter.common.errors import AuthenticationFailed, ConfigurationError, ConnectFailed, OrderRefused
from pepperstone_adapter.mt5.client.account import Mt5Account
from pepperstone_adapter.mt5.client.gateway_link import GatewayAddress, GatewayLink
from pepperstone_adapter.mt5.client.session import Mt5Session
from pepperstone_adapter.mt5.gateway.wire import Decoder, encode
from pepperstone_adapter.sandbox.ledger import NewOrder
from pepperstone_adapter.sandbox.ledger.state import Liquidity
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit import mt5 as kit
from tests.kit.ctrader import Recorder, recorded, run
from tests.kit.mt5 import LOGIN, NETTING, Gateway
from tests.kit.mt5_scene import order

D = Decimal
HOUR_NS = 3_600_000_000_000


def connected(gate: Gateway, **options: Any) -> AbstractAsyncContextManager[tuple[Mt5Session, Recorder]]:
    return recorded(kit.session_of(gate, **options))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Sandbox]:
    with kit.broker(tmp_path) as running:
        yield running
        assert running.violations() == []


@pytest.fixture
def gate(broker: Sandbox, tmp_path: Path) -> Iterator[Gateway]:
    with kit.gateway(broker, tmp_path) as running:
        yield running


async def opened(session: Mt5Session, recorder: Recorder, **changes: Any) -> Any:
    """Open at market; the opening deal."""
    request = order(**changes)
    await session.submit(request)
    await recorder.until(lambda: "filled" in recorder.changes(request.client_order_id))
    return next(
        e.deal for e in recorder.of(OrderChanged) if e.order.client_order_id == request.client_order_id and e.deal
    )


def test_every_tick_reaches_the_session_once_and_in_order(broker: Sandbox, gate: Gateway) -> None:
    async def main() -> None:
        async with connected(gate) as (session, recorder):
            await session.subscribe_quotes(["EURUSD"])
            await recorder.until(lambda: recorder.of(Tick))

            def burst() -> None:
                for i in range(500):
                    broker._quote("EURUSD", 110_000 + i % 7, 110_010 + i % 7)  # many in one millisecond, many equal

            broker.call(burst)
            await recorder.until(lambda: len(recorder.of(Tick)) == 501)
            assert [t.bid for t in recorder.of(Tick)[1:]] == [110_000 + i % 7 for i in range(500)]
            last_ns = recorder.of(Tick)[-1].ts_ns
            past = await session.history_ticks("EURUSD", last_ns - HOUR_NS, last_ns + 1)
            assert len(past) == 501

    run(main)


def test_levels_hit_at_the_broker_are_its_own_orders_on_our_position(broker: Sandbox, gate: Gateway) -> None:
    async def main() -> None:
        async with connected(gate) as (session, recorder):
            deal = await opened(
                session, recorder, protection=Protection(stop_loss=D("1.09500"), take_profit=D("1.11000"))
            )
            broker.push("EURUSD", "1.11005", "1.11015")
            await recorder.until(lambda: len(recorder.of(OrderChanged)) == 3)
            hit = recorder.of(OrderChanged)[-1]
            assert (hit.order.type, hit.by_server, hit.order.client_order_id) == (OrderType.PROTECTION, True, None)
            assert (hit.deal.reason, hit.deal.position_id) == (DealReason.TAKE_PROFIT, deal.position_id)
            # 10,000 × (1.11005 - 1.10010)
            assert hit.deal.gross_profit == D("99.50")
            await recorder.until(lambda: recorder.of(PositionChanged)[-1].position.units == 0)

    run(main)


def test_pending_orders_of_every_kind_live_change_and_end(broker: Sandbox, gate: Gateway) -> None:
    async def main() -> None:
        async with connected(gate) as (session, recorder):
            expires_ns = broker.clock.now_ns() + HOUR_NS
            wishes = [
                order("L", OrderType.LIMIT, limit_price=D("1.09000")),
                order("S", OrderType.STOP, stop_price=D("1.11000"), time_in_force=TimeInForce.DAY),
                order("SL", OrderType.STOP_LIMIT, stop_price=D("1.12000"), limit_price=D("1.11900")),
                order(
                    "G", OrderType.LIMIT, limit_price=D("1.08000"), time_in_force=TimeInForce.GTD, expires_ns=expires_ns
                ),
            ]
            states = [await session.submit(wish) for wish in wishes]
            working = {o.client_order_id: o for o in (await session.snapshot()).orders}
            assert set(working) == {"L", "S", "SL", "G"}
            assert (working["SL"].stop_price, working["SL"].limit_price) == (D("1.12000"), D("1.11900"))
            assert working["G"].expires_ns == expires_ns // 10**9 * 10**9  # whole seconds at the terminal
            changed = await session.amend(
                AmendRequest(
                    order_id=states[0].order_id,
                    symbol="EURUSD",
                    limit_price=D("1.09100"),
                    protection=Protection(stop_loss=D("1.08000")),
                )
            )
            assert (changed.limit_price, changed.protection) == (D("1.09100"), Protection(stop_loss=D("1.08000")))
            with pytest.raises(OrderRefused, match="volume"):
                await session.amend(AmendRequest(order_id=states[0].order_id, symbol="EURUSD", units=D(20_000)))
            for state in states:
                await session.cancel(state.order_id, "EURUSD")
            await recorder.until(lambda: recorder.changes().count("canceled") == 4)
            assert recorder.changes("L") == ["accepted", "replaced", "canceled"]
            assert recorder.changes("SL") == ["accepted", "canceled"]

    run(main)


def test_an_immediate_order_that_fills_in_part_ends_canceled_with_its_fills(broker: Sandbox, gate: Gateway) -> None:
    async def main() -> None:
        async with connected(gate) as (session, recorder):
            broker.call(broker.terminal.ledger.set_liquidity, "EURUSD", Liquidity(D(3_000), fills_left=2))
            await session.submit(order(time_in_force=TimeInForce.IOC))
            await recorder.until(lambda: "canceled" in recorder.changes("O-1"))
            assert recorder.changes("O-1") == ["accepted", "partially_filled", "partially_filled", "canceled"]
            assert sum(e.deal.units for e in recorder.of(OrderChanged) if e.deal) == D(6_000)

    run(main)


def test_a_close_keeps_its_time_in_force(broker: Sandbox, gate: Gateway) -> None:
    async def main() -> None:
        async with connected(gate) as (session, recorder):
            deal = await opened(session, recorder)
            broker.call(broker.terminal.ledger.set_liquidity, "EURUSD", Liquidity(D(3_000), fills_left=1))
            with pytest.raises(OrderRefused, match="the symbol takes IOC and no FOK orders"):
                await session.close_position(deal.position_id, D(10_000), "C-1", TimeInForce.FOK)
            await session.close_position(deal.position_id, D(10_000), "C-2", TimeInForce.IOC)
            await recorder.until(lambda: "canceled" in recorder.changes("C-2"))
            assert recorder.changes("C-2") == ["accepted", "partially_filled", "canceled"]
            assert kit.held(broker)[deal.position_id] == D(7_000)

    run(main)


def test_a_close_that_must_be_whole_is_whole_or_refused(tmp_path: Path) -> None:
    with kit.broker(tmp_path, symbol={"filling": 3}) as broker, kit.gateway(broker, tmp_path) as gate:

        async def main() -> None:
            async with connected(gate) as (session, recorder):
                deal = await opened(session, recorder)
                broker.call(broker.terminal.ledger.set_liquidity, "EURUSD", Liquidity(D(3_000), fills_left=1))
                with pytest.raises(OrderRefused):
                    await session.close_position(deal.position_id, D(10_000), "C-1", TimeInForce.FOK)
                assert kit.held(broker)[deal.position_id] == D(10_000)
                broker.call(broker.terminal.ledger.set_liquidity, "EURUSD", Liquidity(D(20_000), fills_left=1))
                await session.close_position(deal.position_id, D(10_000), "C-2", TimeInForce.FOK)
                await recorder.until(lambda: "filled" in recorder.changes("C-2"))
                assert kit.held(broker) == {}

        run(main)


def test_a_netting_account_turns_over_in_one_deal(broker: Sandbox, tmp_path: Path) -> None:
    login = {"login": NETTING, "password": "sandbox"}
    with kit.gateway(broker, tmp_path, login=login) as gate:

        async def main() -> None:
            async with connected(gate, login=NETTING) as (session, recorder):
                assert (await session.snapshot()).account.mode is PositionMode.NETTING
                first = await opened(session, recorder)
                turned = await opened(session, recorder, name="O-2", side=Side.SELL, units=D(15_000))
                assert (turned.entry, turned.closed_units) == (DealEntry.IN_OUT, D(10_000))
                assert turned.position_id == first.position_id  # the identifier stays, the ticket changes
                await recorder.until(lambda: recorder.of(PositionChanged)[-1].position.side is Side.SELL)
                position = recorder.of(PositionChanged)[-1].position
                assert (position.units, position.ticket) == (D(5_000), turned.order_id)
                await session.close_position(position.position_id, D(5_000), "C-1")
                await recorder.until(lambda: kit.held(broker, NETTING) == {})

        run(main)


def test_manual_trades_are_told_and_are_nobodys(broker: Sandbox, gate: Gateway) -> None:
    async def main() -> None:
        async with connected(gate) as (session, recorder):
            ledger = broker.terminal.ledger
            now_ns = broker.clock.now_ns()
            by_hand = NewOrder(symbol="EURUSD", side=Side.SELL, type=OrderType.MARKET, units=D(20_000), origin="mobile")
            broker.call(ledger.submit, LOGIN, by_hand, now_ns)
            await recorder.until(lambda: recorder.of(OrderChanged))
            event = recorder.of(OrderChanged)[0]
            assert (event.change, event.order.client_order_id) == (OrderChange.FILLED, None)
            (ticket,) = kit.held(broker)
            broker.call(ledger.close, LOGIN, int(ticket), D(5_000), broker.clock.now_ns())
            await recorder.until(lambda: len(recorder.of(OrderChanged)) == 2)
            await recorder.until(lambda: recorder.of(PositionChanged)[-1].position.units == D(15_000))
            del session

    run(main)


def test_an_entitys_suffix_is_found_when_there_is_only_one(tmp_path: Path) -> None:
    with kit.broker(tmp_path, suffix=".a") as broker, kit.gateway(broker, tmp_path) as gate:

        async def main() -> None:
            async with connected(gate, symbols=("EURUSD",)) as (session, recorder):
                names = {spec.name for spec in await session.symbols()}
                assert names == {"EURUSD", "USDJPY.a", "XAUUSD.a"}
                await session.subscribe_quotes(["EURUSD"])
                await recorder.until(lambda: recorder.of(Tick))
                deal = await opened(session, recorder)
                assert (recorder.of(Tick)[0].symbol, deal.symbol) == ("EURUSD", "EURUSD")
                bars = await session.history_bars("EURUSD", BarPeriod.M1, 0, 1)
                assert bars == []
                with pytest.raises(ConfigurationError, match=r"EURUSD\.a"):
                    await session.subscribe_quotes(["EURUSD.a"])  # one name each: the one in the settings

        run(main)


def test_the_filling_mode_is_rotated_once_and_remembered(tmp_path: Path) -> None:
    # The symbol's flags say FOK, the broker wants IOC: as reported by users.
    with kit.broker(tmp_path) as broker, kit.gateway(broker, tmp_path) as gate:
        requests = lambda: broker.call(lambda: broker.terminal.next_request_id) - 1  # noqa: E731

        async def main() -> None:
            async with connected(gate) as (session, recorder):
                session._rows["EURUSD"]["filling_mode"] = 1
                first = await opened(session, recorder)
                assert first.units == D(10_000)
                assert list(kit.magic_counts(broker).values()) == [1]
                assert requests() == 2  # FOK was refused, IOC was taken
                await opened(session, recorder, name="O-2")
                assert requests() == 3  # IOC at once
                assert list(kit.magic_counts(broker).values()) == [1, 1]

        run(main)


def test_each_filling_mode_is_tried_once_and_then_the_order_is_refused(tmp_path: Path) -> None:
    with kit.broker(tmp_path) as broker, kit.gateway(broker, tmp_path) as gate:
        kit.fault(broker, "retcode", "order_send", code=10030, times=0)

        async def main() -> None:
            async with connected(gate) as (session, _):
                with pytest.raises(OrderRefused, match="INVALID_FILL"):
                    await session.submit(order())
                assert broker.call(lambda: broker.terminal.next_request_id) - 1 == 3  # IOC, FOK, RETURN
                with pytest.raises(OrderRefused, match="INVALID_FILL"):  # a wish of its own is not made another one
                    await session.submit(order("O-2", time_in_force=TimeInForce.IOC))
                assert broker.call(lambda: broker.terminal.next_request_id) - 1 == 4
                assert kit.magic_counts(broker) == {}

        run(main)


def test_a_comment_changed_by_the_broker_does_not_lose_an_order(tmp_path: Path) -> None:
    with kit.broker(tmp_path, overwrite_comment="broker's own") as broker, kit.gateway(broker, tmp_path) as gate:

        async def main() -> None:
            async with connected(gate) as (session, recorder):
                deal = await opened(session, recorder)
                assert deal.client_order_id == "O-1"
                found = await session.find_order(client_order_id="O-1")
                assert found is not None
                assert [d.deal_id for d in found.deals] == [deal.deal_id]

        run(main)


def test_history_that_needs_time_is_asked_until_it_is_whole(tmp_path: Path) -> None:
    with (
        kit.broker(tmp_path, first_history_empty=True, history_days=1) as broker,
        kit.gateway(broker, tmp_path) as gate,
    ):

        async def main() -> None:
            async with connected(gate) as (session, _):
                minute_ns = broker.clock.now_ns() // (60 * 10**9) * 60 * 10**9
                found = await session.history_bars("EURUSD", BarPeriod.M1, minute_ns - 2 * HOUR_NS, minute_ns - HOUR_NS)
                assert [bar.open_ns for bar in found] == list(
                    range(minute_ns - 2 * HOUR_NS, minute_ns - HOUR_NS, 60 * 10**9)
                )

        run(main)


def test_wrong_token_wrong_account_and_no_gateway_are_told_apart(broker: Sandbox, gate: Gateway) -> None:
    async def main() -> None:
        with pytest.raises(AuthenticationFailed, match="token"):
            await kit.session_of(gate, token="another-token-9876543210").connect(Recorder())
        with pytest.raises(AuthenticationFailed, match="3000001"):
            await kit.session_of(gate, login=777).connect(Recorder())
        with pytest.raises(AuthenticationFailed, match="Sandbox-MT5"):
            await kit.session_of(gate, server="Pepperstone-Demo").connect(Recorder())
        nobody = Mt5Session(
            Mt5Account(login=LOGIN, connect_timeout_s=150.0),
            lambda on_news: GatewayLink(GatewayAddress(port=1, token="x" * 20), on_news),
        )
        with pytest.raises(ConnectFailed, match=r"nothing listens on 127\.0\.0\.1:1; start `pepperstone mt5-gateway`"):
            await nobody.connect(Recorder())  # long before the time that a terminal may take

    run(main)


def test_the_worker_outlives_ctrl_c_so_that_an_orderly_stop_can_cancel(broker: Sandbox, gate: Gateway) -> None:
    async def main() -> None:
        async with connected(gate) as (session, recorder):
            os.kill(gate.worker_pid, signal.SIGINT)
            await opened(session, recorder)
            assert (gate.restarts, recorder.of(LinkDown)) == (0, [])

    run(main)


def test_links_cut_and_workers_killed_come_back_with_everything(broker: Sandbox, gate: Gateway) -> None:
    async def main() -> None:
        async with connected(gate) as (session, recorder):
            await session.subscribe_quotes(["EURUSD"])
            await recorder.until(lambda: recorder.of(Tick))
            points = 110_000
            for round_number, breaking in enumerate((gate.cut_clients, gate.kill_worker, gate.cut_clients)):
                breaking()
                for _ in range(20):
                    points += 1
                    broker.call(broker._quote, "EURUSD", points, points + 10)
                by_hand = NewOrder(symbol="EURUSD", side=Side.BUY, type=OrderType.MARKET, units=D(1_000))
                broker.call(broker.terminal.ledger.submit, LOGIN, by_hand, broker.clock.now_ns())
                await recorder.until(lambda n=round_number: len(recorder.of(LinkUp)) > n)  # type: ignore[misc]
                await recorder.until(lambda p=points: recorder.of(Tick)[-1].bid == p)  # type: ignore[misc]
            deals = [e.deal.deal_id for e in recorder.of(OrderChanged) if e.deal]
            assert len(deals) == len(set(deals)) == 3
            assert [t.bid for t in recorder.of(Tick)] == list(range(110_000, points + 1))
            assert len(kit.held(broker)) == 3

    run(main)


def test_a_wrong_clock_rule_stops_trading(broker: Sandbox, gate: Gateway) -> None:
    async def main() -> None:
        async with connected(gate, server_time="+0") as (session, recorder):
            await session.subscribe_quotes(["EURUSD"])
            await recorder.until(lambda: recorder.of(Tick))
            for i in range(5):
                seen = len(recorder.of(Tick))
                broker.push("EURUSD", f"1.1000{i}", "1.10020")
                await recorder.until(lambda n=seen: len(recorder.of(Tick)) > n)  # type: ignore[misc]
            await recorder.until(lambda: any(n.halt for n in recorder.of(Notice)))
            assert any(d.permanent for d in recorder.of(LinkDown))
            with pytest.raises(Exception, match="nothing was sent"):
                await session.submit(order())

    run(main)


def test_a_port_scanner_gets_no_terminal(gate: Gateway) -> None:
    async def main() -> None:
        for first in (
            encode({"t": "req", "id": 1, "fn": "account_info", "args": []}),
            b"\xff\xff\xff\xff",
            b"GET / HTTP/1.1\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(first)
            data = await asyncio.wait_for(reader.read(), 15)
            kinds = [message["t"] for message in Decoder().feed(data)]
            assert kinds in (["hello"], ["hello", "refused"])
            writer.close()

    run(main)


def test_status_of_a_found_order_is_the_brokers(broker: Sandbox, gate: Gateway) -> None:
    async def main() -> None:
        async with connected(gate) as (session, _):
            state = await session.submit(order("L", OrderType.LIMIT, limit_price=D("1.05000")))
            found = await session.find_order(client_order_id="L")
            assert found is not None
            assert (found.order.order_id, found.order.status) == (state.order_id, OrderStatus.ACCEPTED)
            assert await session.find_order(client_order_id="NEVER") is None

    run(main)
