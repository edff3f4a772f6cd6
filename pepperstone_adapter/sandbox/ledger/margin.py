"""Used margin, equity and what they allow.

A position's margin is fixed by the rates of its opening (recorded: 1.00 BTC at 85287.22 and leverage 3.33 uses
25611.78, and exactly 99 % of it after 1 % was closed). Leverage comes in tiers of one side's whole notional in USD, so
the positions of a side share the tiers in the order they were opened: closing an early one moves later ones down.
Opposite sides of a symbol then count by the account's `HedgeMargin` rule.
"""

from dataclasses import dataclass
from decimal import Decimal

from pepperstone_adapter.broker.orders import Side
from pepperstone_adapter.sandbox.ledger.money import cents, profit, tiered_margin
from pepperstone_adapter.sandbox.ledger.quotes import Quotes
from pepperstone_adapter.sandbox.ledger.records import Position
from pepperstone_adapter.sandbox.ledger.state import Account
from pepperstone_adapter.sandbox.ledger.terms import HedgeMargin, SymbolTerms

USD = "USD"


def allocate(account: Account, terms: SymbolTerms) -> list[Position]:
    """Write `used_margin` of every open position of one symbol; return those whose margin changed."""
    changed: list[Position] = []
    for side in Side:
        notional = Decimal(0)
        for position in _side(account, terms.name, side):
            added = position.units * position.usd_rate
            share = tiered_margin(notional + added, terms.tiers, account.terms.leverage) - tiered_margin(
                notional, terms.tiers, account.terms.leverage
            )
            notional += added
            used = cents(share * position.margin_rate / position.usd_rate, account.terms.money_digits)
            if used != position.used_margin:
                position.used_margin = used
                changed.append(position)
    return changed


def _side(account: Account, symbol: str, side: Side) -> list[Position]:
    return [p for p in account.positions.values() if p.symbol == symbol and p.side is side]


def combine(buy: Decimal, sell: Decimal, rule: HedgeMargin) -> Decimal:
    match rule:
        case HedgeMargin.MAX:
            return max(buy, sell)
        case HedgeMargin.SUM:
            return buy + sell
        case HedgeMargin.NET:
            return abs(buy - sell)


def used_margin(account: Account) -> Decimal:
    sides: dict[str, list[Decimal]] = {}
    for position in account.positions.values():
        pair = sides.setdefault(position.symbol, [Decimal(0), Decimal(0)])
        pair[0 if position.side is Side.BUY else 1] += position.used_margin
    return sum((combine(b, s, account.terms.hedge_margin) for b, s in sides.values()), Decimal(0))


@dataclass(frozen=True, slots=True)
class OpenProfit:
    """One position at the market now, in account currency; `net` adds swap and the opening charge not yet booked."""

    gross: Decimal
    net: Decimal


def open_profit(account: Account, position: Position, quotes: Quotes, terms: SymbolTerms) -> OpenProfit:
    quote = quotes.need(position.symbol)
    price = quote.opening(position.side.opposite)
    rate = quotes.rate(terms.spec.quote_currency, account.terms.currency)
    gross = cents(profit(position.side, position.units, position.open_price, price) * rate, account.terms.money_digits)
    return OpenProfit(gross, gross + position.swap + position.commission)


def equity(account: Account, quotes: Quotes, symbols: dict[str, SymbolTerms]) -> Decimal:
    return account.balance + sum(
        (open_profit(account, p, quotes, symbols[p.symbol]).net for p in account.positions.values()), Decimal(0)
    )


def margin_for(account: Account, terms: SymbolTerms, side: Side, units: Decimal, quotes: Quotes) -> Decimal:
    """Margin of `units` more on `side`, above what that side already uses, in account currency."""
    price = quotes.need(terms.name).opening(side)
    usd, own = base_rates(terms, price, quotes, account.terms.currency)
    held = sum((p.units * p.usd_rate for p in _side(account, terms.name, side)), Decimal(0))
    leverage = account.terms.leverage
    share = tiered_margin(held + units * usd, terms.tiers, leverage) - tiered_margin(held, terms.tiers, leverage)
    return cents(share * own / usd, account.terms.money_digits)


def extra_margin(account: Account, terms: SymbolTerms, side: Side, units: Decimal, quotes: Quotes) -> Decimal:
    """By how much the account's used margin would rise, hedge rule included."""
    totals = {s: sum((p.used_margin for p in _side(account, terms.name, s)), Decimal(0)) for s in Side}
    before = combine(totals[Side.BUY], totals[Side.SELL], account.terms.hedge_margin)
    totals[side] += margin_for(account, terms, side, units, quotes)
    return combine(totals[Side.BUY], totals[Side.SELL], account.terms.hedge_margin) - before


def base_rates(terms: SymbolTerms, price: Decimal, quotes: Quotes, currency: str) -> tuple[Decimal, Decimal]:
    """One unit of the symbol in USD and in account currency, its own price taken from `price` (the deal's)."""
    quote_currency = terms.spec.quote_currency
    base = terms.spec.margin_currency or terms.spec.base_currency

    def into(target: str) -> Decimal:
        if base == target:
            return Decimal(1)
        if base == terms.spec.base_currency:
            return price * quotes.rate(quote_currency, target)
        return price * quotes.rate(quote_currency, base) * quotes.rate(base, target)

    return into(USD), into(currency)
