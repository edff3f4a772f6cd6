"""Prices and bars from a broker as the framework's data, exact to the last digit.

Theory. A broker price is an integer number of points (10^-digits). The framework's fixed point is an integer of
10^-16, so a price is ``points * 10^(16 - digits)``: one multiplication, no float. A bar is named by its *close*
(`ts_event`), as in the catalog; the broker names it by its opening. Volumes of bars are tick counts, scaled by the
same constants as the catalog's, so that a strategy sees one unit of volume live and in a backtest.

A day, week or month of a broker begins at its server's midnight (17:00 New York unless an account has another rule), which
moves against UTC where the server's clock changes; its end is therefore counted on that clock.
"""

from datetime import UTC, datetime, timedelta

from nautilus_trader.model import (
    FIXED_PRECISION,
    AggregationSource,
    BarAggregation,
    BarSpecification,
    BarType,
    InstrumentId,
    Price,
    PriceType,
    Quantity,
    QuoteTick,
)
from nautilus_trader.model import Bar as FrameworkBar

from pepperstone_adapter.broker.market import Bar, BarPeriod
from pepperstone_adapter.broker.server_time import HOUR_NS, NEW_YORK_CLOCK, ServerClock

NS = 1_000_000_000

# The catalog's constants (catalog/volume.py says why); a test holds both to the same values.
UNITS_PER_TICK = 100_000_000
UNITS_PER_TICK_DAILY = 100_000
QUOTE_UNITS = 1_000_000_000  # each side of a quote whose size the broker did not say
MAX_UNITS = 34_000_000_000_000

_STEPS: dict[BarPeriod, tuple[int, BarAggregation]] = {
    BarPeriod.M1: (1, BarAggregation.MINUTE),
    BarPeriod.M2: (2, BarAggregation.MINUTE),
    BarPeriod.M3: (3, BarAggregation.MINUTE),
    BarPeriod.M4: (4, BarAggregation.MINUTE),
    BarPeriod.M5: (5, BarAggregation.MINUTE),
    BarPeriod.M6: (6, BarAggregation.MINUTE),
    BarPeriod.M10: (10, BarAggregation.MINUTE),
    BarPeriod.M12: (12, BarAggregation.MINUTE),
    BarPeriod.M15: (15, BarAggregation.MINUTE),
    BarPeriod.M20: (20, BarAggregation.MINUTE),
    BarPeriod.M30: (30, BarAggregation.MINUTE),
    BarPeriod.H1: (1, BarAggregation.HOUR),
    BarPeriod.H2: (2, BarAggregation.HOUR),
    BarPeriod.H3: (3, BarAggregation.HOUR),
    BarPeriod.H4: (4, BarAggregation.HOUR),
    BarPeriod.H6: (6, BarAggregation.HOUR),
    BarPeriod.H8: (8, BarAggregation.HOUR),
    BarPeriod.H12: (12, BarAggregation.HOUR),
    BarPeriod.D1: (1, BarAggregation.DAY),
    BarPeriod.W1: (1, BarAggregation.WEEK),
    BarPeriod.MN1: (1, BarAggregation.MONTH),
}
_PERIODS = {spec: period for period, spec in _STEPS.items()}
_SECONDS = {BarAggregation.MINUTE: 60, BarAggregation.HOUR: 3600}
DAILY = frozenset({BarPeriod.D1, BarPeriod.W1, BarPeriod.MN1})


def price(points: int, digits: int) -> Price:
    """An integer number of points as a framework price with `digits` decimals."""
    return Price.from_raw(points * 10 ** (FIXED_PRECISION - digits), digits)


class QuoteScale:
    """Makes quotes of one instrument from integer points; the constants are worked out once."""

    __slots__ = ("_cent_raw", "_price_digits", "_price_raw", "_size_digits", "_unknown_raw", "instrument_id")

    def __init__(self, instrument_id: InstrumentId, price_digits: int, size_digits: int) -> None:
        self.instrument_id = instrument_id
        self._price_digits = price_digits
        self._size_digits = size_digits
        self._price_raw = 10 ** (FIXED_PRECISION - price_digits)
        self._cent_raw = 10 ** (FIXED_PRECISION - 2)
        self._unknown_raw = QUOTE_UNITS * 10**FIXED_PRECISION

    def quote(
        self,
        bid: int,
        ask: int,
        ts_event_ns: int,
        ts_init_ns: int,
        bid_cents: int | None = None,
        ask_cents: int | None = None,
    ) -> QuoteTick:
        """A quote from points; sizes in hundredths of a unit where the book is known, else the nominal size."""
        return QuoteTick.from_raw(
            self.instrument_id,
            bid * self._price_raw,
            ask * self._price_raw,
            self._price_digits,
            self._price_digits,
            self._unknown_raw if bid_cents is None else self._size_raw(bid_cents),
            self._unknown_raw if ask_cents is None else self._size_raw(ask_cents),
            self._size_digits,
            self._size_digits,
            ts_event_ns,
            ts_init_ns,
        )

    def _size_raw(self, cents: int) -> int:
        step = 10 ** (FIXED_PRECISION - self._size_digits)
        return int(cents * self._cent_raw // step * step)


def size_from_cents(cents: int, size_digits: int) -> Quantity:
    """Hundredths of a unit as a framework quantity, rounded down to the instrument's precision."""
    step = 10 ** (FIXED_PRECISION - size_digits)
    return Quantity.from_raw(cents * 10 ** (FIXED_PRECISION - 2) // step * step, size_digits)


def period_of(bar_type: BarType) -> BarPeriod | None:
    """The broker's period for a bar type, None where brokers have no such bars (seconds, ticks, 7 minutes)."""
    spec = bar_type.spec
    return _PERIODS.get((spec.step, spec.aggregation))


def bar_type_of(instrument_id: InstrumentId, period: BarPeriod, price_type: PriceType = PriceType.BID) -> BarType:
    step, aggregation = _STEPS[period]
    return BarType(instrument_id, BarSpecification(step, aggregation, price_type), AggregationSource.EXTERNAL)


def period_ns(period: BarPeriod) -> int | None:
    """Length of a period in nanoseconds; None for days and more, whose length is not constant."""
    step, aggregation = _STEPS[period]
    seconds = _SECONDS.get(aggregation)
    return None if seconds is None else step * seconds * NS


def bar_open_ns(period: BarPeriod, ts_ns: int, clock: ServerClock = NEW_YORK_CLOCK) -> int:
    """When the bar opened that holds an instant (UTC ns): up to an hour on the server's clock, above it within its day."""
    length = period_ns(period)
    server_ns = clock.from_utc_ns(ts_ns)
    if length is not None and length <= HOUR_NS:
        return ts_ns - server_ns % length
    if length is not None and clock.wall_hours:
        return clock.to_utc_ns(server_ns - server_ns % length)
    opened = _wall(server_ns).replace(hour=0, minute=0, second=0)
    if period is BarPeriod.W1:
        opened -= timedelta(days=opened.weekday())
    elif period is BarPeriod.MN1:
        opened = opened.replace(day=1)
    day_ns = _utc_ns(opened, clock)
    return day_ns if length is None else ts_ns - (ts_ns - day_ns) % length


def bar_close_ns(period: BarPeriod, open_ns: int, clock: ServerClock = NEW_YORK_CLOCK) -> int:
    """When a bar that opened at `open_ns` closes (UTC ns)."""
    length = period_ns(period)
    if length is not None and length > HOUR_NS and clock.wall_hours:
        server_ns = clock.from_utc_ns(open_ns)
        return clock.to_utc_ns(server_ns - server_ns % length + length)
    if length is not None:
        return open_ns + length
    opened = _wall(clock.from_utc_ns(open_ns))
    if period is BarPeriod.MN1:
        closed = opened.replace(year=opened.year + opened.month // 12, month=opened.month % 12 + 1, day=1)
    else:
        closed = opened + timedelta(days=1 if period is BarPeriod.D1 else 7)
    return _utc_ns(closed, clock)


def _wall(server_ns: int) -> datetime:
    """A server's stamp as its wall clock, to the second."""
    return datetime.fromtimestamp(server_ns // NS, tz=UTC)


def _utc_ns(wall: datetime, clock: ServerClock) -> int:
    return clock.to_utc_ns(int(wall.timestamp()) * NS)


def bar(
    source: Bar,
    bar_type: BarType,
    digits: int,
    ts_init_ns: int,
    size_digits: int = 0,
    clock: ServerClock = NEW_YORK_CLOCK,
) -> FrameworkBar:
    """A broker's bar as the framework's, stamped with its close."""
    factor = UNITS_PER_TICK_DAILY if source.period in DAILY else UNITS_PER_TICK
    units = min(max(source.volume, 1), MAX_UNITS // factor) * factor
    close_ns = bar_close_ns(source.period, source.open_ns, clock)
    return FrameworkBar(
        bar_type,
        price(source.open, digits),
        price(source.high, digits),
        price(source.low, digits),
        price(source.close, digits),
        Quantity.from_raw(units * 10**FIXED_PRECISION, size_digits),
        close_ns,
        max(close_ns, ts_init_ns),
    )
