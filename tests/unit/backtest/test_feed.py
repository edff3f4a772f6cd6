"""Windows of a run: no more rows than asked for, however unevenly they lie in time, and every row once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pepperstone_adapter.backtest.feed import Feed
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.catalog.bad_rows import BadRows
from pepperstone_adapter.catalog.columns import Chunk
from pepperstone_adapter.catalog.download_store import DownloadSeries
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.simulation.plan import BarArrays, DataSource, QuoteArrays, RunPlan, StoredBars, StoredQuotes
from tests.kit.runs import terms

MINUTE_NS = 60_000_000_000
MONDAY_NS = 1_704_690_000_000_000_000  # 2024-01-08 05:00 UTC
SPECS = tuple(symbol_table.get(name) for name in ("EURUSD", "GBPUSD"))
# Sixteen hours of a quote a minute, and in one minute of them 5,000 quotes.
QUIET = MONDAY_NS + np.arange(960) * MINUTE_NS
BURST = MONDAY_NS + 700 * MINUTE_NS + np.arange(5_000) * 10_000_000
QUOTES = np.sort(np.concatenate((QUIET, BURST)))
CLOSES = MONDAY_NS + np.arange(1, 181) * 5 * MINUTE_NS  # bars of five minutes beside them


def in_memory(quotes: np.ndarray = QUOTES) -> tuple[DataSource, ...]:
    flat = np.full(len(CLOSES), 127_000)
    return (
        QuoteArrays(
            symbol="EURUSD", ts_ns=quotes, bid=np.full(len(quotes), 109_000), ask=np.full(len(quotes), 109_010)
        ),
        BarArrays(symbol="GBPUSD", period="5-MINUTE", ts_ns=CLOSES, open=flat, high=flat, low=flat, close=flat),
    )


def stored(catalog: Path) -> tuple[DataSource, ...]:
    quotes = {"bid": np.full(len(QUOTES), 109_000), "ask": np.full(len(QUOTES), 109_010)}
    read = (MONDAY_NS, MONDAY_NS + 1_000 * MINUTE_NS)
    DownloadSeries(catalog, SPECS[0], None, "kit").store(Chunk(QUOTES, quotes), read, BadRows())
    bars = {name: np.full(len(CLOSES), 127_000) for name in ("open", "high", "low", "close", "ticks")}
    DownloadSeries(catalog, SPECS[1], BarPeriod.M5, "kit").store(Chunk(CLOSES, bars), read, BadRows())
    return StoredQuotes(catalog=catalog, symbol="EURUSD"), StoredBars(
        catalog=catalog, symbol="GBPUSD", period="5-MINUTE"
    )


def windows(data: tuple[DataSource, ...], chunk: int) -> list[tuple[int, int, list[int], list[int]]]:
    """Begin and end of each window, and the times of its quotes and bars."""
    feed = Feed(RunPlan(specs=SPECS, data=data, strategies=(), terms=terms(SPECS, spread=5), chunk_size=chunk))
    times = [(w.start_ns, w.end_ns, *(w.rows[s.name].ts_ns.tolist() for s in SPECS)) for w in feed.windows()]
    assert (times[0][0], times[-1][1]) == (feed.start_ns, feed.end_ns)
    return times


@pytest.mark.parametrize("where", ["memory", "catalog"])
@pytest.mark.parametrize("chunk", [1_000, 1_001, 7_000])
def test_no_window_holds_more_rows_than_asked_for_also_where_they_are_dense(
    where: str, chunk: int, tmp_path: Path
) -> None:
    found = windows(in_memory() if where == "memory" else stored(tmp_path), chunk)
    assert max(len(quotes) + len(bars) for *_, quotes, bars in found) <= chunk
    assert len(found) <= 1 + (len(QUOTES) + len(CLOSES)) // (chunk - 2)  # and hardly less: two rows may share an edge
    assert [t for *_, quotes, _ in found for t in quotes] == QUOTES.tolist()
    assert [t for *_, bars in found for t in bars] == CLOSES.tolist()
    for start, end, quotes, bars in found:
        assert all(start <= t < end for t in (*quotes, *bars))
    assert [end for _, end, *_ in found[:-1]] == [start for start, *_ in found[1:]]


def test_rows_of_one_instant_are_never_parted() -> None:
    at_once = np.concatenate((QUOTES[:50], np.full(3_000, QUOTES[50]), QUOTES[50:]))
    found = windows(in_memory(at_once), 1_000)
    (holding,) = [quotes for *_, quotes, _ in found if QUOTES[50] in quotes]
    assert holding.count(int(QUOTES[50])) == 3_001
    assert [t for *_, quotes, _ in found for t in quotes] == at_once.tolist()


def test_a_period_that_lies_in_a_hole_of_the_data_is_refused(tmp_path: Path) -> None:
    series = DownloadSeries(tmp_path, SPECS[0], None, "kit")
    for first, last in ((0, 100), (900, 1_000)):
        times = MONDAY_NS + np.arange(first, last) * MINUTE_NS
        rows = {"bid": np.full(len(times), 109_000), "ask": np.full(len(times), 109_010)}
        series.store(Chunk(times, rows), (int(times[0]), int(times[-1]) + 1), BadRows())
    plan = RunPlan(
        specs=SPECS[:1], data=(StoredQuotes(catalog=tmp_path, symbol="EURUSD"),), strategies=(),
        terms=terms(SPECS, spread=5), start_ns=MONDAY_NS + 200 * MINUTE_NS, end_ns=MONDAY_NS + 900 * MINUTE_NS,
    )  # fmt: skip
    with pytest.raises(DataError, match="no quotes of EURUSD in the period of the run"):
        Feed(plan)
    windows = list(Feed(replace(plan, end_ns=MONDAY_NS + 901 * MINUTE_NS)).windows())
    assert sum(len(w.rows["EURUSD"]) for w in windows) == 1  # the first behind the hole
