"""The shape of `result.json`, as models: every result is checked against them before it is written, and the published
JSON Schema (`result.schema.json`) is made from them.

Money is a JSON number in account currency with its cents exact; times are UTC ISO-8601 with nanoseconds; names ending
in `_pct` are percent, in `_s` seconds. `null` means the figure has no meaning for this run.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_NAME = "pepperstone-backtest-result/1"

type Money = float
type Pct = float
type Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Versions(Section):
    pepperstone_adapter: str
    nautilus_trader: str
    python: str
    platform: str


class Hashes(Section):
    """SHA-256 of what went in (settings without paths, stored rows, source code) and of every order event that came
    out. Equal inputs give equal `events`."""

    settings: Sha256
    data: Sha256
    code: Sha256
    events: Sha256


class Period(Section):
    """As set; `end` is not included."""

    start: str
    end: str
    days: float


class Account(Section):
    currency: str
    start_balance: Money
    end_balance: Money
    end_equity: Money
    deposits: Money
    adjustments: Money = Field(
        default=0.0, description="negative balance that the broker wrote off: neither a cost nor a move of prices"
    )
    net_profit: Money = Field(description="end_equity minus start_balance")
    return_pct: Pct | None
    profile: str
    platform: str
    mode: str
    leverage: str
    margin_call_level: Pct
    stop_out_level: Pct


class Costs(Section):
    """Positive = paid. Spread (half of it at each fill, against the mid) and slippage are inside the fill prices."""

    commission: Money
    swap: Money
    spread: Money
    slippage: Money
    conversion: Money
    stop_out_fees: Money
    total: Money


class TradeGroup(Section):
    count: int
    wins: int
    losses: int
    win_pct: Pct | None
    net: Money
    gross_profit: Money
    gross_loss: Money
    profit_factor: float | None
    expectancy: Money | None
    commission: Money
    swap: Money


class Streak(Section):
    longest: int
    longest_net: Money
    largest_net: Money
    largest_length: int
    average_length: float | None


class Durations(Section):
    min: float
    avg: float
    median: float
    max: float


class Trades(TradeGroup):
    """A trade is a position ticket from open to close; its result is after commission and swap."""

    open_at_end: int
    payoff: float | None = Field(description="average win over average loss")
    expectancy_r: float | None = Field(description="expectancy over the average loss")
    average_win: Money | None
    average_loss: Money | None
    largest_win: Money | None
    largest_loss: Money | None
    winning_streak: Streak
    losing_streak: Streak
    duration_s: Durations | None
    duration_winners_s: Durations | None
    duration_losers_s: Durations | None
    average_mae: Money | None
    average_mfe: Money | None
    worst_mae: Money | None
    best_mfe: Money | None
    profit_mfe_correlation: float | None
    profit_mae_correlation: float | None
    z_score: float | None = Field(description="runs test: below zero, wins follow wins more often than by chance")
    z_confidence_pct: Pct | None
    balance_line_correlation: float | None = Field(description="balance by trade number with its regression line")
    balance_line_standard_error: float | None
    ahpr_pct: Pct | None
    ghpr_pct: Pct | None
    by_side: dict[str, TradeGroup]
    by_symbol: dict[str, TradeGroup]
    by_strategy: dict[str, TradeGroup]
    by_exit: dict[str, TradeGroup]
    by_hour: dict[str, TradeGroup] = Field(description="UTC hour of the entry")
    by_weekday: dict[str, TradeGroup] = Field(description="UTC weekday of the entry")
    by_month: dict[str, TradeGroup] = Field(description="UTC month of the entry")


class Orders(Section):
    count: int
    fills: int
    partially_filled: int
    by_status: dict[str, int]
    refusals: dict[str, int] = Field(
        description="codes of rejected and denied orders, most frequent first; the words are in orders.csv"
    )


class Episode(Section):
    depth: Money
    pct: Pct
    peak: Money
    trough: Money
    started: str
    bottom: str
    recovered: str | None


class Drawdown(Section):
    absolute: Money = Field(description="how far below the start")
    maximal: Episode | None = Field(description="largest in money")
    relative: Episode | None = Field(description="largest in percent of its peak")
    top: list[Episode]
    underwater_pct: Pct


class Risk(Section):
    """Margin figures are those of the rows in equity.parquet."""

    max_drawdown_balance: Money
    max_drawdown_equity: Money
    max_drawdown_balance_pct: Pct = Field(description="of its peak; it may be another fall than the largest in money")
    max_drawdown_equity_pct: Pct = Field(description="of its peak; it may be another fall than the largest in money")
    balance_drawdown: Drawdown
    equity_drawdown: Drawdown
    min_margin_level: Pct | None
    min_free_margin: Money | None
    max_used_margin: Money | None
    margin_calls: int = Field(description="counted again once the margin level has been above that of the call")
    stop_outs: int
    max_exposure: Money
    max_leverage: float | None
    max_open_positions: int
    time_in_market_pct: Pct = Field(description="of the run's time, with a position open; weekends count")


class Annualisation(Section):
    days_per_year: int
    day_ends: str
    risk_free_pct: Pct
    years: float


class Metrics(Section):
    """From daily equity returns."""

    annualisation: Annualisation
    days: int
    cagr_pct: Pct | None
    volatility_pct: Pct | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    omega: float | None
    recovery_factor: float | None
    probabilistic_sharpe_pct: Pct | None
    var_95_pct: Pct | None
    cvar_95_pct: Pct | None
    skew: float | None
    kurtosis: float | None
    best_day_pct: Pct | None
    worst_day_pct: Pct | None
    winning_days_pct: Pct | None


class Data(Section):
    bars: int
    ticks: int
    resolution: str
    quality: Pct | None = Field(
        description="slots with a sound row over slots due by trading hours, worst instrument; see data check"
    )
    quality_by_instrument: dict[str, Pct]
    findings_by_instrument: dict[str, dict[str, int]] = Field(
        default={}, description="rows by what is wrong with them, BID and ASK together; see data check"
    )
    closed_rows: int = Field(default=0, description="stamped outside trading hours: left out of the run")
    crossed_rows: int = Field(
        default=0, description="ASK below BID: a quote was left out, a bar got the ASK of the spread table"
    )
    lone_ask_rows: int = Field(default=0, description="ASK bars without a BID bar of their time: left out of the run")
    instruments: list[str]


class Engine(Section):
    events: int = Field(description="order events after the submission: fills, cancels, amendments, refusals")
    elapsed_s: float
    seed: int


class Result(Section):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_name: Literal["pepperstone-backtest-result/1"] = Field(alias="schema")
    name: str
    versions: Versions
    hashes: Hashes
    period: Period
    account: Account
    costs: Costs
    trades: Trades
    orders: Orders
    risk: Risk
    metrics: Metrics
    data: Data
    engine: Engine
