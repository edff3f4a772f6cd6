"""A broker with a MetaTrader terminal, a gateway in front of it, and a session on the gateway, all over real sockets.

The broker runs on a thread of its own, the gateway on another with its own loop, and the gateway's worker in a process
of its own: a test may kill the worker, cut the sockets or freeze the terminal, and judges by the broker's books.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from pepperstone_adapter.mt5.client.gateway_link import GatewayAddress, GatewayLink
from pepperstone_adapter.mt5.client.session import Mt5Account, Mt5Session
from pepperstone_adapter.mt5.gateway.supervisor import GatewayOptions, Supervisor
from pepperstone_adapter.sandbox.clock import BrokerClock
from pepperstone_adapter.sandbox.mt5_terminal.faults import Mt5Fault, Mt5FaultKind
from pepperstone_adapter.sandbox.server import Sandbox, settings_for_tests, start

LOGIN = 3_000_001
NETTING = 3_000_002
TOKEN = "a-token-for-tests-0123456789"
STAND_IN = "pepperstone_adapter.sandbox.mt5_terminal:connect"
NAMES = ("EURUSD", "USDJPY", "XAUUSD")


def broker(path: Path, clock: BrokerClock | None = None, **mt5: Any) -> Sandbox:
    """A sandbox with a terminal, prices pushed by the test."""
    settings = settings_for_tests(path, symbols={"names": NAMES}, mt5={"port": 0, **mt5})
    running = start(settings, clock=clock)
    running.push("EURUSD", "1.10000", "1.10010")
    running.push("USDJPY", "150.000", "150.010")
    running.push("XAUUSD", "2400.00", "2400.20")
    return running


class Gateway:
    """A supervisor on a loop and a thread of its own."""

    def __init__(self, sandbox: Sandbox, path: Path, port: int = 0, **options: Any) -> None:
        facts: dict[str, Any] = {
            "port": port,
            "terminal": STAND_IN,
            "login": {"login": LOGIN, "password": "sandbox"},
            "token": TOKEN,
            "state_dir": path / "gateway",
            "worker_env": {"PEPPERSTONE_SANDBOX_MT5": f"127.0.0.1:{sandbox.ports.mt5}"},
            "fastest_s": 0.002,
            "slowest_s": 0.01,
        }
        self.options = GatewayOptions(**(facts | options))
        self.loop = asyncio.new_event_loop()
        self.supervisor: Supervisor
        self.port = 0
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.result(10)

    def _run(self, ready: "Future[None]") -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.supervisor = Supervisor(self.options)
            self.loop.run_until_complete(self.supervisor.start())
            self.port = self.supervisor.port
        except BaseException as error:
            ready.set_exception(error)
            return
        ready.set_result(None)
        self.loop.run_forever()
        self.loop.run_until_complete(self.supervisor.close())
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        done: Future[Any] = Future()

        def run() -> None:
            try:
                done.set_result(function(*args))
            except BaseException as error:
                done.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return done.result(10)

    def kill_worker(self) -> None:
        pid = self.call(lambda: self.supervisor.worker_pid)
        os.kill(pid, signal.SIGKILL)

    def cut_clients(self) -> None:
        """Every socket of a client breaks; the gateway goes on."""
        self.call(self.supervisor.drop_clients)

    @property
    def restarts(self) -> int:
        return int(self.call(lambda: self.supervisor.restarts))

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(10)


@contextmanager
def gateway(sandbox: Sandbox, path: Path, **options: Any) -> Iterator[Gateway]:
    running = Gateway(sandbox, path, **options)
    try:
        yield running
    finally:
        running.stop()


def session_of(gate: Gateway, login: int = LOGIN, token: str = TOKEN, **account: Any) -> Mt5Session:
    """A session on a gateway; made on the running loop."""
    address = GatewayAddress(port=gate.port, token=token)
    expected = Mt5Account(**{"login": login, "sandbox": True, "connect_timeout_s": 20.0, **account})
    return Mt5Session(expected, lambda on_news: GatewayLink(address, on_news))


def fault(sandbox: Sandbox, kind: Mt5FaultKind | str, fn: str | None = None, **values: Any) -> None:
    rule = Mt5Fault(kind=Mt5FaultKind(kind), fn=fn, **values)
    sandbox.call(sandbox.terminal.faults.add, rule)


def magic_counts(sandbox: Sandbox, login: int = LOGIN) -> dict[int, int]:
    """How many orders the broker has for each magic number: oracle O1 says one each."""
    counts: dict[int, int] = {}
    for order in sandbox.call(lambda: list(sandbox.terminal.ledger.accounts[login].orders.values())):
        if order.magic and not order.closing:
            counts[order.magic] = counts.get(order.magic, 0) + 1
    return counts


def held(sandbox: Sandbox, login: int = LOGIN) -> dict[str, Decimal]:
    """Signed units of each open position at the broker."""

    def read() -> dict[str, Decimal]:
        positions = sandbox.terminal.ledger.accounts[login].positions.values()
        return {str(p.position_id): p.side.sign * p.units for p in positions}

    return sandbox.call(read)
