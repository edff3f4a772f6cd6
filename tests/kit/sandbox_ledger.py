"""Symbols, accounts and a short hand for tests of the sandbox's ledger. Times are seconds after `T0`."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.orders import OrderType, Side
from pepperstone_adapter.broker.symbols import (
    AssetClass,
    CommissionKind,
    CommissionRule,
    LeverageTier,
    SwapMode,
    SwapTerms,
    SymbolSpec,
)
from pepperstone_adapter.sandbox.ledger import (
    AccountTerms,
    EventKind,
    Ledger,
    LedgerRules,
    NewOrder,
    Order,
    SymbolTerms,
)

NS = 1_000_000_000
T0 = 1_705_305_600 * NS  # Monday 2024-01-15 08:00:00 UTC
ACCOUNT = 1
D = Decimal


def at(seconds: float) -> int:
    return T0 + round(seconds * NS)


def fx(name: str, digits: int = 5, **changes: Any) -> SymbolTerms:
    """A currency pair: lot of 100,000, step of 1,000, open around the clock, no charges."""
    spec = SymbolSpec(
        name=name,
        description=name,
        asset_class=AssetClass.FX,
        base_currency=name[:3],
        quote_currency=name[3:],
        digits=digits,
        pip_position=digits - 1,
        contract_size=D(100_000),
        volume_min=D(1_000),
        volume_step=D(1_000),
        volume_max=D(10_000_000),
        hours=TradingHours.always(),
        swap=SwapTerms(mode=SwapMode.DISABLED),
        leverage_class="fx_major",
    )
    own = {
        key: changes.pop(key) for key in list(changes) if key in SymbolSpec.__dataclass_fields__ and key != "commission"
    }
    terms = SymbolTerms(spec=replace(spec, **own), tiers=(LeverageTier(up_to_usd=None, leverage=D(30)),))
    return replace(terms, **changes)


def btc(**changes: Any) -> SymbolTerms:
    """The recorded symbol: 0.0325 % a side, leverage 3.33, one hundredth as the step."""
    spec = replace(
        fx("BTCUSD").spec,
        asset_class=AssetClass.CRYPTO,
        digits=2,
        pip_position=0,
        contract_size=D(1),
        volume_min=D("0.01"),
        volume_step=D("0.01"),
        volume_max=D(100),
    )
    return replace(
        SymbolTerms(
            spec=spec,
            commission=CommissionRule(kind=CommissionKind.PERCENT, rate=D("0.0325")),
            tiers=(LeverageTier(up_to_usd=None, leverage=D("3.33")),),
        ),
        **changes,
    )


class Desk:
    """A ledger with one account, and short verbs: prices as text, units as int, time in seconds."""

    def __init__(self, *symbols: SymbolTerms, rules: LedgerRules | None = None, **account: Any) -> None:
        terms = AccountTerms(account_id=ACCOUNT, **{"opening_balance": D(10_000), "leverage": D(30), **account})
        self.ledger = Ledger(symbols or [fx("EURUSD")], [terms], rules)
        self.now = 0.0

    @property
    def account(self) -> Any:
        return self.ledger.accounts[ACCOUNT]

    def quote(self, symbol: str, bid: str, ask: str, seconds: float | None = None) -> None:
        self.now = self.now + 1 if seconds is None else seconds
        digits = self.ledger.symbols[symbol].spec.digits
        self.ledger.quote(symbol, int(D(bid).scaleb(digits)), int(D(ask).scaleb(digits)), at(self.now))

    def order(self, side: Side, units: int | str, symbol: str = "EURUSD", **fields: Any) -> Order:
        kind = fields.pop("type", OrderType.MARKET)
        request = NewOrder(symbol=symbol, side=side, type=kind, units=D(units), **fields)
        return self.ledger.submit(ACCOUNT, request, at(self.now))

    def buy(self, units: int | str, symbol: str = "EURUSD", **fields: Any) -> Order:
        return self.order(Side.BUY, units, symbol, **fields)

    def sell(self, units: int | str, symbol: str = "EURUSD", **fields: Any) -> Order:
        return self.order(Side.SELL, units, symbol, **fields)

    def close(self, position_id: int, units: int | str, **fields: Any) -> Order:
        return self.ledger.close(ACCOUNT, position_id, D(units), at(self.now), **fields)

    def told(self) -> list[str]:
        """Event kinds so far, in order."""
        return [event.kind.value for event in self.ledger.events]

    def last(self, kind: EventKind) -> Any:
        return next(event for event in reversed(self.ledger.events) if event.kind is kind)
