"""Speed of the MetaTrader path, on the simulated terminal: one JSON line.

* terminal tick to strategy side (the session's callback), p50 and p99 in ms, against one polling interval
* one loop of the poller over 100 symbols, against 50 ms
* one call over an rpyc server beside the same call over the gateway (the compatibility mode's price)

    uv run python benchmarks/mt5.py
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.market import Tick
from pepperstone_adapter.mt5.gateway.polling import Poller
from pepperstone_adapter.sandbox.mt5_terminal import connect
from pepperstone_adapter.sandbox.server import settings_for_tests, start
from tests.kit import mt5 as kit

POLL_MS = 10.0
TICKS = 300
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


async def tick_to_strategy(broker: Any, gate: Any) -> dict[str, float]:
    took_ms: list[float] = []
    pushed: dict[int, int] = {}

    def on_events(events: Any) -> None:
        now_ns = time.perf_counter_ns()
        took_ms.extend((now_ns - pushed.pop(e.bid)) / 1e6 for e in events if isinstance(e, Tick) and e.bid in pushed)

    session = kit.session_of(gate)
    await session.connect(on_events)
    await session.subscribe_quotes(["EURUSD"])
    await asyncio.sleep(0.2)
    for i in range(TICKS):
        bid = 110_100 + i
        pushed[bid] = time.perf_counter_ns()
        broker.call(broker._quote, "EURUSD", bid, bid + 10)
        await asyncio.sleep(0.017)  # no multiple of the poll, so that every phase of it is met
    await asyncio.sleep(0.2)
    calls_ms = []
    for _ in range(200):
        began = time.perf_counter()
        await session._call("orders_total")
        calls_ms.append((time.perf_counter() - began) * 1000)
    await session.close()
    return {
        "p50": statistics.median(took_ms),
        "p99": statistics.quantiles(took_ms, n=100)[98],
        "seen": len(took_ms),
        "call": statistics.median(calls_ms),
    }


def loop_over_symbols(folder: Path) -> float:
    """Median milliseconds of one poll of 100 symbols that all just moved."""
    names = list(symbol_table.load())[:100]
    overrides = {}
    while len(names) < 100:
        name = f"EURUSD{len(names)}"
        overrides[name] = {"like": "EURUSD"}
        names.append(name)
    settings = settings_for_tests(
        folder, symbols={"names": names, "overrides": overrides}, mt5={"port": 0, "selected": names}
    )
    with start(settings) as broker:
        module = connect({"PEPPERSTONE_SANDBOX_MT5": f"127.0.0.1:{broker.ports.mt5}"})
        assert module.initialize()
        poller = Poller(module)
        took_ms = []
        for turn in range(12):
            for name in names:
                broker.call(broker._quote, name, 110_000 + turn, 110_010 + turn)
                if turn == 0:
                    poller.subscribe(name, None)
            began = time.perf_counter()
            poller.poll(time.time_ns())
            took_ms.append((time.perf_counter() - began) * 1000)
        module.shutdown()
    return statistics.median(took_ms[2:])


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
        pace = {"fastest_s": POLL_MS / 1000, "slowest_s": POLL_MS / 1000}
        with kit.broker(folder / "broker", selected=("EURUSD",)) as broker, kit.gateway(broker, folder, **pace) as gate:
            ticks = asyncio.run(tick_to_strategy(broker, gate))
            rpyc_ms = rpyc_call(broker)
        loop_ms = loop_over_symbols(folder / "many")
    print(
        json.dumps(
            {
                "benchmark": "mt5",
                "poll_ms": POLL_MS,
                "tick_to_strategy_p50_ms": round(ticks["p50"], 2),
                "tick_to_strategy_p99_ms": round(ticks["p99"], 2),
                "ticks_seen": ticks["seen"],
                "ratio_p50_to_bound": round(ticks["p50"] / (POLL_MS + 2), 2),
                "loop_100_symbols_ms": round(loop_ms, 1),
                "ratio_loop_to_bound": round(loop_ms / 50, 2),
                "gateway_call_ms": round(ticks["call"], 2),
                "rpyc_call_ms": None if rpyc_ms is None else round(rpyc_ms, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
