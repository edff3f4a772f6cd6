"""Overnight financing: when a night is booked, how often it counts, and what it costs.

A position open at 17:00 New York is charged for that night; the instant follows New York's clock over both DST changes.
Nights of Monday to Friday count once, the triple day (Wednesday for FX: its value date is Monday) three times, Saturday
and Sunday not at all. Symbols with `weekend=True` count every night once. The nights are known from the calendar, not
from the data: a Friday night is booked at Friday 17:00 although the next row may be Monday's.

Source: broker.symbols.SwapMode; the rollover rule as Pepperstone and MetaTrader publish it (server midnight = 17:00 New York).
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from pepperstone_adapter.broker.symbols import SwapMode, SymbolSpec

NEW_YORK = ZoneInfo("America/New_York")
ROLLOVER = time(17)
NS = 1_000_000_000
_SATURDAY, _SUNDAY = 5, 6


def rollover_ns(day: date) -> int:
    """17:00 New York of a day, in UTC nanoseconds."""
    return int(datetime.combine(day, ROLLOVER, NEW_YORK).timestamp()) * NS


def new_york_day(ts_ns: int) -> date:
    return datetime.fromtimestamp(ts_ns // NS, tz=UTC).astimezone(NEW_YORK).date()


def rollovers(start_ns: int) -> Iterator[tuple[int, date]]:
    """Every rollover after `start_ns`, as ``(ts_ns, New York day)``, without end."""
    day = new_york_day(start_ns)
    while True:
        ts = rollover_ns(day)
        if ts > start_ns:
            yield ts, day
        day += timedelta(days=1)


def nights(spec: SymbolSpec, day: date) -> int:
    """How many nights the rollover of `day` counts for."""
    if spec.swap.mode is SwapMode.DISABLED:
        return 0
    if spec.swap.weekend:
        return 1
    if day.weekday() in (_SATURDAY, _SUNDAY):
        return 0
    return 3 if spec.swap.triple_day is not None and day.weekday() == spec.swap.triple_day.number else 1


def night_amount(spec: SymbolSpec, sign: int, units: Decimal, price: Decimal) -> Decimal:
    """One night's swap, signed (negative = charge), unrounded.

    In quote currency, except `MONEY_PER_LOT`, which is in account currency.

    Parameters
    ----------
    sign
        1 for a long position, -1 for a short one.
    price
        The market at the rollover; only `PERCENT_ANNUAL` needs it.
    """
    rate = spec.swap.long if sign > 0 else spec.swap.short
    match spec.swap.mode:
        case SwapMode.POINTS:
            return units * rate * spec.point
        case SwapMode.PIPS:
            return units * rate * spec.pip
        case SwapMode.PERCENT_ANNUAL:
            return units * price * rate / 100 / 360
        case SwapMode.MONEY_PER_LOT:
            return units / spec.contract_size * rate
        case _:
            return Decimal(0)
