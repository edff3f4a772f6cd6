"""Sizes and risk: lots to units, steps, pip value, risk-percent sizing, hours of a session.

Small pure functions that strategies may use. Sizes are units of the instrument, money and prices are Decimal, and every
rounding goes *down*: an order never becomes larger than asked for, a risk never larger than allowed.

Risk-percent sizing: a stop `distance` away loses ``units × distance`` in quote currency, so

    units = equity × risk% / 100 / (distance × quote_to_account)      rounded down to the step, capped at the maximum

``quote_to_account`` is how many units of account currency one unit of quote currency is worth (USDJPY on a USD account:
1 / 150; GER40 on a USD account: EURUSD; EURUSD on a USD account: 1).
"""

import re
from datetime import UTC, datetime, time
from decimal import ROUND_DOWN, Decimal
from zoneinfo import ZoneInfo

HUNDRED = Decimal(100)


def lots_to_units(lots: Decimal, contract_size: Decimal) -> Decimal:
    """``Decimal("0.1")`` lots of 100,000 are 10,000 units."""
    return lots * contract_size


def units_to_lots(units: Decimal, contract_size: Decimal) -> Decimal:
    return units / contract_size


def floor_to_step(units: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` not above `units` (towards zero for negative units).

    Raises
    ------
    ValueError
        `step` is not positive.
    """
    if step <= 0:
        raise ValueError(f"step {step} is not positive")
    return (units / step).to_integral_value(rounding=ROUND_DOWN) * step


def tradable_units(units: Decimal, minimum: Decimal, step: Decimal, maximum: Decimal) -> Decimal:
    """`units` as one order may carry them: a multiple of `step`, at most `maximum`; zero when below `minimum`."""
    size = floor_to_step(min(units, maximum), step)
    return size if size >= minimum and size > 0 else Decimal(0)


def floor_to_tick(price: Decimal, tick: Decimal) -> Decimal:
    """The nearest price at or below `price` that the symbol can quote."""
    return floor_to_step(price, tick)


def pip_value(units: Decimal, pip: Decimal, quote_to_account: Decimal) -> Decimal:
    """Account currency gained or lost by `units` when the price moves one `pip`.

    One lot of EURUSD (100,000 units, pip 0.0001) on a USD account: 10 USD.
    """
    return units * pip * quote_to_account


def units_for_risk(
    equity: Decimal,
    risk_percent: Decimal,
    stop_distance: Decimal,
    quote_to_account: Decimal,
    *,
    minimum: Decimal,
    step: Decimal,
    maximum: Decimal,
) -> Decimal:
    """Units that lose at most `risk_percent` of `equity` when a stop `stop_distance` away is hit.

    Parameters
    ----------
    equity
        In account currency.
    stop_distance
        In price, spread included if the stop is on the other side of it.
    quote_to_account
        Account currency per unit of quote currency.
    minimum, step, maximum
        Order sizes in units.

    Returns
    -------
    Decimal
        Zero when even the smallest order would risk more (or there is nothing to risk): do not trade.

    Raises
    ------
    ValueError
        `stop_distance` or `quote_to_account` is not positive, or `risk_percent` not between 0 and 100.
    """
    if stop_distance <= 0 or quote_to_account <= 0:
        raise ValueError(f"stop distance {stop_distance} and conversion rate {quote_to_account} must be positive")
    if not 0 < risk_percent <= HUNDRED:
        raise ValueError(f"risk {risk_percent} % is not above 0 and up to 100")
    if equity <= 0:
        return Decimal(0)
    return tradable_units(equity * risk_percent / HUNDRED / (stop_distance * quote_to_account), minimum, step, maximum)


def in_session(ts_ns: int, start: time, end: time, zone: str) -> bool:
    """Whether `ts_ns` (UTC nanoseconds) lies in ``[start, end)`` of the local day in `zone`.

    A session over midnight has ``start > end`` (22:00 to 06:00); ``start == end`` is the whole day.
    """
    local = datetime.fromtimestamp(ts_ns // 1_000_000_000, tz=UTC).astimezone(ZoneInfo(zone)).time()
    if start == end:
        return True
    if start < end:
        return start <= local < end
    return local >= start or local < end


def parse_session(text: str) -> tuple[time, time]:
    """``"08:00-17:00"`` as its two times; 24:00 is midnight.

    Raises
    ------
    ValueError
        Not ``HH:MM-HH:MM``.
    """
    found = re.fullmatch(r"(\d\d:\d\d)\s*-\s*(\d\d:\d\d)", text.strip())
    try:
        if found is None:
            raise ValueError
        start, end = (time.fromisoformat("00:00" if part == "24:00" else part) for part in found.groups())
    except ValueError:
        raise ValueError(f"session {text!r} is not HH:MM-HH:MM, such as 08:00-17:00") from None
    return start, end
