"""Faults of the transport on a real node over real TLS (F01 to F13), judged by the sandbox's ledger.

The wire is broken at a chosen message; the node never learns how. See README.md of this folder for the whole matrix.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
import trustme
from nautilus_trader.model import OrderType, PositionId

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.common.backoff import Backoff
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.process import start_process
from pepperstone_adapter.sandbox.server import _Link, settings_for_tests
from tests.kit.ctrader import session_of
from tests.kit.ctrader_node import ACCOUNT_ID, LOGIN, PRICES, sandbox
from tests.kit.faults import SHORT, Trader, account, entries, nothing_left_behind, requests, rule, run_live
from tests.kit.node import BUY, EURUSD, Bench, px, units
from tests.kit.tls_server import expired, self_signed, server_context

ENDED = {"Rejected", "Canceled", "Expired", "Denied", "CancelRejected", "ModifyRejected"}


def ended(b: Bench) -> set[str]:
    return ENDED & set(b.probe.names())


@contextmanager
def hung_up(b: Bench) -> Iterator[None]:
    """Close the broker's ports and every link: whoever connects is refused. No other program gets the demo port."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def close() -> None:
        for server in b.sandbox._servers:
            server.close()
        kept.bind(("127.0.0.1", b.sandbox.ports.demo))
        b.sandbox.venue.disconnect_clients("gone")

    with kept:
        b.sandbox.call(close)
        yield


def answer_again(b: Bench, context: ssl.SSLContext) -> tuple[asyncio.Server, list[_Link]]:
    """Open the demo port with a certificate of choice; returns its listener, and every link that was ever taken."""
    taken: list[_Link] = []

    def link() -> _Link:
        taken.append(_Link(b.sandbox.venue, Environment.DEMO))
        return taken[-1]

    serving = b.sandbox._serve(link, "127.0.0.1", b.sandbox.ports.demo, context)
    asyncio.run_coroutine_threadsafe(serving, b.sandbox.loop).result(10)
    return b.sandbox._servers[-1], taken


def test_F01_an_order_for_a_dead_link_is_denied_and_never_sent(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("maintenance", "ApplicationAuthReq", times=1, seconds=2))  # keeps it away for a while
        b.sandbox.call(b.sandbox.venue.disconnect_clients, "test")
        await b.until(lambda: not b.connection.up, "the link down")
        order = t.market()
        await b.names(order.client_order_id, "Initialized", "Denied")
        assert "link is down" in b.probe.events[-1].reason
        await t.down_and_up()
        assert requests(b.sandbox, "NewOrderReq") == 0
        await t.opened()

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
        assert len(entries(account(broker))) == 1


@pytest.mark.parametrize("count", [1, 5])
def test_F02_a_link_lost_after_the_order_arrived_ends_in_one_order_adopted(tmp_path: Path, count: int) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("cut_after", "NewOrderReq", after=count - 1))
        orders = [t.market() for _ in range(count)]
        await t.down_and_up()
        for order in orders:
            await t.reach(order, "FILLED")
        assert requests(b.sandbox, "NewOrderReq") == count  # O1 on the wire too: nothing was sent twice
        assert ended(b) == set()

    with sandbox(tmp_path) as broker, nothing_left_behind():
        run_live(tmp_path, broker, script)
        assert len(entries(account(broker))) == count


def test_F02_a_link_lost_before_the_order_arrived_is_settled_by_reading_and_never_sent_again(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("cut_before", "NewOrderReq"))
        order = t.market()
        await t.down_and_up()
        assert t.status(order) == "SUBMITTED"  # no verdict before the reads are complete
        await t.reach(order, "REJECTED")
        assert "never reached the broker" in b.probe.events[-1].reason

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
        assert entries(account(broker)) == []


def test_F03_a_link_lost_between_acceptance_and_fill_gives_the_fill_once(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("cut_after", "ExecutionEvent", on="reply", execution="ORDER_ACCEPTED"))
        order = t.market()
        await t.down_and_up()
        await t.reach(order, "FILLED")
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted", "Filled")

    with sandbox(tmp_path, behaviour={"execution_delay_ms": 50.0}) as broker:
        run_live(tmp_path, broker, script)


def test_F03_a_bracket_that_fills_while_the_link_is_down_gets_its_exact_levels_afterwards(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("cut_after", "ExecutionEvent", on="reply", execution="ORDER_ACCEPTED"))
        bracket = b.probe.order_factory.bracket(
            EURUSD, BUY, units(10_000), sl_trigger_price=px("1.08000"), tp_price=px("1.09000")
        )
        b.probe.submit_order_list(bracket)
        await b.until(lambda: not b.connection.up, "the lost link")
        # filled 40 points higher than asked, so the distances miss by 40
        b.sandbox.push("EURUSD", "1.08540", "1.08547")
        b.sandbox.advance(0.2)
        await t.reach(bracket[0], "FILLED")
        await b.until(
            lambda: (
                [(p.stop_loss, p.take_profit) for p in account(b.sandbox).positions.values()]
                == [(Decimal("1.08000"), Decimal("1.09000"))]
            ),
            "exact levels",
        )

    with sandbox(tmp_path, TestClock(time.time_ns()), behaviour={"execution_delay_ms": 200.0}) as broker:
        run_live(tmp_path, broker, script)


def test_F03_a_bracket_that_opens_and_closes_while_the_link_is_down_leaves_no_level_behind(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("cut_after", "NewOrderReq"))
        entry, stop, profit = b.probe.order_factory.bracket(
            EURUSD,
            BUY,
            units(10_000),
            entry_order_type=OrderType.LIMIT,
            entry_price=px("1.08400"),
            sl_trigger_price=px("1.08000"),
            tp_price=px("1.09000"),
        )
        b.probe.submit_order_list([entry, stop, profit])
        await b.until(lambda: not b.connection.up, "the lost link")
        b.sandbox.push("EURUSD", "1.08390", "1.08397")
        b.sandbox.push("EURUSD", "1.09010", "1.09017")
        await t.reach(entry, "FILLED")
        await t.reach(profit, "FILLED")
        await t.reach(stop, "CANCELED")
        assert b.cache.orders_open() == []

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("execution", ["ORDER_ACCEPTED", "ORDER_FILLED"])
def test_F04_half_an_execution_frame_is_thrown_away_and_the_fill_comes_once(tmp_path: Path, execution: str) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("truncate", "ExecutionEvent", on="reply", execution=execution))
        order = t.market()
        await t.down_and_up()
        await t.reach(order, "FILLED")
        assert ended(b) == set()

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("cut", ["cut_before", "cut_after"])
def test_F05_a_cancel_whose_link_was_lost_says_what_the_broker_says(tmp_path: Path, cut: str) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working()
        b.sandbox.add_fault(rule(cut, "CancelOrderReq"))
        b.probe.cancel_order(order.client_order_id)
        await b.until(lambda: t.status(order) == "PENDING_CANCEL", "the cancel under way")
        await t.down_and_up()
        if cut == "cut_after":
            await t.reach(order, "CANCELED")
        else:  # it never arrived: after complete reads the order is working again, and can be cancelled
            await b.until(lambda: "CancelRejected" in b.probe.names(order.client_order_id), "the answer")
            await t.reach(order, "ACCEPTED")
            b.probe.cancel_order(order.client_order_id)
            await t.reach(order, "CANCELED")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("cut", ["cut_before", "cut_after"])
def test_F06_an_amend_whose_link_was_lost_leaves_one_order_as_the_broker_has_it(tmp_path: Path, cut: str) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working("1.05000")
        b.sandbox.add_fault(rule(cut, "AmendOrderReq"))
        b.probe.modify_order(order.client_order_id, price=px("1.06000"))
        await b.until(lambda: t.status(order) == "PENDING_UPDATE", "the amend under way")
        await t.down_and_up()
        await t.reach(order, "ACCEPTED")
        wanted = "1.06000" if cut == "cut_after" else "1.05000"
        await b.until(lambda: str(b.cache.order(order.client_order_id).price) == wanted, f"a price of {wanted}")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
        assert len(entries(account(broker))) == 1


def test_F07_a_silent_peer_is_found_and_what_happened_meanwhile_is_caught_up(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working("1.08400")
        b.sandbox.add_fault(rule("silence", "SpotEvent", on="reply"))
        b.sandbox.push("EURUSD", "1.08390", "1.08397")  # fills the order; the node hears nothing of it
        await t.down_and_up()
        await t.reach(order, "FILLED")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F07_a_frozen_broker_process_is_left_within_the_inbound_deadline(tmp_path: Path) -> None:
    import os
    import signal

    from pepperstone_adapter.broker.events import LinkDown, LinkUp
    from pepperstone_adapter.common.secrets import Secret
    from pepperstone_adapter.ctrader.client.tokens import Application, Credentials, Tokens
    from tests.kit.ctrader import MemoryStore, Recorder

    with start_process(settings_for_tests(tmp_path / "sandbox")) as process:
        for symbol, (bid, ask) in PRICES.items():
            process.push(symbol, bid, ask)
        pid = process._process.pid
        process.credentials = None  # type: ignore[attr-defined]
        store = MemoryStore(
            Credentials(
                application=Application("sandbox-client", Secret("sandbox-secret")),
                tokens=Tokens(access=Secret("sandbox-access"), refresh=Secret("sandbox-refresh")),
            )
        )

        async def main() -> None:
            recorder = Recorder()
            session = session_of(process, login=int(LOGIN), store=store, timings=SHORT)  # type: ignore[arg-type]
            await session.connect(recorder)
            await recorder.until(lambda: recorder.of(LinkUp))
            os.kill(pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                await recorder.until(lambda: recorder.of(LinkDown))
                # a twelfth of what life has; a second for the machine
                assert time.monotonic() - began < SHORT.silent_s + 1.0
                assert "said nothing" in recorder.of(LinkDown)[0].reason
            finally:
                os.kill(pid, signal.SIGCONT)
            await recorder.until(lambda: len(recorder.of(LinkUp)) == 2)
            await session.close()

        asyncio.run(main())
        assert process.books(ACCOUNT_ID)["orders"] == []


def test_F08_a_broker_that_is_away_is_asked_ever_more_seldom_and_found_again(tmp_path: Path) -> None:
    """The port refuses for a while: trading stays shut, the node lives, and the next attempt after it is back works."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working()
        with hung_up(b):
            await b.until(lambda: not b.connection.up, "the link down")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", b.sandbox.ports.demo), 1)
            denied = t.market()
            await t.reach(denied, "DENIED")
            assert t.status(order) == "ACCEPTED"
            answer_again(b, b.sandbox._context)
        await t.down_and_up()
        assert t.status(order) == "ACCEPTED"
        await t.opened()

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("fault", ["self-signed", "expired", "wrong host", "unknown authority", "TLS 1.1"])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_F09_a_stranger_on_the_brokers_port_is_told_nothing_and_not_stormed(tmp_path: Path, fault: str) -> None:
    """Behind the false certificate stands the broker itself: a node that took it would sign in and trade."""
    ca = trustme.CA()

    context = {
        "self-signed": lambda: self_signed("localhost"),
        "expired": lambda: server_context(expired(ca, "localhost")),
        "wrong host": lambda: server_context(ca.issue_cert("not-localhost.example")),
        "unknown authority": lambda: server_context(trustme.CA().issue_cert("localhost")),
        "TLS 1.1": lambda: server_context(ca.issue_cert("localhost")),
    }[fault]()
    if fault == "TLS 1.1":
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1

    async def script(b: Bench) -> None:
        t = Trader(b)
        order, (_, ticket) = await t.working("1.08400"), await t.opened()
        with hung_up(b):
            stranger, taken = answer_again(b, context)
            await b.until(lambda: not b.connection.up, "the link down")
            b.sandbox.push("EURUSD", "1.08390", "1.08397")  # fills the order; the node is not there to hear of it
            end_ns = b.sandbox.clock.now_ns() + 3_000_000_000
            await t.reach(t.market(), "DENIED")
            await b.until(lambda: b.sandbox.clock.now_ns() > end_ns, "three seconds of a stranger")
            assert requests(b.sandbox, "ApplicationAuthReq") == 1  # nothing was said to it
            assert 1 <= len(taken) <= 4  # after about 0.5, 1.5 and 3.5 s: no storm
            assert t.status(order) == "ACCEPTED"
            if fault != "TLS 1.1":
                assert b.client.halted is not None
                assert "certificate" in b.client.halted
            b.sandbox.call(stranger.close)
            answer_again(b, b.sandbox._context)
        await t.down_and_up()
        await t.reach(order, "FILLED")
        assert b.cache.position(PositionId(ticket)).is_open

    with sandbox(tmp_path) as broker:
        with broker.ca_file.open("ab") as trusted:  # both authorities: what is wrong is the one thing named
            trusted.write(ca.cert_pem.bytes())
        run_live(tmp_path, broker, script)
        assert len(entries(account(broker))) == 2


def test_F10_links_that_flap_leave_one_subscription_and_nothing_else(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        await t.opened()
        for n in range(50):
            b.sandbox.call(b.sandbox.venue.disconnect_clients, f"flap {n}")
            await t.down_and_up(n + 1)
        subscribed = b.sandbox.call(
            lambda: [list(s.spots) for c in b.sandbox.venue.connections for s in c.subscriptions.values()]
        )
        assert [len(names) for names in subscribed] == [len(b.connection.base_symbols)]
        b.probe.quotes.clear()
        b.sandbox.push("EURUSD", "1.09000", "1.09007")
        b.sandbox.push("EURUSD", "1.09001", "1.09008")
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.09001" if b.probe.quotes else False, "the price")
        bids = [str(q.bid_price) for q in b.probe.quotes]
        assert bids.count("1.09000") <= 2  # bid and ask come one after the other at most
        assert bids.count("1.09001") <= 2

    with sandbox(tmp_path) as broker, nothing_left_behind():
        at_once = Backoff(initial_s=0.01, factor=1.0, max_s=0.01, jitter=0.0)
        run_live(
            tmp_path,
            broker,
            script,
            session=lambda: session_of(broker, login=int(LOGIN), timings=SHORT, reconnect=at_once),
        )
        assert requests(broker, "ApplicationAuthReq") == 51


def test_F11_an_outage_settles_no_submit_cancel_or_amend(tmp_path: Path) -> None:
    """All three open questions at once, an outage longer than every deadline, and the truth only after it."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        to_cancel, to_amend = await t.working("1.05000"), await t.working("1.06000")
        end_ns = b.sandbox.clock.now_ns() + 3_000_000_000
        for message in ("NewOrderReq", "CancelOrderReq", "AmendOrderReq"):
            b.sandbox.add_fault(rule("mute", message))
        sent = t.market()
        b.probe.cancel_order(to_cancel.client_order_id)
        b.probe.modify_order(to_amend.client_order_id, price=px("1.06500"))
        await b.until(lambda: requests(b.sandbox, "AmendOrderReq") == 1, "all three at the broker")
        await b.until(lambda: requests(b.sandbox, "NewOrderReq") == 3, "all three at the broker")
        b.sandbox.call(b.sandbox.venue.start_maintenance, end_ns)
        b.sandbox.call(b.sandbox.venue.disconnect_clients, "outage")
        await b.until(lambda: not b.connection.up, "the link down")
        # longer than answer, audit and give-up deadlines together would have needed
        await b.until(lambda: b.sandbox.clock.now_ns() > end_ns, "the end of the outage")
        assert t.status(sent) == "SUBMITTED"
        assert t.status(to_cancel) == "PENDING_CANCEL"
        assert t.status(to_amend) == "PENDING_UPDATE"
        assert ended(b) == set()
        b.sandbox.call(b.sandbox.venue.end_maintenance)
        await t.down_and_up()
        await t.reach(sent, "FILLED")
        await t.reach(to_cancel, "CANCELED")
        await t.reach(to_amend, "ACCEPTED")
        assert str(b.cache.order(to_amend.client_order_id).price) == "1.06500"

    with sandbox(tmp_path) as broker:
        # an audit between the requests and the outage would find what they did
        run_live(tmp_path, broker, script, audit_interval_s=3600.0)
        assert requests(broker, "NewOrderReq") == 3


def test_F12_a_request_that_is_never_answered_is_asked_about_and_found(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("mute", "NewOrderReq", times=0))
        orders = [t.market() for _ in range(3)]
        for order in orders:
            await t.reach(order, "FILLED")
        assert b.connection.link_losses == 0  # a healthy link all the time
        assert requests(b.sandbox, "NewOrderReq") == 3
        assert ended(b) == set()

    with sandbox(tmp_path) as broker:
        run_live(
            tmp_path, broker, script, audit_interval_s=3600.0
        )  # the audit might find them before they are asked for


def test_F12_a_request_the_broker_never_saw_stays_open_until_complete_reads_prove_it(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("swallow", "NewOrderReq"))
        order = t.market()
        # No verdict while reads fail: a failed question is no answer (M8).
        b.sandbox.add_fault(rule("error", "OrderListReq", times=2, text="INTERNAL_SERVER_ERROR"))
        await b.until(lambda: requests(b.sandbox, "OrderListReq") >= 2, "two questions that failed")
        assert t.status(order) == "SUBMITTED"
        await t.reach(order, "REJECTED")
        assert requests(b.sandbox, "NewOrderReq") == 1

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F12_reads_that_fail_prove_nothing(tmp_path: Path) -> None:
    """The order is live and unanswered, and no question about it succeeds for longer than it may be unknown."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        questions = ("ReconcileReq", "OrderListReq", "OrderDetailsReq", "DealListReq")
        for message in questions:
            b.sandbox.add_fault(rule("error", message, times=0, text="INTERNAL_SERVER_ERROR"))
        b.sandbox.add_fault(rule("mute", "NewOrderReq"))
        order = t.market()
        await b.until(lambda: account(b.sandbox).deals, "the fill nobody was told of")
        asked = sum(requests(b.sandbox, message) for message in questions)
        await b.until(
            lambda: sum(requests(b.sandbox, message) for message in questions) >= asked + 8, "questions that failed"
        )
        assert t.status(order) == "SUBMITTED"
        b.sandbox.clear_faults()
        await t.reach(order, "FILLED")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script, give_up_after_s=0.3)


def test_F13_answers_after_the_deadline_reach_their_own_orders(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        # Each acceptance comes later than the deadline, and they overtake each other.
        for n in range(6):
            b.sandbox.add_fault(
                rule("delay", "ExecutionEvent", on="reply", execution="ORDER_ACCEPTED", seconds=1.2 - n * 0.1)
            )
        orders = [t.limit(f"1.0500{n}", 1_000 * (n + 1)) for n in range(6)]
        for order in orders:
            await t.reach(order, "ACCEPTED")
        by_id = {o.client_id: str(o.order_id) for o in entries(account(b.sandbox))}
        for order in orders:
            known = b.cache.order(order.client_order_id)
            assert str(known.venue_order_id) == by_id[str(order.client_order_id)]

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
