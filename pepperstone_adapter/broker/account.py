"""The account as the broker reports it."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


def minor_digits(currency: str) -> int:
    """Decimals of an account's money: every currency Pepperstone offers for accounts has two but the yen."""
    return 0 if currency == "JPY" else 2


class PositionMode(StrEnum):
    HEDGING = "hedging"  # every entry is a ticket of its own
    NETTING = "netting"  # one position a symbol
    SPREAD_BETTING = "spread_betting"  # hedging, stakes per point


class Environment(StrEnum):
    SANDBOX = "sandbox"
    DEMO = "demo"
    LIVE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshot:
    """Money in account currency. `equity`, `used_margin` are None where the venue did not say.

    `guaranteed_stops`: every order that opens must carry a stop loss, and the broker guarantees its price (limited risk).
    """

    account_number: str
    environment: Environment
    broker: str
    currency: str
    money_digits: int
    mode: PositionMode
    balance: Decimal
    leverage: Decimal
    equity: Decimal | None = None
    used_margin: Decimal | None = None
    trading_allowed: bool = True
    closing_allowed: bool = False  # where trading is not: positions may still be closed and orders cancelled
    trading_note: str = ""  # why not, in a person's words
    guaranteed_stops: bool = False
    ts_ns: int = 0

    @property
    def free_margin(self) -> Decimal | None:
        if self.equity is None or self.used_margin is None:
            return None
        return self.equity - self.used_margin
