"""Instruments from a connection: what the broker lists, as the framework's provider wants it."""

from typing import Any

from nautilus_trader.live import InstrumentProviderConfig
from nautilus_trader.live.providers import InstrumentProvider
from nautilus_trader.model import InstrumentId

from pepperstone_adapter.live.connection import Connection


class BrokerInstrumentProvider(InstrumentProvider):
    """Serves the instruments of a `Connection`; definitions are the broker's, with hours and costs in ``info``."""

    def __init__(self, connection: Connection, config: InstrumentProviderConfig | None = None) -> None:
        super().__init__(config)
        self._connection = connection

    async def load_all_async(self, filters: dict[str, Any] | None = None) -> None:
        """Every symbol of the broker; `filters` may hold ``asset_class`` (``fx``, ``metal``, ``index`` …)."""
        wanted = (filters or {}).get("asset_class")
        for name, spec in self._connection.all_specs.items():
            if wanted is None or spec.asset_class.value == wanted:
                self._add(name)

    async def load_ids_async(
        self,
        instrument_ids: list[InstrumentId],
        filters: dict[str, Any] | None = None,  # noqa: ARG002 - the framework's signature
    ) -> None:
        for instrument_id in instrument_ids:
            self._add(self._connection.symbol_of(instrument_id))

    def _add(self, name: str) -> None:
        instrument = self._connection.load(name)
        if instrument is not None:
            self.add(instrument)
