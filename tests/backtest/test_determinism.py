"""Equal inputs give equal events, in whatever process, hash seed and time zone."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model import BarType, InstrumentId, PriceType
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.backtest.run import run
from pepperstone_adapter.simulation.record import RunRecord
from tests.kit.runs import EURUSD, MONDAY, Steps, buy, plan_steps, quotes

SCRIPT = """
import time
time.tzset()
from decimal import Decimal
from tests.backtest.test_money_by_outsider import Choices, GBPUSD, SYMBOLS, walk
from tests.kit.runs import run_steps
from pepperstone_adapter.simulation.plan import Latency, Slippage
each = (("buy", "EURUSD"), ("sell", "USDJPY"), ("close", "EURGBP"))
choices = [(h, w, s, 10 + h) for h in range(0, 160, 3) for w, s in each]
choices += [(h, w, "EURGBP", 20) for h in range(1, 160, 7) for w in ("buy", "stop")]
for chunk in (None, 50):
    record = run_steps(
        walk("EURUSD", 1), {}, symbol=SYMBOLS["EURUSD"], strategy=Choices(choices), spread=8,
        start_balance=Decimal(30_000),
        others=[(SYMBOLS[n], walk(n, 1)) for n in ("USDJPY", "EURGBP")] + [(GBPUSD, walk("GBPUSD", 1))],
        slippage={n: Slippage(probability=0.5, min_points=1, max_points=9) for n in SYMBOLS},
        latency=Latency(base_ms=50, jitter_ms=200), seed=5, chunk_size=chunk,
    )
    print(record.events_sha256, record.end_balance, record.end_equity, len(record.fills), record.stop_outs)
"""


def outcome(seed: str, zone: str) -> list[str]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:2]


def test_three_processes_agree_in_any_zone_in_one_piece_and_in_many() -> None:
    first = outcome("0", "UTC")
    assert first == outcome("1", "Europe/London") == outcome("random", "Asia/Kolkata")
    assert first[0] == first[1]
    assert int(first[0].split()[3]) > 40


class Listener(Steps):
    """One of several strategies on the same rows; it notes when it is called, with what its own indicator says."""

    def __new__(cls, tag: str, *_args: Any) -> "Listener":
        return Strategy.__new__(cls, StrategyConfig(order_id_tag=tag))  # type: ignore[call-arg]

    def __init__(self, tag: str, acts: dict[int, Any], listen: str, quoted: bool, calls: list[Any]) -> None:
        super().__init__(acts, listen, quoted)
        self.tag, self.calls = tag, calls
        self.average = SimpleMovingAverage(1, PriceType.BID)

    def on_start(self) -> None:
        super().on_start()
        register = self.register_indicator_for_quote_ticks if self.quoted else self.register_indicator_for_bars
        register(InstrumentId.from_str(self.listen) if self.quoted else BarType.from_str(self.listen), self.average)

    def _step(self, row: Any) -> None:
        price = row.bid_price if self.quoted else row.close
        self.calls.append((self.count + 1, self.tag, self.average.value == price.as_double()))
        super()._step(row)


def listeners(market: Any, acts: dict[str, dict[int, Any]]) -> tuple[RunRecord, list[Any]]:
    calls: list[Any] = []
    plan, first = plan_steps(market, {}, leverage=None)
    each = tuple(Listener(tag, acts.get(tag, {}), first.listen, first.quoted, calls) for tag in "ABCDE")
    return run(replace(plan, strategies=each)), calls


PRICES = [1.1, 1.1001, 1.1002, 1.1003]
# Rows of one time are told apart.
QUOTES = replace(quotes(EURUSD, [(p, p) for p in PRICES]), ts_ns=np.repeat(np.int64(MONDAY), len(PRICES)))


@pytest.mark.parametrize("market", [PRICES, QUOTES], ids=["bars", "quotes"])
def test_strategies_on_the_same_rows_act_in_the_order_of_the_settings(market: Any) -> None:
    # The framework draws the order anew in each run: five strategies are in this one in one run of 120.
    acts = {tag: {1: buy(1_000 * n)} for n, tag in enumerate("ABCDE", 1)}
    records = [listeners(market, acts) for _ in range(3)]
    assert all(calls == [(n, tag, True) for n in range(4) for tag in "ABCDE"] for _, calls in records)
    assert [f.units for f in records[0][0].fills] == [1_000, 2_000, 3_000, 4_000, 5_000]
    assert len({record.events_sha256 for record, _ in records}) == 1


def test_a_strategy_that_leaves_does_not_keep_the_others_waiting() -> None:
    def unsubscribe(s: Steps) -> None:
        s.unsubscribe_bars(BarType.from_str(s.listen))

    _, calls = listeners(PRICES, {"B": {0: unsubscribe}, "D": {1: lambda s: s.stop()}})
    assert [(n, tag) for n, tag, _ in calls] == [
        *((0, tag) for tag in "ABCDE"), *((1, tag) for tag in "ACDE"), *((n, tag) for n in (2, 3) for tag in "ACE")
    ]  # fmt: skip
