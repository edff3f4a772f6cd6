"""How a gateway runs, and what it must not start with. Checked before a socket opens or a worker starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
TOKEN_MIN_CHARS: Final = 20


class BadOptions(Exception):
    """The gateway must not start like this; the text says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """How a gateway runs.

    Attributes
    ----------
    host, port
        Where to listen; 0 picks a free port. Anything but loopback needs `token`, `certificate` and `private_key`.
    terminal
        Module of the terminal, or ``module:factory`` of a stand-in.
    login
        ``path``, ``login``, ``password``, ``server``, ``portable`` for ``initialize``; stays on this side.
    token, read_token
        Shared secrets of trading and of read-only clients; neither is ever sent.
    state_dir
        Where order keys are kept.
    start_s
        How long attaching to a terminal may take (measured: up to 100 s with a silent one).
    hang_s
        A worker that said nothing for so long while no request runs is taken for hung.
    patience
        Factor on the deadline of every call (see `calls`).
    worker_command, worker_env
        How to start a worker and what to add to its environment; for stand-ins.
    """

    host: str = "127.0.0.1"
    port: int = 18_815
    terminal: str = "MetaTrader5"
    login: dict[str, Any] = field(default_factory=dict, repr=False)
    token: str = field(default="", repr=False)
    read_token: str = field(default="", repr=False)
    certificate: Path | None = None
    private_key: Path | None = None
    state_dir: Path = Path("state")
    fastest_s: float = 0.010
    slowest_s: float = 0.050
    start_s: float = 150.0
    hang_s: float = 20.0
    patience: float = 1.0
    worker_command: tuple[str, ...] = ()
    worker_env: Mapping[str, str] = field(default_factory=dict, repr=False)

    def check(self) -> None:
        """Refuse what would be unsafe, or could not work.

        Raises
        ------
        BadOptions
        """
        for name, token in (("token", self.token), ("read token", self.read_token)):
            if token and (len(token) < TOKEN_MIN_CHARS or len(set(token)) < 8):
                raise BadOptions(f"the {name} is too weak; use {TOKEN_MIN_CHARS} random characters or more")
        if self.read_token and not self.token:
            raise BadOptions("a read token without a token protects nothing: every client could trade; set both")
        if self.host not in LOOPBACK and not self.token:
            raise BadOptions(f"listening on {self.host} needs a token; set PEPPERSTONE_MT5_GATEWAY_TOKEN")
        if self.host not in LOOPBACK and not (self.certificate and self.private_key):
            raise BadOptions(f"listening on {self.host} needs TLS; give --certificate and --private-key")
        if not self.worker_command and find_spec(self.terminal.partition(":")[0].partition(".")[0]) is None:
            hint = "it exists for Windows (also under Wine) only: pip install MetaTrader5, where the terminal runs"
            raise BadOptions(f"Python has no module {self.terminal.partition(':')[0]}; {hint}")

    @property
    def warning(self) -> str | None:
        """What is allowed and yet should be known; None when nothing is."""
        if self.token:
            return None
        return (
            f"no token: every user and program of this machine that reaches port {self.port} can trade the account; set "
            "PEPPERSTONE_MT5_GATEWAY_TOKEN here and for the node"
        )
