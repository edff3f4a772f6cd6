"""Tokens, limits and accounts (F39 to F47, F69, F70) on a real node, judged by the ledger."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import PositionId

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.common.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ConnectFailed,
    CredentialsError,
    LinkLost,
)
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.oauth import EXCHANGE_S
from pepperstone_adapter.ctrader.client.protocol import Timings
from pepperstone_adapter.ctrader.client.renewal import renew_over_http
from pepperstone_adapter.sandbox.ledger import Access
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.ctrader import MemoryStore, Recorder, credentials_of, session_of
from tests.kit.ctrader_node import ACCOUNT_ID, LOGIN, sandbox
from tests.kit.faults import SHORT, Trader, account, entries, requests, rule, run_live
from tests.kit.node import EURUSD, SELL, Bench, units
from tests.kit.requests import market_order

D = Decimal


def with_store(broker: Sandbox, store: MemoryStore):
    return lambda: session_of(broker, login=int(LOGIN), store=store, timings=SHORT, connect_timeout_s=20.0)


def expire(broker: Sandbox, store: MemoryStore) -> None:
    """The access token in use runs out now, and the venue ends its sessions."""
    credentials = store.credentials
    assert credentials is not None
    assert credentials.tokens is not None
    access = credentials.tokens.access.reveal()

    def run_out() -> None:
        grant = broker.venue.tokens.grant(access)
        assert grant is not None
        broker.venue.tokens.expire(access, broker.clock.now_ns())
        broker.venue.end_sessions(grant, "Access token expired")

    broker.call(run_out)


def test_F39_a_token_that_expired_before_the_start_is_refreshed_once(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        await Trader(b).opened()

    with sandbox(tmp_path) as broker:
        store = MemoryStore(credentials_of(broker, access=Secret("expired-long-ago")))
        run_live(tmp_path, broker, script, session=with_store(broker, store))
        assert requests(broker, "RefreshTokenReq") == 1
        assert [saved.refreshing for saved in store.saved] == [True, False]


def test_F40_a_token_that_ends_while_orders_are_open_touches_no_order(tmp_path: Path) -> None:
    stores: list[MemoryStore] = []

    async def script(b: Bench) -> None:
        t = Trader(b)
        resting, near = await t.working("1.05000"), await t.working("1.08400")
        _, ticket = await t.opened()
        for n in range(3):
            expire(b.sandbox, stores[0])
            if n == 1:
                b.sandbox.push("EURUSD", "1.08390", "1.08397")  # a fill while nobody listens
            await t.down_and_up(n + 1)
        await t.reach(near, "FILLED")
        assert t.status(resting) == "ACCEPTED"
        assert b.cache.position(PositionId(ticket)).is_open
        assert requests(b.sandbox, "RefreshTokenReq") == 3
        assert requests(b.sandbox, "CancelOrderReq") == 0

    with sandbox(tmp_path) as broker:
        stores.append(MemoryStore(credentials_of(broker)))
        run_live(tmp_path, broker, script, session=with_store(broker, stores[0]))


def test_F40_a_grant_taken_back_for_good_ends_in_words_not_in_a_loop(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        await t.working()
        b.sandbox.call(b.sandbox.venue.invalidate_token, b.sandbox.credentials.access_token)
        await b.until(lambda: b.connection.fault is not None, "an end for good")
        assert "auth login" in b.connection.fault
        assert requests(b.sandbox, "RefreshTokenReq") == 1
        await t.reach(t.market(), "DENIED")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script, judged=False)
        assert len(entries(account(broker))) == 1


class SlowDisk(MemoryStore):
    """Looks at the broker while it keeps a new pair: whoever uses the token too early is seen."""

    broker: Sandbox
    used_early: int | None = None

    def save(self, credentials: Any) -> None:
        if not credentials.refreshing:
            before = requests(self.broker, "AccountAuthReq")
            end = time.monotonic() + 0.5
            while requests(self.broker, "AccountAuthReq") == before and time.monotonic() < end:
                pass  # the disk is slow
            self.used_early = requests(self.broker, "AccountAuthReq") - before
        super().save(credentials)


def test_F41_a_new_token_is_kept_before_it_is_used(tmp_path: Path) -> None:
    async def main() -> None:
        session = session_of(broker, login=int(LOGIN), store=store)
        await session.connect(Recorder())
        await session.close()

    with sandbox(tmp_path) as broker:
        store = SlowDisk(credentials_of(broker, access=Secret("expired")))
        store.broker = broker
        asyncio.run(main())
        assert store.used_early == 0


class LateDisk(MemoryStore):
    """Keeps a renewed pair only once the node, its session gone, wants the store too: the worst order of the two."""

    wanted = 0

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        self.wanted += 1
        with super().lock():
            yield

    def save(self, credentials: Any) -> None:
        end = time.monotonic() + 5.0
        while not credentials.refreshing and self.wanted < 2 and time.monotonic() < end:
            pass
        super().save(credentials)


@pytest.mark.parametrize(
    ("kind", "tries"),
    [
        ("error", 3),  # HTTP 500
        ("cut_before", 3),
        pytest.param("silence", 3, marks=pytest.mark.slow),  # ten seconds each
        ("garbage", 1),  # a page of HTML
        ("throttle", 1),
        ("swap", 1),  # a redirect
    ],
)
def test_F43_a_broken_token_page_costs_a_running_node_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, tries: int
) -> None:
    """`auth refresh` beside a node. A try more than `tries` would have worked, and the login would be another one."""
    caplog.set_level("DEBUG")

    async def script(b: Bench) -> None:
        t = Trader(b)
        order, (_, ticket) = await t.working(), await t.opened()
        before = store.load()
        assert before is not None
        page = f"http://127.0.0.1:{b.sandbox.ports.oauth}"
        b.sandbox.add_fault(rule(kind, "OAuthToken", times=tries, seconds=EXCHANGE_S + 0.5))
        with pytest.raises((ConnectFailed, CredentialsError)) as refused:
            await asyncio.to_thread(renew_over_http, store, before, page)
        assert b.sandbox.venue.faults.pending == ()
        assert store.credentials is not None
        assert store.credentials.tokens == before.tokens
        assert b.connection.link_losses == 0
        await t.opened()
        store.wanted = 0
        await asyncio.to_thread(renew_over_http, store, store.credentials, page)  # ends the old token's sessions
        await t.down_and_up()
        assert t.status(order) == "ACCEPTED"
        assert b.cache.position(PositionId(ticket)).is_open
        assert requests(b.sandbox, "RefreshTokenReq") == 0  # the new pair was read, not asked for
        said = f"{refused.value!r} {refused.value.__cause__!r} {caplog.text}"
        assert "sandbox-secret" not in said
        assert "sandbox-refresh" not in said

    with sandbox(tmp_path) as broker:
        store = LateDisk(credentials_of(broker))
        run_live(tmp_path, broker, script, session=with_store(broker, store))


@pytest.mark.parametrize("kind", ["swallow", "error", "throttle"])
def test_F43_a_refresh_that_fails_on_the_link_is_tried_again_at_a_pace(tmp_path: Path, kind: str) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order, near = await t.working("1.05000"), await t.working("1.08400")
        text = "UNKNOWN_ERROR" if kind == "error" else ""
        b.sandbox.add_fault(rule(kind, "RefreshTokenReq", times=2, text=text))
        expire(b.sandbox, store)
        b.sandbox.push("EURUSD", "1.08390", "1.08397")  # a fill while nobody listens
        await t.down_and_up()
        await t.reach(near, "FILLED")
        assert t.status(order) == "ACCEPTED"
        asked_ns = [frame.ts_ns for frame in b.sandbox.call(b.sandbox.journal.requests, "RefreshTokenReq")]
        assert len(asked_ns) == 3
        assert all(then - one > 900_000_000 for one, then in pairwise(asked_ns))  # after one second, after two

    with sandbox(tmp_path) as broker:
        store = MemoryStore(credentials_of(broker))
        run_live(tmp_path, broker, script, session=with_store(broker, store))


def test_F44_a_throttled_order_is_refused_with_the_reason_and_never_sent_again(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("throttle", "NewOrderReq", seconds=1))
        order = t.market()
        await t.reach(order, "REJECTED")
        assert "BLOCKED_PAYLOAD_TYPE" in b.probe.events[-1].reason
        assert requests(b.sandbox, "NewOrderReq") == 1

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F44_throttled_reads_wait_as_told_and_trading_goes_on(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.sandbox.add_fault(rule("throttle", "DealListReq", seconds=3))
        before = requests(b.sandbox, "DealListReq")
        await b.until(lambda: requests(b.sandbox, "DealListReq") > before, "a throttled read")
        await t.opened()
        assert requests(b.sandbox, "DealListReq") == before + 1  # the pause is of reads of that kind alone
        await b.until(lambda: requests(b.sandbox, "DealListReq") > before + 1, "the read after the pause")
        asked_ns = [frame.ts_ns for frame in b.sandbox.call(b.sandbox.journal.requests, "DealListReq")][before:]
        assert asked_ns[1] - asked_ns[0] >= 3_000_000_000

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F45_a_burst_stays_below_the_limit_in_order_and_a_cancel_overtakes_it(tmp_path: Path) -> None:
    """The sandbox, in a process of its own, refuses the 51st request of any sliding second."""
    from pepperstone_adapter.broker.orders import OrderRequest, OrderStatus, OrderType
    from pepperstone_adapter.sandbox.process import start_process
    from pepperstone_adapter.sandbox.server import JOURNAL_NAME, Credentials, settings_for_tests

    def limit(n: int) -> OrderRequest:
        return market_order(f"O-{n}", type=OrderType.LIMIT, units=D(1_000), limit_price=D("1.05"))

    settings = settings_for_tests(tmp_path, limits={"enabled": True, "demo_order_caps": False}, journal=True)
    with start_process(settings) as process:
        process.push("EURUSD", "1.08500", "1.08507")
        process.credentials = Credentials()  # type: ignore[attr-defined]
        there: list[Any] = []

        async def main() -> None:
            recorder = Recorder()
            session = session_of(process, login=int(LOGIN))  # type: ignore[arg-type]
            await session.connect(recorder)
            resting = await session.submit(limit(0))
            burst = [asyncio.ensure_future(session.submit(limit(n))) for n in range(1, 121)]
            await recorder.until(lambda: len(recorder.changes()) > 5)
            there.extend(process.books(ACCOUNT_ID)["orders"])
            await session.cancel(resting.order_id, "EURUSD")
            states = await asyncio.gather(*burst)
            assert {state.status for state in states} == {OrderStatus.ACCEPTED}
            await session.close()

        asyncio.run(main())
        orders = process.books(ACCOUNT_ID)["orders"]
        assert [o["client_id"] for o in orders] == [f"O-{n}" for n in range(121)]
        assert orders[0]["status"] == "canceled"
    frames = [json.loads(line) for line in (tmp_path / JOURNAL_NAME).read_text().splitlines()]
    asked = [f["name"] for f in frames if f["direction"] == "in" and f["name"] in ("NewOrderReq", "CancelOrderReq")]
    # behind what a second lets through and was on its way when it was asked for, before all that waited
    assert asked.index("CancelOrderReq") <= len(there) + 50


def test_F46_reading_history_does_not_hold_up_an_order(tmp_path: Path) -> None:
    from pepperstone_adapter.broker.market import BarPeriod

    async def script(b: Bench) -> None:
        t = Trader(b)
        now = b.sandbox.clock.now_ns()
        reads = [
            asyncio.ensure_future(b.connection.session.history_bars("EURUSD", BarPeriod.M1, now - 10**15, now))
            for _ in range(30)
        ]
        await b.until(lambda: requests(b.sandbox, "GetTrendbarsReq"), "the first read")
        await t.opened()
        assert not all(read.done() for read in reads)  # the five a second are still being worked off
        for read in reads:
            read.cancel()

    with sandbox(tmp_path, limits={"enabled": True}) as broker:
        run_live(tmp_path, broker, script, timings=Timings())


def test_F69_another_account_or_environment_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async def refused(session: Any, error: type[Exception], words: str) -> None:
        with pytest.raises(error, match=words):
            await session.connect(Recorder())
        await session.close()

    async def main(broker: Sandbox) -> None:
        await refused(session_of(broker, login=9999), ConfigurationError, "not among those")
        live = session_of(broker, login=int(LOGIN), environment=Environment.LIVE)
        await refused(live, ConfigurationError, "settings say live")
        # a demo account on the port of the live accounts
        stray = session_of(broker, login=int(LOGIN), port=broker.ports.live, connect_timeout_s=5.0)
        await refused(stray, Exception, "CANT_ROUTE_REQUEST")

    with sandbox(tmp_path) as broker:
        asyncio.run(main(broker))
        assert account(broker).orders == {}


def test_F69_an_account_that_is_switched_below_us_is_not_traded(tmp_path: Path) -> None:
    """After the link is back the venue routes the account elsewhere: no order goes out until it is there again."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        await t.working()
        b.sandbox.add_fault(rule("error", "AccountAuthReq", times=2, text="CANT_ROUTE_REQUEST"))
        b.sandbox.call(b.sandbox.venue.disconnect_clients, "moved")
        await b.until(lambda: requests(b.sandbox, "AccountAuthReq") >= 2, "a refused sign-in")
        await t.reach(t.market(), "DENIED")
        await t.down_and_up()

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
        assert len(entries(account(broker))) == 1


def test_F70_money_that_is_not_there_is_a_refusal_with_the_venues_words(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = t.market(n=1_000_000)  # 1,085,070 at leverage 30 wants 36,169 of margin; the account has 10,000
        await t.reach(order, "REJECTED")
        assert "NOT_ENOUGH_MONEY" in b.probe.events[-1].reason
        await t.opened()

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("access", [Access.CLOSE_ONLY, Access.NO_TRADING])
def test_F70_an_account_that_may_no_longer_trade_says_so(tmp_path: Path, access: Access) -> None:
    from dataclasses import replace

    async def script(b: Bench) -> None:
        t = Trader(b)
        _, ticket = await t.opened()
        ledger = b.sandbox.ledger
        changed = replace(account(b.sandbox).terms, access=access)
        b.sandbox.call(ledger.change_account, changed, b.sandbox.clock.now_ns())
        order = t.market()
        await b.until(lambda: t.status(order) in ("REJECTED", "DENIED"), "a refusal")
        close = b.probe.order_factory.market(EURUSD, SELL, units(10_000), reduce_only=True)
        b.probe.submit_order(close, position_id=PositionId(ticket))
        if access is Access.CLOSE_ONLY:
            await t.reach(close, "FILLED")
        else:
            await b.until(lambda: t.status(close) in ("REJECTED", "DENIED"), "a refusal of the close")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F96_a_session_that_is_closed_in_any_state_is_gone_within_five_seconds(tmp_path: Path) -> None:
    async def main(broker: Sandbox) -> None:
        for message in ("ApplicationAuthReq", "AccountAuthReq", "ReconcileReq", "RefreshTokenReq"):
            broker.clear_faults()
            broker.add_fault(rule("swallow", message, times=0))
            access = Secret("expired") if message == "RefreshTokenReq" else Secret(broker.credentials.access_token)
            store = MemoryStore(credentials_of(broker, access=access))
            session = session_of(broker, login=int(LOGIN), store=store, connect_timeout_s=60.0)
            before = requests(broker, message)
            connecting = asyncio.ensure_future(session.connect(Recorder()))
            while requests(broker, message) == before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            started = time.monotonic()
            connecting.cancel()
            await session.close()
            assert time.monotonic() - started < 5, message
            with pytest.raises((asyncio.CancelledError, LinkLost, AuthenticationFailed)):
                await connecting

    with sandbox(tmp_path) as broker:
        asyncio.run(main(broker))
        assert account(broker).orders == {}
