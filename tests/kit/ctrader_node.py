"""A real LiveNode on the sandbox broker: the cTrader wire over TLS on loopback, judged by the sandbox's books."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nautilus_trader.live import LiveNode

from pepperstone_adapter.ctrader.config import CTraderDataConfig, CTraderExecConfig
from pepperstone_adapter.ctrader.factories import CTraderDataClientFactory, CTraderExecutionClientFactory
from pepperstone_adapter.sandbox.clock import BrokerClock
from pepperstone_adapter.sandbox.server import Sandbox, settings_for_tests, start
from tests.kit.node import DEADLINE_S, Bench, Probe, run_connected

LOGIN, ACCOUNT_ID = "2000001", 1_000_001
PRICES = {"EURUSD": ("1.08500", "1.08507"), "GBPUSD": ("1.26400", "1.26410"), "USDJPY": ("150.000", "150.008")}


@contextmanager
def sandbox(tmp_path: Path, clock: BrokerClock | None = None, **changes: Any) -> Iterator[Sandbox]:
    """A running sandbox with first prices."""
    with start(settings_for_tests(tmp_path / "sandbox", **changes), clock=clock) as broker:
        for symbol, (bid, ask) in PRICES.items():
            broker.push(symbol, bid, ask)
        yield broker


def run_ctrader(
    tmp_path: Path,
    broker: Sandbox,
    script: Callable[[Bench], Awaitable[None]],
    symbols: tuple[str, ...] = ("EURUSD",),
    login: str = LOGIN,
    mode: str = "hedging",
    currency: str = "USD",
    claim: bool = False,
    with_data: bool = True,
    node_options: dict[str, Any] | None = None,
    setup: Callable[[LiveNode], None] | None = None,
    **exec_options: Any,
) -> Bench:
    """Run a node on the sandbox and a script beside it."""
    values = {
        "account": login,
        "environment": "sandbox",
        "symbols": list(symbols),
        "mode": mode,
        "currency": currency,
        "port": broker.ports.demo,
        "ca_file": str(broker.ca_file),
        "connect_timeout_s": DEADLINE_S / 2,
    }
    data = CTraderDataConfig(**values)
    execution = CTraderExecConfig(
        state_dir=str(tmp_path / "state"),
        **{"audit_interval_s": 2.0, "answer_deadline_s": 0.5} | exec_options,
        **values,
    )
    bench = Bench(Probe())
    bench.sandbox = broker
    return run_connected(
        bench,
        data.key,
        script,
        data=(data, CTraderDataClientFactory) if with_data else None,
        execution=(execution, CTraderExecutionClientFactory),
        claim=claim,
        node_options=node_options,
        setup=setup,
    )
