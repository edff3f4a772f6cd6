"""The order verbs on a terminal of scripted answers: what too many requests do (10024)."""

import asyncio
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any

import pytest

from pepperstone_adapter.broker.orders import OrderType
from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import LinkLost, RateLimited
from pepperstone_adapter.mt5.client.book import Book
from pepperstone_adapter.mt5.client.trader import Trader
from tests.kit import mt5_rows as rows
from tests.kit.requests import market_order

DONE, TOO_MANY = 10009, 10024
POSITION = 42


class Desk:
    """A trader whose terminal answers with the next of `retcodes` (then DONE), and a clock that only pauses move."""

    def __init__(self, *retcodes: int) -> None:
        self.retcodes = list(retcodes)
        self.sent: list[tuple[dict[str, Any], str]] = []
        self.pauses: list[float] = []
        self.now_s = 1_000.0
        self.up = True
        book = Book({"EURUSD": rows.spec()}, parse_clock("NY+7"))
        book.start([], [rows.position(POSITION)], [])
        self.trader = Trader(
            self.call,
            book,
            {"EURUSD": rows.EURUSD | {"order_mode": 127}},
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
                return {"retcode": retcode, "order": 7, "price": 1.1, "comment": ""}
            case _:
                return []

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
