"""The account's own books: tickets, exposure and ledger, kept beside the framework's.

Every fill is booked here in integers (`Grid`). What a fill should have done to the balance is worked out from these books and
compared with what the framework's account did; a difference above one minor unit (the framework rounds profit to the quote
currency's minor unit before it converts) ends the run. The framework's balance is the one that is written down.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from pepperstone_adapter.broker.account import minor_digits
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.simulation.grid import Grid, divided, minor_unit
from pepperstone_adapter.simulation.record import LedgerKind, LedgerRow
from pepperstone_adapter.simulation.table import Table
from pepperstone_adapter.simulation.times import iso

ZERO, ONE = Decimal(0), Decimal(1)
LONG, SHORT = 1, -1
_TRADED = (LedgerKind.REALIZED_PNL.value, LedgerKind.COMMISSION.value)

type Amount = int | Decimal  # a value in points × steps; an integer as long as it has not been converted
type Rate = Callable[[str, str, int], Decimal]  # (from currency, to currency, time) -> how much one unit is worth


@dataclass(slots=True, eq=False)
class Piece:
    """A stretch of a ticket's life with one size; rows of data with ``since_ns <= ts < until_ns`` belong to it."""

    since_ns: int
    until_ns: int
    steps: int
    cost: int
    gross: int  # realized before it
    lowest: int | None
    highest: int | None


@dataclass(slots=True, eq=False)
class Ticket:
    """An open position. Money is in minor units of the account currency, values in points × steps."""

    position_id: str
    strategy_id: str
    grid: Grid
    sign: int
    opened_ns: int
    steps: int = 0
    cost: int = 0  # value at the opening prices
    notional: Amount = 0  # the cost in account currency and in dollars, at the rates of the opening
    notional_usd: Amount = 0
    peak: int = 0  # largest size held, in steps
    entered: int = 0  # all steps ever opened, and their cost
    entered_cost: int = 0
    left: int = 0  # all steps closed, and their proceeds
    left_cost: int = 0
    gross: int = 0
    commission: int = 0
    swap: int = 0
    closed_ns: int = 0
    exit_reason: str = ""
    lowest: int | None = None  # price range with the size held now, in points, on the side that closes it
    highest: int | None = None
    since_ns: int = 0  # rows of data from here on belong to that size; 0: all from the opening on
    pieces: list[Piece] | None = None  # sizes held before, still to be valued; None if there never was another
    worst: int = 0  # profit in the pieces that have been valued
    best: int = 0

    @property
    def symbol(self) -> str:
        return self.grid.name

    @property
    def units(self) -> Decimal:
        return self.grid.units(self.steps)

    def cut(self, until_ns: int, price: int | None = None) -> None:
        """End the stretch with the size held until now; `price` in points was met with it, whatever the rows say."""
        since_ns = self.since_ns or self.opened_ns + 1
        low, high = self.lowest, self.highest
        if price is not None:
            low, high = price if low is None else min(low, price), price if high is None else max(high, price)
        piece = Piece(since_ns, until_ns, self.steps, self.cost, self.gross, low, high)
        self.pieces = [*(self.pieces or ()), piece]
        self.since_ns, self.lowest, self.highest = max(since_ns, until_ns), None, None

    def profit(self, price: Decimal) -> Decimal:
        """Open profit in quote currency at a closing price."""
        return (price * self.units - self.grid.value(self.cost)) * self.sign


class Held(NamedTuple):
    """What is held of one side of a symbol from a time on, summed over its tickets."""

    ts_ns: int = 0
    steps: int = 0
    cost: int = 0
    notional: Amount = 0
    notional_usd: Amount = 0


# What one fill, or one part of it, did: the ticket, steps opened, steps closed, and the profit of those as a value.
type Filled = tuple[Ticket, int, int, int]


@dataclass(frozen=True, slots=True)
class Posting:
    """A change of the balance that comes from the broker and not with a fill of the framework's."""

    kind: LedgerKind
    amount: Decimal
    currency: str
    rate: Decimal
    ticket: Ticket | None = None
    trade_id: str = ""


class Books:
    """Tickets, exposure and ledger of one account.

    Attributes
    ----------
    minor
        The balance in minor units of the account currency.
    held
        Symbol and sign -> what was held since the window of data began, the last entry now.
    balances
        Time -> the balance from then on, in minor units, since the window began.
    realized
        Instrument id -> profit less commission since the run began, in minor units.
    count
        Time -> how many positions were open from then on, since the window began.
    moved
        Symbols with fills since the account last looked.
    netting
        One position a symbol: a symbol that two strategies hold ends the run. The framework gives each a position of its
        own, whose margin, swap and profit are not those of the one that the account would have.
    """

    def __init__(self, currency: str, grids: Mapping[str, Grid], rate: Rate, *, netting: bool = False) -> None:
        self.currency = currency
        self.minor = 0
        self.digits = minor_digits(currency)
        self._cent, self._cents = minor_unit(currency), 10**self.digits
        self.ledger = Table(self._ledger_row)
        self.tickets: dict[str, Ticket] = {}
        self.held = {(name, sign): [Held()] for name in grids for sign in (LONG, SHORT)}
        self.balances = [(0, 0)]
        self.realized: dict[str, int] = {}
        self.count = [(0, 0)]
        self.moved: set[str] = set()
        self.netting = netting
        self._rate = rate

    @property
    def balance(self) -> Decimal:
        return self.money(self.minor)

    def money(self, minor: int) -> Decimal:
        return minor * self._cent

    def net(self, symbol: str) -> Decimal:
        """Units held of a symbol, those of short tickets negative."""
        return sum((t.units * t.sign for t in self.tickets.values() if t.symbol == symbol), ZERO)

    def net_of(self, position_id: str) -> Decimal:
        """Units of one ticket, those of a short one negative; zero when there is none."""
        ticket = self.tickets.get(position_id)
        return ZERO if ticket is None else ticket.units * ticket.sign

    def in_minor(self, amount: Decimal) -> int:
        """A rounded amount as an integer."""
        return int(amount * self._cents)

    def post(self, ts_ns: int, kind: str, minor: int, currency: str, rate: str, where: tuple[str, str, str]) -> None:
        """Write one change of the balance; `kind` is a `LedgerKind`'s text, `where` instrument, position and trade."""
        self.minor += minor
        self.balances.append((ts_ns, self.minor))
        if kind in _TRADED:
            self.realized[where[0]] = self.realized.get(where[0], 0) + minor
        self.ledger.add((ts_ns, kind, minor, self.minor, currency, rate, *where))

    def _ledger_row(
        self, ts_ns: int, kind: str, minor: int, after: int, currency: str, rate: str, *where: str
    ) -> LedgerRow:
        return LedgerRow(ts_ns, LedgerKind(kind), self.money(minor), self.money(after), currency, Decimal(rate), *where)

    def fill(
        self, ts_ns: int, position_id: str, strategy_id: str, grid: Grid, sign: int, steps: int, points: int,
        met_ns: int = 0,
    ) -> tuple[Filled, ...]:  # fmt: skip
        """Apply one fill to its ticket; a netting reversal closes first and opens the rest.

        `met_ns`: the time of the bar the fill was somewhere inside of; 0 when it was at the end of one.
        """
        ticket = self.tickets.get(position_id)
        if ticket is None or sign == ticket.sign:
            return (self._open(ts_ns, ticket, position_id, strategy_id, grid, sign, steps, points),)
        rest = steps - ticket.steps
        if rest <= 0:
            return (self._close(ts_ns, ticket, steps, points, met_ns),)
        closed = self._close(ts_ns, ticket, ticket.steps, points, met_ns)
        return closed, self._open(ts_ns, None, position_id, strategy_id, grid, sign, rest, points)

    def _open(
        self, ts_ns: int, ticket: Ticket | None, position_id: str, strategy_id: str, grid: Grid, sign: int, steps: int,
        points: int,
    ) -> Filled:  # fmt: skip
        if ticket is None:
            if self.netting:
                self._alone(ts_ns, strategy_id, grid)
            self.tickets[position_id] = ticket = Ticket(position_id, strategy_id, grid, sign, ts_ns)
            self.count.append((ts_ns, len(self.tickets)))
        else:
            ticket.cut(ts_ns + 1)  # the smaller size was held all through the bar
        value = steps * points
        notional: Amount = value
        if grid.quote != self.currency:
            notional = value * self._rate(grid.quote, self.currency, ts_ns)
        usd: Amount = value
        if grid.quote != "USD":
            usd = notional if self.currency == "USD" else value * self._rate(grid.quote, "USD", ts_ns)
        ticket.steps += steps
        ticket.cost += value
        ticket.notional += notional
        ticket.notional_usd += usd
        ticket.entered += steps
        ticket.entered_cost += value
        ticket.peak = max(ticket.peak, ticket.steps)
        self._move(ts_ns, ticket, steps, value, notional, usd)
        return ticket, steps, 0, 0

    def _alone(self, ts_ns: int, strategy_id: str, grid: Grid) -> None:
        other = next((t.strategy_id for t in self.tickets.values() if t.grid is grid), None)
        if other is not None:
            raise ConfigurationError(
                f"{other} and {strategy_id} hold {grid.name} at the same time ({iso(ts_ns)}); a netting account has one "
                "position a symbol, so what each earned is not what the account would have: set account.mode: hedging, "
                "or run each strategy in a backtest of its own"
            )

    def _close(self, ts_ns: int, ticket: Ticket, steps: int, points: int, met_ns: int) -> Filled:
        cost, notional, usd = ticket.cost, ticket.notional, ticket.notional_usd
        if steps != ticket.steps or ticket.pieces is not None:
            if met_ns:
                ticket.cut(met_ns, points)
            else:
                ticket.cut(ts_ns + 1)
        if steps != ticket.steps:
            cost = divided(cost * steps, ticket.steps)
            notional, usd = Decimal(notional * steps) / ticket.steps, Decimal(usd * steps) / ticket.steps
        value = steps * points
        ticket.steps -= steps
        ticket.cost -= cost
        ticket.notional -= notional
        ticket.notional_usd -= usd
        ticket.left += steps
        ticket.left_cost += value
        if not ticket.steps:
            ticket.closed_ns = ts_ns
            del self.tickets[ticket.position_id]
            self.count.append((ts_ns, len(self.tickets)))
        self._move(ts_ns, ticket, -steps, -cost, -notional, -usd)
        return ticket, 0, steps, (value - cost) * ticket.sign

    def _move(self, ts_ns: int, ticket: Ticket, steps: int, cost: int, notional: Amount, usd: Amount) -> None:
        name = ticket.grid.name
        history = self.held[name, ticket.sign]
        _, held, held_cost, held_notional, held_usd = history[-1]
        held += steps
        if held:
            history.append(Held(ts_ns, held, held_cost + cost, held_notional + notional, held_usd + usd))
        else:
            history.append(Held(ts_ns))
        self.moved.add(name)

    def forget(self) -> None:
        """A window of data has been valued: of what was held, only what is held now is needed."""
        for history in self.held.values():
            del history[:-1]
        del self.count[:-1]
        del self.balances[:-1]
