"""What the benchmarks of the live path share: a sandbox in a process of its own that can flood a client with prices, and
a live node on it.

The price of a flooded quote says which one it is (`sequence`), so a receiver can tell loss from delay and look up when
it was handed to the server's socket (CLOCK_MONOTONIC, the same in both processes).
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

FIRST_POINTS, CYCLE = 110_000, 50_000  # below twice the first price, so that no jump is held back
SYMBOL = "EURUSD"
ACCOUNT_ID, LOGIN = 1001, 5001
OTHER_ID, OTHER_LOGIN = 1002, 5002  # nobody's but the raw client's
FLUSH_S = 0.001


def sequence(points: np.ndarray) -> np.ndarray:
    """Running numbers of flooded quotes from their bids (points), also over many cycles."""
    step = np.diff(points - FIRST_POINTS, prepend=0)
    return np.cumsum(np.where(step < -CYCLE // 2, step + CYCLE, step))


def pin(core: int) -> None:
    """Keep this process on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})


# -- the server's side ------------------------------------------------------------------------------------------------


def flood(venue: Any, count: int, rate: float) -> Any:
    """Write `count` spot frames to every subscriber at `rate` a second, as the socket takes them; yield send times."""
    from pepperstone_adapter import openapi
    from pepperstone_adapter.openapi import messages as oa

    symbol_id = venue.directory.symbol_ids[SYMBOL]
    links = [
        (connection, account_id)
        for connection in venue.connections
        for account_id, wanted in connection.subscriptions.items()
        if SYMBOL in wanted.spots
    ]
    frames = []
    for _, account_id in links[:1]:
        for n in range(min(count, CYCLE)):
            price = (FIRST_POINTS + n) * 1  # five digits: a point is the wire's unit
            spot = oa.SpotEvent(ctidTraderAccountId=account_id, symbolId=symbol_id, bid=price, ask=price + 10)
            data = openapi.encode(spot)
            frames.append(len(data).to_bytes(4) + data)

    async def run() -> list[int]:
        times: list[int] = []
        began = time.perf_counter()
        while len(times) < count:
            due = min(count, int((time.perf_counter() - began) * rate) + 1)
            if due > len(times):
                batch = b"".join(frames[n % CYCLE] for n in range(len(times), due))
                now = time.perf_counter_ns()
                for connection, _ in links:
                    connection._sink.write(batch)
                times += [now] * (due - len(times))
            await asyncio.sleep(FLUSH_S)
        return times

    return run()


def serve(folder: Path) -> None:
    """Serve a sandbox; commands are JSON lines on standard input."""
    from pepperstone_adapter.sandbox.server import settings_for_tests, start

    pin(1)
    settings = settings_for_tests(
        folder,
        accounts=[{"id": ACCOUNT_ID, "login": LOGIN}, {"id": OTHER_ID, "login": OTHER_LOGIN}],
        limits={"enabled": False},
        symbols={"always_open": True},
    )
    with start(settings) as sandbox:
        for symbol, bid, ask in ((SYMBOL, "1.10000", "1.10010"), ("GBPUSD", "1.30000", "1.30010")):
            sandbox.push(symbol, bid, ask)
        symbol_id = sandbox.venue.directory.symbol_ids[SYMBOL]
        say({"port": sandbox.ports.demo, "ca_file": str(sandbox.ca_file), "symbol_id": symbol_id})
        for line in sys.stdin:
            told = json.loads(line)
            if told["do"] == "flood":
                work = sandbox.call(flood, sandbox.venue, told["count"], told["rate"])
                times = asyncio.run_coroutine_threadsafe(work, sandbox.loop).result()
                np.save(folder / "sent.npy", np.array(times))
                say({"sent": len(times)})
            elif told["do"] == "push":
                sandbox.push(SYMBOL, told["bid"], told["ask"])
                say({})
            elif told["do"] == "cut":
                sandbox.call(lambda: [connection.reset() for connection in tuple(sandbox.venue.connections)])
                say({})
            elif told["do"] == "count":
                say(sandbox.call(_count, sandbox.venue))


def _count(venue: Any) -> dict[str, int]:
    """Connections and what is subscribed on them."""
    spots = sum(len(s.spots) for c in venue.connections for s in c.subscriptions.values())
    return {"connections": len(venue.connections), "subscriptions": spots}


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


# -- the client's side ------------------------------------------------------------------------------------------------


class Server:
    """The sandbox process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, __file__, "serve", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        facts = self._read()
        self.port, self.ca_file, self.symbol_id = int(facts["port"]), Path(facts["ca_file"]), int(facts["symbol_id"])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the sandbox process has ended")
        told: dict[str, Any] = json.loads(line)
        return told

    def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._read()

    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        return await asyncio.to_thread(lambda: self.do(command, **arguments))

    def sent_ns(self) -> np.ndarray:
        return np.load(self.folder / "sent.npy")

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as name:
        started = Server(Path(name))
        try:
            yield started
        finally:
            started.stop()


def run_node(started: Server, strategy: Any, work: Callable[[], Awaitable[None]]) -> None:
    """Run a live node with one strategy on the server's account until `work` is done."""
    from pepperstone_adapter.broker.account import Environment
    from pepperstone_adapter.ctrader.config import CTraderAccountSettings
    from pepperstone_adapter.ctrader.factories import account_clients
    from pepperstone_adapter.live.settings import LiveSettings

    account = CTraderAccountSettings(
        account=str(LOGIN),
        environment=Environment.SANDBOX,
        port=started.port,
        ca_file=started.ca_file,
        symbols=(SYMBOL,),
    )
    settings = LiveSettings(accounts=(account,), state_dir=started.folder / "state")
    clients = account_clients(account, settings, None)
    data, execution = (clients.data_config, clients.data_factory), (clients.exec_config, clients.exec_factory)
    run_clients(account.venue, data, execution, strategy, work)


def run_clients(
    venue: str,
    data: tuple[Any, type],
    execution: tuple[Any, type],
    strategy: Any,
    work: Callable[[], Awaitable[None]],
    **engine: Any,
) -> None:
    """Run a node of these clients (configuration and factory) with one strategy until `work` is done."""
    from nautilus_trader.common import Environment as FrameworkEnvironment
    from nautilus_trader.common import LoggerConfig, LogLevel
    from nautilus_trader.live import LiveNode, LiveNodeConfig
    from nautilus_trader.model import TraderId

    from pepperstone_adapter.live.presets import engine_config

    node = LiveNode.build(
        "benchmark",
        LiveNodeConfig(
            trader_id=TraderId("BENCH-001"),
            environment=FrameworkEnvironment.SANDBOX,
            logging=LoggerConfig(stdout_level=LogLevel.ERROR),
            exec_engine=engine_config(engine),
            data_clients={venue: data[0]},
            exec_clients={venue: execution[0]},
            delay_post_stop_secs=0.1,
        ),
        data_factories={venue: data[1]},
        exec_factories={venue: execution[1]},
    )
    node.add_strategy(strategy)

    async def main() -> None:
        handle = node.handle()
        running = asyncio.ensure_future(node.run_async())
        try:
            while not handle.is_running:
                if running.done():
                    await running
                await asyncio.sleep(0.01)
            await work()
        finally:
            handle.stop()
            await running

    asyncio.run(main())
    node.dispose()
    node = None  # the framework allows one node a thread: the next one needs this one gone
    gc.collect()


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> bool:
    """Wait for a condition; say whether it came about."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True


def rss_mib() -> float:
    """Resident memory of this process; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def percentile_ms(ns: np.ndarray, share: float) -> float:
    return round(float(np.percentile(ns, share)) / 1e6, 3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The server of the live benchmarks; they start it themselves.")
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("folder", type=Path)
    serve(parser.parse_args().folder)
