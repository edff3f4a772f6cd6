"""The start of an execution client: read the account once, tell the framework, then let events flow.

The order matters. The session's events are held by the connection from the first moment on; the account is read; the
framework takes the mass status in; only then are strangers reported, the held events applied (each deal is known by its
id, so what was told already is not told again), and the audit started.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from nautilus_trader.common import Logger

from pepperstone_adapter.broker.events import OrderChange, OrderChanged
from pepperstone_adapter.broker.orders import Deal, DealEntry, OrderType
from pepperstone_adapter.broker.session import BrokerSnapshot
from pepperstone_adapter.common.errors import OutcomeUnknown, PepperstoneError
from pepperstone_adapter.live.emissions import StrangerFill, Warn
from pepperstone_adapter.live.emit import Emitter
from pepperstone_adapter.live.mass_status import StartReader, StartState, told_record
from pepperstone_adapter.live.order_events import OrderEvents
from pepperstone_adapter.live.reconciliation import AHEAD_NS, NS, OVERLAP_NS, adds_up, run_forever, volumes
from pepperstone_adapter.mapping.id_store import IdStore
from pepperstone_adapter.mapping.reports import ReportMaker

TAKEN_IN_S = 20.0  # for the framework to apply what the start told it; it takes milliseconds
HISTORY_NS = 370 * 86_400 * NS  # how far back the deals of an open position are read
PAUSES_S = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)  # before each look at an account whose deals lag


class Startup:
    """One start of one execution client (`client`, a `BrokerExecutionClient`)."""

    def __init__(
        self,
        client: Any,
        store: IdStore,
        reports: ReportMaker,
        events: OrderEvents,
        emitter: Emitter,
        log: Logger,
        patience_s: float = TAKEN_IN_S,
    ) -> None:
        self._client = client
        self._connection = client.connection
        self._store = store
        self._reports = reports
        self._events = events
        self._emitter = emitter
        self._log = log
        self._patience_s = patience_s
        self._state: StartState | None = None

    async def read(self) -> StartState:
        """Read the account; the same answer for every question of one start."""
        if self._state is not None:
            return self._state
        now = self._client.clock.timestamp_ns()
        snapshot, deals = await self._read_account(now)
        await self._name_unanswered()
        await self._note_lost(snapshot, deals)
        reader = StartReader(self._connection, self._client.table, self._store, self._reports, now)
        self._state = reader.read(snapshot, deals)
        for instrument in self._connection.instruments.values():
            self._client._handle_instrument(instrument)
        for warning in self._state.warnings:
            self._log.warning(warning)
        self._client.reconciler.start_deals_at(now)
        return self._state

    async def _read_account(self, now_ns: int) -> tuple[BrokerSnapshot, list[Deal]]:
        """The account, and the deals that made it what it is. One is read after the other: a deal made in between would be
        in one of them only, and lists lag. So both are read until nothing has changed and all of it adds up."""
        session, snapshot = self._connection.session, self._connection.snapshot
        made = [p.opened_ns for p in snapshot.positions] + [o.created_ns for o in snapshot.orders if o.filled_units]
        oldest = min(filter(None, made), default=now_ns)
        begin = since = max(min(oldest, now_ns - OVERLAP_NS), now_ns - HISTORY_NS)
        deals: dict[str, Deal] = {}
        for pause_s in PAUSES_S:
            await asyncio.sleep(pause_s)
            deals |= {deal.deal_id: deal for deal in await session.deals(since, now_ns + AHEAD_NS)}
            before, snapshot = snapshot, await session.snapshot()  # last: no deal is newer than what is told of it
            if volumes(before) == volumes(snapshot) and adds_up(snapshot, deals.values(), begin):
                break
            since = max(since, now_ns - OVERLAP_NS)
        return snapshot, list(deals.values())

    async def _name_unanswered(self) -> None:
        """Intents that were killed before their answer: deals do not carry our id, so the order is asked for (F83)."""
        for record in self._store.open_records():
            if record.leg is None and record.order_id is None:
                found = await self._connection.session.find_order(
                    client_order_id=record.venue_text, since_ns=max(0, record.created_ns - 60 * NS)
                )
                if found is not None:
                    self._store.note(record.client_order_id, order_id=found.order.order_id)

    async def _note_lost(self, snapshot: BrokerSnapshot, deals: Sequence[Deal]) -> None:
        """Opening orders whose notes a power cut took: the newest ones, and the broker knows whose they are (ADR 0040).
        Deals carry no texts, so the orders behind the open positions are asked for."""
        since = self._store.newest_ns() - OVERLAP_NS
        held = {p.position_id for p in snapshot.positions}
        opening = {
            d.order_id
            for d in deals
            if d.position_id in held and d.entry in (DealEntry.IN, DealEntry.IN_OUT) and d.ts_ns >= since
        }
        orders = [o for o in snapshot.orders if o.type is not OrderType.PROTECTION]
        for order_id in sorted(opening):
            if self._store.by_order_id(order_id) is None:
                found = await self._connection.session.find_order(order_id=order_id)
                if found is not None:
                    orders.append(found.order)
        for order in orders:
            record = told_record(order)
            if record is not None and self._store.by_venue_text(record.venue_text) is None:
                self._log.info(f"{record.client_order_id}: its note was lost; noted again from the broker's order")
                self._store.intend(record)
                self._store.flush_soon()

    async def release(self, state: StartState) -> None:
        """When the framework has taken `state` in: strangers, what happened to them and ours meanwhile, the audit, and old
        intents."""
        await self._taken_in(state)
        self._emitter.not_before_ns = dict.fromkeys(state.made_up, self._client.clock.timestamp_ns())
        try:
            self._tell_strangers(state)
        finally:  # whatever goes wrong with the rest: events flow, and unanswered requests are asked about
            self._connection.release_trading(self._client.on_trading)
            self._client.create_task(
                run_forever(self._client.reconciler, self._client.settings.audit_interval_s), "reconcile"
            )
        await self._forget_never_sent()

    def _tell_strangers(self, state: StartState) -> None:
        for order in state.stranger_orders:
            accepted = OrderChanged(change=OrderChange.ACCEPTED, order=order, ts_ns=order.created_ns)
            self._client.perform(self._events.on_order(accepted))
        for order, deals in state.stranger_deals:
            self._client.table.introduce(order.order_id)
            self._emitter.stranger(order, introduce=True)
            self._client.perform([StrangerFill(deal) for deal in deals])

    async def _taken_in(self, state: StartState) -> None:
        """Wait until the framework has taken in the orders it was told of, and made up the fills it had to. One that it
        leaves out must not hold back the fills of all others for ever: a person has to look, and they flow."""
        cache, loop = self._client.cache, asyncio.get_running_loop()
        named = [r.client_order_id for r in state.orders if r.client_order_id is not None]
        made_up = [self._connection.instruments[symbol].id for symbol in sorted(state.made_up)]
        while not self._client.may_tell_strangers():  # noqa: ASYNC110 - the node runs when it may
            await asyncio.sleep(0.02)
        deadline = loop.time() + self._patience_s

        def missing() -> list[str]:
            positions = [f"a position in {one}" for one in made_up if not cache.positions_open(None, one)]
            return [str(cid) for cid in named if cache.order(cid) is None] + positions

        # The framework's cache has no event to wait for.
        while missing() and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        if missing():
            text = f"the framework has not taken in {', '.join(missing())}, which the broker has; look at the account"
            self._client.perform([Warn(text, halt=True)])

    async def _forget_never_sent(self) -> None:
        """Intents of an earlier run that the broker never saw are closed; they are never sent now (F82)."""
        self._store.forget_ended(self._client.clock.timestamp_ns() - HISTORY_NS)
        for record in self._store.open_records():
            if record.leg is not None or self._client.table.get(record.client_order_id) is not None:
                continue
            try:
                found = await self._connection.session.find_order(
                    client_order_id=record.venue_text,
                    order_id=record.order_id,
                    since_ns=max(0, record.created_ns - 60 * NS),
                )
            except (PepperstoneError, OutcomeUnknown) as error:
                self._log.warning(f"{record.client_order_id} of an earlier run could not be looked up: {error}")
                continue
            if found is None:
                self._log.info(f"{record.client_order_id} of an earlier run was never sent")
            if found is None or not found.order.status.is_open:
                self._store.note(record.client_order_id, ended=True)
                for leg in self._store.open_records():
                    if leg.parent == record.client_order_id and found is None:
                        self._store.note(leg.client_order_id, ended=True)
