"""When the margin level could fall to a threshold, and at which prices it did.

Between fills equity is linear in prices, so instead of looking at every row the account asks once after each fill: *when*
is the first row at which equity could be that low? Three steps, each only when the one before cannot exclude it: the
extremes of the whole window, the extremes of its sixty-four blocks, the rows of the first block that is not safe. An account
far from its threshold pays for a handful of multiplications per fill and nothing per row.

Within a bar the path is taken as open, then the adverse extreme (the low where more is held long, the high where more is held
short: both sides of a hedge go the same way): positions are closed where the level is reached on that way, or at the open
when the bar opened beyond it (a gap). Prices of symbols without a row at that time stay at their last close. Positions opened
in the same instant are valued at the close.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.common.arrays import distinct
from pepperstone_adapter.simulation.books import Ticket
from pepperstone_adapter.simulation.plan import Int64s
from pepperstone_adapter.simulation.rates import Leg, Rates
from pepperstone_adapter.simulation.tape import Tape

BLOCKS = 64
HIGH, LOW, CLOSE = 1, 2, 3  # of the four prices of a side
type Floats = NDArray[np.float64]


@dataclass(slots=True)
class Exposure:
    """What is held of one symbol, in units and in cost (units × opening price, in points)."""

    long: float = 0.0
    long_cost: float = 0.0
    short: float = 0.0
    short_cost: float = 0.0

    @classmethod
    def of(cls, tickets: Iterable[Ticket], size_digits: int) -> "Exposure":
        out, scale = cls(), 10.0**size_digits
        for ticket in tickets:
            if ticket.sign > 0:
                out.long += ticket.steps / scale
                out.long_cost += ticket.cost / scale
            else:
                out.short += ticket.steps / scale
                out.short_cost += ticket.cost / scale
        return out

    def profit(self, bid: Floats | float, ask: Floats | float) -> Floats | float:
        """Open profit in points × units."""
        return self.long * bid - self.long_cost + self.short_cost - self.short * ask


@dataclass(slots=True, eq=False)
class _Extremes:
    """Lowest BID and highest ASK of a symbol in each block of the window, and the range of its middle."""

    low: Floats
    high: Floats
    mid_low: Floats
    mid_high: Floats


class MarginWatch:
    """Looks ahead in the loaded window. `load` must be called for every window."""

    def __init__(self, tapes: Mapping[str, Tape], rates: Rates, currency: str) -> None:
        self._tapes = tapes
        self._rates = rates
        self._currency = currency
        self._edges: Int64s = np.empty(0, np.int64)
        self._blocks: dict[str, _Extremes] = {}
        self._whole: dict[str, tuple[Decimal, Decimal, Decimal, Decimal]] = {}

    def load(self, start_ns: int, end_ns: int) -> None:
        # In floats a time of today is known to 256 ns: the ends must not lose a row.
        self._edges = np.linspace(start_ns, end_ns, BLOCKS + 1).astype(np.int64)
        self._edges[0], self._edges[-1] = start_ns, end_ns
        self._blocks = {}
        self._whole = {}

    def worst_equity(self, tickets: Iterable[Ticket], balance: Decimal) -> Decimal:
        """Equity at the extremes of the whole window: no row of it can be worse. A few multiplications."""
        equity = balance
        for ticket in tickets:
            low, high, least, most = self.extent(ticket.symbol)
            worst = ticket.profit(low if ticket.sign > 0 else high)
            equity += worst * (most if worst < 0 else least)
        return equity

    def extent(self, name: str) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """Lowest BID and highest ASK of the window, and the range of the rate of the quote currency."""
        found = self._whole.get(name)
        if found is None:
            found = self._whole[name] = self._extent(name)
        return found

    def _extent(self, name: str) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        tape = self._tapes[name]
        extremes = self._extremes(name)
        low, high = self._rate_range(tape.spec.quote_currency, 0)
        return (
            Decimal(int(extremes.low.min())).scaleb(-tape.spec.digits),
            Decimal(int(extremes.high.max())).scaleb(-tape.spec.digits),
            Decimal(float(np.min(low))),
            Decimal(float(np.max(high))),
        )

    def next_danger(self, tickets: Iterable[Ticket], balance: float, threshold: float, now_ns: int) -> int | None:
        """The first time after `now_ns` in this window at which equity is at or below `threshold`; None if never."""
        return self._next(tickets, balance, threshold, now_ns, above=False)

    def next_relief(self, tickets: Iterable[Ticket], balance: float, threshold: float, now_ns: int) -> int | None:
        """The first row after `now_ns` in this window that closes with equity above `threshold`; None if none does."""
        return self._next(tickets, balance, threshold, now_ns, above=True)

    def _next(
        self, tickets: Iterable[Ticket], balance: float, threshold: float, now_ns: int, *, above: bool
    ) -> int | None:
        held = self._held(tickets)
        first = max(0, int(np.searchsorted(self._edges, now_ns, side="right")) - 1)
        if first >= BLOCKS:
            return None
        equity = balance + sum(
            (self._bound(name, exposure, first, above=above) for name, exposure in held.items()),
            np.zeros(BLOCKS - first),
        )
        for block in np.flatnonzero((equity > threshold) == above).tolist():
            found = self._scan(held, balance, threshold, now_ns, first + block, above=above)
            if found is not None:
                return found
        return None

    def _held(self, tickets: Iterable[Ticket]) -> dict[str, Exposure]:
        by_symbol: dict[str, list[Ticket]] = {}
        for ticket in tickets:
            by_symbol.setdefault(ticket.symbol, []).append(ticket)
        return {name: Exposure.of(listed, self._tapes[name].spec.size_digits) for name, listed in by_symbol.items()}

    def _bound(self, name: str, exposure: Exposure, first: int, *, above: bool) -> Floats:
        """The least profit each block allows, or with `above` the most, in account currency."""
        extremes = self._extremes(name)
        bid, ask = extremes.low[first:], extremes.high[first:]
        profit = np.asarray(exposure.profit(ask, bid) if above else exposure.profit(bid, ask))
        spec = self._tapes[name].spec
        low, high = self._rate_range(spec.quote_currency, first)
        return np.where((profit < 0) == above, profit * low, profit * high) / 10.0**spec.digits

    def _rate_range(self, currency: str, first: int) -> tuple[Floats | float, Floats | float]:
        low: Floats | float = 1.0
        high: Floats | float = 1.0
        for name, inverse in self._legs(currency):
            extremes, scale = self._extremes(name), 10.0 ** self._tapes[name].spec.digits
            a, b = extremes.mid_low[first:] / scale, extremes.mid_high[first:] / scale
            low, high = (low / b, high / a) if inverse else (low * a, high * b)
        return low, high

    def _legs(self, currency: str) -> tuple[Leg, ...]:
        return self._rates.legs(currency, self._currency)

    def _extremes(self, name: str) -> _Extremes:
        found = self._blocks.get(name)
        if found is None:
            rows = self._tapes[name].rows
            starts = np.searchsorted(rows.ts_ns, self._edges[:-1], side="left")
            # A block also knows the price it began with: the row before its first.
            starts = np.maximum(starts - 1, 0)
            ends = np.maximum(np.searchsorted(rows.ts_ns, self._edges[1:], side="left"), starts + 1)
            pairs = np.stack((starts, ends), axis=1).ravel()

            def reduce(ufunc: np.ufunc, values: Int64s) -> Floats:
                padded = np.append(values, values[-1])
                return np.asarray(ufunc.reduceat(padded, pairs)[::2], np.float64)

            bid_low, ask_high = reduce(np.minimum, rows.bid[2]), reduce(np.maximum, rows.ask[1])
            mid = rows.bid[3] + rows.ask[3]
            found = _Extremes(bid_low, ask_high, reduce(np.minimum, mid) / 2, reduce(np.maximum, mid) / 2)
            self._blocks[name] = found
        return found

    def _scan(
        self, held: Mapping[str, Exposure], balance: float, threshold: float, now_ns: int, block: int, *, above: bool
    ) -> int | None:
        """The first row of a block with equity at or below the threshold, or with `above` one that closes above it."""
        start, end = max(now_ns + 1, int(self._edges[block])), int(self._edges[block + 1])
        stamps = []
        for name in held:
            ts = self._tapes[name].rows.ts_ns
            a, b = np.searchsorted(ts, [start, end])
            stamps.append(ts[a:b])
        times = distinct(np.concatenate(stamps)) if stamps else np.empty(0, np.int64)
        if not len(times):
            return None
        equity = np.full(len(times), balance)
        for name, exposure in held.items():
            spec, rows = self._tapes[name].spec, self._tapes[name].rows
            i = np.searchsorted(rows.ts_ns, times, side="right") - 1
            fresh = (i >= 0) & (rows.ts_ns[i] == times)
            i = np.maximum(i, 0)
            down, up = (
                np.asarray(exposure.profit(*(np.where(fresh, s[end][i], s[CLOSE][i]) for s in (rows.bid, rows.ask))))
                for end in ((CLOSE, CLOSE) if above else (LOW, HIGH))
            )
            equity += np.minimum(down, up) * self._rate_at(spec.quote_currency, times) / 10.0**spec.digits
        hits = np.flatnonzero((equity > threshold) == above)
        return int(times[hits[0]]) if len(hits) else None

    def _rate_at(self, currency: str, times: Int64s) -> Floats | float:
        rate: Floats | float = 1.0
        for name, inverse in self._legs(currency):
            rows = self._tapes[name].rows
            i = np.maximum(np.searchsorted(rows.ts_ns, times, side="right") - 1, 0)
            mid = (rows.bid[3][i] + rows.ask[3][i]) / 2 / 10.0 ** self._tapes[name].spec.digits
            rate = rate / mid if inverse else rate * mid
        return rate


@dataclass(slots=True)
class Path:
    """One ticket's way through the bar of a moment, in prices of the side that closes it."""

    ticket: Ticket
    start: Decimal
    end: Decimal
    rate: Decimal  # quote currency to account currency

    def profit(self, price: Decimal) -> Decimal:
        return self.ticket.profit(price) * self.rate

    def price(self, share: Decimal) -> Decimal:
        """The price a share of the way, rounded against the holder."""
        point = Decimal(1).scaleb(self.end.as_tuple().exponent)  # type: ignore[arg-type]
        raw = self.start + (self.end - self.start) * share
        rounding = ROUND_FLOOR if self.ticket.sign > 0 else ROUND_CEILING
        return raw.quantize(point, rounding)

    def rest(self, share: Decimal) -> "Path":
        """What is left of the way behind a share of it."""
        return Path(self.ticket, self.price(share), self.end, self.rate)


def ways(tickets: Iterable[Ticket], tape: Tape, rate: Decimal, ts_ns: int) -> list[Path]:
    """The paths of one symbol's tickets at a time, to the bar's extreme that costs more; none before there is a price."""
    i = tape.index(ts_ns)
    if i < 0:
        return []
    listed = list(tickets)
    down, up = ([_way(t, tape, rate, ts_ns, i, end) for t in listed] for end in (LOW, HIGH))
    return min(down, up, key=lambda paths: sum(p.profit(p.end) for p in paths))


def _way(ticket: Ticket, tape: Tape, rate: Decimal, ts_ns: int, i: int, end: int) -> Path:
    rows, scale = tape.rows, -tape.spec.digits
    side = rows.bid if ticket.sign > 0 else rows.ask
    moves = int(rows.ts_ns[i]) == ts_ns and ticket.opened_ns < ts_ns
    prices = (side[0][i], side[end][i]) if moves else (side[CLOSE][i], side[CLOSE][i])
    start, last = (Decimal(int(price)).scaleb(scale) for price in prices)
    return Path(ticket, start, last, rate)


def breach(paths: list[Path], balance: Decimal, threshold: Decimal) -> Decimal | None:
    """How far down the paths (0 to 1) equity first meets the threshold; None when it does not."""
    start = balance + sum((p.profit(p.start) for p in paths), Decimal(0))
    if start <= threshold:
        return Decimal(0)
    end = balance + sum((p.profit(p.end) for p in paths), Decimal(0))
    if end > threshold:
        return None
    return (start - threshold) / (start - end)
