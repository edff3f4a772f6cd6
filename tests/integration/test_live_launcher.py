"""`pepperstone live` as a person runs it: a process, a settings file, signals, exit codes; the sandbox is the broker."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pytest
import yaml

from pepperstone_adapter.broker.orders import OrderType, Side
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.ctrader.client.stores import EnvironmentStore
from pepperstone_adapter.sandbox.faults import FaultKind, FaultRule
from pepperstone_adapter.sandbox.ledger import NewOrder
from pepperstone_adapter.sandbox.report import books
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.ctrader_node import ACCOUNT_ID, LOGIN, sandbox

ROOT = Path(__file__).resolve().parents[2]
STRATEGY = '''
from nautilus_trader.model import InstrumentId, OrderSide, Price, Quantity
from nautilus_trader.trading import Strategy, StrategyConfig


class OneOfEachConfig(StrategyConfig):
    def __init__(
        self, *, instrument_id: str, above: float = 0, stop_after: bool = False, again: bool = False, **_: object
    ) -> None:
        self.instrument_id = InstrumentId.from_str(instrument_id)
        self.above = above
        self.stop_after = stop_after
        self.again = again


class OneOfEach(Strategy):
    """A position and a working order, then nothing."""

    def __init__(self, config: OneOfEachConfig) -> None:
        super().__init__(config)
        self._config = config
        self._done = False

    def on_start(self) -> None:
        self.subscribe_quotes(self._config.instrument_id)

    def on_quote(self, quote: object) -> None:
        if self._done or quote.bid_price < self._config.above:
            return
        self._done = True
        one = self._config.instrument_id
        if self._config.stop_after:
            self.shutdown_system("done")
            return
        if self._config.again or not self.cache.positions_open(strategy_id=self.strategy_id):
            self.submit_order(self.order_factory.market(one, OrderSide.BUY, Quantity.from_int(10_000)))
            self.submit_order(
                self.order_factory.limit(one, OrderSide.BUY, Quantity.from_int(1_000), Price.from_str("1.05000"))
            )
'''


def settings(tmp_path: Path, broker: Sandbox | None, **changes: Any) -> Path:
    """A settings file and its strategy in a folder of their own."""
    (tmp_path / "one_of_each.py").write_text(STRATEGY)
    account: dict[str, Any] = {
        "platform": "ctrader",
        "environment": "sandbox",
        "account": LOGIN,
        "symbols": ["EURUSD"],
        "port": broker.ports.demo if broker is not None else 9,
        "ca_file": str(broker.ca_file if broker is not None else tmp_path / "none.pem"),
    }
    content: dict[str, Any] = {
        "accounts": [account | changes.pop("account", {})],
        "strategies": [
            {
                "strategy": "./one_of_each.py:OneOfEach",
                "config": {"instrument_id": "EURUSD.PEPPERSTONE"} | changes.pop("strategy", {}),
            }
        ],
        "state_dir": "state",
        "connect_timeout_s": 10,
        "status_interval_s": 1,
    } | changes
    path = tmp_path / "live.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def spawn(path: Path, *arguments: str, env: dict[str, str] | None = None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "pepperstone_adapter", "live", str(path), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "NO_COLOR": "1", **(env or {})},
    )


@contextmanager
def running(path: Path, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    process = spawn(path, *arguments)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


def until(condition: Callable[[], object], what: str, process: "subprocess.Popen[str]", timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            out = process.communicate()[0]
            raise AssertionError(f"no {what}; exit {process.returncode}; output:\n{out[-4000:]}")
        time.sleep(0.05)


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """Read the output up to the first line with `text`; the end of the output is a failure."""
    assert process.stdout is not None
    out = ""
    for line in process.stdout:
        out += line
        if text in line:
            return out
    raise AssertionError(f"the process ended without '{text}':\n{out[-4000:]}")


def report(broker: Sandbox) -> dict[str, Any]:
    found: dict[str, Any] = broker.call(books, broker.ledger, ACCOUNT_ID)
    return found


def working(broker: Sandbox) -> list[dict[str, Any]]:
    return [o for o in report(broker)["orders"] if str(o["status"]) == "accepted"]


def traded(broker: Sandbox) -> bool:
    return len(report(broker)["positions"]) == 1 and len(working(broker)) == 1


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
        assert LOGIN not in out  # the account is always masked
        # the same settings again: the position is the strategy's own, so it opens no second one
        with running(settings(tmp_path, broker, log={"dir": "logs"})) as again:
            out = read_until(again, "SANDBOX-x001 | link up")
            assert "1 position |" in out.splitlines()[-1]
            again.send_signal(signal.SIGTERM)
            out += again.communicate(timeout=60)[0]
            assert again.returncode == 130, out[-3000:]
            assert len(report(broker)["positions"]) == 1
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
def test_a_run_with_record_leaves_quotes_in_the_catalog_and_its_fills_beside_them(tmp_path: Path) -> None:
    catalog = tmp_path / "recorded"
    with (
        sandbox(tmp_path) as broker,
        running(settings(tmp_path, broker, record={"catalog": str(catalog)})) as process,
    ):
        until(lambda: traded(broker), "position and order", process)
        for i in range(20):
            broker.push("EURUSD", f"1.08{600 + i}", f"1.08{607 + i}")
        read_until(process, "| link up")
        process.send_signal(signal.SIGTERM)
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 130, out[-3000:]
        assert f"quotes and bars into {catalog}" in out
    (series,) = CatalogStore(catalog).series()
    assert (series.identifier, series.rows >= 20) == ("EURUSD.PEPPERSTONE", True)
    assert list((catalog / "live").glob("*/order_filled/*.feather"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_run_leaves_a_recording_that_the_next_start_names_and_a_command_keeps(tmp_path: Path) -> None:
    catalog = tmp_path / "recorded"

    def pepperstone(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pepperstone_adapter", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})

    with sandbox(tmp_path) as broker:
        path = settings(tmp_path, broker, record={"catalog": str(catalog)})
        with running(path) as process:
            until(lambda: traded(broker), "position and order", process)
            (folder,) = (catalog / "live").iterdir()
            until(lambda: (folder / "recording.json").exists(), "note", process)
            busy = pepperstone("data", "recorded", str(folder))
            assert (busy.returncode, "in use by PID" in busy.stderr) == (2, True), busy
            pushed = iter(range(600, 1_000))

            def on_the_disk() -> bool:
                # The framework writes out what it holds when a quote comes a second after the last time it did.
                n = next(pushed)
                broker.push("EURUSD", f"1.08{n}", f"1.08{n + 7:03}")
                return len(_recorded_bids(folder)) >= 21

            until(on_the_disk, "quotes on the disk", process, timeout_s=15)
            process.kill()
            process.wait(10)
        # The first price is published again to each new subscriber; the catalog has it once.
        whole = list(dict.fromkeys(_recorded_bids(folder)))
        assert not (catalog / "data").exists()
        with running(path, "--set", "record.quotes=false") as process:
            assert f"pepperstone data recorded {folder}" in read_until(process, "not in the catalog yet")
    (quotes,) = (folder / "quotes").glob("*.feather.partial")
    with quotes.open("ab") as torn:  # the machine went down in the middle of a write
        torn.write(b"\xff\xff\xff\xff\x40\x01\x00\x00torn")
    done = pepperstone("data", "recorded", "--catalog", str(catalog))
    assert done.returncode == 0, done.stderr
    assert f"recorded {len(whole)} quotes and bars into {catalog}" in done.stdout
    stored = CatalogStore(catalog).quotes("EURUSD")
    assert [f"{bid / 100_000:.5f}" for bid in stored.bid] == whole
    assert whole[:3] == ["1.08500", "1.08600", "1.08601"]
    assert pepperstone("data", "recorded", "--catalog", str(catalog)).stdout.startswith("no recording is left")
    again = pepperstone("data", "recorded", str(folder))
    assert (again.returncode, "no recording that is left" in again.stderr) == (2, True)


def _recorded_bids(folder: Path) -> list[str]:
    """What has reached the disk so far."""
    found: list[str] = []
    for file in (folder / "quotes").glob("*.feather.partial"):
        with contextlib.suppress(pa.ArrowInvalid, EOFError), pa.ipc.open_stream(file) as stream:
            for batch in stream:
                found += [f"{value.as_py():.5f}" for value in batch["bid_price"]]
    return found


@pytest.mark.slow
def test_a_connect_that_fails_ends_with_code_5_and_says_where(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        path = settings(tmp_path, broker, account={"port": 9}, connect_timeout_s=120)
        started = time.monotonic()
        process = spawn(path)
        out = process.communicate(timeout=60)[0]
    assert process.returncode == 5, out[-3000:]
    assert "error: not connected to 127.0.0.1:9: " in out
    assert "is the sandbox running?" in out
    assert time.monotonic() - started < 12  # a few refused attempts, not the patience of 15 s


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
