"""The integers of the books, and how they are rounded.

Decimal is exact and slow. So what is done for every fill is done in integers: prices in points, sizes in the smallest step of
a quantity, values in points × steps of the quote currency, money in minor units (cents) of its currency.
"""

from decimal import ROUND_HALF_UP, Decimal
from functools import cache

from nautilus_trader.model import FIXED_PRECISION

from pepperstone_adapter.broker.account import minor_digits
from pepperstone_adapter.broker.symbols import SymbolSpec


@cache
def minor_unit(currency: str) -> Decimal:
    return Decimal(1).scaleb(-minor_digits(currency))


def rounded(amount: Decimal, currency: str) -> Decimal:
    return amount.quantize(minor_unit(currency), ROUND_HALF_UP)


def divided(amount: int, by: int) -> int:
    """Integer division, rounded to the nearest, halves away from zero."""
    if amount >= 0:
        return (2 * amount + by) // (2 * by)
    return -((by - 2 * amount) // (2 * by))


class Grid:
    """The integers of one symbol: prices in points, sizes in the smallest step of a quantity, values in points × steps."""

    def __init__(self, spec: SymbolSpec) -> None:
        self.name = spec.name
        self.quote = spec.quote_currency
        self.digits = spec.digits
        self._point, self._step = Decimal(1).scaleb(-spec.digits), Decimal(1).scaleb(-spec.size_digits)
        self._point_step = self._point * self._step
        finer = spec.digits + spec.size_digits - minor_digits(spec.quote_currency)
        self._minor_up, self._minor_down = 10 ** max(0, -finer), 10 ** max(0, finer)
        step_of_volume = int(spec.volume_step / self._step)
        # Whether a point on any volume is whole minor units of the quote currency: profit there needs no rounding.
        self.whole = not step_of_volume * self._minor_up % self._minor_down
        self.raw_point = 10 ** (FIXED_PRECISION - spec.digits)  # what the framework's raw integers count
        self.raw_step = 10 ** (FIXED_PRECISION - spec.size_digits)

    def price(self, points: int) -> Decimal:
        return points * self._point

    def units(self, steps: int) -> Decimal:
        return steps * self._step

    def value(self, amount: int | Decimal) -> Decimal:
        """In quote currency."""
        return amount * self._point_step

    def minor(self, amount: int) -> int:
        """A value in minor units of the quote currency, rounded half away from zero."""
        return divided(amount * self._minor_up, self._minor_down)
