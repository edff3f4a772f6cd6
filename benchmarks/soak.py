"""A day of quotes and orders through a live node in about a minute: how much memory it keeps.

Prints one JSON line. A simulated hour is `--ticks` quotes a second's worth (36,000 by default) as fast as the node takes
them, and some market orders, each opened and closed by its ticket. Resident memory is read at the end of each hour,
after a collection. The first two hours warm up (the framework's caches fill to their capacity).

`grown_mib` is what the rest of the day added; target: under 20. The reference is the day's own first half:
`ratio` is the growth per hour of the second half over that of the first (a leak stays at 1, caches fall towards 0).
"""

import argparse
import asyncio
import gc
import json
import threading

import numpy as np
from live_path import SYMBOL, rss_mib, run_node, server, until
from nautilus_trader.model import InstrumentId, OrderSide, Quantity
from nautilus_trader.trading import Strategy, StrategyConfig

EURUSD = InstrumentId.from_str(f"{SYMBOL}.PEPPERSTONE")
WARM_HOURS = 2
FLOOD_PER_S = 50_000


class DayTrader(Strategy):
    """Counts quotes; opens and closes a position when told."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig(log_events=False, log_commands=False))
        self.quotes = self.fills = self.closed = 0
        self.refused: list[str] = []

    def on_start(self) -> None:
        self.subscribe_quotes(EURUSD)

    def on_quote(self, _quote) -> None:
        self.quotes += 1

    def on_order_filled(self, _event) -> None:
        self.fills += 1

    def on_order_denied(self, event) -> None:
        self.refused.append(str(event.reason))

    def on_order_rejected(self, event) -> None:
        self.refused.append(str(event.reason))

    def on_position_closed(self, _event) -> None:
        self.closed += 1

    def open(self) -> None:
        self.submit_order(self.order_factory.market(EURUSD, OrderSide.BUY, Quantity(1_000, 0)))

    def close(self) -> None:
        self.close_all_positions(EURUSD)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--ticks", type=int, default=10, help="Quotes a simulated second.")
    parser.add_argument("--orders", type=int, default=18, help="Round trips a simulated hour.")
    args = parser.parse_args()
    trader, memory = DayTrader(), []
    threads = []
    with server() as started:

        async def work() -> None:
            await until(lambda: trader.quotes > 0, 10)
            for _ in range(args.hours):
                due = trader.quotes + args.ticks * 3_600
                await started.ask("flood", count=args.ticks * 3_600, rate=FLOOD_PER_S)
                await until(lambda due=due: trader.quotes >= due, 20)
                for _ in range(args.orders):
                    fills, closed = trader.fills, trader.closed
                    trader.open()
                    await until(lambda fills=fills: trader.fills > fills or bool(trader.refused), 10)
                    trader.close()
                    await until(lambda closed=closed: trader.closed > closed or bool(trader.refused), 10)
                    await asyncio.sleep(0.03)
                gc.collect()
                memory.append(rss_mib())
                threads.append(threading.active_count())

        run_node(started, trader, work)
    kept = np.array(memory[WARM_HOURS:])
    half = len(kept) // 2
    first, second = (kept[half] - kept[0]) / half, (kept[-1] - kept[half]) / (len(kept) - 1 - half)
    print(
        json.dumps({
            "benchmark": "soak", "hours": args.hours, "quotes": trader.quotes, "round_trips": trader.closed,
            "refused": len(trader.refused), "memory_mib": round(float(kept[0]), 1),
            "grown_mib": round(float(kept[-1] - kept[0]), 1), "extra_threads": threads[-1] - threads[WARM_HOURS],
            "mib_per_hour_first_half": round(float(first), 2), "mib_per_hour_second_half": round(float(second), 2),
            "ratio": round(float(second / first), 2) if first > 0 else 0.0,
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()
