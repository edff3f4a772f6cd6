"""Bars per second of backtesting.py and backtrader on the standard workload, in an environment of their own.

    uv run python benchmarks/peers.py FOLDER      # a catalog built by benchmarks/backtest.py

Neither models spread by side, commission per lot, swap, margin of hedged positions or stop-out. Both get the same closes
and trade the same EMA 10/20 cross, always in the market; their time too is from the stored rows to the result. Prints one
JSON line; `--rows` takes only the first rows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = ("backtesting==0.6.5", "backtrader==1.9.78.123")


def frame(file: Path):  # type: ignore[no-untyped-def]
    import numpy as np
    import pandas as pd

    data = np.load(file)
    return pd.DataFrame(
        {name: data[name.lower()] / 1e5 for name in ("Open", "High", "Low", "Close")} | {"Volume": 100.0},
        index=pd.to_datetime(data["ts"], unit="ns"),
    )


def backtesting_py(file: Path) -> float:
    import pandas as pd
    from backtesting import Backtest, Strategy

    class EmaCross(Strategy):
        def init(self) -> None:
            close = pd.Series(self.data.Close)
            self.fast = self.I(lambda: close.ewm(span=10, adjust=False).mean())
            self.slow = self.I(lambda: close.ewm(span=20, adjust=False).mean())
            self.side = 0

        def next(self) -> None:
            side = 1 if self.fast[-1] > self.slow[-1] else -1
            if side != self.side:
                self.side = side
                self.position.close()
                (self.buy if side > 0 else self.sell)(size=100_000)

    began = time.process_time()
    table = frame(file)
    Backtest(
        table, EmaCross, cash=1e9, commission=0.00003, margin=0.02, trade_on_close=True, finalize_trades=True
    ).run()
    return len(table) / (time.process_time() - began)


def backtrader(file: Path) -> float:
    import backtrader as bt
    import pandas  # noqa: F401 - before anything is timed

    class EmaCross(bt.Strategy):
        def __init__(self) -> None:
            self.fast, self.slow = bt.ind.EMA(period=10), bt.ind.EMA(period=20)
            self.side = 0

        def next(self) -> None:
            side = 1 if self.fast[0] > self.slow[0] else -1
            if side != self.side:
                self.side = side
                self.order_target_size(target=100_000 * side)

    began = time.process_time()
    table = frame(file)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=table))
    cerebro.addstrategy(EmaCross)
    cerebro.broker.setcash(1e9)
    cerebro.run()
    return len(table) / (time.process_time() - began)


PEERS = {"backtesting": backtesting_py, "backtrader": backtrader}


def prepared(home: Path, folder: Path, rows: int) -> Callable[[str], float]:
    """Build the environment and the peers' own store of the rows; what comes back runs one and gives its bars per second."""
    import numpy as np

    from pepperstone_adapter.catalog.store import CatalogStore

    columns = CatalogStore(folder).bars("EURUSD", "1-MINUTE")
    names = ("open", "high", "low", "close")
    file = home / "bars.npz"
    np.savez(file, ts=columns.ts_ns[:rows], **{n: getattr(columns, n)[:rows] for n in names})
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(home / "env")], check=True)
    python = next(p for p in (home / "env/bin/python", home / "env/Scripts/python.exe") if p.exists())
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(python), *PACKAGES], check=True)

    def rate(peer: str) -> float:
        command = [str(python), __file__, str(file), "--peer", peer]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])

    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer is not None:
        print(PEERS[args.peer](args.folder))
        return
    with tempfile.TemporaryDirectory() as text:
        rate = prepared(Path(text), args.folder, args.rows)
        rates = {peer: round(rate(peer)) for peer in PEERS}
    print(json.dumps({"benchmark": "peers", "rows": args.rows, "packages": PACKAGES, "bars_per_s": rates}))


if __name__ == "__main__":
    main()
