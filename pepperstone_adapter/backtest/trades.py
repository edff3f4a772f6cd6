"""Statistics of closed positions. A trade is a position ticket from open to close; its result is `net`, after costs."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from statistics import NormalDist, median

from pepperstone_adapter.simulation.record import PositionRow

ZERO = Decimal(0)
NS = 1_000_000_000
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MIN_TRADES = 30  # below this a runs test or a correlation says nothing and is left out


@dataclass(frozen=True, slots=True)
class TradeSummary:
    """Counts and money of a set of trades. Money in account currency; None where a ratio has no meaning."""

    count: int
    wins: int
    losses: int
    win_pct: float | None
    net: Decimal
    gross_profit: Decimal
    gross_loss: Decimal
    profit_factor: float | None
    expectancy: Decimal | None
    commission: Decimal
    swap: Decimal


@dataclass(frozen=True, slots=True)
class Streak:
    """Consecutive trades of one sign: the longest run and its money, and the run worth most and its length."""

    longest: int
    longest_net: Decimal
    largest_net: Decimal
    largest_length: int
    average_length: float | None


def closed(positions: Iterable[PositionRow]) -> list[PositionRow]:
    """Trades in order of their close."""
    return sorted((p for p in positions if p.closed_ns), key=lambda p: (p.closed_ns, p.position_id))


def summary(trades: Sequence[PositionRow]) -> TradeSummary:
    """Count and money of `trades`. A trade of exactly zero is neither a win nor a loss."""
    wins = [t.net for t in trades if t.net > 0]
    losses = [t.net for t in trades if t.net < 0]
    profit, loss = sum(wins, ZERO), -sum(losses, ZERO)
    net = sum((t.net for t in trades), ZERO)
    return TradeSummary(
        count=len(trades),
        wins=len(wins),
        losses=len(losses),
        win_pct=100 * len(wins) / len(trades) if trades else None,
        net=net,
        gross_profit=profit,
        gross_loss=loss,
        profit_factor=float(profit / loss) if loss else None,
        expectancy=net / len(trades) if trades else None,
        commission=sum((t.commission for t in trades), ZERO),
        swap=sum((t.swap for t in trades), ZERO),
    )


def payoff(trades: Sequence[PositionRow]) -> float | None:
    """Average win over average loss."""
    wins = [t.net for t in trades if t.net > 0]
    losses = [-t.net for t in trades if t.net < 0]
    if not wins or not losses:
        return None
    return float((sum(wins, ZERO) / len(wins)) / (sum(losses, ZERO) / len(losses)))


def expectancy_r(trades: Sequence[PositionRow]) -> float | None:
    """Expectancy in units of the average loss (R)."""
    losses = [-t.net for t in trades if t.net < 0]
    if not losses:
        return None
    return float((sum((t.net for t in trades), ZERO) / len(trades)) / (sum(losses, ZERO) / len(losses)))


def streak(trades: Sequence[PositionRow], *, winning: bool) -> Streak:
    """Runs of consecutive wins (or losses); a trade of zero ends both."""
    runs: list[tuple[int, Decimal]] = []
    length, money = 0, ZERO
    for t in trades:
        if (t.net > 0) if winning else (t.net < 0):
            length, money = length + 1, money + t.net
        elif length:
            runs.append((length, money))
            length, money = 0, ZERO
    if length:
        runs.append((length, money))
    if not runs:
        return Streak(0, ZERO, ZERO, 0, None)
    longest = max(runs, key=lambda r: (r[0], abs(r[1])))
    largest = max(runs, key=lambda r: abs(r[1]))
    return Streak(longest[0], longest[1], largest[1], largest[0], sum(r[0] for r in runs) / len(runs))


def durations_s(trades: Sequence[PositionRow]) -> dict[str, float] | None:
    """Shortest, mean, median and longest holding time in seconds."""
    held = [(t.closed_ns - t.opened_ns) / NS for t in trades]
    if not held:
        return None
    return {"min": min(held), "avg": sum(held) / len(held), "median": median(held), "max": max(held)}


def grouped(trades: Sequence[PositionRow], key: Callable[[PositionRow], str]) -> dict[str, TradeSummary]:
    """Summaries by `key`, keys sorted."""
    groups: dict[str, list[PositionRow]] = {}
    for t in trades:
        groups.setdefault(key(t), []).append(t)
    return {name: summary(groups[name]) for name in sorted(groups)}


def opened_hour(t: PositionRow) -> str:
    """UTC hour of the entry, `00` to `23`."""
    return f"{(t.opened_ns // NS) % 86_400 // 3600:02d}"


def opened_weekday(t: PositionRow) -> str:
    """UTC weekday of the entry; the leading digit keeps the order (`1 Mon`)."""
    day = datetime.fromtimestamp(t.opened_ns // NS, tz=UTC).weekday()
    return f"{day + 1} {WEEKDAYS[day]}"


def opened_month(t: PositionRow) -> str:
    """UTC month of the entry, `01` to `12`."""
    return f"{datetime.fromtimestamp(t.opened_ns // NS, tz=UTC).month:02d}"


def z_score(trades: Sequence[PositionRow]) -> tuple[float, float] | None:
    """Runs test over wins and losses: (z, confidence in percent that the order is not chance).

    Negative: more streaks than chance (wins follow wins); positive: fewer. As in the MetaTrader tester's report:
    ``z = (N (R - 0.5) - P) / sqrt(P (P - N) / (N - 1))`` with N trades, R runs and ``P = 2 wins losses``. None below
    `MIN_TRADES` trades or with one sign only.
    """
    signs = [t.net > 0 for t in trades if t.net != 0]
    n, wins = len(signs), sum(signs)
    p = 2 * wins * (n - wins)
    if n < MIN_TRADES or p <= n:
        return None
    runs = 1 + sum(a != b for a, b in pairwise(signs))
    z = (n * (runs - 0.5) - p) / math.sqrt(p * (p - n) / (n - 1))
    return z, 100 * (2 * NormalDist().cdf(abs(z)) - 1)


def correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Pearson's correlation; None below three points or when one side does not vary."""
    n = len(x)
    if n < 3:
        return None
    mx, my = math.fsum(x) / n, math.fsum(y) / n
    xy = math.fsum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    xx, yy = math.fsum((a - mx) ** 2 for a in x), math.fsum((b - my) ** 2 for b in y)
    return xy / math.sqrt(xx * yy) if xx > 0 and yy > 0 else None


def balance_line(start: Decimal, trades: Sequence[PositionRow]) -> tuple[float, float] | None:
    """Straightness of the balance by trade number: (correlation with its regression line, standard error in money)."""
    if len(trades) < MIN_TRADES:
        return None
    balances = [float(start)]
    for t in trades:
        balances.append(balances[-1] + float(t.net))
    numbers = [float(i) for i in range(len(balances))]
    r = correlation(numbers, balances)
    if r is None:
        return None
    mean = math.fsum(balances) / len(balances)
    total = math.fsum((b - mean) ** 2 for b in balances)
    return r, math.sqrt(total * (1 - r * r) / (len(balances) - 2))


def holding_period_returns(start: Decimal, trades: Sequence[PositionRow]) -> tuple[float, float] | None:
    """Arithmetic and geometric mean of each trade's balance factor minus one, in percent (AHPR, GHPR)."""
    balance, factors = start, []
    for t in trades:
        if balance <= 0:
            return None
        factors.append(float((balance + t.net) / balance))
        balance += t.net
    if not factors or min(factors) <= 0:
        return None
    arithmetic = math.fsum(factors) / len(factors)
    geometric = math.exp(math.fsum(math.log(f) for f in factors) / len(factors))
    return 100 * (arithmetic - 1), 100 * (geometric - 1)
