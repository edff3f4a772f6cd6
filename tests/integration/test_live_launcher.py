"""`pepperstone live` as a person runs it: a process, a settings file, signals, exit codes; the sandbox is the broker."""

import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from pepperstone_adapter.broker.orders import OrderType, Side
from pepperstone_adapter.ctrader.client.stores import EnvironmentStore
from pepperstone_adapter.sandbox.faults import FaultKind, FaultRule
from pepperstone_adapter.sandbox.ledger import NewOrder
from pepperstone_adapter.sandbox.report import books
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.ctrader_node import ACCOUNT_ID, LOGIN, sandbox
from tests.kit.live_process import ROOT, read_until, report, running, settings, spawn, traded, until, working


@pytest.mark.slow
def test_f90_ctrl_c_cancels_working_orders_and_leaves_positions(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker, running(settings(tmp_path, broker, log={"dir": "logs"})) as process:
        until(lambda: traded(broker), "position and order", process)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 130, out[-3000:]
        assert time.monotonic() - started < 8
        assert len(report(broker)["positions"]) == 1
        assert working(broker) == []
        assert "SANDBOX-x001 (no real money)" in out
        assert re.search(r"SANDBOX-x001-[a-z2-7]{4}\.OneOfEach-000", out)  # on every log line
        bare = [line for line in out.splitlines() if "SANDBOX-x001" not in line]
        assert bare == ["error: interrupted"]  # every other line says whose it is (S23)
        assert " stopping: orders cancel" in out
        assert LOGIN not in out  # the account is always masked
        # the same settings again: the position is the strategy's own, so it opens no second one
        with running(settings(tmp_path, broker, log={"dir": "logs"})) as again:
            out = read_until(again, "SANDBOX-x001 | link up")
            assert "1 position |" in out.splitlines()[-1]
            again.send_signal(signal.SIGTERM)
            out += again.communicate(timeout=60)[0]
            assert again.returncode == 130, out[-3000:]
            assert len(report(broker)["positions"]) == 1
            assert " stopped: 0 orders (0 filled, 0 refused); " in out  # what it got back it has not sent
        assert broker.violations() == []
    logs = {file: file.read_text() for file in (tmp_path / "logs").iterdir()}
    assert len(logs) == 2  # one file a run, and each holds its own run's lines
    for file, text in logs.items():
        assert set(re.findall(r"SANDBOX-x001-[a-z2-7]{4}", text)) == set(
            re.findall(r"SANDBOX-x001-[a-z2-7]{4}", file.name)
        )


@pytest.mark.slow
def test_f90_one_ctrl_c_told_twice_is_orderly_and_a_second_one_ends_at_once(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        with running(settings(tmp_path, broker)) as process:
            until(lambda: traded(broker), "position and order", process)
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGINT)  # a wrapper such as `uv run` hands on what the terminal sent to both
            out = process.communicate(timeout=60)[0]
            assert process.returncode == 130, out[-3000:]
            assert working(broker) == []
            ticket = report(broker)["positions"][0]["position_id"]
            said = next(line for line in out.splitlines() if " stopped: " in line)
            assert said == (  # commission is booked when the position closes
                "SANDBOX-x001 stopped: 2 orders (1 filled, 0 refused); balance 10,000.00 USD (+0.00 since the start); "
                f"at the broker: EURUSD buy 10,000 (no. {ticket}), no working orders"
            )
            assert "\x1b[" not in out  # no colours where nobody looks
            assert "rustc" not in out  # nor the framework's banner
        # a broker that answers nothing more: the orderly stop would wait for the cancel
        with running(settings(tmp_path, broker, strategy={"again": True})) as process:
            until(lambda: len(working(broker)) == 1, "working order", process)
            broker.add_fault(FaultRule(kind=FaultKind.SILENCE, on="request", message="CancelOrderReq", seconds=60))
            process.send_signal(signal.SIGINT)
            read_until(process, "stopping: orders cancel")
            told_s = time.monotonic()
            until(lambda: time.monotonic() - told_s > 0.5, "half a second", process)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            assert process.returncode == 130
            assert time.monotonic() - told_s < 3
            assert len(working(broker)) == 1


@pytest.mark.slow
def test_f90_positions_are_closed_when_the_settings_say_so(tmp_path: Path) -> None:
    with (
        sandbox(tmp_path) as broker,
        running(settings(tmp_path, broker, on_stop={"orders": "leave", "positions": "close"})) as process,
    ):
        until(lambda: traded(broker), "position and order", process)
        process.send_signal(signal.SIGTERM)
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 130, out[-3000:]
        assert report(broker)["positions"] == [], out[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("slow", [False, True], ids=["slow to fill", "slow to answer"])
def test_what_a_strategy_closes_on_its_own_stop_is_waited_for(tmp_path: Path, slow: bool) -> None:
    with (
        sandbox(tmp_path, behaviour={} if slow else {"execution_delay_ms": 1_500}) as broker,
        running(settings(tmp_path, broker, strategy={"tidy": True})) as process,
    ):
        until(lambda: traded(broker), "position and order", process)
        if slow:  # even that the broker has taken the close is heard after the framework has stopped its engines
            broker.add_fault(
                FaultRule(
                    kind=FaultKind.SLOW, on="reply", message="ExecutionEvent", execution="ORDER_ACCEPTED", seconds=1
                )
            )
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 130, out[-3000:]
        assert report(broker)["positions"] == []
        # an entry, its close, and the order that was canceled
        assert " stopped: 3 orders (2 filled, 0 refused); " in out
        assert "at the broker: no positions, no working orders" in out
        assert "not answered" not in out


@pytest.mark.slow
def test_a_close_that_is_not_answered_before_the_end_is_named(tmp_path: Path) -> None:
    with (
        sandbox(tmp_path) as broker,
        running(settings(tmp_path, broker, strategy={"tidy": True})) as process,
    ):
        until(lambda: traded(broker), "position and order", process)
        broker.add_fault(FaultRule(kind=FaultKind.SWALLOW, on="request", message="ClosePositionReq"))
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 7, out[-3000:]
        (error,) = (line for line in out.splitlines() if line.startswith("error: "))
        assert re.fullmatch(
            r"error: stopped with orders whose outcome is unknown \(O-\d+-\d+-\w+-000-3\); look at the account; "
            "the next start asks",
            error,
        )
        assert len(report(broker)["positions"]) == 1


@pytest.mark.slow
def test_two_accounts_in_one_node_keep_apart(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        path = settings(tmp_path, broker)
        content = yaml.safe_load(path.read_text())
        first = content["accounts"][0]
        content["accounts"].append(
            first | {"account": "2000002", "venue": "SECOND", "mode": "netting", "currency": "EUR"}
        )
        content["strategies"] = [
            {"strategy": "./one_of_each.py:OneOfEach", "name": name, "config": {"instrument_id": f"EURUSD.{venue}"}}
            for name, venue in (("one", "PEPPERSTONE"), ("two", "SECOND"))
        ]
        content["log"] = {"level": "WARNING"}  # quietens the framework, not the status line
        path.write_text(yaml.safe_dump(content))

        def both() -> bool:
            found = [broker.call(books, broker.ledger, account) for account in (ACCOUNT_ID, 1_000_002)]
            return all(len(f["positions"]) == 1 and len(f["orders"]) == 2 for f in found)

        with running(path) as process:
            until(both, "a position on each account", process)
            out = read_until(process, "SANDBOX-x002 | link up")
            assert "[INFO]" not in out
            process.send_signal(signal.SIGINT)
            out += process.communicate(timeout=60)[0]
            assert process.returncode == 130, out[-3000:]
            said = [line for line in out.splitlines() if " stopped: " in line]
            assert [line.partition(" ")[0] for line in said] == ["SANDBOX-x001", "SANDBOX-x002"]
            assert all("2 orders (1 filled, 0 refused)" in line for line in said)
            assert all("EURUSD buy 10,000 (no. " in line for line in said)
            assert "EUR (+0.00 since the start)" in said[1]
        assert broker.violations() == []


@pytest.mark.slow
def test_f91_a_second_instance_on_the_account_is_refused_by_name(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker, running(settings(tmp_path, broker)) as process:
        until(lambda: traded(broker), "position and order", process)
        second = subprocess.run(
            [sys.executable, "-m", "pepperstone_adapter", "live", str(tmp_path / "live.yaml")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 2
        assert f"PID {process.pid}" in second.stderr
        assert len(report(broker)["positions"]) == 1


@pytest.mark.slow
def test_two_nodes_that_trade_in_one_second_on_one_account_keep_their_orders_apart(tmp_path: Path) -> None:
    """Equal settings on two machines (here: two state folders): the framework's order ids hold only the second."""
    with sandbox(tmp_path) as broker, ExitStack() as both:
        wait = {"above": 1.09}
        nodes = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            nodes.append(both.enter_context(running(settings(tmp_path / name, broker, strategy=wait))))
        for node in nodes:
            read_until(node, "SANDBOX-x001 | link up")
        broker.push("EURUSD", "1.09000", "1.09007")

        def four() -> bool:
            return len(report(broker)["positions"]) == 2 and len(working(broker)) == 2

        until(four, "a position and an order of each", nodes[0])
        for node in nodes:
            node.send_signal(signal.SIGINT)
        for node in nodes:
            out = node.communicate(timeout=60)[0]
            assert "stopped: 2 orders (1 filled, 0 refused)" in out, out[-4000:]
        sent = [o["client_id"] for o in report(broker)["orders"]]
        assert len(set(sent)) == len(sent) == 4
        assert working(broker) == []
        assert broker.violations() == []


@pytest.mark.slow
def test_a_strategy_that_stops_the_node_ends_it_with_code_0(tmp_path: Path) -> None:
    with (
        sandbox(tmp_path) as broker,
        running(settings(tmp_path, broker, strategy={"stop_after": True})) as process,
    ):
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 0, out[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize(("stopped_out", "code"), [(True, 6), (False, 5)])
def test_a_run_that_ends_while_it_takes_no_new_risk_ends_with_code_6(
    tmp_path: Path, stopped_out: bool, code: int
) -> None:
    """What starts nodes again would lift the halt of a stop-out that nobody has looked at."""
    with sandbox(tmp_path) as broker, running(settings(tmp_path, broker)) as process:
        until(lambda: traded(broker), "its orders", process)
        if stopped_out:
            # 200,000 at 1.08507 and leverage 30 use 7,233.80 of the 10,000; half of that is the stop-out
            by_hand = NewOrder(symbol="EURUSD", side=Side.BUY, type=OrderType.MARKET, units=Decimal(200_000))
            broker.call(broker.ledger.submit, ACCOUNT_ID, by_hand, broker.clock.now_ns())
            broker.push("EURUSD", "1.05010", "1.05017")
            read_until(process, "HALTED: ")
        broker.call(broker.venue.disconnect_clients, "blocked by cTrader Administrator")
        out = process.communicate(timeout=60)[0]
        assert process.returncode == code, out[-3000:]
        said = [line for line in out.splitlines() if line.startswith("error: ")]
        assert len(said) == 1
        assert ("no new risk was taken any more" in said[0]) == stopped_out
        assert "Administrator" in said[0]


@pytest.mark.slow
def test_a_strategy_that_fails_at_its_stop_keeps_no_other_from_stopping(tmp_path: Path) -> None:
    """The framework ends the round of stops at the first exception; the one that came next left its position open."""
    faulty = """
        from nautilus_trader.trading import Strategy, StrategyConfig


        class FaultyConfig(StrategyConfig):
            def __init__(self, *, order_id_tag: str | None = None) -> None:
                pass


        class Faulty(Strategy):
            def on_stop(self) -> None:
                raise ValueError("no stopping")
    """
    with sandbox(tmp_path) as broker:
        path = settings(tmp_path, broker, strategy={"tidy": True})
        (tmp_path / "faulty.py").write_text(textwrap.dedent(faulty))
        content = yaml.safe_load(path.read_text())
        faulty_one = {"strategy": "./faulty.py:Faulty", "claim": False}
        content["strategies"] = [faulty_one | {"name": "a"}, *content["strategies"], faulty_one | {"name": "z"}]
        path.write_text(yaml.safe_dump(content))
        with running(path) as process:
            until(lambda: traded(broker), "position and order", process)
            process.send_signal(signal.SIGINT)
            out = process.communicate(timeout=60)[0]
        assert process.returncode == 130, out[-3000:]
        assert report(broker)["positions"] == [], out[-3000:]
        assert out.count("on_stop raised ValueError: no stopping (faulty.py:12)") == 2
        assert "Invalid state trigger" not in out


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["def on_market_exit(self): raise ValueError('no exit')", "def on_quote(self, quote): self.stop()"]
)
def test_a_strategy_that_fails_at_the_exit_keeps_no_other_from_being_closed(tmp_path: Path, fault: str) -> None:
    """`on_stop: {positions: close}` is how a person gets flat."""
    faulty = """
        from nautilus_trader.model import InstrumentId
        from nautilus_trader.trading import Strategy, StrategyConfig


        class FaultyConfig(StrategyConfig):
            def __init__(self, *, order_id_tag: str | None = None) -> None:
                pass


        class Faulty(Strategy):
            def on_start(self) -> None:
                self.subscribe_quotes(InstrumentId.from_str("EURUSD.PEPPERSTONE"))

    """
    with sandbox(tmp_path) as broker:
        path = settings(tmp_path, broker, on_stop={"orders": "cancel", "positions": "close"})
        (tmp_path / "faulty.py").write_text(textwrap.dedent(faulty) + f"    {fault}\n")
        content = yaml.safe_load(path.read_text())
        faulty_one = {"strategy": "./faulty.py:Faulty", "claim": False}
        content["strategies"] = [faulty_one | {"name": "a"}, *content["strategies"], faulty_one | {"name": "z"}]
        path.write_text(yaml.safe_dump(content))
        with running(path) as process:
            until(lambda: traded(broker), "position and order", process)
            process.send_signal(signal.SIGINT)
            out = process.communicate(timeout=60)[0]
        assert process.returncode == 130, out[-3000:]
        assert report(broker)["positions"] == [], out[-3000:]
        assert working(broker) == []


@pytest.mark.slow
def test_the_position_of_a_strategy_that_has_stopped_itself_is_closed_as_well(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        path = settings(tmp_path, broker, on_stop={"orders": "cancel", "positions": "close"})
        with (tmp_path / "one_of_each.py").open("a") as strategy:
            strategy.write("    def on_order_filled(self, event):\n        self.stop()\n")
        with running(path) as process:
            until(lambda: traded(broker), "position and order", process)
            read_until(process, "OneOfEach-000: Stopped")
            process.send_signal(signal.SIGINT)
            out = process.communicate(timeout=60)[0]
        assert process.returncode == 130, out[-3000:]
        assert report(broker)["positions"] == [], out[-3000:]


@pytest.mark.slow
def test_a_strategy_that_fails_at_its_start_ends_the_node_with_code_1_and_its_line(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        path = settings(tmp_path, broker)
        text = (tmp_path / "one_of_each.py").read_text()
        line = 1 + text[: text.index("        self.subscribe_quotes(")].count("\n")
        (tmp_path / "one_of_each.py").write_text(text.replace("self.subscribe_quotes(", "self.subscribe_qoutes(", 1))
        process = spawn(path)
        out = process.communicate(timeout=60)[0]
    assert process.returncode == 1, out[-3000:]
    (said,) = [line for line in out.splitlines() if line.startswith("error: ")]
    assert said.startswith("error: a strategy could not start: AttributeError: 'OneOfEach' object has no attribute")
    assert said.endswith(f"(one_of_each.py:{line})")


@pytest.mark.slow
def test_a_connect_that_fails_ends_with_code_5_and_says_where(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        path = settings(tmp_path, broker, account={"port": 9}, connect_timeout_s=120)
        with (tmp_path / "one_of_each.py").open("a") as strategy:  # its last words are many
            strategy.write("    def on_dispose(self):\n        for n in range(20_000): self.log.warning(f'late {n}')\n")
        process = spawn(path)
        out = process.communicate(timeout=60)[0]
    assert process.returncode == 5, out[-3000:]
    *before, last = out.splitlines()
    assert last.startswith("error: not connected to 127.0.0.1:9: ")
    assert "is the sandbox running?" in last
    assert any(line.endswith("late 19999") for line in before)
    begun, ended = (
        datetime.fromisoformat(next(line for line in before if words in line).partition(" ")[0])
        for words in ("Connecting data clients", "Failed to connect data client")
    )
    assert (ended - begun).total_seconds() < 8  # a few refused attempts, not the patience of 120 s


@pytest.mark.slow
def test_a_wrong_or_expired_access_token_ends_with_code_4_and_says_what_to_do(tmp_path: Path) -> None:
    refused = "error: the venue refuses the access token (wrong or expired)"
    env = {
        "CTRADER_CLIENT_ID": "sandbox-client",
        "CTRADER_CLIENT_SECRET": "sandbox-secret",
        "CTRADER_ACCESS_TOKEN": "never-issued-token",
        "PEPPERSTONE_HOME": str(tmp_path / "home"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }

    def expire(broker: Sandbox) -> None:
        broker.venue.tokens.expire(broker.credentials.access_token, broker.clock.now_ns())

    with sandbox(tmp_path) as broker:
        # the variables are read for a profile that is named only; without one the sandbox's own login works
        path = settings(tmp_path, broker, strategy={"stop_after": True})
        process = spawn(path, env=env)
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 0, out[-3000:]
        named = {"account": {"profile": "mine"}}
        outs = []
        process = spawn(settings(tmp_path, broker, **named), env=env)
        outs.append(process.communicate(timeout=60)[0])
        assert process.returncode == 4, outs[-1][-3000:]
        broker.call(expire, broker)
        process = spawn(settings(tmp_path, broker, **named), env=env | {"CTRADER_ACCESS_TOKEN": "sandbox-access"})
        outs.append(process.communicate(timeout=60)[0])
        assert process.returncode == 4, outs[-1][-3000:]
        process = spawn(settings(tmp_path, broker, **named), env=env | dict.fromkeys(EnvironmentStore.NAMES, ""))
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 4, out[-3000:]
        assert (
            "error: no cTrader credentials are stored for profile 'mine'; "
            "run `pepperstone auth login ctrader --profile mine`" in out
        )
        for out in outs:
            (said,) = [line for line in out.splitlines() if line.startswith("error: ")]
            assert said.startswith(refused)
            assert said.endswith("run `pepperstone auth login ctrader --profile mine`")
            assert "never-issued-token" not in out
            assert "Traceback" not in out


@pytest.mark.slow
def test_what_does_not_fit_the_account_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        by_hand = NewOrder(symbol="EURUSD", side=Side.SELL, type=OrderType.MARKET, units=Decimal(5_000))
        broker.call(broker.ledger.submit, ACCOUNT_ID, by_hand, broker.clock.now_ns())
        for account, text in (
            ({"symbols": ["EURUSDD"]}, "no symbol EURUSDD (did you mean EURUSD"),
            ({"mode": "netting"}, "set mode: hedging"),
            ({"currency": "EUR"}, "set currency: USD"),
        ):
            process = spawn(settings(tmp_path, broker, account=account))
            out = process.communicate(timeout=60)[0]
            assert process.returncode == 2, out[-3000:]
            assert text in out
            # What the account holds is said as the broker showed it, although the node never took it in.
            assert "at the broker: EURUSD sell 5,000 (no. 5000001), no working orders" in out
        assert len(report(broker)["orders"]) == 1


def test_f96_ctrl_c_while_the_loop_is_made_says_that_and_nothing_of_python(tmp_path: Path) -> None:
    code = """
        import signal, sys
        from pepperstone_adapter.cli.main import run

        def while_it_is_made(frame, event, argument):
            if event == "call" and frame.f_code.co_name == "new_event_loop":
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)

        sys.setprofile(while_it_is_made)
        run()
    """
    with sandbox(tmp_path) as broker:
        path = settings(tmp_path, broker)
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), "live", str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (130, "error: interrupted\n"), ran.stdout[-3000:]


@pytest.mark.slow
def test_f96_ctrl_c_while_connecting_ends_within_five_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # accepts and never says a word
        with sandbox(tmp_path) as broker:
            path = settings(tmp_path, broker, account={"port": deaf.getsockname()[1]}, connect_timeout_s=120)
        with running(path) as process:
            read_until(process, "Connecting")
            started = time.monotonic()
            process.send_signal(signal.SIGINT)
            out = process.communicate(timeout=60)[0]
            assert process.returncode == 130, out[-3000:]
            assert time.monotonic() - started < 5
