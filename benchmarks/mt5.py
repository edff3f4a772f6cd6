"""Speed of the MetaTrader path, on the simulated terminal: one JSON line.

* terminal tick to `on_quote` of a strategy in a live node, p50 and p99 in ms, against one polling interval + 2 ms: worker,
  supervisor, socket, session, data client and the framework between them
* the gateway's loop with 100 symbols that have all moved, against 50 ms: every turn of the worker (look, read, send), in a
  process of its own as the worker is; how much of a whole pass over them (several turns) are calls of the terminal's
  module, and how much is our own
* 100 symbols that all moved at once, until a client on the gateway's socket has the new tick of each
* one call over an rpyc server beside the same call over the gateway (the compatibility mode's price)

    uv run python benchmarks/mt5.py
"""

import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.mt5.client.gateway_link import GatewayAddress, GatewayLink
from pepperstone_adapter.mt5.factories import Mt5DataClientFactory, Mt5ExecutionClientFactory
from pepperstone_adapter.mt5.gateway.wire import encode
from pepperstone_adapter.mt5.gateway.worker import Pace, Worker
from pepperstone_adapter.sandbox.mt5_terminal import install
from pepperstone_adapter.sandbox.server import settings_for_tests, start
from tests.kit import mt5 as kit
from tests.kit.mt5_node import configs
from tests.kit.node import Bench, Probe, run_connected

POLL_MS = 10.0
TICKS = 300
PASSES = 200
BOUND_MS = 50.0
SERVER = """
import sys
from pepperstone_adapter.sandbox.mt5_terminal import install
install({"PEPPERSTONE_SANDBOX_MT5": sys.argv[1]}).initialize()
from rpyc.core import SlaveService
from rpyc.utils.server import ThreadedServer
server = ThreadedServer(SlaveService, hostname="127.0.0.1", port=0)
print(server.port, flush=True)
server.start()
"""


class Timed(Probe):
    """Notes when each pushed price came into the strategy."""

    def __init__(self) -> None:
        super().__init__()
        self.pushed: dict[int, int] = {}
        self.took_ms: list[float] = []

    def on_quote(self, quote: Any) -> None:
        now_ns = time.perf_counter_ns()
        pushed_ns = self.pushed.pop(round(float(quote.bid_price) * 1e5), None)
        if pushed_ns is not None:
            self.took_ms.append((now_ns - pushed_ns) / 1e6)
        self.quotes.append(quote)


@contextmanager
def gateway(broker: Any, folder: Path, poll_ms: float) -> Iterator[int]:
    """The gateway's own command in a process of its own; its port."""
    command = [sys.executable, "-m", "pepperstone_adapter.mt5.gateway", "--port", "0", "--terminal", kit.STAND_IN]
    command += ["--login", str(kit.LOGIN), "--state-dir", str(folder / "gateway")]
    command += ["--fastest-ms", str(poll_ms), "--slowest-ms", str(poll_ms)]
    secrets = {"PEPPERSTONE_MT5_PASSWORD": "sandbox", "PEPPERSTONE_MT5_GATEWAY_TOKEN": kit.TOKEN}
    env = {**os.environ, **secrets, "PEPPERSTONE_SANDBOX_MT5": f"127.0.0.1:{broker.ports.mt5}"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stderr is not None
        port = next(int(line.rpartition(":")[2]) for line in process.stderr if "listens on" in line)
        threading.Thread(target=process.stderr.read, daemon=True).start()  # nobody reads its log
        try:
            yield port
        finally:
            process.terminate()


def tick_to_strategy(broker: Any, folder: Path, port: int) -> dict[str, float]:
    """From the push at the broker to `on_quote` of a live node, and one call of its session."""
    os.environ["PEPPERSTONE_MT5_GATEWAY_TOKEN"] = kit.TOKEN
    data, execution = configs(broker, folder, terminal="gateway", port=port)
    timed, calls_ms = Timed(), []

    async def script(bench: Bench) -> None:
        await bench.until(lambda: timed.quotes, "first quote")
        for i in range(TICKS):
            bid = 110_100 + i
            timed.pushed[bid] = time.perf_counter_ns()
            broker.call(broker._quote, "EURUSD", bid, bid + 10)
            await asyncio.sleep(0.017)  # no multiple of the poll, so that every phase of it is met
        await asyncio.sleep(0.2)
        for _ in range(200):
            began = time.perf_counter()
            await bench.connection.session._call("orders_total")
            calls_ms.append((time.perf_counter() - began) * 1000)

    bench = Bench(timed)
    bench.sandbox = broker
    clients = {"data": (data, Mt5DataClientFactory), "execution": (execution, Mt5ExecutionClientFactory)}
    run_connected(bench, data.key, script, **clients)
    return {
        "p50": statistics.median(timed.took_ms),
        "p99": statistics.quantiles(timed.took_ms, n=100)[98],
        "seen": len(timed.took_ms),
        "call": statistics.median(calls_ms),
    }


async def all_of(names: list[str], broker: Any, port: int) -> list[float]:
    """Milliseconds until a client has the new ticks of all symbols, which moved at once; a pause of 1 ms between polls."""
    loop = asyncio.get_running_loop()
    waiting: set[str] = set()
    done = asyncio.Event()

    def on_news(news: Any) -> None:
        waiting.difference_update(
            item["symbol"] for item in news if isinstance(item, dict) and item.get("k") == "ticks"
        )
        if not waiting:
            done.set()

    def move(turn: int) -> None:
        for name in names:
            broker._quote(name, 110_000 + turn, 110_010 + turn)

    link = GatewayLink(GatewayAddress(port=port, token=kit.TOKEN), on_news)
    await link.open(20)
    waiting.update(names)
    broker.call(move, 0)
    for name in names:
        await link.call("subscribe_ticks", name)
    await asyncio.wait_for(done.wait(), 20)
    took_ms = []
    for turn in range(1, 40):
        waiting.update(names)
        done.clear()
        await loop.run_in_executor(None, broker.call, move, turn)
        began = time.perf_counter()
        await asyncio.wait_for(done.wait(), 20)
        took_ms.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.013)
    await link.close()
    return took_ms


class Counted:
    """A terminal's module that measures its calls."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.calls, self.took_s = 0, 0.0

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._module, name)

        def call(*args: Any, **keywords: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **keywords)
            finally:
                self.took_s += time.perf_counter() - began
                self.calls += 1

        return call


def worker_turns(address: str, names: list[str], pipe: Any) -> None:
    """A worker in this process: at each word one pass over the symbols, and back what each turn of it took."""
    module = install({"PEPPERSTONE_SANDBOX_MT5": address})
    assert module.initialize(), module.last_error()
    terminal = Counted(module)
    with Path(os.devnull).open("wb", buffering=0) as out:
        worker = Worker(terminal, lambda message: out.write(encode(message)), Pace(0.01, 0.05))
        for name in names:
            worker.handle({"t": "sub", "on": True, "symbol": name})
        while pipe.recv():
            turns, wait_s = [], 0.0
            while not wait_s:
                terminal.calls, terminal.took_s, began = 0, 0.0, time.perf_counter()
                wait_s = worker.poll(module.sandbox_now_ns())
                turns.append(((time.perf_counter() - began) * 1000, terminal.took_s * 1000, terminal.calls))
            pipe.send(turns)


def loop_turns(names: list[str], broker: Any) -> dict[str, float]:
    """Milliseconds of the worker's turns and passes; all symbols move before each pass."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    address = f"127.0.0.1:{broker.ports.mt5}"
    child = context.Process(target=worker_turns, args=(address, names, theirs), daemon=True)
    child.start()
    theirs.close()  # a worker that ends is an end of the pipe

    def move(turn: int) -> None:
        for name in names:
            broker._quote(name, 120_000 + turn, 120_010 + turn)

    passes = []
    for turn in range(PASSES + 1):
        broker.call(move, turn)
        ours.send(True)
        passes.append(ours.recv())
    ours.send(False)
    child.join(10)
    passes = passes[1:]  # the first one only finds where to begin
    turns = [took for one in passes for took, _, _ in one]
    return {
        "median": statistics.median(turns),
        "p95": statistics.quantiles(turns, n=20)[18],
        "worst": max(turns),
        "over": sum(took > BOUND_MS for took in turns),
        "all": len(turns),
        "turns": len(turns) / PASSES,
        "calls": statistics.median(sum(calls for _, _, calls in one) for one in passes),
        "in_calls": statistics.median(sum(waited for _, waited, _ in one) for one in passes),
        "own": statistics.median(sum(took - waited for took, waited, _ in one) for one in passes),
    }


def over_symbols(folder: Path) -> tuple[dict[str, float], list[float]]:
    """See `loop_turns` and `all_of`; 100 symbols of the Market Watch."""
    names = list(symbol_table.load())[:100]
    overrides = {}
    while len(names) < 100:
        name = f"EURUSD{len(names)}"
        overrides[name] = {"like": "EURUSD"}
        names.append(name)
    settings = settings_for_tests(
        folder,
        symbols={"names": names, "overrides": overrides},
        mt5={"port": 0, "selected": names, "accounts": [{"login": kit.LOGIN}]},
    )
    with start(settings) as broker:
        turns = loop_turns(names, broker)
        with gateway(broker, folder, 1.0) as port:
            return turns, asyncio.run(all_of(names, broker, port))


def rpyc_call(broker: Any) -> float | None:
    """Median milliseconds of one call by value over an rpyc server of the terminal; None without rpyc."""
    try:
        from pepperstone_adapter.mt5.client.rpyc_terminal import connect as rpyc_connect
    except ImportError:
        return None
    address = f"127.0.0.1:{broker.ports.mt5}"
    with subprocess.Popen([sys.executable, "-c", SERVER, address], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        terminal = rpyc_connect({"PEPPERSTONE_MT5_RPYC_PORT": server.stdout.readline().strip()})
        took_ms = []
        for _ in range(200):
            began = time.perf_counter()
            terminal.symbol_info_tick("EURUSD")
            took_ms.append((time.perf_counter() - began) * 1000)
        terminal.shutdown()
        server.kill()
    return statistics.median(took_ms)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with kit.broker(folder / "broker", selected=("EURUSD",)) as broker:
            with gateway(broker, folder, POLL_MS) as port:
                ticks = tick_to_strategy(broker, folder, port)
            rpyc_ms = rpyc_call(broker)
        turns, all_ms = over_symbols(folder / "many")
    print(
        json.dumps(
            {
                "benchmark": "mt5",
                "poll_ms": POLL_MS,
                "tick_to_strategy_p50_ms": round(ticks["p50"], 2),
                "tick_to_strategy_p99_ms": round(ticks["p99"], 2),
                "ticks_seen": ticks["seen"],
                "ratio_p50_to_bound": round(ticks["p50"] / (POLL_MS + 2), 2),
                "turn_100_symbols_ms": round(turns["median"], 1),
                "turn_100_symbols_p95_ms": round(turns["p95"], 1),
                "turn_100_symbols_worst_ms": round(turns["worst"], 1),
                "ratio_worst_turn_to_bound": round(turns["worst"] / BOUND_MS, 2),
                "turns_over_bound": f"{turns['over']} of {turns['all']}",
                "pass_turns": round(turns["turns"], 1),
                "pass_calls": round(turns["calls"]),
                "pass_in_calls_ms": round(turns["in_calls"], 1),
                "pass_own_ms": round(turns["own"], 1),
                "all_100_at_client_ms": round(statistics.median(all_ms), 1),
                "all_100_at_client_p95_ms": round(statistics.quantiles(all_ms, n=20)[18], 1),
                "gateway_call_ms": round(ticks["call"], 2),
                "rpyc_call_ms": None if rpyc_ms is None else round(rpyc_ms, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
