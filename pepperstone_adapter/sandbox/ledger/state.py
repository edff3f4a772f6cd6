"""The ledger's memory: accounts, indexes by symbol, timers, numbering, and the one place events are made."""

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import heappop, heappush

from pepperstone_adapter.sandbox.ledger.events import EventKind, LedgerEvent
from pepperstone_adapter.sandbox.ledger.quotes import Quotes
from pepperstone_adapter.sandbox.ledger.records import Cash, Deal, Order, Position
from pepperstone_adapter.sandbox.ledger.refusal import Refusal, Refused
from pepperstone_adapter.sandbox.ledger.terms import AccountTerms, LedgerRules, SymbolTerms, TicketScheme

EVENTS_KEPT = 50_000


@dataclass(slots=True)
class Account:
    """One account's books. `working` and `positions` hold open ones; `orders` and `past_positions` everything ever."""

    terms: AccountTerms
    balance: Decimal
    balance_version: int = 0
    orders: dict[int, Order] = field(default_factory=dict)
    working: dict[int, Order] = field(default_factory=dict)
    positions: dict[int, Position] = field(default_factory=dict)
    past_positions: dict[int, Position] = field(default_factory=dict)
    deals: list[Deal] = field(default_factory=list)
    cash: list[Cash] = field(default_factory=list)
    called_ns: dict[Decimal, int] = field(default_factory=dict)

    @property
    def account_id(self) -> int:
        return self.terms.account_id

    def book(self, amount: Decimal) -> None:
        self.balance += amount
        self.balance_version += 1


@dataclass(slots=True)
class Liquidity:
    """How much one execution finds: `units_per_fill` at a time, `fills_left` times (None = without end)."""

    units_per_fill: Decimal
    fills_left: int | None = None

    @property
    def total(self) -> Decimal | None:
        return None if self.fills_left is None else self.units_per_fill * self.fills_left

    def take(self, wanted: Decimal) -> Decimal:
        if self.fills_left == 0:
            return Decimal(0)
        if self.fills_left is not None:
            self.fills_left -= 1
        return min(wanted, self.units_per_fill)


class Timers:
    """Instants at which an order must be looked at again, earliest first, ties in order of setting."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, int]] = []
        self._seq = 0

    def add(self, at_ns: int, account_id: int, order_id: int) -> None:
        self._seq += 1
        heappush(self._heap, (at_ns, self._seq, account_id, order_id))

    def pop(self, now_ns: int) -> tuple[int, int, int] | None:
        """``(at_ns, account_id, order_id)`` of the earliest one that is due, or None."""
        if not self._heap or self._heap[0][0] > now_ns:
            return None
        at_ns, _, account_id, order_id = heappop(self._heap)
        return at_ns, account_id, order_id

    @property
    def first_ns(self) -> int | None:
        return self._heap[0][0] if self._heap else None


class State:
    def __init__(self, symbols: dict[str, SymbolTerms], rules: LedgerRules) -> None:
        self.symbols = symbols
        self.rules = rules
        self.quotes = Quotes(symbols)
        self.accounts: dict[int, Account] = {}
        self.resting: dict[str, dict[int, Order]] = {name: {} for name in symbols}  # pending orders by symbol
        self.held: dict[str, dict[int, Position]] = {name: {} for name in symbols}  # open positions by symbol
        self.due = Timers()  # orders to execute
        self.expiries = Timers()
        self.liquidity: dict[str, Liquidity] = {}
        # Slippage must repeat from the seed; nothing here guards a secret.
        self.random = random.Random(rules.seed)  # noqa: S311
        self.next_order_id = rules.first_order_id
        self.next_position_id = rules.first_position_id
        self.next_deal_id = rules.first_deal_id
        self.next_cash_id = 1
        self.rollover_ns: int | None = None
        self.now_ns = 0
        self.events: list[LedgerEvent] = []
        self.listeners: list[Callable[[LedgerEvent], None]] = []
        self.seq = 0

    def account(self, account_id: int) -> Account:
        return self.accounts[account_id]

    def terms(self, symbol: str) -> SymbolTerms:
        terms = self.symbols.get(symbol)
        if terms is None:
            raise Refused(Refusal.UNKNOWN_SYMBOL, f"no symbol {symbol}")
        return terms

    def new_order_id(self) -> int:
        self.next_order_id += 1
        return self.next_order_id - 1

    def new_position_id(self, order_id: int) -> int:
        if self.rules.tickets is TicketScheme.ORDER_IS_POSITION:
            return order_id
        self.next_position_id += 1
        return self.next_position_id - 1

    def new_deal_id(self) -> int:
        self.next_deal_id += 1
        return self.next_deal_id - 1

    def emit(
        self,
        kind: EventKind,
        account_id: int,
        now_ns: int,
        *,
        order: Order | None = None,
        position: Position | None = None,
        deal: Deal | None = None,
        cash: Cash | None = None,
        ref: str = "",
        by_server: bool = False,
        error: str = "",
        level: Decimal | None = None,
        symbol: str = "",
    ) -> None:
        self.seq += 1
        event = LedgerEvent(
            seq=self.seq,
            kind=kind,
            account_id=account_id,
            ts_ns=now_ns,
            order=copy.copy(order),
            position=copy.copy(position),
            deal=deal,
            cash=cash,
            ref=ref,
            by_server=by_server,
            error=error,
            level=level,
            symbol=symbol,
        )
        self.events.append(event)
        if len(self.events) >= 2 * EVENTS_KEPT:  # a broker that runs for days must not grow with them
            del self.events[:EVENTS_KEPT]
        for listener in self.listeners:
            listener(event)
