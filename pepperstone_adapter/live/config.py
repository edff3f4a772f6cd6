"""What the framework's client configurations carry. They are printed by the framework, so they hold no secret: where a
secret is needed, the venue's face keeps a reference to it (design D11)."""

from typing import Any

from nautilus_trader.config import DataClientConfig, ExecutionClientConfig


class LiveDataConfig(DataClientConfig):
    """Settings of a data client that all venues share; a venue's own config derives from it.

    Parameters
    ----------
    stale_after_s
        Silence of a subscribed symbol in an open market that raises the alarm and subscribes again; 0 = never.
    """

    stale_after_s: float

    def __init__(self, *, stale_after_s: float = 120.0, **_framework: Any) -> None:
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
        **_framework: Any,
    ) -> None:
        self.state_dir = state_dir
        self.audit_interval_s = audit_interval_s
        self.answer_deadline_s = answer_deadline_s
        self.give_up_after_s = give_up_after_s
