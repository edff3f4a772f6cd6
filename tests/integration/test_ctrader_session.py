"""The cTrader session against the sandbox: real sockets, real TLS, judged by the sandbox's own books."""

import asyncio
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.events import (
    AccountChanged,
    LinkDown,
    LinkUp,
    Notice,
    OrderChanged,
    PositionChanged,
)
from pepperstone_adapter.broker.market import DepthUpdate, Tick
from pepperstone_adapter.broker.orders import (
    AmendRequest,
    DealReason,
    OrderStatus,
    OrderType,
    Protection,
    Side,
    TimeInForce,
)
from pepperstone_adapter.common.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ConnectFailed,
    LinkLost,
    NotFound,
    OrderRefused,
    OutcomeUnknown,
)
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.protocol import Timings
from pepperstone_adapter.ctrader.client.session import _hubs
from pepperstone_adapter.network.thread import NetworkThread
from pepperstone_adapter.network.tls import CertificateRefused, Endpoint
from pepperstone_adapter.openapi import PayloadType
from pepperstone_adapter.sandbox.faults import FaultKind, FaultRule
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.ctrader import MemoryStore, Recorder, connected, credentials_of, run, sandbox, session_of
from tests.kit.requests import market_order

D = Decimal
HEARTBEAT = ("in", int(PayloadType.HEARTBEAT_EVENT))
MINUTE_NS = 60_000_000_000


@pytest.fixture
def broker(tmp_path: Path):
    with sandbox(tmp_path) as running:
        running.push("EURUSD", "1.10000", "1.10010")
        yield running
        assert running.violations() == []


def test_connecting_gives_the_account_the_symbols_and_an_open_gate(broker: Sandbox) -> None:
    async def main() -> None:
        session, recorder = session_of(broker), Recorder()
        snapshot = await session.connect(recorder)
        assert snapshot.account.account_number == "5001"
        assert (snapshot.account.balance, snapshot.account.equity) == (D(10_000), D(10_000))
        specs = {spec.name: spec for spec in await session.symbols()}
        euro = specs["EURUSD"]
        assert (euro.digits, euro.contract_size, euro.volume_min) == (5, D(100_000), D(1_000))
        await recorder.until(lambda: recorder.of(LinkUp))
        await session.close()

    run(main)


def test_a_market_order_with_distances_fills_and_is_protected(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            wish = Protection(stop_loss=D("0.00500"), take_profit=D("0.00700"), distance=True)
            state = await session.submit(market_order(protection=wish, tag="ema"))
            assert (state.client_order_id, state.status) == ("O-1", OrderStatus.ACCEPTED)
            await recorder.until(lambda: len(recorder.changes()) >= 3)
            accepted, filled, protective = recorder.of(OrderChanged)[:3]
            assert [str(e.change) for e in (accepted, filled, protective)] == ["accepted", "filled", "accepted"]
            assert filled.deal.price == D("1.10010")  # the ask
            assert (filled.deal.units, filled.deal.commission) == (D(10_000), D("-0.35"))  # 3.50 a lot, 0.1 lot
            assert protective.order.type is OrderType.PROTECTION
            # 1.10010 - 0.00500 and 1.10010 + 0.00700
            assert protective.position.protection == Protection(stop_loss=D("1.09510"), take_profit=D("1.10710"))
            assert filled.position.tag == "ema"

    run(main)


def test_margin_of_a_hedge_is_what_the_broker_counts(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            for name, side, units in (("O-1", Side.BUY, 20_000), ("O-2", Side.SELL, 10_000)):
                await session.submit(market_order(name, side=side, units=D(units)))
                await recorder.until(lambda name=name: "filled" in recorder.changes(name))
            held = broker.ledger.accounts[1001].positions.values()
            # 20,000 x 1.10010 / 30 and 10,000 x 1.10000 / 30: the larger side counts
            assert [p.used_margin for p in held] == [D("733.40"), D("366.67")]
            assert (await session.snapshot()).account.used_margin == D("733.40")

    run(main)


def test_closing_books_the_profit_and_ties_the_close_to_our_id(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            await session.submit(market_order())
            await recorder.until(lambda: "filled" in recorder.changes("O-1"))
            broker.push("EURUSD", "1.10110", "1.10120")
            position_id = recorder.of(OrderChanged)[-1].position.position_id
            state = await session.close_position(position_id, D(4_000), "C-1")
            assert (state.client_order_id, state.closing) == ("C-1", True)
            await recorder.until(lambda: "filled" in recorder.changes("C-1"))
            close = recorder.of(OrderChanged)[-1]
            # bought at 1.10010, sold 4,000 at the bid of 1.10110: 4,000 x 0.00100 = 4.00
            assert (close.deal.gross_profit, close.deal.commission) == (D("4.00"), D("-0.14"))
            assert close.position.units == D(6_000)
            # 10,000 + 4.00 - 0.14 (opening share) - 0.14 (closing side)
            await recorder.until(
                lambda: recorder.of(AccountChanged) and recorder.of(AccountChanged)[-1].account.balance == D("10003.72")
            )
            found = await session.find_order("C-1")
            assert found is not None
            assert [deal.deal_id for deal in found.deals] == [close.deal.deal_id]

    run(main)


def test_a_pending_order_is_amended_cancelled_and_found_again(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            wish = Protection(stop_loss=D("1.04000"), take_profit=D("1.09000"))
            order = await session.submit(market_order(type=OrderType.LIMIT, limit_price=D("1.05000"), protection=wish))
            assert order.protection == wish
            amended = await session.amend(
                AmendRequest(order_id=order.order_id, symbol="EURUSD", limit_price=D("1.06000"), units=D(20_000))
            )
            assert (amended.limit_price, amended.units) == (D("1.06000"), D(20_000))
            assert amended.protection == wish  # what was not named stays, though the wire would drop it
            await session.cancel(order.order_id, "EURUSD")
            await recorder.until(lambda: "canceled" in recorder.changes("O-1"))
            found = await session.find_order("O-1", since_ns=time.time_ns() - MINUTE_NS)
            assert found is not None
            assert (found.order.status, found.deals) == (OrderStatus.CANCELED, ())
            with pytest.raises(NotFound):
                await session.cancel(order.order_id, "EURUSD")
            assert await session.find_order("never-sent") is None

    run(main)


def test_stop_limit_and_good_till_date_reach_the_book_as_meant(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, _):
            expiry = (time.time_ns() // 1_000_000_000 + 3_600) * 1_000_000_000
            order = await session.submit(
                market_order(
                    type=OrderType.STOP_LIMIT,
                    stop_price=D("1.11000"),
                    limit_price=D("1.11020"),
                    time_in_force=TimeInForce.GTD,
                    expires_ns=expiry,
                )
            )
            assert (order.stop_price, order.slippage_points, order.expires_ns) == (D("1.11000"), 20, expiry)

    run(main)


def test_protection_is_replaced_whole_and_a_stop_hit_is_told_with_its_reason(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            await session.submit(market_order(protection=Protection(take_profit=D("0.00700"), distance=True)))
            await recorder.until(lambda: len(recorder.changes()) >= 3)
            position_id = recorder.of(OrderChanged)[-1].position.position_id
            await session.set_protection(position_id, Protection(stop_loss=D("1.09900")))
            await recorder.until(lambda: "replaced" in recorder.changes())
            replaced = next(e for e in recorder.of(OrderChanged) if str(e.change) == "replaced")
            assert replaced.position.protection == Protection(stop_loss=D("1.09900"))  # the take profit is gone
            broker.push("EURUSD", "1.09890", "1.09900")
            await recorder.until(
                lambda: any(e.deal and e.deal.reason is DealReason.STOP_LOSS for e in recorder.of(OrderChanged))
            )
            stop = recorder.of(OrderChanged)[-1]
            assert (stop.position.units, stop.by_server) == (D(0), True)
            assert stop.position.open_price == D("1.10010")  # the venue blanks it; the session remembers

    run(main)


def test_quotes_come_one_sided_or_both_and_only_while_wanted(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            await session.subscribe_quotes(["EURUSD"])
            broker.push("EURUSD", "1.10002", "1.10012")
            await recorder.until(lambda: any(t.bid == 110_002 for t in recorder.of(Tick)))
            assert all(t.ts_ns > 0 for t in recorder.of(Tick))
            await session.unsubscribe_quotes(["EURUSD"])
            await session.subscribe_depth("EURUSD")
            broker.push("EURUSD", "1.10005", "1.10015")
            await recorder.until(lambda: recorder.of(DepthUpdate))
            assert not any(t.bid == 110_005 for t in recorder.of(Tick))

    run(main)


def test_deals_are_listed_once_each_in_order(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            for n in range(3):
                await session.submit(market_order(f"O-{n}"))
            await recorder.until(lambda: recorder.changes().count("filled") == 3)
            now_ns = time.time_ns()
            deals = await session.deals(now_ns - MINUTE_NS, now_ns + MINUTE_NS)
            assert [deal.client_order_id for deal in deals] == ["O-0", "O-1", "O-2"]
            assert [int(deal.deal_id) for deal in deals] == sorted(int(deal.deal_id) for deal in deals)

    run(main)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"units": D(500)}, OrderRefused, "VOLUME"),
        ({"units": D("0.001")}, OrderRefused, "multiple of 0.01"),
        ({"symbol": "EURUSDD"}, NotFound, "did you mean EURUSD"),
        ({"type": OrderType.LIMIT, "limit_price": D("1.050001")}, OrderRefused, "5 digits"),
        ({"protection": Protection(stop_loss=D("1.09"))}, OrderRefused, "distances"),
    ],
)
def test_what_is_refused_says_why_and_leaves_no_trace(
    broker: Sandbox, changes: dict[str, object], error: type[Exception], words: str
) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            with pytest.raises(error, match=words):
                await session.submit(market_order(**changes))
            assert recorder.changes() == []
            assert (await session.snapshot()).orders == ()

    run(main)


def test_an_order_without_an_answer_is_unknown_and_found_by_its_id(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            broker.add_fault(FaultRule(kind=FaultKind.CUT_AFTER, on="request", message="NewOrderReq"))
            broker.add_fault(FaultRule(kind=FaultKind.CUT_BEFORE, on="request", message="ApplicationAuthReq", times=0))
            with pytest.raises(OutcomeUnknown, match="link was lost"):
                await session.submit(market_order())
            with pytest.raises(LinkLost, match="nothing was sent"):
                await session.submit(market_order("O-2"))
            broker.clear_faults()
            await recorder.until(lambda: len(recorder.of(LinkUp)) == 2)
            found = await session.find_order("O-1")
            assert found is not None
            assert found.order.status is OrderStatus.FILLED
            fills = [e for e in recorder.of(OrderChanged) if e.deal is not None]
            assert len(fills) == 1  # adopted after the reconnect, once
            position = [e for e in recorder.events if isinstance(e, PositionChanged)][-1].position
            assert position.units == D(10_000)
            kinds = [type(e).__name__ for e in recorder.events]
            assert kinds.index("LinkDown") < kinds.index("OrderChanged") < len(kinds) - 1 - kinds[::-1].index("LinkUp")

    run(main)


def test_a_close_without_an_answer_is_found_by_position_size_and_time(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            await session.submit(market_order())
            await recorder.until(lambda: "filled" in recorder.changes("O-1"))
            position_id = recorder.of(OrderChanged)[-1].position.position_id
            broker.add_fault(FaultRule(kind=FaultKind.CUT_AFTER, on="request", message="ClosePositionReq"))
            with pytest.raises(OutcomeUnknown):
                await session.close_position(position_id, D(10_000), "C-1")
            await recorder.until(lambda: len(recorder.of(LinkUp)) == 2)
            found = await session.find_order("C-1")
            assert found is not None
            assert (found.order.closing, found.order.client_order_id) == (True, "C-1")
            fill = next(e for e in recorder.of(OrderChanged) if e.deal is not None and e.order.closing)
            assert fill.order.client_order_id == fill.deal.client_order_id == "C-1"
            assert (await session.snapshot()).positions == ()

    run(main)


def test_an_order_that_never_arrived_is_not_found_and_not_invented(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            broker.add_fault(FaultRule(kind=FaultKind.CUT_BEFORE, on="request", message="NewOrderReq"))
            with pytest.raises(OutcomeUnknown):
                await session.submit(market_order())
            await recorder.until(lambda: len(recorder.of(LinkUp)) == 2)
            assert await session.find_order("O-1", since_ns=time.time_ns() - MINUTE_NS) is None
            assert recorder.changes() == []

    run(main)


def test_subscriptions_come_back_once_each_after_a_lost_link(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            await session.subscribe_quotes(["EURUSD"])
            for n in range(3):
                broker.add_fault(FaultRule(kind=FaultKind.CUT_AFTER, message="SpotEvent"))
                broker.push("EURUSD", f"1.1000{n + 1}", f"1.1001{n + 1}")
                await recorder.until(lambda n=n: len(recorder.of(LinkUp)) == n + 2)
            broker.clear_faults()
            recorder.events.clear()
            broker.push("EURUSD", "1.20000", "1.20010")
            await recorder.until(lambda: any(t.bid == 120_000 for t in recorder.of(Tick)))
            assert sum(t.bid == 120_000 for t in recorder.of(Tick)) == 1

    run(main)


def test_an_expired_token_is_refreshed_stored_and_then_used(broker: Sandbox) -> None:
    async def main() -> None:
        good = credentials_of(broker)
        store = MemoryStore(credentials_of(broker, access=Secret("an-expired-token")))
        async with connected(broker, store=store):
            assert [saved.refreshing for saved in store.saved] == [True, False]  # told before, kept after
            kept = store.saved[-1].tokens
            assert kept is not None
            assert kept.access not in (good.tokens.access, Secret("an-expired-token"))  # type: ignore[union-attr]
            assert kept.expires_ns > time.time_ns()

    run(main)


def test_a_token_that_still_lives_is_used_on_when_it_cannot_be_refreshed(broker: Sandbox) -> None:
    async def main() -> None:
        now_ns, day_ns = time.time_ns(), 86_400 * 1_000_000_000
        nearly_over = credentials_of(
            broker, refresh=Secret("used-up"), issued_ns=now_ns - 27 * day_ns, expires_ns=now_ns + 3 * day_ns
        )
        async with connected(broker, store=MemoryStore(nearly_over)) as (_, recorder):
            await recorder.until(lambda: recorder.of(Notice))
            (told,) = recorder.of(Notice)
            assert "ends soon and cannot be refreshed" in told.text
            assert "pepperstone auth login ctrader" in told.text
            assert not recorder.of(LinkDown)

    run(main)


def test_a_used_up_grant_says_to_log_in_again(broker: Sandbox) -> None:
    async def main() -> None:
        store = MemoryStore(credentials_of(broker, access=Secret("expired"), refresh=Secret("used-up")))
        session = session_of(broker, store=store)
        with pytest.raises(AuthenticationFailed, match="pepperstone auth login ctrader"):
            await session.connect(Recorder())

    run(main)


def test_the_wrong_account_and_the_wrong_environment_are_refused_by_name(broker: Sandbox) -> None:
    async def main() -> None:
        with pytest.raises(ConfigurationError, match="not among those"):
            await session_of(broker, login=9999).connect(Recorder())
        with pytest.raises(ConfigurationError, match="is a demo account and the settings say live"):
            await session_of(broker, environment=Environment.LIVE).connect(Recorder())

    run(main)


def test_a_stranger_and_a_closed_port_end_with_a_clear_error(broker: Sandbox, tmp_path: Path) -> None:
    async def main() -> None:
        session = session_of(broker)
        session.endpoint = Endpoint(host="localhost", port=broker.ports.demo)  # without the sandbox's authority
        with pytest.raises(CertificateRefused, match="nothing was sent"):
            await session.connect(Recorder())
        for _ in range(2):  # and the second try is told the same
            session.endpoint = Endpoint(host="localhost", port=broker.ports.demo, ca_file=tmp_path / "missing.pem")
            with pytest.raises(ConfigurationError, match=r"missing\.pem"):
                await session.connect(Recorder())
        closed = session_of(broker, port=1, connect_timeout_s=1.0)
        began = time.monotonic()
        with pytest.raises(ConnectFailed, match="localhost:1"):
            await closed.connect(Recorder())
        assert time.monotonic() - began < 6

    run(main)


def test_two_accounts_share_one_link_and_keep_apart(tmp_path: Path) -> None:
    accounts = [{"id": 1001, "login": 5001}, {"id": 1002, "login": 5002, "balance": 777}]
    with sandbox(tmp_path, accounts=accounts) as broker:
        broker.push("EURUSD", "1.10000", "1.10010")

        async def main() -> None:
            async with connected(broker) as (one, first), connected(broker, login=5002) as (two, second):
                assert (await two.snapshot()).account.balance == D(777)
                assert broker.call(lambda: len(broker.venue.connections)) == 1
                await one.submit(market_order())
                await first.until(lambda: "filled" in first.changes())
                assert second.changes() == []
                await two.close()
                await one.submit(market_order("O-2"))  # the link lives while somebody uses it
            assert broker.violations() == []

        run(main)


def test_a_session_that_is_told_to_close_is_gone_and_says_so(broker: Sandbox) -> None:
    async def main() -> None:
        session, recorder = session_of(broker), Recorder()
        await session.connect(recorder)
        began = time.monotonic()
        await session.close()
        await session.close()
        assert time.monotonic() - began < 5
        with pytest.raises(LinkLost, match="not connected"):
            await session.submit(market_order())
        assert recorder.of(LinkDown) == []  # we left; nothing was lost
        await session.connect(recorder)
        await session.close()

    run(main)


def test_f96_a_connect_that_is_given_up_before_it_has_begun_leaves_no_link(broker: Sandbox) -> None:
    network, busy = NetworkThread.shared(), threading.Event()

    async def main() -> None:
        session = session_of(broker)
        network.call(busy.wait)  # the network thread takes the account in later than the caller waits
        connecting = asyncio.ensure_future(session.connect(Recorder()))
        while session._mailbox is None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await session.close()
        busy.set()
        assert (
            await asyncio.wrap_future(network.run(lambda: [key for key in _hubs if key[0] == session.endpoint])) == []
        )

    try:
        run(main)
    finally:
        busy.set()


def test_f48_a_blocked_loop_stops_no_heartbeat_and_loses_no_fill(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker, timings=Timings(heartbeat_s=0.05)) as (session, recorder):
            await session.submit(market_order())
            before = broker.journal.counts.get(HEARTBEAT, 0)
            end = time.monotonic() + 10
            # The loop stands still here, as under a strategy that computes for seconds.
            while broker.journal.counts.get(HEARTBEAT, 0) < before + 5:
                assert time.monotonic() < end, "heartbeats stopped with the loop"
            await recorder.until(lambda: "filled" in recorder.changes("O-1"))
            assert recorder.of(LinkDown) == []

    run(main)
