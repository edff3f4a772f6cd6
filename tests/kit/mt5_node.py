"""A real LiveNode on the sandbox's MetaTrader terminal: gateway and worker process of its own, judged by the books."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nautilus_trader.live import LiveNode

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.live.factories import shared_connection
from pepperstone_adapter.mt5.config import Mt5DataConfig, Mt5ExecConfig
from pepperstone_adapter.mt5.factories import Mt5DataClientFactory, Mt5ExecutionClientFactory, session_of
from pepperstone_adapter.sandbox.clock import BrokerClock
from pepperstone_adapter.sandbox.report import books
from pepperstone_adapter.sandbox.server import Sandbox, settings_for_tests, start
from tests.kit.ctrader_node import PRICES
from tests.kit.node import DEADLINE_S, Bench, Probe, run_connected

LOGIN = 3_000_001
FOK_AND_IOC = {"filling": 3}


@contextmanager
def sandbox(
    tmp_path: Path, mt5: dict[str, Any] | None = None, clock: BrokerClock | None = None, **changes: Any
) -> Iterator[Sandbox]:
    """A running sandbox with a terminal and first prices."""
    terminal = {"port": 0, "symbol": FOK_AND_IOC, **(mt5 or {})}
    with start(settings_for_tests(tmp_path / "sandbox", mt5=terminal, **changes), clock=clock) as broker:
        for symbol, (bid, ask) in PRICES.items():
            broker.push(symbol, bid, ask)
        yield broker


def report(broker: Sandbox, login: int = LOGIN) -> dict[str, Any]:
    """Orders, positions, deals and money of an account at the terminal's broker."""
    found: dict[str, Any] = broker.call(books, broker.terminal.ledger, login)
    return found


def configs(broker: Sandbox, tmp_path: Path, **changes: Any) -> tuple[Mt5DataConfig, Mt5ExecConfig]:
    """Configurations of both clients, on a gateway of the node's own."""
    trading = {"audit_interval_s": 2.0, "answer_deadline_s": 0.5}
    trading |= {name: changes.pop(name) for name in ("answer_deadline_s", "give_up_after_s") if name in changes}
    values = {
        "account": str(LOGIN),
        "environment": "sandbox",
        "terminal": "local",
        "symbols": ["EURUSD"],
        "port": broker.ports.mt5,
        "hours": "always",
        "gateway_dir": str(tmp_path / "gateway"),
        "connect_timeout_s": DEADLINE_S / 2,
        **changes,
    }
    execution = Mt5ExecConfig(state_dir=str(tmp_path / "state5"), **trading, **values)
    return Mt5DataConfig(**values), execution


def run_mt5(
    tmp_path: Path,
    broker: Sandbox,
    script: Callable[[Bench], Awaitable[None]],
    node_options: dict[str, Any] | None = None,
    setup: Callable[[LiveNode], None] | None = None,
    claim: bool = False,
    speed: float = 1.0,
    **changes: Any,
) -> Bench:
    """Run a node on the terminal and a script beside it; with a `speed` it lives by the broker's clock, which has it."""
    data, execution = configs(broker, tmp_path, **changes)
    if speed != 1.0:
        shared_connection(
            data.key,
            lambda: session_of(data, now_ns=broker.clock.now_ns, pause=lambda s: asyncio.sleep(s / speed)),
            venue=data.venue,
            symbols=tuple(data.symbols),
            environment=Environment.SANDBOX,
            account_number=data.account,
            confirm_live=None,
        )
    bench = Bench(Probe())
    bench.sandbox = broker
    return run_connected(
        bench,
        data.key,
        script,
        data=(data, Mt5DataClientFactory),
        execution=(execution, Mt5ExecutionClientFactory),
        claim=claim,
        node_options=node_options,
        setup=setup,
    )
