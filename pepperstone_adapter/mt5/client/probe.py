"""What only a real terminal can settle, asked without changing anything: a list of findings for a person.

Every question is a read. Nothing is ordered, nothing is selected that was not selected before the session connected.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from pepperstone_adapter.broker.server_time import ServerClock
from pepperstone_adapter.common.errors import VenueError

NS: Final = 1_000_000_000
DAY_S: Final = 86_400
FRESH_S: Final = 120
_FILLING: Final = ((1, "FOK"), (2, "IOC"), (4, "BOC"))
_EXECUTION: Final = {0: "request", 1: "instant", 2: "market", 3: "exchange"}

type Call = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One question and the terminal's answer."""

    question: str
    answer: str


async def probe(call: Call, symbols: list[str], clock: ServerClock) -> list[Finding]:
    """Ask everything. `symbols`, by the broker's own names, are looked at closely; the flags of all others are counted."""
    rows = await call("symbols_get")
    chosen = [row for row in rows if row["name"] in symbols] or rows[:5]
    missing = sorted(set(symbols) - {row["name"] for row in rows})
    now_s = time.time_ns() // NS
    window = (now_s - 90 * DAY_S, now_s + 2 * DAY_S)
    deals = await call("history_deals_get", *window)
    return [
        *await _terminal(call),
        *_symbols(rows),
        *[Finding(name, "the account has no such symbol; names must be the broker's own") for name in missing],
        *[Finding(row["name"], _flags(row)) for row in chosen],
        *_clock(rows, clock),
        *_deals(deals),
        *await _depth_of_history(call, chosen),
    ]


async def _terminal(call: Call) -> list[Finding]:
    terminal, account = await call("terminal_info"), await call("account_info")
    version = await call("version")
    started = time.perf_counter()
    for _ in range(20):
        await call("orders_total")
    round_trip_ms = (time.perf_counter() - started) / 20 * 1000
    switches = ", ".join(
        f"{name}={terminal[name]}" for name in ("connected", "trade_allowed", "tradeapi_disabled", "dlls_allowed")
    )
    mode = {0: "netting", 1: "exchange", 2: "hedging"}.get(account["margin_mode"], str(account["margin_mode"]))
    return [
        Finding("terminal", f"{terminal['name']} build {version[1]} ({version[2]}), {switches}"),
        Finding("ping to the trade server", f"{terminal['ping_last'] / 1000:.1f} ms"),
        Finding("one call over the gateway", f"{round_trip_ms:.2f} ms"),
        Finding(
            "account",
            f"server {account['server']}, {mode}, {account['currency']}, 1:{account['leverage']}, "
            f"margin call {account['margin_so_call']:g}, stop-out {account['margin_so_so']:g}, "
            f"trading {account['trade_allowed']}, automated trading {account['trade_expert']}",
        ),
    ]


def _symbols(rows: list[Any]) -> list[Finding]:
    suffixes = Counter(name.partition(".")[2] or "(none)" for name in (row["name"] for row in rows))
    flags = Counter((_EXECUTION.get(row["trade_exemode"], "?"), _filling(row)) for row in rows)
    stops = Counter(row["trade_stops_level"] for row in rows)
    return [
        Finding(
            "symbols", f"{len(rows)}; after the dot: " + ", ".join(f"{k} × {n}" for k, n in suffixes.most_common(8))
        ),
        Finding("execution and filling flags", "; ".join(f"{e}, {f}: {n}" for (e, f), n in flags.most_common())),
        Finding("stops levels (points: symbols)", ", ".join(f"{k}: {n}" for k, n in stops.most_common(8))),
    ]


def _filling(row: Any) -> str:
    return "+".join(word for bit, word in _FILLING if row["filling_mode"] & bit) or "none (RETURN only)"


def _flags(row: Any) -> str:
    return (
        f"{_EXECUTION.get(row['trade_exemode'], '?')} execution, filling {_filling(row)}, stops "
        f"{row['trade_stops_level']}, freeze {row['trade_freeze_level']}, expiration bits {row['expiration_mode']}, order "
        f"bits {row['order_mode']}, book depth {row['ticks_bookdepth']}, lots {row['volume_min']:g}..{row['volume_max']:g} "
        f"step {row['volume_step']:g}, contract {row['trade_contract_size']:g}, swap mode {row['swap_mode']}"
    )


def _clock(rows: list[Any], clock: ServerClock) -> list[Finding]:
    newest_ms = max((int(row["time"]) * 1000 for row in rows), default=0)
    if not newest_ms:
        return [Finding("server clock", "no symbol has a tick; open the Market Watch")]
    now_ns = time.time_ns()
    ahead_h = (newest_ms / 1000 - now_ns / NS) / 3600
    off_s = (clock.to_utc_ns(newest_ms * 1_000_000) - now_ns) / NS
    verdict = "agrees with" if abs(off_s) < FRESH_S else "cannot be judged by (old tick) or contradicts"
    return [Finding("server clock", f"newest tick is {ahead_h:+.2f} h from UTC; {verdict} the rule {clock.name}")]


def _deals(deals: list[Any]) -> list[Finding]:
    trades = [d for d in deals if d["type"] in (0, 1)]
    entry = Counter(
        {0: "entry", 1: "exit", 2: "in-out", 3: "close-by"}.get(d["entry"], "?")
        for d in trades
        if d["commission"] or d["fee"]
    )
    separate = sum(1 for d in deals if 7 <= d["type"] <= 11)
    by_level = [d for d in trades if d["reason"] in (4, 5, 6)]
    magic = f"{sum(1 for d in by_level if d['magic'])} of {len(by_level)}"
    booked = ", ".join(f"{k}: {n}" for k, n in entry.items()) or ("no deal" if trades else "no trades yet")
    return [
        Finding("deals of 90 days", f"{len(trades)} trades, {len(deals) - len(trades)} others"),
        Finding("commission is booked with", booked),
        Finding("separate commission deals", str(separate)),
        Finding(
            "stop loss, take profit and stop-out deals that carry a magic number", magic if by_level else "none yet"
        ),
    ]


def wednesday_noon(second: int) -> int:
    """The last one at or before a second of the server's clock: markets are open then, whatever day it is asked on."""
    noon = second // DAY_S * DAY_S + DAY_S // 2
    noon -= (noon // DAY_S - 6) % 7 * DAY_S  # 1970-01-01 was a Thursday
    return noon if noon <= second else noon - 7 * DAY_S


async def _depth_of_history(call: Call, rows: list[Any]) -> list[Finding]:
    found = []
    for row in rows[:2]:
        name, now_s = row["name"], time.time_ns() // NS
        ticks = []
        for days in (7, 30, 90, 365):
            first = wednesday_noon(now_s - days * DAY_S)
            count = await _count(call, "copy_ticks_range", name, first, first + 3600, 1)
            ticks.append(f"{days} d: {count}")
        bars = await _count(call, "copy_rates_from_pos", name, 1, 0, 50_000)
        found.append(
            Finding(f"{name}: ticks in the hour from the last Wednesday noon before so long ago", ", ".join(ticks))
        )
        found.append(Finding(f"{name}: M1 bars at once", str(bars)))
    return found


async def _count(call: Call, fn: str, *args: Any) -> str:
    try:
        return str(len(await call(fn, *args)))
    except VenueError as error:
        return f"error {error.code}"
