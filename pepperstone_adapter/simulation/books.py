"""The account's own books: tickets, margin and ledger, kept beside the framework's.

Every fill is booked here in Decimal. What a fill should have done to the balance is worked out from these books and
compared with what the framework's account did; a difference above one minor unit (the framework rounds profit to the quote
currency's minor unit before it converts) ends the run. The framework's balance is the one that is written down.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from pepperstone_adapter.simulation.record import LedgerKind, LedgerRow
from pepperstone_adapter.simulation.table import Table

ZERO = Decimal(0)


@dataclass(slots=True, eq=False)
class Ticket:
    """An open position."""

    position_id: str
    strategy_id: str
    symbol: str
    sign: int
    opened_ns: int
    units: Decimal = ZERO
    cost: Decimal = ZERO  # units × opening price
    notional: Decimal = ZERO  # of the open units, in account currency at opening
    notional_usd: Decimal = ZERO
    peak_units: Decimal = ZERO
    entered: Decimal = ZERO  # all units ever opened, and their cost
    entered_cost: Decimal = ZERO
    left: Decimal = ZERO  # all units closed, and their proceeds
    left_cost: Decimal = ZERO
    gross: Decimal = ZERO
    commission: Decimal = ZERO
    swap: Decimal = ZERO
    closed_ns: int = 0
    exit_reason: str = ""
    lowest: int | None = None  # price range while it was open, in points, on the side that closes it
    highest: int | None = None

    @property
    def open_price(self) -> Decimal:
        return self.cost / self.units if self.units else self.entered_cost / self.entered

    def profit(self, price: Decimal) -> Decimal:
        """Open profit in quote currency at a closing price."""
        return (price * self.units - self.cost) * self.sign


@dataclass(slots=True)
class Booking:
    """What one fill did: the ticket, units closed and opened, the profit in quote currency, and the notional that ended."""

    ticket: Ticket
    closed: Decimal
    profit: Decimal
    opened: Decimal
    notional: Decimal = ZERO
    notional_usd: Decimal = ZERO
    realized: Decimal = ZERO  # profit as the framework's account booked it, in account currency


@dataclass(frozen=True, slots=True)
class Posting:
    """A change of the balance that comes from the broker and not with a fill of the framework's."""

    kind: LedgerKind
    amount: Decimal
    currency: str
    rate: Decimal
    ticket: Ticket | None = None
    trade_id: str = ""


@dataclass(slots=True)
class Books:
    """Tickets and ledger of one account."""

    currency: str
    balance: Decimal = ZERO
    ledger: Table[LedgerRow] = field(default_factory=lambda: Table(LedgerRow))
    tickets: dict[str, Ticket] = field(default_factory=dict)

    def post(
        self,
        ts_ns: int,
        kind: LedgerKind,
        amount: Decimal,
        currency: str,
        rate: Decimal,
        instrument_id: str = "",
        position_id: str = "",
        trade_id: str = "",
    ) -> None:
        """Write one change of the balance."""
        self.balance += amount
        self.ledger.add(ts_ns, kind, amount, self.balance, currency, rate, instrument_id, position_id, trade_id)

    def split(self, position_id: str, sign: int, units: Decimal) -> tuple[Decimal, ...]:
        """The parts in which a fill must be applied: a netting reversal closes first and opens the rest."""
        ticket = self.tickets.get(position_id)
        if ticket is None or sign == ticket.sign or units <= ticket.units:
            return (units,)
        return ticket.units, units - ticket.units

    def fill(
        self, ts_ns: int, position_id: str, strategy_id: str, symbol: str, sign: int, units: Decimal, price: Decimal
    ) -> Booking:
        """Apply one fill to its ticket: adds to it, or closes part or all of it; it must not cross zero (`split`)."""
        ticket = self.tickets.get(position_id)
        if ticket is None:
            ticket = Ticket(position_id, strategy_id, symbol, sign, ts_ns)
            self.tickets[position_id] = ticket
        if sign == ticket.sign:
            ticket.units += units
            ticket.cost += units * price
            ticket.entered += units
            ticket.entered_cost += units * price
            ticket.peak_units = max(ticket.peak_units, ticket.units)
            return Booking(ticket, ZERO, ZERO, units)
        if units > ticket.units:
            raise ValueError(f"fill of {units} closes more than the {ticket.units} units of {position_id}")
        whole = units == ticket.units
        cost = ticket.cost if whole else ticket.cost * units / ticket.units
        notional = ticket.notional if whole else ticket.notional * units / ticket.units
        notional_usd = ticket.notional_usd if whole else ticket.notional_usd * units / ticket.units
        profit = (price * units - cost) * ticket.sign
        ticket.cost -= cost
        ticket.notional -= notional
        ticket.notional_usd -= notional_usd
        ticket.units -= units
        ticket.left += units
        ticket.left_cost += units * price
        if not ticket.units:
            ticket.closed_ns = ts_ns
            del self.tickets[position_id]
        return Booking(ticket, units, profit, ZERO, notional, notional_usd)
