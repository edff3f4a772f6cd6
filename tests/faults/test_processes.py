"""Processes that are killed, stopped and interrupted (F41, F82 to F96): real processes, the sandbox is the judge."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import OrderSide, PositionId

from pepperstone_adapter.common.errors import AuthenticationFailed
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.session import CTraderSession
from pepperstone_adapter.ctrader.client.stores import EncryptedFileStore
from pepperstone_adapter.live.node import ONE_PRESS_S
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.ctrader import Recorder, session_of
from tests.kit.ctrader_node import ACCOUNT_ID, LOGIN, sandbox
from tests.kit.dying_node import credentials
from tests.kit.faults import SHORT, Trader, account, entries, requests, rule, run_live
from tests.kit.journal import full_disk, refuse_to_flush
from tests.kit.live_process import read_until, report, running, settings, traded, until, working
from tests.kit.node import EURUSD, Bench, Probe, units

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def node(point: str, broker: Sandbox, folder: Path, login: str = LOGIN) -> "Iterator[subprocess.Popen[str]]":
    where = [str(broker.ports.demo), str(broker.ca_file), str(folder), login]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.kit.dying_node", point, *where],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def wait(process: "subprocess.Popen[str]", condition: Callable[[], object], what: str, timeout_s: float = 40) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise AssertionError(f"no {what}; exit {process.returncode}; {process.communicate()[0][-3000:]}")
        time.sleep(0.02)


def killed(point: str, broker: Sandbox, folder: Path) -> None:
    """Run a node until it kills itself."""
    with node(point, broker, folder) as process:
        out = process.communicate(timeout=60)[0]
        assert process.returncode == -signal.SIGKILL, out[-3000:]


async def idle(b: Bench) -> None:
    """The next start: nothing but looking."""


def test_F41_a_crash_between_refresh_and_keeping_it_asks_for_a_login(tmp_path: Path) -> None:
    import asyncio

    with sandbox(tmp_path) as broker:
        store = EncryptedFileStore("default", tmp_path / "credentials", lambda: Secret("passphrase"))
        store.save(credentials("expired"))
        killed("refreshed", broker, tmp_path)
        assert requests(broker, "RefreshTokenReq") == 1  # the single-use token is spent
        again = session_of(broker, login=int(LOGIN), store=store)  # type: ignore[arg-type]
        with pytest.raises(AuthenticationFailed, match=r"cut off before its result was stored.*auth login"):
            asyncio.run(again.connect(Recorder()))
        assert requests(broker, "RefreshTokenReq") == 2  # asked once more, then a person is asked, no loop


def test_F42_two_nodes_of_one_login_whose_token_ends_refresh_it_once_and_both_come_back(tmp_path: Path) -> None:
    """The refresh token works once: the second to ask with it would lose the login of both."""
    theirs = tmp_path / "theirs"
    store = EncryptedFileStore("default", tmp_path / "credentials", lambda: Secret("passphrase"))

    def token_ends() -> None:
        broker.venue.tokens.expire("sandbox-access", broker.clock.now_ns())
        grant = broker.venue.tokens.grant("sandbox-access")
        assert grant is not None
        broker.venue.end_sessions(grant, "Access token expired")

    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working("1.08400")
        await b.until(lambda: broker.ledger.accounts[1_000_004].working, "the other node's order")
        broker.add_fault(
            rule("delay", "RefreshTokenRes", on="reply", seconds=0.5)
        )  # the other has been refused by then
        broker.call(token_ends)
        broker.push("EURUSD", "1.08390", "1.08397")  # fills both orders while neither node listens
        await t.down_and_up()
        await t.reach(order, "FILLED")
        await b.until((theirs / "filled").exists, "the other node's fill")
        assert requests(broker, "RefreshTokenReq") == 1
        kept = store.load()
        assert kept is not None
        assert kept.tokens is not None
        assert broker.venue.tokens.grant(kept.tokens.access.reveal()) is not None
        assert requests(broker, "NewOrderReq") == 2

    def ours() -> CTraderSession:
        return session_of(broker, login=int(LOGIN), store=store, timings=SHORT)  # type: ignore[arg-type]

    accounts = [{"id": ACCOUNT_ID, "login": int(LOGIN)}, {"id": 1_000_004, "login": 2_000_004}]
    with sandbox(tmp_path, accounts=accounts) as broker:
        store.save(credentials())
        with node("shared", broker, theirs, login="2000004"):
            run_live(tmp_path, broker, script, session=ours)


def test_F82_killed_between_the_intent_and_the_wire_sends_nothing_ever(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        killed("before_send", broker, tmp_path)
        run_live(tmp_path, broker, idle, claim=True)
        assert requests(broker, "NewOrderReq") == 0
        assert account(broker).orders == {}


def test_F83_killed_between_wire_and_answer_adopts_the_one_order(tmp_path: Path) -> None:
    async def look(b: Bench) -> None:
        (position,) = b.cache.positions_open()
        assert str(position.strategy_id).startswith("Probe")

    with sandbox(tmp_path) as broker:
        broker.add_fault(rule("mute", "NewOrderReq"))
        with node("quiet", broker, tmp_path) as process:
            wait(process, lambda: account(broker).deals, "a deal")
            process.kill()
        run_live(tmp_path, broker, look, claim=True)
        assert requests(broker, "NewOrderReq") == len(entries(account(broker))) == 1


def test_F83_killed_between_the_wire_and_the_flush_of_its_note_adopts_the_one_order(tmp_path: Path) -> None:
    async def look(b: Bench) -> None:
        (position,) = b.cache.positions_open()
        assert str(position.strategy_id).startswith("Probe")
        assert str(position.opening_order_id).startswith("O-")

    with sandbox(tmp_path) as broker:
        with node("after_send", broker, tmp_path) as process:
            wait(process, lambda: account(broker).deals, "a deal")
            process.kill()
        run_live(tmp_path, broker, look, claim=True)
        assert requests(broker, "NewOrderReq") == len(entries(account(broker))) == 1


def test_F83_a_power_cut_that_takes_the_notes_of_orders_takes_no_order(tmp_path: Path) -> None:
    """The disk as it was before two orders: the broker has them, and the next starts know them by their own ids."""
    state, disk = tmp_path / "state", tmp_path / "disk"
    ids: dict[str, str] = {}

    async def first(b: Bench) -> None:
        t = Trader(b)
        await t.opened()
        b.client._emitter.note_waiting()
        shutil.copytree(state, disk)
        filled, ticket = await t.opened()
        resting = await t.working("1.05000")
        ids.update(filled=str(filled.client_order_id), resting=str(resting.client_order_id), ticket=ticket)

    async def look(b: Bench) -> None:
        await b.until(lambda: b.cache.position(PositionId(ids["ticket"])) is not None, "the position")
        position = b.cache.position(PositionId(ids["ticket"]))
        assert str(position.strategy_id).startswith("Probe")
        assert str(position.opening_order_id) == ids["filled"]
        assert [str(o.client_order_id) for o in b.cache.orders_open()] == [ids["resting"]]
        assert b.client.table.get(ids["resting"]) is not None
        assert b.client._store.get(ids["filled"]) is not None

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, first)
        shutil.rmtree(state)
        shutil.copytree(disk, state)  # without the log's index, which no power cut leaves either
        for _ in range(2):
            run_live(tmp_path, broker, look, claim=True)
        assert requests(broker, "NewOrderReq") == 3


def test_F84_killed_with_the_fill_in_hand_applies_it_once_under_its_own_id(tmp_path: Path) -> None:
    async def look(b: Bench) -> None:
        (position,) = b.cache.positions_open()
        assert [str(t) for t in position.trade_ids()] == [str(d.deal_id) for d in account(b.sandbox).deals]
        assert position.commissions()[0].as_decimal() == -account(b.sandbox).deals[0].commission

    with sandbox(tmp_path) as broker:
        killed("on_fill", broker, tmp_path)
        for _ in range(2):
            run_live(tmp_path, broker, look, claim=True)
        assert len(entries(account(broker))) == 1


def test_F85_killed_three_times_while_reading_ends_in_the_same_ids(tmp_path: Path) -> None:
    made: dict[str, str] = {}

    async def first(b: Bench) -> None:
        t = Trader(b)
        bracket = b.bracket("1.08000", "1.09000")
        await t.reach(bracket[0], "FILLED")
        waiting = await t.working("1.07000", 2_000)
        await b.until(lambda: not b.client._events.settling, "exact levels")
        made.update(ids(b))
        assert str(waiting.client_order_id) in made

    def ids(b: Bench) -> dict[str, str]:
        return {
            str(o.client_order_id): str(o.venue_order_id)
            for o in [*b.cache.orders_open(), *b.cache.orders_closed()]
            if o.is_open
        }

    async def look(b: Bench) -> None:
        await b.until(lambda: ids(b) == made, f"the ids of the first run {made}, now {ids(b)}")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, first)
        before = len(account(broker).orders)
        for _ in range(3):
            killed("while_reading", broker, tmp_path)
        run_live(tmp_path, broker, look, claim=True)
        assert len(account(broker).orders) == before


def test_F87_what_the_broker_does_not_keep_is_on_the_disk_before_it_leaves(tmp_path: Path) -> None:
    """A close and a bracket: where the flush fails, nothing is sent."""

    async def first(b: Bench) -> None:
        await Trader(b).opened()

    async def script(b: Bench) -> None:
        t = Trader(b)
        (position,) = b.cache.positions_open()
        refuse_to_flush(b.client._store._flusher)
        close = b.probe.order_factory.market(EURUSD, OrderSide.SELL, units(10_000))
        b.probe.submit_order(close, position.id)
        await t.reach(close, "DENIED")
        assert "could not be noted" in b.probe.events[-1].reason
        bracket = b.bracket("1.08000", "1.09000")
        await t.reach(bracket[0], "DENIED")
        assert "could not be noted" in b.probe.events[-1].reason
        assert b.client.halted is None  # nothing left that is not on the disk

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, first)
        run_live(tmp_path, broker, script, claim=True)
        assert requests(broker, "NewOrderReq") == 1
        assert requests(broker, "ClosePositionReq") == 0


def test_F87_a_note_that_the_disk_refuses_after_its_order_left_ends_new_risk(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        refuse_to_flush(b.client._store._flusher)
        await t.opened()
        await b.until(lambda: b.client.halted, "no new risk")
        assert "did not reach the disk" in b.client.halted
        await t.reach(t.market(), "DENIED")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
        assert len(entries(account(broker))) == 1


def test_F87_a_note_that_finds_no_row_after_its_order_left_ends_new_risk_and_is_kept(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        b.client._store._db.execute("PRAGMA query_only=ON")
        order, _ = await t.opened()
        await b.until(lambda: b.client.halted, "no new risk")
        assert "did not reach the disk" in b.client.halted
        kept.append(str(order.client_order_id))

    async def look(b: Bench) -> None:
        assert b.client._store.get(kept[0]) is not None
        (position,) = b.cache.positions_open()
        assert str(position.opening_order_id) == kept[0]

    kept: list[str] = []
    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
        run_live(tmp_path, broker, look, claim=True)
        assert len(entries(account(broker))) == 1


def test_F87_without_a_durable_intent_no_order_leaves(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        await t.opened()
        with full_disk(b.client._store):
            order = t.market()
            await t.reach(order, "DENIED")
        assert "could not be noted" in b.probe.events[-1].reason

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
        assert len(entries(account(broker))) == 1


def test_F87_a_disk_that_fills_up_later_hides_no_fill_and_no_cancel(tmp_path: Path) -> None:
    """What became of an order is told also when it cannot be noted; the next start asks the broker for it."""
    ids: dict[str, Any] = {}

    async def script(b: Bench) -> None:
        t = Trader(b)
        resting, going = await t.working("1.08400"), await t.working("1.05000")
        with full_disk(b.client._store):
            b.sandbox.push("EURUSD", "1.08390", "1.08397")
            ids["filled"] = str((await t.reach(resting, "FILLED")).position_id)
            b.probe.cancel_order(going.client_order_id)
            await t.reach(going, "CANCELED")
            b.client._emitter.note_waiting()
        assert b.client.halted is None  # the next order is refused for itself

    async def look(b: Bench) -> None:
        await b.until(lambda: b.cache.position(PositionId(ids["filled"])) is not None, "the position of the first run")
        assert str(b.cache.position(PositionId(ids["filled"])).strategy_id).startswith("Probe")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
        run_live(tmp_path, broker, look, claim=True)


def test_F90_ctrl_c_twice_ends_at_once_and_leaves_the_books_as_they_are(tmp_path: Path) -> None:
    with (
        sandbox(tmp_path) as broker,
        running(settings(tmp_path, broker, on_stop={"orders": "leave", "positions": "close"})) as process,
    ):
        until(lambda: traded(broker), "position and order", process)
        broker.add_fault(rule("swallow", "ClosePositionReq", times=0))  # an orderly stop would wait for this
        process.send_signal(signal.SIGINT)
        read_until(process, "once more ends at once")
        first = time.monotonic()
        until(lambda: requests(broker, "ClosePositionReq"), "the close that is never answered", process)
        until(lambda: time.monotonic() - first > ONE_PRESS_S, "time for a second press", process)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=20)[0]
        assert process.returncode == 130, out
        assert time.monotonic() - started < 1.5
        assert len(report(broker)["positions"]) == 1


def test_F91_a_second_session_store_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker, running(settings(tmp_path, broker)) as process:
        until(lambda: traded(broker), "position and order", process)
        with running(tmp_path / "live.yaml") as second:
            out = second.communicate(timeout=40)[0]
            assert second.returncode == 2, out[-2000:]
            assert f"PID {process.pid}" in out
        assert len(report(broker)["positions"]) == 1


def test_F92_a_process_that_slept_reconnects_and_learns_what_it_missed(tmp_path: Path) -> None:
    with (
        sandbox(tmp_path, behaviour={"client_silence_s": 2.0}) as broker,
        node("never", broker, tmp_path) as process,
    ):
        wait(process, lambda: any(o.limit_price for o in account(broker).working.values()), "a working order")
        os.kill(process.pid, signal.SIGSTOP)
        wait(process, lambda: not broker.venue.connections, "the broker giving up on a silent client")
        broker.push("EURUSD", "1.08390", "1.08397")  # fills it while the process sleeps
        os.kill(process.pid, signal.SIGCONT)
        wait(process, lambda: (tmp_path / "filled").exists(), "the fill")
        assert requests(broker, "ApplicationAuthReq") == 2
        assert requests(broker, "NewOrderReq") == 1


class Faulty(Probe):
    """A strategy that breaks in every callback."""

    def on_quote(self, quote: Any) -> None:
        super().on_quote(quote)
        raise ValueError("a bug in the strategy")

    def on_order_event(self, event: Any) -> None:
        super().on_order_event(event)
        raise ValueError("a bug in the strategy")


def test_F93_a_strategy_that_raises_stops_no_link_and_loses_no_fill(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        _, ticket = await t.opened()
        b.sandbox.push("EURUSD", "1.08600", "1.08607")
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.08600", "the next quote")
        assert b.cache.position(PositionId(ticket)).is_open
        assert b.connection.link_losses == 0

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script, probe=Faulty())


def unread() -> Any:
    """A pipe whose reader has left."""
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w")


@pytest.mark.parametrize("gone", ["full", "closed", "all"])
def test_F94_a_console_that_takes_nothing_does_not_stop_trading(tmp_path: Path, gone: str) -> None:
    """The disk under stdout is full, its reader has left, or stderr is gone as well: the code tells, in any case."""
    if gone != "closed" and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with sandbox(tmp_path) as broker, unread() if gone == "closed" else Path("/dev/full").open("w") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "pepperstone_adapter", "live", str(settings(tmp_path, broker))],
            cwd=ROOT,
            stdout=sink,
            stderr=sink if gone == "all" else subprocess.PIPE,
            text=True,
        )
        try:
            end = time.monotonic() + 60
            while not traded(broker):
                assert process.poll() is None, f"ended with {process.returncode} because nobody could read it"
                assert time.monotonic() < end
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=20)[1]
            assert process.returncode == 130
            assert working(broker) == []  # stopped in order: working orders cancelled, the position left
            assert len(report(broker)["positions"]) == 1
            if gone != "all":
                why = "No space left on device" if gone == "full" else "closed"
                note = f"warning: standard output: {why}; the node goes on and shows nothing more there"
                assert said.splitlines() == [note, "error: interrupted"]
        finally:
            process.kill()
            process.communicate(timeout=10)


class BrokenOnce(CTraderSession):
    """A bug of ours in a read: it raises what nobody expects."""

    breaks = 0

    async def deals(self, since_ns: int, until_ns: int) -> Any:
        if self.breaks > 0:
            self.breaks -= 1
            raise RuntimeError("a bug in a read")
        return await super().deals(since_ns, until_ns)


def test_F95_an_audit_that_breaks_is_told_and_goes_on(tmp_path: Path) -> None:
    sessions: list[BrokenOnce] = []

    def make() -> CTraderSession:
        plain = session_of(broker, login=int(LOGIN), timings=SHORT)
        plain.__class__ = BrokenOnce
        sessions.append(plain)  # type: ignore[arg-type]
        return plain

    async def script(b: Bench) -> None:
        t = Trader(b)
        await t.opened()
        sessions[0].breaks = 2
        await b.until(lambda: sessions[0].breaks == 0, "the broken reads")
        b.sandbox.add_fault(rule("drop", "ExecutionEvent", on="reply", times=2))
        order = t.market()
        await t.reach(order, "FILLED")  # nothing but a living audit finds it

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script, session=make)
