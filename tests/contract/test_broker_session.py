"""One suite for every `BrokerSession`: what the framework clients rely on, whatever stands behind the port.

A venue joins by adding a factory to `VENUES`: an async context manager that gives a `Bench` of a fresh, flat account with
EURUSD at 1.08500/1.08507 and a way to move that price.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.broker.events import AccountChanged, BrokerEvent, OrderChange, OrderChanged
from pepperstone_adapter.broker.market import BarPeriod, Tick
from pepperstone_adapter.broker.orders import (
    AmendRequest,
    Deal,
    DealEntry,
    OrderRequest,
    OrderStatus,
    OrderType,
    Protection,
    Side,
    TimeInForce,
)
from pepperstone_adapter.broker.session import BrokerSession, BrokerSnapshot
from pepperstone_adapter.common.errors import LinkError, NotFound, OrderRefused, VenueError
from tests.kit.broker import KitBroker
from tests.kit.broker_session import KitSession
from tests.kit.ctrader_node import LOGIN, sandbox
from tests.kit.requests import market_order

D = Decimal


@dataclass
class Bench:
    session: BrokerSession
    set_price: Callable[[str, str], None]
    snapshot: BrokerSnapshot
    events: list[BrokerEvent] = field(default_factory=list)
    ids: int = 0

    def take(self, events: Sequence[BrokerEvent]) -> None:
        self.events += events

    def request(self, kind: OrderType = OrderType.MARKET, **more: Any) -> OrderRequest:
        self.ids += 1
        facts: dict[str, Any] = {
            "type": kind,
            "time_in_force": TimeInForce.IOC if kind is OrderType.MARKET else TimeInForce.GTC,
            "tag": "nt:contract",
        }
        return market_order(f"CONTRACT-{self.ids}", **(facts | more))

    def of(self, client_order_id: str) -> list[OrderChanged]:
        return [e for e in self.events if isinstance(e, OrderChanged) and e.order.client_order_id == client_order_id]

    def deals(self) -> list[Deal]:
        return [e.deal for e in self.events if isinstance(e, OrderChanged) and e.deal is not None]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        try:
            async with asyncio.timeout(45):  # only a broken run waits this long
                while not condition():  # noqa: ASYNC110 - anything may be waited for
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"no {what}; events: {self.events}") from None

    async def open(self, **more: Any) -> Deal:
        """Buy at market; the opening deal."""
        request = self.request(**more)
        await self.session.submit(request)
        await self.until(lambda: any(e.change is OrderChange.FILLED for e in self.of(request.client_order_id)), "fill")
        return next(e.deal for e in self.of(request.client_order_id) if e.deal is not None)


async def _connected(session: Any, set_price: Callable[[str, str], None]) -> Bench:
    bench = Bench(session, set_price, None)  # type: ignore[arg-type]
    bench.snapshot = await session.connect(bench.take)
    return bench


@asynccontextmanager
async def kit(_tmp_path: Path) -> AsyncIterator[Bench]:
    broker = KitBroker()

    def set_price(bid: str, ask: str) -> None:
        broker.set_price("EURUSD", int(D(bid) * 100_000), int(D(ask) * 100_000))

    session = KitSession(broker)
    yield await _connected(session, set_price)
    await session.close()


@asynccontextmanager
async def ctrader(tmp_path: Path) -> AsyncIterator[Bench]:
    from pepperstone_adapter.ctrader.config import CTraderDataConfig
    from pepperstone_adapter.ctrader.factories import session_of

    with sandbox(tmp_path) as broker:
        config = CTraderDataConfig(
            account=LOGIN, environment="sandbox", port=broker.ports.demo, ca_file=str(broker.ca_file)
        )
        session = session_of(config)
        yield await _connected(session, lambda bid, ask: broker.push("EURUSD", bid, ask))
        await session.close()
        assert broker.violations() == []


@asynccontextmanager
async def mt5(tmp_path: Path) -> AsyncIterator[Bench]:
    from tests.kit import mt5 as kit5

    with kit5.broker(tmp_path) as broker, kit5.gateway(broker, tmp_path) as gate:
        broker.push("EURUSD", "1.08500", "1.08507")
        session = kit5.session_of(gate)
        yield await _connected(session, lambda bid, ask: broker.push("EURUSD", bid, ask))
        await session.close()
        assert broker.violations() == []


type Factory = Callable[[Path], AbstractAsyncContextManager[Bench]]
VENUES: dict[str, Factory] = {"kit": kit, "ctrader": ctrader, "mt5": mt5}


@pytest.fixture(params=list(VENUES))
def run(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[Callable[[Bench], Coroutine[Any, Any, None]]], None]:
    """Runs a script against a fresh account of each venue."""

    def go(script: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with asyncio.timeout(60), VENUES[request.param](tmp_path) as bench:
                await script(bench)

        asyncio.run(main())

    return go


type Run = Callable[[Callable[[Bench], Coroutine[Any, Any, None]]], None]


def test_connect_tells_the_account_and_symbols_carry_their_terms(run: Run) -> None:
    async def script(b: Bench) -> None:
        assert b.snapshot.account.currency == "USD"
        assert b.snapshot.positions == b.snapshot.orders == ()
        eurusd = next(s for s in await b.session.symbols() if s.name == "EURUSD")
        assert (eurusd.digits, eurusd.contract_size, eurusd.volume_min) == (5, D(100_000), D(1_000))
        assert b.session.capabilities.time_in_force[OrderType.MARKET]

    run(script)


def test_quotes_come_after_subscribing_and_stop_after_unsubscribing(run: Run) -> None:
    async def script(b: Bench) -> None:
        await b.session.subscribe_quotes(["EURUSD"])
        ticks = lambda: [e for e in b.events if isinstance(e, Tick) and e.symbol == "EURUSD"]  # noqa: E731
        await b.until(ticks, "the last known price")
        b.set_price("1.08600", "1.08607")
        await b.until(lambda: ticks()[-1].bid == 108_600 or ticks()[-1].ask == 108_607, "new price")
        await b.session.unsubscribe_quotes(["EURUSD"])
        seen = len(ticks())
        b.set_price("1.08700", "1.08707")
        await b.session.snapshot()  # a round trip later
        assert len(ticks()) == seen

    run(script)


def test_a_market_order_is_accepted_then_filled_with_our_id_and_one_deal(run: Run) -> None:
    async def script(b: Bench) -> None:
        deal = await b.open()
        changes = [e.change for e in b.of("CONTRACT-1")]
        assert changes == [OrderChange.ACCEPTED, OrderChange.FILLED]
        assert (deal.units, deal.price, deal.side, deal.entry) == (D(10_000), D("1.08507"), Side.BUY, DealEntry.IN)
        assert deal.commission <= 0
        snapshot = await b.session.snapshot()
        (position,) = snapshot.positions
        assert (position.position_id, position.units, position.side) == (deal.position_id, D(10_000), Side.BUY)
        await b.until(lambda: any(isinstance(e, AccountChanged) for e in b.events), "account state")

    run(script)


def test_find_order_knows_an_order_by_our_id_and_by_its_own_and_says_none_only_when_sure(run: Run) -> None:
    async def script(b: Bench) -> None:
        deal = await b.open()
        by_text = await b.session.find_order(client_order_id="CONTRACT-1")
        by_id = await b.session.find_order(order_id=deal.order_id)
        assert by_text is not None
        assert by_id is not None
        assert [d.deal_id for d in by_text.deals] == [d.deal_id for d in by_id.deals] == [deal.deal_id]
        assert by_text.order.status is OrderStatus.FILLED
        assert await b.session.find_order(client_order_id="NEVER-SENT") is None

    run(script)


def test_deals_are_listed_once_each_in_order(run: Run) -> None:
    async def script(b: Bench) -> None:
        first, second = await b.open(), await b.open()
        found = await b.session.deals(first.ts_ns - 1, second.ts_ns + 60_000_000_000)
        assert [d.deal_id for d in found] == [first.deal_id, second.deal_id]
        assert first.position_id != second.position_id  # hedging: two tickets

    run(script)


def test_a_partial_and_a_full_close_by_ticket(run: Run) -> None:
    async def script(b: Bench) -> None:
        opened = await b.open()
        for units, left in ((D(4_000), 1), (D(6_000), 0)):
            state = await b.session.close_position(opened.position_id, units, f"CLOSE-{units}")
            await b.until(lambda s=state: any(d.order_id == s.order_id for d in b.deals()), "closing deal")  # type: ignore[misc]
            assert len((await b.session.snapshot()).positions) == left
        closing = [d for d in b.deals() if d.entry is DealEntry.OUT]
        assert [d.units for d in closing] == [D(4_000), D(6_000)]
        # bought at 1.08507, sold at 1.08500
        assert [d.gross_profit for d in closing] == [D("-0.28"), D("-0.42")]

    run(script)


def test_a_close_takes_the_times_in_force_the_venue_names_and_no_other(run: Run) -> None:
    async def script(b: Bench) -> None:
        opened = await b.open()
        for tif in (TimeInForce.GTC, TimeInForce.IOC):
            state = await b.session.close_position(opened.position_id, D(1_000), f"CLOSE-{tif}", tif)
            await b.until(lambda s=state: any(d.order_id == s.order_id for d in b.deals()), "closing deal")  # type: ignore[misc]
        if TimeInForce.FOK not in b.session.capabilities.closing_time_in_force:
            with pytest.raises(OrderRefused):
                await b.session.close_position(opened.position_id, D(1_000), "CLOSE-FOK", TimeInForce.FOK)
        (position,) = (await b.session.snapshot()).positions
        assert position.units == D(8_000)

    run(script)


def test_two_opposite_positions_are_closed_against_each_other_or_nothing_is_sent(run: Run) -> None:
    async def script(b: Bench) -> None:
        long = await b.open()  # 10,000 at 1.08507
        short = await b.open(side=Side.SELL, units=D(4_000))  # at 1.08500
        if not b.session.capabilities.close_by:
            with pytest.raises(OrderRefused, match="close-by"):
                await b.session.close_by(long.position_id, short.position_id, "BY-1")
            assert len((await b.session.snapshot()).positions) == 2
            return
        state = await b.session.close_by(long.position_id, short.position_id, "BY-1")
        assert (state.position_id, state.side, state.units) == (long.position_id, Side.SELL, D(4_000))
        both = lambda: [d for d in b.deals() if d.entry is DealEntry.OUT_BY]  # noqa: E731
        await b.until(lambda: len(both()) == 2, "a deal on each position")
        assert {(d.position_id, d.side, d.units, d.price) for d in both()} == {
            (long.position_id, Side.SELL, D(4_000), D("1.08500")),
            (short.position_id, Side.BUY, D(4_000), D("1.08500")),
        }
        # 4,000 bought at 1.08507 go at the short's opening price of 1.08500; the short itself makes nothing
        assert sorted(d.gross_profit for d in both()) == [D("-0.28"), D(0)]
        # Our half is named, the other one is an order without our id, and both are in the list under the same ids.
        (ours,) = [d for d in both() if d.position_id == long.position_id]
        assert [e.change for e in b.of("BY-1")] == [OrderChange.ACCEPTED, OrderChange.FILLED]
        assert {e.order.order_id for e in b.of("BY-1")} == {state.order_id} == {ours.order_id}
        listed = await b.session.deals(long.ts_ns - 1, ours.ts_ns + 60_000_000_000)
        assert {(d.deal_id, d.order_id) for d in both()} <= {(d.deal_id, d.order_id) for d in listed}
        for wanted in ({"client_order_id": "BY-1"}, {"order_id": state.order_id}):
            found = await b.session.find_order(**wanted)  # type: ignore[arg-type]
            assert found is not None
            assert (found.order.order_id, found.order.status, found.order.client_order_id) == (
                state.order_id,
                OrderStatus.FILLED,
                "BY-1",
            )
            assert [d.deal_id for d in found.deals] == [ours.deal_id]
        (left,) = (await b.session.snapshot()).positions
        assert (left.position_id, left.units) == (long.position_id, D(6_000))
        with pytest.raises((NotFound, OrderRefused)):
            await b.session.close_by(long.position_id, short.position_id, "BY-2")
        with pytest.raises((NotFound, OrderRefused)):
            await b.session.close_by(long.position_id, long.position_id, "BY-3")

    run(script)


def test_a_pending_order_is_amended_and_cancelled(run: Run) -> None:
    async def script(b: Bench) -> None:
        request = b.request(OrderType.LIMIT, limit_price=D("1.08000"))
        state = await b.session.submit(request)
        units = D(20_000) if b.session.capabilities.amend_units else request.units
        await b.session.amend(
            AmendRequest(order_id=state.order_id, symbol="EURUSD", units=units, limit_price=D("1.08100"))
        )
        (working,) = (await b.session.snapshot()).orders
        assert (working.units, working.limit_price, working.client_order_id) == (
            units,
            D("1.08100"),
            request.client_order_id,
        )
        await b.session.cancel(state.order_id, "EURUSD")
        await b.until(lambda: b.of(request.client_order_id)[-1].change is OrderChange.CANCELED, "cancel")
        assert [e.change for e in b.of(request.client_order_id)] == [
            OrderChange.ACCEPTED,
            OrderChange.REPLACED,
            OrderChange.CANCELED,
        ]
        assert (await b.session.snapshot()).orders == ()

    run(script)


def test_protection_is_set_replaced_and_removed(run: Run) -> None:
    async def script(b: Bench) -> None:
        deal = await b.open()
        for stop, profit in ((D("1.08000"), D("1.09000")), (D("1.08100"), None), (None, None)):
            await b.session.set_protection(deal.position_id, Protection(stop_loss=stop, take_profit=profit))
            (position,) = (await b.session.snapshot()).positions
            levels = position.protection or Protection()
            assert (levels.stop_loss, levels.take_profit) == (stop, profit)

    run(script)


def test_levels_of_a_market_order_are_distances_from_its_fill(run: Run) -> None:
    async def script(b: Bench) -> None:
        protection = Protection(stop_loss=D("0.00500"), take_profit=D("0.00400"), distance=True)
        deal = await b.open(protection=protection)

        async def levels() -> tuple[Decimal | None, Decimal | None]:
            (position,) = (await b.session.snapshot()).positions
            found = position.protection or Protection()
            return found.stop_loss, found.take_profit

        async with asyncio.timeout(45):
            while await levels() != (D("1.08007"), D("1.08907")):  # 1.08507 less 0.00500, plus 0.00400  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        b.set_price("1.08000", "1.08007")
        await b.until(lambda: any(d.entry is DealEntry.OUT for d in b.deals()), "stop loss hit")
        out = next(d for d in b.deals() if d.entry is DealEntry.OUT)
        assert out.position_id == deal.position_id

    run(script)


def test_a_pending_order_fills_when_the_price_comes(run: Run) -> None:
    async def script(b: Bench) -> None:
        request = b.request(OrderType.STOP, stop_price=D("1.08600"))
        await b.session.submit(request)
        b.set_price("1.08595", "1.08602")
        await b.until(lambda: any(e.change is OrderChange.FILLED for e in b.of(request.client_order_id)), "fill")

    run(script)


def test_what_does_not_exist_is_not_found_and_nothing_happens(run: Run) -> None:
    async def script(b: Bench) -> None:
        with pytest.raises(NotFound):
            await b.session.cancel("999999", "EURUSD")
        with pytest.raises((NotFound, OrderRefused)):
            await b.session.close_position("999999", D(1_000), "CLOSE-X")
        snapshot = await b.session.snapshot()
        assert snapshot.positions == snapshot.orders == ()

    run(script)


def test_a_closed_session_sends_nothing(run: Run) -> None:
    async def script(b: Bench) -> None:
        await b.session.close()
        with pytest.raises(LinkError):
            await b.session.submit(b.request())
        with pytest.raises((LinkError, VenueError)):
            await b.session.snapshot()
        await b.session.close()  # closing twice is no error

    run(script)


def test_bars_are_closed_and_ascending(run: Run) -> None:
    async def script(b: Bench) -> None:
        end = b.snapshot.ts_ns
        bars = await b.session.history_bars("EURUSD", BarPeriod.M1, end - 3_600_000_000_000, end)
        assert [x.open_ns for x in bars] == sorted({x.open_ns for x in bars})
        assert all(x.closed for x in bars)

    run(script)
