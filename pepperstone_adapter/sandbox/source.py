"""Which prices a sandbox plays: settings in; past bars, a tape and the clock that fits it out.

Stored bars are walked through: open, the nearer extreme, the other one, close, with ticks in between at the tape's
rate, so that an hour bar moves like an hour. Stored quotes are played as they are. Everything before the start is
served as history (bars in the catalog's own resolution: hours do not become minutes).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import merge
from typing import TYPE_CHECKING

from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import ConfigurationError, DataError
from pepperstone_adapter.sandbox.clock import BrokerClock, RunningClock, TestClock
from pepperstone_adapter.sandbox.settings import SandboxSettings, TapeSettings
from pepperstone_adapter.sandbox.tape import (
    DAY_S,
    NS,
    RandomWalk,
    TapeBar,
    TapeTick,
    shifted,
    spread_share,
    whole_weeks,
)

if TYPE_CHECKING:
    from pepperstone_adapter.catalog.store import CatalogStore, Series

REPLAY_DAYS = 30  # without a start, the last so many days of the catalog are played
_PERIOD_S = {"MINUTE": 60, "HOUR": 3_600, "DAY": DAY_S, "WEEK": 7 * DAY_S}


@dataclass(frozen=True, slots=True)
class Prices:
    """`ticks` is None when prices are pushed by hand."""

    ticks: Iterable[TapeTick] | None
    bars: Iterable[TapeBar] = ()
    clock: BrokerClock | None = None


def prices_for(
    settings: SandboxSettings,
    specs: Sequence[SymbolSpec],
    clock: BrokerClock | None = None,
    now_ns: Callable[[], int] = time.time_ns,
) -> Prices:
    """The past and the future of prices as the settings want them.

    Raises
    ------
    ConfigurationError
        A start that is no date, or a catalog without any of the symbols.
    """
    tape = settings.tape
    if tape.source == "none":
        return Prices(None, clock=RunningClock())
    if tape.source == "catalog":
        return _catalog(settings, specs, now_ns())
    start_ns = clock.now_ns() if clock is not None else now_ns()
    walk = RandomWalk(specs, settings.seed, start_ns, tape.ticks_per_s)
    return Prices(walk, list(walk.history(tape.history_days, start_ns)), _clock(tape, start_ns))


def _clock(tape: TapeSettings, start_ns: int) -> BrokerClock:
    return TestClock(start_ns) if tape.speed == 0 else RunningClock(start_ns, tape.speed)


def _catalog(settings: SandboxSettings, specs: Sequence[SymbolSpec], now_ns: int) -> Prices:
    # The store brings the framework with it; a walk does not need it.
    from pepperstone_adapter.catalog.store import CatalogStore, build_samples

    tape = settings.tape
    store = build_samples(settings.state_dir / "samples") if tape.catalog is None else CatalogStore(tape.catalog)
    first_ns = _moment(tape.start, "start") if tape.start else None
    if first_ns is None:
        ends = [series.end_ns for spec in specs if (series := _series(store, spec.name, None)) is not None]
        first_ns = max(ends, default=0) - REPLAY_DAYS * DAY_S * NS
    found = [(spec, series) for spec in specs if (series := _series(store, spec.name, first_ns)) is not None]
    if not found:
        have = sorted(
            f"{s.symbol} {s.period or 'quotes'} {_day(s.start_ns)} to {_day(s.end_ns)}" for s in store.series()
        )
        raise ConfigurationError(
            f"tape.catalog: none of symbols.names has prices from {_day(first_ns)} on; it holds {', '.join(have)}"
        )
    end_ns = _moment(tape.end, "end") if tape.end else None
    by_ns = whole_weeks(first_ns, now_ns) if tape.shift else 0
    start_ns = now_ns if tape.shift else first_ns
    streams = [
        _play(store, spec, series, start_ns - by_ns, end_ns, tape.ticks_per_s / len(found)) for spec, series in found
    ]
    past = [bar for spec, series in found for bar in _past(store, spec, series, start_ns - by_ns, tape.history_days)]
    bars = [bar._replace(minute=bar.minute + by_ns // NS // 60) for bar in past]
    return Prices(shifted(merge(*streams), by_ns), bars, _clock(tape, start_ns))


def _series(store: "CatalogStore", symbol: str, first_ns: int | None) -> "Series | None":
    """The finest series of a symbol that has prices within a week of `first_ns`; without it, the one that ends last."""
    own = [s for s in store.series() if s.symbol == symbol and s.rows and (s.kind == "quotes" or s.side == "BID")]
    if first_ns is None:
        return max(own, key=lambda s: s.end_ns, default=None)
    near = [s for s in own if s.end_ns > first_ns and s.start_ns < first_ns + 7 * DAY_S * NS]
    return min(near, key=lambda s: 0 if s.kind == "quotes" else _seconds(s.period), default=None)


def _day(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NS, tz=UTC).date().isoformat()


def _seconds(period: str) -> int:
    count, unit = period.split("-")
    if unit not in _PERIOD_S:
        raise DataError(f"cannot replay bars of period {period}")
    return int(count) * _PERIOD_S[unit]


def _moment(text: str, name: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"tape.{name}: {text!r} is no date or time such as 2021-03-01T08:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * NS


def _play(
    store: "CatalogStore", spec: SymbolSpec, series: "Series", start_ns: int, end_ns: int | None, ticks_per_s: float
) -> Iterator[TapeTick]:
    if series.kind == "quotes":
        for quotes in store.quote_chunks(spec.name, start_ns, end_ns):
            for ts_ns, bid, ask in zip(quotes.ts_ns.tolist(), quotes.bid.tolist(), quotes.ask.tolist(), strict=True):
                yield TapeTick(ts_ns, spec.name, bid, ask)
        return
    period_s = _seconds(series.period)
    for bars in store.bar_chunks(spec.name, series.period, "BID", start_ns, end_ns):
        columns = (bars.ts_ns, bars.open, bars.high, bars.low, bars.close)
        for close_ns, opened, high, low, close in zip(*(c.tolist() for c in columns), strict=True):
            for ts_ns, bid in walk_bar(close_ns, period_s, opened, high, low, close, ticks_per_s):
                if ts_ns >= start_ns:
                    yield TapeTick(ts_ns, spec.name, bid, bid + max(1, round(bid * spread_share(spec))))


def walk_bar(
    close_ns: int, period_s: int, opened: int, high: int, low: int, close: int, ticks_per_s: float
) -> Iterator[tuple[int, int]]:
    """``(ts_ns, bid)`` through one bar that closes at `close_ns`: open, nearer extreme, other extreme, close."""
    corners = [opened, low, high, close] if opened - low < high - opened else [opened, high, low, close]
    leg_ticks = max(1, round(period_s * ticks_per_s / 3))
    count = 3 * leg_ticks + 1  # the corners themselves are always among the ticks
    gap_ns = period_s * NS // count
    first_ns = close_ns - period_s * NS
    for n in range(count):
        leg, part = divmod(n, leg_ticks) if n < count - 1 else (2, leg_ticks)
        yield first_ns + n * gap_ns, corners[leg] + round((corners[leg + 1] - corners[leg]) * part / leg_ticks)


def _past(store: "CatalogStore", spec: SymbolSpec, series: "Series", until_ns: int, days: int) -> Iterator[TapeBar]:
    bars = (
        series
        if series.kind == "bars"
        else next((s for s in store.series() if s.symbol == spec.name and s.kind == "bars" and s.side == "BID"), None)
    )
    if bars is None:
        return
    period_ns = _seconds(bars.period) * NS
    table = store.bars(spec.name, bars.period, "BID", until_ns - days * DAY_S * NS, until_ns)
    columns = (table.ts_ns, table.open, table.high, table.low, table.close, table.ticks)
    for close_ns, opened, high, low, close, ticks in zip(*(c.tolist() for c in columns), strict=True):
        yield TapeBar((close_ns - period_ns) // NS // 60, spec.name, opened, high, low, close, max(1, ticks))
