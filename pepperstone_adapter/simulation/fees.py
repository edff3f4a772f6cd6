"""Commission per order side, in the currency of its rule and converted to account currency.

The sum is exact (Decimal) and rounded once, half up, to the account currency's minor unit.

The framework asks the fee model for every fill, in the moment it updates the account: so this is also where the rate is
noted with which it converts profit (`Charge.xrate`). What it raises the framework only logs; `failures` takes it.

A commission in the base currency of a pair makes the framework shrink the position by it (USDJPY on a USD account: 24,000
bought for 0.72 leave 23,999.28), as on an exchange that takes its fee from what was bought. A broker does not. So for
such pairs the framework is told of no commission, and the charge is posted like a swap.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from nautilus_trader.execution import FeeModel
from nautilus_trader.model import Currency, InstrumentId, Money, OrderSide, PriceType, Symbol, Venue

from pepperstone_adapter.broker.account import minor_digits
from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, SymbolSpec
from pepperstone_adapter.simulation.cash import CASH_SYMBOL
from pepperstone_adapter.simulation.failures import Failures
from pepperstone_adapter.simulation.grid import Grid, divided, rounded

type Rate = Callable[[str, str], Decimal]  # (from currency, to currency) -> how much one unit is worth

ONE, MILLION = Decimal(1), Decimal(1_000_000)
_BY_VALUE = (CommissionKind.PER_MILLION, CommissionKind.PERCENT)


def commission_amount(rule: CommissionRule, spec: SymbolSpec, units: Decimal, price: Decimal, rate: Rate) -> Decimal:
    """One side's commission in the rule's currency, unrounded (percent: converted from quote to the rule's currency)."""
    match rule.kind:
        case CommissionKind.NONE:
            return Decimal(0)
        case CommissionKind.PER_LOT:
            amount = rule.rate * units / spec.contract_size
        case CommissionKind.PER_MILLION:
            amount = rule.rate * units * price * rate(spec.quote_currency, rule.currency) / MILLION
        case CommissionKind.PERCENT:
            amount = units * price * rule.rate / 100 * rate(spec.quote_currency, rule.currency)
        case CommissionKind.PER_UNIT:
            amount = rule.rate * units
    return max(amount, rule.minimum)


def commission(
    rule: CommissionRule, spec: SymbolSpec, units: Decimal, price: Decimal, account_currency: str, rate: Rate
) -> tuple[Decimal, Decimal]:
    """``(commission in account currency, rounded; rate from the rule's currency)``."""
    amount = commission_amount(rule, spec, units, price, rate)
    if not amount:
        return Decimal(0), Decimal(1)
    to_account = Decimal(1) if rule.currency == account_currency else rate(rule.currency, account_currency)
    return rounded(amount * to_account, account_currency), to_account


class Charge(NamedTuple):
    """One fill's commission in minor units of the account currency, and the rates of that moment.

    `rate` is from the rule's `currency`, `xrate` the framework's for profit (as text in `xrate_text`), both to account
    currency. `posted`: the framework was told of no commission; it is charged as a cash posting right after the fill.
    """

    minor: int
    currency: str
    rate: Decimal
    xrate: Decimal
    xrate_text: str
    posted: bool


class Tariff:
    """The commission of a symbol that is traded, charged and kept in one currency: size or value times a fraction."""

    def __init__(self, rule: CommissionRule, spec: SymbolSpec, grid: Grid, currency: Currency) -> None:
        self.grid = grid
        self._by_value = rule.kind in _BY_VALUE
        # Of a million units at the price 1: large enough that no rule's rate is lost.
        share = Fraction(commission_amount(replace(rule, minimum=Decimal(0)), spec, MILLION, ONE, lambda *_: ONE))
        digits = spec.size_digits + (spec.digits if self._by_value else 0)
        share *= Fraction(10 ** minor_digits(currency.code), 10 ** (digits + 6))
        self._times, self._by = share.as_integer_ratio()
        least = Decimal(0) if rule.kind is CommissionKind.NONE else rounded(rule.minimum, currency.code)
        self._least = int(least.scaleb(minor_digits(currency.code)))
        self._currency = currency
        self._rule_currency = rule.currency
        self._known: dict[int, tuple[Charge, Money]] = {}

    def charge(self, steps: int, points: int) -> tuple[Charge, Money]:
        """What a fill costs."""
        amount = steps * points * self._times if self._by_value else steps * self._times
        minor = max(divided(amount, self._by), self._least)
        known = self._known.get(minor)
        if known is None:
            money = Money.from_decimal(Decimal(minor).scaleb(-minor_digits(self._currency.code)), self._currency)
            known = self._known[minor] = Charge(minor, self._rule_currency, ONE, ONE, "1", False), money
        return known


class AccountFees(FeeModel):
    """Fee model of the simulated account.

    Attributes
    ----------
    charges
        Client order id -> charge, symbol, steps and points of its last fill; taken out by the recorder.
    postings
        Client order id of a cash posting -> amount to credit.
    """

    def __new__(cls, *_args: Any, **_kwargs: Any) -> "AccountFees":
        return super().__new__(cls)

    def __init__(
        self,
        specs: Mapping[str, SymbolSpec],
        grids: Mapping[str, Grid],
        rules: Mapping[str, CommissionRule],
        currency: str,
        venue: Venue,
        rate: Rate,
        failures: Failures,
    ) -> None:
        self.postings: dict[str, Decimal] = {}
        self.cache: Any = None
        self._specs = specs
        self._rules = {name: rules.get(name, CommissionRule()) for name in specs}
        self._currency = Currency.from_str(currency)
        self._zero = Money.zero(self._currency)
        self._venue = venue
        self._rate: Rate = lambda source, target: ONE if source == target else rate(source, target)
        self._failures = failures
        self.charges: dict[str, tuple[Charge, Grid, int, int]] = {}
        self._grids = grids
        self._tariffs = {
            InstrumentId(Symbol(name), venue): Tariff(self._rules[name], spec, grids[name], self._currency)
            for name, spec in specs.items()
            if self._rules[name].currency == spec.quote_currency == currency != spec.base_currency
        }

    def get_commission(self, order: Any, quantity: Any, price: Any, instrument: Any) -> Money:
        try:
            tariff = self._tariffs.get(instrument.id)
            if tariff is None:
                return self._commission(order, quantity, price, instrument)
            grid = tariff.grid
            steps, points = quantity.raw // grid.raw_step, price.raw // grid.raw_point
            charge, money = tariff.charge(steps, points)
            self.charges[str(order.client_order_id)] = charge, grid, steps, points
            return money
        except Exception as error:  # noqa: BLE001 - the framework would only log it and drop the fill
            self._failures.add(error, "the fee model")
            return self._zero

    def _commission(self, order: Any, quantity: Any, price: Any, instrument: Any) -> Money:
        symbol = str(instrument.raw_symbol)
        key = str(order.client_order_id)
        if symbol == CASH_SYMBOL:
            return Money.from_decimal(-self.postings.pop(key, Decimal(0)), self._currency)
        spec, rule = self._specs[symbol], self._rules[symbol]
        amount, rate = commission(
            rule, spec, quantity.as_decimal(), price.as_decimal(), self._currency.code, self._rate
        )
        xrate = ONE
        if spec.quote_currency != self._currency.code:
            side = PriceType.ASK if order.side == OrderSide.BUY else PriceType.BID
            quoted = self.cache.get_xrate(self._venue, instrument.quote_currency, self._currency, side)
            if not quoted:
                raise LookupError(f"no rate from {spec.quote_currency} to {self._currency.code} at a fill of {symbol}")
            xrate = Decimal(repr(quoted))
        posted = spec.base_currency == self._currency.code
        minor = int(amount.scaleb(minor_digits(self._currency.code)))
        charge, grid = Charge(minor, rule.currency, rate, xrate, str(xrate), posted), self._grids[symbol]
        self.charges[key] = charge, grid, quantity.raw // grid.raw_step, price.raw // grid.raw_point
        return Money.from_decimal(amount, self._currency) if amount and not posted else self._zero
