"""Subscriptions and price history."""

from typing import Any

from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.ctrader_server.connection import Request, Subscriptions
from pepperstone_adapter.sandbox.ctrader_server.directory import ms
from pepperstone_adapter.sandbox.ctrader_server.market import BidBar
from pepperstone_adapter.sandbox.ctrader_server.spots import trendbar
from pepperstone_adapter.sandbox.ctrader_server.wire import WireError, handles

_WEEK_MS = 604_800_000
#: Once documented per period: five weeks, 35 weeks, a year and a day, five years and some.
_LONGEST_MS: dict[int, int] = {
    **dict.fromkeys(range(oa.TrendbarPeriod.M1, oa.TrendbarPeriod.M10), 5 * _WEEK_MS),
    **dict.fromkeys(range(oa.TrendbarPeriod.M10, oa.TrendbarPeriod.H4), 35 * _WEEK_MS),
    **dict.fromkeys(range(oa.TrendbarPeriod.H4, oa.TrendbarPeriod.W1), 31_622_400_000),
    **dict.fromkeys((oa.TrendbarPeriod.W1, oa.TrendbarPeriod.MN1), 158_112_000_000),
}


def _names(request: Request) -> list[str]:
    found: list[str] = []
    for number in request.message.symbolId:
        name = request.venue.directory.symbol_names.get(number)
        if name is None:
            raise WireError("unknown_symbol", f"Symbol {number} is not found")
        found.append(name)
    return found


def _name(request: Request) -> str:
    name = request.venue.directory.symbol_names.get(request.message.symbolId)
    if name is None:
        raise WireError("unknown_symbol", f"Symbol {request.message.symbolId} is not found")
    return name


def _mine(request: Request) -> Subscriptions:
    return request.connection.subscriptions[request.account_id]


@handles(oa.SubscribeSpotsReq)
def subscribe_spots(request: Request) -> None:
    names, mine = _names(request), _mine(request)
    if any(name in mine.spots for name in names):
        raise WireError("already_subscribed", "Already subscribed to spots")
    venue, connection = request.venue, request.connection
    for name in names:
        venue.spots.subscribe(connection, request.account_id, name, stamped=request.message.subscribeToSpotTimestamp)
    connection.send(oa.SubscribeSpotsRes(ctidTraderAccountId=request.account_id), request.ref)
    for name in names:
        venue.spots.technical(connection, request.account_id, name)


@handles(oa.UnsubscribeSpotsReq)
def unsubscribe_spots(request: Request) -> oa.UnsubscribeSpotsRes:
    names, mine = _names(request), _mine(request)
    if any(name not in mine.spots for name in names):
        raise WireError("not_subscribed", "Not subscribed to spots")
    for name in names:
        request.venue.spots.unsubscribe(request.connection, request.account_id, name)
    return oa.UnsubscribeSpotsRes(ctidTraderAccountId=request.account_id)


@handles(oa.SubscribeLiveTrendbarReq)
def subscribe_bars(request: Request) -> oa.SubscribeLiveTrendbarRes:
    name, mine = _name(request), _mine(request)
    if name not in mine.spots:
        raise WireError("bars_without_spots", "Not subscribed to spots of this symbol")
    periods = mine.bars.setdefault(name, set())
    if request.message.period in periods:
        raise WireError("already_subscribed", "Already subscribed to this trendbar")
    periods.add(request.message.period)
    return oa.SubscribeLiveTrendbarRes(ctidTraderAccountId=request.account_id)


@handles(oa.UnsubscribeLiveTrendbarReq)
def unsubscribe_bars(request: Request) -> oa.UnsubscribeLiveTrendbarRes:
    periods = _mine(request).bars.get(_name(request), set())
    if request.message.period not in periods:
        raise WireError("INVALID_REQUEST", "Not subscribed to this trendbar")
    periods.discard(request.message.period)
    return oa.UnsubscribeLiveTrendbarRes(ctidTraderAccountId=request.account_id)


@handles(oa.SubscribeDepthQuotesReq)
def subscribe_depth(request: Request) -> None:
    names, mine = _names(request), _mine(request)
    if any(name not in mine.spots for name in names):
        raise WireError("not_subscribed", "Depth needs a subscription to spots")
    if any(name in mine.depth for name in names):
        raise WireError("already_subscribed", "Already subscribed to depth")
    connection = request.connection
    connection.send(oa.SubscribeDepthQuotesRes(ctidTraderAccountId=request.account_id), request.ref)
    for name in names:
        mine.depth.add(name)
        request.venue.spots.depth_snapshot(connection, request.account_id, name)


@handles(oa.UnsubscribeDepthQuotesReq)
def unsubscribe_depth(request: Request) -> oa.UnsubscribeDepthQuotesRes:
    for name in _names(request):
        _mine(request).depth.discard(name)
    return oa.UnsubscribeDepthQuotesRes(ctidTraderAccountId=request.account_id)


@handles(oa.GetTrendbarsReq)
def get_trendbars(request: Request) -> oa.GetTrendbarsRes:
    """Closed bars, ascending, without their period. With a count, the newest so many up to the end of the range,
    whatever its beginning (observed); a range that is too long loses its old end silently (observed)."""
    message, name, behaviour = request.message, _name(request), request.venue.settings.behaviour
    now_ms = ms(request.venue.clock.now_ns())
    first_ms = message.fromTimestamp if message.HasField("fromTimestamp") else 0
    last_ms = message.toTimestamp if message.HasField("toTimestamp") else now_ms
    if first_ms > last_ms:
        raise WireError("bad_boundaries", "fromTimestamp is after toTimestamp")
    count = int(message.count) if message.HasField("count") else 0
    longest_ms = _LONGEST_MS[message.period] if behaviour.bar_ranges == "documented" else 0
    if longest_ms and not count and last_ms - first_ms > longest_ms:
        raise WireError("bad_boundaries", f"The period is longer than {longest_ms} ms")
    if count:
        first_ms = 0
    # Inclusive at both ends: a bar belongs to the range when it opens in it.
    first_minute, last_minute = -(-first_ms // 60_000), (last_ms - (not behaviour.bars_end_inclusive)) // 60_000
    closed = request.venue.history[name].closed(
        message.period, first_minute, last_minute, now_ms - round(behaviour.bar_lag_ms)
    )
    most = behaviour.bars_max
    if count:
        most = min(count, most)
        full = count >= behaviour.bars_max
        if behaviour.bars_one_less == "always" or (behaviour.bars_one_less == "full_page" and full):
            most -= 1
    bars = closed[-most:] if most else []
    response = oa.GetTrendbarsRes(
        ctidTraderAccountId=request.account_id,
        period=message.period,
        timestamp=last_ms,
        symbolId=message.symbolId,
    )
    if behaviour.bars_has_more:
        response.hasMore = len(closed) > len(bars)
    for bar in reversed(bars) if behaviour.bars_newest_first else bars:
        row = trendbar(bar, message.period if behaviour.bars_carry_period else None)
        if _is_bugged(bar, message, behaviour.delta_high_bug_every):
            row.deltaHigh = 0
        response.trendbar.append(row)
    return response


def _is_bugged(bar: BidBar, message: Any, every: int) -> bool:
    """The server's own bug: a few one-minute bars that closed at their low come with deltaHigh = 0."""
    if not every or message.period != oa.TrendbarPeriod.M1 or bar.close != bar.low or bar.open <= bar.low:
        return False
    return (bar.minute * 2_654_435_761 >> 8) % every == 0


@handles(oa.GetTickDataReq)
def get_tick_data(request: Request) -> oa.GetTickDataRes:
    """One side's ticks, newest first: the first absolute, the others as differences to the one before."""
    message, behaviour = request.message, request.venue.settings.behaviour
    name = _name(request)
    last_ms = message.toTimestamp if message.HasField("toTimestamp") else ms(request.venue.clock.now_ns())
    first_ms = message.fromTimestamp if message.HasField("fromTimestamp") else 0
    if first_ms > last_ms:
        raise WireError("bad_boundaries", "fromTimestamp is after toTimestamp")
    found, more = request.venue.history[name].ticks(
        first_ms, last_ms, asks=message.type == oa.QuoteType.ASK, most=behaviour.ticks_page
    )
    response = oa.GetTickDataRes(ctidTraderAccountId=request.account_id, hasMore=more)
    before_ms = before = 0
    for ts_ms, price in found:
        response.tickData.append(oa.TickData(timestamp=ts_ms - before_ms, tick=price - before))
        before_ms, before = ts_ms, price
    return response
