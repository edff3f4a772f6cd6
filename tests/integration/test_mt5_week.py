"""A week of simulated time at 200 ticks a second: no tick and no deal lost or doubled.

The chain without processes and sockets, so that a week takes half a minute: the terminal's reads, the worker's poller,
the gateway's ring, the client's protocol core over a link that can be cut, the book. The week holds a weekend and the
end of US summer time, bursts above a page with dozens of ticks in one millisecond, two workers killed between finding
events and writing them, and three sockets cut with frames in flight.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from pepperstone_adapter.broker.events import OrderChanged
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.orders import OrderType, Side
from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.common.errors import LinkLost
from pepperstone_adapter.mt5.client import parsing
from pepperstone_adapter.mt5.client.book import Book
from pepperstone_adapter.mt5.client.protocol import GatewayDown, GatewayProtocol, GatewayUp
from pepperstone_adapter.mt5.gateway.history import EventRing
from pepperstone_adapter.mt5.gateway.polling import Poller
from pepperstone_adapter.mt5.gateway.ticks import TickCursor
from pepperstone_adapter.mt5.gateway.wire import PROTOCOL, Decoder, encode, proof, unpack_array
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.ledger import NewOrder
from pepperstone_adapter.sandbox.mt5_terminal import wall_clock
from pepperstone_adapter.sandbox.mt5_terminal.settings import Mt5Account, Mt5Settings
from pepperstone_adapter.sandbox.mt5_terminal.terminal import Terminal
from tests.kit.mt5_terminal import LOGIN, module_of
from tests.kit.sandbox_ledger import fx

NS = 1_000_000_000
TICKS_PER_S = 200
BID, SPAN = 110_000, 50_000  # the bid counts the ticks, so that a missing or doubled one shows


class Link:
    """A gateway's ring and a client's core with a wire between them that can be cut."""

    def __init__(self) -> None:
        self.ring = EventRing("epoch")
        self.events: list[Any] = []
        self.resumed = 0
        self._core = GatewayProtocol(b"token", "test", self._news)
        self._up = False
        self.open()

    def _news(self, news: Any) -> None:
        for item in news:
            if isinstance(item, GatewayUp):
                self.resumed += item.resumed
            elif not isinstance(item, GatewayDown):
                self.events.append(item)

    def open(self) -> None:
        """A new socket: greeting, proof on both sides, what was missed."""
        nonce = bytes(range(32))
        self._core.opened(0.0)
        self._core.received(encode({"t": "hello", "proto": PROTOCOL, "nonce": nonce}), 0.0)
        (auth,) = Decoder().feed(self._core.output(0.0))
        missed = self.ring.after(auth["resume"])
        welcome = {
            "t": "welcome",
            "mac": proof(b"token", "gateway", nonce, auth["nonce"]),
            "epoch": self.ring.epoch,
            "seq": self.ring.seq,
            "resumed": missed is not None,
            "up": True,
        }
        self._core.received(encode(welcome) + b"".join(missed or []), 0.0)
        self._up = True

    def cut(self) -> None:
        self._core.lost(LinkLost("cut"), 0.0)
        self._up = False

    def send(self, events: list[Any]) -> None:
        frame = encode({"t": "ev", "seq": self.ring.next(), "ts": 0, "events": events})
        self.ring.add(frame)
        if self._up:
            self._core.received(frame, 0.0)


def is_open(at_s: int) -> bool:
    """Closed from Friday 17:00 to Sunday 17:00 in New York (summer UTC-4, winter UTC-5)."""
    local = datetime.fromtimestamp(at_s + wall_clock.offset_s(at_s) - 7 * 3600, UTC)
    hour_of_week = local.weekday() * 24 + local.hour
    return not 4 * 24 + 17 <= hour_of_week < 6 * 24 + 17


def burst(rng: np.random.Generator, at_s: int, span_s: int, count: int) -> Any:
    """Stamps of `count` ticks on the server's clock in milliseconds; many share one."""
    begin_ms = (at_s + wall_clock.offset_s(at_s)) * 1000
    return np.sort(rng.integers(begin_ms, begin_ms + span_s * 1000, count)).astype(np.int64)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_week_without_loss() -> None:
    rng = np.random.default_rng(7)
    at_s = int(datetime(2026, 10, 28, 12, tzinfo=UTC).timestamp())  # Wednesday; summer time ends on Sunday
    end_s = at_s + 7 * 86_400
    clock = TestClock(at_s * NS)
    settings = Mt5Settings(accounts=(Mt5Account(login=LOGIN),), keep_ticks=60_000)
    terminal = Terminal(settings, [fx("EURUSD", hours=TradingHours.always())], clock)
    module = module_of(terminal)
    module.symbol_select("EURUSD")
    terminal.push("EURUSD", BID, BID + 10)
    link, poller = Link(), Poller(module, lambda: 0.0)
    poller.subscribe("EURUSD", None)
    spec = parsing.symbol_spec(module.symbol_info("EURUSD")._asdict(), TradingHours.always(), "fx_major", "test")
    book = Book({"EURUSD": spec}, parse_clock("new-york+7"))
    book.start([], [], [])
    first = poller.poll(at_s * NS)
    (newest,) = (event for event in first if event["k"] == "ticks")
    cursor: TickCursor = TickCursor(*newest["cursor"])
    made = polls = 0
    seen = len(unpack_array(newest["rows"]))  # the first price itself
    deals: list[str] = []
    most_in_one_ms = 0
    kills = {end_s - 6 * 86_400: "worker", end_s - 2 * 86_400: "worker"}
    cuts = [end_s - 5 * 86_400, end_s - 86_400, end_s - 3600]
    cut_until = 0
    next_trade_s = at_s

    while at_s < end_s:
        span_s = int(rng.integers(1, 20))
        if is_open(at_s):
            if rng.random() < 0.002:
                span_s, count = 1, 9_000  # more in one second than a page holds
            else:
                count = TICKS_PER_S * span_s
            stamps = burst(rng, at_s, span_s, count)
            most_in_one_ms = max(most_in_one_ms, int(np.bincount(stamps - stamps[0]).max()))
            bids = BID + (made + 1 + np.arange(count)) % SPAN
            terminal.prices["EURUSD"].extend(bids, bids + 10, stamps)
            made += count
        else:
            span_s *= 20  # nothing is traded: a poll every few minutes
        at_s += span_s
        clock.set(at_s * NS)
        if at_s >= next_trade_s and is_open(at_s):
            next_trade_s = at_s + 7200
            terminal.ledger.quote("EURUSD", BID, BID + 10, at_s * NS)
            side = Side.BUY if len(terminal.ledger.accounts[LOGIN].deals) % 2 == 0 else Side.SELL
            held = list(terminal.ledger.accounts[LOGIN].positions)
            request = NewOrder(
                symbol="EURUSD",
                side=side,
                type=OrderType.MARKET,
                units=Decimal(1_000),
                position_id=held[0] if held and side is Side.SELL else 0,
            )
            terminal.ledger.submit(LOGIN, request, at_s * NS)
        events = poller.poll(at_s * NS)
        polls += 1
        if any(due <= at_s for due in kills):
            kills = {due: who for due, who in kills.items() if due > at_s}
            poller = Poller(module, lambda: 0.0)  # what it had found and not written is gone with it
            poller.subscribe("EURUSD", cursor)
            continue
        for event in events:
            if event["k"] == "ticks":
                cursor = TickCursor(*event["cursor"])
        if cuts and at_s >= cuts[0]:
            cuts.pop(0)
            cut_until = at_s + 45
            link.cut()
        elif cut_until and at_s >= cut_until:
            cut_until = 0
            link.open()
        if events:
            link.send(events)
        told, link.events = link.events, []
        for event in told:
            match event["k"]:
                case "ticks":
                    rows = unpack_array(event["rows"])
                    found = np.rint(rows["bid"] * 100_000).astype(np.int64) - BID
                    assert np.array_equal(found, (seen + np.arange(len(found))) % SPAN)
                    seen += len(found)
                case "deals":
                    changes = [e for e in book.on_deals(event["rows"], at_s * NS) if isinstance(e, OrderChanged)]
                    deals += [change.deal.deal_id for change in changes if change.deal]
                case "tick_gap":
                    pytest.fail(f"gap: {event}")

    at_broker = [str(deal.deal_id) for deal in terminal.ledger.accounts[LOGIN].deals]
    assert seen == made + 1  # and the first one
    assert made > 80_000_000  # five days of 86,400 s at 200 a second, less what the clock change took or gave
    assert most_in_one_ms >= 15
    assert deals == at_broker
    assert len(deals) > 50
    assert link.resumed == 3
    assert polls > 40_000
