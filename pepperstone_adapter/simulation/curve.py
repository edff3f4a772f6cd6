"""Equity, margin level and the excursions of positions, worked out from arrays after each window of data.

Between fills the account is a linear function of prices: balance, plus for each symbol and side the units held times the
closing price less their cost. Units and cost change only with fills, so their values at any sample time are looked up in
the list of fills, and a window of a hundred thousand rows costs a few numpy calls instead of a Python call per row.

So every row is valued, at its closing prices, but not every row is kept: of each step of time the last, and the lowest and
the highest where they lie beyond it. A drawdown between two samples is not lost.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.arrays import distinct
from pepperstone_adapter.simulation.books import LONG, SHORT, ZERO, Books, Held, Piece, Ticket
from pepperstone_adapter.simulation.grid import minor_unit
from pepperstone_adapter.simulation.plan import Int64s
from pepperstone_adapter.simulation.rates import path
from pepperstone_adapter.simulation.record import EquityPoint, PositionRow, RunRecord
from pepperstone_adapter.simulation.table import Table
from pepperstone_adapter.simulation.tape import Rows, Tape

NS = 1_000_000_000
_HUNDREDTH = Decimal("0.01")
EQUITY = 2  # of a point
type Floats = NDArray[np.float64]
type _Point = tuple[int, int, int, int, int]  # time; balance, equity and used margin in minor units; open positions


class Curve:
    """Samples the account in every step of simulated time that saw data."""

    def __init__(
        self,
        specs: Mapping[str, SymbolSpec],
        tapes: Mapping[str, Tape],
        books: Books,
        record: RunRecord,
        step_s: int,
        margin: Callable[[str, Held, Held], Decimal],
    ) -> None:
        self._specs = specs
        self._tapes = tapes
        self._books = books
        self._record = record
        self._step_ns = step_s * NS
        self._margin_of = margin
        self._seen_ns = -1  # the last row
        # Of the step that has not ended: the first lowest, the first highest and the last.
        self._open: list[_Point] = []
        self.points = Table(self._made_point)
        self.positions = Table(self._made_position)
        self._quantum = minor_unit(books.currency)

    def window(self, end_ns: int, closed: list[tuple[Ticket, int]], leaving: Mapping[Ticket, int]) -> None:
        """Sample the window that has just been run, and write the rows of positions that closed in it."""
        self._excursions(closed, leaving)
        self.write([ticket for ticket, _ in closed], end_ns)
        times = self._times(end_ns)
        if len(times):
            self._seen_ns = int(times[-1])
            self._sample(times)
        self._books.forget()

    def finish(self, equity: Decimal) -> None:
        """Put down the last step, to the equity of the end: with what latency has put behind the last row."""
        held = (history[-1].ts_ns for history in self._books.held.values())
        booked_ns = max(self._books.balances[-1][0], *held)
        if booked_ns > self._seen_ns:
            self._sample(np.array([booked_ns], np.int64))
        if self._open:
            ts_ns, balance, _, margin, count = self._open[-1]
            self._open[-1] = ts_ns, balance, self._books.in_minor(equity), margin, count
        for point in self._open:
            if point is self._open[-1] or point[EQUITY] != self._open[-1][EQUITY]:
                self.points.add(point)
        self._open = []

    def _times(self, end_ns: int) -> Int64s:
        """The rows of the window just run, over all symbols."""
        stamps = [t.rows.ts_ns for t in self._tapes.values() if len(t.rows)]
        if not stamps:
            return np.empty(0, np.int64)
        merged = distinct(np.concatenate(stamps)) if len(stamps) > 1 else stamps[0]
        return merged[(merged > self._seen_ns) & (merged <= end_ns)]

    def _sample(self, times: Int64s) -> None:
        """Take the telling rows of each step, and put down those of the steps that have ended."""
        books, before = self._books, self._open
        balance = np.array([minor for _, minor in books.balances], np.int64)[_at(books.balances, times)]
        equity = balance + np.rint(self._profit(times) * 10.0**books.digits).astype(np.int64)

        stamps = np.concatenate((np.array([point[0] for point in before], np.int64), times))
        worth = np.concatenate((np.array([point[EQUITY] for point in before], np.int64), equity))
        # A row that closes at a full step belongs to the step it ends.
        last, *extremes = _telling((stamps - 1) // self._step_ns, worth)
        ended = [last[:-1], *(rows[:-1][worth[rows[:-1]] != worth[last[:-1]]] for rows in extremes)]

        def points(kept: list[Int64s]) -> list[_Point]:
            index = distinct(np.concatenate(kept))
            fresh = index[index >= len(before)] - len(before)
            known = [before[i] for i in index[index < len(before)].tolist()]
            return known + self._points(times[fresh], balance[fresh], equity[fresh])

        for point in points(ended):
            self.points.add(point)
        self._open = points([rows[-1:] for rows in (last, *extremes)])

    def _profit(self, times: Int64s) -> Floats:
        """Open profit of the account at each time, in account currency."""
        profit = np.zeros(len(times))
        for (name, sign), history in self._books.held.items():
            if len(history) == 1 and not history[0].steps:
                continue
            spec, index = self._specs[name], _at(history, times)
            steps = np.array([held.steps for held in history], np.float64)[index]
            cost = np.array([held.cost for held in history], np.float64)[index]
            price = _closes(self._tapes[name].rows, times, sign)
            rate = self._rate(spec.quote_currency, times)
            value = (price * steps - cost) * sign / 10.0 ** (spec.digits + spec.size_digits) * rate
            profit += np.where(steps != 0, value, 0.0)
        return profit

    def _points(self, times: Int64s, balance: Int64s, equity: Int64s) -> list[_Point]:
        books = self._books
        margin = [ZERO] * len(times)
        for name in self._specs:
            long, short = books.held[name, LONG], books.held[name, SHORT]
            if len(long) == len(short) == 1 and not (long[0].steps or short[0].steps):
                continue
            pairs = list(zip(_at(long, times).tolist(), _at(short, times).tolist(), strict=True))
            margins = {(i, j): self._margin_of(name, long[i], short[j]) for i, j in set(pairs)}
            margin = [m + margins[pair] for m, pair in zip(margin, pairs, strict=True)]
        used = [books.in_minor(m.quantize(self._quantum)) for m in margin]
        count = [books.count[i][1] for i in _at(books.count, times).tolist()]
        return list(zip(times.tolist(), balance.tolist(), equity.tolist(), used, count, strict=True))

    def _made_point(self, ts_ns: int, balance: int, equity: int, margin: int, count: int) -> EquityPoint:
        money = self._books.money
        level = (Decimal(equity) / margin * 100).quantize(_HUNDREDTH) if margin > 0 else None
        return EquityPoint(
            ts_ns=ts_ns, balance=money(balance), equity=money(equity), used_margin=money(margin), margin_level=level,
            open_positions=count,
        )  # fmt: skip

    def _rate(self, currency: str, times: Int64s) -> Floats | float:
        rate: Floats | float = 1.0
        for name, inverse in path(self._specs.values(), currency, self._books.currency) or ():
            rows = self._tapes[name].rows
            mid = (_closes(rows, times, 1) + _closes(rows, times, -1)) / 2 / 10.0 ** self._specs[name].digits
            rate = rate / mid if inverse else rate * mid
        return rate

    def _excursions(self, closed: list[tuple[Ticket, int]], leaving: Mapping[Ticket, int]) -> None:
        """Widen the price range of every position held in the window, all of a symbol and side in one reduction."""
        held: dict[tuple[str, int], list[tuple[Ticket | Piece, int, int]]] = {}
        resized = []

        def add(ticket: Ticket, until_ns: int) -> None:
            spans = held.setdefault((ticket.grid.name, ticket.sign), [])
            if ticket.pieces is not None:
                resized.append(ticket)
                spans += [(piece, piece.since_ns, piece.until_ns) for piece in ticket.pieces]
            if ticket.pieces is None or not ticket.closed_ns:
                spans.append((ticket, ticket.since_ns or ticket.opened_ns + 1, until_ns))

        for ticket, until_ns in closed:
            # A bar in which a stop, limit or stop-out closed the position went on without it.
            add(ticket, until_ns)
        for ticket in self._books.tickets.values():
            add(ticket, leaving.get(ticket, 2**62))
        for (name, sign), spans in held.items():
            rows = self._tapes[name].rows
            if not len(rows):
                continue
            starts = np.searchsorted(rows.ts_ns, [since for _, since, _ in spans], side="left")
            ends = np.searchsorted(rows.ts_ns, [until for _, _, until in spans], side="left")
            side = rows.bid if sign > 0 else rows.ask
            for (span, _, _), low, high in zip(
                spans, _reduce(np.minimum, side[2], starts, ends), _reduce(np.maximum, side[1], starts, ends),
                strict=True,
            ):  # fmt: skip
                if low is not None and high is not None:
                    span.lowest = low if span.lowest is None else min(low, span.lowest)
                    span.highest = high if span.highest is None else max(high, span.highest)
        for ticket in resized:
            self._value_pieces(ticket)

    def _value_pieces(self, ticket: Ticket) -> None:
        """Keep the worst and the best of the sizes a ticket no longer has."""
        pieces = ticket.pieces or []
        times = np.array([piece.until_ns for piece in pieces], np.int64)
        rates = np.broadcast_to(self._rate(ticket.grid.quote, times), times.shape).tolist()
        for piece, rate in zip(pieces, rates, strict=True):
            for price in (piece.lowest, piece.highest):
                if price is not None:
                    value = ticket.grid.value((price * piece.steps - piece.cost) * ticket.sign) * Decimal(rate)
                    profit = piece.gross + self._books.in_minor(value.quantize(self._quantum))
                    ticket.worst, ticket.best = min(ticket.worst, profit), max(ticket.best, profit)
        ticket.pieces = []

    def write(self, tickets: Collection[Ticket], now_ns: int) -> None:
        """Write the rows of positions, in the order given."""
        ends = np.array([t.closed_ns or now_ns for t in tickets], np.int64)
        rates = {
            currency: np.broadcast_to(self._rate(currency, ends), ends.shape).tolist()
            for currency in {t.grid.quote for t in tickets}
        }
        for i, t in enumerate(tickets):
            self.positions.add((
                t.position_id, t.strategy_id, t.grid.name, t.sign, t.peak, t.opened_ns, t.closed_ns, t.entered,
                t.entered_cost, t.left, t.left_cost, t.gross, t.commission, t.swap, t.lowest, t.highest,
                rates[t.grid.quote][i], t.exit_reason, t.worst, t.best, None if t.pieces is None else (t.steps, t.cost),
            ))  # fmt: skip

    def _made_position(
        self, position_id: str, strategy_id: str, name: str, sign: int, peak: int, opened_ns: int, closed_ns: int,
        entered: int, entered_cost: int, left: int, left_cost: int, gross: int, commission: int, swap: int,
        lowest: int | None, highest: int | None, rate: float, exit_reason: str, worst: int, best: int,
        rest: tuple[int, int] | None,
    ) -> PositionRow:  # fmt: skip
        spec, money = self._specs[name], self._books.money
        size = Decimal(peak).scaleb(-spec.size_digits)
        opened, closed = _mean(entered_cost, entered, spec.digits), _mean(left_cost, left, spec.digits)
        # The range belongs to what was held last: all there ever was, or what is left after the size has changed.
        prices = [p for p in (lowest, highest) if p is not None]
        if rest is None:
            steps, cost, before = peak, entered_cost, 0
            prices += [left_cost // left] if left else []
        else:
            (steps, cost), before = rest, gross
        per_value = Decimal(rate).scaleb(-spec.digits - spec.size_digits) * sign
        # What was realized was converted at a side of the market, not at its middle, and cent by cent.
        profits = [ZERO, money(gross), money(worst), money(best)]
        profits += [money(before) + (price * steps - cost) * per_value for price in prices]
        return PositionRow(
            position_id, strategy_id, f"{name}.{self._record.venue}", "LONG" if sign > 0 else "SHORT", size, opened_ns,
            closed_ns, opened or ZERO, closed, money(gross), money(commission), money(swap), money(gross + swap - commission),
            min(profits).quantize(self._quantum), max(profits).quantize(self._quantum), exit_reason,
        )  # fmt: skip


def _mean(cost: int, steps: int, digits: int) -> Decimal | None:
    """Average price of so many steps, with at most two digits more than the symbol's prices; None of none."""
    if not steps:
        return None
    average = (Decimal(cost) / steps).scaleb(-digits)
    finest = Decimal(1).scaleb(-digits - 2)
    return average.quantize(finest) if average.as_tuple().exponent < -digits - 2 else average  # type: ignore[operator]


def _at(history: Sequence[Sequence[Any]], times: Int64s) -> Int64s:
    """For each time, ascending, the entry that holds then: the last whose first field is not after it."""
    if len(history) == 1:
        return np.zeros(len(times), np.int64)
    begins = np.array([entry[0] for entry in history[1:]], np.int64)
    # There are many more times than entries, so the entries are looked up in the times and not the other way round.
    edges = np.concatenate(([0], np.searchsorted(times, begins), [len(times)]))
    return np.repeat(np.arange(len(history)), np.diff(edges))


def _telling(step: Int64s, equity: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """Of each step the last row, and the first with its lowest and with its highest equity."""
    starts = np.flatnonzero(np.diff(step, prepend=step[0] - 1))
    run = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(step)))

    def first(extreme: Int64s) -> Int64s:
        at = np.flatnonzero(equity == extreme[run])
        return at[np.unique(run[at], return_index=True)[1]]

    last = np.append(starts[1:], len(step)) - 1
    return last, first(np.minimum.reduceat(equity, starts)), first(np.maximum.reduceat(equity, starts))


def _closes(rows: Rows, times: Int64s, sign: int) -> Floats:
    """Closing prices in points on the side that values a position, at the last row before each time."""
    prices = (rows.bid if sign > 0 else rows.ask)[3]
    if len(times) and np.array_equal(times, rows.ts_ns[-len(times) :]):
        return prices[-len(times) :].astype(np.float64)
    index = np.maximum(np.searchsorted(rows.ts_ns, times, side="right") - 1, 0)
    return prices[index].astype(np.float64)


def _reduce(ufunc: np.ufunc, values: Int64s, starts: Int64s, ends: Int64s) -> list[int | None]:
    """`ufunc` over ``values[start:end]`` for each pair; None where the slice is empty."""
    padded = np.append(values, values[-1])
    filled = ends > starts
    if not filled.any():
        return [None] * len(starts)
    pairs = np.stack((starts[filled], ends[filled]), axis=1).ravel()
    reduced = iter(ufunc.reduceat(padded, pairs)[::2].tolist())
    return [next(reduced) if ok else None for ok in filled.tolist()]
