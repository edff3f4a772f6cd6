"""One backtest from settings to result folder: what the command line, a notebook or a sweep calls.

    settings = load_backtest("configs/backtest/demo.yaml")
    result = run_backtest(settings, "demo")

Everything that can refuse a run (folder, settings, data, strategies) is asked before the engine starts.
"""

import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pepperstone_adapter import __version__
from pepperstone_adapter.backtest.hashes import code_hash, data_hash, series_of, settings_hash
from pepperstone_adapter.backtest.plan import run_plan
from pepperstone_adapter.backtest.quality import data_quality
from pepperstone_adapter.backtest.report_data import MAX_CANDLES, Candles, thin
from pepperstone_adapter.backtest.result import RunFacts, check_output, recover, write_result
from pepperstone_adapter.backtest.run import run
from pepperstone_adapter.backtest.settings import BacktestSettings, DataSettings
from pepperstone_adapter.catalog.manifest import iso
from pepperstone_adapter.catalog.store import CatalogStore, Series
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.common.settings import dump_settings
from pepperstone_adapter.common.versions import FRAMEWORK, installed
from pepperstone_adapter.mapping.instruments import DEFAULT_VENUE
from pepperstone_adapter.simulation.plan import AccountTerms
from pepperstone_adapter.simulation.record import RunRecord

EDGE_NS = 7 * 86_400 * 10**9  # a weekend with holidays beside it


@dataclass(frozen=True, slots=True)
class Finished:
    """A run and where its result lies; `result` is the content of `result.json`."""

    record: RunRecord
    result: dict[str, Any]
    folder: Path


def run_backtest(
    settings: BacktestSettings,
    name: str,
    on_progress: Callable[[int, float], None] | None = None,
    running: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Finished:
    """Run and write the result to the settings' output folder.

    Parameters
    ----------
    name
        Title of the result.
    on_progress
        Called with the simulated time and the share done.
    running
        Makes a context that is entered around the engine only, e.g. to change what an interrupt does.

    Raises
    ------
    ConfigurationError
        Settings, strategy files or the output folder; nothing has been written.
    DataError
        The catalog lacks what the run needs; nothing has been written.
    """
    folder = settings.output.dir
    recover(folder)
    check_output(folder)
    store = CatalogStore(settings.data.catalog)
    check_period(settings, store)
    plan = run_plan(settings, on_progress, rows=rows_of(settings, store))
    facts = run_facts(settings, name, store, plan.terms)
    with running():
        record = run(plan)
        record.equity = list(record.equity)  # every figure reads it
    prices = price_charts(settings, store) if settings.output.report else None
    return Finished(record, write_result(folder, record, facts, prices), folder)


def command_line(file: Path, overrides: Iterable[str], folder: Path) -> list[str]:
    """The command that runs a settings file in a process of its own, into `folder`; it prints `result.json`."""
    sets = [part for override in (*overrides, f"output.dir={folder}") for part in ("--set", override)]
    return [sys.executable, "-m", "pepperstone_adapter", "backtest", str(file), *sets, "--json"]


def check_period(settings: BacktestSettings, store: CatalogStore) -> None:
    """Refuse a period that no instrument's data fills: yearly figures would be spread over years without prices.

    A symbol that begins later than the others, or has gaps, is no reason: `data.quality` of the result tells.

    Raises
    ------
    DataError
        The data begins more than a week after the run's start, or ends more than a week before its end.
    """
    data, series = settings.data, series_of(settings, store)
    first, last = min(s.start_ns for s in series), max(s.end_ns for s in series)
    wrong = []
    if first > data.start_ns + EDGE_NS:
        wrong.append(f"begins at {iso(first)}, data.start is {iso(data.start_ns)}")
    if last < data.end_ns - EDGE_NS:
        wrong.append(f"ends at {iso(last)}, data.end is {iso(data.end_ns)}")
    if wrong:
        raise DataError(
            f"the stored data of {', '.join(data.instruments)} {' and '.join(wrong)}; choose a period within the data, "
            "or import more"
        )


def rows_of(settings: BacktestSettings, store: CatalogStore) -> int:
    """Rows of the period, about: the share of each series' time that the run covers, of its rows."""
    start_ns, end_ns = settings.data.start_ns, settings.data.end_ns
    total = 0.0
    for series in series_of(settings, store):
        covered = min(end_ns, series.end_ns) - max(start_ns, series.start_ns)
        total += series.rows * max(covered, 0) / max(series.end_ns - series.start_ns, 1)
    return round(total)


def run_facts(settings: BacktestSettings, name: str, store: CatalogStore, terms: AccountTerms) -> RunFacts:
    """What the result says about its inputs."""
    account = settings.account
    files = sorted({Path(s.strategy.rpartition(":")[0]) for s in settings.strategies})
    return RunFacts(
        name=name,
        versions={
            "pepperstone_adapter": __version__,
            "nautilus_trader": installed(FRAMEWORK) or "not installed",
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
        },
        hashes={
            "settings": settings_hash(settings),
            "data": data_hash(settings, store),
            "code": code_hash(files),
        },
        profile=account.profile,
        platform=account.platform,
        mode=account.mode.value,
        leverage=account.leverage,
        margin_call_level=float(terms.margin_call_level),
        stop_out_level=float(terms.stop_out_level),
        start_ns=settings.data.start_ns,
        end_ns=settings.data.end_ns,
        resolution=settings.data.resolution,
        seed=settings.market.seed,
        instruments=settings.data.instruments,
        quality=data_quality(settings, store),
        settings_yaml=dump_settings(settings),
    )


def price_charts(settings: BacktestSettings, store: CatalogStore) -> dict[str, Candles]:
    """BID prices of every instrument, by instrument id, merged to as many bars as the report draws."""
    data = settings.data
    charts = {}
    for series in series_of(settings, store):
        if series.side != "ASK":
            rows = store.count(series, data.start_ns, data.end_ns)
            charts[f"{series.symbol}.{DEFAULT_VENUE}"] = thin(_bids(store, series, data), rows, MAX_CANDLES)
    return charts


def _bids(store: CatalogStore, series: Series, data: DataSettings) -> Iterator[Candles]:
    point = 10.0**-series.digits
    if series.kind == "quotes":
        for quotes in store.quote_chunks(series.symbol, data.start_ns, data.end_ns):
            bid = quotes.bid.astype(np.float64) * point
            yield Candles(ts_ns=quotes.ts_ns, open=bid, high=bid, low=bid, close=bid)
    else:
        for bars in store.bar_chunks(series.symbol, series.period, series.side, data.start_ns, data.end_ns):
            four = (bars.open, bars.high, bars.low, bars.close)
            open_, high, low, close = (prices.astype(np.float64) * point for prices in four)
            yield Candles(ts_ns=bars.ts_ns, open=open_, high=high, low=low, close=close)
