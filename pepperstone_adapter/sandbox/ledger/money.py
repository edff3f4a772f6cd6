"""Money formulas: profit, commission, swap, margin. Pure functions over `Decimal`; each caller rounds once, at booking.

Rounding is half up to the account's digits. It is what recorded deals show: 0.01 BTC bought at 85287.21 and sold at
85219.06 makes -0.6815, booked -0.68; a charge of 0.0325 % on 85287.21 is 27.7183, booked 27.72.
"""

from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal

from pepperstone_adapter.broker.orders import Side
from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, LeverageTier, SwapMode, SymbolSpec

type Rate = Callable[[str, str], Decimal]

MILLION = Decimal(1_000_000)


def cents(amount: Decimal, digits: int) -> Decimal:
    """`amount` rounded half up (away from zero) to `digits` decimals."""
    return amount.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def profit(side: Side, units: Decimal, entry: Decimal, price: Decimal) -> Decimal:
    """Gross profit in quote currency."""
    return side.sign * units * (price - entry)


def commission(
    rule: CommissionRule, spec: SymbolSpec, units: Decimal, price: Decimal, rate: Rate, into: str
) -> Decimal:
    """One side's charge in currency `into`, positive, not rounded."""
    match rule.kind:
        case CommissionKind.NONE:
            return Decimal(0)
        case CommissionKind.PER_LOT:
            charge = rule.rate * units / spec.contract_size * rate(rule.currency, into)
        case CommissionKind.PER_UNIT:
            charge = rule.rate * units * rate(rule.currency, into)
        case CommissionKind.PERCENT:
            charge = rule.rate / 100 * units * price * rate(spec.quote_currency, into)
        case CommissionKind.PER_MILLION:
            notional = units * price * rate(spec.quote_currency, rule.currency)
            charge = rule.rate * notional / MILLION * rate(rule.currency, into)
    if rule.minimum:
        charge = max(charge, rule.minimum * rate(rule.currency, into))
    return charge


def swap_for_night(spec: SymbolSpec, side: Side, units: Decimal, price: Decimal, rate: Rate, into: str) -> Decimal:
    """One night's financing in currency `into`, signed (negative = the holder pays), not rounded."""
    terms = spec.swap
    value = terms.long if side is Side.BUY else terms.short
    match terms.mode:
        case SwapMode.DISABLED:
            return Decimal(0)
        case SwapMode.POINTS:
            quote = units * value * spec.point
        case SwapMode.PIPS:
            quote = units * value * spec.pip
        case SwapMode.PERCENT_ANNUAL:
            quote = units * price * value / 100 / 360
        case SwapMode.MONEY_PER_LOT:
            return units / spec.contract_size * value
    return quote * rate(spec.quote_currency, into)


def nights(spec: SymbolSpec, weekday: int) -> int:
    """How many nights the rollover at the end of `weekday` (Monday 0, New York) books: 0, 1 or 3."""
    if spec.swap.weekend:
        return 1
    if weekday >= 5:
        return 0
    triple = spec.swap.triple_day
    return 3 if triple is not None and triple.number == weekday else 1


def tiered_margin(notional_usd: Decimal, tiers: Sequence[LeverageTier], account_leverage: Decimal) -> Decimal:
    """Margin in USD for one side's whole notional: each slice at its tier's leverage, never above the account's own."""
    if not tiers:
        return notional_usd / account_leverage
    total = Decimal(0)
    floor = Decimal(0)
    for tier in tiers:
        top = notional_usd if tier.up_to_usd is None else min(notional_usd, tier.up_to_usd)
        if top > floor:
            total += (top - floor) / min(tier.leverage, account_leverage)
            floor = top
    if notional_usd > floor:  # a table whose last tier is bounded: the last leverage goes on
        total += (notional_usd - floor) / min(tiers[-1].leverage, account_leverage)
    return total
