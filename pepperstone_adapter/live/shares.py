"""How much of a netting account's position a strategy may still close, and when another has closed a part of it.

A netting account has one position for all: the broker would close another's part of it, and the framework takes no
reduce-only fill beyond what the strategy holds. A stop-out, a person or another program does close it; the framework
has no way to take that from a strategy, so it stands against it under EXTERNAL, and a person has to look: the strategy
believes in a position that is gone, and its next order against it would open one.

What a strategy holds stands in the framework's cache, which applies a fill
some time after it was emitted; so what its closes still take is read from the same cache, order by order, until that
has them ended. Read from our own table a close would be over and the position not yet smaller: a second close sent in
between would take another's part, or turn the position round. Whose a closed part was is asked in that same moment:
deals come in batches, and one that opened a position may be told and not yet applied when the one that closes it comes.
"""

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from nautilus_trader.model import ClientOrderId, InstrumentId, StrategyId, Venue, VenueOrderId

from pepperstone_adapter.broker.orders import Deal, DealReason, Side
from pepperstone_adapter.live.emissions import Emission, Filled, StrangerFill, Warn
from pepperstone_adapter.live.planning import Close
from pepperstone_adapter.live.tracking import TrackedOrder
from pepperstone_adapter.mapping.ids import trade_id
from pepperstone_adapter.mapping.orders import NotSendable

EXTERNAL = StrategyId("EXTERNAL")
LEVELS = (DealReason.STOP_LOSS, DealReason.TAKE_PROFIT)
APPLIED_S = 5.0  # after that the framework has applied what it was told, or never will


@dataclass(frozen=True, slots=True)
class Told:
    """A fill that was told to the framework."""

    deal: Deal
    owner: StrategyId
    order_id: str
    at_s: float


class Shares:
    """The closes under way on one netting account, against what its strategies hold in `cache`."""

    def __init__(self, cache: Any, venue: Venue) -> None:
        self._cache = cache
        self._venue = venue
        self._closes: list[TrackedOrder] = []
        self._told: list[Told] = []  # and not yet in the cache

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
        held = max(Decimal(0), self._held(order.symbol, StrategyId(order.strategy_id), long))
        if plan.units > held - going:
            raise NotSendable(
                f"{order.strategy_id} holds {held} units of {order.symbol}, of which {going} are being closed; the "
                f"rest of the account's position is another's, so {plan.units} cannot be reduced"
            )
        self._closes.append(order)

    def taken(self, told: list[Emission]) -> list[Emission]:
        """A warning for each deal that takes what is not its owner's; asked before the framework has applied any of it."""
        return [warning for one in told if (warning := self._taken(one)) is not None]

    def _taken(self, told: Emission) -> Warn | None:
        """A stranger's deal, or the hit of a level: it closes the whole position, whoever has added to it."""
        if isinstance(told, StrangerFill):
            owner, order_id, by = EXTERNAL, told.deal.order_id, "another"
        elif isinstance(told, Filled):
            order = self._cache.order(ClientOrderId(told.client_order_id))
            owner, order_id = EXTERNAL if order is None else order.strategy_id, told.order_id
            by = f"a level of {owner}"
        else:
            return None
        deal = told.deal
        held = self._held(deal.symbol, owner, long=deal.side is Side.SELL) + self._coming(deal, owner)
        self._told.append(Told(deal, owner, order_id, time.monotonic()))
        taken = deal.closed_units - max(held, Decimal(0))
        if taken <= 0 or (owner != EXTERNAL and deal.reason not in LEVELS):
            return None
        text = (
            f"{taken.normalize():f} units of {deal.symbol} that strategies hold were closed by {by} (deal {deal.deal_id}): "
            f"on a netting account they stand under {owner}, not at who held them"
        )
        return Warn(text, halt=True)

    def _coming(self, deal: Deal, owner: StrategyId) -> Decimal:
        """What its owner holds against a deal, more than the cache shows, by fills that were told before it."""
        self._told = [told for told in self._told if self._is_coming(told)]
        own = (t.deal for t in self._told if t.owner == owner and t.deal.symbol == deal.symbol)
        return sum((d.units * d.side.sign for d in own), Decimal(0)) * -deal.side.sign

    def _is_coming(self, told: Told) -> bool:
        if time.monotonic() - told.at_s > APPLIED_S:
            return False
        cid = self._cache.client_order_id(VenueOrderId(told.order_id))
        order = None if cid is None else self._cache.order(cid)
        return order is None or trade_id(told.deal) not in order.trade_ids

    def _held(self, symbol: str, strategy_id: StrategyId, long: bool) -> Decimal:
        """Units held on that side by the cache; negative on the other."""
        instrument_id = InstrumentId.from_str(f"{symbol}.{self._venue}")
        own = self._cache.positions_open(self._venue, instrument_id, strategy_id)
        return sum((p.quantity.as_decimal() * (1 if p.is_long == long else -1) for p in own), Decimal(0))

    def _unfilled(self, close: TrackedOrder) -> Decimal:
        known = self._cache.order(ClientOrderId(close.client_order_id))
        return Decimal(0) if known is None or known.is_closed else known.leaves_qty.as_decimal()
