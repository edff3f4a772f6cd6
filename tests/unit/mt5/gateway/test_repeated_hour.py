"""The hour that happens twice in November, for a symbol that trades through it: server 08:00 to 09:00 on Sunday, which is
05:00 to 06:00 UTC and 06:00 to 07:00 UTC. Every tick once, in order, at its own UTC."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.mt5.client import history, parsing
from pepperstone_adapter.mt5.client.market_rows import MarketRows
from pepperstone_adapter.mt5.client.stream_times import StreamTimes
from pepperstone_adapter.mt5.gateway.polling import Poller
from pepperstone_adapter.mt5.gateway.ticks import TickCursor
from pepperstone_adapter.mt5.gateway.wire import unpack_array
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.mt5_terminal.settings import Mt5Account, Mt5Settings
from pepperstone_adapter.sandbox.mt5_terminal.terminal import Terminal
from tests.kit.mt5_terminal import LOGIN, module_of
from tests.kit.sandbox_ledger import fx

NS, MINUTE = 1_000_000_000, 60
RULE = parse_clock("new-york+7")


def utc_s(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


class Desk:
    """A terminal that gets ticks, a gateway's poller that reads them, and what a client makes of them."""

    def __init__(self, at: str) -> None:
        self.clock = TestClock(utc_s(at) * NS)
        settings = Mt5Settings(accounts=(Mt5Account(login=LOGIN),))
        terms = fx("BTCUSD", digits=2, hours=TradingHours.always())
        self.terminal = Terminal(settings, [terms], self.clock)
        self.module = module_of(self.terminal)
        self.module.symbol_select("BTCUSD")
        self.spec = parsing.symbol_spec(
            self.module.symbol_info("BTCUSD")._asdict(), TradingHours.always(), "crypto", "test"
        )
        self.pushed: list[tuple[int, int]] = []
        self.told: list[tuple[int, int]] = []
        self.cursor: TickCursor | None = None
        self.times = StreamTimes(RULE)
        self.rows = MarketRows(lambda _events: None, self.clock.now_ns)
        self.new_worker()

    def new_worker(self) -> None:
        self.poller = Poller(self.module)
        self.poller.subscribe("BTCUSD", self.cursor)

    def new_client(self) -> None:
        self.times = StreamTimes(RULE)

    def tick(self, at_ns: int) -> None:
        bid = 5_000_000 + len(self.pushed)
        self.terminal.push("BTCUSD", bid, bid + 10, at_ns)
        self.pushed.append((bid, at_ns))

    def trade(self, until: str, step_ns: int, poll_every_ns: int) -> None:
        """Ticks every `step_ns`, polls every `poll_every_ns`, until a moment."""
        end_ns, next_poll_ns = utc_s(until) * NS, self.clock.now_ns() + poll_every_ns
        while self.clock.now_ns() < end_ns:
            self.clock.set(self.clock.now_ns() + step_ns)
            self.tick(self.clock.now_ns())
            if self.clock.now_ns() >= next_poll_ns:
                self.poll()
                next_poll_ns = self.clock.now_ns() + poll_every_ns

    def trade_closely(self, until: str, moment: str) -> None:
        """A tick and a poll every second within two minutes of a moment and of both ends of the hour, else every 10 s."""
        close_s = [utc_s(f"2026-11-01 {at}") for at in ("06:00", "07:00", moment)]
        while (now_s := self.clock.now_ns() // NS) < (end_s := utc_s(until)):
            step_s = 1 if min(abs(at_s - now_s) for at_s in close_s) <= 2 * MINUTE else 10
            self.clock.advance(min(step_s, end_s - now_s))
            self.tick(self.clock.now_ns())
            self.poll()

    def poll(self) -> None:
        for event in self.events():
            to_ns = partial(self.times.utc_ns, "BTCUSD", read_ns=event["polled_ns"])
            ticks = self.rows.ticks(unpack_array(event["rows"]), self.spec, to_ns)
            self.told += [(t.bid or 0, t.ts_ns) for t in ticks]
            self.cursor = TickCursor(*event["cursor"])

    def events(self) -> Iterator[dict[str, Any]]:
        for event in self.poller.poll(self.clock.now_ns()):
            assert event["k"] != "tick_gap"
            if event["k"] == "ticks":
                yield event

    def judge(self) -> None:
        self.clock.advance(2)
        self.poll()
        assert self.told == self.pushed


def started(at: str) -> Desk:
    desk = Desk(at)
    desk.tick(desk.clock.now_ns())
    desk.poll()
    return desk


@pytest.mark.parametrize("step_ns", [NS, 7 * MINUTE * NS, NS // 4], ids=["1 s", "7 min", "250 ms"])
@pytest.mark.parametrize("poll_every_ns", [NS // 2, 20 * NS], ids=["often", "rarely"])
def test_every_tick_of_both_passes_comes_once_at_its_time(step_ns: int, poll_every_ns: int) -> None:
    desk = started("2026-11-01 05:30")
    desk.trade("2026-11-01 07:20", step_ns, poll_every_ns)
    desk.judge()


def test_nothing_is_held_back_in_the_second_pass() -> None:
    desk = started("2026-11-01 05:30")
    desk.trade("2026-11-01 06:00", NS, NS)
    desk.trade("2026-11-01 06:10", NS, NS)
    desk.poll()
    newest_s = utc_s("2026-11-01 06:10")
    assert newest_s - desk.told[-1][1] // NS <= 1


@pytest.mark.parametrize("down_min", [0, 2, 25])
@pytest.mark.parametrize("died_at", ["05:59:40", "06:00:20", "06:31:00", "06:59:50"])
def test_a_worker_replaced_around_and_in_the_second_pass_reads_on_where_the_other_stopped(
    died_at: str, down_min: int
) -> None:
    desk = started("2026-11-01 05:50")
    desk.trade_closely(f"2026-11-01 {died_at}", died_at)
    for _ in range(down_min * MINUTE):  # ticks while nobody polls
        desk.clock.advance(1)
        desk.tick(desk.clock.now_ns())
    desk.new_worker()
    back_at = f"{datetime.fromtimestamp(desk.clock.now_ns() // NS, UTC):%H:%M:%S}"
    desk.trade_closely("2026-11-01 07:40", back_at)
    desk.judge()


def test_several_ticks_in_the_millisecond_that_both_passes_have() -> None:
    desk = started("2026-11-01 05:59")
    for at in ("2026-11-01 05:59:30", "2026-11-01 06:59:30"):
        desk.clock.set(utc_s(at) * NS)
        for _ in range(3):
            desk.tick(desk.clock.now_ns())
        desk.poll()
        desk.tick(desk.clock.now_ns())  # one more of the millisecond that was just read
        desk.poll()
    desk.clock.set(utc_s("2026-11-01 07:00") * NS)
    desk.tick(desk.clock.now_ns())
    desk.judge()


def test_a_fresh_subscriber_in_the_second_pass_starts_with_the_newest_tick() -> None:
    desk = started("2026-11-01 05:50")
    desk.trade("2026-11-01 06:20", NS, NS)
    desk.cursor, desk.told, desk.pushed = None, [], desk.pushed[-1:]
    desk.new_worker()
    desk.new_client()
    desk.poll()
    desk.trade("2026-11-01 07:10", NS, NS)
    desk.judge()


def test_a_client_that_comes_in_the_second_pass_knows_which_one_it_is() -> None:
    desk = started("2026-11-01 05:50")
    desk.trade("2026-11-01 06:20", NS, NS)
    desk.new_client()
    desk.trade("2026-11-01 07:10", NS, NS)
    desk.judge()


def test_in_spring_no_hour_is_doubted() -> None:
    desk = started("2026-03-08 06:30")
    desk.trade("2026-03-08 07:30", NS, NS)
    desk.judge()


@pytest.mark.parametrize(
    ("begin", "end"),
    [("05:30", "06:30"), ("06:10", "06:20"), ("05:10", "05:20"), ("04:30", "07:30"), ("06:50", "07:10")],
)
def test_history_has_both_passes_at_their_own_times(begin: str, end: str) -> None:
    desk = started("2026-11-01 04:00")
    desk.trade("2026-11-01 08:00", 10 * NS, 3600 * NS)
    window = [utc_s(f"2026-11-01 {moment}") * NS for moment in (begin, end)]

    async def call(fn: str, *args: Any) -> Any:
        return getattr(desk.module, fn)(*args)

    async def at_once(_seconds: float) -> None:
        pass

    found = asyncio.run(history.ticks(call, desk.rows, desk.spec, *window, RULE, at_once))
    assert [(t.bid, t.ts_ns) for t in found] == [row for row in desk.pushed if window[0] <= row[1] < window[1]]
    assert found
