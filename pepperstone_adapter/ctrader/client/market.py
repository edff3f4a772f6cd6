"""Spots, bars, ticks and depth: payloads to `broker` structs, and what the venue's coding needs undone.

Bars. A bar comes as differences from its low. The venue is known to send bars with ``deltaHigh`` 0 while its open lies
above its low; such a bar is made legal (high = the highest of its prices), marked `repaired` and counted: the true high
is lost. Bars of H4 and longer follow the day that begins at 17:00 New York, so their end is worked out there.

Ticks. A response holds one side, newest first; the first entry is absolute, each next one the difference to the one
before it. Both sides are fetched apart and merged by time into two-sided quotes.
"""

import heapq
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from pepperstone_adapter.broker.market import Bar, BarPeriod, DepthLevel, DepthUpdate, Tick
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.ctrader.client import units as u
from pepperstone_adapter.openapi import messages as oa

PERIODS: dict[BarPeriod, oa.TrendbarPeriod] = {
    BarPeriod.M1: oa.TrendbarPeriod.M1,
    BarPeriod.M2: oa.TrendbarPeriod.M2,
    BarPeriod.M3: oa.TrendbarPeriod.M3,
    BarPeriod.M4: oa.TrendbarPeriod.M4,
    BarPeriod.M5: oa.TrendbarPeriod.M5,
    BarPeriod.M10: oa.TrendbarPeriod.M10,
    BarPeriod.M15: oa.TrendbarPeriod.M15,
    BarPeriod.M30: oa.TrendbarPeriod.M30,
    BarPeriod.H1: oa.TrendbarPeriod.H1,
    BarPeriod.H4: oa.TrendbarPeriod.H4,
    BarPeriod.H12: oa.TrendbarPeriod.H12,
    BarPeriod.D1: oa.TrendbarPeriod.D1,
    BarPeriod.W1: oa.TrendbarPeriod.W1,
    BarPeriod.MN1: oa.TrendbarPeriod.MN1,
}
PERIOD_OF = {int(wire): ours for ours, wire in PERIODS.items()}
MINUTES = {
    BarPeriod.M1: 1, BarPeriod.M2: 2, BarPeriod.M3: 3, BarPeriod.M4: 4, BarPeriod.M5: 5, BarPeriod.M10: 10,
    BarPeriod.M15: 15, BarPeriod.M30: 30, BarPeriod.H1: 60,
}  # fmt: skip
NEW_YORK = ZoneInfo("America/New_York")
DAY_HOURS = {BarPeriod.H4: 4, BarPeriod.H12: 12}


def tick(event: oa.SpotEvent, spec: SymbolSpec) -> Tick | None:
    """The price change of a spot, or None for one that carries bars only. A zero price is no price."""
    bid = u.points(event.bid, spec.digits) if event.bid else None
    ask = u.points(event.ask, spec.digits) if event.ask else None
    if bid is None and ask is None:
        return None
    return Tick(spec.name, bid, ask, u.ns(event.timestamp))


def bar(payload: oa.Trendbar, spec: SymbolSpec, period: BarPeriod, now_ns: int) -> Bar:
    """One bar. Raises `DataError` where it has no price or no time."""
    if not (payload.HasField("low") and payload.HasField("utcTimestampInMinutes")):
        raise DataError(f"{spec.name} {period}: a bar without price or time")
    low = payload.low
    open_, close, high = low + payload.deltaOpen, low + payload.deltaClose, low + payload.deltaHigh
    highest = max(open_, close, high)
    open_ns = payload.utcTimestampInMinutes * u.MINUTE_NS
    digits = spec.digits
    return Bar(
        spec.name,
        period,
        open_ns,
        u.points(open_, digits),
        u.points(highest, digits),
        u.points(low, digits),
        u.points(close, digits),
        payload.volume,
        closed=bar_end_ns(period, open_ns) <= now_ns,
        repaired=highest != high,
    )


def bar_end_ns(period: BarPeriod, open_ns: int) -> int:
    """When a bar that opened at `open_ns` ends, UTC nanoseconds."""
    minutes = MINUTES.get(period)
    if minutes is not None:
        return open_ns + minutes * u.MINUTE_NS
    opened = datetime.fromtimestamp(open_ns // 1_000_000_000, tz=UTC).astimezone(NEW_YORK)
    wall = opened.replace(tzinfo=None)
    if period in DAY_HOURS:
        # Bars of a day are cut by the clock from 17:00; the last one ends with the day, also on a 23- or 25-hour one.
        day_end = _utc(_day_start(wall) + timedelta(days=1))
        return min(open_ns + DAY_HOURS[period] * 60 * u.MINUTE_NS, day_end)
    if period is BarPeriod.D1:
        return _utc(_day_start(wall) + timedelta(days=1))
    if period is BarPeriod.W1:
        return _utc(_day_start(wall) + timedelta(days=7))
    next_day = wall + timedelta(hours=7)  # the trading day's own date: it begins seven hours early
    year, month = (next_day.year + 1, 1) if next_day.month == 12 else (next_day.year, next_day.month + 1)
    return _utc(datetime(year, month, 1) - timedelta(hours=7))  # noqa: DTZ001 - New York wall time


def _day_start(wall: datetime) -> datetime:
    """17:00 New York at or before a New York wall time."""
    return (wall + timedelta(hours=7)).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(hours=7)


def _utc(wall: datetime) -> int:
    return int(wall.replace(tzinfo=NEW_YORK).timestamp()) * 1_000_000_000


def bars(response: oa.GetTrendbarsRes, spec: SymbolSpec, period: BarPeriod, now_ns: int) -> list[Bar]:
    """Bars of one response, ascending. The response's own period counts; each bar's reads M1 (its default)."""
    if PERIOD_OF.get(response.period) is not period:
        raise DataError(f"{spec.name}: asked for {period} bars and was given others")
    return sorted((bar(entry, spec, period, now_ns) for entry in response.trendbar), key=lambda b: b.open_ns)


def tick_chain(entries: Sequence[oa.TickData]) -> list[tuple[int, int]]:
    """``(time ms, price 1/100000)`` of one response, newest first, with the differences undone."""
    out: list[tuple[int, int]] = []
    time_ms = wire_price = 0
    for entry in entries:
        time_ms += entry.timestamp
        wire_price += entry.tick
        out.append((time_ms, wire_price))
    return out


def merge_ticks(
    bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]], spec: SymbolSpec, start_ms: int, end_ms: int
) -> list[Tick]:
    """Two-sided quotes from both sides' ``(time ms, price)``, each ascending: one per instant at which a side moved.

    Nothing is said before both sides are known; `start_ms` is inclusive, `end_ms` exclusive.
    """
    out: list[Tick] = []
    bid = ask = None
    digits = spec.digits
    merged = heapq.merge(((t, 0, p) for t, p in bids), ((t, 1, p) for t, p in asks))
    for time_ms, side, wire_price in merged:
        if side == 0:
            bid = u.points(wire_price, digits)
        else:
            ask = u.points(wire_price, digits)
        if bid is None or ask is None or not start_ms <= time_ms < end_ms:
            continue
        quote = Tick(spec.name, bid, ask, u.ns(time_ms))
        if out and out[-1].ts_ns == quote.ts_ns:
            out[-1] = quote
        else:
            out.append(quote)
    return out


def depth(event: oa.DepthEvent, spec: SymbolSpec, ts_ns: int) -> DepthUpdate:
    """Changes of the book by quote id; a level without a price is dropped (it says nothing)."""
    levels = []
    for quote in event.newQuotes:
        is_bid = quote.HasField("bid")
        wire_price = quote.bid if is_bid else quote.ask
        if wire_price:
            levels.append(DepthLevel(quote.id, is_bid, u.points(wire_price, spec.digits), quote.size))
    return DepthUpdate(spec.name, tuple(levels), tuple(event.deletedQuotes), ts_ns)
