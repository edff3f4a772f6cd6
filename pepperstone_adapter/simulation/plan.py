"""What a run is made of, resolved and frozen: settings have been read, symbols looked up, nothing is left to guess.

`backtest/settings.py` builds a `RunPlan` from YAML; tests build one by hand; `backtest/run.py` runs it. Prices in
arrays are integer points (``10**-digits`` of the symbol), times are UTC nanoseconds, sizes are units.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.symbols import CommissionRule, LeverageTier, SymbolSpec

type Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarArrays:
    """Bars of one symbol in memory, BID in `open` to `close`; `ask` holds the four ASK arrays where they are known.

    `ts_ns` is the closing time of each bar, ascending. `period` is the framework's form, e.g. ``1-HOUR``.
    """

    symbol: str
    period: str
    ts_ns: Int64s
    open: Int64s
    high: Int64s
    low: Int64s
    close: Int64s
    volume: Int64s | None = None
    ask: tuple[Int64s, Int64s, Int64s, Int64s] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuoteArrays:
    symbol: str
    ts_ns: Int64s
    bid: Int64s
    ask: Int64s


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBars:
    """Bars of the catalog: BID, and ASK where stored; a missing ASK comes from the spread model."""

    catalog: Path
    symbol: str
    period: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredQuotes:
    catalog: Path
    symbol: str


type DataSource = BarArrays | QuoteArrays | StoredBars | StoredQuotes


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadTable:
    """Spread of one symbol in points, per hour of the week in New York (Sunday 00:00 first, 168 values).

    New York, not UTC: the spread widens at 17:00 there, summer and winter.
    """

    points: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slippage:
    """How far market and stop fills are worse than the quote, in points: drawn between `min_points` and `max_points`.

    `probability` is the share of fills that slip at all. Limit orders never fill worse than their price.
    """

    probability: float = 0.0
    min_points: int = 0
    max_points: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Delay from strategy to broker in milliseconds: `base_ms` plus a draw up to `jitter_ms` per order."""

    base_ms: float = 0.0
    jitter_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTerms:
    """The account's rules, resolved for the symbols of a run.

    Attributes
    ----------
    commissions, leverage, spreads
        By symbol name. Spreads are needed only for symbols whose ASK is not stored.
    margin_call_level, stop_out_level
        Margin level in percent.
    hedged_margin
        ``max_side`` (cTrader: the larger side of a symbol counts) or ``net`` (MT5 with hedged margin zero) or ``sum``.
    conversion_fee_percent
        Taken from profit and loss that is converted to account currency.
    negative_balance_protection
        Whether the broker resets a negative balance to zero after a stop-out.
    times_in_force
        Names of those the platform has for each of ``market``, ``limit``, ``stop``, ``stop_limit``, ``close`` (a market
        order that closes a position) and ``level`` (another one that does); what is not named takes any.
    """

    commissions: Mapping[str, CommissionRule] = field(default_factory=dict)
    leverage: Mapping[str, tuple[LeverageTier, ...]] = field(default_factory=dict)
    spreads: Mapping[str, SpreadTable] = field(default_factory=dict)
    margin_call_level: Decimal = Decimal(90)
    stop_out_level: Decimal = Decimal(50)
    hedged_margin: str = "max_side"
    conversion_fee_percent: Decimal = Decimal(0)
    negative_balance_protection: bool = True
    times_in_force: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """A whole run.

    Attributes
    ----------
    venue
        Name behind the dot of every instrument id.
    specs
        Every symbol that is traded, priced or needed for conversion.
    start_ns, end_ns
        Period, ``start_ns <= ts < end_ns``; None takes all there is.
    chunk_size
        Most rows the engine is given at a time; None takes the feed's own. Results do not depend on it.
    only_market_orders
        No strategy sends an order that waits for a price. The engine is then given each bar's closing quote and not the
        way through the bar, which it is done with sooner; the result is the same. Another order ends the run.
    equity_step_s
        Spacing of the equity samples in simulated seconds.
    on_progress
        Called with the simulated time and the share done, 0.0 to 1.0.
    """

    specs: tuple[SymbolSpec, ...]
    data: tuple[DataSource, ...]
    strategies: tuple[Any, ...]  # framework `Strategy` instances
    terms: AccountTerms
    currency: str = "USD"
    start_balance: Decimal = Decimal(10_000)
    mode: PositionMode = PositionMode.HEDGING
    venue: str = "PEPPERSTONE"
    seed: int = 1
    slippage: Mapping[str, Slippage] = field(default_factory=dict)
    latency: Latency = Latency()
    start_ns: int | None = None
    end_ns: int | None = None
    chunk_size: int | None = None
    only_market_orders: bool = False
    equity_step_s: int = 3600
    log_level: str | None = None  # what strategies log, at this level and above, on standard output; None: nothing
    on_progress: Callable[[int, float], None] | None = None
