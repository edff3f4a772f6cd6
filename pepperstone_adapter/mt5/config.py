"""A MetaTrader 5 account in the settings, and the client configurations made from it.

Neither holds a secret: the gateway's token and the account's password come from the environment of the process.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.server_time import NEW_YORK_CLOSE, parse_clock
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.settings import RelativePath
from pepperstone_adapter.live.config import AccountConfig, AccountDataConfig, AccountExecConfig, account_values
from pepperstone_adapter.live.settings import AccountSettings
from pepperstone_adapter.mt5.constants import GATEWAY_HOST, GATEWAY_PORT, PLATFORM, RPYC_PORT, SANDBOX_PORT

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Reach(StrEnum):
    """How the terminal is reached."""

    GATEWAY = "gateway"  # a gateway beside the terminal, on this or another machine
    LOCAL = "local"  # the terminal of this Windows machine (or the sandbox's), in a gateway of our own
    RPYC = "rpyc"  # an existing rpyc server (mt5linux and its kin) behind a gateway of our own


class Mt5AccountSettings(AccountSettings):
    """A MetaTrader 5 account.

    `terminal` says how it is reached; `host` and `port` are the gateway's, the rpyc server's or the sandbox terminal's.
    Another machine is reached by TLS only (`ca_file` or `tls`), an rpyc server on another machine only when `tunnel`
    declares that the way there is yours alone. `server` is the trade server's name, checked when given. `path` is the
    terminal64.exe to attach to (`local`). `server_time` is the rule of the server's clock: ``new-york+7`` is Pepperstone's.
    `hours: table` takes trading hours from our symbol table, because MetaTrader does not tell them.
    """

    platform: Literal["mt5"] = PLATFORM
    terminal: Reach = Reach.GATEWAY
    host: str = GATEWAY_HOST
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    ca_file: RelativePath | None = None
    tls: bool = False
    tunnel: bool = False
    server: Annotated[str, Field(max_length=64)] | None = None
    path: str | None = None
    server_time: str = NEW_YORK_CLOSE
    hours: Literal["table", "always"] = "table"

    @field_validator("server_time")
    @classmethod
    def _is_a_rule(cls, value: str) -> str:
        try:
            parse_clock(value)
        except ConfigurationError as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.environment is Environment.SANDBOX and self.terminal is Reach.RPYC:
            raise ValueError("environment sandbox is reached with terminal: local or gateway")
        away = self.host not in LOOPBACK
        if self.terminal is Reach.GATEWAY and away and not (self.tls or self.ca_file):
            raise ValueError(f"a gateway on {self.host} is reached by TLS only; set ca_file (or tls: true)")
        if self.terminal is Reach.RPYC and away and not self.tunnel:
            raise ValueError(
                f"rpyc on {self.host} is an open shell; lead a tunnel to 127.0.0.1, or declare tunnel: true when the "
                "network between is yours alone"
            )
        if self.terminal is Reach.LOCAL and away:
            raise ValueError(f"terminal: local is this machine, not {self.host}")
        return self

    @property
    def default_port(self) -> int:
        if self.terminal is Reach.RPYC:
            return RPYC_PORT
        return SANDBOX_PORT if self.terminal is Reach.LOCAL else GATEWAY_PORT


class _Mt5(AccountConfig):
    platform = PLATFORM
    connect_patience_s = 150.0

    terminal: str
    host: str
    port: int
    ca_file: str | None
    tls: bool
    tunnel: bool
    server: str | None
    path: str | None
    server_time: str
    hours: str
    gateway_dir: str

    def take(self, values: dict[str, Any]) -> None:
        super().take(values)
        self.terminal = str(values.get("terminal", Reach.GATEWAY.value))
        self.host = str(values.get("host", GATEWAY_HOST))
        self.port = int(values.get("port", GATEWAY_PORT))
        self.ca_file = values.get("ca_file")
        self.tls = bool(values.get("tls", False))
        self.tunnel = bool(values.get("tunnel", False))
        self.server = values.get("server")
        self.path = values.get("path")
        self.server_time = str(values.get("server_time", NEW_YORK_CLOSE))
        self.hours = str(values.get("hours", "table"))
        self.gateway_dir = str(values.get("gateway_dir", "state/mt5"))


class Mt5DataConfig(_Mt5, AccountDataConfig):
    """Data client of a MetaTrader 5 account; parameters as in `AccountConfig` and `LiveDataConfig`, and

    Parameters
    ----------
    terminal, host, port, ca_file, tls, tunnel, server, path, server_time, hours
        As in `Mt5AccountSettings`.
    gateway_dir
        Where a gateway of our own keeps its order keys (`local`, `rpyc`).
    """


class Mt5ExecConfig(_Mt5, AccountExecConfig):
    """Execution client of a MetaTrader 5 account; parameters as in `Mt5DataConfig` and `LiveExecConfig`."""


def values_of(
    account: Mt5AccountSettings, state_dir: Path, confirm_live: str | None, connect_timeout_s: float
) -> dict[str, Any]:
    """The keyword arguments both configurations share."""
    return account_values(account, confirm_live, connect_timeout_s) | {
        "terminal": account.terminal.value,
        "host": account.host,
        "port": account.port or account.default_port,
        "ca_file": str(account.ca_file) if account.ca_file is not None else None,
        "tls": account.tls,
        "tunnel": account.tunnel,
        "server": account.server,
        "path": account.path,
        "server_time": account.server_time,
        "hours": account.hours,
        "gateway_dir": str(state_dir / "mt5" / f"gateway-{account.account}"),
    }
