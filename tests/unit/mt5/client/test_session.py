"""A session on a gateway of scripted answers: what comes in between the reads of a comparison."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from pepperstone_adapter.broker.events import AccountChanged, BrokerEvent, LinkDown, LinkUp, PositionChanged
from pepperstone_adapter.broker.market import Bar, BarPeriod
from pepperstone_adapter.broker.server_time import NEW_YORK_CLOCK, parse_clock
from pepperstone_adapter.mt5.client.account import Mt5Account
from pepperstone_adapter.mt5.client.protocol import GatewayDown, GatewayUp
from pepperstone_adapter.mt5.client.session import Mt5Session
from pepperstone_adapter.mt5.gateway.wire import RATES_DTYPE, TICKS_DTYPE, pack_array
from tests.kit import mt5_rows as rows

NS = 1_000_000_000
LOGIN = 7
ACCOUNT = {
    "login": LOGIN, "server": "S", "company": "C", "currency": "USD", "currency_digits": 2, "trade_mode": 0, "margin_mode": 2,
    "leverage": 30, "balance": 1000.0, "equity": 1000.0, "margin": 0.0, "trade_allowed": True, "trade_expert": True,
}  # fmt: skip
TERMINAL = {"connected": True, "trade_allowed": True, "tradeapi_disabled": False}


class Link:
    """A gateway with one position; `between` is told once, after the positions have been read, `before` when a function
    is asked for, before its answer."""

    def __init__(self, on_news: Any) -> None:
        self.on_news = on_news
        self.positions: list[Any] = [rows.position(42)]
        self.between: list[Any] = []
        self.before: dict[str, list[Any]] = {}

    async def open(self, _timeout_s: float) -> None:
        pass

    async def close(self) -> None:
        pass

    async def call(self, fn: str, *_args: Any, key: str | None = None, login: int | None = None) -> Any:
        del key, login
        await asyncio.sleep(0)
        if fn in self.before:
            self.on_news(self.before.pop(fn))
        match fn:
            case "status":
                return {"up": True, "restarts": 0}
            case "account_info":
                return ACCOUNT
            case "terminal_info":
                return TERMINAL
            case "symbols_get":
                return [rows.EURUSD | {"select": False, "time": 0}]
            case "positions_get":
                return list(self.positions)
            case "history_deals_get":
                between, self.between = self.between, []
                if between:
                    self.positions = []
                    self.on_news(between)
                return []
            case _:
                return []


def test_days_begin_by_the_rule_of_the_account() -> None:
    session = Mt5Session(Mt5Account(login=LOGIN, server_time="+02:00"), Link)  # type: ignore[arg-type]
    assert session.capabilities.server_clock == parse_clock("+02:00")
    assert session.capabilities is session.capabilities  # asked for with every order
    assert Mt5Session(Mt5Account(login=LOGIN), Link).capabilities.server_clock == NEW_YORK_CLOCK  # type: ignore[arg-type]


def test_a_list_read_before_a_newer_one_came_brings_no_closed_position_back() -> None:
    links: list[Link] = []

    def open_link(on_news: Any) -> Any:
        links.append(Link(on_news))
        return links[0]

    async def main() -> None:
        told: list[BrokerEvent] = []

        def take(events: Sequence[BrokerEvent]) -> None:
            told.extend(events)

        session = Mt5Session(Mt5Account(login=LOGIN), open_link)
        snapshot = await session.connect(take)
        assert [position.position_id for position in snapshot.positions] == ["42"]
        (link,) = links
        closing = rows.deal(9, type=1, entry=1, position_id=42)
        link.between = [{"k": "deals", "rows": [closing]}, {"k": "positions", "rows": []}]
        link.on_news([GatewayUp(resumed=True, terminal=True)])
        async with asyncio.timeout(10):
            while not any(isinstance(event, LinkUp) for event in told):  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert [event.position.units for event in told if isinstance(event, PositionChanged)] == [0]
        assert session._book.positions == {}
        await session.close()

    asyncio.run(main())


def test_a_server_that_was_lost_and_found_while_the_link_was_cut_is_traded_again() -> None:
    """All that was missed comes at once with the link."""
    told: list[BrokerEvent] = []
    links: list[Link] = []

    def open_link(on_news: Any) -> Any:
        links.append(Link(on_news))
        return links[0]

    async def main() -> None:
        session = Mt5Session(Mt5Account(login=LOGIN), open_link)
        await session.connect(told.extend)
        (link,) = links
        link.on_news([GatewayDown("cut")])
        missed: list[Any] = [
            {"k": "terminal", "row": TERMINAL | {"connected": connected}} for connected in (False, True)
        ]
        link.on_news([GatewayUp(resumed=True, terminal=True), *missed])
        for _ in range(100):
            await asyncio.sleep(0)
        await session.close()

    asyncio.run(main())
    assert [type(event) for event in told if isinstance(event, LinkDown | LinkUp)] == [LinkDown, LinkUp]


def test_a_position_whose_deal_was_on_its_way_when_the_link_was_cut_is_explained_by_it() -> None:
    """A minute without a link is no minute in which the deal could have come; its levels would be told as canceled."""
    told: list[BrokerEvent] = []
    links: list[Link] = []
    later_ns = 0

    def open_link(on_news: Any) -> Any:
        links.append(Link(on_news))
        return links[0]

    async def main() -> None:
        nonlocal later_ns
        session = Mt5Session(
            Mt5Account(login=LOGIN),
            open_link,  # type: ignore[arg-type]
            now_ns=lambda: time.time_ns() + later_ns,
        )
        await session.connect(told.extend)
        (link,) = links
        link.positions = []
        link.on_news([{"k": "positions", "rows": []}])  # the stop loss was hit, and history lags
        link.on_news([GatewayDown("cut")])
        later_ns = 60 * NS
        assert session._book.on_time(session._now_ns()) == []
        closing = rows.deal(9, type=1, entry=1, reason=4, position_id=42)
        missed: list[Any] = [{"k": "positions", "rows": []}, {"k": "deals", "rows": [closing]}]
        link.on_news([GatewayUp(resumed=True, terminal=True), *missed])
        async with asyncio.timeout(10):
            while not any(isinstance(event, LinkUp) for event in told):  # noqa: ASYNC110
                await asyncio.sleep(0)
        await session.close()

    asyncio.run(main())
    kinds = [type(event).__name__ for event in told if not isinstance(event, AccountChanged)]
    assert kinds == ["LinkDown", "OrderChanged", "PositionChanged", "LinkUp"]


def connecting(prepare: Callable[[Link], None]) -> tuple[list[BrokerEvent], list[str]]:
    """What is told in the first moments of a session, and the positions its book has then."""
    told: list[BrokerEvent] = []

    def open_link(on_news: Any) -> Any:
        link = Link(on_news)
        prepare(link)
        return link

    async def main() -> list[str]:
        session = Mt5Session(Mt5Account(login=LOGIN), open_link)
        await session.connect(told.extend)
        for _ in range(10):
            await asyncio.sleep(0)
        await session.close()
        return list(session._book.positions)

    return told, asyncio.run(main())


@pytest.mark.parametrize("fn", ["symbols_get", "orders_get", "history_deals_get"])
def test_a_server_that_is_lost_while_a_session_starts_is_told(fn: str) -> None:
    gone = {"k": "terminal", "row": TERMINAL | {"connected": False}}
    told, _ = connecting(lambda link: link.before.update({fn: [gone]}))
    assert [event.reason for event in told if isinstance(event, LinkDown)] == [
        "the terminal has no connection to its trade server"
    ]


def test_a_link_that_is_lost_with_the_last_answer_of_the_first_snapshot_is_told() -> None:
    told, _ = connecting(lambda link: link.before.update(history_deals_get=[GatewayDown("cut")]))
    assert [event.reason for event in told if isinstance(event, LinkDown)] == ["cut"]


@pytest.mark.parametrize("fn", ["status", "symbols_get", "orders_get", "positions_get"])
def test_a_list_from_before_the_first_snapshot_brings_no_closed_position_back(fn: str) -> None:
    def prepare(link: Link) -> None:
        link.positions = []  # closed a moment ago
        link.before[fn] = [{"k": "positions", "rows": [rows.position(42)]}]

    told, held = connecting(prepare)
    assert held == []
    assert [event for event in told if isinstance(event, PositionChanged)] == []


def test_a_list_that_came_after_the_positions_were_read_is_in_the_first_snapshot() -> None:
    def prepare(link: Link) -> None:
        link.between = [{"k": "positions", "rows": []}]  # closed while the deals were read

    told, held = connecting(prepare)
    assert held == []
    assert [event for event in told if isinstance(event, PositionChanged)] == []


def test_what_came_while_a_session_started_is_told_before_what_comes_with_its_end() -> None:
    """The news behind the last answer may be handed over in the turn of the loop in which the start ends."""
    told: list[BrokerEvent] = []
    links: list[Link] = []

    def open_link(on_news: Any) -> Any:
        links.append(Link(on_news))
        links[0].before["history_deals_get"] = [GatewayDown("cut")]
        return links[0]

    async def main() -> None:
        session = Mt5Session(Mt5Account(login=LOGIN), open_link)
        await session.connect(told.extend)
        links[0].on_news([GatewayUp(resumed=True, terminal=True)])
        for _ in range(100):
            await asyncio.sleep(0)
        await session.close()

    asyncio.run(main())
    assert [type(event) for event in told if isinstance(event, LinkDown | LinkUp)] == [LinkDown, LinkUp]


def test_a_bar_is_finished_by_the_servers_clock_where_this_machines_is_ahead() -> None:
    """Two seconds ahead: what happens in the last two seconds of a minute still belongs to its bar."""
    minute_ns = int(datetime(2026, 7, 15, 8, 30, tzinfo=UTC).timestamp()) * NS
    true_ns, ahead_ns = minute_ns + 30 * NS, 2 * NS
    told: list[BrokerEvent | Bar] = []

    class Terminal(Link):
        async def call(self, fn: str, *args: Any, key: str | None = None, login: int | None = None) -> Any:
            if fn != "copy_rates_range":
                return await super().call(fn, *args, key=key, login=login)
            bar = np.zeros(1, RATES_DTYPE)
            last = (
                1.2 if true_ns >= minute_ns + 59 * NS else 1.1
            )  # the last price of the minute comes in its last second
            bar["time"], bar["tick_volume"] = NEW_YORK_CLOCK.from_utc_ns(minute_ns) // NS, 9
            bar["open"], bar["low"], bar["high"], bar["close"] = 1.1, 1.1, last, last
            return bar

    links: list[Terminal] = []

    def open_link(on_news: Any) -> Any:
        links.append(Terminal(on_news))
        return links[0]

    async def pause(seconds: float) -> None:
        nonlocal true_ns
        true_ns += round(seconds * NS)
        await asyncio.sleep(0)

    def tick() -> Any:
        row = np.zeros(1, TICKS_DTYPE)
        row["bid"], row["ask"], row["time_msc"] = 1.1, 1.1001, NEW_YORK_CLOCK.from_utc_ns(true_ns) // 1_000_000
        read = {"polled_ns": true_ns, "made_ns": true_ns, "cursor": [0, 0, 0]}
        return {"k": "ticks", "symbol": "EURUSD", "rows": pack_array(row), **read}

    async def main() -> None:
        session = Mt5Session(Mt5Account(login=LOGIN), open_link, lambda: true_ns + ahead_ns, pause)
        await session.connect(told.extend)
        await session.subscribe_quotes(["EURUSD"])
        links[0].on_news([tick()])
        await session.subscribe_bars("EURUSD", BarPeriod.M1)
        async with asyncio.timeout(20):
            while not any(isinstance(event, Bar) for event in told):  # noqa: ASYNC110
                await asyncio.sleep(0)
        await session.close()

    asyncio.run(main())
    (bar,) = (event for event in told if isinstance(event, Bar))
    assert (bar.open_ns, bar.close) == (minute_ns, 120_000)
