"""What a live run saw, written while it runs; when it ends, whoever started it makes catalog data of it.

The framework's writer appends to files of the run (``live/<instance id>``). Order events, fills and account states stay
there as Arrow files (``live/<instance id>/order_filled/*.feather``); a run that was killed leaves all of its files with
a note of whose they are, and nothing of the catalog is touched.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nautilus_trader.model import NautilusDataType, NautilusRecordType
from nautilus_trader.persistence import StreamingConfig

from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.live.settings import RecordSettings

# By name: the generated stubs know the type, not its members.
ORDER_RECORDS = [
    getattr(NautilusRecordType, name)
    for name in (
        "OrderInitialized",
        "OrderDenied",
        "OrderSubmitted",
        "OrderAccepted",
        "OrderRejected",
        "OrderUpdated",
        "OrderModifyRejected",
        "OrderCanceled",
        "OrderCancelRejected",
        "OrderExpired",
        "OrderFilled",
        "PositionOpened",
        "PositionChanged",
        "PositionClosed",
        "AccountState",
    )
]


def streaming_config(settings: RecordSettings) -> StreamingConfig:
    settings.catalog.mkdir(parents=True, exist_ok=True)
    return StreamingConfig(
        str(settings.catalog),
        data_types=_kinds(settings),
        record_types=ORDER_RECORDS if settings.orders else [],
        flush_interval_ms=1000,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A run's recording: its prices are those of the account on the catalog's venue.

    Attributes
    ----------
    run
        Folder of the run's files.
    specs
        The account's symbols by name; empty when none of the accounts is on the catalog's venue.
    platform, source
        Whose prices these are.
    """

    run: Path
    catalog: Path
    specs: Mapping[str, SymbolSpec]
    platform: str
    source: str


class RecordingKeeper(Protocol):
    """Makes catalog data of runs; the catalog is above this package's reach."""

    def note(self, recorded: Recorded) -> None:
        """Write down beside the run's files what they do not say, so that a killed run can be kept later."""

    def keep(self, recorded: Recorded) -> Iterable[str]:
        """Make catalog data of a finished run; yields lines for a person."""


class KeepNothing:
    """A run's files stay what they are."""

    def note(self, recorded: Recorded) -> None:
        del recorded

    def keep(self, recorded: Recorded) -> Iterable[str]:
        del recorded
        return ()


def run_folder(settings: RecordSettings, instance_id: str) -> Path:
    return settings.catalog / "live" / instance_id


def _kinds(settings: RecordSettings) -> list[NautilusDataType]:
    kinds = []
    if settings.quotes:
        kinds.append(NautilusDataType.QuoteTick)
    if settings.bars:
        kinds.append(NautilusDataType.Bar)
    return kinds
