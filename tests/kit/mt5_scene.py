"""A running chain on MetaTrader 5, real from the session down to the simulated terminal: session, link, gateway, worker
process, pipe, terminal. What it told is held against the broker's books, by the oracles of the fault matrix."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from pepperstone_adapter.broker.events import LinkUp, OrderChanged
from pepperstone_adapter.broker.orders import OrderRequest, OrderType
from pepperstone_adapter.mt5.client.identity import magic_of
from pepperstone_adapter.mt5.client.session import Mt5Session
from pepperstone_adapter.network.thread import NetworkThread
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit import mt5 as kit
from tests.kit.ctrader import Recorder, recorded, run
from tests.kit.mt5 import Gateway
from tests.kit.requests import market_order

D = Decimal


def order(name: str = "O-1", kind: OrderType = OrderType.MARKET, **changes: Any) -> OrderRequest:
    return market_order(name, type=kind, **changes)


class Scene:
    """A running chain, what the session told, and the oracles."""

    def __init__(self, broker: Sandbox, gate: Gateway, session: Mt5Session, told: Recorder) -> None:
        self.broker, self.gate, self.session, self.told = broker, gate, session, told

    async def recovered(self, times: int = 1) -> None:
        await self.told.until(lambda: len(self.told.of(LinkUp)) >= times)

    async def filled(self, name: str) -> Any:
        await self.told.until(lambda: "filled" in self.told.changes(name))
        return next(e.deal for e in self.told.of(OrderChanged) if e.order.client_order_id == name and e.deal)

    async def open(self, name: str = "O-1", **changes: Any) -> Any:
        await self.session.submit(order(name, **changes))
        return await self.filled(name)

    def fault(self, kind: str, fn: str | None = "order_send", **values: Any) -> None:
        kit.fault(self.broker, kind, fn, **values)

    def orders_of(self, name: str) -> int:
        return kit.magic_counts(self.broker).get(magic_of(name), 0)

    async def found(self, name: str = "O-1") -> Any:
        return await self.session.find_order(client_order_id=name)

    async def judge(self) -> None:
        """O1 to O5 from the broker's books: one order for an id, every order and deal known, volumes position by
        position, each deal once, the balance to the cent."""
        assert all(count <= 1 for count in kit.magic_counts(self.broker).values())
        account = self.broker.call(lambda: self.broker.terminal.ledger.accounts[self.broker.terminal.login])
        deals = {str(deal.deal_id) for deal in account.deals}
        await self.told.until(lambda: {e.deal.deal_id for e in self.told.of(OrderChanged) if e.deal} == deals)
        told = [e.deal.deal_id for e in self.told.of(OrderChanged) if e.deal]
        assert len(told) == len(set(told))
        snapshot = await self.session.snapshot()
        assert {p.position_id: p.side.sign * p.units for p in snapshot.positions} == kit.held(self.broker)
        working = self.broker.call(lambda: {str(o.order_id) for o in account.working.values()})
        assert {o.order_id for o in snapshot.orders} == working
        assert snapshot.account.balance == account.balance
        assert self.broker.violations() == []


@contextmanager
def chain(path: Path, gateway: dict[str, Any] | None = None, **mt5: Any) -> Iterator[tuple[Sandbox, Gateway]]:
    with kit.broker(path, **mt5) as broker, kit.gateway(broker, path, **(gateway or {})) as gate:
        yield broker, gate


@asynccontextmanager
async def scene(broker: Sandbox, gate: Gateway, **account: Any) -> AsyncIterator[Scene]:
    """A session on the chain. O9: when it has ended, no task of it is left and nothing was raised into the loop."""
    loop, raised = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _loop, context: raised.append(context))
    before = asyncio.all_tasks()
    async with recorded(kit.session_of(gate, **account)) as (session, told):
        yield Scene(broker, gate, session, told)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before
    assert raised == []
    assert broker.failure is None


def play(path: Path, script: Callable[[Scene], Awaitable[None]], judge: bool = True, **options: Any) -> None:
    """Run a script on a chain of its own and judge the end. O7: it must end within a minute, without help."""
    NetworkThread.shared()  # it and its pool serve the whole process; every thread after them belongs to the chain
    threads = set(threading.enumerate())
    with chain(path, **options) as (broker, gate):

        async def main() -> None:
            async with scene(broker, gate) as stage:
                await script(stage)
                if judge:
                    await stage.judge()

        run(main)
    for thread in set(threading.enumerate()) - threads:
        thread.join(30.0)
        assert not thread.is_alive(), thread.name
