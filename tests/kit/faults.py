"""A live node on the sandbox with short patience, and the oracles that judge it by the sandbox's own books.

The oracles are those of the fault matrix. None of them reads what the adapter says of itself: orders, deals, positions
and money come from the sandbox's ledger and its wire journal, and the node's side from the framework's cache.

    O1  one broker order for one client order id          O4  every deal applied once
    O2  every broker order of ours known, in its state     O5  balance equal to the cent
    O3  signed units equal, position by position           O6  nothing ended without the broker's word
    O7  equal again after the faults stop, without help    O9  no thread, socket, task or error left behind
"""

import asyncio
import copy
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nautilus_trader.live import LiveNode
from nautilus_trader.model import ClientOrderId, Currency, OrderSide, PositionSide, Venue

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.orders import OrderType
from pepperstone_adapter.ctrader.client.protocol import Timings
from pepperstone_adapter.ctrader.client.session import CTraderSession
from pepperstone_adapter.live.config import LiveDataConfig, LiveExecConfig
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.openapi import PayloadType
from pepperstone_adapter.sandbox.faults import FaultKind, FaultRule
from pepperstone_adapter.sandbox.ledger.state import Account
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.ctrader import session_of
from tests.kit.ctrader_node import ACCOUNT_ID, LOGIN, sandbox
from tests.kit.node import BUY, EURUSD, VENUE, Bench, Probe, client_factories, px, run_node, units

#: A twentieth of the real patience, with two seconds for a busy machine to answer a probe.
SHORT = Timings(
    heartbeat_s=0.4, probe_s=0.8, silent_s=2.8, answer_s=1.5, order_answer_s=0.6, order_queue_s=1.0, queue_s=5.0
)
#: O7: ten seconds and one step of the backoff, for everything the faults left open.
CONVERGED_S = 15.0
_SAME = {
    "accepted": {"ACCEPTED", "TRIGGERED", "PENDING_UPDATE", "PENDING_CANCEL"},
    "partially_filled": {"PARTIALLY_FILLED", "PENDING_UPDATE", "PENDING_CANCEL"},
    "filled": {"FILLED"},
    "canceled": {"CANCELED"},
    "expired": {"EXPIRED"},
    "rejected": {"REJECTED"},
}


def account(broker: Sandbox) -> Account:
    """The account as the books have it now: a copy, made on the broker's thread."""
    return broker.call(lambda: copy.deepcopy(broker.ledger.accounts[ACCOUNT_ID]))


def rule(kind: str, message: str | None = None, on: str = "request", **more: Any) -> FaultRule:
    return FaultRule(kind=FaultKind(kind), on=on, message=message, **more)  # type: ignore[arg-type]


def run_live(
    tmp_path: Path,
    broker: Sandbox,
    script: Callable[[Bench], Awaitable[None]],
    *,
    session: Callable[[], CTraderSession] | None = None,
    symbols: tuple[str, ...] = ("EURUSD",),
    login: str = LOGIN,
    claim: bool = False,
    timings: Timings = SHORT,
    setup: Callable[[LiveNode], None] | None = None,
    probe: Probe | None = None,
    judged: bool = True,
    data: LiveDataConfig | None = None,
    **exec_options: Any,
) -> Bench:
    """Run a node with short patience and a script; then hold the node against the sandbox's books.

    Parameters
    ----------
    session
        Makes the session instead of the plain one.
    judged
        False where the script ends in a state it judges itself.
    """
    bench = Bench(probe or Probe())
    bench.sandbox = broker
    make = session or (lambda: session_of(broker, login=int(login), timings=timings, connect_timeout_s=20.0))
    bench.connection = Connection(make, VENUE, symbols, prime_timeout_s=2.0)
    data_factory, exec_factory = client_factories(bench, login, PositionMode.HEDGING)
    options = {"answer_deadline_s": 0.1, "give_up_after_s": 3.0, "audit_interval_s": 0.7, **exec_options}

    async def judged_script(b: Bench) -> None:
        loop_errors: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: loop_errors.append(repr(context)))
        await b.until(lambda: b.probe.quotes, "a first quote")
        await script(b)
        if judged:
            await agree(b)
        assert loop_errors == []  # O9

    state = LiveExecConfig(state_dir=str(tmp_path / "state"), **options)
    run_node(
        bench,
        judged_script,
        data=(data or LiveDataConfig(), data_factory),
        execution=(state, exec_factory),
        claim=claim,
        setup=setup,
    )
    assert broker.violations() == []
    assert broker.failure is None
    return bench


# -- the oracles ----------------------------------------------------------------------------------------------------------


async def agree(b: Bench, timeout_s: float = CONVERGED_S) -> None:
    """O7: wait until the node and the books say the same. Fails with every difference that is left."""
    end = asyncio.get_running_loop().time() + timeout_s
    while (found := differences(b)) and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 - no event to wait for
        await asyncio.sleep(0.02)
    assert found == [], f"still different after {timeout_s:g} s:\n" + "\n".join(found) + f"\nevents: {b.probe.names()}"


def differences(b: Bench) -> list[str]:
    """O1 to O6 at this moment; empty when the node and the ledger agree."""
    books = account(b.sandbox)
    return [*_orders(b, books), *_positions(b, books), *_deals(b, books), *_balance(b, books), *_endings(b, books)]


def entries(books: Account) -> list[Any]:
    """Broker orders that carry a client's id and are not the venue's own closing or protective ones."""
    return [o for o in books.orders.values() if o.client_id and not o.closing and o.type is not OrderType.PROTECTION]


def _orders(b: Bench, books: Account) -> Iterator[str]:
    for client_id, n in Counter(o.client_id for o in entries(books)).items():
        if n > 1:
            yield f"O1: {n} broker orders for {client_id}"
    for order in entries(books):
        known = b.cache.order(ClientOrderId(order.client_id))
        if known is None:
            if order.label.startswith("nt:") and (order.status.is_open or order.position_id in books.positions):
                yield f"O2: {order.client_id} is {order.status} at the broker and unknown here"
            continue
        status = "partially_filled" if order.status.is_open and order.filled_units else str(order.status.value)
        if known.status.name not in _SAME[status]:
            yield f"O2: {order.client_id} is {status} at the broker and {known.status.name} here"
        if known.filled_qty.as_decimal() != order.filled_units:
            yield f"O2: {order.client_id} has filled {order.filled_units} at the broker and {known.filled_qty} here"
        if order.status.is_open and known.quantity.as_decimal() != order.units:
            yield f"O2: {order.client_id} is for {order.units} at the broker and {known.quantity} here"
        price = getattr(known, "price", None)
        resting = order.status.is_open and order.limit_price is not None and price is not None
        if resting and price.as_decimal() != order.limit_price:
            yield f"O2: {order.client_id} waits at {order.limit_price} at the broker and {price} here"


def _positions(b: Bench, books: Account) -> Iterator[str]:
    sign = {PositionSide.LONG: 1, PositionSide.SHORT: -1}
    here = {str(p.id): sign[p.side] * p.quantity.as_decimal() for p in b.cache.positions_open()}
    there = {str(p.position_id): p.side.sign * p.units for p in books.positions.values() if p.units}
    for ticket in sorted(here.keys() | there.keys()):
        if here.get(ticket, Decimal(0)) != there.get(ticket, Decimal(0)):
            yield f"O3: position {ticket} is {there.get(ticket, 0)} at the broker and {here.get(ticket, 0)} here"


def _deals(b: Bench, books: Account) -> Iterator[str]:
    applied: Counter[str] = Counter(
        str(t) for p in [*b.cache.positions_open(), *b.cache.positions_closed()] for t in p.trade_ids()
    )
    told = Counter(str(e.trade_id) for e in b.probe.events if type(e).__name__ == "OrderFilled")
    known = {str(d.deal_id): d for d in books.deals}
    for deal_id in sorted(applied.keys() | told.keys()):
        if deal_id not in known:
            yield f"O4: deal {deal_id} was never made"
        if applied[deal_id] > 1 or told[deal_id] > 1:
            yield f"O4: deal {deal_id} was applied {max(applied[deal_id], told[deal_id])} times"
    tickets = {str(p.id) for p in [*b.cache.positions_open(), *b.cache.positions_closed()]}
    for deal_id, deal in known.items():
        if not applied[deal_id] and (str(deal.position_id) in tickets or deal.position_id in books.positions):
            yield f"O4: deal {deal_id} of position {deal.position_id} is missing here"


def _balance(b: Bench, books: Account) -> Iterator[str]:
    held = b.portfolio.account(Venue(VENUE))
    here = None if held is None else held.balance_total(Currency.from_str("USD")).as_decimal()
    if here != round(books.balance, 2):
        yield f"O5: the balance is {books.balance} at the broker and {here} here"


def _endings(b: Bench, books: Account) -> Iterator[str]:
    """O6: an order that is said to have ended has ended in the books, or never came into them."""
    by_id = {o.client_id: o for o in entries(books)}
    evidence = {"OrderRejected": {"rejected"}, "OrderCanceled": {"canceled"}, "OrderExpired": {"expired"}}
    for event in b.probe.events:
        name = type(event).__name__
        order = by_id.get(str(event.client_order_id))
        if name in evidence and order is not None and str(order.status.value) not in evidence[name]:
            yield f"O6: {name} for {event.client_order_id}, and the broker has it {order.status.value}"


def requests(broker: Sandbox, message: str) -> int:
    """How many requests of one kind reached the broker."""
    return len(broker.call(broker.journal.requests, message))


# -- what is left behind --------------------------------------------------------------------------------------------------


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """O9: as many threads and open descriptors afterwards as before.

    What a process keeps for good once it has run a node (the network thread and its pool, the framework's runtime)
    counts as neither: one node runs and ends first.
    """
    _run_one_node()
    before = threading.active_count(), _descriptors()
    yield
    end = threading.Event()
    for _ in range(1_000):
        after = threading.active_count(), _descriptors()
        if after[0] <= before[0] and after[1] <= before[1]:
            return
        end.wait(0.02)  # sockets close on their own threads
    raise AssertionError(f"threads and descriptors before {before}, after {after}")


@cache
def _run_one_node() -> None:
    async def look(_bench: Bench) -> None:
        pass

    with TemporaryDirectory() as folder, sandbox(Path(folder)) as broker:
        run_live(Path(folder), broker, look)


def _descriptors() -> int:
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.exists() else 0


# -- doing things ---------------------------------------------------------------------------------------------------------


@dataclass
class Trader:
    """Short verbs over a bench."""

    b: Bench
    orders: list[Any] = field(default_factory=list)

    def market(self, side: OrderSide = BUY, n: int = 10_000) -> Any:
        order = self.b.probe.order_factory.market(EURUSD, side, units(n))
        self.b.probe.submit_order(order)
        self.orders.append(order)
        return order

    def limit(self, price: str = "1.05000", n: int = 10_000, side: OrderSide = BUY) -> Any:
        order = self.b.probe.order_factory.limit(EURUSD, side, units(n), px(price))
        self.b.probe.submit_order(order)
        self.orders.append(order)
        return order

    def status(self, order: Any) -> str:
        return self.b.status(order)

    async def reach(self, order: Any, status: str) -> Any:
        return await self.b.reach(order, status)

    async def opened(self, side: OrderSide = BUY, n: int = 10_000) -> tuple[Any, str]:
        """A filled market order and its ticket."""
        order = self.market(side, n)
        known = await self.reach(order, "FILLED")
        return order, str(known.position_id)

    async def working(self, price: str = "1.05000", n: int = 10_000) -> Any:
        order = self.limit(price, n)
        await self.reach(order, "ACCEPTED")
        return order

    async def down_and_up(self, losses: int = 1) -> None:
        """Wait for the link to have been lost so often in this run, and to be up again."""
        connection = self.b.connection
        await self.b.until(lambda: connection.link_losses >= losses, "a lost link")
        await self.b.until(lambda: connection.up, "the link up again")


HEARTBEAT = ("in", int(PayloadType.HEARTBEAT_EVENT))
