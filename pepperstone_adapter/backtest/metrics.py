"""The figures of a run, as the sections of `result.json`: `account`, `costs`, `trades`, `orders`, `risk`, `metrics`.

Money is Decimal in account currency, rounded to its cents only when written; ratios are floats; percentages end in
`_pct`. A figure that has no meaning for the run (a profit factor without losses, a Sharpe ratio of three days) is None.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from re import compile as pattern
from typing import Any

from pepperstone_adapter.backtest import returns, trades
from pepperstone_adapter.backtest.drawdown import Drawdowns, Episode, drawdowns
from pepperstone_adapter.simulation.grid import rounded
from pepperstone_adapter.simulation.record import FillRow, LedgerKind, PositionRow, RunRecord

ZERO = Decimal(0)
NS = 1_000_000_000
YEAR_S = 365.25 * 86_400
TOP_DRAWDOWNS = 5
_FIGURES = pattern(r"\b[A-Z]+-\d[\w-]*|\b\d+(?:\.\d+)?\b")


def iso(ts_ns: int) -> str:
    """UTC ISO-8601 with nanoseconds, e.g. ``2020-01-02T03:04:05.000000006Z``."""
    seconds, nanos = divmod(ts_ns, NS)
    return f"{_second(seconds)}.{nanos:09d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    # Rows of one moment stand together, and there are millions of rows.
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


def account(record: RunRecord) -> dict[str, Any]:
    """Start, end, and what was paid in or written off."""
    given = (LedgerKind.DEPOSIT, LedgerKind.ADJUSTMENT)
    deposits, adjustments = (sum((row.amount for row in record.ledger if row.kind is kind), ZERO) for kind in given)
    net = record.end_equity - record.start_balance
    return {
        "currency": record.account_currency,
        "start_balance": record.start_balance,
        "end_balance": record.end_balance,
        "end_equity": record.end_equity,
        "deposits": deposits,
        "adjustments": adjustments,
        "net_profit": net,
        "return_pct": float(net / record.start_balance * 100) if record.start_balance else None,
    }


def costs(record: RunRecord) -> dict[str, Any]:
    """What trading took, positive = paid. Commission, swap, conversion and fees are in the ledger; spread and slippage
    are inside the fill prices, so they are rounded here: what is shown adds up."""
    currency = record.account_currency
    booked = {kind: -sum((row.amount for row in record.ledger if row.kind is kind), ZERO) for kind in LedgerKind}
    parts = {
        "commission": booked[LedgerKind.COMMISSION],
        "swap": booked[LedgerKind.SWAP],
        "spread": rounded(record.costs_spread, currency),
        "slippage": rounded(record.costs_slippage, currency),
        "conversion": booked[LedgerKind.CONVERSION],
        "stop_out_fees": booked[LedgerKind.STOP_OUT_FEE],
    }
    return {**parts, "total": sum(parts.values(), ZERO)}


def trade_section(record: RunRecord) -> dict[str, Any]:
    """Everything about closed positions."""
    done = trades.closed(record.positions)
    wins, losses = [t for t in done if t.net > 0], [t for t in done if t.net < 0]
    z = trades.z_score(done)
    line = trades.balance_line(record.start_balance, done)
    factors = trades.holding_period_returns(record.start_balance, done)
    nets = [float(t.net) for t in done]
    return {
        **asdict(trades.summary(done)),
        "open_at_end": sum(not p.closed_ns for p in record.positions),
        "payoff": trades.payoff(done),
        "expectancy_r": trades.expectancy_r(done),
        "average_win": _mean([t.net for t in wins]),
        "average_loss": _mean([t.net for t in losses]),
        "largest_win": max((t.net for t in wins), default=None),
        "largest_loss": min((t.net for t in losses), default=None),
        "winning_streak": asdict(trades.streak(done, winning=True)),
        "losing_streak": asdict(trades.streak(done, winning=False)),
        "duration_s": trades.durations_s(done),
        "duration_winners_s": trades.durations_s(wins),
        "duration_losers_s": trades.durations_s(losses),
        "average_mae": _mean([t.mae for t in done]),
        "average_mfe": _mean([t.mfe for t in done]),
        "worst_mae": min((t.mae for t in done), default=None),
        "best_mfe": max((t.mfe for t in done), default=None),
        "profit_mfe_correlation": trades.correlation(nets, [float(t.mfe) for t in done]),
        "profit_mae_correlation": trades.correlation(nets, [float(t.mae) for t in done]),
        "z_score": z[0] if z else None,
        "z_confidence_pct": z[1] if z else None,
        "balance_line_correlation": line[0] if line else None,
        "balance_line_standard_error": line[1] if line else None,
        "ahpr_pct": factors[0] if factors else None,
        "ghpr_pct": factors[1] if factors else None,
        "by_side": _groups(done, lambda t: t.side),
        "by_symbol": _groups(done, lambda t: t.instrument_id),
        "by_strategy": _groups(done, lambda t: t.strategy_id),
        "by_exit": _groups(done, lambda t: t.exit_reason),
        "by_hour": _groups(done, trades.opened_hour),
        "by_weekday": _groups(done, trades.opened_weekday),
        "by_month": _groups(done, trades.opened_month),
    }


def order_section(record: RunRecord) -> dict[str, Any]:
    """Orders by their end, and why the broker said no."""
    refused = [o for o in record.orders if o.status.upper() in ("REJECTED", "DENIED")]
    partial = sum(0 < o.filled_units < o.units for o in record.orders)
    return {
        "count": len(record.orders),
        "fills": len(record.fills),
        "partially_filled": partial,
        "by_status": dict(sorted(Counter(o.status for o in record.orders).items())),
        "refusals": dict(Counter(_code(o.reason) for o in refused).most_common()),
    }


def risk_section(record: RunRecord, equity: Drawdowns, balance: Drawdowns) -> dict[str, Any]:
    """Drawdown, margin, exposure."""
    # A stop-out happens inside a bar, which no sample sees.
    levels = [record.lowest_stop_out_level, *(p.margin_level for p in record.equity)]
    margin_levels = [float(level) for level in levels if level is not None]
    free = [p.equity - p.used_margin for p in record.equity]
    exposure, leverage, together = max_exposure(record.fills, record)
    return {
        "max_drawdown_balance": balance.maximal.depth if balance.maximal else ZERO,
        "max_drawdown_equity": equity.maximal.depth if equity.maximal else ZERO,
        "max_drawdown_balance_pct": float(balance.relative.pct) if balance.relative else 0.0,
        "max_drawdown_equity_pct": float(equity.relative.pct) if equity.relative else 0.0,
        "balance_drawdown": _drawdown(balance),
        "equity_drawdown": _drawdown(equity),
        "min_margin_level": min(margin_levels, default=None),
        "min_free_margin": min(free, default=None),
        "max_used_margin": max((p.used_margin for p in record.equity), default=None),
        "margin_calls": record.margin_calls,
        "stop_outs": record.stop_outs,
        "max_exposure": exposure,
        "max_leverage": leverage,
        "max_open_positions": together,
        "time_in_market_pct": time_in_market_pct(record),
    }


def metric_section(record: RunRecord, equity: Drawdowns) -> dict[str, Any]:
    """Return ratios, with the basis they are annualised on."""
    years = (record.end_ns - record.start_ns) / NS / YEAR_S
    stats = return_statistics(record)
    relative = float(equity.relative.pct) if equity.relative else 0.0
    maximal = equity.maximal.depth if equity.maximal else ZERO
    net = record.end_equity - record.start_balance
    figures = asdict(stats)
    cagr = stats.cagr_pct
    return {
        "annualisation": {
            "days_per_year": figures.pop("days_per_year"),
            "day_ends": returns.DAY_ENDS,
            "risk_free_pct": 0.0,
            "years": years,
        },
        **figures,
        "calmar": cagr / relative if cagr is not None and relative > 0 else None,
        "recovery_factor": float(net / maximal) if maximal > 0 else None,
    }


def return_statistics(record: RunRecord) -> returns.ReturnStatistics:
    """Daily statistics of the equity samples."""
    years = (record.end_ns - record.start_ns) / NS / YEAR_S
    return returns.return_statistics(days(record), record.start_balance, record.end_equity, years)


def days(record: RunRecord) -> list[returns.Day]:
    """Trading days of the run; the last has what was booked behind the last row too (orders on their way at the end)."""
    times, values = [min(p.ts_ns, record.end_ns - 1) for p in record.equity], [p.equity for p in record.equity]
    if values:
        values[-1] = record.end_equity
    return returns.daily(times, values, record.start_balance)


def equity_drawdowns(record: RunRecord) -> Drawdowns:
    """Falls of the sampled equity, from the start balance on to the equity at the end."""
    times = [record.start_ns, *(p.ts_ns for p in record.equity)]
    values = [record.start_balance, *(p.equity for p in record.equity)]
    return drawdowns([*times, max(record.end_ns, times[-1])], [*values, record.end_equity])


def balance_drawdowns(record: RunRecord) -> Drawdowns:
    """Falls of the balance (exact, not sampled): its value after all bookings of one instant, the last until the end."""
    after = {row.ts_ns: row.balance_after for row in record.ledger if row.kind is not LedgerKind.DEPOSIT}
    times, values = [record.start_ns, *after], [record.start_balance, *after.values()]
    return drawdowns([*times, max(record.end_ns, times[-1])], [*values, values[-1]])


def max_exposure(fills: Sequence[FillRow], record: RunRecord) -> tuple[Decimal, float | None, int]:
    """Largest sum of open notionals (each at its last fill price, both sides of a hedge counted) in account currency,
    the largest multiple of the balance of that moment it reached, and the most positions open at a time."""
    balances = iter(record.ledger)
    row = next(balances, None)
    balance = record.start_balance
    open_units: dict[tuple[str, str], Decimal] = {}
    notional: dict[tuple[str, str], Decimal] = {}
    total = most = ZERO
    leverage, together = ZERO, 0
    for fill in fills:
        while row is not None and row.ts_ns <= fill.ts_ns:
            balance, row = row.balance_after, next(balances, None)
        key = (fill.instrument_id, fill.position_id)
        units = open_units.get(key, ZERO) + (fill.units if fill.side == "BUY" else -fill.units)
        open_units[key] = units
        total -= notional.get(key, ZERO)
        notional[key] = abs(units) * fill.price * fill.rate
        total += notional[key]
        if units == 0:
            del open_units[key], notional[key]
        most, together = max(most, total), max(together, len(open_units))
        if balance > 0:
            leverage = max(leverage, total / balance)
    return most, float(leverage) if fills else None, together


def time_in_market_pct(record: RunRecord) -> float:
    """Share of the run with a position open. From the positions: of the equity curve only telling rows are kept, and
    those with a position are more often telling."""
    end, until, held = record.end_ns, record.start_ns, 0
    for opened, closed in sorted((p.opened_ns, min(p.closed_ns or end, end)) for p in record.positions):
        held += max(closed - max(opened, until), 0)
        until = max(until, closed)
    span = end - record.start_ns
    return 100 * held / span if span else 0.0


def _drawdown(found: Drawdowns) -> dict[str, Any]:
    return {
        "absolute": found.absolute,
        "maximal": _episode(found.maximal),
        "relative": _episode(found.relative),
        "top": [_episode(e) for e in found.top(TOP_DRAWDOWNS)],
        "underwater_pct": found.underwater_pct,
    }


def _episode(e: Episode | None) -> dict[str, Any] | None:
    if e is None:
        return None
    return {
        "depth": e.depth,
        "pct": float(e.pct),
        "peak": e.peak,
        "trough": e.trough,
        "started": iso(e.peak_ns),
        "bottom": iso(e.trough_ns),
        "recovered": None if e.recovered_ns is None else iso(e.recovered_ns),
    }


def _groups(done: Sequence[PositionRow], key: Any) -> dict[str, Any]:
    return {name: asdict(group) for name, group in trades.grouped(done, key).items()}


def _code(reason: str) -> str:
    """`NOT_ENOUGH_MONEY: needs 12.30 USD …` counts as its code; a reason without one as it is, but for figures and ids."""
    code, colon, _ = reason.partition(":")
    return code if colon and code.isupper() else _FIGURES.sub("…", reason)


def _mean(values: Sequence[Decimal]) -> Decimal | None:
    return sum(values, ZERO) / len(values) if values else None
