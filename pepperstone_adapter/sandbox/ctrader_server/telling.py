"""Which of the ledger's events are told, and in which order. Pure; the defaults tell each as it happened.

Some events are kept back: an acceptance until its order's next event, a fill until what it did to the protective order
has been told. What is kept is told at the latest when the broker has nothing more to say for now (`rest`).
"""

from pepperstone_adapter.broker.orders import OrderType
from pepperstone_adapter.sandbox.behaviour import BehaviourSettings
from pepperstone_adapter.sandbox.ledger import EventKind, LedgerEvent

FILLS = (EventKind.FILLED, EventKind.PARTIALLY_FILLED)
AT_MARKET = (OrderType.MARKET, OrderType.MARKET_RANGE)


class Telling:
    def __init__(self, switches: BehaviourSettings) -> None:
        self._switches = switches
        self._accepted: dict[int, LedgerEvent] = {}  # by order, until its next event
        self._fills: list[LedgerEvent] = []

    def of(self, event: LedgerEvent) -> list[LedgerEvent]:
        """What is told now that this has happened."""
        order = event.order
        if order is None:
            return [*self.rest(), event]
        if order.type is OrderType.PROTECTION and event.kind not in FILLS:
            return [event] if self._is_told(event) else []
        if event.kind is EventKind.ACCEPTED and order.type in AT_MARKET:
            if self._switches.acceptance == "after_fill":
                self._accepted[order.order_id] = event
            return [*self.rest(), event] if self._switches.acceptance == "first" else self.rest()
        late = self._accepted.pop(order.order_id, None)
        told = [event, late] if late is not None else [event]
        if event.kind in FILLS and self._switches.protection_events == "before_fill":
            before, self._fills = self._fills, told
            return before
        return [*self.rest(), *told]

    def rest(self) -> list[LedgerEvent]:
        """What was kept back for events that have come by now."""
        fills, self._fills = self._fills, []
        return fills

    def _is_told(self, event: LedgerEvent) -> bool:
        if event.kind is EventKind.CANCELED and event.by_server:
            return self._switches.announce_protection_cancel
        if event.kind is EventKind.REPLACED and event.by_server:
            return self._switches.replaced_after_partial_close
        return True
