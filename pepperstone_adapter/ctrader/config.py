"""A cTrader account in the settings, and the client configurations made from it.

Neither holds a secret: `profile` names where `pepperstone auth login ctrader` stored the credentials.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pepperstone_adapter.broker.account import Environment, PositionMode
from pepperstone_adapter.common.settings import RelativePath
from pepperstone_adapter.ctrader.constants import DEFAULT_PROFILE, PLATFORM, SANDBOX_HOST
from pepperstone_adapter.live.config import LiveDataConfig, LiveExecConfig
from pepperstone_adapter.live.settings import AccountSettings

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class CTraderAccountSettings(AccountSettings):
    """A cTrader account.

    `profile` is the name credentials were stored under; a sandbox account needs none and uses the sandbox's fixed login
    unless another than ``default`` is named. `host` and `port` default to the servers of the environment.
    `ca_file` is the sandbox's own certificate authority; with real servers the system's authorities are used and
    nothing turns that off.
    """

    platform: Literal["ctrader"] = PLATFORM
    profile: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")] = DEFAULT_PROFILE
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    ca_file: RelativePath | None = None

    @model_validator(mode="after")
    def _endpoint_fits(self) -> Self:
        if self.environment is Environment.SANDBOX:
            if self.ca_file is None:
                raise ValueError("environment sandbox needs ca_file (the sandbox prints where its ca.pem is)")
            if (self.host or SANDBOX_HOST) not in LOOPBACK:
                raise ValueError(f"environment sandbox is this machine, not {self.host}")
        elif self.ca_file is not None:
            raise ValueError("ca_file is for environment sandbox only")
        return self


class _CTrader:
    """What both clients of an account carry; equal `key` means one shared session."""

    account: str
    environment: str
    venue: str
    symbols: list[str]
    mode: str
    currency: str
    profile: str
    host: str | None
    port: int | None
    ca_file: str | None
    confirm_live: str | None
    connect_timeout_s: float

    def _take(self, values: dict[str, Any]) -> None:
        self.account = str(values["account"])
        self.environment = str(values.get("environment", Environment.DEMO.value))
        self.venue = str(values.get("venue", "PEPPERSTONE"))
        self.symbols = list(values.get("symbols", ()))
        self.mode = str(values.get("mode", PositionMode.HEDGING.value))
        self.currency = str(values.get("currency", "USD"))
        self.profile = str(values.get("profile", DEFAULT_PROFILE))
        self.host = values.get("host")
        self.port = values.get("port")
        self.ca_file = values.get("ca_file")
        self.confirm_live = values.get("confirm_live")
        self.connect_timeout_s = float(values.get("connect_timeout_s", 30.0))

    @property
    def key(self) -> str:
        return connection_key(self.environment, self.account)


class CTraderDataConfig(LiveDataConfig, _CTrader):
    """Data client of a cTrader account.

    Parameters
    ----------
    account, environment, venue, symbols, mode, currency, profile, host, port, ca_file
        As in `CTraderAccountSettings`.
    confirm_live
        The account number once more, when `environment` is ``live``.
    """

    def __init__(self, *, stale_after_s: float = 120.0, **values: Any) -> None:
        LiveDataConfig.__init__(self, stale_after_s=stale_after_s)
        self._take(values)


class CTraderExecConfig(LiveExecConfig, _CTrader):
    """Execution client of a cTrader account; parameters as in `CTraderDataConfig` and `LiveExecConfig`."""

    def __init__(
        self,
        *,
        state_dir: str = "",
        audit_interval_s: float = 20.0,
        answer_deadline_s: float = 5.0,
        give_up_after_s: float = 600.0,
        **values: Any,
    ) -> None:
        LiveExecConfig.__init__(
            self,
            state_dir=state_dir,
            audit_interval_s=audit_interval_s,
            answer_deadline_s=answer_deadline_s,
            give_up_after_s=give_up_after_s,
        )
        self._take(values)


def connection_key(environment: str, account: str) -> str:
    return f"{PLATFORM}-{environment}-{account}"


def values_of(account: CTraderAccountSettings, confirm_live: str | None, connect_timeout_s: float) -> dict[str, Any]:
    """The keyword arguments both configurations share."""
    return {
        "account": account.account,
        "environment": account.environment.value,
        "venue": account.venue,
        "symbols": list(account.symbols),
        "mode": account.mode.value,
        "currency": account.currency,
        "profile": account.profile,
        "host": account.host,
        "port": account.port,
        "ca_file": str(account.ca_file) if account.ca_file is not None else None,
        "confirm_live": confirm_live,
        "connect_timeout_s": connect_timeout_s,
    }
