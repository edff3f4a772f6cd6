"""The framework's portfolio as a strategy is shown it: what was realized is that of the whole run, and margin is in use.

The framework adds up the positions in its cache, and those that ended long ago have left it (see `recorder`). So realized
profit comes from the books: profit and commission as they were booked, without swap, in account currency. And it knows no
margin here (see `venue`): the account it shows is given ours, as a live one is given the broker's.
"""

# ruff: noqa: ARG002 - the signatures are the framework's; there is one account at one venue

from collections.abc import Callable
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
from pepperstone_adapter.simulation.books import Books
from pepperstone_adapter.simulation.grid import rounded
from pepperstone_adapter.simulation.rates import Rates
from pepperstone_adapter.simulation.used_margin import UsedMargin


class Standing:
    """Where the account stands, from the books.

    Parameters
    ----------
    now_ns, settle
        The time, and what books the fills that wait.
    """

    def __init__(
        self,
        books: Books,
        rates: Rates,
        margin: UsedMargin,
        now_ns: Callable[[], int],
        settle: Callable[[int], None],
    ) -> None:
        self._books = books
        self._rates = rates
        self._margin = margin
        self._now_ns = now_ns
        self._settle = settle

    def realized(self, instrument_id: str | None, target: Currency | None) -> Money | None:
        """Profit less commission of one instrument, or of all; None when it cannot be converted to `target` now."""
        now, own, of = self._now_ns(), self._books.currency, self._books.realized
        self._settle(now)
        total = self._books.money(sum(of.values()) if instrument_id is None else of.get(instrument_id, 0))
        currency = Currency.from_str(own) if target is None else target
        try:
            rate = self._rates.mid(own, currency.code, now)
        except (LookupError, ConfigurationError):
            return None
        return Money.from_decimal(rounded(total * rate, currency.code), currency)

    def state(self, account: MarginAccount) -> AccountState:
        """The framework's account with the margin in use locked, as a live one says it."""
        now, currency = self._now_ns(), Currency.from_str(self._books.currency)
        self._settle(now)
        used = Money.from_decimal(rounded(self._margin.now, currency.code), currency)
        total = account.balance_total(currency) or Money.zero(currency)
        balance, margin = AccountBalance(total, used, total - used), MarginBalance(used, used, None)
        return AccountState(
            account.id, account.account_type, [balance], [margin], False, UUID4(), now, now, currency
        )  # fmt: skip


class RunPortfolio:
    """Answers of its own about margin, realized and total profit of the one account; all else is the framework's."""

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

    def realized_pnl(
        self,
        instrument_id: InstrumentId,
        account_id: AccountId | None = None,
        target_currency: Currency | None = None,
    ) -> Money | None:
        return self._standing.realized(str(instrument_id), target_currency)

    def realized_pnls(
        self,
        venue: Venue | None = None,
        account_id: AccountId | None = None,
        target_currency: Currency | None = None,
    ) -> dict[Currency, Money]:
        money = self._standing.realized(None, target_currency)
        return {} if money is None else {money.currency: money}

    def total_pnl(
        self,
        instrument_id: InstrumentId,
        price: Price | None = None,
        account_id: AccountId | None = None,
        target_currency: Currency | None = None,
    ) -> Money | None:
        money = self._standing.realized(str(instrument_id), target_currency)
        open_now = self._portfolio.unrealized_pnl(instrument_id, price, account_id, target_currency)
        return None if money is None or open_now is None else money + open_now

    def total_pnls(
        self, venue: Venue | None = None, account_id: AccountId | None = None, target_currency: Currency | None = None
    ) -> dict[Currency, Money]:
        totals = self.realized_pnls(venue, account_id, target_currency)
        for currency, open_now in self._portfolio.unrealized_pnls(venue, account_id, target_currency).items():
            totals[currency] = totals[currency] + open_now if currency in totals else open_now
        return totals
