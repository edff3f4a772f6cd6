"""What a live settings file may say (`configs/live/*.yaml`). No secrets: credentials are named by reference.

Each platform adds its own keys to an account (`ctrader/config.py`, `mt5/config.py`); the rest is the same for both.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from pepperstone_adapter.broker.account import Environment, PositionMode
from pepperstone_adapter.common.settings import RelativePath, StrictModel
from pepperstone_adapter.common.strategy_settings import StrategySettings
from pepperstone_adapter.live.presets import engine_config


class AccountSettings(StrictModel):
    """One account of the node.

    `account` is the number a person knows. `mode` and `currency` must be the account's own: the broker's answer is
    compared with them at connect. `venue` is the name behind the dot of every instrument id; two accounts in one node
    need different ones. `data: false` takes quotes from another account's venue, `trading: false` makes a data-only
    connection.
    """

    platform: str
    account: Annotated[str, Field(pattern=r"^[0-9]{1,20}$", examples=["1234567"])]
    environment: Environment = Environment.DEMO
    venue: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,31}$")] = "PEPPERSTONE"
    symbols: Annotated[tuple[str, ...], Field(max_length=1000, examples=[["EURUSD", "XAUUSD"]])] = ()
    mode: PositionMode = PositionMode.HEDGING
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    data: bool = True
    trading: bool = True
    stale_after_s: Annotated[float, Field(ge=0, le=86_400)] = 120.0
    audit_interval_s: Annotated[float, Field(ge=1, le=3600)] = 20.0
    give_up_after_s: Annotated[float, Field(ge=30, le=86_400)] = 600.0

    @field_validator("account", mode="before")
    @classmethod
    def _number_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (self.data or self.trading):
            raise ValueError(f"account {self.account}: data and trading are both off")
        return self


class LiveStrategySettings(StrategySettings):
    """A strategy class and its configuration, as in a backtest's settings.

    `claim` gives the strategy back its positions and orders of an earlier run when it is the only one on their
    instrument; manual trades stay apart either way.
    """

    claim: bool = True


class OnStop(StrictModel):
    """What Ctrl-C does once, before the node stops.

    By default working entries of ours are cancelled and positions stay with their stop loss and take profit. Strangers'
    orders are never touched.
    """

    orders: Literal["cancel", "leave"] = "cancel"
    positions: Literal["leave", "close"] = "leave"


class RecordSettings(StrictModel):
    """Write what the node sees into a catalog: quotes, bars, order events and fills, converted when the node stops."""

    catalog: RelativePath
    quotes: bool = True
    bars: bool = True
    orders: bool = True


class LogSettings(StrictModel):
    """`level` on the console; `dir` also writes a file per run there (at `file_level`)."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    file_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    dir: RelativePath | None = None


class LiveSettings(StrictModel):
    """A live node.

    `engine` overrides single options of the framework's execution engine; a warning is shown where ours is safer.
    """

    accounts: Annotated[tuple[SerializeAsAny[AccountSettings], ...], Field(min_length=1, max_length=8)]
    strategies: Annotated[tuple[LiveStrategySettings, ...], Field(max_length=100)] = ()
    on_stop: OnStop = OnStop()
    record: RecordSettings | None = None
    log: LogSettings = LogSettings()
    state_dir: RelativePath = Path("../../state")
    connect_timeout_s: Annotated[float, Field(ge=5, le=600)] = 60.0
    status_interval_s: Annotated[float, Field(ge=0, le=3600)] = 30.0
    engine: dict[str, Any] = Field(default_factory=dict)

    @field_validator("engine")
    @classmethod
    def _options_of_the_engine(cls, value: dict[str, Any]) -> dict[str, Any]:
        engine_config(value)
        return value

    @model_validator(mode="after")
    def _apart(self) -> Self:
        venues = [a.venue for a in self.accounts]
        if len(set(venues)) != len(venues):
            raise ValueError("accounts: two accounts have the same venue; give one of them another `venue`")
        names = [s.name for s in self.strategies if s.name is not None]
        if len(set(names)) != len(names):
            raise ValueError("strategies: a name is used twice")
        if self.strategies and not any(a.trading for a in self.accounts):
            raise ValueError("strategies need an account with trading: true")
        return self
