"""Ticks and bars of the terminal as structs, without the rows that cannot be true.

Such a row is left out, counted and told; the rows beside it go on. A price is true when it is a positive number on the
symbol's grid; a bid lies at or below its ask; a bar's extremes enclose its opening and its close; a time is not before
MetaTrader and not days ahead of the clock. One side of a tick that is zero did not come, which is no fault. What is only
unlikely (a price twice the last one) is for `live.quotes` to hold back.

Every quote passes here, so an array without a fault must cost little: a few reductions over both sides together decide
it, and NaN fails each comparison. Only an array with a fault is looked at row by row.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.broker.events import BrokerEvent, Notice
from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.broker.server_time import Bools, Int64s, ServerClock, to_utc
from pepperstone_adapter.broker.symbols import SymbolSpec

type Floats = NDArray[np.float64]

NS: Final = 1_000_000_000
FIRST_S: Final = 946_684_800  # the year 2000: before any MetaTrader
AHEAD_S: Final = 2 * 86_400  # server clocks run hours ahead of UTC, never days
OFF_GRID: Final = 0.01  # of a point: more than a float misses a price by, less than a digit too many makes
POINTS_MAX: Final = 1e15  # whole numbers that a float tells apart
AGAIN_NS: Final = 60 * NS

WRONG_TIME: Final = "an impossible time"
NOT_A_PRICE: Final = "no positive price"
WRONG_DIGITS: Final = "more digits than the symbol has"
CROSSED: Final = "a bid above the ask"
WRONG_RANGE: Final = "open or close outside high and low"


def tick_faults(scaled: Floats, points: Floats, stamps_ms: Int64s, now_ns: int) -> dict[str, Bools]:
    """Which rows have a fault, each under its first one; empty where all is well.

    Parameters
    ----------
    scaled, points
        Bids and asks as two rows: prices times ``10**digits``, as they came and rounded. Not empty.
    stamps_ms
        The server's clock.
    """
    in_time = is_time(int(stamps_ms.min()) // 1000, now_ns) and is_time(int(stamps_ms.max()) // 1000, now_ns)
    on_grid = np.abs(scaled - points).max() <= OFF_GRID and points.max() < POINTS_MAX
    if in_time and on_grid and points.min() > 0 and (points[0] <= points[1]).all():
        return {}
    bid, ask = points
    return _first_of(
        {
            WRONG_TIME: _out_of_time(stamps_ms // 1000, now_ns),
            NOT_A_PRICE: ~((points >= 0) & (points < POINTS_MAX)).all(axis=0) | ((bid == 0) & (ask == 0)),
            WRONG_DIGITS: (np.abs(scaled - points) > OFF_GRID).any(axis=0),
            CROSSED: (bid > ask) & (ask > 0),
        }
    )


def bar_faults(scaled: Floats, points: Floats, stamps_s: Int64s, now_ns: int) -> dict[str, Bools]:
    """The same for bars, whose opening, high, low and close are the four rows."""
    opened, high, low, close = points
    return _first_of(
        {
            WRONG_TIME: _out_of_time(stamps_s, now_ns),
            NOT_A_PRICE: ~((points > 0) & (points < POINTS_MAX)).all(axis=0),
            WRONG_DIGITS: (np.abs(scaled - points) > OFF_GRID).any(axis=0),
            WRONG_RANGE: (np.maximum(opened, close) > high) | (np.minimum(opened, close) < low),
        }
    )


def _out_of_time(stamps_s: Int64s, now_ns: int) -> Bools:
    bad: Bools = (stamps_s < FIRST_S) | (stamps_s > now_ns // NS + AHEAD_S)
    return bad


def is_time(stamp_s: int, now_ns: int) -> bool:
    """Whether a stamp of the server may be a time at all."""
    return FIRST_S <= stamp_s <= now_ns // NS + AHEAD_S


def _first_of(faults: Mapping[str, Bools]) -> dict[str, Bools]:
    out: dict[str, Bools] = {}
    seen: Bools | None = None
    for name, rows in faults.items():
        new = rows if seen is None else rows & ~seen
        seen = rows if seen is None else seen | rows
        if new.any():
            out[name] = new
    return out


class MarketRows:
    """Reads the rows of one session and counts those it leaves out.

    Of a symbol, the first are told at once, then the sums once a minute at most (`tell`).
    """

    def __init__(self, emit: Callable[[Sequence[BrokerEvent]], None], now_ns: Callable[[], int]) -> None:
        self._emit = emit
        self._now_ns = now_ns
        self._told: dict[str, tuple[int, int]] = {}  # when, and how many had been counted by then
        self.left_out: dict[str, Counter[str]] = {}

    def ticks(self, rows: NDArray[Any], spec: SymbolSpec, to_ns: Callable[[Int64s], Int64s]) -> list[Tick]:
        """Ticks in order; `to_ns` turns the stamps of the sound ones into UTC. A side that did not come is None."""
        if not len(rows):
            return []
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = np.array((rows["bid"], rows["ask"])) * 10.0**spec.digits
            points, stamps = np.rint(scaled), rows["time_msc"]
            faults = tick_faults(scaled, points, stamps, self._now_ns())
        if faults:
            sound = self._without(spec.name, "ticks", faults)
            points, stamps = points[:, sound], stamps[sound]
        bids, asks = points.astype(np.int64).tolist()
        name = spec.name
        return [
            Tick(name, bid or None, ask or None, ts)
            for bid, ask, ts in zip(bids, asks, to_ns(stamps).tolist(), strict=True)
        ]

    def bars(self, rows: NDArray[Any], spec: SymbolSpec, period: BarPeriod, clock: ServerClock) -> list[Bar]:
        """BID bars in order; the terminal stamps a bar with its opening."""
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = np.array([rows[name] for name in ("open", "high", "low", "close")]) * 10.0**spec.digits
            points, stamps, volumes = np.rint(scaled), rows["time"], rows["tick_volume"].astype(np.int64)
            faults = bar_faults(scaled, points, stamps, self._now_ns())
        if faults:
            sound = self._without(spec.name, f"{period} bars", faults)
            points, stamps, volumes = points[:, sound], stamps[sound], volumes[sound]
        opens = to_utc(stamps * NS, clock).ns.tolist()
        return [
            Bar(spec.name, period, at, o, h, low, c, volume)
            for at, o, h, low, c, volume in zip(opens, *points.astype(np.int64).tolist(), volumes.tolist(), strict=True)
        ]

    def count(self, symbol: str, what: str, number: int) -> None:
        """Rows were left out elsewhere: `what` they were, and how many."""
        self.left_out.setdefault(symbol, Counter())[what] += number
        self.tell()

    def tell(self, last: bool = False) -> None:
        """Say of every symbol what was left out since it was last told, where that is a minute ago, or for the `last`
        time."""
        now_ns = self._now_ns()
        for symbol, counts in self.left_out.items():
            told_ns, told = self._told.get(symbol, (now_ns - AGAIN_NS, 0))
            if counts.total() == told or (now_ns - told_ns < AGAIN_NS and not last):
                continue
            self._told[symbol] = (now_ns, counts.total())
            sums = "; ".join(f"{number} {fault}" for fault, number in counts.items())
            text = f"{symbol}: rows that cannot be true are left out, so far {sums}"
            new = counts.total() - told
            self._emit([Notice(level="warning", text=text, ts_ns=now_ns, rows_left_out=new)])

    def _without(self, symbol: str, what: str, faults: Mapping[str, Bools]) -> Bools:
        counts = self.left_out.setdefault(symbol, Counter())
        counts.update({f"{what} with {fault}": int(rows.sum()) for fault, rows in faults.items()})
        self.tell()
        sound: Bools = ~np.logical_or.reduce(list(faults.values()))
        return sound
