"""Our books against the broker's: at the start, after an unanswered request, and every few seconds on a healthy link.

Theory. What was written and not answered may have happened or not. It is never sent again and never declared dead on
silence: the broker is asked for our own id (`find_order`) once the link is up, and only a *complete* read counts as
evidence. Found: what it says is applied like any event, and the question is answered when that has moved our order on.
Not found: asked again, until `give_up_after_s` have passed since the request was written; then it counts as never
arrived. A failed read proves nothing.

The audit finds what a healthy link lost: each deal id not applied yet, each working order of ours the broker no longer
lists (twice in a row: snapshots flicker), levels that moved. It feeds the same decisions as events do, so nothing is
counted twice. At its end the framework's positions are held against the broker's (`agreement`). The framework's own
checks stay off: they settle open questions by a local verdict.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from nautilus_trader.common import Logger

from pepperstone_adapter.broker.events import OrderChange, OrderChanged, PositionChanged
from pepperstone_adapter.broker.orders import Deal, DealEntry, OrderState, PositionState
from pepperstone_adapter.broker.session import BrokerSnapshot, FoundOrder
from pepperstone_adapter.common.errors import OutcomeUnknown, PepperstoneError
from pepperstone_adapter.live.agreement import Agreement
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.emissions import AmendRejected, CancelRejected, Emission
from pepperstone_adapter.live.order_events import OrderEvents
from pepperstone_adapter.live.tracking import LEG, OrderTable, Phase, TrackedOrder

NS = 1_000_000_000
OVERLAP_NS = 3900 * NS  # deals are read again this far back: lists lag their events, our clock may be an hour fast
AHEAD_NS = 6 * 86_400 * NS  # and as far beyond our now: our clock may be slow; the broker has no deals of the future
LOST_AFTER_MISSES = 2


type Terms = tuple[Decimal, Decimal | None, Decimal | None]


def terms_of(order: TrackedOrder) -> Terms:
    return order.units, order.limit, order.stop


@dataclass(slots=True)
class Unanswered:
    """A request that was written and not answered.

    Attributes
    ----------
    kind
        ``submit``, ``close``, ``cancel``, ``amend``.
    terms
        Of the order before an amend: when they have changed, it was done.
    """

    kind: str
    order: TrackedOrder
    written_s: float
    terms: Terms | None = None
    complete_reads: int = 0
    told: bool = False


@dataclass(slots=True)
class Reconciler:
    """Asks the broker and applies the answers.

    Parameters
    ----------
    perform
        Applies emissions (emits them and acts on what they ask for).
    now_ns
        The node's clock.
    agreement
        Looks at what came of it all.
    """

    connection: Connection
    table: OrderTable
    events: OrderEvents
    perform: Callable[[list[Emission]], None]
    now_ns: Callable[[], int]
    log: Logger
    agreement: Agreement
    answer_deadline_s: float = 5.0
    give_up_after_s: float = 600.0
    unanswered: list[Unanswered] = field(default_factory=list)
    _misses: dict[str, int] = field(default_factory=dict)
    _deals_from_ns: int = 0
    _resolving: bool = False
    _heard: set[str | None] = field(default_factory=set)  # orders, positions, symbols told of since an audit began

    def unknown(self, kind: str, order: TrackedOrder, terms: Terms | None = None) -> None:
        """A request's outcome is unknown; the order keeps the state it has."""
        self.unanswered.append(Unanswered(kind, order, time.monotonic(), terms))
        self.log.warning(f"{order.client_order_id}: {kind} written and not answered; the broker will be asked")

    async def resolve(self) -> None:
        """One round over everything unanswered that is old enough to ask about."""
        if not self.connection.up or self._resolving:
            return
        self._resolving = True
        try:
            for item in list(self.unanswered):
                if time.monotonic() - item.written_s < self.answer_deadline_s:
                    continue
                try:
                    await self._ask(item)
                except (PepperstoneError, OutcomeUnknown) as error:
                    self.log.debug(f"{item.order.client_order_id}: could not be asked about: {error}")
        finally:
            self._resolving = False

    async def _ask(self, item: Unanswered) -> None:
        order = item.order
        if self._settled(item):
            self.unanswered.remove(item)
            return
        found = await self.find(order)
        item.complete_reads += 1
        if found is not None:
            self.perform(self.events.on_found(found, self.now_ns()))
        if self._settled(item):
            self.unanswered.remove(item)
            return
        age = time.monotonic() - item.written_s
        if item.kind in ("cancel", "amend"):
            # The broker shows the order as it was: after the deadline and two complete reads that is its answer.
            if item.complete_reads >= 2:
                self.unanswered.remove(item)
                self.perform(self._undone(item))
            return
        if age >= self.give_up_after_s and item.complete_reads >= 2:
            self.unanswered.remove(item)
            self.perform(self.events.reject(order, self._verdict(item, found, age), self.now_ns()))
        elif not item.told:
            item.told = True
            what = (
                "does not know it (yet)" if found is None else f"names order {found.order.order_id}, told as another's"
            )
            self.log.error(
                f"{order.client_order_id}: the broker {what}; it stays submitted and is asked for "
                f"until {self.give_up_after_s:g} s have passed"
            )

    def _verdict(self, item: Unanswered, found: FoundOrder | None, age_s: float) -> str:
        reads = f"{item.complete_reads} complete reads in {age_s:.0f} s"
        if found is None:
            return f"never reached the broker: {reads} found nothing"
        return f"{reads} found only order {found.order.order_id}, whose deals are in the books as another order's"

    def _settled(self, item: Unanswered) -> bool:
        if item.kind in ("submit", "close"):
            return item.order.phase is not Phase.SUBMITTED
        return item.order.phase is Phase.ENDED or item.terms not in (None, terms_of(item.order))

    def _undone(self, item: Unanswered) -> list[Emission]:
        order, ts = item.order, self.now_ns()
        reason = "not answered, and the broker still shows the order as it was"
        if item.kind == "cancel":
            return [CancelRejected(order.client_order_id, order.order_id, reason, ts)]
        return [AmendRejected(order.client_order_id, order.order_id, reason, ts)]

    async def find(self, order: TrackedOrder) -> FoundOrder | None:
        """Ask the broker for one of our orders, by its venue id where known, else by our text."""
        since = max(0, order.submitted_ns - 60 * NS)
        named = order.order_id if order.kind != LEG else None
        return await self.connection.session.find_order(
            client_order_id=None if named else order.venue_text, order_id=named, since_ns=since
        )

    def heard(self, event: OrderChanged | PositionChanged) -> None:
        """The broker's news: what they are about is newer than the snapshot that an audit may be reading."""
        if isinstance(event, OrderChanged):
            self._heard |= {event.order.order_id, event.order.position_id, event.order.symbol}
        if event.position is not None:
            self._heard |= {event.position.position_id, event.position.symbol}

    async def audit(self) -> None:
        """Compare deals, working orders and positions with what was emitted, and apply the difference."""
        session = self.connection.session
        self._heard.clear()
        now = self.now_ns()
        since = max(0, (self._deals_from_ns or now) - OVERLAP_NS)
        losses = self.connection.link_losses
        snapshot = await session.snapshot()
        deals = await session.deals(since, now + AHEAD_NS)
        if losses != self.connection.link_losses:
            return  # two halves of two worlds
        read_from = now
        for deal in deals:
            if not self.table.deal_told(deal) and not await self._late_deal(deal):
                read_from = min(read_from, deal.ts_ns)
        self._deals_from_ns = read_from
        await self._missing_orders(snapshot)
        self._positions(snapshot)
        if self.unanswered:
            self.agreement.wait()
        else:
            self.perform([*self.agreement.check(snapshot, self._heard)])

    def start_deals_at(self, ts_ns: int) -> None:
        self._deals_from_ns = ts_ns

    async def _late_deal(self, deal: Deal) -> bool:
        """Apply a deal that came without an event; False while it cannot be known whose it is."""
        found = await self.connection.session.find_order(order_id=deal.order_id, since_ns=max(0, deal.ts_ns - 60 * NS))
        if self.table.deal_told(deal):
            return True  # its event came while we asked
        if found is None:
            self.log.error(f"deal {deal.deal_id} of {deal.symbol}: the broker cannot find its order {deal.order_id}")
            return True
        if self.events.owner(found.order, deal) is None and self.events.waits(found.order):
            return False
        self.log.warning(f"deal {deal.deal_id} of {deal.symbol} came without an event; applied from the broker's list")
        change = OrderChange.PARTIALLY_FILLED if found.order.status.is_open else OrderChange.FILLED
        self.perform(self.events.on_order(OrderChanged(change=change, order=found.order, deal=deal, ts_ns=deal.ts_ns)))
        return True

    async def _missing_orders(self, snapshot: BrokerSnapshot) -> None:
        working = {o.order_id: o for o in snapshot.orders}
        for order in self.table.open_orders():
            if order.kind == LEG or order.phase is not Phase.ACCEPTED or order.order_id is None:
                continue
            if order.order_id in self._heard:
                continue
            state = working.get(order.order_id)
            if state is not None:
                self._misses.pop(order.order_id, None)
                self.perform(
                    self.events.on_order(OrderChanged(change=OrderChange.REPLACED, order=state, ts_ns=snapshot.ts_ns))
                )
                continue
            misses = self._misses.get(order.order_id, 0) + 1
            self._misses[order.order_id] = misses
            if misses < LOST_AFTER_MISSES:
                continue
            found = await self.find(order)
            if found is None:
                self.log.error(
                    f"{order.client_order_id}: accepted as {order.order_id}, and the broker knows no such order"
                )
            else:
                self.perform(self.events.on_found(found, self.now_ns()))
        for state in snapshot.orders:
            self._stranger(state, snapshot.ts_ns)
        for order_id in set(self.table.foreign) - set(working):
            found = await self.connection.session.find_order(order_id=order_id)
            if found is not None and not found.order.status.is_open:
                self.perform(self.events.on_found(found, self.now_ns()))

    def _stranger(self, state: OrderState, ts_ns: int) -> None:
        if self.events.owner(state, None) is None and state.order_id not in self.table.introduced:
            self.perform(self.events.on_order(OrderChanged(change=OrderChange.ACCEPTED, order=state, ts_ns=ts_ns)))

    def _positions(self, snapshot: BrokerSnapshot) -> None:
        for position in snapshot.positions:
            self._misses.pop(position.position_id, None)
            if position.position_id not in self._heard:
                self.perform(self.events.on_position(PositionChanged(position=position, ts_ns=snapshot.ts_ns)))
                self._levels(position, snapshot.ts_ns)
        open_ids = {p.position_id for p in snapshot.positions}
        held = dict(self.table.positions)
        for leg in self.table.open_orders():
            # A position that opened and closed while nobody listened was never in the table; its other level was.
            if leg.kind == LEG and leg.phase is Phase.ACCEPTED and leg.position_id is not None:
                held.setdefault(leg.position_id, _flat(leg, leg.position_id))
        for position_id in held.keys() - open_ids - self._heard:
            misses = self._misses.get(position_id, 0) + 1
            self._misses[position_id] = misses
            if misses >= LOST_AFTER_MISSES:
                del self._misses[position_id]
                gone = replace(held[position_id], units=Decimal(0))
                self.perform(self.events.on_position(PositionChanged(position=gone, ts_ns=snapshot.ts_ns)))

    def _levels(self, position: PositionState, ts_ns: int) -> None:
        key = f"levels of {position.position_id}"  # they are set a moment after the fill
        misses = self._misses.pop(key, 0) + 1
        if not self.events.unset(position):
            return
        if misses < LOST_AFTER_MISSES:
            self._misses[key] = misses
        else:
            self.perform(self.events.on_unset(position, ts_ns))


def _flat(leg: TrackedOrder, position_id: str) -> PositionState:
    return PositionState(
        position_id=position_id,
        symbol=leg.symbol,
        side=leg.side.opposite,
        units=Decimal(0),
        open_price=Decimal(0),
        opened_ns=leg.submitted_ns,
    )


def deals_by_position(deals: Iterable[Deal]) -> dict[str, list[Deal]]:
    out: dict[str, list[Deal]] = {}
    for deal in deals:
        out.setdefault(deal.position_id, []).append(deal)
    return out


def explains(position: PositionState, deals: Iterable[Deal]) -> bool:
    """Whether a position's deals add up to it: a history that starts too late must not be replayed."""
    return signed(deals) == position.units * position.side.sign


def signed(deals: Iterable[Deal]) -> Decimal:
    """Units that deals bought, less those they sold."""
    return sum((d.units * d.side.sign for d in deals), Decimal(0))


def volumes(snapshot: BrokerSnapshot) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """What a deal changes: the units of each position, and how much of each working order is filled."""
    held = {p.position_id: p.units * p.side.sign for p in snapshot.positions}
    return held, {o.order_id: o.filled_units for o in snapshot.orders}


def adds_up(snapshot: BrokerSnapshot, deals: Iterable[Deal], since_ns: int) -> bool:
    """Whether the deals since a time make the positions: those opened after it, and no other."""
    by_position, held = deals_by_position(deals), {p.position_id: p for p in snapshot.positions}
    return all(
        explains(position, by_position.get(pid, ())) for pid, position in held.items() if position.opened_ns >= since_ns
    ) and not any(left_open(found) for pid, found in by_position.items() if pid not in held)


def left_open(deals: Sequence[Deal]) -> bool:
    """Whether a position that these deals opened should be there still."""
    return deals[0].entry is DealEntry.IN and signed(deals) != 0


async def run_forever(reconciler: Reconciler, audit_interval_s: float) -> None:
    """Resolve every second, audit every `audit_interval_s` while the link is up; whatever fails is tried again."""
    next_audit = time.monotonic() + audit_interval_s
    while True:
        await asyncio.sleep(min(1.0, audit_interval_s))
        try:
            await reconciler.resolve()
            if reconciler.connection.up and time.monotonic() >= next_audit:
                next_audit = time.monotonic() + audit_interval_s
                await reconciler.audit()
        except (PepperstoneError, OutcomeUnknown) as error:
            reconciler.log.warning(f"audit not finished, tried again in {audit_interval_s:g} s: {error}")
        except Exception as error:  # noqa: BLE001 - without the audit a lost event would stay lost (F95)
            reconciler.log.error(f"the audit broke, tried again: {type(error).__name__}: {error}")
