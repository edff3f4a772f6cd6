"""What a live run saw, written while it runs; when it ends, whoever started it makes catalog data of it.

The framework's writer appends to files of the run (``live/<instance id>``). Order events, fills and account states stay
there as Arrow files (``live/<instance id>/order_filled/*.feather``); a run that was killed leaves all of its files, and
nothing of the catalog is touched.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

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
    """What one account contributed to a run's recording.

    Attributes
    ----------
    run
        Folder of the run's files.
    specs
        The account's symbols by name.
    platform, source
        Whose prices these are.
    """

    run: Path
    catalog: Path
    specs: Mapping[str, SymbolSpec]
    platform: str
    source: str


#: Makes catalog data of a finished run; yields lines for a person.
type KeepRecording = Callable[[Recorded], Iterable[str]]


def run_folder(settings: RecordSettings, instance_id: str) -> Path:
    return settings.catalog / "live" / instance_id


def _kinds(settings: RecordSettings) -> list[NautilusDataType]:
    kinds = []
    if settings.quotes:
        kinds.append(NautilusDataType.QuoteTick)
    if settings.bars:
        kinds.append(NautilusDataType.Bar)
    return kinds
