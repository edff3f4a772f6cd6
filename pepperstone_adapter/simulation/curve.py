"""Equity, margin level and the excursions of positions, worked out from arrays after each window of data.

Between fills the account is a linear function of prices: balance, plus for each symbol and side the units held times the
closing price less their cost. Units and cost change only with fills, so their values at any sample time are looked up in
the list of fills, and a window of a hundred thousand rows costs a few numpy calls instead of a Python call per row.

So every row is valued, at its closing prices, but not every row is kept: of each step of time the last, and the lowest and
the highest where they lie beyond it. A drawdown between two samples is not lost.
"""

from collections.abc import Mapping
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.simulation.books import ZERO, Booking, Books, Ticket
from pepperstone_adapter.simulation.fees import minor_unit
from pepperstone_adapter.simulation.plan import Int64s
from pepperstone_adapter.simulation.rates import path
from pepperstone_adapter.simulation.record import EquityPoint, PositionRow, RunRecord
from pepperstone_adapter.simulation.table import Table
from pepperstone_adapter.simulation.tape import Rows, Tape

NS = 1_000_000_000
type Floats = NDArray[np.float64]


class _Steps:
    """A value that changes at known times; the last change at or before a time holds."""

    __slots__ = ("times", "values")

    def __init__(self, start: float = 0.0) -> None:
        self.times: list[int] = [0]
        self.values: list[float] = [start]

    def add(self, ts_ns: int, delta: float) -> None:
        self.times.append(ts_ns)
        self.values.append(self.values[-1] + delta)

    def at(self, times: Int64s) -> Floats:
        if len(self.times) == 1:
            return np.full(len(times), self.values[0])
        index = np.searchsorted(np.asarray(self.times), times, side="right") - 1
        return np.asarray(self.values)[index]

    def forget(self) -> None:
        """Keep the last value only."""
        self.times, self.values = [0], self.values[-1:]


class Curve:
    """Samples the account in every step of simulated time that saw data."""

    def __init__(
        self, specs: Mapping[str, SymbolSpec], tapes: Mapping[str, Tape], books: Books, record: RunRecord, step_s: int
    ) -> None:
        self._specs = specs
        self._tapes = tapes
        self._books = books
        self._record = record
        self._step_ns = step_s * NS
        self._exposure = {(name, sign): (_Steps(), _Steps()) for name in specs for sign in (1, -1)}
        self._margin = _Steps()
        self._count = _Steps()
        self._balance = 0.0
        self._seen_ns = -1
        self._ts_ns: Int64s = np.empty(0, np.int64)  # rows of the step that has not ended
        self._values: Floats = np.empty((4, 0))  # their balance, equity, used margin and open positions
        self.positions = Table(PositionRow)
        self._quantum = minor_unit(books.currency)

    def booked(self, ts_ns: int, booking: Booking, price: Decimal, margin_change: Decimal) -> None:
        """Note a fill."""
        ticket = booking.ticket
        units, cost = self._exposure[ticket.symbol, ticket.sign]
        units.add(ts_ns, float(booking.opened - booking.closed))
        if booking.opened:
            cost.add(ts_ns, float(booking.opened * price))
            if ticket.units == booking.opened:
                self._count.add(ts_ns, 1.0)
        else:
            # profit = (price × closed - cost) × sign, so the cost that left is:
            cost.add(ts_ns, float(booking.profit * ticket.sign - price * booking.closed))
            if not ticket.units:
                self._count.add(ts_ns, -1.0)
        if margin_change:
            self._margin.add(ts_ns, float(margin_change))

    def window(self, end_ns: int, closed: list[tuple[Ticket, bool]]) -> None:
        """Sample the window that has just been run, and write the rows of positions that closed in it."""
        self._excursions(closed)
        for ticket, _ in closed:
            self.write(ticket, end_ns)
        times = self._times(end_ns)
        if len(times):
            self._seen_ns = int(times[-1])
            self._ts_ns = np.concatenate((self._ts_ns, times))
            self._values = np.concatenate((self._values, self._valued(times)), axis=1)
            step = self._steps_of(self._ts_ns)
            self._sample(int(np.searchsorted(step, step[-1])))
        for units, cost in self._exposure.values():
            units.forget()
            cost.forget()
        self._margin.forget()
        self._count.forget()
        self._balance = float(self._books.balance)

    def finish(self) -> None:
        """Sample the last step."""
        self._sample(len(self._ts_ns))

    def _times(self, end_ns: int) -> Int64s:
        """The rows of the window just run, over all symbols."""
        stamps = [t.rows.ts_ns for t in self._tapes.values() if len(t.rows)]
        if not stamps:
            return np.empty(0, np.int64)
        merged = np.unique(np.concatenate(stamps)) if len(stamps) > 1 else stamps[0]
        return merged[(merged > self._seen_ns) & (merged <= end_ns)]

    def _steps_of(self, times: Int64s) -> Int64s:
        """A row that closes at a full step belongs to the step it ends."""
        return (times - 1) // self._step_ns

    def _valued(self, times: Int64s) -> Floats:
        """Balance, equity, used margin and open positions at each time."""
        balance = self._balances(times)
        equity = balance.copy()
        for (name, sign), (units, cost) in self._exposure.items():
            if len(units.times) == 1 and not units.values[0]:
                continue
            held = units.at(times)
            price = _closes(self._tapes[name].rows, times, sign) / 10.0 ** self._specs[name].digits
            rate = self._rate(self._specs[name].quote_currency, times)
            equity += np.where(held != 0, (price * held - cost.at(times)) * sign * rate, 0.0)
        return np.stack((balance, equity, self._margin.at(times), self._count.at(times)))

    def _sample(self, count: int) -> None:
        """Put down what tells of the first `count` rows, which end a step, and forget them."""
        keep = _telling(self._steps_of(self._ts_ns[:count]), self._values[1, :count])
        points, quantum = self._record.equity, self._quantum
        for ts, (b, e, m, n) in zip(self._ts_ns[keep].tolist(), self._values[:, keep].T.tolist(), strict=True):
            used = Decimal(m).quantize(quantum) + ZERO  # no minus zero
            worth = Decimal(e).quantize(quantum) + ZERO
            level = (worth / used * 100).quantize(Decimal("0.01")) if used > 0 else None
            points.append(
                EquityPoint(
                    ts_ns=ts, balance=Decimal(b).quantize(quantum), equity=worth, used_margin=used,
                    margin_level=level, open_positions=round(n),
                )
            )  # fmt: skip
        self._ts_ns, self._values = self._ts_ns[count:], self._values[:, count:]

    def _balances(self, times: Int64s) -> Floats:
        steps = _Steps(self._balance)
        for ts_ns, _kind, _amount, balance, *_ in self._books.ledger.fresh:
            steps.times.append(ts_ns)
            steps.values.append(float(balance))
        return steps.at(times)

    def _rate(self, currency: str, times: Int64s) -> Floats | float:
        rate: Floats | float = 1.0
        for name, inverse in path(self._specs.values(), currency, self._books.currency) or ():
            rows = self._tapes[name].rows
            mid = (_closes(rows, times, 1) + _closes(rows, times, -1)) / 2 / 10.0 ** self._specs[name].digits
            rate = rate / mid if inverse else rate * mid
        return rate

    def _excursions(self, closed: list[tuple[Ticket, bool]]) -> None:
        """Widen the price range of every position held in the window, all of a symbol and side in one reduction."""
        held: dict[tuple[str, int], list[tuple[Ticket, int]]] = {}
        for ticket, by_market in closed:
            # A bar in which a stop or limit closed the position went on without it.
            held.setdefault((ticket.symbol, ticket.sign), []).append((ticket, ticket.closed_ns + by_market))
        for ticket in self._books.tickets.values():
            held.setdefault((ticket.symbol, ticket.sign), []).append((ticket, 2**62))
        for (name, sign), tickets in held.items():
            rows = self._tapes[name].rows
            if not len(rows):
                continue
            starts = np.searchsorted(rows.ts_ns, [t.opened_ns for t, _ in tickets], side="right")
            ends = np.searchsorted(rows.ts_ns, [end for _, end in tickets], side="left")
            side = rows.bid if sign > 0 else rows.ask
            for (ticket, _), low, high in zip(
                tickets, _reduce(np.minimum, side[2], starts, ends), _reduce(np.maximum, side[1], starts, ends),
                strict=True,
            ):  # fmt: skip
                if low is not None and high is not None:
                    ticket.lowest = low if ticket.lowest is None else min(low, ticket.lowest)
                    ticket.highest = high if ticket.highest is None else max(high, ticket.highest)

    def write(self, ticket: Ticket, now_ns: int) -> None:
        """Write the row of a position."""
        spec = self._specs[ticket.symbol]
        opened = ticket.entered_cost / ticket.entered
        closed = ticket.left_cost / ticket.left if ticket.left else None
        prices = [opened] if closed is None else [opened, closed]
        prices += [Decimal(p).scaleb(-spec.digits) for p in (ticket.lowest, ticket.highest) if p is not None]
        size = ticket.peak_units * ticket.sign
        if spec.quote_currency != self._books.currency:
            size *= Decimal(
                float(np.asarray(self._rate(spec.quote_currency, np.array([ticket.closed_ns or now_ns]))).flat[0])
            )
        # What was realized was converted at a side of the market, not at its middle, and cent by cent.
        profits = (ZERO, ticket.gross, (min(prices) - opened) * size, (max(prices) - opened) * size)
        self.positions.add(
            ticket.position_id, ticket.strategy_id, f"{ticket.symbol}.{self._record.venue}",
            "LONG" if ticket.sign > 0 else "SHORT", ticket.peak_units, ticket.opened_ns, ticket.closed_ns, opened, closed,
            ticket.gross, ticket.commission, ticket.swap, ticket.gross + ticket.swap - ticket.commission,
            min(profits).quantize(self._quantum), max(profits).quantize(self._quantum), ticket.exit_reason,
        )  # fmt: skip


def _telling(step: Int64s, equity: Floats) -> Int64s:
    """Of each step the last row, and the first of its lowest and of its highest where they lie beyond the last."""
    if not len(step):
        return np.empty(0, np.int64)
    starts = np.flatnonzero(np.diff(step, prepend=step[0] - 1))
    last = np.append(starts[1:], len(step)) - 1
    run = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(step)))
    kept = [last]
    for reduce in (np.minimum, np.maximum):
        extreme = reduce.reduceat(equity, starts)
        at = np.flatnonzero(equity == extreme[run])
        first = at[np.unique(run[at], return_index=True)[1]]
        kept.append(first[extreme != equity[last]])
    return np.unique(np.concatenate(kept))


def _closes(rows: Rows, times: Int64s, sign: int) -> Floats:
    """Closing prices in points on the side that values a position, at the last row before each time."""
    index = np.maximum(np.searchsorted(rows.ts_ns, times, side="right") - 1, 0)
    return (rows.bid if sign > 0 else rows.ask)[3][index].astype(np.float64)


def _reduce(ufunc: np.ufunc, values: Int64s, starts: Int64s, ends: Int64s) -> list[int | None]:
    """`ufunc` over ``values[start:end]`` for each pair; None where the slice is empty."""
    padded = np.append(values, values[-1])
    filled = ends > starts
    if not filled.any():
        return [None] * len(starts)
    pairs = np.stack((starts[filled], ends[filled]), axis=1).ravel()
    reduced = iter(ufunc.reduceat(padded, pairs)[::2].tolist())
    return [next(reduced) if ok else None for ok in filled.tolist()]
