"""What a backtest settings file may say (`configs/backtest/*.yaml`), checked as far as it can be without data.

A relative path counts from the settings file. Times are UTC: a plain date is its midnight, anything finer must carry
its zone. Symbols are the broker's own names (`EURUSD`); what they cost and how they trade comes from the symbol table
and the account profile, and `symbols` overrides single values.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.account import PositionMode, minor_digits
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.catalog import specs as spec_store
from pepperstone_adapter.catalog.periods import likely
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.settings import RelativePath, StrictModel, load_settings
from pepperstone_adapter.common.strategy_settings import StrategySettings

ISO_HINT = "write an ISO-8601 date (2020-03-01, midnight UTC) or a time with its zone (2020-03-01T09:30:00Z)"
TICK = "tick"
MAX_STRATEGIES = 100


def utc_time(value: Any) -> datetime:
    """A date, an aware datetime or ISO text as UTC; anything a reader could take two ways is refused."""
    if isinstance(value, str):
        text = value.strip()
        if not re.match(r"\d{4}-\d{2}-\d{2}($|[T ])", text):
            raise ValueError(f"'{value}' can be read in more than one way; {ISO_HINT}")
        try:
            value = date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
        except ValueError as e:
            raise ValueError(f"'{value}' is not a date ({e}); {ISO_HINT}") from e
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"'{value.isoformat()}' has no time zone; {ISO_HINT}")
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError(f"expected a date, got {value!r}; {ISO_HINT}")


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError(f"expected a number, got {value!r}")
    try:
        number = Decimal(str(value))
    except InvalidOperation as e:
        raise ValueError(f"'{value}' is not a plain number; write it like 10000 or 0.25") from e
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise ValueError(f"{value} is not a finite number in reach")
    return number


type UtcTime = Annotated[datetime, BeforeValidator(utc_time)]
type Money = Annotated[Decimal, BeforeValidator(_decimal), Field(gt=0, le=Decimal("1e12"))]
type Currency = Literal["AUD", "CAD", "CHF", "EUR", "GBP", "HKD", "JPY", "NZD", "SGD", "USD"]


class AccountSettings(StrictModel):
    """The simulated account. `profile` and `platform` choose commission and rules, `leverage` the margin class; a symbol whose
    commission or leverage the broker told (`data.specs`) has that.
    """

    profile: Literal["razor", "standard"] = "razor"
    platform: Literal["ctrader", "mt5"] = "ctrader"
    currency: Currency = "USD"
    balance: Money = Decimal(10_000)
    mode: Literal[PositionMode.HEDGING, PositionMode.NETTING] = PositionMode.HEDGING
    leverage: Literal["retail", "retail_eu", "pro"] = "retail"

    @model_validator(mode="after")
    def _balance_is_money(self) -> Self:
        cents = Decimal(1).scaleb(-minor_digits(self.currency))
        if self.balance % cents:
            near = self.balance // cents * cents
            raise ValueError(f"balance {self.balance} is no amount of {self.currency}; write {near} or {near + cents}")
        return self


class DataSettings(StrictModel):
    """What is replayed. `resolution` is a bar period (`M1` … `D1`) or `tick` for stored quotes.

    `end` is exclusive. `chunk_rows` bounds memory: the engine holds at most so many rows of market data at a time (all
    symbols together; a bar counts once with both its sides), and the result does not depend on it. `specs` says whose
    symbols are traded (sizes, commission, swap, hours): `auto` takes what the broker said where a download stored it in
    the catalog and the symbol table elsewhere, `stored` insists on the broker's, `table` ignores it; `symbols` of the
    settings changes either.
    """

    catalog: Annotated[RelativePath, Field(examples=["../../catalog/data"])]
    start: Annotated[UtcTime, Field(examples=["2020-01-01"])]
    end: Annotated[UtcTime, Field(examples=["2022-01-01"])]
    instruments: Annotated[tuple[str, ...], Field(min_length=1, max_length=200, examples=[["GBPUSD", "USDJPY"]])]
    resolution: str = "H1"
    specs: Literal["auto", "stored", "table"] = "auto"
    chunk_rows: Annotated[int, Field(ge=1_000, le=50_000_000)] = 20_000

    @field_validator("resolution")
    @classmethod
    def _known_resolution(cls, value: str) -> str:
        allowed = [period.value for period in BarPeriod if period is not BarPeriod.MN1] + [TICK]
        if value not in allowed:
            raise ValueError(f"'{value}' is not a bar size{likely(value)}; use one of {', '.join(allowed)}")
        return value

    @field_validator("instruments")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands in the list twice")
        return value

    @model_validator(mode="after")
    def _period_is_a_period(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start {self.start.isoformat()} is not before end {self.end.isoformat()}; swap them")
        if self.start > datetime.now(UTC):
            raise ValueError(f"start {self.start.isoformat()} lies in the future; a backtest needs stored data")
        return self

    @property
    def bar_period(self) -> BarPeriod | None:
        """None when quotes are replayed."""
        return None if self.resolution == TICK else BarPeriod(self.resolution)

    @property
    def start_ns(self) -> int:
        return _ns(self.start)

    @property
    def end_ns(self) -> int:
        return _ns(self.end)


class SpreadSettings(StrictModel):
    """Where no ASK is stored, it is the BID plus a spread by symbol and hour of the week.

    `points` sets one spread for all hours of a symbol; other symbols keep the account profile's table. `scale`
    multiplies every modelled spread (2 = twice as wide), to see how much hangs on it. Quotes have their own.
    """

    points: dict[str, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(default_factory=dict)
    scale: Annotated[float, Field(ge=0, le=100)] = 1.0


class SlippageSettings(StrictModel):
    """How much worse than the quote a market or stop order fills, in points of the symbol, drawn from the seed.

    A share `probability` of fills slips by a whole number of points from `min_points` to `max_points`; `symbols`
    replaces the three for single symbols. Limit orders never fill worse than their price.
    """

    probability: Annotated[float, Field(ge=0, le=1)] = 0.0
    min_points: Annotated[int, Field(ge=0, le=100_000)] = 0
    max_points: Annotated[int, Field(ge=0, le=100_000)] = 0
    symbols: dict[str, "SlippageSettings"] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_points > self.max_points:
            raise ValueError(f"min_points {self.min_points} is above max_points {self.max_points}")
        if self.probability > 0 and self.max_points == 0:
            raise ValueError("probability is set but max_points is 0, so nothing would slip")
        if self.max_points and "probability" not in self.model_fields_set:
            raise ValueError("max_points is set but no probability, so nothing would slip; add probability: 1")
        return self


class LatencySettings(StrictModel):
    """Delay from strategy to broker: `base_ms`, plus up to `jitter_ms` drawn from the seed for each order."""

    base_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0
    jitter_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0


class MarketSettings(StrictModel):
    """How the market treats orders.

    `only_market_orders` says that the strategies send nothing but orders at market. The engine is then spared the way
    through each bar and the run takes an eighth less time, with the same result; an order that would wait for a price
    (limit, stop, bracket) ends the run with an error.
    """

    spread: SpreadSettings = Field(default_factory=SpreadSettings)
    slippage: SlippageSettings = Field(default_factory=SlippageSettings)
    latency: LatencySettings = Field(default_factory=LatencySettings)
    only_market_orders: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1


class OutputSettings(StrictModel):
    """Where the result goes: `dir` is replaced as a whole if it holds a result, refused if it holds anything else.

    Without it the result goes to `out/backtest` of the folder the command is run in. `log` prints what strategies log
    (`self.log`), at that level and above.
    """

    dir: RelativePath = Field(default_factory=lambda: Path.cwd() / "out" / "backtest")
    report: bool = True
    log: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None


class BacktestSettings(StrictModel):
    """One backtest. `symbols` changes fields of the symbol table, in the words of its data file."""

    account: AccountSettings = Field(default_factory=AccountSettings)
    data: Annotated[DataSettings, Field(examples=[{"catalog": "../../catalog/data"}])]
    symbols: dict[str, dict[str, Any]] = Field(default_factory=dict)
    market: MarketSettings = Field(default_factory=MarketSettings)
    strategies: Annotated[
        tuple[StrategySettings, ...], Field(examples=[[{"strategy": "strategies.ema_cross:EmaCross"}]])
    ]
    output: OutputSettings = Field(default_factory=OutputSettings)

    @field_validator("strategies", mode="before")
    @classmethod
    def _at_least_one(cls, value: Any) -> Any:
        # Before, so that an entry that is refused is not reported as a missing one too.
        if isinstance(value, list) and not 1 <= len(value) <= MAX_STRATEGIES:
            raise ValueError(f"has {len(value)} entries; give 1 to {MAX_STRATEGIES} strategies")
        return value

    @field_validator("symbols")
    @classmethod
    def _fits_the_table(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        try:
            symbol_table.load(value)
        except ConfigurationError as e:
            raise ValueError(str(e)) from e
        return value

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        traded = set(self.data.instruments)
        stray = sorted((set(self.market.spread.points) | set(self.market.slippage.symbols)) - traded)
        if stray:
            raise ValueError(f"market names {', '.join(stray)}, which data.instruments does not list")
        if self.data.bar_period is None and (self.market.spread.points or self.market.spread.scale != 1):
            raise ValueError(
                "market.spread: resolution tick replays the stored quotes with their own spread; leave it out"
            )
        names = [s.name for s in self.strategies if s.name is not None]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"strategies: the name {', '.join(twice)} is used twice")
        told = self.told_specs()
        missing = [name for name in self.data.instruments if name not in told] if self.data.specs == "stored" else []
        if missing:
            raise ValueError(
                f"data.specs: no broker's answer about {', '.join(missing)} is stored in {self.data.catalog}; "
                "download the symbol (`pepperstone data download`) or use specs: auto"
            )
        table = symbol_table.load(self.symbols, told)
        for name in self.data.instruments:
            try:
                symbol_table.find(table, name)
            except ConfigurationError as e:
                raise ValueError(f"data.instruments: {e}") from e
        return self

    def told_specs(self) -> dict[str, SymbolSpec]:
        """What a broker said about its symbols at the end of the period, as far as `data.specs` wants it."""
        if self.data.specs == "table":
            return {}
        return spec_store.stored(self.data.catalog, self.data.end_ns, self.account.platform)


def load_backtest(path: str | Path, overrides: Iterable[str] = ()) -> BacktestSettings:
    """Read a backtest settings file; `overrides` are `key.sub=value` texts of `--set`.

    Raises
    ------
    ConfigurationError
        One line for each problem, each with file and line.
    """
    return load_settings(path, BacktestSettings, overrides)


def _ns(moment: datetime) -> int:
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1_000
