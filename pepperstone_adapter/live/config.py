"""What the framework's client configurations carry. They are printed by the framework, so they hold no secret: where a
secret is needed, the venue's face keeps a reference to it (design D11)."""

from typing import Any, ClassVar

from nautilus_trader.config import DataClientConfig, ExecutionClientConfig

from pepperstone_adapter.broker.account import Environment, PositionMode
from pepperstone_adapter.live.settings import AccountSettings


class LiveDataConfig(DataClientConfig):
    """Settings of a data client that all venues share; a venue's own config derives from it.

    Parameters
    ----------
    stale_after_s
        Silence of a subscribed symbol in an open market that raises the alarm and subscribes again; 0 = never.
    """

    stale_after_s: float

    def __init__(self, *, stale_after_s: float = 120.0, **_others: Any) -> None:
        self.stale_after_s = stale_after_s


class LiveExecConfig(ExecutionClientConfig):
    """Settings of an execution client that all venues share.

    Parameters
    ----------
    state_dir
        Folder of the order id store.
    audit_interval_s
        How often the broker's deals, orders and positions are compared with ours on a healthy link.
    answer_deadline_s
        How long after writing an unanswered request the broker is first asked what became of it.
    give_up_after_s
        How long an order may be unknown to the broker, after complete reads, before it counts as never arrived.
    """

    state_dir: str
    audit_interval_s: float
    answer_deadline_s: float
    give_up_after_s: float

    def __init__(
        self,
        *,
        state_dir: str = "",
        audit_interval_s: float = 20.0,
        answer_deadline_s: float = 5.0,
        give_up_after_s: float = 600.0,
        **_others: Any,
    ) -> None:
        self.state_dir = state_dir
        self.audit_interval_s = audit_interval_s
        self.answer_deadline_s = answer_deadline_s
        self.give_up_after_s = give_up_after_s


class AccountConfig:
    """What both clients of an account carry; equal `key` means one shared session. A platform adds its own values.

    Parameters
    ----------
    account, environment, venue, symbols, mode, currency
        As in `AccountSettings`.
    confirm_live
        The account number once more, when `environment` is ``live``.
    connect_timeout_s
        How long a connect may take.
    """

    platform: ClassVar[str]
    connect_patience_s: ClassVar[float]  # where `connect_timeout_s` is not given

    account: str
    environment: str
    venue: str
    symbols: list[str]
    mode: str
    currency: str
    confirm_live: str | None
    connect_timeout_s: float

    def take(self, values: dict[str, Any]) -> None:
        self.account = str(values["account"])
        self.environment = str(values.get("environment", Environment.DEMO.value))
        self.venue = str(values.get("venue", "PEPPERSTONE"))
        self.symbols = list(values.get("symbols", ()))
        self.mode = str(values.get("mode", PositionMode.HEDGING.value))
        self.currency = str(values.get("currency", "USD"))
        self.confirm_live = values.get("confirm_live")
        self.connect_timeout_s = float(values.get("connect_timeout_s", self.connect_patience_s))

    @property
    def key(self) -> str:
        return f"{self.platform}-{self.environment}-{self.account}"


class AccountDataConfig(LiveDataConfig, AccountConfig):
    """Data client of an account; a platform's own config puts its `AccountConfig` before this."""

    def __init__(self, **values: Any) -> None:
        LiveDataConfig.__init__(self, **values)
        self.take(values)


class AccountExecConfig(LiveExecConfig, AccountConfig):
    """Execution client of an account; a platform's own config puts its `AccountConfig` before this."""

    def __init__(self, **values: Any) -> None:
        LiveExecConfig.__init__(self, **values)
        self.take(values)


def account_values(account: AccountSettings, confirm_live: str | None, connect_timeout_s: float) -> dict[str, Any]:
    """The keyword arguments of an `AccountConfig`."""
    return {
        "account": account.account,
        "environment": account.environment.value,
        "venue": account.venue,
        "symbols": list(account.symbols),
        "mode": account.mode.value,
        "currency": account.currency,
        "confirm_live": confirm_live,
        "connect_timeout_s": connect_timeout_s,
    }
