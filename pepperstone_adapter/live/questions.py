"""What the framework asks about the account while it runs: the broker is asked, and its answer told.

An answer that cannot be had is never the same as "nothing": the framework would take it for a flat account.
"""

from typing import Any

from nautilus_trader.common import Logger
from nautilus_trader.model import InstrumentId, OrderStatusReport, PositionStatusReport

from pepperstone_adapter.broker.session import FoundOrder
from pepperstone_adapter.common.errors import OutcomeUnknown, PepperstoneError
from pepperstone_adapter.live.order_events import OrderEvents
from pepperstone_adapter.live.tracking import LEG
from pepperstone_adapter.mapping.reports import ReportMaker


class Questions:
    """Questions to the broker of one execution client (`client`, a `BrokerExecutionClient`)."""

    def __init__(self, client: Any, events: OrderEvents, reports: ReportMaker, log: Logger) -> None:
        self._client = client
        self._connection = client.connection
        self._events = events
        self._reports = reports
        self._log = log

    def _now_ns(self) -> int:
        now: int = self._client.clock.timestamp_ns()
        return now

    async def account(self) -> None:
        """Read the account anew and tell its state."""
        try:
            snapshot = await self._connection.session.snapshot()
        except PepperstoneError as error:
            self._log.warning(f"account not read: {error}")
            return
        self._connection.account = snapshot.account
        self._client.tell_account(snapshot.account)

    async def order(self, client_order_id: str, venue_order_id: Any) -> FoundOrder | None:
        """Ask about an order and apply what the broker says; None when it could not be asked or knows nothing."""
        order = self._client.table.get(client_order_id)
        found: FoundOrder | None = None
        try:
            if order is not None:
                found = await self._client.reconciler.find(order) if order.kind != LEG else None
            elif venue_order_id is not None:
                found = await self._connection.session.find_order(order_id=str(venue_order_id))
        except (PepperstoneError, OutcomeUnknown) as error:
            self._log.warning(f"{client_order_id}: could not be looked up: {error}")
            return None
        if found is not None:
            self._client.perform(self._events.on_found(found, self._now_ns()))
        return found

    async def order_report(self, client_order_id: str, venue_order_id: Any) -> OrderStatusReport | None:
        found = await self.order(client_order_id, venue_order_id)
        if found is None:
            return None
        instrument = self._connection.instruments[found.order.symbol]
        owner = self._events.owner(found.order, None)
        return self._reports.order(
            found.order,
            instrument,
            self._now_ns(),
            client_order_id=owner.client_order_id if owner is not None else None,
        )

    async def positions(self, instrument_id: InstrumentId | None) -> list[PositionStatusReport]:
        """Positions as the broker has them now; raises when it cannot be asked."""
        snapshot = await self._connection.session.snapshot()
        out = []
        for position in snapshot.positions:
            instrument = self._connection.load(position.symbol)
            if instrument is not None and instrument_id in (None, instrument.id):
                out.append(self._reports.position(position, instrument, self._now_ns()))
        return out
