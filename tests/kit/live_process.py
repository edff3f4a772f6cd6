"""`pepperstone live` in a process of its own, with a strategy that takes a position and leaves an order working."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pepperstone_adapter.sandbox.report import books
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.ctrader_node import ACCOUNT_ID, LOGIN

ROOT = Path(__file__).resolve().parents[2]
STRATEGY = '''
from nautilus_trader.model import InstrumentId, OrderSide, Price, Quantity
from nautilus_trader.trading import Strategy, StrategyConfig


class OneOfEachConfig(StrategyConfig):
    def __init__(
        self,
        *,
        instrument_id: str,
        above: float = 0,
        stop_after: bool = False,
        again: bool = False,
        tidy: bool = False,
        **_: object,
    ) -> None:
        self.instrument_id = InstrumentId.from_str(instrument_id)
        self.above = above
        self.stop_after = stop_after
        self.again = again
        self.tidy = tidy


class OneOfEach(Strategy):
    """A position and a working order, then nothing."""

    def __init__(self, config: OneOfEachConfig) -> None:
        super().__init__(config)
        self._config = config
        self._done = False

    def on_start(self) -> None:
        self.subscribe_quotes(self._config.instrument_id)

    def on_stop(self) -> None:
        if self._config.tidy:
            self.close_all_positions(self._config.instrument_id)

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
        pipesize=1 << 20,  # most tests read at the end only; a fine log fills what a pipe holds by itself in seconds
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
