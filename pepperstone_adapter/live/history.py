"""Historical bars and quotes for a running strategy: ranges worked out, limits kept, broker data as framework data.

Made for warming up indicators, not for filling a catalog: what is too much for a live node is refused with the command
that downloads it.
"""

from dataclasses import dataclass

from nautilus_trader.model import Bar as FrameworkBar
from nautilus_trader.model import BarType, PriceType, QuoteTick

from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.session import BrokerSession
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.started import command
from pepperstone_adapter.live.bars import bars_from_ticks
from pepperstone_adapter.mapping.data import NS, QuoteScale, bar, bar_close_ns, bar_open_ns, period_ns, period_of

DAY_NS = 86_400 * NS
MAX_BARS = 200_000
MAX_TICK_DAYS = 7
_LONG_NS = {BarPeriod.D1: DAY_NS, BarPeriod.W1: 7 * DAY_NS, BarPeriod.MN1: 31 * DAY_NS}


@dataclass(frozen=True, slots=True)
class HistoryRange:
    """``[start_ns, end_ns)`` and how many rows of its end are wanted (None = all)."""

    start_ns: int
    end_ns: int
    limit: int | None


def bar_range(
    period: BarPeriod, start_ns: int | None, end_ns: int | None, limit: int | None, now_ns: int
) -> HistoryRange:
    """The range of a bar request.

    Without a start it is as far back as `limit` bars (or a day's worth) need, weekends and holidays included.

    Raises
    ------
    ConfigurationError
        Start not before end, or more than a live node should load.
    """
    length = period_ns(period) or _LONG_NS[period]
    end = min(end_ns or now_ns, now_ns)
    if start_ns is None:
        count = limit or max(1, DAY_NS // length)
        # Markets are open five days of seven; a long weekend adds up to four days at once.
        start_ns = end - count * length * 7 // 5 - 4 * DAY_NS
    if start_ns >= end:
        raise ConfigurationError(f"bar request: start {start_ns} is not before end {end}")
    if (end - start_ns) // length > MAX_BARS:
        raise ConfigurationError(f"bar request: more than {MAX_BARS} {period} bars; {_download()}")
    return HistoryRange(start_ns, end, limit)


def tick_range(start_ns: int | None, end_ns: int | None, limit: int | None, now_ns: int) -> HistoryRange:
    """The range of a quote request; without a start the last hour.

    Raises
    ------
    ConfigurationError
        Start not before end, or more than a week.
    """
    end = min(end_ns or now_ns, now_ns)
    start = end - 3600 * NS if start_ns is None else start_ns
    if start >= end:
        raise ConfigurationError(f"quote request: start {start} is not before end {end}")
    if end - start > MAX_TICK_DAYS * DAY_NS:
        raise ConfigurationError(f"quote request: more than {MAX_TICK_DAYS} days of ticks; {_download()}")
    return HistoryRange(start, end, limit)


async def load_bars(
    session: BrokerSession,
    spec: SymbolSpec,
    bar_type: BarType,
    size_digits: int,
    start_ns: int | None,
    end_ns: int | None,
    limit: int | None,
    now_ns: int,
) -> list[FrameworkBar]:
    """Closed bars of a bar type whose close lies in the range (both ends included), ascending.

    BID bars are the broker's own; ASK and MID are built from its ticks.

    Raises
    ------
    ConfigurationError
        A period or price the venue has no bars for, or a range that is too long.
    """
    period = period_of(bar_type)
    price_type = bar_type.spec.price_type
    if period is None or period not in session.capabilities.bar_periods:
        raise ConfigurationError(f"{bar_type}: the venue has no such bars; its periods: {_names(session)}")
    wanted = bar_range(period, start_ns, end_ns, limit, now_ns)
    length, clock = period_ns(period) or _LONG_NS[period], session.capabilities.server_clock
    # Brokers list bars by their opening: the first that closes in the range opened before it.
    if price_type is PriceType.BID:
        found = await session.history_bars(spec.name, period, wanted.start_ns - length, wanted.end_ns)
    elif price_type in (PriceType.ASK, PriceType.MID):
        start = bar_open_ns(period, wanted.start_ns, clock)
        if wanted.end_ns - start > MAX_TICK_DAYS * DAY_NS:
            raise ConfigurationError(f"{bar_type}: built from ticks, so at most {MAX_TICK_DAYS} days; {_download()}")
        ticks = await session.history_ticks(spec.name, start, wanted.end_ns)
        found = bars_from_ticks(ticks, spec.name, period, price_type, wanted.end_ns, clock)
    else:
        raise ConfigurationError(f"{bar_type}: the venue has BID bars; ASK and MID are built from ticks")
    bars = [
        bar(b, bar_type, spec.digits, now_ns, size_digits, clock)
        for b in found
        if b.closed and wanted.start_ns <= bar_close_ns(period, b.open_ns, clock) <= wanted.end_ns
    ]
    return bars[-wanted.limit :] if wanted.limit else bars


async def load_quotes(
    session: BrokerSession,
    symbol: str,
    scale: QuoteScale,
    start_ns: int | None,
    end_ns: int | None,
    limit: int | None,
    now_ns: int,
) -> list[QuoteTick]:
    """Two-sided quotes of the range, ascending; the newest `limit` of them.

    Raises
    ------
    ConfigurationError
        The venue keeps no ticks, or the range is too long.
    """
    if not session.capabilities.historical_ticks:
        raise ConfigurationError("the venue has no historical ticks; use bars")
    wanted = tick_range(start_ns, end_ns, limit, now_ns)
    ticks = await session.history_ticks(symbol, wanted.start_ns, wanted.end_ns)
    quotes = [scale.quote(t.bid, t.ask, t.ts_ns, t.ts_ns) for t in ticks if t.bid is not None and t.ask is not None]
    return quotes[-wanted.limit :] if wanted.limit else quotes


def _names(session: BrokerSession) -> str:
    return ", ".join(p.value for p in session.capabilities.bar_periods)


def _download() -> str:
    return f"fill the catalog with `{command()} data download` instead"
