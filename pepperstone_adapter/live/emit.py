"""Emissions of `order_events` as calls into the framework: the second half of "decide, then emit".

Also keeps the id store in step: what the framework is told about an order's venue ids and its end is noted there.
"""

import asyncio
import sqlite3
from dataclasses import replace
from typing import Any

from nautilus_trader.common import Logger
from nautilus_trader.model import ClientOrderId, LiquiditySide, OrderStatus, Price, Quantity, VenueOrderId

from pepperstone_adapter.broker.orders import Deal, OrderState
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.emissions import (
    Accepted,
    AmendRejected,
    Canceled,
    CancelRejected,
    Emission,
    Expired,
    Filled,
    Rejected,
    StrangerFill,
    StrangerOrder,
    Updated,
    Warn,
)
from pepperstone_adapter.mapping.id_store import IdStore
from pepperstone_adapter.mapping.ids import position_id, trade_id
from pepperstone_adapter.mapping.reports import ReportMaker, fill_price

#: What need not be on the disk while somebody waits for an order's news is begun so much later.
LATER_S = 0.005


class Emitter:
    """Tells the framework, through one execution client.

    Parameters
    ----------
    client
        The framework's execution client (its `generate_…` methods, cache and clock).

    Attributes
    ----------
    not_before_ns
        By symbol: strangers' fills bear no earlier time. Where the framework made up the fill of a position, it drops those
        that are older without a word, of other tickets too.
    """

    def __init__(self, client: Any, connection: Connection, reports: ReportMaker, store: IdStore, log: Logger) -> None:
        self._client = client
        self._connection = connection
        self._reports = reports
        self._store = store
        self._log = log
        self._waiting: list[Emission] = []
        self.not_before_ns: dict[str, int] = {}

    def emit(self, emission: Emission) -> None:
        """Tell, then note: a strategy waits for the one, and what a crash takes of the other is found at a start.

        The framework hands on what it is told in a later turn of the loop. What is found again for certain is noted
        after that.
        """
        try:
            self._tell(emission)
        finally:
            if self._can_wait(emission):
                self._waiting.append(emission)
                if len(self._waiting) == 1:
                    asyncio.get_running_loop().call_later(LATER_S, self.note_waiting)
            else:
                self._note_now(emission)

    def _can_wait(self, emission: Emission) -> bool:
        if not isinstance(emission, Accepted | Filled):
            return False
        order = self._client.table.get(emission.client_order_id)
        return order is not None and order.venue_knows

    def note_waiting(self) -> None:
        """Note what was told and not noted yet."""
        waiting, self._waiting = self._waiting, []
        for emission in waiting:
            self._note_now(emission)

    def _note_now(self, emission: Emission) -> None:
        try:
            self._note(emission)
        except (sqlite3.Error, OSError) as error:  # a full disk; a start finds it all the same
            self._log.error(f"{type(emission).__name__} could not be noted in the order store: {error}")

    def _tell(self, emission: Emission) -> None:
        match emission:
            case Accepted():
                self._on(emission.client_order_id, self._accepted, emission)
            case Filled():
                self._on(emission.client_order_id, self._filled, emission)
            case Canceled() | Expired():
                self._on(emission.client_order_id, self._ended, emission)
            case Rejected():
                self._on(emission.client_order_id, self._rejected, emission)
            case Updated():
                self._on(emission.client_order_id, self._updated, emission)
            case AmendRejected() | CancelRejected():
                self._on(emission.client_order_id, self._refused, emission)
            case StrangerOrder():
                self.stranger(emission.order, emission.introduce)
            case StrangerFill():
                self._stranger_fill(emission.deal)
            case Warn():
                self._log.error(emission.text) if emission.halt else self._log.warning(emission.text)

    def _note(self, emission: Emission) -> None:
        match emission:
            case Accepted():
                self._store.note(emission.client_order_id, order_id=emission.order_id)
            case Filled():
                position_id = emission.deal.position_id
                ended = True if emission.complete else None
                self._store.note(emission.client_order_id, position_id=position_id, ended=ended)
                self._store.place_legs(emission.client_order_id, position_id)
            case Canceled() | Expired() | Rejected():
                self._store.note(emission.client_order_id, ended=True)

    def _on(self, client_order_id: str, tell: Any, emission: Any) -> None:
        order = self._client.cache.order(ClientOrderId(client_order_id))
        if order is None:
            self._log.warning(f"{client_order_id}: not in the framework's cache, {type(emission).__name__} not told")
            return
        tell(order, emission)

    def _accepted(self, order: Any, e: Accepted) -> None:
        self._client.generate_order_accepted(order, VenueOrderId(e.order_id), e.ts_ns)

    def _filled(self, order: Any, e: Filled) -> None:
        instrument = self._connection.instruments[e.deal.symbol]
        self._client.generate_order_filled(
            order,
            VenueOrderId(e.order_id),
            position_id(e.deal.position_id, self._reports.netting),
            trade_id(e.deal),
            Quantity.from_decimal_dp(e.deal.units, instrument.size_precision),
            fill_price(e.deal.price, instrument.price_precision),
            instrument.quote_currency,
            self._reports.commission(e.deal, instrument),
            LiquiditySide.TAKER,
            e.deal.ts_ns,
        )

    def _ended(self, order: Any, e: Canceled | Expired) -> None:
        venue_id = VenueOrderId(e.order_id) if e.order_id else None
        if isinstance(e, Expired):
            self._client.generate_order_expired(order, venue_id, e.ts_ns)
        else:
            self._client.generate_order_canceled(order, venue_id, e.ts_ns)

    def _rejected(self, order: Any, e: Rejected) -> None:
        self._client.generate_order_rejected(order, e.reason, e.ts_ns, False)

    def _updated(self, order: Any, e: Updated) -> None:
        instrument = self._connection.instruments[order.instrument_id.symbol.value]
        digits = instrument.price_precision
        self._client.generate_order_updated(
            order,
            VenueOrderId(e.order_id),
            Quantity.from_decimal_dp(e.units, instrument.size_precision),
            None if e.limit is None else Price.from_decimal_dp(e.limit, digits),
            None if e.stop is None else Price.from_decimal_dp(e.stop, digits),
            None,
            e.ts_ns,
        )

    def _refused(self, order: Any, e: AmendRejected | CancelRejected) -> None:
        venue_id = VenueOrderId(e.order_id) if e.order_id else None
        if isinstance(e, AmendRejected):
            self._client.generate_order_modify_rejected(order, venue_id, e.reason, e.ts_ns)
        else:
            self._client.generate_order_cancel_rejected(order, venue_id, e.reason, e.ts_ns)

    def stranger(self, state: OrderState, introduce: bool) -> None:
        """A stranger's order as a report of its own, before and apart from its fills."""
        instrument = self._connection.load(state.symbol)
        if instrument is None:
            self._log.warning(f"an order on {state.symbol}, which the broker does not list, is not shown")
            return
        self._client._handle_instrument(instrument)
        self._client._handle_report(
            self._reports.order(
                state,
                instrument,
                self._client.clock.timestamp_ns(),
                status=OrderStatus.ACCEPTED if introduce else None,
                filled=None if not introduce else state.filled_units * 0,
            )
        )

    def _stranger_fill(self, deal: Deal) -> None:
        instrument = self._connection.load(deal.symbol)
        if instrument is None:
            return
        self._client._handle_report(
            self._reports.fill(
                replace(deal, ts_ns=max(deal.ts_ns, self.not_before_ns.get(deal.symbol, 0))),
                instrument,
                self._client.clock.timestamp_ns(),
            )
        )
