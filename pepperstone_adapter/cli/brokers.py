"""An account of the settings, whatever its platform, and a read-only session of it."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Tag, model_validator

from pepperstone_adapter.broker.session import BrokerSession
from pepperstone_adapter.common.settings import StrictModel
from pepperstone_adapter.ctrader import config as ctrader_config
from pepperstone_adapter.ctrader import factories as ctrader_factories
from pepperstone_adapter.ctrader.config import CTraderAccountSettings
from pepperstone_adapter.ctrader.constants import PLATFORM
from pepperstone_adapter.live.keys import label
from pepperstone_adapter.mt5 import config as mt5_config
from pepperstone_adapter.mt5 import factories as mt5_factories
from pepperstone_adapter.mt5.config import Mt5AccountSettings


def _platform(value: Any) -> str:
    """An account section that names no platform is cTrader's."""
    found = value.get("platform", PLATFORM) if isinstance(value, dict) else getattr(value, "platform", PLATFORM)
    return str(found)


type AnyAccount = Annotated[
    Annotated[CTraderAccountSettings, Tag("ctrader")] | Annotated[Mt5AccountSettings, Tag("mt5")],
    Discriminator(_platform),
]
"""An account section of a settings file."""


class AccountOfFile(StrictModel):
    """The account of a live or download file; the rest of the file is somebody else's."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _first_of_several(cls, raw: Any) -> Any:
        """A live file lists its accounts: the first is meant, and options change it."""
        if not (isinstance(raw, dict) and raw.get("accounts")):
            return raw
        accounts, changes = raw["accounts"], raw.get("account") or {}
        if not (isinstance(accounts, list) and isinstance(accounts[0], dict) and isinstance(changes, dict)):
            raise ValueError(
                "'accounts' is a list of accounts, and 'account' what is changed of the first: groups of keys"
            )
        return {"account": {**accounts[0], **changes}}


def open_session(account: CTraderAccountSettings | Mt5AccountSettings, connect_timeout_s: float) -> BrokerSession:
    """A session that is not connected yet. Nothing here trades, so a live account needs no confirmation."""
    if isinstance(account, Mt5AccountSettings):
        # A gateway of our own keeps order keys somewhere; nothing is ordered here, so a folder of its own will do.
        folder = Path(tempfile.gettempdir()) / "pepperstone-download"
        values = mt5_config.values_of(account, folder, None, connect_timeout_s)
        return mt5_factories.session_of(mt5_config.Mt5DataConfig(**values))
    config = ctrader_config.CTraderDataConfig(**ctrader_config.values_of(account, None, connect_timeout_s))
    return ctrader_factories.session_of(config)


def source_of(account: CTraderAccountSettings | Mt5AccountSettings, broker: str) -> str:
    """Whose prices these are, for a manifest: ``ctrader DEMO-x4567 Pepperstone``; the number masked."""
    return f"{account.platform} {label(account.environment, account.account)} {broker}".strip()
