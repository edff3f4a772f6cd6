"""The sandbox's server without sockets: a timer turned by hand, links in memory, a clock that stands still."""

import struct
from collections.abc import Callable
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from pepperstone_adapter import openapi
from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.ctrader_server import Venue
from pepperstone_adapter.sandbox.server import settings_for_tests

T0_NS = 1_705_305_600 * 1_000_000_000  # Monday 2024-01-15 08:00:00 UTC
ACCOUNT = 1_000_001
NETTED = 1_000_002
LIVE = 1_000_003
EURUSD = 1
LOT = 10_000_000


class HandTimer:
    """Runs what is due when told how far to go; `call_soon` runs at once at the next turn."""

    def __init__(self) -> None:
        self._now = 0.0
        self._count = 0
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...], list[bool]]] = []

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., None], *args: Any) -> Any:
        return self.call_later(0.0, callback, *args)

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> Any:
        self._count += 1
        alive = [True]
        heappush(self._due, (self._now + delay, self._count, callback, args, alive))

        class Handle:
            def cancel(self) -> None:
                alive[0] = False

        return Handle()

    def turn(self, seconds: float = 0.0) -> None:
        until = self._now + seconds
        while self._due and self._due[0][0] <= until:
            at, _, callback, args, alive = heappop(self._due)
            self._now = max(self._now, at)
            if alive[0]:
                callback(*args)
        self._now = until


class MemoryLink:
    """One client: `say` a request, read `heard`."""

    def __init__(self, bench: "Bench", environment: Environment) -> None:
        self._bench = bench
        self.raw = bytearray()
        self.closed = False
        self.was_reset = False
        self.heard: list[openapi.Decoded] = []
        self._read = 0
        self._ids = 0
        self.connection = bench.venue.connect(environment, self)

    # the sink
    def write(self, data: bytes) -> None:
        self.raw += data

    def close(self) -> None:
        self.closed = True

    def reset(self) -> None:
        self.closed = self.was_reset = True

    # the client
    def send(self, message: Message, ref: str | None = None) -> str:
        self._ids += 1
        ref = ref if ref is not None else f"{id(self) % 997}-{self._ids}"
        self.send_frame(openapi.encode(message, ref or None))
        return ref

    def send_frame(self, frame: bytes) -> None:
        assert self.connection is not None
        self.connection.receive(struct.pack(">I", len(frame)) + frame)
        self._bench.timer.turn()

    def read(self) -> list[openapi.Decoded]:
        """What has come since the last look."""
        self._bench.timer.turn()
        new: list[openapi.Decoded] = []
        while len(self.raw) - self._read >= 4:
            (length,) = struct.unpack_from(">I", self.raw, self._read)
            if len(self.raw) - self._read < 4 + length:
                break
            start = self._read + 4
            new.append(openapi.decode(bytes(self.raw[start : start + length])))
            self._read = start + length
        self.heard += new
        return new

    def messages(self) -> list[Any]:
        return [decoded.message for decoded in self.read()]

    def ask(self, message: Message) -> Any:
        """The first message that answers this request."""
        self.read()
        ref = self.send(message)
        return next(d.message for d in self.read() if d.client_msg_id == ref)

    def login(self, account_id: int = ACCOUNT) -> "MemoryLink":
        self.ask(oa.ApplicationAuthReq(clientId="sandbox-client", clientSecret="sandbox-secret"))
        answer = self.ask(oa.AccountAuthReq(ctidTraderAccountId=account_id, accessToken="sandbox-access"))
        assert isinstance(answer, oa.AccountAuthRes), answer
        return self


class Bench:
    """A venue with three accounts (hedged, netted in EUR, live) and hands for time, prices and links."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.settings = settings_for_tests(folder, **changes)
        self.clock = TestClock(T0_NS)
        self.timer = HandTimer()
        self.venue = Venue(self.settings, self.clock, self.timer)

    def link(self, environment: Environment = Environment.DEMO) -> MemoryLink:
        return MemoryLink(self, environment)

    def push(self, bid: str, ask: str, symbol: str = "EURUSD") -> None:
        digits = self.venue.ledger.symbols[symbol].spec.digits
        points = [round(float(price) * 10**digits) for price in (bid, ask)]
        self.venue.push(symbol, *points)
        self.timer.turn()

    def wait(self, seconds: float) -> None:
        """Let broker time and real time pass together."""
        self.clock.advance(seconds)
        self.venue.wake()
        self.timer.turn(seconds)


def market(side: Any = oa.TradeSide.BUY, volume: int = LOT // 10, **fields: Any) -> oa.NewOrderReq:
    """A market order on EURUSD of a tenth of a lot."""
    given = {"ctidTraderAccountId": ACCOUNT, "symbolId": EURUSD, **fields}
    return oa.NewOrderReq(orderType=oa.OrderType.MARKET, tradeSide=side, volume=volume, **given)


def code(message: Any) -> str:
    """The error code of an answer."""
    return str(message.errorCode)


def kinds(messages: list[Any]) -> list[str]:
    return [oa.ExecutionType(m.executionType).name for m in messages if isinstance(m, oa.ExecutionEvent)]
