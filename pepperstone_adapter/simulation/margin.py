"""Used margin of an account: tiers of leverage, and what hedged positions cost.

A symbol's notional (units at their opening price) is converted to US dollars to find its tiers: each slice of notional
is margined at the leverage of its tier, as cTrader's dynamic leverage does: with 500 up to 5 million USD and 200 above,
6 million need 10,000 + 5,000, and the margin never jumps when a position grows over a limit. Hedged positions follow the
broker's rule:

* ``max_side`` (cTrader): the larger of the long and the short side counts, the other is free;
* ``net`` (MetaTrader 5 with a hedged margin of zero): only the difference of the sides counts;
* ``sum``: both count.

Margin is fixed when a position is opened and changes only with fills.
"""

from dataclasses import dataclass
from decimal import Decimal

from pepperstone_adapter.broker.symbols import LeverageTier


@dataclass(slots=True)
class Side:
    """One side of a symbol: units held and their notional at opening prices, in account currency and in dollars."""

    units: Decimal = Decimal(0)
    notional: Decimal = Decimal(0)
    notional_usd: Decimal = Decimal(0)


def tiered_margin(notional: Decimal, notional_usd: Decimal, tiers: tuple[LeverageTier, ...]) -> Decimal:
    """Margin in account currency of a notional given in both currencies."""
    if not notional or not tiers:
        return Decimal(0)
    if len(tiers) == 1:
        return notional / tiers[0].leverage
    per_usd = notional / notional_usd if notional_usd else Decimal(1)
    margin, below = Decimal(0), Decimal(0)
    for tier in tiers:
        top = notional_usd if tier.up_to_usd is None else min(notional_usd, tier.up_to_usd)
        if top > below:
            margin += (top - below) * per_usd / tier.leverage
            below = top
    if notional_usd > below:  # a table without an open-ended last tier goes on at its last leverage
        margin += (notional_usd - below) * per_usd / tiers[-1].leverage
    return margin


def symbol_margin(long: Side, short: Side, tiers: tuple[LeverageTier, ...], hedged: str) -> Decimal:
    """Used margin of one symbol under the broker's rule for hedged positions."""
    a = tiered_margin(long.notional, long.notional_usd, tiers)
    b = tiered_margin(short.notional, short.notional_usd, tiers)
    if hedged == "sum":
        return a + b
    if hedged == "max_side":
        return max(a, b)
    bigger, smaller = (long, short) if long.units >= short.units else (short, long)
    if not bigger.units:
        return Decimal(0)
    share = (bigger.units - smaller.units) / bigger.units
    return tiered_margin(bigger.notional * share, bigger.notional_usd * share, tiers)
