"""What may be read off the ledger without changing it."""

from collections.abc import Callable
from decimal import Decimal

from pepperstone_adapter.broker.orders import Side
from pepperstone_adapter.sandbox.ledger.events import LedgerEvent
from pepperstone_adapter.sandbox.ledger.margin import OpenProfit, equity, margin_for, open_profit, used_margin
from pepperstone_adapter.sandbox.ledger.records import Position
from pepperstone_adapter.sandbox.ledger.refusal import Refusal, Refused
from pepperstone_adapter.sandbox.ledger.state import Account, State
from pepperstone_adapter.sandbox.ledger.terms import SymbolTerms


class LedgerView:
    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def state(self) -> State:
        """The books themselves, for servers that list them and tests that judge by them. Change nothing in it."""
        return self._state

    @property
    def symbols(self) -> dict[str, SymbolTerms]:
        return self._state.symbols

    @property
    def accounts(self) -> dict[int, Account]:
        return self._state.accounts

    @property
    def events(self) -> list[LedgerEvent]:
        """What happened, oldest first; of a long run the last 50,000 at least."""
        return self._state.events

    def listen(self, listener: Callable[[LedgerEvent], None]) -> None:
        """Call `listener` with each event as it happens, inside the verb that caused it."""
        self._state.listeners.append(listener)

    def rate(self, source: str, target: str) -> Decimal:
        return self._state.quotes.rate(source, target)

    def conversion_path(self, source: str, target: str) -> tuple[str, ...]:
        """Names of the symbols that turn one currency into another."""
        return tuple(name for name, _ in self._state.quotes.path(source, target))

    def equity(self, account_id: int) -> Decimal:
        return equity(self._state.account(account_id), self._state.quotes, self._state.symbols)

    def used_margin(self, account_id: int) -> Decimal:
        return used_margin(self._state.account(account_id))

    def open_profit(self, account_id: int, position_id: int) -> OpenProfit:
        account = self._state.account(account_id)
        position = self._position(account, position_id)
        return open_profit(account, position, self._state.quotes, self._state.symbols[position.symbol])

    def expected_margin(self, account_id: int, symbol: str, units: Decimal) -> tuple[Decimal, Decimal]:
        """Margin a buy and a sell of `units` would use, each on top of what its side already uses."""
        account, terms = self._state.account(account_id), self._state.terms(symbol)
        return (
            margin_for(account, terms, Side.BUY, units, self._state.quotes),
            margin_for(account, terms, Side.SELL, units, self._state.quotes),
        )

    def next_due_ns(self) -> int | None:
        """The next instant at which `advance` has something to do, whatever prices do."""
        instants = (self._state.due.first_ns, self._state.expiries.first_ns, self._state.rollover_ns)
        return min((at for at in instants if at is not None), default=None)

    def _position(self, account: Account, position_id: int) -> Position:
        position = account.positions.get(position_id)
        if position is None:
            raise Refused(Refusal.UNKNOWN_POSITION, f"Position not found with id {position_id}")
        return position
