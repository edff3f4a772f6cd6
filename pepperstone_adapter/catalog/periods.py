"""Bar periods: their names, their lengths, and when a bar that opened at a wall-clock time closes."""

import re
from typing import Final

import numpy as np
from nautilus_trader.model import InstrumentId, PriceType
from numpy.typing import NDArray

from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.server_time import HOUR_NS, ServerClock, to_utc
from pepperstone_adapter.common.arrays import distinct
from pepperstone_adapter.common.errors import ConfigurationError, DataError
from pepperstone_adapter.mapping.data import bar_type_of, period_ns

DAY_NS: Final = 86_400_000_000_000
MIN_ROWS_TO_TELL = 3
_UNITS = {"M": "MINUTE", "H": "HOUR", "D": "DAY", "W": "WEEK", "MN": "MONTH"}

type Int64s = NDArray[np.int64]


def parse_period(text: str) -> BarPeriod:
    """``H1`` or ``1-HOUR``.

    Raises
    ------
    ConfigurationError
        Not a period a broker has; the allowed ones are listed.
    """
    wanted = text.strip().upper()
    for period in BarPeriod:
        if wanted in (period.value, framework_period(period)):
            return period
    allowed = ", ".join(f"{p.value} ({framework_period(p)})" for p in BarPeriod)
    raise ConfigurationError(f"'{text}' is no bar period{likely(text)}; use one of {allowed}")


def likely(text: str) -> str:
    """`` (did you mean H1?)`` for the ways other platforms write a period (``1h``, ``60min``, ``PERIOD_H1``), else nothing."""
    spoken = re.fullmatch(
        r"(?:PERIOD_)?(?:(\d+)[ -]?([A-Z]+?)|([A-Z]+?)[ -]?(\d+))", text.strip().upper().removesuffix("S")
    )
    if spoken is None:
        return ""
    count, unit = int(spoken[1] or spoken[4]), spoken[2] or spoken[3]
    minutes = {
        "M": 1,
        "MIN": 1,
        "MINUTE": 1,
        "T": 1,
        "H": 60,
        "HR": 60,
        "HOUR": 60,
        "D": 1440,
        "DAY": 1440,
        "W": 10_080,
        "WEEK": 10_080,
    }
    wanted_ns = count * minutes.get(unit, 0) * 60 * 10**9
    for period in BarPeriod:
        length = {BarPeriod.D1: DAY_NS, BarPeriod.W1: 7 * DAY_NS}.get(period, period_ns(period))
        if wanted_ns and length == wanted_ns:
            return f" (did you mean {period.value}?)"
    return ""


def framework_period(period: BarPeriod) -> str:
    """``1-HOUR`` for ``H1``: step and unit as they stand in a bar type."""
    match = re.fullmatch(r"(MN|[MHDW])(\d+)", period.value)
    if match is None:
        raise ValueError(period)
    return f"{match[2]}-{_UNITS[match[1]]}"


def longest_ns(period: BarPeriod) -> int:
    """The longest a bar of `period` lasts (a server's day has 25 hours once a year)."""
    days = {BarPeriod.D1: 1, BarPeriod.W1: 7, BarPeriod.MN1: 31}
    return period_ns(period) or days[period] * DAY_NS + DAY_NS // 24


def bar_type_name(symbol: str, venue: str, period: BarPeriod, side: str) -> str:
    """``EURUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL``."""
    instrument_id = InstrumentId.from_str(f"{symbol}.{venue}")
    return str(bar_type_of(instrument_id, period, PriceType.BID if side == "BID" else PriceType.ASK))


def tell_period(local_ns: Int64s, file: str) -> BarPeriod:
    """The period of a file's first bars: the most frequent step between rows.

    Raises
    ------
    DataError
        Too few rows, or a step that no period has.
    """
    steps = np.diff(distinct(local_ns))
    if len(steps) < MIN_ROWS_TO_TELL - 1:
        raise DataError(f"{file}: too few rows to tell the bar period; give it with --period (H1, M1, ...)")
    values, counts = np.unique(steps, return_counts=True)
    step = int(values[np.argmax(counts)])
    for period in BarPeriod:
        if period_ns(period) == step:
            return period
    if step == DAY_NS:
        return BarPeriod.D1
    if step == 7 * DAY_NS:
        return BarPeriod.W1
    if 28 * DAY_NS <= step <= 31 * DAY_NS:
        return BarPeriod.MN1
    raise DataError(f"{file}: rows are mostly {step / 60e9:g} minutes apart, which is no bar period; give --period")


def off_period(local_ns: Int64s, period: BarPeriod) -> NDArray[np.bool_]:
    """Opening times (server clock) that no bar of `period` can have; weeks and months are not judged."""
    length = period_ns(period) or (DAY_NS if period is BarPeriod.D1 else 1)
    return np.asarray(local_ns % length != 0)


def close_times(open_local: Int64s, open_utc: Int64s, period: BarPeriod, clock: ServerClock) -> Int64s:
    """UTC closing times. Above an hour bars end on the server's clock, which a change moves against UTC: a day at its
    midnight."""
    length = period_ns(period)
    if length is not None and length <= HOUR_NS:
        return open_utc + length
    return to_utc(_next_open(open_local, period), clock).ns


def _next_open(local_ns: Int64s, period: BarPeriod) -> Int64s:
    if period is BarPeriod.MN1:
        month = local_ns.astype("datetime64[ns]").astype("datetime64[M]") + 1
        return np.asarray(month.astype("datetime64[ns]").astype(np.int64))
    return local_ns + (period_ns(period) or (DAY_NS if period is BarPeriod.D1 else 7 * DAY_NS))


def open_times(close_ns: Int64s, period: BarPeriod) -> Int64s:
    """Opening times from closing times, both in the same clock."""
    if period is BarPeriod.MN1:
        month = close_ns.astype("datetime64[ns]").astype("datetime64[M]") - 1
        return np.asarray(month.astype("datetime64[ns]").astype(np.int64))
    return close_ns - (period_ns(period) or (DAY_NS if period is BarPeriod.D1 else 7 * DAY_NS))
