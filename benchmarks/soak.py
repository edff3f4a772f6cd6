"""A day of quotes and orders through a live node in a minute or two: how much memory it keeps.

Prints one JSON line. A simulated hour is `--ticks` quotes a second's worth (36,000 by default) in a stream that the node
keeps up with, and some market orders, each opened and closed by its ticket. Resident memory is read at the end of each
hour, after a collection. Two hours warm up (the framework's caches fill to their capacity) before the day is read.

`grown_mib` is the median of the day's last three readings less the median of its first three; target: under 20. A single
reading may hold pages that the framework's allocator has freed and not yet given back; `highest_mib` is how far the
highest reading of the day lies above the first three. The reference is the day's own first half: `ratio` is the growth per
hour of the second half over that of the first (a leak and what is kept of each order stay at 1, caches fall towards 0).
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
DAY_HOURS_AT_LEAST = 5
FLOOD_PER_S = 20_000  # at 50,000 quotes queue up in a node that shares its processors, and readings jump


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
    parser.add_argument("--hours", type=int, default=24, help="Of the day, after the warm-up.")
    parser.add_argument("--ticks", type=int, default=10, help="Quotes a simulated second.")
    parser.add_argument("--orders", type=int, default=18, help="Round trips a simulated hour.")
    args = parser.parse_args()
    if args.hours < DAY_HOURS_AT_LEAST:
        parser.error(f"--hours: at least {DAY_HOURS_AT_LEAST}, three readings at either end are compared")
    trader, memory = DayTrader(), []
    threads = []
    with server() as started:

        async def work() -> None:
            await until(lambda: trader.quotes > 0, 10)
            for _ in range(WARM_HOURS + args.hours):
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
    start, middle, end = (float(np.median(three)) for three in (kept[:3], kept[half - 1 : half + 2], kept[-3:]))
    first, second = (middle - start) / (half - 1), (end - middle) / (len(kept) - 2 - half)
    print(
        json.dumps({
            "benchmark": "soak", "hours": args.hours, "quotes": trader.quotes, "round_trips": trader.closed,
            "refused": len(trader.refused), "memory_mib": round(start, 1), "grown_mib": round(end - start, 1),
            "highest_mib": round(float(kept.max()) - start, 1), "extra_threads": threads[-1] - threads[WARM_HOURS],
            "mib_per_hour_first_half": round(first, 2), "mib_per_hour_second_half": round(second, 2),
            "ratio": round(second / first, 2) if first > 0 else 0.0,
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()
