"""A cTrader account in the settings, and the client configurations made from it.

Neither holds a secret: `profile` names where `pepperstone auth login ctrader` stored the credentials.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.common.settings import RelativePath
from pepperstone_adapter.ctrader.constants import DEFAULT_PROFILE, PLATFORM, SANDBOX_HOST
from pepperstone_adapter.live.config import AccountConfig, AccountDataConfig, AccountExecConfig, account_values
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


class _CTrader(AccountConfig):
    platform = PLATFORM
    connect_patience_s = 30.0

    profile: str
    host: str | None
    port: int | None
    ca_file: str | None

    def take(self, values: dict[str, Any]) -> None:
        super().take(values)
        self.profile = str(values.get("profile", DEFAULT_PROFILE))
        self.host = values.get("host")
        self.port = values.get("port")
        self.ca_file = values.get("ca_file")


class CTraderDataConfig(_CTrader, AccountDataConfig):
    """Data client of a cTrader account; parameters as in `AccountConfig` and `LiveDataConfig`, and

    Parameters
    ----------
    profile, host, port, ca_file
        As in `CTraderAccountSettings`.
    """


class CTraderExecConfig(_CTrader, AccountExecConfig):
    """Execution client of a cTrader account; parameters as in `CTraderDataConfig` and `LiveExecConfig`."""


def values_of(account: CTraderAccountSettings, confirm_live: str | None, connect_timeout_s: float) -> dict[str, Any]:
    """The keyword arguments both configurations share."""
    return account_values(account, confirm_live, connect_timeout_s) | {
        "profile": account.profile,
        "host": account.host,
        "port": account.port,
        "ca_file": str(account.ca_file) if account.ca_file is not None else None,
    }
