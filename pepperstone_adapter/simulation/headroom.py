"""How much may be traded before anybody has to look at the margin: the account's distance from trouble, as one number.

Between two looks at the books, within one window of data, prices stay inside the window's extremes. So a unit that is
bought or sold can lose at most the window's range (and its costs), and can ask for at most the margin of the highest price.
While the account would survive all of what it was allowed since the last look being lost at once,

    balance + worst profit of what is held - margin of all of it  >  sum of units × (range + costs + margin of a unit),

no order can be short of margin, no margin call can be due, and the fills need not be booked at once: they can be booked
together, which is several times as fast. When the sum is used up the account looks at its books and measures anew; an
account close to trouble looks at every fill, as if this did not exist.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, SymbolSpec
from pepperstone_adapter.simulation.books import Ticket
from pepperstone_adapter.simulation.fees import commission_amount
from pepperstone_adapter.simulation.plan import AccountTerms, Slippage
from pepperstone_adapter.simulation.stop_out import MarginWatch

NEVER = float("inf")
_CUSHION = 1.05  # profit is converted at a side of the market, not at the middle the window's range was taken from


class Headroom:
    """Grants units until the headroom that was measured is used up."""

    def __init__(
        self,
        specs: Mapping[str, SymbolSpec],
        terms: AccountTerms,
        slippage: Mapping[str, Slippage],
        watch: MarginWatch,
        currency: str,
    ) -> None:
        self._specs = specs
        self._terms = terms
        self._slippage = slippage
        self._watch = watch
        self._currency = currency
        self._level = float(max(terms.margin_call_level, terms.stop_out_level, Decimal(100)) / 100)
        self._risks: dict[str, tuple[float, float]] = {}
        self._left = 0.0

    def load(self) -> None:
        """A new window: other extremes, nothing granted."""
        self._risks = {}
        self._left = 0.0

    def measure(self, tickets: Iterable[Ticket], balance: Decimal, margin: Decimal) -> None:
        """Measure anew after all fills have been booked; `margin` is that of both sides of every symbol."""
        self._left = float(self._watch.worst_equity(tickets, balance)) - float(margin) * self._level

    def close(self) -> None:
        """Grant nothing until it is measured again."""
        self._left = 0.0

    def grants(self, symbol: str, units: float) -> bool:
        """Whether an order for so many units needs no look at the books; they are then used up."""
        risk = self._risks.get(symbol)
        if risk is None:
            risk = self._risks[symbol] = self._risk(symbol)
        per_unit, per_order = risk
        left = self._left - units * per_unit - per_order
        if left <= 0:
            return False
        self._left = left
        return True

    def _risk(self, symbol: str) -> tuple[float, float]:
        """The most a unit can lose and bind in this window, and what an order costs at least, in account currency."""
        spec, rule = self._specs[symbol], self._terms.commissions.get(symbol, CommissionRule())
        converted = spec.quote_currency != self._currency
        charged_apart = rule.kind is not CommissionKind.NONE and spec.base_currency == self._currency
        if charged_apart or (converted and self._terms.conversion_fee_percent) or rule.currency != self._currency:
            return 0.0, NEVER  # money is posted right after the fill, or is converted twice: these fills do not wait
        low, high, _, rate = self._watch.extent(symbol)
        tiers, slips = self._terms.leverage.get(symbol), self._slippage.get(symbol)
        margin = high / min(tier.leverage for tier in tiers) if tiers else Decimal(0)
        lost = high - low + (2 * slips.max_points * spec.point if slips else 0)
        costs = commission_amount(replace(rule, minimum=Decimal(0)), spec, Decimal(1), high, lambda *_: rate)
        per_unit = (lost + margin * Decimal(self._level)) * rate + 2 * costs
        return float(per_unit) * _CUSHION, float(2 * rule.minimum)
