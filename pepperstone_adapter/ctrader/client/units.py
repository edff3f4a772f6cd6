"""The wire's numbers and ours. Exact: integers and Decimal only.

* Market data prices are integers in 1/100000 of a price unit whatever the symbol's digits; ours are integer points.
* Order, position and deal prices are doubles; the shortest text of the double is the number that was meant.
* Volumes are hundredths of a unit. Money is an integer and a number of digits. Times are UTC milliseconds.
"""

from decimal import Decimal

from pepperstone_adapter.common.errors import DataError

WIRE_PRICE_DIGITS = 5
MS_NS = 1_000_000
MINUTE_NS = 60_000_000_000


def points(wire_price: int, digits: int) -> int:
    """Price in 1/100000 to points of 10^-digits, rounded half up where the wire says more than the symbol shows."""
    if digits >= WIRE_PRICE_DIGITS:
        up: int = 10 ** (digits - WIRE_PRICE_DIGITS)
        return wire_price * up
    scale: int = 10 ** (WIRE_PRICE_DIGITS - digits)
    return (wire_price + scale // 2) // scale


def price(value: float, digits: int) -> Decimal:
    """Read a double as the decimal number it stands for.

    Float noise beyond the symbol's digits is taken off; a true average price (netted positions, several partial
    fills) keeps its own digits.
    """
    exact = Decimal(repr(value))
    rounded = round(exact, digits)
    if rounded == exact:
        return rounded
    return rounded if abs(exact - rounded) < Decimal("1e-9") * max(Decimal(1), abs(exact)) else exact


def wire_price(value: Decimal, digits: int) -> float:
    """Price as the double the venue expects; it must be a whole number of points."""
    if value != round(value, digits):
        raise DataError(f"price {value} has more than the {digits} digits of its symbol")
    return float(value)


def wire_distance(value: Decimal) -> int:
    """Price distance in 1/100000."""
    scaled = value.scaleb(WIRE_PRICE_DIGITS)
    if scaled != scaled.to_integral_value() or scaled <= 0:
        raise DataError(f"distance {value} is not a positive multiple of 0.00001")
    return int(scaled)


def distance(wire: int, digits: int) -> Decimal:
    """Distance in 1/100000 as a price difference with the symbol's digits where it has no more."""
    exact = Decimal(wire).scaleb(-WIRE_PRICE_DIGITS)
    rounded = round(exact, digits)
    return rounded if rounded == exact else exact


def units(volume: int) -> Decimal:
    """Hundredths of a unit to units."""
    return Decimal(volume) / 100


def wire_volume(value: Decimal) -> int:
    scaled = value * 100
    if scaled != scaled.to_integral_value() or scaled <= 0:
        raise DataError(f"volume {value} is not a positive multiple of 0.01 units")
    return int(scaled)


def money(amount: int, digits: int) -> Decimal:
    return Decimal(amount).scaleb(-digits)


def ns(ms: int) -> int:
    return ms * MS_NS


def ms(ts_ns: int) -> int:
    return ts_ns // MS_NS
