"""The questions of a probe. Each check asks what belongs together and judges the answers by what this program assumes."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pepperstone_adapter.broker.symbols import AssetClass
from pepperstone_adapter.common.errors import VenueError
from pepperstone_adapter.ctrader.client.probe import Check, Finding, Probe
from pepperstone_adapter.ctrader.client.symbols import classify
from pepperstone_adapter.openapi import messages as oa

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
PINGS = 20
SAMPLE = 200  # symbols whose full specification is read
USUAL = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "BTCUSD")


def found(topic: str, question: str, seen: object, assumed: str = "", ok: bool | None = None) -> Finding:
    return Finding(topic=topic, question=question, seen=str(seen), assumed=assumed, as_assumed=ok)


def names(values: Iterable[str], most: int = 6) -> str:
    counted = Counter(values)
    shown = ", ".join(f"{name or '(none)'} {n}" for name, n in counted.most_common(most))
    return shown + (f" and {len(counted) - most} more" if len(counted) > most else "") or "none"


async def connection(probe: Probe) -> list[Finding]:
    version = await probe.get(oa.VersionReq())
    times = []
    for _ in range(PINGS):
        began = probe.hub.now_s
        await probe.get(oa.VersionReq())
        times.append((probe.hub.now_s - began) * 1000)
    times.sort()
    return [
        found("connection", "protocol version", version.version),
        found(
            "connection", "round trip, ms", f"median {statistics.median(times):.1f}, worst of {PINGS} {times[-1]:.1f}"
        ),
    ]


async def account(probe: Probe) -> list[Finding]:
    trader = (await probe.get(oa.TraderReq())).trader
    assets = {a.assetId: a.name for a in (await probe.get(oa.AssetListReq())).asset}
    kind = oa.AccountType(trader.accountType).name if trader.HasField("accountType") else "not told"
    stop_out = oa.StopOutStrategy(trader.stopOutStrategy).name if trader.HasField("stopOutStrategy") else "not told"
    full = "not told" if not trader.HasField("fairStopOut") else "full" if trader.fairStopOut else "partial"
    out = [
        found("account", "kind", kind, "hedged, netted or spread betting", kind != "not told"),
        found("account", "currency", assets.get(trader.depositAssetId, "unknown asset")),
        found("account", "decimals of money (moneyDigits)", trader.moneyDigits, "told", trader.HasField("moneyDigits")),
        found("account", "leverage", f"{trader.leverageInCents / 100:g} (at most {trader.maxLeverage})"),
        found("account", "stop-out order and size", f"{stop_out}, {full}"),
        found("account", "rights", oa.AccessRights(trader.accessRights).name),
        found(
            "account",
            "limited risk",
            trader.isLimitedRisk,
            "no: guaranteed stops were never seen on a real account",
            not trader.isLimitedRisk,
        ),
    ]
    calls = await probe.get(oa.MarginCallListReq())
    out.append(
        found(
            "account",
            "margin call levels, %",
            ", ".join(f"{c.marginLevelThreshold:g}" for c in calls.marginCall) or "none",
        )
    )
    books = await probe.get(oa.ReconcileReq(returnProtectionOrders=True))
    out.append(found("account", "open positions and working orders", f"{len(books.position)}, {len(books.order)}"))
    profit = await probe.get(oa.GetPositionUnrealizedPnLReq())
    same = len(profit.positionUnrealizedPnL) == len(books.position)
    out.append(
        found(
            "account",
            "profit of open positions by request",
            f"{len(profit.positionUnrealizedPnL)} answers",
            "one for each position",
            same,
        )
    )
    return out


async def symbols(probe: Probe) -> list[Finding]:
    light = list((await probe.get(oa.SymbolsListReq())).symbol)
    classes = {c.id: c.name for c in (await probe.get(oa.AssetClassListReq())).assetClass}
    categories = {
        c.id: (c.name, classes.get(c.assetClassId, ""))
        for c in (await probe.get(oa.SymbolCategoryListReq())).symbolCategory
    }
    assets = {a.assetId: a.name for a in (await probe.get(oa.AssetListReq())).asset}

    def class_of(s: Any) -> AssetClass:
        category = categories.get(s.symbolCategoryId, ("", ""))
        return classify(category, assets.get(s.baseAssetId, ""), assets.get(s.quoteAssetId, ""))

    unclear = [s.symbolName for s in light if class_of(s) is AssetClass.OTHER]
    wanted = [s.symbolId for s in sorted(light, key=lambda s: (s.symbolName not in USUAL, s.symbolId))][:SAMPLE]
    full = list((await probe.get(oa.SymbolByIdReq(symbolId=wanted))).symbol)
    probe.symbols_seen = {s.symbolName: (s, next((f for f in full if f.symbolId == s.symbolId), None)) for s in light}
    answered = [s.symbolId for s in full]
    return [
        found("symbols", "how many, enabled", f"{len(light)}, {sum(s.enabled for s in light)}"),
        found(
            "symbols",
            "categories (class)",
            names(f"{a} ({b})" for a, b in categories.values()),
            "names tell the asset class",
        ),
        found("symbols", "asset classes we make of them", names(class_of(s) for s in light)),
        found("symbols", "of no class we know", ", ".join(unclear[:10]) or "none", "none", not unclear),
        found(
            "symbols",
            f"full specifications in one answer (asked {len(wanted)})",
            len(full),
            "all that were asked for",
            len(full) == len(wanted),
        ),
        found("symbols", "order of that answer", "as asked" if answered == wanted else "its own", "not relied on"),
        found("symbols", "zones of trading hours", names(s.scheduleTimeZone for s in full)),
        found("symbols", "holidays told", sum(len(s.holiday) for s in full)),
        found("symbols", "commission", names(oa.CommissionType(s.commissionType).name for s in full)),
        found("symbols", "swap", names(oa.SwapCalculationType(s.swapCalculationType).name for s in full)),
        found("symbols", "swap at, minutes after 00:00 UTC", names(str(s.swapTime) for s in full)),
        found("symbols", "measurement units", names(s.measurementUnits for s in full)),
        found("symbols", "trading mode", names(oa.TradingMode(s.tradingMode).name for s in full)),
    ]


async def leverage(probe: Probe) -> list[Finding]:
    """The unit of a tier's leverage is not documented: the margin of one lot tells it."""
    light, symbol = _usual(probe)
    if symbol is None or not symbol.leverageId:
        return [found("leverage", "dynamic leverage", "no symbol looked at has any")]
    answer = (await probe.get(oa.GetDynamicLeverageByIDReq(leverageId=symbol.leverageId))).leverage
    tiers = sorted(answer.tiers, key=lambda t: t.volume)
    out = [
        found(
            "leverage",
            f"tiers of {light.symbolName}, as sent",
            ", ".join(f"{t.volume}:{t.leverage}" for t in tiers[:4]),
        )
    ]
    margin = await probe.get(oa.ExpectedMarginReq(symbolId=symbol.symbolId, volume=[symbol.lotSize]))
    money = margin.margin[0].buyMargin / 10**margin.moneyDigits if margin.margin else 0.0
    amount = f"{money:,.{margin.moneyDigits}f} in account currency"
    out.append(found("leverage", f"margin of one lot of {light.symbolName}", amount))
    price = _last_price(probe, symbol.symbolId)
    if money and price:
        implied = symbol.lotSize / 100 * price / money
        told = tiers[0].leverage / 100
        # Another account currency or the account's own leverage moves it, a wrong unit by a factor of 100.
        near = 0.2 <= implied / told <= 5 if told else None
        out.append(
            found(
                "leverage",
                "leverage that margin means",
                f"about {implied:.1f}; first tier says {told:g}",
                "tiers are in hundredths",
                near,
            )
        )
    return out


async def spots(probe: Probe) -> list[Finding]:
    """Watch prices and depth of the usual symbols for `Probe.observe_s`."""
    chosen = [entry for name in USUAL if (entry := probe.symbols_seen.get(name)) is not None] or list(
        probe.symbols_seen.values()
    )[:3]
    ids = [light.symbolId for light, _ in chosen]
    began = probe.clock_s
    await probe.get(oa.SubscribeSpotsReq(symbolId=ids, subscribeToSpotTimestamp=True))
    again = await probe.refusal(oa.SubscribeSpotsReq(symbolId=ids[:1], subscribeToSpotTimestamp=True))
    depth = "accepted"
    try:
        await probe.get(oa.SubscribeDepthQuotesReq(symbolId=ids[:1]))
    except VenueError as error:
        depth = error.code
    await probe.hub.sleep(probe.observe_s)
    heard = list(probe.heard.spots)
    await probe.get(oa.UnsubscribeSpotsReq(symbolId=ids))
    stopped = len(probe.heard.spots)
    await probe.hub.sleep(min(2.0, probe.observe_s))
    late = len(probe.heard.spots) - stopped
    first = {s.symbolId: at - began for at, s in reversed(heard)}
    sides = Counter("both" if s.bid and s.ask else "one" if s.bid or s.ask else "neither" for _, s in heard)
    stamps = [s.timestamp for _, s in heard if s.timestamp]
    ages = sorted(at * 1000 - s.timestamp for at, s in heard if s.timestamp)
    out = [
        found("prices", "symbols watched", ", ".join(light.symbolName for light, _ in chosen)),
        found("prices", "subscribing twice", again, "ALREADY_SUBSCRIBED", again == "ALREADY_SUBSCRIBED"),
        found(
            "prices",
            "symbols with a price at once",
            f"{len(first)} of {len(ids)}",
            "each, also while closed",
            len(first) == len(ids),
        ),
        found("prices", "messages, by sides", names(sides.elements()), "one side or both"),
        found(
            "prices",
            "stamps",
            f"{len(stamps)} of {len(heard)}",
            "on all when asked for",
            len(stamps) == len(heard) if heard else None,
        ),
        found("prices", "after unsubscribing", f"{late} messages", "some may still come"),
    ]
    if ages:
        out.append(
            found(
                "prices",
                "age by this machine's clock, ms",
                f"median {statistics.median(ages):.0f}, least {ages[0]:.0f}",
                "clocks agree within 1 s",
                abs(ages[0]) < 1000,
            )
        )
    return out + _depth(probe, depth)


def _depth(probe: Probe, answer: str) -> list[Finding]:
    if not probe.heard.depth:
        return [found("depth", "subscription", f"{answer}, no message")]
    first = probe.heard.depth[0][1]
    known = {q.id for q in first.newQuotes}
    strangers = 0
    for _, event in probe.heard.depth[1:]:
        strangers += sum(number not in known for number in event.deletedQuotes)
        known -= set(event.deletedQuotes)
        known |= {q.id for q in event.newQuotes}
    bids = sum(q.HasField("bid") for q in first.newQuotes)
    return [
        found(
            "depth",
            "first message",
            f"{bids} bids, {len(first.newQuotes) - bids} asks, {len(first.deletedQuotes)} deletions",
            "the whole book",
            bool(first.newQuotes) and not first.deletedQuotes,
        ),
        found(
            "depth",
            "deletions of quotes never told",
            f"{strangers} in {len(probe.heard.depth)} messages",
            "0",
            strangers == 0,
        ),
    ]


async def bars(probe: Probe) -> list[Finding]:
    light, _ = _usual(probe)
    now = round(probe.clock_s * 1000)

    async def ask(period: Any, start: int, end: int, count: int | None = None) -> Any:
        message = oa.GetTrendbarsReq(symbolId=light.symbolId, period=period, fromTimestamp=start, toTimestamp=end)
        if count:
            message.count = count
        return await probe.get(message)

    month = await ask(oa.TrendbarPeriod.M1, now - 5 * WEEK_MS, now)
    times = [b.utcTimestampInMinutes for b in month.trendbar]
    limited = await ask(oa.TrendbarPeriod.M1, now - 5 * WEEK_MS, now, 5000)
    year = await _code(ask(oa.TrendbarPeriod.M1, now - 400 * DAY_MS, now))
    ten = await ask(oa.TrendbarPeriod.M1, now - WEEK_MS, times[-1] * 60_000 if times else now, 10)
    days = await ask(oa.TrendbarPeriod.D1, now - 30 * DAY_MS, now)
    fours = await ask(oa.TrendbarPeriod.H4, now - WEEK_MS, now)
    wrong = sum(b.deltaHigh < max(b.deltaOpen, b.deltaClose) for b in month.trendbar)
    opens = names(datetime.fromtimestamp(b.utcTimestampInMinutes * 60, UTC).strftime("%H:%M") for b in days.trendbar)
    age = f"{now / 60_000 - times[-1]:.1f}" if times else "none"
    inclusive = bool(ten.trendbar and times) and ten.trendbar[-1].utcTimestampInMinutes == times[-1]
    return [
        found("bars", "M1 bars of five weeks in one answer", f"{len(times)}, hasMore {month.hasMore}"),
        found("bars", "reach of that answer, days", f"{(times[-1] - times[0]) / 1440:.1f}" if times else "none"),
        found("bars", "order", _order(times), "ascending", _order(times) == "ascending" if len(times) > 1 else None),
        found(
            "bars",
            "count=5000 gives",
            len(limited.trendbar),
            "5000 or 4999",
            len(limited.trendbar) in (4999, 5000) if len(times) >= 5000 else None,
        ),
        found("bars", "400 days of M1 in one request", year, "cut or refused, told by the bars that come"),
        found("bars", "end of a range is inclusive", inclusive, "True", inclusive if times else None),
        found(
            "bars", "period on each bar", sum(b.HasField("period") for b in month.trendbar), "0 (on the answer only)"
        ),
        found(
            "bars",
            "high below open or close (repaired)",
            f"{wrong} of {len(times)}",
            "a few in a thousand",
            wrong * 50 <= len(times),
        ),
        found("bars", "days open at, UTC", opens, "21:00 or 22:00 (17:00 New York)"),
        found(
            "bars",
            "four-hour bars open at, UTC",
            names(datetime.fromtimestamp(b.utcTimestampInMinutes * 60, UTC).strftime("%H:%M") for b in fours.trendbar),
        ),
        found("bars", "minutes since the newest closed M1 bar opened", age),
    ]


async def ticks(probe: Probe) -> list[Finding]:
    light, _ = _usual(probe)
    now = round(probe.clock_s * 1000)

    def ask(start: int, end: int) -> oa.GetTickDataReq:
        return oa.GetTickDataReq(symbolId=light.symbolId, type=oa.QuoteType.BID, fromTimestamp=start, toTimestamp=end)

    answer = await probe.get(ask(now - 4 * DAY_MS, now))
    steps = [t.timestamp for t in answer.tickData]
    week = await _code(probe.get(ask(now - 15 * DAY_MS, now)))
    oldest = 0
    for days in (30, 90, 180, 365, 730, 1460):
        page = await probe.get(ask(now - days * DAY_MS - WEEK_MS, now - days * DAY_MS))
        if page.tickData:
            oldest = days
    return [
        found("ticks", "ticks of four days in one answer", f"{len(steps)}, hasMore {answer.hasMore}"),
        found(
            "ticks",
            "first absolute, then differences, newest first",
            _tick_chain(steps),
            "yes",
            _tick_chain(steps) == "yes" if len(steps) > 1 else None,
        ),
        found("ticks", "a range of 15 days", week, "accepted or refused; a week is never exceeded"),
        found("ticks", "history reaches back, days", f"at least {oldest}"),
    ]


async def lists(probe: Probe) -> list[Finding]:
    now = round(probe.clock_s * 1000)
    deals = await probe.get(oa.DealListReq(fromTimestamp=now - WEEK_MS, toTimestamp=now, maxRows=1000))
    long_deals = await _code(probe.get(oa.DealListReq(fromTimestamp=now - 60 * DAY_MS, toTimestamp=now)))
    orders = await probe.get(oa.OrderListReq(fromTimestamp=now - WEEK_MS, toTimestamp=now))
    long_orders = await _code(probe.get(oa.OrderListReq(fromTimestamp=now - 60 * DAY_MS, toTimestamp=now)))
    cash = await _code(probe.get(oa.CashFlowHistoryListReq(fromTimestamp=now - WEEK_MS, toTimestamp=now)))
    two = len(deals.deal) > 1
    order = _order([d.executionTimestamp for d in deals.deal])
    unknown = await probe.refusal(oa.OrderDetailsReq(orderId=1))
    nobody = await probe.refusal(oa.SymbolByIdReq(symbolId=[2**40]))
    return [
        found(
            "lists",
            "deals of a week",
            f"{len(deals.deal)}, hasMore {deals.hasMore}, {order}",
            "newest first",
            order == "newest first" if two else None,
        ),
        found("lists", "deals of 60 days in one request", long_deals, "a week is never exceeded"),
        found("lists", "orders of a week", f"{len(orders.order)}, hasMore {orders.hasMore}"),
        found("lists", "orders of 60 days in one request", long_orders, "a week is never exceeded"),
        found("lists", "cash flow of a week", cash),
        found("refusals", "an order that is not there", unknown, "ORDER_NOT_FOUND", unknown == "ORDER_NOT_FOUND"),
        found("refusals", "a symbol that is not there", nobody),
    ]


async def idle(probe: Probe) -> list[Finding]:
    """Say nothing and wait for the server's own heartbeat."""
    await probe.hub.sleep(probe.observe_s)
    gaps = [gap for gap in probe.heard.heartbeat_gaps_s if gap > 1]
    heard = probe.heard
    seen = f"after {min(gaps):.0f} to {max(gaps):.0f} idle seconds" if gaps else f"none in {probe.observe_s:g} s"
    fields = ", ".join(f"{name} #{number}" for (name, number) in sorted(heard.unknown_fields)) or "none"
    return [
        found(
            "connection", "the server's own heartbeat", seen, "within 34 s of silence", max(gaps) < 34 if gaps else None
        ),
        found("schema", "fields this version does not know", fields, "Symbol #41, Trader #23, Deal #19"),
        found(
            "schema",
            "messages this version does not know",
            names(f"payload {n}" for n in heard.unknown_types.elements()),
            "none",
            not heard.unknown_types,
        ),
        found("schema", "other messages that came unasked", names(heard.other.elements())),
    ]


def _usual(probe: Probe) -> tuple[Any, Any]:
    for name in USUAL:
        if name in probe.symbols_seen:
            return probe.symbols_seen[name]
    return next(iter(probe.symbols_seen.values()))


def _last_price(probe: Probe, symbol_id: int) -> float:
    return next((s.bid / 100_000 for _, s in reversed(probe.heard.spots) if s.symbolId == symbol_id and s.bid), 0.0)


async def _code(answer: Any) -> str:
    """What became of a request that may be refused."""
    try:
        got = await answer
    except VenueError as error:
        return error.code
    rows = next((len(v) for f, v in got.ListFields() if f.is_repeated), 0)
    more = f", hasMore {got.hasMore}" if any(f.name == "hasMore" for f in got.DESCRIPTOR.fields) else ""
    return f"accepted, {rows} rows{more}"


def _order(times: Sequence[int]) -> str:
    if len(times) < 2:
        return "too few to tell"
    if list(times) == sorted(times):
        return "ascending"
    return "newest first" if list(times) == sorted(times, reverse=True) else "no order"


def _tick_chain(steps: Sequence[int]) -> str:
    return "yes" if len(steps) > 1 and steps[0] > 10**12 and all(s <= 0 for s in steps[1:]) else "no"


CHECKS: tuple[tuple[str, Check], ...] = (
    ("connection", connection),
    ("account", account),
    ("symbols", symbols),
    ("prices", spots),
    ("leverage", leverage),
    ("bars", bars),
    ("ticks", ticks),
    ("lists", lists),
    ("schema", idle),
)
