"""Speed of a backtest with the full economics on, as ratios measured in one run; prints one JSON line.

    uv run python benchmarks/backtest.py                 # the standard workload
    uv run python benchmarks/backtest.py --bars 200000   # a quick look
    uv run python benchmarks/backtest.py --peers         # with backtesting.py and backtrader (see peers.py)

The standard workload: 1,000,000 M1 bars of a random walk stored in a catalog (BID and ASK), EMA 10/20 cross on closes,
always in the market with 100,000 units, hedging: about 45,000 round trips.

=================  =================================================================  =========
figure             meaning                                                            target
=================  =================================================================  =========
linearity          time of all bars / time of a fifth of them                         <= 5.5
over_bare          ours / the framework alone on the same stored data and strategy,   <= 1.25
                   both purging closed positions
whole_over_bare    the same without the plan's word that no order waits for a price,  <= 1.25
                   which takes the engine through all of each bar; the end balances
                   must agree
quotes_over_bare   the same for as many quotes without trades                         <= 1.15
peak_mb_ratio      peak memory of all bars / of a fifth, both in windows of the       about 1
                   default size
=================  =================================================================  =========

Every leg runs in a process of its own; times are CPU seconds from reading the catalog to the result, without imports (the
engine imports pandas when it is made), so a busy machine disturbs them little. Ours, the bare engine and the peers take
turns, and the best of each counts.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from peers import PEERS, prepared

SYMBOL = "EURUSD"
START_NS = 1_420_149_600 * 10**9  # 2015-01-01 22:00 UTC
MINUTE_NS = 60 * 10**9
SPREAD = 1
ROUNDS = 3
BID = f"{SYMBOL}.PEPPERSTONE-1-MINUTE-BID-EXTERNAL"


def walk(count: int) -> Any:
    rng = np.random.default_rng(20)
    closes = 1_100_00 + np.cumsum(rng.integers(-9, 10, count))
    return np.maximum(closes, 50_000)


def build(folder: Path, bars: int) -> None:
    """Write the catalogs: BID and ASK bars, and quotes."""
    from nautilus_trader.persistence import ParquetDataCatalog

    from pepperstone_adapter.broker import symbol_table
    from pepperstone_adapter.catalog.rows import BarColumns, QuoteColumns, bars_from_arrays, quotes_from_arrays
    from pepperstone_adapter.simulation.sessions import tradable

    hours = symbol_table.get(SYMBOL).hours
    stamps = START_NS + np.arange(1, int(bars * 1.6) + 20_000, dtype=np.int64) * MINUTE_NS
    ts = stamps[tradable(hours, stamps, MINUTE_NS) & tradable(hours, stamps)][:bars]
    closes = walk(bars)
    opens = np.concatenate((closes[:1], closes[:-1]))
    four = {"open": opens, "high": np.maximum(opens, closes) + 3, "low": np.minimum(opens, closes) - 3, "close": closes}
    catalog = ParquetDataCatalog(str(folder))
    for side, spread in (("BID", 0), ("ASK", SPREAD)):
        label = BID.replace("BID", side)
        for a in range(0, bars, 250_000):
            part = {name: values[a : a + 250_000] + spread for name, values in four.items()}
            columns = BarColumns(ts_ns=ts[a : a + 250_000], ticks=np.full(len(part["open"]), 100), **part)
            catalog.write_bars(bars_from_arrays(label, 5, 0, columns))
    for a in range(0, bars, 250_000):
        bid = closes[a : a + 250_000]
        columns = QuoteColumns(ts_ns=ts[a : a + 250_000], bid=bid, ask=bid + SPREAD)
        catalog.write_quote_ticks(quotes_from_arrays(f"{SYMBOL}.PEPPERSTONE", 5, 0, columns))


def strategy(purges: bool, quotes: bool) -> Any:
    """EMA cross, always in the market; on quotes it only listens."""
    from nautilus_trader.model import BarType, InstrumentId, OrderSide, Quantity
    from nautilus_trader.trading import Strategy, StrategyConfig

    class EmaCross(Strategy):  # type: ignore[misc]
        def on_start(self) -> None:
            self.count = 0
            self.fast = self.slow = self.long = None
            self.iid = InstrumentId.from_str(f"{SYMBOL}.PEPPERSTONE")
            self.units = Quantity.from_int(100_000)
            self.ended: list[Any] = []
            if quotes:
                self.subscribe_quotes(self.iid)
            else:
                self.subscribe_bars(BarType.from_str(BID))

        def on_quote(self, _quote: Any) -> None:
            self.count += 1

        def on_bar(self, bar: Any) -> None:
            close = float(bar.close)
            if self.fast is None:
                self.fast = self.slow = close
                return
            fast = self.fast = self.fast + (close - self.fast) * (2 / 11)
            slow = self.slow = self.slow + (close - self.slow) * (2 / 21)
            long = fast > slow
            if long != self.long:
                self.long = long
                for position in self.cache.positions_open():
                    self.close_position(position)
                side = OrderSide.BUY if long else OrderSide.SELL
                self.submit_order(self.order_factory.market(self.iid, side, self.units))
            if purges and len(self.ended) > 64:
                self.cache.purge_account_events(bar.ts_event, 0)
                for position_id in self.ended:
                    for order in self.cache.orders_for_position(position_id):
                        self.cache.purge_order(order.client_order_id)
                    self.cache.purge_position(position_id)
                self.ended.clear()

        def on_position_closed(self, event: Any) -> None:
            if purges:
                self.ended.append(event.position_id)

    return EmaCross(StrategyConfig())


def leg_ours(folder: Path, bars: int, how: str) -> dict[str, Any]:
    """The whole of ours, from the catalog to the record; `how` is `quotes`, `whole` (bars) or nothing (see above)."""
    from pepperstone_adapter.backtest.run import run
    from pepperstone_adapter.broker import symbol_table
    from pepperstone_adapter.simulation.plan import RunPlan, StoredBars, StoredQuotes
    from pepperstone_adapter.simulation.profile import Profile

    spec = symbol_table.get(SYMBOL)
    source = (
        StoredQuotes(catalog=folder, symbol=SYMBOL)
        if how == "quotes"
        else StoredBars(catalog=folder, symbol=SYMBOL, period="1-MINUTE")
    )
    plan = RunPlan(
        specs=(spec,),
        data=(source,),
        strategies=(strategy(False, how == "quotes"),),
        terms=Profile.load("razor-ctrader-USD").terms([spec]),
        start_balance=Decimal(10_000_000),
        end_ns=end_of(folder, bars),
        only_market_orders=how != "whole",
    )
    began = time.process_time()
    record = run(plan)
    return {
        "cpu_s": time.process_time() - began,
        "round_trips": len(record.positions),
        "rows": record.bars + record.ticks,
        "balance": str(record.end_balance),
    }


def leg_bare(folder: Path, bars: int, how: str) -> dict[str, Any]:
    """The framework with nothing around it: its catalog reader, its engine, a fixed commission, the same purge."""
    from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.common import LoggerConfig
    from nautilus_trader.execution import FixedFeeModel
    from nautilus_trader.model import AccountType, Currency, Money, OmsType, Venue

    from pepperstone_adapter.broker import symbol_table
    from pepperstone_adapter.catalog.store import CatalogStore
    from pepperstone_adapter.mapping.instruments import instrument_from_spec

    end_ns = end_of(folder, bars)
    quotes = how == "quotes"
    chosen = strategy(True, quotes)
    began = time.process_time()
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggerConfig(bypass_logging=True), run_analysis=False))
    usd = Currency.from_str("USD")
    engine.add_venue(
        Venue("PEPPERSTONE"), OmsType.HEDGING, AccountType.MARGIN, [Money.from_str("10000000 USD")], base_currency=usd,
        fee_model=FixedFeeModel(Money.from_str("3.00 USD")),
    )  # fmt: skip
    engine.add_instrument(instrument_from_spec(symbol_table.get(SYMBOL)))
    store = CatalogStore(folder)
    rows = 0
    if quotes:
        batch: list[Any] = store.framework_quotes(SYMBOL, end_ns=end_ns)
        rows += len(batch)
        engine.add_data(batch, validate=False, sort=False)
    else:
        for side in ("ASK", "BID"):
            batch = store.framework_bars(SYMBOL, "1-MINUTE", side, end_ns=end_ns)
            rows = len(batch)
            engine.add_data(batch, validate=False, sort=False)
    del batch
    engine.sort_data()
    engine.add_strategy(chosen)
    engine.run()
    balance = engine.cache.account_for_venue(Venue("PEPPERSTONE")).balance_total(usd).as_decimal()
    return {"cpu_s": time.process_time() - began, "rows": rows, "balance": str(balance)}


def end_of(folder: Path, bars: int) -> int:
    """Time just after the given number of rows."""
    return int((folder / f"end-{bars}").read_text())


def peak_mb() -> int:
    """Peak memory of this process; what `getrusage` says begins, on Linux, with that of the process it was forked from."""
    status = Path("/proc/self/status")
    if status.exists():
        return round(int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def leg(name: str, folder: Path, bars: int) -> dict[str, Any]:
    """Run one leg in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--leg", name, "--folder", str(folder), "--bars", str(bars)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"leg {name} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(bars: int, peers: bool) -> dict[str, Any]:
    few = bars // 5
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        build(folder, bars)
        from pepperstone_adapter.catalog.store import CatalogStore

        stamps = CatalogStore(folder).bars(SYMBOL, "1-MINUTE").ts_ns
        for count in (few, bars):
            (folder / f"end-{count}").write_text(str(int(stamps[count - 1]) + 1))

        def turns(names: tuple[str, ...], count: int, rivals: tuple[str, ...] = ()) -> list[Any]:
            """The best of each leg, as its result, and of each peer, as its rate; all take turns."""
            legs: list[list[dict[str, Any]]] = [[] for _ in names]
            rates = dict.fromkeys(rivals, 0.0)
            for _ in range(ROUNDS):
                for results, name in zip(legs, names, strict=True):
                    results.append(leg(name, folder, count))
                rates = {rival: max(rate, rate_of(rival)) for rival, rate in rates.items()}
            return [*(min(results, key=lambda result: float(result["cpu_s"])) for results in legs), rates]

        rate_of = prepared(folder, folder, bars) if peers else None
        few_ours, _ = turns(("ours",), few)
        ours, bare, whole, rates = turns(("ours", "bare", "ours-whole"), bars, tuple(PEERS) if peers else ())
        if whole["balance"] != ours["balance"]:
            raise SystemExit(f"whole bars end with {whole['balance']}, their closes with {ours['balance']}")
        quotes, bare_quotes, _ = turns(("ours-quotes", "bare-quotes"), bars)
        out: dict[str, Any] = {
            "benchmark": "backtest",
            "bars": bars,
            "round_trips": ours["round_trips"],
            "bars_per_s": round(bars / ours["cpu_s"]),
            "linearity": round(ours["cpu_s"] / few_ours["cpu_s"], 2),
            "over_bare": round(ours["cpu_s"] / bare["cpu_s"], 2),
            "whole_over_bare": round(whole["cpu_s"] / bare["cpu_s"], 2),
            "whole_bars_per_s": round(bars / whole["cpu_s"]),
            "quotes_over_bare": round(quotes["cpu_s"] / bare_quotes["cpu_s"], 2),
            "quotes_per_s": round(bars / quotes["cpu_s"]),
            "peak_mb_ratio": round(ours["peak_mb"] / few_ours["peak_mb"], 2),
            "peak_mb": ours["peak_mb"],
            "peak_mb_fifth": few_ours["peak_mb"],
            "quotes_peak_mb": quotes["peak_mb"],
            "bare_bars_per_s": round(bars / bare["cpu_s"]),
        }
        for name, rate in rates.items():
            out[f"over_{name}"] = round(out["bars_per_s"] / rate, 2)
            out[f"whole_over_{name}"] = round(out["whole_bars_per_s"] / rate, 2)
            out[f"{name}_bars_per_s"] = round(rate)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=int, default=1_000_000)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--leg", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.leg is None:
        print(json.dumps(measure(args.bars, args.peers)))
        return
    import pandas  # noqa: F401 - before anything is timed

    kind, _, how = args.leg.partition("-")
    result = (leg_ours if kind == "ours" else leg_bare)(args.folder, args.bars, how)
    result["peak_mb"] = peak_mb()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
