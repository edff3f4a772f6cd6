"""What the clients of a connection are handed, event by event."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from nautilus_trader.model import OrderSide, OrderStatus, Price, Quantity

from pepperstone_adapter.broker.events import LinkUp, Notice, SymbolChanged
from pepperstone_adapter.live.connection import Connection
from tests.kit.broker import KitBroker, spec
from tests.kit.broker_session import KitSession
from tests.kit.node import EURUSD, VENUE, Bench, run_bench


def test_an_event_that_cannot_be_handled_takes_none_of_its_neighbours_with_it(tmp_path: Path) -> None:
    """Fills come in batches with whatever else the broker says: what is broken is named, the rest is applied."""
    broken = SymbolChanged(spec=replace(spec("EURUSD"), digits=40), ts_ns=1)

    async def script(b: Bench) -> None:
        await b.until(lambda: b.probe.quotes, "a quote")
        b.connection.up = False
        b.session.push([broken, LinkUp(ts_ns=2)])
        await b.until(lambda: b.connection.up, "the event after the broken one")
        assert b.connection.specs["EURUSD"].digits == 5

    run_bench(tmp_path, script)


def test_a_fill_that_cannot_be_told_stops_new_risk(tmp_path: Path) -> None:
    """The framework does not know that position: a person must look before anything is added to it."""

    async def script(b: Bench) -> None:
        await b.until(lambda: b.probe.quotes, "a quote")
        order = b.probe.order_factory.limit(EURUSD, OrderSide.BUY, Quantity.from_int(10_000), Price.from_str("1.08400"))
        b.probe.submit_order(order)
        await b.until(lambda: b.cache.order(order.client_order_id).status is OrderStatus.ACCEPTED, "accept")
        instrument = b.connection.instruments.pop("EURUSD")  # as any surprise on the way from the broker's word to ours
        b.broker.set_price("EURUSD", 108_390, 108_397)
        await b.until(lambda: b.client.halted is not None, "the halt")
        b.connection.instruments["EURUSD"] = instrument
        assert str(order.client_order_id) in str(b.client.halted)
        more = b.probe.order_factory.market(EURUSD, OrderSide.BUY, Quantity.from_int(1_000))
        b.probe.submit_order(more)
        await b.until(lambda: b.cache.order(more.client_order_id).status is OrderStatus.DENIED, "no new risk")

    run_bench(tmp_path, script)


class LostAtOnce(KitSession):
    """A link that goes while the account's symbols are on their way; what is asked for then is remembered."""

    async def symbols(self) -> Any:
        self.lose_link()
        return await super().symbols()

    async def subscribe_quotes(self, symbols: Any) -> None:
        """Prices come when the link is back."""


def test_a_link_that_is_lost_while_a_node_connects_is_not_taken_for_one_that_is_up() -> None:
    connection = Connection(lambda: LostAtOnce(KitBroker()), VENUE, ("EURUSD",), prime_timeout_s=0.01)
    asyncio.run(connection.start())
    assert not connection.up
    connection._on_events([LinkUp(ts_ns=2)])
    assert connection.up


def test_what_was_held_until_the_start_is_handed_on_event_by_event() -> None:
    connection = Connection(lambda: KitSession(KitBroker()), VENUE)
    events = [Notice(level="warning", text=text, ts_ns=1) for text in ("broken", "sound")]
    connection._on_events(events)
    taken: list[str] = []

    def take(event: Any) -> None:
        if event.text == "broken":
            raise ValueError("no")
        taken.append(event.text)

    connection.release_trading(take)
    assert taken == ["sound"]
    connection._on_events(events)
    assert taken == ["sound", "sound"]


def test_an_order_that_cannot_be_planned_is_denied_and_not_left_in_the_air(tmp_path: Path) -> None:
    """The framework would hold it as begun for ever, and call its outcome unknown at the end."""

    async def script(b: Bench) -> None:
        single = b.probe.order_factory.market(EURUSD, OrderSide.BUY, Quantity.from_int(10_000))
        b.probe.submit_order(single)
        for order in (single, *b.bracket("1.08000", "1.09000")):
            await b.reach(order, "DENIED")
        reasons = [str(e.reason) for e in b.probe.events if hasattr(e, "reason")]
        assert all(r.startswith("not sent: a part of this program broke (AttributeError: ") for r in reasons)
        assert b.broker.requests == []

    run_bench(tmp_path, script, capabilities={"time_in_force": None})  # as any surprise of ours
