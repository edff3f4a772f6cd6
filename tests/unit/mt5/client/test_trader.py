"""The order verbs on a terminal of scripted answers: what too many requests do (10024), close-by, what an answer may lack."""

import asyncio
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any

import pytest

from pepperstone_adapter.broker.events import OrderChange, OrderChanged
from pepperstone_adapter.broker.orders import OrderRequest, OrderType
from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import LinkLost, OrderRefused, OutcomeUnknown, RateLimited
from pepperstone_adapter.mt5.client.book import Book
from pepperstone_adapter.mt5.client.identity import magic_of
from pepperstone_adapter.mt5.client.trader import Trader
from tests.kit import mt5_rows as rows
from tests.kit.requests import market_order

DONE, TOO_MANY, NO_CHANGES = 10009, 10024, 10025
POSITION = 42


class Desk:
    """A trader whose terminal answers with the next of `retcodes` (then DONE), and a clock that only pauses move."""

    def __init__(self, *retcodes: int) -> None:
        self.retcodes = list(retcodes)
        self.sent: list[tuple[dict[str, Any], str]] = []
        self.pauses: list[float] = []
        self.now_s = 1_000.0
        self.up = True
        self.order = 7
        self.lists: dict[str, list[Any]] = {}
        book = Book({"EURUSD": rows.spec()}, parse_clock("NY+7"))
        book.start([], [rows.position(POSITION), rows.position(POSITION + 1, type=1)], [])
        self.symbol = rows.EURUSD | {"order_mode": 127}
        self.trader = Trader(
            3_000_001,
            self.call,
            book,
            {"EURUSD": self.symbol},
            self.ready,
            self.clock_known,
            lambda _events: None,
            clock_s=lambda: self.now_s,
            pause=self.pause,
        )

    async def call(self, fn: str, *args: Any, key: str | None = None) -> Any:
        match fn:
            case "symbol_info_tick":
                return {"bid": 1.1, "ask": 1.1001}
            case "order_send":
                assert key is not None
                self.sent.append((args[0], key))
                retcode = self.retcodes.pop(0) if self.retcodes else DONE
                return {"retcode": retcode, "order": self.order, "price": 1.1, "comment": ""}
            case "order_key":
                return {"state": "unknown"}
            case _:
                return self.lists.get(fn, [])

    def ready(self, _symbol: str) -> SymbolSpec:
        if not self.up:
            raise LinkLost("nothing was sent")
        return rows.spec()

    async def clock_known(self, _request: Any) -> None:
        pass

    async def pause(self, wait_s: float) -> None:
        if wait_s:
            self.pauses.append(wait_s)
        self.now_s += wait_s

    def close(self) -> Coroutine[Any, Any, Any]:
        return self.trader.close_position(str(POSITION), Decimal(10_000), "C-1")


def test_a_close_refused_for_too_many_requests_goes_again_after_a_pause_under_a_key_of_its_own() -> None:
    desk = Desk(TOO_MANY, TOO_MANY)
    state = asyncio.run(desk.close())
    assert (state.order_id, state.position_id) == ("7", str(POSITION))
    assert desk.pauses == [1.0, 2.0]
    assert [trade["position"] for trade, _ in desk.sent] == [POSITION] * 3
    assert len({key for _, key in desk.sent}) == 3  # the gateway would give the kept refusal for the same one


def test_it_is_given_up_in_the_end_and_says_so() -> None:
    desk = Desk(*[TOO_MANY] * 3)
    with pytest.raises(RateLimited):
        asyncio.run(desk.close())
    assert len(desk.sent) == 3


def test_a_removal_waits_for_the_pause_that_another_request_began() -> None:
    async def main() -> None:
        with pytest.raises(RateLimited):
            await desk.trader.submit(market_order("O-1"))
        await desk.trader.cancel("9", "EURUSD")

    desk = Desk(TOO_MANY)
    asyncio.run(main())
    assert desk.pauses == [1.0]
    assert [trade["action"] for trade, _ in desk.sent] == [1, 8]


def test_new_risk_is_refused_once_and_then_not_sent_until_the_pause_is_over() -> None:
    async def main() -> None:
        with pytest.raises(RateLimited) as refused:
            await desk.trader.submit(market_order("O-1"))
        assert "nothing was sent" not in str(refused.value)
        for kind, more in ((OrderType.MARKET, {}), (OrderType.LIMIT, {"limit_price": Decimal("1.09")})):
            with pytest.raises(RateLimited, match=r"nothing was sent; send again in 1\.0 s") as held:
                await desk.trader.submit(market_order(f"O-2 {kind}", type=kind, **more))
            assert held.value.retry_after_s == 1.0
        assert len(desk.sent) == 1
        desk.now_s += 1.0
        await desk.trader.submit(market_order("O-3"))

    desk = Desk(TOO_MANY)
    asyncio.run(main())
    assert len(desk.sent) == 2
    assert desk.pauses == []


def test_a_link_lost_in_the_pause_sends_nothing_more() -> None:
    class Lost(Desk):
        async def pause(self, wait_s: float) -> None:
            await super().pause(wait_s)
            self.up = not wait_s

    desk = Lost(TOO_MANY)
    with pytest.raises(LinkLost):
        asyncio.run(desk.close())
    assert len(desk.sent) == 1


def test_a_symbol_that_takes_no_close_by_is_named_and_nothing_is_sent() -> None:
    async def close_by(order_mode: int) -> None:
        desk.symbol["order_mode"] = order_mode
        await desk.trader.close_by(str(POSITION), str(POSITION + 1), "BY")

    desk = Desk()
    with pytest.raises(OrderRefused, match="EURUSD takes no close-by"):
        asyncio.run(close_by(127 - 64))
    assert desk.sent == []
    asyncio.run(close_by(127))
    assert [trade["action"] for trade, _ in desk.sent] == [10]


def test_a_close_by_that_had_nothing_to_do_has_closed_nothing() -> None:
    desk = Desk(NO_CHANGES)
    with pytest.raises(OrderRefused, match="NO_CHANGES"):
        asyncio.run(desk.trader.close_by(str(POSITION), str(POSITION + 1), "BY"))


def test_a_close_by_whose_deals_are_not_in_the_history_yet_is_asked_for_again() -> None:
    ours = {"magic": magic_of("BY"), "comment": "BY"}

    class Shown(Desk):
        """The order is in the history, its deals come later."""

        deals: tuple[dict[str, Any], ...] = ()

        async def call(self, fn: str, *args: Any, key: str | None = None) -> Any:
            match fn:
                case "history_orders_get":
                    return [rows.order(7, type=8, state=4, position_id=POSITION, volume_current=0.0, **ours)]
                case "history_deals_get":
                    return list(self.deals)
                case _:
                    return await super().call(fn, *args, key=key)

    desk = Shown()
    with pytest.raises(OutcomeUnknown, match="not in the history yet"):
        asyncio.run(desk.trader.find(None, "7", 0))
    half: dict[str, Any] = {"order": 7, "entry": 3, **ours}
    desk.deals = (rows.deal(8, position_id=POSITION, type=1, **half), rows.deal(9, position_id=POSITION + 1, **half))
    found = asyncio.run(desk.trader.find(None, "7", 0))
    assert found is not None
    assert (found.order.order_id, [deal.deal_id for deal in found.deals]) == (f"7/{POSITION}", ["8"])


@pytest.mark.parametrize(
    "wanted", [market_order(), market_order(type=OrderType.LIMIT, limit_price=Decimal("1.09"))], ids=["market", "limit"]
)
def test_an_order_taken_without_its_ticket_is_looked_for(wanted: OrderRequest) -> None:
    desk = Desk()
    desk.order = 0
    with pytest.raises(OutcomeUnknown):
        asyncio.run(desk.trader.submit(wanted))


def test_an_order_is_not_taken_for_the_stop_loss_that_ended_its_position() -> None:
    """A broker may give the level's order the magic number of the position."""
    desk, magic = Desk(), magic_of("O-1")
    ours = rows.order(7, magic=magic, state=4, volume_current=0.0, type=0)
    level = rows.order(9, magic=magic, state=4, volume_current=0.0, type=1, reason=4, position_id=7)
    desk.lists["history_orders_get"] = [level, ours]
    assert asyncio.run(desk.trader._find_ticket("O-1", 0)) == 7


LIMIT = market_order(type=OrderType.LIMIT, limit_price=Decimal("1.09"))
ENDED = rows.order(7, magic=magic_of("O-1"), state=2)


@pytest.mark.parametrize("between", [False, True], ids=["before it is read back", "while it is read back"])
def test_a_pending_order_that_ends_at_once_is_looked_for_in_the_history(between: bool) -> None:
    """No list has shown it, so none will miss it."""

    class Hasty(Desk):
        async def call(self, fn: str, *args: Any, key: str | None = None) -> Any:
            if fn == "orders_get" and between:
                self.trader._book.on_orders([], 0)  # told on the way of the answer, which still has it
                return [rows.order(7, magic=magic_of("O-1"))]
            return await super().call(fn, *args, key=key)

    desk = Hasty()
    asyncio.run(desk.trader.submit(LIMIT))
    book = desk.trader._book
    assert book.lookups == {7}
    (canceled,) = book.on_ended(7, [ENDED], 0)
    assert isinstance(canceled, OrderChanged)
    assert (canceled.change, canceled.order.client_order_id) == (OrderChange.CANCELED, "O-1")
    assert book.on_orders([], 0) == []
    assert book.lookups == set()  # it does not work any more


def test_a_pending_order_that_works_is_not_looked_for() -> None:
    desk = Desk()
    desk.lists["orders_get"] = [rows.order(7, magic=magic_of("O-1"))]
    asyncio.run(desk.trader.submit(LIMIT))
    assert desk.trader._book.lookups == set()
    desk.trader._book.on_orders([], 0)
    assert desk.trader._book.lookups == {7}


@pytest.mark.parametrize(("retcode", "asked"), [(10009, set()), (10010, {7}), (10008, {7})])
def test_what_becomes_of_a_market_order_that_is_not_done_is_asked_for(retcode: int, asked: set[int]) -> None:
    """Partly done, the rest is canceled; placed, the server may yet refuse it. Neither need be in a list of working orders."""
    desk = Desk(retcode)
    asyncio.run(desk.trader.submit(market_order()))
    assert desk.trader._book.lookups == asked
