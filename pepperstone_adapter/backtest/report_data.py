"""Series for the report's charts: thinned so that the page stays light, without losing an extreme.

Times are UTC milliseconds (what a browser's Date takes). Floats here are for drawing only; figures a person reads come
from `result.json`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.backtest import metrics, returns, trades
from pepperstone_adapter.simulation.record import FillRow, RunRecord

MAX_POINTS = 2_400
MAX_CANDLES = 1_500
MAX_FILLS = 4_000
MAX_TRADES = 5_000
ROLLING_DAYS = 126

PRICES = ("open", "high", "low", "close")

type Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candles:
    """BID bars of one instrument for drawing: `ts_ns` closing times, prices as floats; `merged` bars made each of them."""

    ts_ns: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    merged: int = 1


def chart_data(record: RunRecord, prices: Mapping[str, Candles]) -> dict[str, Any]:
    """Everything the page draws, as JSON-ready values; `prices` by instrument id."""
    done = trades.closed(record.positions)
    return {
        "equity": _equity(record),
        "rolling": _rolling_sharpe(record),
        "trades": [_trade(t) for t in done[-MAX_TRADES:]],
        "candles": {name: _candles(c) for name, c in prices.items()},
        "fills": {name: _fills([f for f in record.fills if f.instrument_id == name]) for name in prices},
    }


def extremes(values: Floats, count: int) -> NDArray[np.int64]:
    """Indices that draw `values` with about `count` points: first, last, and lowest and highest of each bucket."""
    n = len(values)
    if n <= count:
        return np.arange(n)
    edges = np.linspace(0, n, count // 2 + 1).astype(np.int64)
    keep = {0, n - 1}
    for a, b in pairwise(edges.tolist()):
        keep.add(int(a + values[a:b].argmin()))
        keep.add(int(a + values[a:b].argmax()))
    return np.array(sorted(keep), np.int64)


def thin(pieces: Iterable[Candles], rows: int, count: int) -> Candles:
    """Neighbouring bars merged until about `count` of `rows` are left; highs and lows survive.

    The pieces, in order of time, are merged as they come: of a long series no more than one is in memory.
    """
    size = max(-(-rows // count), 1)
    merged, rest = list[Candles](), list[Candles]()
    for piece in pieces:
        held = _joined([*rest, piece])
        whole = len(held.ts_ns) // size * size
        merged.append(_merged(_part(held, slice(whole)), size))
        rest = [_part(held, slice(whole, None))]
    return _joined([*merged, *(_merged(piece, size) for piece in rest)], size)


def _merged(c: Candles, size: int) -> Candles:
    """Each `size` bars as one; those left at the end as one more."""
    n = len(c.ts_ns)
    if size == 1 or not n:
        return c
    starts = np.arange(0, n, size)
    ends = np.minimum(starts + size, n) - 1
    highs, lows = np.maximum.reduceat(c.high, starts), np.minimum.reduceat(c.low, starts)
    return Candles(ts_ns=c.ts_ns[ends], open=c.open[starts], high=highs, low=lows, close=c.close[ends])


def _part(c: Candles, rows: slice) -> Candles:
    return Candles(ts_ns=c.ts_ns[rows], open=c.open[rows], high=c.high[rows], low=c.low[rows], close=c.close[rows])


def _joined(parts: Sequence[Candles], merged: int = 1) -> Candles:
    times = np.concatenate([np.empty(0, np.int64), *(part.ts_ns for part in parts)])
    prices = {n: np.concatenate([np.empty(0), *(getattr(part, n) for part in parts)]) for n in PRICES}
    return Candles(ts_ns=times, **prices, merged=merged)


def _equity(record: RunRecord) -> dict[str, Any]:
    points = record.equity
    equity = np.array([float(p.equity) for p in points])
    if not len(equity):
        return {"t": [], "equity": [], "balance": [], "drawdown": [], "margin": [], "open": []}
    peak = np.maximum.accumulate(np.maximum(equity, float(record.start_balance)))
    drawdown = np.where(peak > 0, (equity - peak) / np.where(peak > 0, peak, 1) * 100, 0.0)
    keep = extremes(equity, MAX_POINTS)
    level = [points[i].margin_level for i in keep]
    return {
        "t": [points[i].ts_ns // 1_000_000 for i in keep],
        "equity": _rounded(equity[keep], 2),
        "balance": [round(float(points[i].balance), 2) for i in keep],
        "drawdown": _rounded(drawdown[keep], 3),
        "margin": [None if v is None else round(float(v), 1) for v in level],
        "open": [points[i].open_positions for i in keep],
    }


def _rolling_sharpe(record: RunRecord) -> dict[str, Any]:
    days = metrics.days(record)
    if len(days) < 2 * ROLLING_DAYS:
        return {"t": [], "sharpe": []}
    r = np.array([d.change for d in days])
    windows = np.lib.stride_tricks.sliding_window_view(r, ROLLING_DAYS)
    deviation = windows.std(axis=1, ddof=1)
    per_year = returns.days_per_year(days)
    sharpe = np.where(deviation > 0, windows.mean(axis=1) / np.where(deviation > 0, deviation, 1), 0.0)
    return {
        "t": [d.day.isoformat() for d in days[ROLLING_DAYS - 1 :]],
        "sharpe": _rounded(sharpe * np.sqrt(per_year), 3),
        "days": ROLLING_DAYS,
    }


def _trade(t: Any) -> list[Any]:
    return [
        t.position_id,
        t.strategy_id,
        t.instrument_id.split(".")[0],
        t.side,
        float(t.units),
        t.opened_ns // 1_000_000,
        t.closed_ns // 1_000_000,
        format(t.open_price, "f"),
        "" if t.close_price is None else format(t.close_price, "f"),
        *(round(float(v), 2) for v in (t.gross, t.commission, t.swap, t.net, t.mae, t.mfe)),
        t.exit_reason.replace("_", " "),
    ]


def _candles(c: Candles) -> dict[str, Any]:
    return {
        "t": (c.ts_ns // 1_000_000).tolist(),
        "o": _rounded(c.open, 6),
        "h": _rounded(c.high, 6),
        "l": _rounded(c.low, 6),
        "c": _rounded(c.close, 6),
        "merged": c.merged,
    }


def _fills(fills: Sequence[FillRow]) -> dict[str, Any]:
    shown = fills[-MAX_FILLS:]
    return {
        "t": [f.ts_ns // 1_000_000 for f in shown],
        "p": [float(f.price) for f in shown],
        "buy": [f.side == "BUY" for f in shown],
        "text": [f"{f.side} {format(f.units.normalize(), 'f')} · {f.reason} · {f.strategy_id}" for f in shown],
    }


def _rounded(values: Floats, digits: int) -> list[float]:
    return [round(v, digits) for v in values.tolist()]
