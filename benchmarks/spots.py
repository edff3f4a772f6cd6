"""Spot frames in at the socket to `QuoteTick` in a strategy: how many a second on one core, and how late.

Prints one JSON line. A sandbox in another process floods a whole live node (TLS, frames, messages, network thread, hop,
merge, framework) with single spot frames; the node is pinned to one core. Two runs:

* sustained: frames at `--rate` for `--seconds`; every one must arrive as a quote, none conflated, and the queue must be
  empty soon after: `sustained_per_s` is the count over the time from the first frame sent to the last quote received.
* latency: 5,000 a second; from the frame handed to the server's socket to `on_quote`.

The reference of the same run is the floor of any Python client: decoding such frames and making the quotes of them in a
plain loop, with no socket and no node (`floor_per_s`); `ratio` is sustained over floor.

Targets: `sustained_per_s` at least 50,000, `p99_ms` under 20.
"""

import argparse
import json
import time

import numpy as np
from live_path import FIRST_POINTS, SYMBOL, percentile_ms, pin, run_node, sequence, server, until
from nautilus_trader.model import InstrumentId
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter import openapi
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.ctrader.client.market import tick
from pepperstone_adapter.mapping.data import QuoteScale
from pepperstone_adapter.openapi import messages as oa

EURUSD = InstrumentId.from_str(f"{SYMBOL}.PEPPERSTONE")
LATENCY_RATE = 5_000


class Listener(Strategy):
    """Notes when each quote came and which one it was."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig(log_events=False, log_commands=False))
        self.at: list[int] = []
        self.quotes: list = []

    def on_start(self) -> None:
        self.subscribe_quotes(EURUSD)

    def on_quote(self, quote) -> None:
        self.at.append(time.perf_counter_ns())
        self.quotes.append(quote)

    def take(self) -> tuple[np.ndarray, np.ndarray]:
        """Times and running numbers of the flood's quotes so far, and forget them."""
        points = np.array([round(float(q.bid_price) * 1e5) for q in self.quotes])
        times = np.array(self.at)
        self.at, self.quotes = [], []
        return times, sequence(points)


def floor_per_s(frames: int = 100_000) -> float:
    """Decode frames and make quotes, nothing else."""
    spec = symbol_table.get(SYMBOL)
    scale = QuoteScale(EURUSD, 5, 0)
    data = [openapi.encode(oa.SpotEvent(ctidTraderAccountId=1, symbolId=1, bid=FIRST_POINTS + n, ask=FIRST_POINTS + n + 9))
            for n in range(1_000)]  # fmt: skip
    began = time.perf_counter()
    for n in range(frames):
        decoded = openapi.decode(data[n % 1_000])
        told = tick(decoded.message, spec)
        scale.quote(told.bid, told.ask, n, n)
    return frames / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=60_000)
    parser.add_argument("--seconds", type=float, default=4.0)
    args = parser.parse_args()
    pin(0)
    listener, line = Listener(), {"benchmark": "spots"}
    with server() as started:

        async def work() -> None:
            for name, rate in (("latency", LATENCY_RATE), ("sustained", args.rate)):
                await until(lambda: bool(listener.at), 10)
                listener.take()
                count = int(rate * args.seconds)
                await started.ask("flood", count=count, rate=rate)
                arrived = await until(lambda count=count: len(listener.at) >= count, 15)
                sent = started.sent_ns()
                times, numbers = listener.take()
                delay = times - sent[np.clip(numbers, 0, count - 1)]
                if name == "latency":
                    line.update(latency_rate=rate, p50_ms=percentile_ms(delay, 50), p99_ms=percentile_ms(delay, 99),
                                latency_lost=count - len(times))  # fmt: skip
                else:
                    span_s = (times[-1] - sent[0]) / 1e9
                    line.update(rate=rate, sent=count, lost=count - len(times), complete=arrived,
                                sustained_per_s=round(len(times) / span_s),
                                sustained_p99_ms=percentile_ms(delay, 99),
                                drain_ms=round(float(times[-1] - sent[-1]) / 1e6, 1))  # fmt: skip

        run_node(started, listener, work)
    floor = floor_per_s()
    print(json.dumps({**line, "floor_per_s": round(floor), "ratio": round(line["sustained_per_s"] / floor, 2)}))


if __name__ == "__main__":
    main()
