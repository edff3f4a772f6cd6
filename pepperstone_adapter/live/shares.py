"""How much of a netting account's position a strategy may still close, and when another has closed a part of it.

A netting account has one position for all: the broker would close another's part of it, and the framework takes no
reduce-only fill beyond what the strategy holds. A stop-out, a person or another program does close it; the framework
has no way to take that from a strategy, so it stands against it under EXTERNAL, and a person has to look: the strategy
believes in a position that is gone, and its next order against it would open one.

What a strategy holds stands in the framework's cache, which applies a fill
some time after it was emitted; so what its closes still take is read from the same cache, order by order, until that
has them ended. Read from our own table a close would be over and the position not yet smaller: a second close sent in
between would take another's part, or turn the position round.
"""

from decimal import Decimal
from typing import Any

from nautilus_trader.model import ClientOrderId, InstrumentId, StrategyId, Venue

from pepperstone_adapter.broker.orders import DealReason, Side
from pepperstone_adapter.live.emissions import Emission, Filled, StrangerFill, Warn
from pepperstone_adapter.live.planning import Close
from pepperstone_adapter.live.tracking import TrackedOrder
from pepperstone_adapter.mapping.orders import NotSendable

EXTERNAL = StrategyId("EXTERNAL")
LEVELS = (DealReason.STOP_LOSS, DealReason.TAKE_PROFIT)


class Shares:
    """The closes under way on one netting account, against what its strategies hold in `cache`."""

    def __init__(self, cache: Any, venue: Venue) -> None:
        self._cache = cache
        self._venue = venue
        self._closes: list[TrackedOrder] = []

    def check(self, plan: Close) -> None:
        """Count a close in.

        Raises
        ------
        NotSendable
            It takes more than its strategy holds and is not closing yet.
        """
        order, long = plan.order, plan.position.side.sign > 0
        self._closes = [close for close in self._closes if self._unfilled(close)]
        mine = [
            c
            for c in self._closes
            if (c.strategy_id, c.symbol, c.side) == (order.strategy_id, order.symbol, order.side)
        ]
        going = sum((self._unfilled(close) for close in mine), Decimal(0))
        held = self._held(order.symbol, StrategyId(order.strategy_id), long)
        if plan.units > held - going:
            raise NotSendable(
                f"{order.strategy_id} holds {held} units of {order.symbol}, of which {going} are being closed; the "
                f"rest of the account's position is another's, so {plan.units} cannot be reduced"
            )
        self._closes.append(order)

    def watched(self, emissions: list[Emission]) -> list[Emission]:
        """What the framework is to be told, and a warning for each deal that takes what is not its owner's."""
        return [*emissions, *filter(None, map(self._taken, emissions))]

    def _taken(self, told: Emission) -> Warn | None:
        """A stranger's deal, or the hit of a level: it closes the whole position, whoever has added to it."""
        if isinstance(told, StrangerFill):
            whose, by = EXTERNAL, "another"
        elif isinstance(told, Filled) and told.deal.reason in LEVELS:
            order = self._cache.order(ClientOrderId(told.client_order_id))
            whose = EXTERNAL if order is None else order.strategy_id
            by = f"a level of {whose}"
        else:
            return None
        deal = told.deal
        held = self._held(deal.symbol, whose, long=deal.side is Side.SELL)
        taken = deal.closed_units - held
        if taken <= 0 or (whose != EXTERNAL and not held):  # its own fill is not in the framework's books yet
            return None
        text = (
            f"{taken.normalize():f} units of {deal.symbol} that strategies hold were closed by {by} (deal {deal.deal_id}): "
            f"on a netting account they stand under {whose}, not at who held them"
        )
        return Warn(text, halt=True)

    def _held(self, symbol: str, strategy_id: StrategyId, long: bool) -> Decimal:
        instrument_id = InstrumentId.from_str(f"{symbol}.{self._venue}")
        own = self._cache.positions_open(self._venue, instrument_id, strategy_id)
        return sum((p.quantity.as_decimal() for p in own if p.is_long == long), Decimal(0))

    def _unfilled(self, close: TrackedOrder) -> Decimal:
        known = self._cache.order(ClientOrderId(close.client_order_id))
        return Decimal(0) if known is None or known.is_closed else known.leaves_qty.as_decimal()
