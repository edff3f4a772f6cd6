"""17:00 New York as it comes: what each position that was held then pays for the night.

A stop-out or a stop-limit that the bar up to 17:00 has met is executed before the night, but the engine fills it after that
bar, and with latency a while later. So the rollover can be held back until it is known what is left; what those orders open
has held the night. What another order does to a position meanwhile comes after 17:00: it pays first, for what it was.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from pepperstone_adapter.broker.symbols import SwapMode, SymbolSpec
from pepperstone_adapter.simulation.books import Books, Posting, Ticket
from pepperstone_adapter.simulation.grid import rounded
from pepperstone_adapter.simulation.record import LedgerKind
from pepperstone_adapter.simulation.swap import night_amount, nights, rollovers
from pepperstone_adapter.simulation.tape import Tape


class Rollover:
    """The rollover that comes next.

    Attributes
    ----------
    due_ns
        Its time.
    held
        Whether it is held back.
    """

    def __init__(
        self,
        specs: Mapping[str, SymbolSpec],
        tapes: Mapping[str, Tape],
        books: Books,
        to_account: Callable[[str, int], Decimal],
        start_ns: int,
    ) -> None:
        self.held = False
        self._specs = specs
        self._tapes = tapes
        self._books = books
        self._to_account = to_account
        self._times = rollovers(start_ns)
        self.due_ns, self._day = next(self._times)
        self._paid: set[str] = set()  # ids of positions that are through with this night

    def charges(self, tickets: Iterable[Ticket]) -> list[Posting]:
        """The night's swap of those that have held it and have not paid it yet."""
        rows = []
        for ticket in tickets:
            spec = self._specs[ticket.symbol]
            count = nights(spec, self._day)
            quote = self._tapes[ticket.symbol].quote(self.due_ns)
            later = ticket.opened_ns > self.due_ns and not self.held
            if not count or quote is None or later or ticket.position_id in self._paid:
                continue
            currency = self._books.currency if spec.swap.mode is SwapMode.MONEY_PER_LOT else spec.quote_currency
            rate = self._to_account(currency, self.due_ns)
            night = night_amount(spec, ticket.sign, ticket.units, (quote[0] + quote[1]) / 2) * count
            amount = rounded(night * rate, self._books.currency)
            if amount:
                ticket.swap += self._books.in_minor(amount)
                rows.append(Posting(LedgerKind.SWAP, amount, currency, rate, ticket))
        return rows

    def charges_before(self, position_id: str) -> list[Posting]:
        """The night's swap of a position, if there is one, that changes only now; what it becomes pays no more for it."""
        ticket = self._books.tickets.get(position_id)
        rows = [] if ticket is None else self.charges([ticket])
        self._paid.add(position_id)
        return rows

    def done(self) -> None:
        """The night is booked; on to the next."""
        self.held = False
        self._paid.clear()
        self.due_ns, self._day = next(self._times)
