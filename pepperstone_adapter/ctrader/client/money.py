"""The account's money: balance by version, equity and margin worked out, since no message carries them. Pure.

equity = balance + bonuses + net unrealised profit of the open positions (asked for every few seconds while there are
any); used margin = what the positions use, opposite ones counted by the account's rule. Between two answers the profit
of a position that was closed since is left out, and that of one closed in part counts by the part that is left: it
stands in the balance already.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

from pepperstone_adapter.broker.account import AccountSnapshot, Environment
from pepperstone_adapter.broker.events import AccountChanged, BrokerEvent
from pepperstone_adapter.broker.orders import PositionState, Side
from pepperstone_adapter.ctrader.client import parsing
from pepperstone_adapter.ctrader.client import units as u
from pepperstone_adapter.openapi import messages as oa


class Named(Protocol):
    """What the settings say about the account."""

    @property
    def account_number(self) -> str: ...
    @property
    def environment(self) -> Environment: ...


class Money:
    """One account's money.

    Attributes
    ----------
    now
        The account as last told, None before the first answer.
    telling
        Whether changes become events (not before the first snapshot was handed over).
    """

    def __init__(self, wanted: Named) -> None:
        self._wanted = wanted
        self.now: AccountSnapshot | None = None
        self.telling = False
        self._bonus = Decimal(0)
        self._hedge = oa.TotalMarginCalculationType.SUM
        self._version = -1
        self._unrealized: dict[str, tuple[Decimal, Decimal]] = {}  # position -> profit, and of how many units
        self._told: AccountSnapshot | None = None

    @property
    def digits(self) -> int | None:
        return self.now.money_digits if self.now is not None else None

    def digits_of(self, message: oa.DepositWithdraw | oa.MarginChangedEvent) -> int:
        if message.HasField("moneyDigits"):
            return message.moneyDigits
        return self.digits if self.digits is not None else parsing.DEFAULT_MONEY_DIGITS

    def trader(self, trader: oa.Trader, currency: str, ts_ns: int) -> None:
        """Take the account as the venue states it; an older state than the one known changes nothing."""
        if trader.HasField("balanceVersion") and trader.balanceVersion < self._version:
            return
        self._version = max(self._version, trader.balanceVersion)
        fresh = parsing.account(trader, currency, self._wanted.environment, ts_ns)
        self._bonus = u.money(trader.managerBonus + trader.ibBonus, fresh.money_digits)
        if trader.HasField("totalMarginCalculationType"):
            self._hedge = oa.TotalMarginCalculationType(trader.totalMarginCalculationType)
        old = self.now
        self.now = replace(
            fresh,
            account_number=fresh.account_number if trader.traderLogin else self._wanted.account_number,
            equity=old.equity if old is not None else None,
            used_margin=old.used_margin if old is not None else None,
        )

    def balance(self, balance: Decimal, version: int | None) -> None:
        """Take a balance that came with a deal or a deposit, unless a newer one is known."""
        if self.now is None or (version is not None and version < self._version):
            return
        self._version = max(self._version, version or 0)
        self.now = replace(self.now, balance=balance)

    def unrealized(self, answer: oa.GetPositionUnrealizedPnLRes, positions: Mapping[str, PositionState]) -> None:
        """Take the venue's profit figures for the positions as they are now."""
        profits = {
            str(p.positionId): u.money(p.netUnrealizedPnL, answer.moneyDigits) for p in answer.positionUnrealizedPnL
        }
        self._unrealized = {key: (profits[key], positions[key].units) for key in profits.keys() & positions.keys()}

    def refresh(self, positions: Iterable[PositionState], ts_ns: int) -> list[BrokerEvent]:
        """Work equity and margin out; an event where the account changed since it was last told."""
        if self.now is None:
            return []
        held = list(positions)
        used = used_margin(held, self._hedge)
        profit = sum((self._profit(p, self.now.money_digits) for p in held), Decimal(0))
        equity = self.now.balance + self._bonus + profit
        self.now = replace(self.now, equity=equity, used_margin=used)
        told = self._told
        if told is not None and replace(self.now, ts_ns=0) == replace(told, ts_ns=0):
            return []
        self.now = self._told = replace(self.now, ts_ns=ts_ns)
        return [AccountChanged(account=self.now, ts_ns=ts_ns)] if self.telling else []

    def _profit(self, position: PositionState, digits: int) -> Decimal:
        profit, units = self._unrealized.get(position.position_id, (Decimal(0), position.units))
        return profit if position.units >= units else round(profit * position.units / units, digits)


def used_margin(positions: Iterable[PositionState], rule: oa.TotalMarginCalculationType) -> Decimal:
    """Margin of positions together: of opposite ones in a symbol the larger side counts, both, or their difference.

    The venue states each position's own margin and, with the account, the rule.
    """
    sides: dict[str, dict[Side, Decimal]] = {}
    for position in positions:
        if position.used_margin is not None:
            pair = sides.setdefault(position.symbol, {Side.BUY: Decimal(0), Side.SELL: Decimal(0)})
            pair[position.side] += position.used_margin
    match rule:
        case oa.TotalMarginCalculationType.MAX:
            return sum((max(pair.values()) for pair in sides.values()), Decimal(0))
        case oa.TotalMarginCalculationType.NET:
            return sum((abs(pair[Side.BUY] - pair[Side.SELL]) for pair in sides.values()), Decimal(0))
        case _:
            return sum((sum(pair.values(), Decimal(0)) for pair in sides.values()), Decimal(0))
