"""Running a plan: data in, strategies and a simulated account through the engine, a `RunRecord` out.

    record = run(plan)

The engine runs window by window (see `feed`), so memory does not grow with the period; the result does not depend on the
windows. Nothing is returned unless the whole run was sound: an exception of a strategy, indicator or model, a ledger that
disagrees with the framework's account, or data the run cannot use ends it with the cause.
"""

import gc
import time
from collections.abc import Mapping
from typing import Any

from pepperstone_adapter.backtest.feed import Feed, Label, Window
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.simulation.grid import rounded
from pepperstone_adapter.simulation.plan import RunPlan
from pepperstone_adapter.simulation.rates import conversions, path, require_paths
from pepperstone_adapter.simulation.record import RunRecord
from pepperstone_adapter.simulation.times import iso
from pepperstone_adapter.simulation.venue import SimulatedVenue

# Objects made before the collector looks for cycles: a run makes few cycles and many rows, which it would look at in vain.
_COLLECT_AFTER = 100_000


def run(plan: RunPlan) -> RunRecord:
    """Run a plan to its end.

    Raises
    ------
    ConfigurationError
        Before anything runs: no data, no way to convert a currency, a subscription the
        data cannot serve.
    DataError
        The stored data cannot be used.
    RunFailed
        A strategy, indicator or model raised, or the books disagreed.
    """
    began = time.perf_counter()
    feed = Feed(plan)
    check_conversions(plan, feed.begins)
    start_ns = feed.start_ns - 1
    venue = SimulatedVenue(plan, start_ns)
    gc.freeze()  # what was there before the run need not be walked by every collection of it
    thresholds = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER)
    try:
        for strategy in plan.strategies:
            venue.add_strategy(strategy)
        _start(venue)
        labels = _subscriptions(venue, feed)
        span = feed.end_ns - feed.start_ns
        for window in feed.windows():
            _run_window(venue, feed, window, labels, last=window.end_ns == feed.end_ns)
            if plan.on_progress is not None:
                plan.on_progress(window.end_ns, (window.end_ns - feed.start_ns) / span)
        venue.record.lone_ask_rows = feed.lone_ask_rows
        _finish(venue, feed.end_ns)
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        venue.close()
    venue.record.elapsed_s = time.perf_counter() - began
    return venue.record


def check_conversions(plan: RunPlan, begins: Mapping[str, int]) -> None:
    """Raise when a currency of the run cannot be converted from the beginning of what needs it.

    Parameters
    ----------
    begins
        Time of each symbol's first price.

    Raises
    ------
    ConfigurationError
        It names the symbols to add, or the one whose data begins too late.
    """
    specs = [spec for spec in plan.specs if spec.name in begins]
    needs = [(spec.name, conversions(spec, plan.terms, plan.currency)) for spec in specs]
    require_paths(specs, sorted(set().union(*(pairs for _, pairs in needs))), symbol_table.load().values())
    for symbol, pairs in needs:
        for source, target in sorted(pairs):
            for name, _ in path(specs, source, target) or ():
                if begins[name] > begins[symbol]:
                    since = iso(begins[name])
                    raise ConfigurationError(
                        f"{name}, which converts {source} to {target}, has no prices before {since}, but those of "
                        f"{symbol} begin at {iso(begins[symbol])}; set data.start to {since} or later, or import earlier "
                        f"data of {name}"
                    )


def _start(venue: SimulatedVenue) -> None:
    """Start the strategies on the opening row alone, to learn what they listen to."""
    venue.engine.run(streaming=True)
    venue.engine.clear_data()
    venue.failures.raise_first()


def _subscriptions(venue: SimulatedVenue, feed: Feed) -> list[Label]:
    """The bars to show; raises when the data cannot serve a subscription, now or later."""
    account, suffix = venue.account, f".{venue.plan.venue}"
    shown = {label for kind, key in account.asked if (label := _label(kind, key, suffix, feed)) is not None}

    def later(kind: str, key: Any) -> None:
        label = _label(kind, key, suffix, feed)
        if label is not None and label not in shown:
            raise ConfigurationError(f"a strategy asks for {key} after its start; ask for them in on_start")

    account.subscribed = later
    return sorted(shown)


def _label(kind: str, key: Any, suffix: str, feed: Feed) -> Label | None:
    """What must be shown for a subscription; None where quotes are, which are there anyway."""
    if kind == "quotes":
        symbol = str(key).removesuffix(suffix)
        if symbol not in feed.quoted:
            raise ConfigurationError(
                f"a strategy wants quotes of {symbol}, but the run has only bars of it; use data.resolution: tick"
            )
        return None
    target, _, source = str(key).partition("@")
    instrument_id, step, unit, side, origin = target.rsplit("-", 4)
    symbol = instrument_id.removesuffix(suffix)
    if source:
        step, unit, origin = source.split("-")
    if origin == "INTERNAL":
        if symbol not in feed.quoted:
            raise ConfigurationError(
                f"a strategy wants {key}, built from quotes, but the run has no quotes of {symbol}; "
                f"use bars built from bars ({target}@1-MINUTE-EXTERNAL) or tick data"
            )
        return None
    if (symbol, f"{step}-{unit}") not in feed.bar_labels or side not in ("BID", "ASK"):
        have = ", ".join(f"{s}{suffix}-{p}-BID-EXTERNAL" for s, p in feed.bar_labels) or "no bars"
        raise ConfigurationError(f"a strategy wants {key}, which the run does not have; it has {have}")
    return symbol, f"{step}-{unit}", side


def _run_window(venue: SimulatedVenue, feed: Feed, window: Window, labels: list[Label], *, last: bool) -> None:
    record = venue.record
    if last:
        stamps = [int(rows.ts_ns[-1]) for rows in window.rows.values() if len(rows)]
        venue.broker.stop_at(max(stamps, default=window.end_ns))
    for name, rows in window.rows.items():
        if len(rows):
            venue.tapes[name].load(rows)
    venue.account.window(window.start_ns, window.end_ns)
    engine = venue.engine
    for batch in feed.batches(window, labels):
        engine.add_data(batch, validate=False, sort=False)
    record.closed_rows += window.closed_rows
    record.crossed_rows += window.crossed_rows
    record.bars += sum(len(rows) for rows, _ in window.bars.values())
    record.ticks += sum(len(window.rows[name]) for name in window.quotes)
    if any(len(rows) for rows in window.rows.values()):
        engine.sort_data()
        engine.run(streaming=True)
        engine.clear_data()
    venue.failures.raise_first()
    venue.settle(window.end_ns)


def _finish(venue: SimulatedVenue, end_ns: int) -> None:
    # Time goes on until what was sent at the end has arrived: the strategies' orders, then what the broker does for them.
    step = 0
    while step < 2 or venue.broker.busy:
        venue.add_pulse(end_ns + step * (1 + venue.latest_arrival_ns))
        venue.engine.run(streaming=True)
        venue.engine.clear_data()
        venue.failures.raise_first()
        step += 1
    venue.engine.end()
    venue.failures.raise_first()
    record, books, plan_currency = venue.record, venue.books, venue.plan.currency
    venue.settle(end_ns)
    record.end_balance = books.balance
    record.end_equity = rounded(venue.account.equity(end_ns), plan_currency)
    venue.curve.finish(record.end_equity)
    venue.curve.write(books.tickets.values(), end_ns)
    record.events_sha256 = venue.recorder.finish()
    record.end_ns = end_ns
