"""The asynchronous half of every order command: write it, wait for the broker's answer, say what follows.

`open` and `close` hand the order over when they are called; their coroutines, and all other commands, run as tasks of
their own, so a slow answer never delays the next order (the framework's command queue is
strictly first in, first out). Commands that need the venue's id of an order still on its way wait for it here.

What an error means (design D8): `LinkError` nothing was written; `VenueError` the broker said no; `OutcomeUnknown`
written and not answered, so nothing is said and the reconciler asks. Any other exception is a bug of ours between
writing and reading: the order may be live, so it is treated as unknown and logged loudly.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from decimal import Decimal
from typing import Any, NoReturn
from weakref import WeakValueDictionary

from nautilus_trader.common import Logger

from pepperstone_adapter.broker.events import OrderChange, OrderChanged, PositionChanged
from pepperstone_adapter.broker.orders import AmendRequest, OrderState, OrderStatus, Protection
from pepperstone_adapter.common.errors import LinkError, NotFound, OutcomeUnknown, PepperstoneError, VenueError
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.emissions import AmendRejected, Canceled, CancelRejected, Emission, Updated
from pepperstone_adapter.live.order_events import OrderEvents
from pepperstone_adapter.live.planning import Close, Open, Protect
from pepperstone_adapter.live.reconciliation import Reconciler, terms_of
from pepperstone_adapter.live.tracking import LEG, OrderTable, Phase, TrackedOrder
from pepperstone_adapter.mapping.ids import Leg

#: A link that goes ends its questions first, and is told as lost after that.
TOLD_S = 0.1


class Sender:
    """Sends one account's orders.

    Attributes
    ----------
    round_trip_ms
        Time from writing an order to the broker's answer, the last one; None before the first.
    """

    def __init__(
        self,
        connection: Connection,
        table: OrderTable,
        events: OrderEvents,
        reconciler: Reconciler,
        perform: Callable[[list[Emission]], None],
        now_ns: Callable[[], int],
        log: Logger,
    ) -> None:
        self._connection = connection
        self._table = table
        self._events = events
        self._reconciler = reconciler
        self._perform = perform
        self._now_ns = now_ns
        self._log = log
        self._changed = asyncio.Event()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # while one is held
        self.round_trip_ms: float | None = None

    def wake(self) -> None:
        """Something about an order has changed; those who wait for its venue id look again."""
        self._changed.set()

    def open(self, plan: Open) -> Coroutine[Any, Any, None]:
        """Send a new order; the coroutine waits for its answer."""
        return self._send("submit", plan.order, lambda: self._connection.session.submit(plan.request))

    def close(self, plan: Close) -> Coroutine[Any, Any, None]:
        ticket, text = plan.position.position_id, plan.order.venue_text

        def write() -> Awaitable[OrderState]:
            if plan.by is not None:
                return self._connection.session.close_by(ticket, plan.by.position_id, text)
            return self._connection.session.close_position(ticket, plan.units, text, plan.time_in_force)

        return self._send("close", plan.order, write)

    def _send(
        self, kind: str, order: TrackedOrder, write: Callable[[], Awaitable[OrderState]]
    ) -> Coroutine[Any, Any, None]:
        started = time.perf_counter()
        try:
            answer = write()
        except Exception as error:  # noqa: BLE001 - told apart below, with what the answer raises
            answer = _raising(error)
        return self._wait(kind, order, answer, started)

    async def _wait(self, kind: str, order: TrackedOrder, answer: Awaitable[OrderState], started: float) -> None:
        try:
            state = await answer
        except OutcomeUnknown:
            self._reconciler.unknown(kind, order)
        except LinkError as error:
            self._perform(self._events.reject(order, f"not sent: {error}", self._now_ns()))
        except VenueError as error:
            self._perform(self._events.reject(order, str(error), self._now_ns()))
        except PepperstoneError as error:
            self._perform(self._events.reject(order, f"not sent: {error}", self._now_ns()))
        except Exception as error:  # noqa: BLE001 - between write and answer: never assume it did not arrive
            self._log.error(f"{order.client_order_id}: {type(error).__name__}: {error} while sending; outcome unknown")
            self._reconciler.unknown(kind, order)
        else:
            self.round_trip_ms = (time.perf_counter() - started) * 1000
            self._answered(order, state)

    def _answered(self, order: TrackedOrder, state: OrderState) -> None:
        """The answer names the order; its event may have come before or comes after."""
        if order.phase is not Phase.SUBMITTED:
            return
        if state.status is OrderStatus.REJECTED:
            self._perform(self._events.reject(order, state.reason or "rejected by the broker", self._now_ns()))
            return
        self._table.name(order, state.order_id)
        self._perform(
            self._events.on_order(
                OrderChanged(change=OrderChange.ACCEPTED, order=state, ts_ns=state.updated_ns or self._now_ns())
            )
        )

    async def protect(self, plan: Protect) -> None:
        """Give a position one more level. What else protects it is read when the turn comes, not when it was planned:
        the venue replaces all levels together, so two planned side by side would undo each other."""
        order, pid = plan.order, plan.position.position_id
        async with self._turn(pid):
            in_force = [leg for leg in self._table.legs_of_position(pid) if leg.phase is Phase.ACCEPTED]
            failed = await self._set_levels(order, pid, self._wished([*in_force, order], {}, pid))
            if failed is None:
                self._perform(self._events.accept_leg(order, pid, pid, self._now_ns()))
        if failed is not None:
            self._perform(self._events.reject(order, failed, self._now_ns()))

    async def amend(
        self, order: TrackedOrder, units: Decimal | None, limit: Decimal | None, stop: Decimal | None
    ) -> None:
        """Change a working order. The broker's event, or else its answer, tells the framework.

        Venues want the whole order with every change; two side by side would each say what the other has just changed.
        """
        async with self._turn(order.client_order_id):
            await self._amend(order, units, limit, stop)

    async def _amend(
        self, order: TrackedOrder, units: Decimal | None, limit: Decimal | None, stop: Decimal | None
    ) -> None:
        if not await self._named(order):
            self._refuse_amend(order, "the order is not working")
            return
        request = AmendRequest(
            order_id=order.order_id or "",
            symbol=order.symbol,
            units=units if units != order.units else None,
            limit_price=limit if limit != order.limit else None,
            stop_price=stop if stop != order.stop else None,
        )
        if request.units is None and request.limit_price is None and request.stop_price is None:
            self._refuse_amend(order, "nothing to change")
            return
        before = terms_of(order)
        try:
            state = await self._connection.session.amend(request)
        except OutcomeUnknown:
            self._reconciler.unknown("amend", order, before)
        except PepperstoneError as error:
            self._refuse_amend(order, str(error))
        else:
            ts_ns = state.updated_ns or self._now_ns()
            self._perform(self._events.on_order(OrderChanged(change=OrderChange.REPLACED, order=state, ts_ns=ts_ns)))
            if terms_of(order) == before and order.phase is Phase.ACCEPTED:  # taken, and by its word as it was
                as_it_is = Updated(order.client_order_id, state.order_id, order.units, order.limit, order.stop, ts_ns)
                self._perform([as_it_is])

    def _refuse_amend(self, order: TrackedOrder, reason: str) -> None:
        self._perform([AmendRejected(order.client_order_id, order.order_id, reason, self._now_ns())])

    async def move_leg(self, leg: TrackedOrder, level: Decimal) -> None:
        """Change a stop loss or take profit."""
        failed = await self._apply_levels(leg, {leg.leg or Leg.STOP_LOSS: level})
        if failed is not None:
            self._refuse_amend(leg, failed)
        elif leg.phase is Phase.ACCEPTED and leg.level != level and leg.order_id is not None:
            if leg.leg is Leg.STOP_LOSS:
                leg.stop = level
            else:
                leg.limit = level
            self._perform([Updated(leg.client_order_id, leg.order_id, leg.units, leg.limit, leg.stop, self._now_ns())])

    async def drop_legs(self, legs: list[TrackedOrder]) -> None:
        """Remove levels of one position (or of one working entry)."""
        failed = await self._apply_levels(legs[0], {leg.leg or Leg.STOP_LOSS: None for leg in legs})
        for leg in legs:
            if leg.phase is Phase.ENDED:
                continue
            if failed is not None:
                self._perform([CancelRejected(leg.client_order_id, leg.order_id, failed, self._now_ns())])
            else:
                leg.phase = Phase.ENDED
                self._perform([Canceled(leg.client_order_id, leg.order_id, self._now_ns())])

    async def exact_levels(self, entry: TrackedOrder, position_id: str) -> None:
        """After a market fill: replace the distances that were sent by the levels that were asked for."""
        failed: str | None = None
        try:
            await self.link(timeout_s=300.0)  # the fill may have been learnt while reconnecting
            async with self._turn(position_id):
                legs = self._table.legs_of_position(position_id)
                if legs:
                    wished = self._wished(legs, {}, position_id)
                    # Nobody else asks for these: a link that is lost just now must not be the last word.
                    again_on = (OutcomeUnknown, LinkError)
                    failed = await self._set_levels(entry, position_id, wished, again_on=again_on)
        finally:
            self._events.settling.discard(entry.client_order_id)
        position = self._table.positions.get(position_id)
        if failed is None or position is None:
            return
        has = position.protection or Protection()
        self._log.error(
            f"{entry.client_order_id}: the exact stop loss and take profit were refused ({failed}); the broker shows stop "
            f"loss {has.stop_loss}, take profit {has.take_profit}"
        )
        self._perform(self._events.on_position(PositionChanged(position=position, ts_ns=self._now_ns())))

    async def _apply_levels(self, leg: TrackedOrder, changes: dict[Leg, Decimal | None]) -> str | None:
        """Set the whole protection with `changes` applied; the reason when the broker said no."""
        entry = self._table.get(leg.parent) if leg.parent else None
        if entry is not None and entry.kind != LEG and entry.phase is not Phase.ENDED and not entry.filled:
            async with self._turn(entry.client_order_id):
                refused = await self._amend_protection(entry, changes)
            if refused is None or not entry.filled:
                return refused
            await self._named(leg)  # it has filled meanwhile: its levels are a position's now
        if leg.position_id is None:
            return "the position is not known yet"
        async with self._turn(leg.position_id):
            protection = self._wished(self._table.legs_of_position(leg.position_id), changes, leg.position_id)
            return await self._set_levels(leg, leg.position_id, protection)

    def _turn(self, owner_id: str) -> asyncio.Lock:
        """One change at a time to the levels of a position, or to an order that works: all is replaced together."""
        return self._locks.setdefault(owner_id, asyncio.Lock())

    async def _amend_protection(self, entry: TrackedOrder, changes: dict[Leg, Decimal | None]) -> str | None:
        if entry.limit is None and entry.stop is None:
            await self._ended(entry)  # a market order fills or is refused in a moment, and cannot be amended
        if not await self._named(entry):
            return "the entry is not working"
        protection = self._wished(self._table.legs_of_entry(entry.client_order_id), changes, None)
        request = AmendRequest(order_id=entry.order_id or "", symbol=entry.symbol, protection=protection)
        try:
            return await self._surely(
                entry, protection, lambda: self._connection.session.amend(request), lambda: self._entry_levels(entry)
            )
        except NotFound as error:
            # It works no longer: if it has filled and we have not been told, its levels are a position's by now.
            await self._look(entry)
            return str(error)
        except PepperstoneError as error:
            return str(error)

    async def _surely(
        self,
        order: TrackedOrder,
        wished: Protection,
        set_levels: Callable[[], Awaitable[object]],
        read: Callable[[], Awaitable[Protection | None]],
        again_on: tuple[type[PepperstoneError], ...] = (OutcomeUnknown,),
    ) -> str | None:
        """Set levels. Levels are no order: setting them again is harmless, so where it was not answered they are set
        once more when the link is back, rather than guessed; the reason where that was in vain."""
        try:
            await set_levels()
            return None
        except again_on as error:
            self._log.warning(f"{order.client_order_id}: levels not answered ({error}); set again after reconnecting")
        await asyncio.sleep(TOLD_S)
        if not await self.link(timeout_s=300.0):
            return "the link did not come back in five minutes; check the levels"
        try:
            await set_levels()
        except OutcomeUnknown:
            return await self._still(wished, read)
        return None

    async def _entry_levels(self, entry: TrackedOrder) -> Protection | None:
        found = await self._reconciler.find(entry)
        if found is None or not found.order.status.is_open:
            raise NotFound("ORDER_NOT_FOUND", f"{entry.client_order_id} is not working any more")
        return found.order.protection

    async def _position_levels(self, position_id: str) -> Protection | None:
        snapshot = await self._connection.session.snapshot()
        for position in snapshot.positions:
            if position.position_id == position_id:
                return position.protection
        raise NotFound("POSITION_NOT_FOUND", f"position {position_id} is not open any more")

    async def _still(self, wished: Protection, read: Callable[[], Awaitable[Protection | None]]) -> str | None:
        """Levels were sent twice and not answered: None where the broker shows them as wished, else what it shows."""
        if not await self.link(timeout_s=300.0):
            return "the link did not come back in five minutes; check the levels"
        now = await read() or Protection()
        trails = wished.trailing and now.trailing  # its stop moves
        if (trails or now.stop_loss == wished.stop_loss) and now.take_profit == wished.take_profit:
            return None
        stop, target = ("none" if level is None else level for level in (now.stop_loss, now.take_profit))
        return f"sent twice and not answered; the broker still has stop loss {stop}, take profit {target}"

    def _wished(
        self, legs: list[TrackedOrder], changes: dict[Leg, Decimal | None], position_id: str | None
    ) -> Protection:
        position = self._table.positions.get(position_id) if position_id else None
        now = (position.protection if position else None) or Protection()
        levels: dict[Leg, Decimal | None] = {Leg.STOP_LOSS: now.stop_loss, Leg.TAKE_PROFIT: now.take_profit}
        trails = now.trailing or any(leg.trails for leg in legs)  # a person may have made it so
        for leg in legs:
            if leg.leg is not None and (levels[leg.leg] is None or not (trails and leg.leg is Leg.STOP_LOSS)):
                levels[leg.leg] = leg.level
        levels |= changes
        account = self._connection.account  # the position may not have told of its guarantee yet
        return Protection(
            stop_loss=levels[Leg.STOP_LOSS],
            take_profit=levels[Leg.TAKE_PROFIT],
            trailing=trails and levels[Leg.STOP_LOSS] is not None,
            guaranteed=now.guaranteed or (account is not None and account.guaranteed_stops),
        )

    async def _set_levels(
        self, order: TrackedOrder, position_id: str, protection: Protection, **options: Any
    ) -> str | None:
        def set_levels() -> Awaitable[None]:
            return self._connection.session.set_protection(position_id, protection)

        try:
            failed = await self._surely(
                order, protection, set_levels, lambda: self._position_levels(position_id), **options
            )
        except PepperstoneError as error:
            return str(error)
        if failed is None:
            self._know_levels(position_id, protection)
        return failed

    def _know_levels(self, position_id: str, protection: Protection) -> None:
        position = self._table.positions.get(position_id)
        if position is not None:
            self._table.positions[position_id] = replace(position, protection=protection)

    async def cancel(self, order: TrackedOrder) -> None:
        """Cancel a working order. "Unknown order" is not believed: the broker is asked what became of it."""
        if not await self._named(order):
            if order.phase is not Phase.ENDED:
                self._refuse_cancel(order, "the broker has not confirmed the order yet")
            return
        try:
            await self._connection.session.cancel(order.order_id or "", order.symbol)
        except OutcomeUnknown:
            self._reconciler.unknown("cancel", order)
        except NotFound as error:
            await self._cancel_not_found(order, str(error))
        except PepperstoneError as error:
            self._refuse_cancel(order, str(error))

    async def _cancel_not_found(self, order: TrackedOrder, reason: str) -> None:
        if not await self._look(order):
            self._reconciler.unknown("cancel", order)
        elif order.phase is not Phase.ENDED:
            self._refuse_cancel(order, reason)

    async def _look(self, order: TrackedOrder) -> bool:
        """Ask the broker what became of an order, and apply it; False when the question failed."""
        try:
            found = await self._reconciler.find(order)
        except (PepperstoneError, OutcomeUnknown):
            return False
        if found is not None:
            self._perform(self._events.on_found(found, self._now_ns()))
        return True

    def _refuse_cancel(self, order: TrackedOrder, reason: str) -> None:
        self._perform([CancelRejected(order.client_order_id, order.order_id, reason, self._now_ns())])

    async def _named(self, order: TrackedOrder, timeout_s: float = 30.0) -> bool:
        """Wait until the broker has accepted an order; False when it ended or stays unconfirmed."""
        try:
            async with asyncio.timeout(timeout_s):
                while order.phase is Phase.SUBMITTED:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return order.phase is Phase.ACCEPTED

    async def _ended(self, order: TrackedOrder, timeout_s: float = 30.0) -> None:
        """Wait until an order has ended, or as long as that takes at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while order.phase is not Phase.ENDED:
                    self._changed.clear()
                    await self._changed.wait()

    async def link(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while not self._connection.up:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True


async def _raising(error: Exception) -> NoReturn:
    raise error
