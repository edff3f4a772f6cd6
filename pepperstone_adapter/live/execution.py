"""The execution client, for every venue: the framework's commands in, its order events out.

A hook decides without waiting (deny, or note the intent, hand the order to the session and mark it as submitted), then
a task of its own waits for the answer. Everything the broker says goes through `order_events` and comes out through
`emit`; this file joins them.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from nautilus_trader.common import Logger
from nautilus_trader.live.clients import ExecutionClient
from nautilus_trader.model import (
    AccountId,
    AccountType,
    ClientOrderId,
    Currency,
    ExecutionMassStatus,
    FillReport,
    OmsType,
    OrderInitialized,
    OrderStatusReport,
    PositionStatusReport,
    TraderId,
    Venue,
    VenueOrderId,
)

from pepperstone_adapter.broker.account import AccountSnapshot, PositionMode
from pepperstone_adapter.broker.events import (
    AccountChanged,
    LinkDown,
    LinkUp,
    Notice,
    OrderChanged,
    PositionChanged,
)
from pepperstone_adapter.broker.orders import OrderState
from pepperstone_adapter.common.errors import ConfigurationError, DataError, OutcomeUnknown, PepperstoneError
from pepperstone_adapter.common.files import file_name_of
from pepperstone_adapter.live.agreement import Agreement
from pepperstone_adapter.live.config import LiveExecConfig
from pepperstone_adapter.live.connection import Connection, TradingEvent
from pepperstone_adapter.live.data import publish_quotes
from pepperstone_adapter.live.emissions import CancelRejected, Emission, SetExactLevels, Warn
from pepperstone_adapter.live.emit import LATER_S, Emitter
from pepperstone_adapter.live.keys import check_terms
from pepperstone_adapter.live.mass_status import record_of, tracked
from pepperstone_adapter.live.order_events import OrderEvents
from pepperstone_adapter.live.planning import (
    Close,
    Open,
    Plan,
    Surroundings,
    changed_level,
    plan_bracket,
    plan_order,
)
from pepperstone_adapter.live.questions import Questions
from pepperstone_adapter.live.reconciliation import Reconciler
from pepperstone_adapter.live.sending import Sender
from pepperstone_adapter.live.shares import Shares
from pepperstone_adapter.live.startup import Startup
from pepperstone_adapter.live.stopping import SETTLE_S, settle
from pepperstone_adapter.live.tracking import CLOSE, ENTRY, LEG, OrderTable, Phase, TrackedOrder
from pepperstone_adapter.mapping.id_store import IdStore
from pepperstone_adapter.mapping.orders import NotSendable, bracket_of, check_price
from pepperstone_adapter.mapping.reports import ReportMaker


class BrokerExecutionClient(ExecutionClient):
    """Orders and account of one connection.

    Parameters
    ----------
    account_id
        What the framework calls the account; carries the account number masked.
    mode, currency
        Of the account, from the settings; a broker that reports others is refused at connect.

    Attributes
    ----------
    halted
        Why no new risk may be taken; None while trading is free. Closing and cancelling go on.
    may_tell_strangers
        Asked before positions and orders of strangers are reported after the start.
    tasks
        What waits for the broker's answer.
    settle_timeout_s
        How long a stop waits for `tasks` and for market orders to fill.
    """

    def __init__(
        self,
        *,
        name: str,
        config: LiveExecConfig,
        cache: Any,
        clock: Any,
        trader_id: TraderId,
        connection: Connection,
        venue: Venue,
        account_id: AccountId,
        mode: PositionMode,
        currency: str,
    ) -> None:
        netting = mode is PositionMode.NETTING
        super().__init__(
            name=name,
            config=config,
            cache=cache,
            clock=clock,
            trader_id=trader_id,
            venue=venue,
            account_id=account_id,
            account_type=AccountType.MARGIN,
            oms_type=OmsType.NETTING if netting else OmsType.HEDGING,
            base_currency=Currency.from_str(currency),
        )
        self.connection = connection
        self.table = OrderTable()
        self.halted: str | None = None
        self.came_back: set[str] = set()  # orders of an earlier run, which the framework is told of as if they were new
        self.may_tell_strangers: Callable[[], bool] = lambda: True
        self._mode, self._currency = mode, currency
        self._netting = netting
        self.shares = Shares(cache, venue) if netting else None
        self.settings = config
        self.settle_timeout_s = SETTLE_S
        self.tasks: set[asyncio.Task[object]] = set()
        self.log = Logger(name)
        self._reports = ReportMaker(account_id, Currency.from_str(currency), netting)
        self._store: IdStore | None = None
        self._events = OrderEvents(self.table, netting, self._recall)
        self._emitter: Emitter | None = None
        self.reconciler = Reconciler(
            connection=connection,
            table=self.table,
            events=self._events,
            perform=self.perform,
            now_ns=clock.timestamp_ns,
            log=self.log,
            agreement=Agreement(cache, venue, netting, connection.specs),
            answer_deadline_s=config.answer_deadline_s,
            give_up_after_s=config.give_up_after_s,
        )
        self.sender = Sender(
            connection, self.table, self._events, self.reconciler, self.perform, clock.timestamp_ns, self.log
        )
        self.questions = Questions(self, self._events, self._reports, self.log)
        self._startup: Startup  # made in _connect, before the framework can ask

    # -- life ---------------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        await self.connection.start()
        with self.connection.noting_errors():
            self._open_books()

    def _open_books(self) -> None:
        """What needs the connected account: its terms checked, the id store, the first account state."""
        account = self.connection.account
        if account is None:
            raise ConfigurationError("the broker reported no account")
        check_terms(account, self._mode, self._currency)
        if not account.trading_allowed:
            self.log.error(f"the broker does not allow trading: {account.trading_note or 'no reason given'}")
        name = file_name_of(f"{account.environment.value}-{account.account_number}")
        loop = asyncio.get_running_loop()

        def lost(error: Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._halt, f"an order's note did not reach the disk: {error}")

        self._store = IdStore(Path(self.settings.state_dir) / name / "orders.sqlite", lost)
        self._emitter = Emitter(self, self.connection, self._reports, self._store, self.log)
        self._startup = Startup(self, self._store, self._reports, self._events, self._emitter, self.log)
        if not self.connection.publishes_market:
            publish_quotes(self, self.connection)
        self.tell_account(account)

    async def _disconnect(self) -> None:
        await settle(self, self.settle_timeout_s)
        await self.connection.stop()
        if self._emitter is not None:
            self._emitter.note_waiting()
        if self._store is not None:
            self._store.close()
            self._store = None

    # -- events -------------------------------------------------------------------------------------------------------

    def on_trading(self, event: TradingEvent) -> None:
        if isinstance(event, OrderChanged | PositionChanged):
            self.reconciler.heard(event)
        if isinstance(event, OrderChanged):
            self.perform(self._events.on_order(event))
        elif isinstance(event, PositionChanged):
            self.perform(self._events.on_position(event))
        elif isinstance(event, AccountChanged):
            self.tell_account(event.account)
        elif isinstance(event, LinkUp):
            self.sender.wake()
            self.create_task(self.reconciler.resolve(), "resolve")
        elif isinstance(event, LinkDown) and event.permanent:
            self.halted = self.halted or event.reason
        elif isinstance(event, Notice) and event.halt:
            self._halt(event.text)

    def perform(self, emissions: list[Emission]) -> None:
        """Tell the framework, and do what a decision asks for."""
        if self._emitter is None:
            return
        for emission in emissions:
            if isinstance(emission, SetExactLevels):
                entry = self.table.get(emission.client_order_id)
                if entry is not None:
                    self.start_task(self.sender.exact_levels(entry, emission.position_id), "exact-levels")
                continue
            try:
                self._emitter.emit(emission)
            except Exception as error:  # noqa: BLE001 - what comes after it is true all the same
                self._halt(f"{emission} could not be told to the framework ({type(error).__name__}: {error})")
            if isinstance(emission, Warn) and emission.halt:
                self._halt(emission.text)
        if emissions:
            self.sender.wake()
            if self.shares is not None:
                self.perform(self.shares.taken(emissions))

    def _halt(self, reason: str) -> None:
        if self.halted is None:
            self.log.error(f"no new risk from now on: {reason}; closing and cancelling go on; restart after a look")
        self.halted = self.halted or reason

    def tell_account(self, account: AccountSnapshot) -> None:
        """Tell the framework the account's state."""
        balances, margins = self._reports.balances(account)
        info: dict[str, object] = {"leverage": str(account.leverage)}
        # The framework's own "free" is balance less margin; a broker's counts the open profit as well.
        for key in ("equity", "used_margin", "free_margin"):
            value = getattr(account, key)
            if value is not None:
                info[key] = str(value)
        self.generate_account_state(balances, margins, True, account.ts_ns or self.clock.timestamp_ns(), info)

    def _recall(self, state: OrderState) -> TrackedOrder | None:
        """An order of an earlier run that the start did not see (it was between two states)."""
        if self._store is None:
            return None
        record = self._store.by_order_id(state.order_id)
        if record is None and state.client_order_id:
            record = self._store.by_venue_text(state.client_order_id)
            if record is not None and state.closing and record.side is not state.side:
                return None  # a venue may echo an entry's text on the orders that close its position
        if record is None or record.leg is not None or self.table.get(record.client_order_id) is not None:
            return None
        if self.cache.order(ClientOrderId(record.client_order_id)) is None:
            return None  # the framework does not know it in this run: it is told as a report
        order = tracked(record, Phase.SUBMITTED)
        self.table.add(order)
        return order

    def start_task(self, work: Coroutine[object, object, object], name: str) -> None:
        """Begin what ends with the broker's answer; a stop waits for it."""
        task = self.create_task(work, name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # -- orders -------------------------------------------------------------------------------------------------------

    def _around(self, symbol: str) -> Surroundings:
        spec = self.connection.specs.get(symbol)
        if spec is None:
            raise NotSendable(f"{symbol}: not loaded from this broker; add it to the settings' symbols")
        account = self.connection.account
        closed = None
        if self.connection.fault is not None:
            closed = f"the broker's link is down for good: {self.connection.fault}"
        elif not self.connection.up:
            closed = "the broker's link is down; orders flow again after it has reconnected and reconciled"
        halted = None if self.halted is None else f"trading is halted: {self.halted}"
        if account is not None and not account.trading_allowed:
            forbidden = f"the broker does not allow trading: {account.trading_note or 'no reason given'}"
            closed, halted = (closed, forbidden) if account.closing_allowed else (closed or forbidden, halted)
        return Surroundings(
            spec=spec,
            capabilities=self.connection.session.capabilities,
            market=self.connection.market_view(symbol, self.clock.timestamp_ns()),
            table=self.table,
            netting=self._netting,
            open_gate=closed,
            risk_gate=halted,
            guaranteed_stops=account is not None and account.guaranteed_stops,
        )

    async def _submit_order(self, command: Any) -> None:
        self._submit_one(command.order_init, command.order, command.position_id, command.params)

    def _submit_one(self, init: OrderInitialized, order: Any, position_id: Any, params: dict[str, Any] | None) -> None:
        ticket = str(position_id) if position_id is not None else None
        try:
            plan = plan_order(init, ticket, params, self._around(init.instrument_id.symbol.value))
            if self.shares is not None and isinstance(plan, Close):
                self.shares.check(plan)
            self._note(plan)
        except Exception as error:  # noqa: BLE001 - whatever it is: nothing was sent, and the strategy must hear of it
            self.generate_order_denied(order, self._why_not(error))
            return
        self._launch(plan)

    def _why_not(self, error: Exception) -> str:
        if isinstance(error, NotSendable | DataError):
            return str(error)
        self.log.error(f"an order could not be planned: {type(error).__name__}: {error}")
        return f"not sent: a part of this program broke ({type(error).__name__}: {error})"

    def _note(self, plan: Plan) -> None:
        """The intent first (F82, F87), and on the disk where the broker would not know all of it (ADR 0040)."""
        if self._store is None:
            raise NotSendable("not connected to the broker yet")
        if plan.order.venue_knows:
            self._store.intend(record_of(plan.order))
        else:
            self._store.add([record_of(order) for order in plan.tracked])

    def _launch(self, plan: Plan) -> None:
        cid = plan.order.client_order_id
        for order in plan.tracked:
            self.table.add(order)
        if isinstance(plan, Open):
            sending = self.sender.open(plan), f"submit-{cid}"
        elif isinstance(plan, Close):
            sending = self.sender.close(plan), f"close-{cid}"
        else:
            sending = self.sender.protect(plan), f"protect-{cid}"
        # The order is on its way, whatever comes; its answer comes through this loop: nothing is told before this is.
        self.start_task(*sending)
        if plan.order.venue_knows and self._store is not None:
            asyncio.get_running_loop().call_later(LATER_S, self._store.flush_soon)
        for order in plan.tracked:
            self.generate_order_submitted(self.cache.order(ClientOrderId(order.client_order_id)))

    async def _submit_order_list(self, command: Any) -> None:
        inits = list(command.order_inits)
        orders = {str(i.client_order_id): self.cache.order(i.client_order_id) for i in inits}
        try:
            bracket = bracket_of(inits)
            if bracket is not None:
                around = self._around(bracket.entry.instrument_id.symbol.value)
                plan = plan_bracket(bracket, command.params, around)
                self._note(plan)
        except Exception as error:  # noqa: BLE001 - as for a single order
            for order in orders.values():
                self.generate_order_denied(order, self._why_not(error))
            return
        if bracket is not None:
            self._launch(plan)
            return
        for init in inits:
            self._submit_one(init, orders[str(init.client_order_id)], command.position_id, command.params)

    async def _modify_order(self, command: Any) -> None:
        order = self.table.get(str(command.client_order_id))
        if order is None:
            self._refuse_modify(command, "not an order of this account's clients")
            return
        try:
            self._modify(order, command)
        except NotSendable as reason:
            self._refuse_modify(command, str(reason))

    def _modify(self, order: TrackedOrder, command: Any) -> None:
        around = self._around(order.symbol)
        if around.open_gate is not None:
            raise NotSendable(around.open_gate)
        units = None if command.quantity is None else command.quantity.as_decimal()
        price = None if command.price is None else command.price.as_decimal()
        trigger = None if command.trigger_price is None else command.trigger_price.as_decimal()
        other_units = units not in (None, order.units)
        for value, name in ((price, "price"), (trigger, "trigger price")):
            if value is not None:
                check_price(value, name, around.spec)
        if order.kind == LEG:
            if other_units:
                raise NotSendable("a stop loss or take profit always has its position's volume")
            self.start_task(self.sender.move_leg(order, changed_level(order, price, trigger)), "move-leg")
            return
        if other_units and not around.capabilities.amend_units:
            raise NotSendable("the venue cannot change the volume of a working order: cancel it and send a new one")
        self.start_task(self.sender.amend(order, units, price, trigger), f"amend-{order.client_order_id}")

    def _refuse_modify(self, command: Any, reason: str) -> None:
        order = self.cache.order(command.client_order_id)
        if order is None:
            self.log.warning(f"modify of unknown order {command.client_order_id}")
            return
        self.generate_order_modify_rejected(order, command.venue_order_id, reason, self.clock.timestamp_ns())

    async def _cancel_order(self, command: Any) -> None:
        order = self.table.get(str(command.client_order_id))
        if order is not None:
            self.cancel([order])
            return
        known = self.cache.order(command.client_order_id)
        venue_id = command.venue_order_id or (known.venue_order_id if known is not None else None)
        if known is None:
            self.log.warning(f"cancel of unknown order {command.client_order_id}")
        elif venue_id is None or known.is_closed:
            self.generate_order_cancel_rejected(known, venue_id, "the order is not working", self.clock.timestamp_ns())
        else:
            symbol = known.instrument_id.symbol.value
            self.start_task(self._cancel_stranger(known, str(venue_id), symbol), f"cancel-{venue_id}")

    async def _cancel_stranger(self, order: Any, order_id: str, symbol: str) -> None:
        """A person may cancel a stranger's order through the framework; its end comes back as a report."""
        try:
            await self.connection.session.cancel(order_id, symbol)
        except (PepperstoneError, OutcomeUnknown) as error:
            self.generate_order_cancel_rejected(order, VenueOrderId(order_id), str(error), self.clock.timestamp_ns())

    def cancel(self, orders: list[TrackedOrder]) -> None:
        """Cancel entries one by one and the levels of a position together; an entry takes its own legs with it.

        A close does not wait for a price, and called back it would leave its position open: strategies stop by
        `close_all_positions` and then `cancel_all_orders`, which is a cancel of each order that has not ended.
        """
        now_ns = self.clock.timestamp_ns()
        closes = [o for o in orders if o.kind == CLOSE and o.is_open]
        self.perform(
            [CancelRejected(o.client_order_id, o.order_id, "a close is not called back", now_ns) for o in closes]
        )
        entries = [o for o in orders if o.kind == ENTRY]
        going = {o.client_order_id for o in entries if not o.filled}
        positions: dict[str, list[TrackedOrder]] = {}
        for order in orders:
            if order.kind == LEG and order.parent not in going:
                positions.setdefault(order.position_id or order.parent or "", []).append(order)
        for order in entries:
            self.start_task(self.sender.cancel(order), f"cancel-{order.client_order_id}")
        for legs in positions.values():
            self.start_task(self.sender.drop_legs(legs), f"drop-legs-{legs[0].client_order_id}")

    async def _cancel_all_orders(self, command: Any) -> None:
        found = self.cache.orders_open(
            None, command.instrument_id, command.strategy_id, self.account_id, command.order_side
        ) + self.cache.orders_inflight(
            None, command.instrument_id, command.strategy_id, self.account_id, command.order_side
        )
        ids = dict.fromkeys(str(o.client_order_id) for o in found)
        self.cancel([o for o in map(self.table.get, ids) if o is not None and o.phase is not Phase.ENDED])

    async def _batch_cancel_orders(self, command: Any) -> None:
        known = [(c, self.table.get(str(c.client_order_id))) for c in command.cancels]
        self.cancel([order for _, order in known if order is not None])
        for cancel, order in known:
            if order is None:
                await self._cancel_order(cancel)

    # -- questions ----------------------------------------------------------------------------------------------------

    async def _query_account(self, _command: Any) -> None:
        self.start_task(self.questions.account(), "query-account")

    async def _query_order(self, command: Any) -> None:
        self.start_task(self.questions.order(str(command.client_order_id), command.venue_order_id), "query-order")

    async def _generate_order_status_report(self, command: Any) -> OrderStatusReport | None:
        cid = str(command.client_order_id) if command.client_order_id is not None else ""
        return await self.questions.order_report(cid, command.venue_order_id)

    async def _generate_order_status_reports(self, _command: Any) -> list[OrderStatusReport]:
        return (await self._startup.read()).orders

    async def _generate_fill_reports(self, _command: Any) -> list[FillReport]:
        return (await self._startup.read()).fills

    async def _generate_position_status_reports(self, command: Any) -> list[PositionStatusReport]:
        return await self.questions.positions(command.instrument_id)

    async def _generate_mass_status(self, _lookback_mins: int | None) -> ExecutionMassStatus:
        state = await self._startup.read()
        status = ExecutionMassStatus(
            self.client_id, self.account_id, self.venue or Venue(self.connection.venue), self.clock.timestamp_ns()
        )
        self.came_back.update(str(report.client_order_id) for report in state.orders)
        status.add_order_reports(state.orders)
        status.add_fill_reports(state.fills)
        status.add_position_reports(state.positions)
        self.create_task(self._startup.release(state), "release-events")
        return status
