"""The start of an execution client: what it waits for, and what it does not wait for for ever."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from nautilus_trader.model import ClientOrderId, OrderSide, PositionId

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.orders import Deal, Side
from pepperstone_adapter.broker.session import BrokerSnapshot
from pepperstone_adapter.live.mass_status import StartState
from pepperstone_adapter.live.startup import Startup
from tests.kit.broker import KitBroker
from tests.kit.node import BUY, EURUSD, Bench, px, run_bench, units

NS = 1_000_000_000


def test_an_order_the_framework_leaves_out_stops_new_risk_and_holds_back_no_fill(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.limit(EURUSD, BUY, units(10_000), px("1.08000"))
        b.probe.submit_order(order)
        await b.reach(order, "ACCEPTED")
        client, instrument = b.client, b.connection.instruments["EURUSD"]
        assert client._store is not None
        assert client._emitter is not None
        start = Startup(
            client, client._store, client._reports, client._events, client._emitter, client.log, patience_s=0.1
        )
        state = next(iter(b.broker.orders.values())).state
        known, unknown = (
            client._reports.order(state, instrument, 1, client_order_id=cid)
            for cid in (str(order.client_order_id), "O-LEFT-OUT")
        )
        assert unknown.client_order_id == ClientOrderId("O-LEFT-OUT")
        b.connection._trading = None  # as before the start: what the broker says is held
        b.broker.set_price("EURUSD", 107_990, 107_997)
        await start.release(StartState(orders=[known]))
        assert client.halted is None
        await b.reach(order, "FILLED")
        await start.release(StartState(orders=[known, unknown]))
        assert client.halted is not None
        assert "O-LEFT-OUT" in client.halted
        b.probe.close_position(b.cache.positions_open()[0])
        await b.until(lambda: not b.cache.positions_open(), "events that flow")

    run_bench(tmp_path, script)


class Moving(KitBroker):
    """A broker where something happens right after one of its snapshots was read, and whose newest deals are not listed."""

    def __init__(self, mode: PositionMode = PositionMode.HEDGING) -> None:
        self.unlisted = 0
        super().__init__(mode)
        self.snapshots = 0
        self.after: dict[int, Callable[[], None]] = {}

    @property
    def all_deals(self) -> list[Deal]:
        return self._deals[: -self.unlisted] if self.unlisted else self._deals

    @all_deals.setter
    def all_deals(self, deals: list[Deal]) -> None:
        self._deals = deals

    def snapshot(self) -> BrokerSnapshot:
        taken = super().snapshot()
        self.snapshots += 1
        self.after.pop(self.snapshots, lambda: None)()
        return taken


def held(b: Bench) -> dict[str, Decimal]:
    return {str(p.id): Decimal(str(p.signed_qty)) for p in b.cache.positions_open()}


def traded(tmp_path: Path, broker: KitBroker) -> dict[str, str]:
    """An earlier run that left a position and a working order behind."""
    ids: dict[str, str] = {}

    async def script(b: Bench) -> None:
        limit = b.probe.order_factory.limit(EURUSD, BUY, units(10_000), px("1.08400"))
        market = b.probe.order_factory.market(EURUSD, BUY, units(3_000))
        b.probe.submit_order(limit)
        await b.reach(limit, "ACCEPTED")
        b.probe.submit_order(market)
        await b.reach(market, "FILLED")
        ids.update(limit=str(limit.client_order_id), ticket=next(iter(broker.positions)))

    run_bench(tmp_path, script, broker)
    return ids


@pytest.mark.parametrize("snapshot", [1, 2, 3])
def test_what_happens_between_two_reads_of_a_start_is_told_once(tmp_path: Path, snapshot: int) -> None:
    """An order fills, and two positions are closed, ours and a stranger's, after one list was read and before the next."""
    broker = Moving()
    ids = traded(tmp_path, broker)
    by_hand = broker.open_at_broker("EURUSD", Side.SELL, 5_000)
    broker.snapshots = 0

    def happens() -> None:
        broker.set_price("EURUSD", 108_390, 108_397)
        broker.close_at_broker(ids["ticket"])
        broker.close_at_broker(by_hand)

    broker.after[snapshot] = happens

    async def script(b: Bench) -> None:
        limit = ClientOrderId(ids["limit"])
        await b.until(lambda: held(b) == {str(b.cache.order(limit).position_id): Decimal(10_000)}, "the fill alone")
        assert broker.after == {}
        assert b.cache.order(limit).filled_qty.as_decimal() == 10_000
        for ticket in (ids["ticket"], by_hand):
            closed = b.cache.position(PositionId(ticket))
            assert closed is None or closed.is_closed

    run_bench(tmp_path, script, broker, claim=True)


def test_a_strangers_netting_position_that_closes_during_a_start_stops_nothing(tmp_path: Path) -> None:
    """Both are told in one moment: what he had, and that it is gone."""
    broker = Moving(PositionMode.NETTING)
    by_hand = broker.open_at_broker("EURUSD", Side.SELL, 5_000)
    broker.after[2] = lambda: broker.close_at_broker(by_hand)  # read by no one, and held until the start is over

    async def script(b: Bench) -> None:
        await b.until(lambda: b.cache.positions_closed(), "the position and its end")
        assert broker.after == {}
        assert b.client.halted is None

    run_bench(tmp_path, script, broker)


@pytest.mark.parametrize("mode", [PositionMode.HEDGING, PositionMode.NETTING])
def test_a_strangers_deals_count_beside_a_position_whose_fill_is_made_up(tmp_path: Path, mode: PositionMode) -> None:
    """The framework drops a report that is older than the fill it made up, of any ticket; the broker's clock is behind."""
    broker = KitBroker(mode)
    old = broker.open_at_broker("EURUSD", Side.BUY, 3_000)
    broker.all_deals.clear()  # out of reach
    both, left = [Decimal(3_000)], []
    if mode is PositionMode.HEDGING:
        broker.open_at_broker("EURUSD", Side.BUY, 2_000)
        both, left = [Decimal(2_000), Decimal(3_000)], [Decimal(2_000)]

    async def script(b: Bench) -> None:
        await b.until(lambda: sorted(held(b).values()) == both, "what the account holds")
        broker.close_at_broker(old)
        await b.until(lambda: sorted(held(b).values()) == left, "what is left of it")
        assert b.client.halted is None

    run_bench(tmp_path, script, broker)


class OutOfOrder(Moving):
    """Lists the last but one deal a read later than the last."""

    reads_without = 0

    @property
    def all_deals(self) -> list[Deal]:
        if not self.reads_without:
            return self._deals
        self.reads_without -= 1
        return [*self._deals[:-2], self._deals[-1]]

    @all_deals.setter
    def all_deals(self, deals: list[Deal]) -> None:
        self._deals = deals


@pytest.mark.parametrize("mode", [PositionMode.HEDGING, PositionMode.NETTING])
def test_an_early_deal_that_is_listed_after_a_later_one_is_told_before_it(tmp_path: Path, mode: PositionMode) -> None:
    """A stranger's position: told the other way round, what reduces it would open one of the other side."""
    broker = OutOfOrder(mode)
    ticket = broker.open_at_broker("EURUSD", Side.BUY, 3_000)
    broker.close_at_broker(ticket, units=1_000)
    broker.reads_without = 1

    async def script(b: Bench) -> None:
        await b.until(lambda: list(held(b).values()) == [Decimal(2_000)], "what is left of the position")
        (position,) = b.cache.positions()
        assert [str(fill.trade_id) for fill in position.events()] == [deal.deal_id for deal in broker.all_deals]

    run_bench(tmp_path, script, broker)


@pytest.mark.parametrize("mode", [PositionMode.HEDGING, PositionMode.NETTING])
@pytest.mark.parametrize("closed_units", [0, 1_000, 3_000])
def test_a_deal_that_is_listed_late_is_not_told_beside_the_position_it_made(
    tmp_path: Path, mode: PositionMode, closed_units: int
) -> None:
    """The broker's clock is a minute ahead of ours: its stamps say nothing about what was read when."""
    broker = Moving(mode)
    broker.now_ns += 60 * NS
    ids = traded(tmp_path, broker)
    if closed_units:
        broker.close_at_broker(ids["ticket"], units=closed_units)
    broker.unlisted = 1
    left = Decimal(3_000 - closed_units)

    async def script(b: Bench) -> None:
        await b.until(lambda: b.connection.reconciled, "the start")
        await b.until(lambda: sum(held(b).values()) == left, "what is open")
        broker.unlisted = 0
        for _ in range(2):
            await b.client.reconciler.audit()
        order = b.probe.order_factory.market(EURUSD, BUY, units(2_000))
        b.probe.submit_order(order)  # whatever was told before has been taken in when this is filled
        await b.reach(order, "FILLED")
        await b.until(lambda: sum(held(b).values()) == left + 2_000, "no more than that")
        assert sum(p.side.sign * p.units for p in broker.positions.values()) == left + 2_000

    run_bench(tmp_path, script, broker, claim=True)


@pytest.mark.parametrize("mode", [PositionMode.HEDGING, PositionMode.NETTING])
@pytest.mark.parametrize("read", [True, False], ids=["its deals are read", "its deals are out of reach"])
def test_the_part_of_a_working_order_that_is_closed_again_opens_nothing_at_a_start(
    tmp_path: Path, mode: PositionMode, read: bool
) -> None:
    broker = Moving(mode)
    ids: dict[str, ClientOrderId] = {}

    async def first(b: Bench) -> None:
        order = b.probe.order_factory.limit(EURUSD, BUY, units(10_000), px("1.08400"))
        b.probe.submit_order(order)
        await b.reach(order, "ACCEPTED")
        broker.fills_at = [Decimal("0.4")]
        broker.set_price("EURUSD", 108_390, 108_397)
        await b.reach(order, "PARTIALLY_FILLED")
        ids["order"] = order.client_order_id

    run_bench(tmp_path, first, broker)
    broker.close_at_broker(next(iter(broker.positions)))
    assert not broker.positions
    if not read:
        broker.all_deals = []
    started = len(broker.all_deals)

    async def second(b: Bench) -> None:
        await b.until(lambda: b.connection.reconciled, "the start")
        await b.until(lambda: b.cache.order(ids["order"]) is not None, "the working order")
        order = b.cache.order(ids["order"])
        assert held(b) == {}
        assert (order.is_open, order.filled_qty.as_decimal()) == (True, 4_000 if read else 0)
        broker.set_price("EURUSD", 108_380, 108_387)
        await b.until(lambda: sum(held(b).values()) == 6_000, "the rest alone")
        assert sum(p.side.sign * p.units for p in broker.positions.values()) == 6_000
        assert len(broker.all_deals) == started + 1
        if read:
            await b.until(lambda: b.cache.order(ids["order"]).is_closed, "its end")

    run_bench(tmp_path, second, broker, claim=True)


def test_an_order_that_reduced_a_netting_position_and_was_killed_before_its_answer_stays_its_strategys(
    tmp_path: Path,
) -> None:
    """No id of the broker's was noted, and to the broker the order closes; its name and its side tell whose it is."""
    broker = KitBroker(PositionMode.NETTING)
    ids: dict[str, ClientOrderId] = {}

    async def first(b: Bench) -> None:
        for side, size in ((BUY, 10_000), (OrderSide.SELL, 4_000)):
            order = b.probe.order_factory.market(EURUSD, side, units(size))
            b.probe.submit_order(order)
            await b.reach(order, "FILLED")
        ids["reducing"] = order.client_order_id

    run_bench(tmp_path, first, broker)
    (reducing,) = (o for o in broker.orders.values() if o.state.client_order_id == str(ids["reducing"]))
    reducing.state = replace(reducing.state, closing=True)
    (store,) = tmp_path.rglob("orders.sqlite")
    with closing(sqlite3.connect(store, isolation_level=None)) as db:
        noted = "UPDATE orders SET order_id=NULL, position_id=NULL, ended=0 WHERE client_order_id=?"
        assert db.execute(noted, (str(ids["reducing"]),)).rowcount == 1

    async def second(b: Bench) -> None:
        await b.until(lambda: sum(held(b).values()) == 6_000, "what is left")
        order = b.cache.order(ids["reducing"])
        assert order is not None
        assert (str(order.strategy_id), order.filled_qty.as_decimal()) == (str(b.probe.strategy_id), 4_000)
        assert [str(o.strategy_id) for o in b.cache.orders() if str(o.strategy_id) == "EXTERNAL"] == []

    run_bench(tmp_path, second, broker, claim=True)


def test_the_levels_of_a_partly_filled_bracket_come_back_once(tmp_path: Path) -> None:
    """They are the working entry's and the position's at the same time."""
    broker = KitBroker()
    ids: list[str] = []

    async def first(b: Bench) -> None:
        entry, *legs = b.bracket("1.08000", "1.09000", at="1.08400")
        await b.reach(entry, "ACCEPTED")
        broker.fills_at = [Decimal("0.4")]
        broker.set_price("EURUSD", 108_390, 108_397)
        await b.reach(entry, "PARTIALLY_FILLED")
        ids.extend(str(o.client_order_id) for o in (entry, *legs))

    async def second(b: Bench) -> None:
        entry, *legs = ids
        await b.until(lambda: all(b.cache.order(ClientOrderId(i)) for i in ids), "all three")
        assert [leg.client_order_id for leg in b.client.table.legs_of_entry(entry)] == legs
        broker.set_price("EURUSD", 108_380, 108_387)
        await b.until(lambda: b.cache.order(ClientOrderId(entry)).is_closed, "the rest")
        broker.set_price("EURUSD", 107_990, 107_997)
        await b.until(lambda: [b.cache.order(ClientOrderId(leg)).status.name for leg in legs] == ["FILLED", "CANCELED"])
        assert held(b) == {}
        assert b.client.table.legs_of_entry(entry) == []

    run_bench(tmp_path, first, broker)
    run_bench(tmp_path, second, broker, claim=True)
