"""The commands that belong to MetaTrader, from the command line to what they print."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgpack
import numpy as np
import pytest

from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit import mt5 as kit
from tests.kit.ctrader import Recorder
from tests.kit.mt5_scene import order
from tests.kit.ports import free_port

ROOT = Path(__file__).parents[2]


def run(*args: str, timeout_s: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pepperstone_adapter", *args]
    whole = {**os.environ, **env}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, cwd=ROOT, check=False, env=whole)


def account(port: int) -> list[str]:
    values = {"environment": "sandbox", "terminal": "local", "port": port}
    return [arg for key, value in values.items() for arg in ("--set", f"account.{key}={value}")]


def test_the_probe_reads_a_terminal_and_changes_nothing(tmp_path: Path) -> None:
    with kit.broker(tmp_path, selected=("EURUSD",)) as broker:
        done = run("probe", "mt5", "--account", "3000001", *account(broker.ports.mt5), "--json")
        assert done.returncode == 0, done.stderr
        found = {finding["question"]: finding["answer"] for finding in json.loads(done.stdout)}
        assert found["execution and filling flags"] == "market, IOC: 3"
        assert "agrees with the rule" in found["server clock"]
        assert broker.terminal.selected == {"EURUSD"}
        assert not broker.terminal.ledger.accounts[3_000_001].orders


def test_a_sandbox_that_does_not_run_is_said_soon_with_its_address_and_what_to_start() -> None:
    port = free_port()
    done = run("probe", "mt5", "--account", "3000001", *account(port), timeout_s=90)
    assert done.returncode == 5
    words = f"the simulated terminal should listen on 127.0.0.1:{port}: start `pepperstone sandbox`"
    assert words in done.stderr.strip().splitlines()[-1]


def test_the_probe_speaks_the_brokers_own_names(tmp_path: Path) -> None:
    with kit.broker(tmp_path, selected=("XAUUSD",), suffix=".a") as broker:
        symbols = ["--set", "account.symbols=[XAUUSD, NOSUCH]"]
        done = run("probe", "mt5", "--account", "3000001", *account(broker.ports.mt5), *symbols, "--json")
        assert done.returncode == 0, done.stderr
        found = {finding["question"]: finding["answer"] for finding in json.loads(done.stdout)}
        assert found["symbols"] == "3; after the dot: a × 3"
        assert found["NOSUCH"].startswith("the account has no such symbol")
        assert "contract 100," in found["XAUUSD.a"]
        assert "EURUSD.a" not in found


def test_the_symbols_it_writes_are_the_symbols_of_the_next_sandbox(tmp_path: Path) -> None:
    file = tmp_path / "symbols.json"
    settings = {"suffix": ".a", "symbol": {"filling": 1, "stops_level": 15}}
    with kit.broker(tmp_path / "one", selected=("EURUSD",), **settings) as broker:
        done = run("probe", "mt5", "--account", "3000001", *account(broker.ports.mt5), "--symbols", str(file), "--json")
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)
        before = {s[-2]: s for s in broker.call(lambda: [broker.terminal.symbol_row(n) for n in broker.terminal.rules])}
    written = file.read_text()
    assert [symbol["name"] for symbol in json.loads(written)["symbols"]] == ["EURUSD.a", "USDJPY.a", "XAUUSD.a"]
    assert not [word for word in ("3000001", "10000.0", "Sandbox-MT5", "Trader") if word in written]
    with kit.broker(tmp_path / "two", symbol_dump=str(file)) as again, kit.gateway(again, tmp_path) as gate:
        rows = again.call(lambda: [again.terminal.symbol_row(n) for n in again.terminal.rules])
        assert {row[-2]: row[20:30] for row in rows} == {name: row[20:30] for name, row in before.items()}

        async def trade() -> None:
            session, told = kit.session_of(gate, symbols=("EURUSD",)), Recorder()
            await session.connect(told)
            await session.submit(order())
            await told.until(lambda: "filled" in told.changes("O-1"))
            await session.close()

        asyncio.run(asyncio.wait_for(trade(), 30))
        assert again.violations() == []


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with kit.broker(tmp_path, selected=("EURUSD",)) as broker:
        nowhere = str(tmp_path)  # a folder
        done = run("probe", "mt5", "--account", "3000001", *account(broker.ports.mt5), "--symbols", nowhere)
        assert done.returncode == 2
        assert "cannot be written" in done.stderr


def test_a_probe_of_another_account_ends_with_the_code_of_credentials(tmp_path: Path) -> None:
    with kit.broker(tmp_path) as broker, kit.gateway(broker, tmp_path) as gate:
        done = run(
            "probe",
            "mt5",
            "--account",
            "4000004",
            "--set",
            f"account.port={gate.port}",
            PEPPERSTONE_MT5_GATEWAY_TOKEN=kit.TOKEN,
        )
        assert done.returncode == 4
        assert done.stderr.strip().splitlines()[-1].startswith("error: WRONG_ACCOUNT")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--host", "0.0.0.0"), "needs a token"),  # noqa: S104
        (("--port", "70000"), "65535"),
    ],
)
def test_a_gateway_that_would_be_unsafe_does_not_start(args: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = run("mt5-gateway", *args, "--state-dir", str(tmp_path))
    assert done.returncode == 2
    assert words in done.stderr


def test_the_bundle_is_one_file_that_runs_without_this_package(tmp_path: Path) -> None:
    target = tmp_path / "gateway.pyz"
    assert run("mt5-gateway", "--bundle", str(target)).returncode == 0
    done = subprocess.run(
        [sys.executable, str(target), "--help"], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=True
    )
    assert "mt5-gateway" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="makes links")
def test_the_bundle_and_its_worker_need_msgpack_and_numpy_only(tmp_path: Path) -> None:
    """An interpreter that has nothing installed, as one under Wine; the stand-in says that it cannot log in."""
    target, packages = tmp_path / "gateway.pyz", tmp_path / "packages"
    assert run("mt5-gateway", "--bundle", str(target)).returncode == 0
    packages.mkdir()
    for folder in {Path(msgpack.__path__[0]), *Path(np.__path__[0]).parent.glob("numpy*")}:
        (packages / folder.name).symlink_to(folder)
    (packages / "terminal.py").write_text(
        "class Terminal:\n"
        "    def initialize(self, *args, **options): return False\n"
        "    def last_error(self): return (-6, 'Terminal: Authorization failed')\n"
    )
    bare = {"PYTHONPATH": str(packages), "PYTHONNOUSERSITE": "1"}
    command = [sys._base_executable, "-S", str(target), "--terminal", "terminal:Terminal", "--port", "0"]
    gateway = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=bare)
    assert gateway.stderr is not None
    try:
        said = ""
        while "starting another" not in said:
            line = gateway.stderr.readline()
            assert line, said
            said += line
        assert "terminal gone in initialize: -6 Terminal: Authorization failed" in said
        assert "starting another in 60.0 s" in said  # wrong sign-ins one after the other may close the account
        assert "Traceback" not in said
    finally:
        gateway.terminate()
        gateway.communicate(timeout=20)
    assert gateway.returncode == 0


def download(broker: Sandbox, catalog: Path) -> list[str]:
    """Six hours of minutes, up to an hour ago."""
    end = datetime.fromtimestamp(broker.clock.now_ns() // 10**9 // 60 * 60, UTC) - timedelta(hours=1)
    return [
        "data", "download", "--account", "3000001", "--set", "account.platform=mt5", *account(broker.ports.mt5),
        "--symbol", "EURUSD", "--period", "M1", "--start", (end - timedelta(hours=6)).isoformat(),
        "--end", end.isoformat(), "--catalog", str(catalog), "--json",
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_ends_a_download_in_the_middle_of_a_page(tmp_path: Path) -> None:
    with kit.broker(tmp_path, history_days=2, hold_gil=True) as broker:
        kit.fault(broker, "hang_before", "copy_rates_range", seconds=60.0)  # the terminal fetches it from its server
        command = [sys.executable, "-m", "pepperstone_adapter", *download(broker, tmp_path / "catalog")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        end_s = time.monotonic() + 60
        while not broker.call(lambda: broker.terminal.faults._armed[0].done):
            assert process.poll() is None
            assert time.monotonic() < end_s
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=40)  # a worker that hangs is killed after 2 s
        assert process.returncode == 130
        assert "run the same command again to go on" in said


def test_bars_are_downloaded_and_a_second_run_asks_for_nothing(tmp_path: Path) -> None:
    with kit.broker(tmp_path, history_days=2) as broker:
        args = download(broker, tmp_path / "catalog")
        first, second = run(*args), run(*args)
        assert first.returncode == second.returncode == 0, first.stderr
        (done,), (again,) = json.loads(first.stdout), json.loads(second.stdout)
        assert 6 * 60 in done.values()  # a bar for each of six hours' minutes
        assert 6 * 60 not in again.values()
