"""A MetaTrader 5 account in the settings, and the client configurations made from it.

Neither holds a secret: the gateway's token and the account's password come from the environment of the process.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pepperstone_adapter.broker.account import Environment, PositionMode
from pepperstone_adapter.broker.server_time import NEW_YORK_CLOSE, parse_clock
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.settings import RelativePath
from pepperstone_adapter.live.config import LiveDataConfig, LiveExecConfig
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


class _Mt5:
    """What both clients of an account carry; equal `key` means one shared session."""

    account: str
    environment: str
    venue: str
    symbols: list[str]
    mode: str
    currency: str
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
    confirm_live: str | None
    connect_timeout_s: float

    def _take(self, values: dict[str, Any]) -> None:
        self.account = str(values["account"])
        self.environment = str(values.get("environment", Environment.DEMO.value))
        self.venue = str(values.get("venue", "PEPPERSTONE"))
        self.symbols = list(values.get("symbols", ()))
        self.mode = str(values.get("mode", PositionMode.HEDGING.value))
        self.currency = str(values.get("currency", "USD"))
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
        self.confirm_live = values.get("confirm_live")
        self.connect_timeout_s = float(values.get("connect_timeout_s", 150.0))

    @property
    def key(self) -> str:
        return f"{PLATFORM}-{self.environment}-{self.account}"


class Mt5DataConfig(LiveDataConfig, _Mt5):
    """Data client of a MetaTrader 5 account.

    Parameters
    ----------
    account, environment, venue, symbols, mode, currency, terminal, host, port, ca_file, tls, tunnel, server, path, \
server_time, hours
        As in `Mt5AccountSettings`.
    gateway_dir
        Where a gateway of our own keeps its order keys (`local`, `rpyc`).
    confirm_live
        The account number once more, when `environment` is ``live``.
    """

    def __init__(self, *, stale_after_s: float = 120.0, **values: Any) -> None:
        LiveDataConfig.__init__(self, stale_after_s=stale_after_s)
        self._take(values)


class Mt5ExecConfig(LiveExecConfig, _Mt5):
    """Execution client of a MetaTrader 5 account; parameters as in `Mt5DataConfig` and `LiveExecConfig`."""

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


def values_of(
    account: Mt5AccountSettings, state_dir: Path, confirm_live: str | None, connect_timeout_s: float
) -> dict[str, Any]:
    """The keyword arguments both configurations share."""
    return {
        "account": account.account,
        "environment": account.environment.value,
        "venue": account.venue,
        "symbols": list(account.symbols),
        "mode": account.mode.value,
        "currency": account.currency,
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
        "confirm_live": confirm_live,
        "connect_timeout_s": connect_timeout_s,
    }
