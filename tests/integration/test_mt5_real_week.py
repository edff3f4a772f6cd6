"""A simulated week over the real chain: session, socket, gateway, worker processes, pipe, terminal.

The week is the one in which US summer time ends, Wednesday 2026-10-28 12:00 to Wednesday 2026-11-04 12:00 UTC, on the
broker's clock, which the test moves. Two symbols have 200 ticks a second each, about five in every millisecond that has
any: EURUSD, closed over the weekend, and BTCUSD, which trades through the hour that Sunday has twice. Played are the
stretches around what may go wrong: the weekend's close and opening, both ends of the repeated hour, two workers killed
by SIGKILL (one of them in the second pass of that hour) and three sockets cut with frames in flight; in between, the
clock jumps. That is 4,740 seconds with 1,476,000 ticks, and 948 deals made by hand at the broker beside 17 orders of the
session's own. What the session told is held against the terminal's own record, stretch by stretch: every tick and every
deal exactly once, in order, at its own UTC.

``MT5_WEEK=whole`` plays every second of the week instead, 207 million ticks, for an hour; the whole week passes too.
"""

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pepperstone_adapter.broker.events import BrokerEvent, LinkDown, LinkUp, Notice, OrderChanged
from pepperstone_adapter.broker.market import Tick
from pepperstone_adapter.broker.orders import OrderState, OrderType, Side
from pepperstone_adapter.mt5.client.account import Mt5Account
from pepperstone_adapter.mt5.client.gateway_link import GatewayAddress, GatewayLink
from pepperstone_adapter.mt5.client.session import Mt5Session
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.ledger import NewOrder
from pepperstone_adapter.sandbox.mt5_terminal import wall_clock
from pepperstone_adapter.sandbox.server import Sandbox, settings_for_tests, start
from tests.kit import mt5 as kit
from tests.kit.mt5 import LOGIN, Gateway
from tests.kit.mt5_scene import order

NS = 1_000_000_000
RATE = 200
STAMPS = RATE // 5  # milliseconds of a second that have ticks
DEAL_EVERY_S = 5
FIRST = {"EURUSD": 110_000, "BTCUSD": 6_000_000}  # the bid counts the ticks, so that a missing or doubled one shows
SPAN = 50_000
AHEAD = 8 * RATE  # how many ticks the market may be ahead of what the session has told while the link is up


def utc_s(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


BEGIN, END = utc_s("2026-10-28 12:00"), utc_s("2026-11-04 12:00")
CLOSED = utc_s("2026-10-30 21:00"), utc_s("2026-11-01 22:00")  # 17:00 in New York, summer and winter time


@dataclass(frozen=True)
class Stretch:
    """Seconds that are played; `breaks` says what breaks in which of them."""

    begin_s: int
    seconds: int
    breaks: dict[int, str] = field(default_factory=dict)


STRETCHES = (
    Stretch(BEGIN, 120),
    Stretch(utc_s("2026-10-28 20:00"), 600, {240: "worker"}),
    Stretch(utc_s("2026-10-29 09:00"), 600, {200: "socket"}),
    Stretch(utc_s("2026-10-30 20:55"), 600),  # the weekend begins after five minutes
    Stretch(utc_s("2026-11-01 05:55"), 900, {360: "socket", 540: "worker"}),  # the hour begins again after five
    Stretch(utc_s("2026-11-01 06:55"), 600),  # its second pass ends after five
    Stretch(utc_s("2026-11-01 21:55"), 600),  # the weekend ends after five
    Stretch(utc_s("2026-11-03 03:00"), 600, {300: "socket"}),
    Stretch(END - 120, 120),
)
WHOLE = tuple(
    Stretch(
        at,
        3600,
        {1800: what}
        if (what := {24: "worker", 48: "socket", 90: "worker", 91: "socket", 150: "socket"}.get(n))
        else {},
    )
    for n, at in enumerate(range(BEGIN, END, 3600))
)


class Told:
    """What the session told since the last look."""

    def __init__(self) -> None:
        self.bids: dict[str, list[int]] = defaultdict(list)
        self.stamps_ns: dict[str, list[int]] = defaultdict(list)
        self.deals: list[tuple[str, int]] = []
        self.others: list[BrokerEvent] = []

    def count(self, kind: type[Any]) -> int:
        return sum(isinstance(event, kind) for event in self.others)

    def whole(self) -> bool:
        return self.count(LinkUp) == self.count(LinkDown)

    def __call__(self, events: Sequence[BrokerEvent]) -> None:
        for event in events:
            if isinstance(event, Tick):
                self.bids[event.symbol].append(event.bid or 0)
                self.stamps_ns[event.symbol].append(event.ts_ns)
            elif isinstance(event, OrderChanged):
                if event.deal is not None:
                    self.deals.append((event.deal.deal_id, event.deal.ts_ns))
            elif isinstance(event, LinkDown | LinkUp | Notice):
                self.others.append(event)


class Market:
    """The broker's side of the week; everything here runs on the broker's thread."""

    def __init__(self, broker: Sandbox, clock: TestClock) -> None:
        self.broker, self.clock = broker, clock
        self.made = dict.fromkeys(FIRST, 0)
        self.deals = 0
        self._rng = np.random.default_rng(7)

    def second(self, at_s: int) -> None:
        """One second of ticks, and now and then a deal made by hand."""
        names = [name for name in FIRST if name != "EURUSD" or not CLOSED[0] <= at_s < CLOSED[1]]
        for name in names:
            server_ms = wall_clock.server_ms(at_s * NS)
            moments = np.sort(self._rng.choice(self._rng.choice(1000, STAMPS, replace=False), RATE)).astype(np.int64)
            bids = FIRST[name] + (self.made[name] + 1 + np.arange(RATE)) % SPAN
            self.broker.terminal.prices[name].extend(bids, bids + 10, server_ms + moments)
            self.made[name] += RATE
        self.clock.set((at_s + 1) * NS)
        if at_s % DEAL_EVERY_S == 0:
            self._deal(names[-1], (at_s + 1) * NS)

    def _deal(self, name: str, at_ns: int) -> None:
        ledger = self.broker.terminal.ledger
        ledger.quote(name, FIRST[name], FIRST[name] + 10, at_ns)
        held = [p.position_id for p in ledger.accounts[LOGIN].positions.values() if p.origin == "mobile"]
        closing = ledger.accounts[LOGIN].positions[held[0]] if held else None
        request = NewOrder(
            symbol=closing.symbol if closing else name,
            side=closing.side.opposite if closing else Side.BUY,
            type=OrderType.MARKET,
            units=closing.units if closing else ledger.symbols[name].spec.volume_min,
            position_id=closing.position_id if closing else 0,
            origin="mobile",
        )
        ledger.submit(LOGIN, request, at_ns)
        self.deals += 1

    def record(self, name: str, count: int) -> Any:
        """The terminal's own newest ticks."""
        return self.broker.terminal.prices[name].ticks[-count:].copy()


async def until(condition: Any, what: str) -> None:
    try:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within a minute: {what}") from None


async def play(stretch: Stretch, market: Market, gate: Gateway, session: Mt5Session, told: Told) -> None:
    broker = market.broker
    before = dict(market.made)
    for second in range(stretch.seconds):
        if second in stretch.breaks:
            await until(told.whole, "the link is back from what broke before")
        # Patience runs by the same clock: a market that hurried on would turn a moment into lists that lag for ten seconds.
        await until(
            lambda: not told.whole() or market.made["BTCUSD"] - before["BTCUSD"] - len(told.bids["BTCUSD"]) < AHEAD,
            "the session keeps up",
        )
        broker.call(lambda at=stretch.begin_s + second: market.second(at))  # type: ignore[misc]
        match stretch.breaks.get(second):
            case "worker":
                gate.kill_worker()
            case "socket":
                gate.cut_clients()
        await asyncio.sleep(0.001)
    made = {name: market.made[name] - before[name] for name in market.made}
    await until(
        lambda: all(len(told.bids[name]) >= count for name, count in made.items()),
        f"{made} ticks; told { ({name: len(bids) for name, bids in told.bids.items()}) }",
    )
    for name, count in made.items():
        record = broker.call(lambda n=name, c=count: market.record(n, c)) if count else []  # type: ignore[misc]
        bids, stamps_ns = np.array(told.bids.pop(name, [])), np.array(told.stamps_ns.pop(name, []), dtype=np.int64)
        assert len(bids) == count
        if not count:
            continue
        scale = 10 ** broker.terminal.spec(name).digits
        assert np.array_equal(bids, np.rint(record["bid"] * scale).astype(np.int64))
        assert (np.diff(stamps_ns) >= 0).all()
        server_ms = stamps_ns // 1_000_000 + wall_clock.to_server_s(stamps_ns // NS) * 1000 - stamps_ns // NS * 1000
        assert np.array_equal(server_ms, record["time_msc"])


@pytest.mark.slow
@pytest.mark.timeout(36_000 if os.environ.get("MT5_WEEK") == "whole" else 240)
def test_a_week_over_the_real_chain_loses_and_doubles_nothing(tmp_path: Path) -> None:
    clock = TestClock((BEGIN - 60) * NS)
    terminal = {"port": 0, "keep_ticks": 2_000_000, "accounts": [{"login": LOGIN, "balance": 1_000_000}]}
    settings = settings_for_tests(tmp_path, symbols={"names": tuple(FIRST)}, mt5=terminal)
    stretches = WHOLE if os.environ.get("MT5_WEEK") == "whole" else STRETCHES
    command = (sys.executable, "-m", "tests.kit.mt5_worker")

    async def week(broker: Sandbox, gate: Gateway) -> None:
        address, told, market = GatewayAddress(port=gate.port, token=kit.TOKEN), Told(), Market(broker, clock)
        account = Mt5Account(login=LOGIN, sandbox=True, connect_timeout_s=20.0)
        session = Mt5Session(account, lambda on_news: GatewayLink(address, on_news, kit.QUICK), now_ns=clock.now_ns)
        await session.connect(told)
        await session.subscribe_quotes(list(FIRST))
        await until(lambda: all(told.bids[name] for name in FIRST), "first prices")
        told.bids.clear()
        told.stamps_ns.clear()
        ours: list[OrderState] = []
        for stretch in stretches:
            jumped = clock.now_ns() != stretch.begin_s * NS
            clock.set(stretch.begin_s * NS)
            await until(told.whole, "the link is back")
            # The market was closed, or nobody looked, for longer than a confirmed clock holds: a tick shows it again. It
            # takes two, since the clock may have jumped while the first poll was under way. None where it did not jump.
            for count in (1, 2) if jumped else ():
                broker.call(broker.terminal.push, "BTCUSD", 6_000_000 + count, 6_000_010 + count, clock.now_ns())
                await until(lambda count=count: len(told.bids["BTCUSD"]) >= count, "the first ticks of the stretch")
            told.bids.pop("BTCUSD", None)
            told.stamps_ns.pop("BTCUSD", None)
            broker.call(broker.terminal.ledger.quote, "BTCUSD", 6_000_000, 6_000_010, clock.now_ns())
            bought = await session.submit(order(f"O-{len(ours)}", symbol="BTCUSD", units=Decimal("0.01")))
            if ours:  # positions that pile up would make every look at them longer
                await session.close_position(ours[-1].order_id, Decimal("0.01"), f"C-{len(ours)}")  # its ticket
            ours.append(bought)
            await play(stretch, market, gate, session, told)
        books = broker.terminal.ledger.accounts[LOGIN]
        at_broker = [(str(deal.deal_id), deal.ts_ns) for deal in broker.call(lambda: list(books.deals))]
        await until(lambda: len(told.deals) >= len(at_broker), "every deal")
        assert told.deals == at_broker
        assert len(at_broker) == market.deals + 2 * len(ours) - 1
        # Asked for the repeated hour: both passes, each deal once; asked for the second one: all of its deals.
        first, again, end = (utc_s(f"2026-11-01 {hour}:00") * NS for hour in ("05", "06", "07"))
        asked = [deal.deal_id for deal in await session.deals(first, end)]
        assert asked == [deal for deal, at in at_broker if first <= at < end] != []
        assert {deal.deal_id for deal in await session.deals(again, end)} >= {
            d for d, at in at_broker if again <= at < end
        }
        assert list(kit.magic_counts(broker).values()) == [1] * len(ours)
        positions = {p.position_id: p.side.sign * p.units for p in (await session.snapshot()).positions}
        assert positions == kit.held(broker)
        breaks = [what for stretch in stretches for what in stretch.breaks.values()]
        assert (breaks.count("worker"), breaks.count("socket")) == (2, 3)
        assert gate.restarts == 2
        assert [event for event in told.others if isinstance(event, Notice)] == []
        assert (told.count(LinkDown), told.count(LinkUp)) == (5, 5)
        if stretches is STRETCHES:
            # 4,740 s of BTCUSD and 2,640 s of EURUSD at 200; a deal every five seconds
            assert (sum(market.made.values()), market.deals) == (1_476_000, 948)
        assert broker.violations() == []
        await session.close()

    with start(settings, clock=clock) as broker:
        for name, bid in FIRST.items():
            broker.call(broker._quote, name, bid, bid + 10)
        with kit.gateway(broker, tmp_path, worker_command=command) as gate:
            asyncio.run(week(broker, gate))
