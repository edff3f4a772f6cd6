"""Rows a broker sent, as checked columns in the catalog's form.

A file with a bad row can be refused and corrected; a broker's answer cannot. So here bad rows are left out, counted by
kind, and the first of each is shown. Bars the session had to repair are kept and counted.
"""

from collections.abc import Sequence

import numpy as np

from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.broker.server_time import HOUR_NS, NEW_YORK_CLOCK, ServerClock
from pepperstone_adapter.catalog.bad_rows import BadRows
from pepperstone_adapter.catalog.columns import Bools, Chunk, Int64s
from pepperstone_adapter.catalog.manifest import iso
from pepperstone_adapter.mapping.data import bar_close_ns, period_ns

BAR_ROLES = ("open", "high", "low", "close")
QUOTE_ROLES = ("bid", "ask")


def bar_columns(bars: Sequence[Bar], period: BarPeriod, bad: BadRows, clock: ServerClock = NEW_YORK_CLOCK) -> Chunk:
    """Closed bars as columns: stamped with their close by the server's clock, ascending, prices in points, ``ticks`` the
    tick count."""
    rows = [(b.open_ns, b.open, b.high, b.low, b.close, b.volume) for b in bars if b.closed]
    table = np.array(rows, np.int64).reshape(-1, 6)
    opened = table[:, 0]
    values = {role: table[:, i + 1] for i, role in enumerate((*BAR_ROLES, "ticks"))}
    high, low = values["high"], values["low"]
    wrong = {
        "zero": np.any([values[r] == 0 for r in BAR_ROLES], axis=0),
        "negative": np.any([values[r] < 0 for r in BAR_ROLES], axis=0),
        "ohlc": (high < np.maximum(values["open"], values["close"]))
        | (low > np.minimum(values["open"], values["close"])),
        "volume": values["ticks"] < 0,
        **_order(opened),
    }
    bad.note("repaired", sum(b.repaired for b in bars if b.closed))
    return _sound(Chunk(_closes(opened, period, clock), values), wrong, bad)


def quote_columns(ticks: Sequence[Tick], bad: BadRows) -> Chunk:
    """Two-sided quotes as columns, ascending, prices in points. A quote without one side cannot be stored."""
    one_sided = sum(t.bid is None or t.ask is None for t in ticks)
    bad.note("one_sided", one_sided)
    rows = [(t.ts_ns, t.bid, t.ask) for t in ticks if t.bid is not None and t.ask is not None]
    table = np.array(rows, np.int64).reshape(-1, 3)
    ts, bid, ask = table[:, 0], table[:, 1], table[:, 2]
    wrong = {
        "zero": (bid == 0) | (ask == 0),
        "negative": (bid < 0) | (ask < 0),
        "crossed": (bid > ask) & (bid > 0) & (ask > 0),
        "disorder": _order(ts)["disorder"],
    }
    return _sound(Chunk(ts, {"bid": bid, "ask": ask}), wrong, bad)


def _closes(opened: Int64s, period: BarPeriod, clock: ServerClock) -> Int64s:
    length = period_ns(period)
    if length is not None and length <= HOUR_NS:
        return opened + length
    return np.array([bar_close_ns(period, int(ns), clock) for ns in opened], np.int64)


def _order(ts: Int64s) -> dict[str, Bools]:
    """Rows earlier than one before them, and rows of an equal time."""
    if not len(ts):
        return {"disorder": np.zeros(0, np.bool_), "duplicate": np.zeros(0, np.bool_)}
    latest = np.concatenate(([ts[0] - 1], np.maximum.accumulate(ts)[:-1]))
    return {"disorder": ts < latest, "duplicate": ts == latest}


def _sound(chunk: Chunk, wrong: dict[str, Bools], bad: BadRows) -> Chunk:
    left_out = np.zeros(len(chunk), np.bool_)
    for kind, mask in wrong.items():
        fresh = mask & ~left_out
        if fresh.any():
            first = int(np.argmax(fresh))
            prices = "/".join(str(int(v[first])) for v in chunk.values.values())
            bad.add(kind, int(fresh.sum()), text=f"{iso(int(chunk.ts_ns[first]))} {prices}")
            left_out |= fresh
    return chunk.take(~left_out) if left_out.any() else chunk
