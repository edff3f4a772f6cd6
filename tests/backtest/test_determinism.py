"""Equal inputs give equal events, in whatever process, hash seed and time zone."""

import os
import subprocess
import sys
from pathlib import Path

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
