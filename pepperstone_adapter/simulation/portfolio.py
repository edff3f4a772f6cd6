"""The framework's portfolio as a strategy is shown it: what it knows wrongly of a simulated account comes from the books.

* Realized profit: the framework adds up the positions in its cache, and those that ended long ago have left it (see
  `recorder`). Here it is that of the whole run: profit and commission as booked, without swap, in account currency.
* Open profit: the framework values all of a symbol at the last bar it saw, which is a BID bar. Here a short position is
  valued at the ASK.
* Margin: the framework knows none (see `venue`). The account shown is given ours, as a live one is given the broker's.
"""

# ruff: noqa: ARG002 - the signatures are the framework's; there is one account at one venue

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from nautilus_trader.core import UUID4
from nautilus_trader.model import (
    AccountBalance,
    AccountId,
    AccountState,
    Currency,
    InstrumentId,
    MarginAccount,
    MarginBalance,
    Money,
    Price,
    Venue,
)

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.simulation.books import ZERO, Books, Ticket
from pepperstone_adapter.simulation.grid import rounded
from pepperstone_adapter.simulation.rates import Rates
from pepperstone_adapter.simulation.used_margin import UsedMargin


class Standing:
    """Where the account stands, from the books.

    Parameters
    ----------
    open_profit
        Of a ticket at a time, in account currency.
    now_ns, settle
        The time, and what books the fills that wait.
    """

    def __init__(
        self,
        books: Books,
        rates: Rates,
        margin: UsedMargin,
        open_profit: Callable[[Ticket, int], Decimal],
        now_ns: Callable[[], int],
        settle: Callable[[int], None],
    ) -> None:
        self._books = books
        self._rates = rates
        self._margin = margin
        self._open_profit = open_profit
        self._now_ns = now_ns
        self._settle = settle

    def realized(self, of: InstrumentId | None, target: Currency | None) -> Money | None:
        """Profit less commission of one instrument, or of all; None when it cannot be converted to `target` now."""
        now, known = self._look(), self._books.realized
        return self._money(self._books.money(sum(known.values()) if of is None else known.get(str(of), 0)), target, now)

    def unrealized(self, of: InstrumentId | None, target: Currency | None) -> Money | None:
        """Open profit of one instrument, or of all, at the prices that would close it."""
        now = self._look()
        tickets = (t for t in self._books.tickets.values() if of is None or t.symbol == str(of.symbol))
        return self._money(sum((self._open_profit(t, now) for t in tickets), ZERO), target, now)

    def state(self, account: MarginAccount) -> AccountState:
        """The framework's account with the margin in use locked, as a live one says it."""
        now, currency = self._look(), Currency.from_str(self._books.currency)
        used = Money.from_decimal(rounded(self._margin.now, currency.code), currency)
        total = account.balance_total(currency) or Money.zero(currency)
        balance, margin = AccountBalance(total, used, total - used), MarginBalance(used, used, None)
        return AccountState(
            account.id, account.account_type, [balance], [margin], False, UUID4(), now, now, currency
        )  # fmt: skip

    def _look(self) -> int:
        now = self._now_ns()
        self._settle(now)
        return now

    def _money(self, amount: Decimal, target: Currency | None, now: int) -> Money | None:
        currency = Currency.from_str(self._books.currency) if target is None else target
        try:
            rate = self._rates.mid(self._books.currency, currency.code, now)
        except (LookupError, ConfigurationError):
            return None
        return Money.from_decimal(rounded(amount * rate, currency.code), currency)


class RunPortfolio:
    """Answers of its own about margin, profit and equity of the one account; all else is the framework's."""

    __slots__ = ("_portfolio", "_standing")

    def __init__(self, portfolio: Any, standing: Standing) -> None:
        self._portfolio = portfolio
        self._standing = standing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._portfolio, name)

    def account(self, venue: Venue | None = None, account_id: AccountId | None = None) -> MarginAccount | None:
        account: MarginAccount | None = self._portfolio.account(venue, account_id)
        if account is not None:
            account.apply(self._standing.state(account))  # it is a copy
        return account

    def equity(self, venue: Venue | None = None, account_id: AccountId | None = None) -> dict[Currency, Money]:
        account, open_now = self._portfolio.account(venue, account_id), self._standing.unrealized(None, None)
        if account is None or open_now is None:
            return {}
        return {open_now.currency: account.balance_total(open_now.currency) + open_now}

    def realized_pnl(
        self,
        instrument_id: InstrumentId,
        account_id: AccountId | None = None,
        target_currency: Currency | None = None,
    ) -> Money | None:
        return self._standing.realized(instrument_id, target_currency)

    def realized_pnls(
        self,
        venue: Venue | None = None,
        account_id: AccountId | None = None,
        target_currency: Currency | None = None,
    ) -> dict[Currency, Money]:
        return _by_currency(self._standing.realized(None, target_currency))

    def unrealized_pnl(
        self,
        instrument_id: InstrumentId,
        price: Price | None = None,
        account_id: AccountId | None = None,
        target_currency: Currency | None = None,
    ) -> Money | None:
        if price is None:
            return self._standing.unrealized(instrument_id, target_currency)
        money: Money | None = self._portfolio.unrealized_pnl(instrument_id, price, account_id, target_currency)
        return money

    def unrealized_pnls(
        self,
        venue: Venue | None = None,
        account_id: AccountId | None = None,
        target_currency: Currency | None = None,
    ) -> dict[Currency, Money]:
        return _by_currency(self._standing.unrealized(None, target_currency))

    def total_pnl(
        self,
        instrument_id: InstrumentId,
        price: Price | None = None,
        account_id: AccountId | None = None,
        target_currency: Currency | None = None,
    ) -> Money | None:
        realized = self._standing.realized(instrument_id, target_currency)
        return _sum(realized, self.unrealized_pnl(instrument_id, price, account_id, target_currency))

    def total_pnls(
        self,
        venue: Venue | None = None,
        account_id: AccountId | None = None,
        target_currency: Currency | None = None,
    ) -> dict[Currency, Money]:
        realized = self._standing.realized(None, target_currency)
        return _by_currency(_sum(realized, self._standing.unrealized(None, target_currency)))


def _sum(one: Money | None, other: Money | None) -> Money | None:
    return None if one is None or other is None else one + other


def _by_currency(money: Money | None) -> dict[Currency, Money]:
    return {} if money is None else {money.currency: money}
