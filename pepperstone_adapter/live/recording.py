"""What a live run saw, kept in a catalog: written while it runs, turned into ordinary catalog data when it ends.

While the node runs, the framework's writer appends to files of the run (``live/<instance id>``). Afterwards quotes and
bars become catalog data that a backtest can read; order events, fills and account states stay with the run as Arrow
files (``live/<instance id>/order_filled/*.feather``). A run that was killed leaves its files, and nothing of the
catalog is touched.
"""

from collections.abc import Iterator

from nautilus_trader.common import Environment
from nautilus_trader.model import NautilusDataType, NautilusRecordType
from nautilus_trader.persistence import ParquetDataCatalog, StreamingConfig

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


def convert_recording(settings: RecordSettings, instance_id: str) -> Iterator[str]:
    """Turn a finished run's quotes and bars into catalog data; yields what was done."""
    if not (settings.catalog / "live" / instance_id).is_dir():
        yield f"recording: nothing was written for run {instance_id}"
        return
    catalog = ParquetDataCatalog(str(settings.catalog))
    for kind in _kinds(settings):
        try:
            catalog.convert_stream_to_data(instance_id, kind, environment=Environment.LIVE)
        except (RuntimeError, ValueError, OSError) as error:
            yield f"recording: {kind} of run {instance_id} could not be converted ({error}); the run's files stay"
    yield f"recorded into {settings.catalog} (run {instance_id})"


def _kinds(settings: RecordSettings) -> list[NautilusDataType]:
    kinds = []
    if settings.quotes:
        kinds.append(NautilusDataType.QuoteTick)
    if settings.bars:
        kinds.append(NautilusDataType.Bar)
    return kinds
