"""The state of the account at start, as the framework's mass status: positions with the true deals that made them.

The framework starts with an empty cache, so everything it shall know comes from here. For each open position of ours:
the orders that opened and reduced it with their fills (true prices, commissions and deal ids), then the position. Legs
of brackets come back under the client order ids of the earlier run. Positions of strangers are told later, as reports,
so that a strategy which claims its instrument does not inherit a manual trade.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from nautilus_trader.model import FillReport, OrderStatusReport, PositionStatusReport

from pepperstone_adapter.broker.orders import Deal, DealEntry, OrderState, OrderStatus, OrderType, PositionState
from pepperstone_adapter.broker.session import BrokerSnapshot
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.reconciliation import AHEAD_NS, deals_by_position, explains, left_open, signed
from pepperstone_adapter.live.tracking import CLOSE, ENTRY, LEG, OrderTable, Phase, TrackedOrder
from pepperstone_adapter.mapping.id_store import IdStore, OrderRecord
from pepperstone_adapter.mapping.ids import Leg, is_our_tag, leg_text, strategy_of
from pepperstone_adapter.mapping.reports import ReportMaker


@dataclass(slots=True)
class StartState:
    """What is told at start, and what is told afterwards."""

    orders: list[OrderStatusReport] = field(default_factory=list)
    fills: list[FillReport] = field(default_factory=list)
    positions: list[PositionStatusReport] = field(default_factory=list)
    stranger_orders: list[OrderState] = field(default_factory=list)
    stranger_deals: list[tuple[OrderState, list[Deal]]] = field(default_factory=list)
    made_up: set[str] = field(default_factory=set)  # symbols of positions whose fill the framework has to make up
    warnings: list[str] = field(default_factory=list)


class StartReader:
    """Turns a snapshot and a deal history into reports and fills the order table.

    Parameters
    ----------
    store
        The ids of earlier runs.
    """

    def __init__(
        self, connection: Connection, table: OrderTable, store: IdStore, reports: ReportMaker, now_ns: int
    ) -> None:
        self._connection = connection
        self._table = table
        self._store = store
        self._reports = reports
        self._now_ns = now_ns
        self._state = StartState()
        self._told: set[str] = set()  # orders whose fills are told

    def read(self, snapshot: BrokerSnapshot, deals: Iterable[Deal]) -> StartState:
        by_position = deals_by_position(sorted(deals, key=lambda d: d.ts_ns))  # one listed late may be an early one
        for found in by_position.values():
            for deal in found:
                self._table.mark_deal(deal.deal_id)
        for position in snapshot.positions:
            self._table.positions[position.position_id] = position
            self._position(position, by_position.pop(position.position_id, []))
        working = {o.order_id for o in snapshot.orders if o.filled_units}
        for position_id, found in by_position.items():
            if not working.isdisjoint(d.order_id for d in found) and not signed(found):
                self._closed(found)
            elif left_open(found):  # its closing deal lags, and closes what the framework was never told of
                self._table.whole_until[position_id] = self._now_ns + AHEAD_NS
                self._state.warnings.append(
                    f"position {position_id} ({found[0].symbol}): by its deals it is open, and the broker does not show it"
                )
        for order in snapshot.orders:
            self._working(order)
        return self._state

    def _position(self, position: PositionState, deals: list[Deal]) -> None:
        groups, records = self._orders_of(deals)
        ours = is_our_tag(position.tag) or any(r is not None for r in records.values())
        instrument = self._connection.load(position.symbol)
        if instrument is None:
            self._state.warnings.append(
                f"position {position.position_id} on unknown symbol {position.symbol} not shown"
            )
            return
        complete = explains(position, deals)
        if not complete:
            self._table.whole_until[position.position_id] = position.updated_ns  # what is missing may still come
            self._state.made_up.add(position.symbol)
            self._state.warnings.append(
                f"position {position.position_id} ({position.symbol}): its deals are not all in the history read; "
                "shown at its opening price, without its commissions"
            )
        if not ours and complete:
            self._state.stranger_deals += groups
            return
        if complete:
            for state, group in groups:
                self._history(state, group, records[state.order_id])
        self._state.positions.append(self._reports.position(position, instrument, self._now_ns))
        for record in records.values():
            if record is not None and record.kind == ENTRY:  # its fill may not have been noted
                self._store.place_legs(record.client_order_id, position.position_id)
        self._legs(position)

    def _orders_of(
        self, deals: list[Deal]
    ) -> tuple[list[tuple[OrderState, list[Deal]]], dict[str, OrderRecord | None]]:
        groups = [(_order_of(group), group) for group in _by_order(deals)]
        return groups, {state.order_id: self._record(state) for state, _ in groups}

    def _closed(self, deals: list[Deal]) -> None:
        """A position that is gone, and whose order works on: of an order that is told to be filled in part, the framework
        makes up a fill, and a position, where it is not told what became of that part."""
        groups, records = self._orders_of(deals)
        if any(record is not None for record in records.values()) and self._connection.load(deals[0].symbol):
            for state, group in groups:
                self._history(state, group, records[state.order_id])

    def _history(self, state: OrderState, deals: list[Deal], record: OrderRecord | None) -> None:
        instrument = self._connection.instruments[state.symbol]
        self._told.add(state.order_id)
        cid = record.client_order_id if record else None
        # A leg that filled in parts is still known under its own venue id.
        shown = record.order_id if record is not None and record.leg is not None else None
        if shown is not None:
            state = replace(state, order_id=shown)
        self._state.orders.append(self._reports.order(state, instrument, self._now_ns, client_order_id=cid))
        for deal in deals:
            self._state.fills.append(self._reports.fill(deal, instrument, self._now_ns, cid, venue_order_id=shown))

    def _legs(self, position: PositionState) -> None:
        protection = position.protection
        pid = position.position_id
        noted = sorted(
            self._store.legs_of(pid), key=lambda r: r.order_id is not None
        )  # what the broker took comes last
        records = {leg: self._named(r, pid) for leg, r in {r.leg: r for r in noted}.items() if leg is not None}
        for leg, record in records.items():
            stop = leg is Leg.STOP_LOSS
            level = None if protection is None else protection.stop_loss if stop else protection.take_profit
            if level is None:
                self._store.note(record.client_order_id, ended=True)
                if stop:
                    text = (
                        f"{position.symbol}: position {position.position_id} has lost its stop loss since the last run"
                    )
                    self._state.warnings.append(text)
                continue
            sibling = records.get(leg.sibling)
            instrument = self._connection.instruments[position.symbol]
            self._state.orders.append(
                self._reports.leg(
                    leg,
                    record.order_id or "",
                    position,
                    level,
                    instrument,
                    self._now_ns,
                    record.client_order_id,
                    sibling.client_order_id if sibling else None,
                )
            )
            order = tracked(record, Phase.ACCEPTED)
            order.units = position.units
            order.position_id = position.position_id
            order.stop, order.limit = (level, None) if stop else (None, level)
            order.trails = stop and protection is not None and protection.trailing
            self._table.add(order)

    def _named(self, record: OrderRecord, key: str) -> OrderRecord:
        """A leg with its venue id, made anew where it was not noted any more."""
        if record.order_id is not None or record.leg is None:
            return record
        text = leg_text(key, record.leg)
        self._store.note(record.client_order_id, order_id=text)
        return replace(record, order_id=text)

    def _working(self, state: OrderState) -> None:
        if state.type is OrderType.PROTECTION or state.closing:
            return
        record = self._record(state)
        instrument = self._connection.load(state.symbol)
        if record is None or instrument is None:
            self._state.stranger_orders.append(state)
            return
        held = state.position_id is not None and state.position_id in self._table.positions
        if state.filled_units and state.order_id not in self._told and not held:
            self._state.warnings.append(
                f"{record.client_order_id}: the part that is filled is out of reach and not shown"
            )
            state = replace(state, status=OrderStatus.ACCEPTED, filled_units=Decimal(0))
        self._state.orders.append(
            self._reports.order(
                state,
                instrument,
                self._now_ns,
                client_order_id=record.client_order_id,
            )
        )
        order = tracked(record, Phase.ACCEPTED)
        order.order_id, order.position_id = state.order_id, state.position_id
        order.units, order.filled = state.units, state.filled_units
        order.limit, order.stop = state.limit_price, state.stop_price
        self._table.add(order)
        for leg_record in self._store.open_records():
            told = self._table.get(leg_record.client_order_id)  # with the position of the part that is filled
            if leg_record.parent == record.client_order_id and told is None:
                self._pending_leg(leg_record, state)

    def _pending_leg(self, record: OrderRecord, entry: OrderState) -> None:
        protection, leg = entry.protection, record.leg
        if protection is None or leg is None or protection.distance:
            return
        record = self._named(record, entry.position_id or entry.order_id)
        level = protection.stop_loss if leg is Leg.STOP_LOSS else protection.take_profit
        if level is None:
            return
        instrument = self._connection.instruments[entry.symbol]
        opening = PositionState(
            position_id=entry.position_id or entry.order_id,
            symbol=entry.symbol,
            side=entry.side,
            units=entry.units,
            open_price=entry.limit_price or entry.stop_price or level,
            opened_ns=entry.created_ns,
        )
        self._state.orders.append(
            self._reports.leg(
                leg,
                record.order_id or "",
                opening,
                level,
                instrument,
                self._now_ns,
                record.client_order_id,
                parent=record.parent,
            )
        )
        order = tracked(record, Phase.ACCEPTED)
        order.stop, order.limit = (level, None) if leg is Leg.STOP_LOSS else (None, level)
        order.trails = leg is Leg.STOP_LOSS and protection.trailing
        self._table.add(order)

    def _record(self, state: OrderState) -> OrderRecord | None:
        """Our record of a broker's order; made up from the venue's own texts where the store was lost."""
        text = state.client_order_id
        record = self._store.by_order_id(state.order_id)
        if record is None and text:
            record = self._store.by_venue_text(text)
            if record is not None and state.closing and record.kind == ENTRY and record.side is not state.side:
                return None  # a venue may echo an entry's text on the orders that close its position
        return record or told_record(state)


def record_of(order: TrackedOrder) -> OrderRecord:
    """An order as it is noted before it is sent."""
    return OrderRecord(
        client_order_id=order.client_order_id,
        venue_text=order.venue_text,
        strategy_id=order.strategy_id,
        symbol=order.symbol,
        side=order.side,
        units=order.units,
        kind=order.kind,
        leg=order.leg,
        parent=order.parent,
        position_id=order.position_id,
        created_ns=order.submitted_ns,
    )


def told_record(state: OrderState) -> OrderRecord | None:
    """What the broker's own texts say about an order of ours that the store has lost; None for another's."""
    text = state.client_order_id
    if not text or not is_our_tag(state.tag) or state.closing:
        return None
    return OrderRecord(
        client_order_id=text,
        venue_text=text,
        strategy_id=strategy_of(state.tag),
        symbol=state.symbol,
        side=state.side,
        units=state.units,
        kind=ENTRY,
        order_id=state.order_id,
        created_ns=state.created_ns,
    )


def tracked(record: OrderRecord, phase: Phase) -> TrackedOrder:
    """A stored order as a tracked one; prices are filled in by who knows them."""
    return TrackedOrder(
        client_order_id=record.client_order_id,
        venue_text=record.venue_text,
        strategy_id=record.strategy_id,
        symbol=record.symbol,
        side=record.side,
        units=record.units,
        kind={"entry": ENTRY, "close": CLOSE}.get(record.kind, LEG),
        leg=record.leg,
        parent=record.parent,
        phase=phase,
        order_id=record.order_id,
        position_id=record.position_id,
        submitted_ns=record.created_ns,
    )


def _by_order(deals: Iterable[Deal]) -> list[list[Deal]]:
    groups: dict[str, list[Deal]] = {}
    for deal in deals:
        groups.setdefault(deal.order_id, []).append(deal)
    return list(groups.values())


def _order_of(deals: list[Deal]) -> OrderState:
    """The order that a group of deals filled, as far as deals tell."""
    units = sum((d.units for d in deals), Decimal(0))
    first = deals[0]
    return OrderState(
        order_id=first.order_id,
        symbol=first.symbol,
        side=first.side,
        type=OrderType.MARKET,
        status=OrderStatus.FILLED,
        units=units,
        filled_units=units,
        average_price=sum((d.units * d.price for d in deals), Decimal(0)) / units,
        client_order_id=first.client_order_id,
        position_id=first.position_id,
        closing=first.entry in (DealEntry.OUT, DealEntry.OUT_BY),
        tag=first.tag,
        created_ns=first.ts_ns,
        updated_ns=deals[-1].ts_ns,
    )
