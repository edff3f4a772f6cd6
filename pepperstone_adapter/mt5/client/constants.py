"""Numbers of the MetaTrader5 module (wheel 5.0.6231) that the client uses, by their own names without the prefix."""

from enum import IntEnum, IntFlag
from typing import Final

from pepperstone_adapter.broker.market import BarPeriod

COMMENT_MAX: Final = 29  # UTF-16 units; measured: a 30th makes the call fail with (-2, 'Invalid "comment" argument')
MAGIC_BITS: Final = 63
VOLUME_DIGITS: Final = 8


class Action(IntEnum):
    DEAL = 1
    PENDING = 5
    SLTP = 6
    MODIFY = 7
    REMOVE = 8
    CLOSE_BY = 10


class OrderKind(IntEnum):
    BUY = 0
    SELL = 1
    BUY_LIMIT = 2
    SELL_LIMIT = 3
    BUY_STOP = 4
    SELL_STOP = 5
    BUY_STOP_LIMIT = 6
    SELL_STOP_LIMIT = 7
    CLOSE_BY = 8


class OrderStateCode(IntEnum):
    STARTED = 0
    PLACED = 1
    CANCELED = 2
    PARTIAL = 3
    FILLED = 4
    REJECTED = 5
    EXPIRED = 6
    REQUEST_ADD = 7
    REQUEST_MODIFY = 8
    REQUEST_CANCEL = 9


class Filling(IntEnum):
    FOK = 0
    IOC = 1
    RETURN = 2
    BOC = 3


class FillingFlag(IntFlag):
    """`filling_mode` of a symbol; not in the module. 4 is book-or-cancel, not RETURN."""

    FOK = 1
    IOC = 2
    BOC = 4


class Lifetime(IntEnum):
    GTC = 0
    DAY = 1
    SPECIFIED = 2
    SPECIFIED_DAY = 3


class LifetimeFlag(IntFlag):
    """`expiration_mode` of a symbol; not in the module."""

    GTC = 1
    DAY = 2
    SPECIFIED = 4
    SPECIFIED_DAY = 8


class OrderFlag(IntFlag):
    """`order_mode` of a symbol; not in the module."""

    MARKET = 1
    LIMIT = 2
    STOP = 4
    STOP_LIMIT = 8
    SL = 16
    TP = 32
    CLOSE_BY = 64


class DealKind(IntEnum):
    BUY = 0
    SELL = 1
    BALANCE = 2


class Entry(IntEnum):
    IN = 0
    OUT = 1
    INOUT = 2
    OUT_BY = 3


class Reason(IntEnum):
    CLIENT = 0
    MOBILE = 1
    WEB = 2
    EXPERT = 3
    SL = 4
    TP = 5
    SO = 6
    ROLLOVER = 7
    VMARGIN = 8
    SPLIT = 9


class MarginMode(IntEnum):
    RETAIL_NETTING = 0
    EXCHANGE = 1
    RETAIL_HEDGING = 2


class AccountKind(IntEnum):
    DEMO = 0
    CONTEST = 1
    REAL = 2


class TradeMode(IntEnum):
    DISABLED = 0
    LONG_ONLY = 1
    SHORT_ONLY = 2
    CLOSE_ONLY = 3
    FULL = 4


class Execution(IntEnum):
    REQUEST = 0
    INSTANT = 1
    MARKET = 2
    EXCHANGE = 3


class SwapCode(IntEnum):
    DISABLED = 0
    POINTS = 1
    CURRENCY_SYMBOL = 2
    CURRENCY_MARGIN = 3
    CURRENCY_DEPOSIT = 4
    INTEREST_CURRENT = 5
    INTEREST_OPEN = 6
    REOPEN_CURRENT = 7
    REOPEN_BID = 8


TIMEFRAMES: Final[dict[BarPeriod, int]] = {
    BarPeriod.M1: 1,
    BarPeriod.M2: 2,
    BarPeriod.M3: 3,
    BarPeriod.M4: 4,
    BarPeriod.M5: 5,
    BarPeriod.M6: 6,
    BarPeriod.M10: 10,
    BarPeriod.M12: 12,
    BarPeriod.M15: 15,
    BarPeriod.M20: 20,
    BarPeriod.M30: 30,
    BarPeriod.H1: 16385,
    BarPeriod.H2: 16386,
    BarPeriod.H3: 16387,
    BarPeriod.H4: 16388,
    BarPeriod.H6: 16390,
    BarPeriod.H8: 16392,
    BarPeriod.H12: 16396,
    BarPeriod.D1: 16408,
    BarPeriod.W1: 32769,
    BarPeriod.MN1: 49153,
}
