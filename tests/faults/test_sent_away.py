"""A server that sends a client away, for a reason and for a while (F14 to F17), on a real node, judged by the ledger."""

from pathlib import Path

import pytest

from tests.kit.ctrader_node import ACCOUNT_ID, sandbox
from tests.kit.faults import Trader, requests, rule, run_live
from tests.kit.node import SELL, Bench


def test_F14_a_disconnect_with_a_reason_is_told_and_recovered_from(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working()
        b.sandbox.call(b.sandbox.venue.disconnect_clients, "server restart")
        await t.down_and_up()
        assert t.status(order) == "ACCEPTED"
        b.sandbox.call(b.sandbox.venue.disconnect_clients, "blocked by cTrader Administrator")
        await b.until(lambda: b.connection.fault is not None, "an end for good")
        assert "Administrator" in b.connection.fault
        denied = t.market()
        await t.reach(denied, "DENIED")
        assert b.client.halted is not None

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script, judged=False)


def test_F15_a_lost_account_session_on_a_live_socket_is_signed_in_again(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working("1.08400")
        before = requests(b.sandbox, "AccountAuthReq")
        b.sandbox.call(b.sandbox.venue.disconnect_account, ACCOUNT_ID)
        b.sandbox.push("EURUSD", "1.08390", "1.08397")  # nobody is told of this fill
        await t.reach(order, "FILLED")
        await b.until(lambda: b.connection.up, "the gate open again")
        assert requests(b.sandbox, "AccountAuthReq") == before + 1
        assert requests(b.sandbox, "ApplicationAuthReq") == 1  # the socket stayed

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F16_maintenance_is_waited_for_without_hammering(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working()
        end_ns = b.sandbox.clock.now_ns() + 3_000_000_000
        b.sandbox.call(b.sandbox.venue.start_maintenance, end_ns)
        b.sandbox.call(b.sandbox.venue.disconnect_clients, "maintenance")
        await b.until(lambda: b.sandbox.clock.now_ns() > end_ns, "its end")
        assert requests(b.sandbox, "ApplicationAuthReq") <= 3  # the first, and one or two that were told to wait
        b.sandbox.call(b.sandbox.venue.end_maintenance)
        await t.down_and_up()
        assert t.status(order) == "ACCEPTED"

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize(
    ("message", "code"),
    [("ApplicationAuthReq", "CH_CLIENT_ALREADY_AUTHENTICATED"), ("AccountAuthReq", "ALREADY_LOGGED_IN")],
)
def test_F17_being_signed_in_already_is_no_storm(tmp_path: Path, message: str, code: str) -> None:
    """The refusal is false here (a broken server), so what counts is that it ends in one clear state, not a loop."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        await t.working()
        b.sandbox.add_fault(rule("error", message, text=code))
        b.sandbox.call(b.sandbox.venue.disconnect_clients, "again")
        await t.down_and_up()
        assert requests(b.sandbox, message) <= 4
        await t.opened()

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F17_too_many_connections_is_waited_out(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        await t.opened()
        limits = b.sandbox.venue.settings.limits
        object.__setattr__(limits, "connections", 0)
        b.sandbox.call(b.sandbox.venue.disconnect_clients, "full")
        await b.until(lambda: not b.connection.up, "the link down")
        await b.until(lambda: not b.sandbox.venue.connections, "nobody let in")
        object.__setattr__(limits, "connections", 25)
        await t.down_and_up()
        await t.opened(SELL)

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
