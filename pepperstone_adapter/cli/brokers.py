"""An account of the settings, whatever its platform, and a read-only session of it."""

from pepperstone_adapter.broker.session import BrokerSession
from pepperstone_adapter.ctrader.config import CTraderAccountSettings, CTraderDataConfig, values_of
from pepperstone_adapter.ctrader.factories import session_of
from pepperstone_adapter.live.keys import label

AnyAccount = CTraderAccountSettings
"""An account section of a settings file."""


def open_session(account: AnyAccount, connect_timeout_s: float) -> BrokerSession:
    """A session that is not connected yet. Nothing here trades, so a live account needs no confirmation."""
    return session_of(CTraderDataConfig(**values_of(account, None, connect_timeout_s)))


def source_of(account: AnyAccount, broker: str) -> str:
    """Whose prices these are, for a manifest: ``ctrader DEMO-x4567 Pepperstone``; the number masked."""
    return f"{account.platform} {label(account.environment, account.account)} {broker}".strip()
