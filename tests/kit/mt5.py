"""A broker with a MetaTrader terminal, a gateway in front of it, and a session on the gateway, all over real sockets.

The broker runs on a thread of its own, the gateway on another with its own loop, and the gateway's worker in a process
of its own: a test may kill the worker, cut the sockets or freeze the terminal, and judges by the broker's books.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from pepperstone_adapter.common.backoff import Backoff
from pepperstone_adapter.mt5.client.account import Mt5Account
from pepperstone_adapter.mt5.client.gateway_link import GatewayAddress, GatewayLink
from pepperstone_adapter.mt5.client.session import Mt5Session
from pepperstone_adapter.mt5.gateway.hosted import HostedGateway
from pepperstone_adapter.mt5.gateway.options import GatewayOptions
from pepperstone_adapter.sandbox.clock import BrokerClock
from pepperstone_adapter.sandbox.mt5_terminal.faults import Mt5Fault, Mt5FaultKind
from pepperstone_adapter.sandbox.server import Sandbox, settings_for_tests, start

LOGIN = 3_000_001
NETTING = 3_000_002
TOKEN = "a-token-for-tests-0123456789"
STAND_IN = "pepperstone_adapter.sandbox.mt5_terminal:connect"
QUICK = Backoff(initial_s=0.02, factor=2.0, max_s=0.2, jitter=0.4)  # a cut link tries again about 25 times sooner
NAMES = ("EURUSD", "USDJPY", "XAUUSD")


def broker(path: Path, clock: BrokerClock | None = None, history_days: int = 0, **mt5: Any) -> Sandbox:
    """A sandbox with a terminal, prices pushed by the test."""
    settings = settings_for_tests(
        path,
        symbols={"names": NAMES},
        mt5={"port": 0, **mt5},
        tape={"source": "walk" if history_days else "none", "history_days": history_days, "ticks_per_s": 0.001},
    )
    running = start(settings, clock=clock)
    running.push("EURUSD", "1.10000", "1.10010")
    running.push("USDJPY", "150.000", "150.010")
    running.push("XAUUSD", "2400.00", "2400.20")
    return running


class Gateway:
    """A gateway on a loop and a thread of its own, with its worker in a process of its own."""

    def __init__(self, sandbox: Sandbox, path: Path, **options: Any) -> None:
        facts: dict[str, Any] = {
            "port": 0,
            "terminal": STAND_IN,
            "login": {"login": LOGIN, "password": "sandbox"},
            "token": TOKEN,
            "state_dir": path / "gateway",
            "worker_env": {"PEPPERSTONE_SANDBOX_MT5": f"127.0.0.1:{sandbox.ports.mt5}"},
            "fastest_s": 0.002,
            "slowest_s": 0.01,
        }
        self.hosted = HostedGateway(GatewayOptions(**(facts | options)))
        self.port = self.hosted.port

    @property
    def worker_pid(self) -> int:
        pid = self.hosted.call(lambda: self.hosted.supervisor.worker_pid)
        assert pid is not None
        return pid

    def kill_worker(self) -> None:
        os.kill(self.worker_pid, signal.SIGKILL)

    def cut_clients(self) -> None:
        """Every socket of a client breaks; the gateway goes on."""
        self.hosted.call(self.hosted.supervisor.drop_clients)

    @property
    def restarts(self) -> int:
        return self.hosted.call(lambda: self.hosted.supervisor.restarts)

    def stop(self) -> None:
        self.hosted.stop()


@contextmanager
def gateway(sandbox: Sandbox, path: Path, **options: Any) -> Iterator[Gateway]:
    running = Gateway(sandbox, path, **options)
    try:
        yield running
    finally:
        running.stop()


def session_of(
    gate: Gateway,
    login: int = LOGIN,
    token: str = TOKEN,
    now_ns: Callable[[], int] = time.time_ns,
    **account: Any,
) -> Mt5Session:
    """A session on a gateway; made on the running loop."""
    address = GatewayAddress(port=gate.port, token=token)
    expected = Mt5Account(**{"login": login, "sandbox": True, "connect_timeout_s": 30.0, **account})
    return Mt5Session(expected, lambda on_news: GatewayLink(address, on_news, QUICK), now_ns)


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
