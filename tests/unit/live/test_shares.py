"""Closes on a netting account: in the moment between the broker's fill and the framework's books, and by another."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from nautilus_trader.model import TriggerType

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.events import BrokerEvent, OrderChanged
from pepperstone_adapter.broker.market import Tick
from pepperstone_adapter.broker.orders import DealReason, Protection, Side
from pepperstone_adapter.live.emissions import StrangerFill
from pepperstone_adapter.live.planning import Close
from pepperstone_adapter.live.tracking import CLOSE, Phase, TrackedOrder
from pepperstone_adapter.mapping.orders import NotSendable
from tests.kit.broker import KitBroker
from tests.kit.node import BUY, EURUSD, SELL, Bench, px, run_bench, units


class TickAfterFill(KitBroker):
    """Tells a price together with each fill: whoever hears it is between our books and the framework's."""

    def emit(self, *events: BrokerEvent) -> None:
        fills = [e for e in events if isinstance(e, OrderChanged) and e.deal is not None]
        super().emit(*events, *(Tick("EURUSD", *self.prices["EURUSD"], self.now_ns) for _ in fills))


def close_of(b: Bench, number: int) -> Close:
    position = b.client.table.positions[next(iter(b.broker.positions))]
    order = TrackedOrder(
        client_order_id=f"second-{number}",
        venue_text=f"second-{number}",
        strategy_id=str(b.probe.strategy_id),
        symbol="EURUSD",
        side=Side.SELL,
        units=Decimal(number),
        kind=CLOSE,
        position_id=position.position_id,
    )
    return Close(order, position, order.units)


def refusal(b: Bench, number: int) -> str:
    assert b.client.shares is not None
    try:
        b.client.shares.check(close_of(b, number))
    except NotSendable as reason:
        return str(reason)
    return ""


def test_a_second_close_in_the_moment_of_the_firsts_fill_takes_no_others_part(tmp_path: Path) -> None:
    """A stranger has 20,000 of the position and the strategy 10,000, of which 4,000 go: 6,000 may follow, not 10,000."""
    seen: list[str] = []

    async def script(b: Bench) -> None:
        b.broker.open_at_broker("EURUSD", Side.BUY, 20_000)
        await b.until(lambda: b.cache.positions_open(), "the stranger's position")
        entry = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(entry)
        await b.reach(entry, "FILLED")
        await b.until(lambda: b.cache.positions_open(None, EURUSD, b.probe.strategy_id), "its own position")
        first = b.probe.order_factory.market(EURUSD, SELL, units(4_000), reduce_only=True)

        def at_the_fill(_event: object) -> None:
            ours = b.client.table.get(str(first.client_order_id))
            if ours is not None and ours.phase is Phase.ENDED and b.status(first) != "FILLED" and not seen:
                seen.extend([refusal(b, 10_000), refusal(b, 6_000)])

        b.connection.on_market(at_the_fill)
        b.probe.submit_order(first)
        await b.reach(first, "FILLED")
        assert seen[0].startswith(f"{b.probe.strategy_id} holds 10000 units of EURUSD, of which 4000 are being closed")
        assert seen[1] == ""

    run_bench(tmp_path, script, broker=TickAfterFill(PositionMode.NETTING))


def test_a_close_that_never_arrived_takes_nothing_from_the_next(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        entry = b.probe.order_factory.market(EURUSD, BUY, units(10_000))
        b.probe.submit_order(entry)
        await b.reach(entry, "FILLED")
        await b.until(lambda: b.cache.positions_open(None, EURUSD, b.probe.strategy_id), "its own position")
        b.broker.swallow_requests = 1  # lost on the way, and found to be so
        for end in ("REJECTED", "FILLED"):
            order = b.probe.order_factory.market(EURUSD, SELL, units(10_000), reduce_only=True)
            b.probe.submit_order(order)
            await b.reach(order, end)
        assert not b.broker.positions

    run_bench(tmp_path, script, broker=KitBroker(PositionMode.NETTING))


async def held(b: Bench, number: int) -> None:
    """The strategy's own part of the account's position."""
    entry = b.probe.order_factory.market(EURUSD, BUY, units(number))
    b.probe.submit_order(entry)
    await b.reach(entry, "FILLED")
    await b.until(lambda: b.cache.positions_open(None, EURUSD, b.probe.strategy_id), "its own position")


def net(b: Bench) -> Decimal:
    return sum((Decimal(str(p.signed_qty)) for p in b.cache.positions_open()), Decimal(0))


@pytest.mark.parametrize("how", ["stop-out", "by hand", "by hand in part", "a stop set by hand"])
def test_what_another_closes_of_a_strategys_position_counts_and_stops_new_risk(tmp_path: Path, how: str) -> None:
    """The strategy goes on believing in its position: its next order against it would open one."""

    async def script(b: Bench) -> None:
        await held(b, 3_000)
        (ticket,) = b.broker.positions
        match how:
            case "stop-out":
                b.broker.close_at_broker(ticket, reason=DealReason.STOP_OUT)
            case "by hand":
                b.broker.close_at_broker(ticket)
            case "by hand in part":
                b.broker.close_at_broker(ticket, units=1_000)
            case _:
                b.broker.protect(b.broker.positions[ticket], Protection(stop_loss=Decimal("1.08000")))
                b.broker.set_price("EURUSD", 107_990, 107_997)
        left = Decimal(2_000 if how == "by hand in part" else 0)
        await b.until(lambda: net(b) == left, "the deal in the account's net position")
        assert b.client.halted is not None
        assert ("stop-out" if how == "stop-out" else "that strategies hold were closed by another") in b.client.halted
        back = b.probe.order_factory.market(EURUSD, SELL, units(3_000))
        b.probe.submit_order(back)
        await b.reach(back, "DENIED")
        assert sum(p.units for p in b.broker.positions.values()) == left

    run_bench(tmp_path, script, broker=KitBroker(PositionMode.NETTING))


def test_a_stranger_who_closes_no_more_than_is_his_stops_nothing(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.broker.open_at_broker("EURUSD", Side.BUY, 2_000)
        await b.until(lambda: b.cache.positions_open(), "the stranger's position")
        await held(b, 3_000)
        b.broker.close_at_broker(next(iter(b.broker.positions)), px("1.08500").as_decimal(), units=2_000)
        await b.until(lambda: net(b) == 3_000, "the strategy's part left")
        (position,) = b.cache.positions_open()
        assert position.strategy_id == b.probe.strategy_id
        assert b.client.halted is None

    run_bench(tmp_path, script, broker=KitBroker(PositionMode.NETTING))


@pytest.mark.parametrize("number", [0, 3_000])
def test_a_stranger_who_is_in_and_out_in_one_moment_stops_nothing(tmp_path: Path, number: int) -> None:
    """Two deals in one batch: the framework applies the first after the second has been told."""

    async def script(b: Bench) -> None:
        if number:
            await held(b, number)
        b.broker.open_at_broker("EURUSD", Side.BUY, 2_000)
        b.broker.close_at_broker(next(iter(b.broker.positions)), units=2_000)
        await b.until(lambda: len(b.cache.positions_closed()) == 1 and net(b) == number, "the strategy's part left")
        assert b.client.halted is None
        b.broker.close_at_broker(b.broker.open_at_broker("EURUSD", Side.BUY, 2_000), units=2_000 + number)
        await b.until(lambda: net(b) == 0, "flat")
        assert bool(b.client.halted) == bool(number)

    run_bench(tmp_path, script, broker=KitBroker(PositionMode.NETTING))


def test_a_look_at_shares_that_breaks_loses_no_deal(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        await held(b, 3_000)
        assert b.client.shares is not None
        nameless = StrangerFill(replace(b.broker.all_deals[-1], deal_id="1", order_id=""))
        b.client.perform([nameless])
        with pytest.raises(ValueError, match="was empty"):  # the framework has no such id: each look breaks
            b.client.shares.taken([nameless])
        b.broker.open_at_broker("EURUSD", Side.BUY, 2_000)
        await b.until(lambda: net(b) == 5_000, "both parts")

    run_bench(tmp_path, script, broker=KitBroker(PositionMode.NETTING))


@pytest.mark.parametrize("others", [0, 2_000])
def test_a_level_that_is_hit_in_the_moment_its_strategy_adds_closes_what_it_holds(tmp_path: Path, others: int) -> None:
    """A limit order fills on the way to the stop, while the link is down: both deals come in one batch."""

    async def script(b: Bench) -> None:
        await held(b, 3_000)
        add = b.probe.order_factory.limit(EURUSD, BUY, units(1_000), px("1.08200"))
        stop = b.probe.order_factory.stop_market(
            EURUSD, SELL, units(3_000), px("1.08000"), TriggerType.BID_ASK, reduce_only=True
        )
        b.probe.submit_order(add)
        b.probe.submit_order(stop)
        await b.reach(add, "ACCEPTED")
        await b.reach(stop, "ACCEPTED")
        b.session.lose_link()
        if others:
            b.broker.open_at_broker("EURUSD", Side.BUY, others)
        b.broker.set_price("EURUSD", 107_990, 107_997)
        b.session.restore_link()
        await b.reach(stop, "FILLED")
        await b.until(lambda: net(b) == 0, "flat")
        assert (b.client.halted or "").startswith("2000 units of EURUSD" if others else "")
        assert bool(b.client.halted) == bool(others)

    run_bench(tmp_path, script, broker=KitBroker(PositionMode.NETTING))


def test_a_level_that_closes_what_another_has_added_stops_new_risk(tmp_path: Path) -> None:
    """The strategy's stop is the position's: it takes the stranger's 2,000 too, and the framework turns the strategy round."""

    async def script(b: Bench) -> None:
        await held(b, 3_000)
        stop = b.probe.order_factory.stop_market(
            EURUSD, SELL, units(3_000), px("1.08000"), TriggerType.BID_ASK, reduce_only=True
        )
        b.probe.submit_order(stop)
        await b.reach(stop, "ACCEPTED")
        b.broker.open_at_broker("EURUSD", Side.BUY, 2_000)
        await b.until(lambda: net(b) == 5_000, "both")
        b.broker.set_price("EURUSD", 107_990, 107_997)
        await b.until(lambda: net(b) == 0 and b.client.halted, "flat, and no new risk")
        assert b.client.halted is not None
        assert (
            f"2000 units of EURUSD that strategies hold were closed by a level of {b.probe.strategy_id}"
            in b.client.halted
        )

    run_bench(tmp_path, script, broker=KitBroker(PositionMode.NETTING))


def test_a_level_that_closes_its_strategys_position_stops_nothing(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        entry, stop, _ = b.bracket("1.08000", "1.09000")
        await b.reach(entry, "FILLED")
        b.broker.set_price("EURUSD", 107_990, 107_997)
        await b.reach(stop, "FILLED")
        await b.until(lambda: net(b) == 0, "flat")
        assert b.client.halted is None

    run_bench(tmp_path, script, broker=KitBroker(PositionMode.NETTING))
