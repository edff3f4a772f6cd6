"""A venue in memory and in virtual time, on bytes: it answers what a script says and keeps what it was asked.

Nothing sleeps: a `twisted.internet.task.Clock` moves when the test moves it. The frames are cut and joined here with
code of its own, so that ours is not proved against itself.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from twisted.internet.task import Clock as TwistedClock

from pepperstone_adapter import openapi
from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.events import BrokerEvent
from pepperstone_adapter.common.backoff import Backoff
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.account import Account
from pepperstone_adapter.ctrader.client.desk import Wanted
from pepperstone_adapter.ctrader.client.hub import Hub
from pepperstone_adapter.ctrader.client.renewal import at_once
from pepperstone_adapter.ctrader.client.tokens import Application, Credentials, Tokens
from pepperstone_adapter.network.link import Link
from pepperstone_adapter.network.tls import Endpoint
from pepperstone_adapter.openapi import messages as oa
from tests.kit.ctrader import MemoryStore
from tests.kit.memory_wire import MemoryServer, MemoryTransport

ACCOUNT_ID = 1001
START_NS = 1_700_000_000_000_000_000
EURUSD = 1

type Reply = Sequence[Message] | Message | None
type Script = Callable[[Any], Reply]


def frame(message: Message, ref: str | None = None) -> bytes:
    data = openapi.encode(message, ref)
    return struct.pack(">I", len(data)) + data


@dataclass
class Asked:
    """One request as the venue received it."""

    at_s: float
    ref: str | None
    message: Message
    link: int


class WallClock:
    """Wall time that follows the virtual reactor, as far as nobody sets it."""

    def __init__(self, reactor: TwistedClock) -> None:
        self._reactor = reactor
        self._wrong_s = 0.0

    def now_ns(self) -> int:
        return START_NS + round((self._reactor.seconds() + self._wrong_s) * 1e9)

    def set_by(self, seconds: float) -> None:
        self._wrong_s += seconds


@dataclass
class ScriptedVenue(MemoryServer):
    """Answers by payload class; a script of None is silence, a missing one gives the empty answer of its kind."""

    clock: TwistedClock
    scripts: dict[type[Message], Script | None] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    heartbeats: int = 0
    mute: bool = False

    def __post_init__(self) -> None:
        super().__init__(self.clock)
        self._buffers: dict[int, bytes] = {}
        self.scripts.update(_standard())

    def connect(self, factory: Any) -> Any:
        made = len(self.transports)
        done = super().connect(factory)
        if len(self.transports) > made:
            transport = self.transports[-1]
            self._listen(transport, made)
        return done

    def _listen(self, transport: MemoryTransport, number: int) -> None:
        self._buffers[number] = b""
        early, transport.written = transport.written, b""

        def write(data: bytes) -> None:
            transport.written += data
            self.clock.callLater(0, self._read, number, data)

        transport.write = write  # type: ignore[method-assign]
        if early:
            write(early)

    def _read(self, number: int, data: bytes) -> None:
        if self.transports[number].ended:
            return
        buffer = self._buffers[number] + data
        while len(buffer) >= 4 and len(buffer) >= 4 + struct.unpack(">I", buffer[:4])[0]:
            (length,) = struct.unpack(">I", buffer[:4])
            got, buffer = openapi.decode(buffer[4 : 4 + length]), buffer[4 + length :]
            assert got.message is not None
            if isinstance(got.message, oa.HeartbeatEvent):
                self.heartbeats += 1
                continue
            self.asked.append(Asked(self.clock.seconds(), got.client_msg_id, got.message, number))
            self._answer(got)
        self._buffers[number] = buffer

    def _answer(self, got: openapi.Decoded) -> None:
        script = self.scripts.get(type(got.message), lambda message: empty_answer(message))
        if script is None or self.mute:
            return
        reply = script(got.message)
        for message in [reply] if isinstance(reply, Message) else reply or []:
            self.say(message, got.client_msg_id)

    def say(self, message: Message, ref: str | None = None) -> None:
        if not self.last.ended:
            self.send(frame(message, ref))

    def raw(self, data: bytes) -> None:
        self.send(data)

    def requests(self, kind: type[Any]) -> list[Any]:
        return [asked.message for asked in self.asked if isinstance(asked.message, kind)]


def empty_answer(message: Any) -> Message:
    name = type(message).DESCRIPTOR.name.removesuffix("Req") + "Res"
    cls: Any = getattr(oa, name)
    answer = cls()
    if "ctidTraderAccountId" in cls.DESCRIPTOR.fields_by_name:
        answer.ctidTraderAccountId = ACCOUNT_ID
    if "hasMore" in cls.DESCRIPTOR.fields_by_name:
        answer.hasMore = False
    return answer


def _standard() -> dict[type[Message], Script | None]:
    symbol = oa.Symbol(
        symbolId=EURUSD, digits=5, pipPosition=4, lotSize=10_000_000, minVolume=100_000, stepVolume=100_000,
        maxVolume=1_000_000_000, schedule=[oa.Interval(startSecond=0, endSecond=604_800)], scheduleTimeZone="UTC",
    )  # fmt: skip
    light = oa.LightSymbol(symbolId=EURUSD, symbolName="EURUSD", baseAssetId=1, quoteAssetId=2, enabled=True)
    trader = oa.Trader(
        ctidTraderAccountId=ACCOUNT_ID, balance=1_000_000, balanceVersion=1, depositAssetId=2, traderLogin=5001,
        moneyDigits=2, leverageInCents=3_000,
    )  # fmt: skip
    account = oa.CtidTraderAccount(ctidTraderAccountId=ACCOUNT_ID, isLive=False, traderLogin=5001)
    assets = [oa.Asset(assetId=1, name="EUR"), oa.Asset(assetId=2, name="USD")]
    return {
        oa.VersionReq: lambda _m: oa.VersionRes(version="91"),
        oa.GetAccountListByAccessTokenReq: lambda m: oa.GetAccountListByAccessTokenRes(
            accessToken=m.accessToken, ctidTraderAccount=[account]
        ),
        oa.AssetListReq: lambda _m: oa.AssetListRes(ctidTraderAccountId=ACCOUNT_ID, asset=assets),
        oa.SymbolsListReq: lambda _m: oa.SymbolsListRes(ctidTraderAccountId=ACCOUNT_ID, symbol=[light]),
        oa.SymbolByIdReq: lambda _m: oa.SymbolByIdRes(ctidTraderAccountId=ACCOUNT_ID, symbol=[symbol]),
        oa.TraderReq: lambda _m: oa.TraderRes(ctidTraderAccountId=ACCOUNT_ID, trader=trader),
        oa.GetPositionUnrealizedPnLReq: lambda _m: oa.GetPositionUnrealizedPnLRes(
            ctidTraderAccountId=ACCOUNT_ID, moneyDigits=2
        ),
        oa.GetTrendbarsReq: lambda m: oa.GetTrendbarsRes(ctidTraderAccountId=ACCOUNT_ID, period=m.period),
        oa.NewOrderReq: lambda m: accepted(m),
        oa.CancelOrderReq: lambda m: cancelled(m.orderId),
    }


class World:
    """A venue, a hub and one account, in virtual time."""

    def __init__(self, environment: Environment = Environment.DEMO, store: MemoryStore | None = None) -> None:
        self.reactor = TwistedClock()
        self.venue = ScriptedVenue(self.reactor)
        tokens = Tokens(access=Secret("access-1"), refresh=Secret("refresh-1"))
        credentials = Credentials(application=Application("app", Secret("app-secret")), tokens=tokens)
        self.store = store or MemoryStore(credentials)
        kept = self.store.load()
        assert kept is not None
        clock = self.clock = WallClock(self.reactor)
        endpoint = Endpoint(host="demo.example", port=5035)
        backoff = Backoff(initial_s=0.5, max_s=5.0, jitter=0.0)
        self.hub = Hub(
            kept.application,
            self.reactor,
            clock,
            lambda core: Link(self.reactor, endpoint, core, backoff, self.venue.connect, lambda: 0.0),
            at_once,
        )
        self.events: list[BrokerEvent] = []
        wanted = Wanted(account_number="5001", environment=environment)
        self.keeper = self.hub.keeper(self.store, kept)
        self.account = Account(self.hub, wanted, self.keeper, self.events.extend)
        self.firsts: list[object] = []
        self.account.first.then(self.firsts.append, self.firsts.append)

    def join(self) -> "World":
        self.hub.join(self.account)
        self.turn()
        return self

    def turn(self) -> None:
        """Let everything happen that is due now."""
        self.reactor.pump([0.0] * 60)

    def pass_s(self, seconds: float, step_s: float = 0.05) -> None:
        for _ in range(round(seconds / step_s)):
            self.reactor.advance(step_s)
            self.reactor.pump([0.0] * 6)
        self.turn()

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def changes(self) -> list[str]:
        from pepperstone_adapter.broker.events import OrderChanged

        return [str(event.change) for event in self.of(OrderChanged)]

    def start(self, coroutine: Any) -> "Outcome":
        from pepperstone_adapter.network.promises import spawn

        outcome = Outcome()
        spawn(coroutine, outcome.set, outcome.fail)
        self.turn()
        return outcome


class Outcome:
    """How a coroutine ended."""

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self.done = False

    def set(self, value: Any) -> None:
        self.value, self.done = value, True

    def fail(self, error: BaseException) -> None:
        self.error, self.done = error, True


# -- what a venue says about orders -------------------------------------------------------------------------------------


def order(
    order_id: int = 61, status: int = oa.OrderStatus.ORDER_STATUS_ACCEPTED, updated_ms: int = 1, **fields: Any
) -> oa.Order:
    volume = fields.pop("volume", 1_000_000)
    data = oa.TradeData(symbolId=EURUSD, volume=volume, tradeSide=fields.pop("side", oa.TradeSide.BUY), openTimestamp=1)
    facts = {"orderType": oa.OrderType.MARKET, "positionId": 51, "clientOrderId": "O-1", "closingOrder": False} | fields
    return oa.Order(orderId=order_id, tradeData=data, orderStatus=status, utcLastUpdateTimestamp=updated_ms, **facts)


def deal(deal_id: int = 71, order_id: int = 61, volume: int = 1_000_000, **fields: Any) -> oa.Deal:
    facts = {"executionPrice": 1.1, "tradeSide": oa.TradeSide.BUY, "commission": -35, "moneyDigits": 2} | fields
    return oa.Deal(
        dealId=deal_id, orderId=order_id, positionId=51, volume=volume, filledVolume=volume, symbolId=EURUSD,
        createTimestamp=1, executionTimestamp=START_NS // 1_000_000, dealStatus=oa.DealStatus.FILLED, **facts,
    )  # fmt: skip


def position(volume: int = 1_000_000, updated_ms: int = 1, **fields: Any) -> oa.Position:
    status = oa.PositionStatus.POSITION_STATUS_OPEN if volume else oa.PositionStatus.POSITION_STATUS_CLOSED
    data = oa.TradeData(symbolId=EURUSD, volume=volume, tradeSide=oa.TradeSide.BUY, openTimestamp=1)
    facts = {"price": 1.1, "swap": 0, "commission": -35, "usedMargin": 3667, "moneyDigits": 2} | fields
    return oa.Position(positionId=51, tradeData=data, positionStatus=status, utcLastUpdateTimestamp=updated_ms, **facts)


def event(kind: int, **parts: Any) -> oa.ExecutionEvent:
    return oa.ExecutionEvent(ctidTraderAccountId=ACCOUNT_ID, executionType=kind, **parts)


def accepted(request: oa.NewOrderReq, order_id: int = 61) -> oa.ExecutionEvent:
    return event(
        oa.ExecutionType.ORDER_ACCEPTED,
        order=order(order_id, clientOrderId=request.clientOrderId, volume=request.volume),
    )


def filled(
    order_id: int = 61, deal_id: int = 71, updated_ms: int = 2, client_order_id: str = "O-1"
) -> oa.ExecutionEvent:
    return event(
        oa.ExecutionType.ORDER_FILLED,
        order=order(
            order_id,
            oa.OrderStatus.ORDER_STATUS_FILLED,
            updated_ms,
            executedVolume=1_000_000,
            executionPrice=1.1,
            clientOrderId=client_order_id,
        ),
        deal=deal(deal_id, order_id),
        position=position(updated_ms=updated_ms),
    )


def cancelled(order_id: int = 61, updated_ms: int = 3) -> oa.ExecutionEvent:
    return event(
        oa.ExecutionType.ORDER_CANCELLED, order=order(order_id, oa.OrderStatus.ORDER_STATUS_CANCELLED, updated_ms)
    )
