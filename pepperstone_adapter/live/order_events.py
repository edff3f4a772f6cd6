"""From what the broker said to what the framework is told: pure decisions, no framework, no I/O.

Theory. A broker event names an order, maybe a deal, maybe the position. Three questions decide everything:

1. Whose order is it? Ours if the venue's text for it or its order id is in the table. A protective order of a position
   is one of our legs if we have that leg. Else it is a stranger's (a manual trade, another program, a stop-out).
2. Has the framework heard of it? Acceptance comes before the first fill, whatever order the messages came in; a
   stranger's order is introduced by a report, accepted and unfilled, before its first deal (a report that bundles order
   and fill loses the fill in this framework version).
3. Is the deal new? Each deal id is applied once, however often it is told (stream, answer, audit, reconnect).

A venue may keep no id of ours with a close. While one of ours is unanswered, a nameless closing order of its position
and size can be that close: its deal waits, neither ours nor a stranger's, until the answer or the question has told.
What was once told as a stranger's could never become ours again: the framework gives a venue order one owner.

What follows from an event for the legs of its position is decided here too: they are accepted with their entry, follow
the position's size and levels, and end with it.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from pepperstone_adapter.broker.events import OrderChange, OrderChanged, PositionChanged
from pepperstone_adapter.broker.orders import (
    Deal,
    DealEntry,
    DealReason,
    OrderState,
    OrderStatus,
    OrderType,
    PositionState,
    Protection,
)
from pepperstone_adapter.broker.session import FoundOrder
from pepperstone_adapter.live.emissions import (
    Accepted,
    AmendRejected,
    Canceled,
    CancelRejected,
    Emission,
    Expired,
    Filled,
    Rejected,
    SetExactLevels,
    StrangerFill,
    StrangerOrder,
    Updated,
    Warn,
)
from pepperstone_adapter.live.tracking import CLOSE, ENTRY, LEG, OrderTable, Phase, TrackedOrder
from pepperstone_adapter.mapping.ids import Leg, leg_text

_ENDINGS = {
    OrderStatus.CANCELED: OrderChange.CANCELED,
    OrderStatus.EXPIRED: OrderChange.EXPIRED,
    OrderStatus.REJECTED: OrderChange.REJECTED,
}


class OrderEvents:
    """The decisions, over one `OrderTable`.

    Parameters
    ----------
    netting
        One position a symbol; a fill may then turn the position round.
    recall
        Looks an order up in the id store, for orders of an earlier run: by venue text or order id.
    """

    def __init__(
        self, table: OrderTable, netting: bool, recall: Callable[[OrderState], TrackedOrder | None] | None = None
    ) -> None:
        self.table = table
        self._netting = netting
        self._recall = recall or (lambda _: None)
        self.settling: set[str] = set()  # entries whose exact levels are being set right now

    def on_order(self, event: OrderChanged) -> list[Emission]:
        """What follows from one order event."""
        state, ts = event.order, event.ts_ns
        out: list[Emission] = []
        order = self.owner(state, event.deal)
        if order is None:
            out += self._stranger(event)
            out += self._revived(state, out)
        elif event.change is OrderChange.REJECTED:
            out += self._reject(order, event.error or state.reason or "rejected by the broker", ts)
        elif event.change is OrderChange.CANCEL_REJECTED:
            out.append(CancelRejected(order.client_order_id, order.order_id, event.error, ts))
        elif event.change is OrderChange.AMEND_REJECTED:
            out.append(AmendRejected(order.client_order_id, order.order_id, event.error, ts))
        else:
            out += self._ours(order, event)
        if event.position is not None:
            out += self._position(event.position, ts)
        return out

    def on_position(self, event: PositionChanged) -> list[Emission]:
        return self._position(event.position, event.ts_ns)

    def on_found(self, found: FoundOrder, ts_ns: int) -> list[Emission]:
        """What follows from a complete look at one order: acceptance, every deal not applied yet, its end."""
        state = found.order
        out: list[Emission] = []
        for deal in found.deals:
            full = state.units <= sum((d.units for d in found.deals), Decimal(0))
            change = OrderChange.FILLED if full else OrderChange.PARTIALLY_FILLED
            out += self.on_order(OrderChanged(change=change, order=state, deal=deal, ts_ns=deal.ts_ns))
        if state.status in _ENDINGS:
            ending = OrderChanged(change=_ENDINGS[state.status], order=state, error=state.reason, ts_ns=ts_ns)
            order = self.owner(state, None)
            if order is None or order.phase is not Phase.ENDED:
                out += self.on_order(ending)
        elif state.status.is_open or not found.deals:
            out += self.on_order(OrderChanged(change=OrderChange.ACCEPTED, order=state, ts_ns=ts_ns))
        return out

    def owner(self, state: OrderState, deal: Deal | None) -> TrackedOrder | None:
        """Our order behind a broker's order, or None."""
        known = self.table.by_order_id(state.order_id)
        if known is not None and known.kind != LEG:
            return None if known.rejected and deal is not None else known
        if state.type is OrderType.PROTECTION:
            return self._leg_hit(state, deal)
        # A venue may echo an entry's id on the orders that close its position, which are of the other side. One of its own
        # side that closes reduces a netting position.
        named = self.table.by_text(state.client_order_id)
        if named is not None and (not state.closing or named.kind == CLOSE or named.side is state.side):
            return None if named.rejected else named
        return self._recall(state)

    def _leg_hit(self, state: OrderState, deal: Deal | None) -> TrackedOrder | None:
        if deal is None or state.position_id is None:
            return None
        legs = self.table.legs_of_position(state.position_id)
        if not legs:
            return None
        if deal.reason is DealReason.STOP_LOSS:
            return next((o for o in legs if o.leg is Leg.STOP_LOSS), None)
        if deal.reason is DealReason.TAKE_PROFIT:
            return next((o for o in legs if o.leg is Leg.TAKE_PROFIT), None)
        # The venue does not say which level it was: the one nearer to the price paid.
        priced = [o for o in legs if o.level is not None]
        return min(priced, key=lambda o: abs((o.level or Decimal(0)) - deal.price), default=None)

    def _ours(self, order: TrackedOrder, event: OrderChanged) -> list[Emission]:
        state, deal, ts = event.order, event.deal, event.ts_ns
        out: list[Emission] = []
        if deal is not None:
            if not self.table.deal_told(deal):
                out += self._accept(order, state, deal.ts_ns or ts)
                if deal.entry is DealEntry.OUT_BY:  # one deal, of what the smaller of the two positions had
                    out += self._replaced(order, state, deal.ts_ns or ts)
                out += self._shrunk(order, state, deal)
                if order.kind == LEG:  # its position may have been told as smaller before this part of it
                    out += self._resize(order, max(order.units, order.filled + deal.units), deal.ts_ns)
                out += self._fill(order, deal)
            return out
        if order.phase is Phase.ENDED:
            return out
        if event.change is OrderChange.CANCELED:
            return self._end(order, state, ts, expired=False)
        if event.change is OrderChange.EXPIRED:
            return self._end(order, state, ts, expired=True)
        out += self._accept(order, state, ts)
        if event.change in (OrderChange.REPLACED, OrderChange.ACCEPTED):
            out += self._replaced(order, state, ts)
        return out

    def _accept(self, order: TrackedOrder, state: OrderState, ts: int) -> list[Emission]:
        """Acceptance of an order and, with it, of its legs: from here on the broker guards those levels."""
        if order.kind == LEG:
            return []
        self.table.name(order, state.order_id)
        if state.position_id is not None and order.kind == ENTRY:
            order.position_id = state.position_id
        if order.phase is not Phase.SUBMITTED:
            return []
        order.phase = Phase.ACCEPTED
        out: list[Emission] = [Accepted(order.client_order_id, state.order_id, ts)]
        for leg in self.table.legs_of_entry(order.client_order_id):
            key = state.position_id or state.order_id
            out += self.accept_leg(leg, key, state.position_id, ts)
        return out

    def accept_leg(self, leg: TrackedOrder, key: str, position_id: str | None, ts: int) -> list[Emission]:
        """A level is in force at the broker."""
        if leg.phase is not Phase.SUBMITTED or leg.leg is None:
            return []
        leg.phase = Phase.ACCEPTED
        leg.position_id = position_id
        text = self.table.unused(leg_text(key, leg.leg))
        self.table.name(leg, text)
        return [Accepted(leg.client_order_id, text, ts)]

    def _shrunk(self, order: TrackedOrder, state: OrderState, deal: Deal) -> list[Emission]:
        """The broker has ended an order as filled with less than we asked for: a close meets what is left."""
        last = order.filled + deal.units == state.filled_units  # else a deal of it is still to come
        if order.kind == LEG or state.status is not OrderStatus.FILLED or not last or order.units <= state.filled_units:
            return []
        return self._replaced(order, replace(state, units=state.filled_units), deal.ts_ns)

    def _fill(self, order: TrackedOrder, deal: Deal) -> list[Emission]:
        order.filled += deal.units
        order_id = order.order_id or deal.order_id
        complete = order.filled >= order.units
        out: list[Emission] = [Filled(order.client_order_id, order_id, deal, complete)]
        if order.kind == ENTRY:
            order.position_id = deal.position_id
            for leg in self.table.legs_of_entry(order.client_order_id):
                leg.position_id = deal.position_id
        if complete:
            order.phase = Phase.ENDED
            if order.wants_exact:
                out.append(self._settle(order, deal.position_id))
        self.table.mark_deal(deal.deal_id)
        return out

    def _settle(self, order: TrackedOrder, position_id: str) -> SetExactLevels:
        order.wants_exact = False
        # From this moment the levels the broker reports are provisional; the sender ends it.
        self.settling.add(order.client_order_id)
        return SetExactLevels(order.client_order_id, position_id)

    def _end(self, order: TrackedOrder, state: OrderState, ts: int, expired: bool) -> list[Emission]:
        out: list[Emission] = []
        if order.kind != LEG:
            if expired:  # the framework knows no way from submitted to expired
                out += self._accept(order, state, ts)
            self.table.name(order, state.order_id)
        order.phase = Phase.ENDED
        kind = Expired if expired else Canceled
        out.append(kind(order.client_order_id, order.order_id, ts))
        legs = self.table.legs_of_entry(order.client_order_id)
        if not order.filled:
            for leg in legs:
                leg.phase = Phase.ENDED
                out.append(Canceled(leg.client_order_id, leg.order_id, ts))
        else:
            for leg in legs:
                out += self._resize(leg, order.filled, ts)
            if order.wants_exact and order.position_id is not None:
                out.append(self._settle(order, order.position_id))
        return out

    def _reject(self, order: TrackedOrder, reason: str, ts: int) -> list[Emission]:
        if order.phase is Phase.ENDED:
            return []
        order.phase, order.rejected = Phase.ENDED, True
        out: list[Emission] = [Rejected(order.client_order_id, reason, ts)]
        for leg in self.table.legs_of_entry(order.client_order_id):
            accepted = leg.phase is Phase.ACCEPTED
            leg.phase = Phase.ENDED
            out.append(
                Canceled(leg.client_order_id, leg.order_id, ts)
                if accepted
                else Rejected(leg.client_order_id, f"entry rejected: {reason}", ts)
            )
        return out

    def reject(self, order: TrackedOrder, reason: str, ts_ns: int) -> list[Emission]:
        """The broker's refusal, or proof that the order never reached it."""
        return self._reject(order, reason, ts_ns)

    def _replaced(self, order: TrackedOrder, state: OrderState, ts: int) -> list[Emission]:
        if order.kind == LEG or state.type is OrderType.PROTECTION:
            return []
        out: list[Emission] = []
        # A price that the broker does not say has not gone.
        limit = order.limit if None in (order.limit, state.limit_price) else state.limit_price
        stop = order.stop if None in (order.stop, state.stop_price) else state.stop_price
        if state.units != order.units or limit != order.limit or stop != order.stop:
            order.units, order.limit, order.stop = state.units, limit, stop
            out.append(Updated(order.client_order_id, state.order_id, state.units, limit, stop, ts))
            for leg in self.table.legs_of_entry(order.client_order_id):
                out += self._resize(leg, state.units, ts)
        if state.protection is not None and not state.protection.distance:
            out += self._levels(self.table.legs_of_entry(order.client_order_id), state.protection, ts)
        return out

    def _resize(self, leg: TrackedOrder, units: Decimal, ts: int) -> list[Emission]:
        if leg.units == units or leg.order_id is None or leg.phase is not Phase.ACCEPTED:
            return []
        leg.units = units
        return [Updated(leg.client_order_id, leg.order_id, units, leg.limit, leg.stop, ts)]

    def _levels(self, legs: list[TrackedOrder], protection: Protection, ts: int) -> list[Emission]:
        """Tell the framework where the levels really are, whoever moved them."""
        out: list[Emission] = []
        for leg in legs:
            actual = protection.stop_loss if leg.leg is Leg.STOP_LOSS else protection.take_profit
            if actual is None or actual == leg.level or leg.order_id is None or leg.phase is not Phase.ACCEPTED:
                continue
            if leg.leg is Leg.STOP_LOSS:
                leg.stop = actual
            else:
                leg.limit = actual
            out.append(Updated(leg.client_order_id, leg.order_id, leg.units, leg.limit, leg.stop, ts))
        return out

    def _position(self, position: PositionState, ts: int) -> list[Emission]:
        pid = position.position_id
        legs = self.table.legs_of_position(pid)
        if position.units <= 0:
            was = self.table.positions.pop(pid, None)
            if was is None and not legs:
                return []
            out: list[Emission] = []
            for leg in legs:
                if leg.phase is Phase.ACCEPTED and not self._entry_open(leg):
                    leg.phase = Phase.ENDED
                    out.append(Canceled(leg.client_order_id, leg.order_id, ts))
            return out
        before = self.table.positions.get(pid)
        self.table.positions[pid] = position
        out = []
        for leg in legs:
            if not self._entry_open(leg):
                out += self._resize(leg, leg.filled + position.units, ts)
        protection = position.protection
        if any(self._exact_pending(leg) for leg in legs):
            return out  # the levels are about to be set to the point; what stands now is provisional
        if protection is not None:
            out += self._levels(legs, protection, ts)
        if before is not None and before.protection is not None:
            out += self._lost_levels(legs, before.protection, protection, position, ts)
        return out

    def _lost_levels(
        self,
        legs: list[TrackedOrder],
        before: Protection,
        now: Protection | None,
        position: PositionState,
        ts: int,
    ) -> list[Emission]:
        out: list[Emission] = []
        for leg in legs:
            stop = leg.leg is Leg.STOP_LOSS
            had = before.stop_loss if stop else before.take_profit
            has = None if now is None else now.stop_loss if stop else now.take_profit
            if had is None or has is not None or leg.phase is not Phase.ACCEPTED:
                continue
            leg.phase = Phase.ENDED
            out.append(Canceled(leg.client_order_id, leg.order_id, ts))
            if stop:
                out.append(Warn(f"{position.symbol}: position {position.position_id} has lost its stop loss"))
        return out

    def unset(self, position: PositionState) -> list[TrackedOrder]:
        """Levels told to be in force that a position does not have, though nothing is about to set them."""
        protection = position.protection or Protection()
        has = {Leg.STOP_LOSS: protection.stop_loss, Leg.TAKE_PROFIT: protection.take_profit}
        return [
            leg
            for leg in self.table.legs_of_position(position.position_id)
            if leg.leg is not None and has[leg.leg] is None and leg.phase is Phase.ACCEPTED
            if not self._entry_open(leg) and not self._exact_pending(leg)
        ]

    def on_unset(self, position: PositionState, ts_ns: int) -> list[Emission]:
        """What follows when they are still missing after a while: the broker took the order and not its levels."""
        out: list[Emission] = []
        for leg in self.unset(position):
            leg.phase = Phase.ENDED
            out.append(Canceled(leg.client_order_id, leg.order_id, ts_ns))
            if leg.leg is Leg.STOP_LOSS:
                where = f"{position.symbol}: position {position.position_id}"
                out.append(Warn(f"{where} has no stop loss at the broker, {leg.level} was asked for", halt=True))
        return out

    def _entry_open(self, leg: TrackedOrder) -> bool:
        parent = self.table.get(leg.parent) if leg.parent else None
        return parent is not None and parent.phase is not Phase.ENDED

    def _exact_pending(self, leg: TrackedOrder) -> bool:
        parent = self.table.get(leg.parent) if leg.parent else None
        return parent is not None and (parent.wants_exact or parent.client_order_id in self.settling)

    def waits(self, state: OrderState) -> bool:
        """Whether a closing order without an owner may yet turn out to be a close of ours."""
        nameless = state.closing and state.type is not OrderType.PROTECTION and not state.stop_out
        return nameless and self.table.close_under_way(state.position_id, state.units)

    def _revived(self, state: OrderState, told: list[Emission]) -> list[Emission]:
        """An order of ours that was given up or refused, and has just been introduced as a stranger's: it lives.

        The framework takes no fill for an order it was told to be rejected, so its position stands apart."""
        ours = self.table.by_order_id(state.order_id) or self.table.by_text(state.client_order_id)
        if ours is None or not ours.rejected or not any(isinstance(e, StrangerOrder) and e.introduce for e in told):
            return []
        where = f"lives at the broker as order {state.order_id}"
        return [Warn(f"{ours.client_order_id} was told rejected, and {where}; it stands under EXTERNAL", halt=True)]

    def _stranger(self, event: OrderChanged) -> list[Emission]:
        state, deal = event.order, event.deal
        out: list[Emission] = []
        if deal is not None:
            if state.status is OrderStatus.FILLED:
                self.table.foreign.pop(state.order_id, None)
            if self.table.deal_told(deal) or self.waits(state):
                return out
            if self.table.introduce(state.order_id):
                met_less = state.status is OrderStatus.FILLED and Decimal(0) < state.filled_units < state.units
                out.append(
                    StrangerOrder(replace(state, units=state.filled_units) if met_less else state, introduce=True)
                )
            out.append(StrangerFill(deal))
            if state.status is not OrderStatus.FILLED:  # to the framework it is open now, until its end is told
                self.table.foreign[state.order_id] = state.symbol
            self.table.mark_deal(deal.deal_id)
            if state.stop_out or deal.reason is DealReason.STOP_OUT:
                out.append(
                    Warn(
                        f"stop-out: the broker closed {deal.units} {deal.symbol} of position {deal.position_id} at "
                        f"{deal.price}",
                        halt=True,
                    )
                )
            if deal.reason is DealReason.ROLLOVER and deal.entry is DealEntry.IN and self.table.held(deal.position_id):
                text = f"the broker closed position {deal.position_id} of {deal.symbol} at its midnight and opened it again"
                out.append(
                    Warn(
                        f"{text} at {deal.price}; it stands under EXTERNAL, its strategy took it for closed", halt=True
                    )
                )
            return out
        if event.change in (OrderChange.CANCEL_REJECTED, OrderChange.AMEND_REJECTED, OrderChange.REJECTED):
            return out
        if state.status.is_open:
            if state.closing or state.type in (OrderType.MARKET, OrderType.MARKET_RANGE, OrderType.PROTECTION):
                # Levels are told by their position; closing and market orders matter when they have a deal.
                return out
            self.table.foreign[state.order_id] = state.symbol
        elif self.table.foreign.pop(state.order_id, None) is None:
            return out
        introduce = self.table.introduce(state.order_id)
        out.append(StrangerOrder(state, introduce=introduce and state.status.is_open))
        return out
