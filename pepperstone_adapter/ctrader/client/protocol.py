"""One link to the venue as a sans-I/O core: bytes and `now_s` go in, bytes and messages come out.

A request lives through these states; the two that end without an answer are kept apart, because money depends on it:

    queued ──written──> written ──answer──> settled
      │                    │  └─deadline──> late      (order: OutcomeUnknown; the answer may still come)
      │                    └──link lost───> settled   (order: OutcomeUnknown; read: the link's error)
      └──link lost or too long in the queue─> settled (LinkLost: nothing was written)

* Ids are a random prefix of this process and a counter: the venue sends our ids to every other connection of the
  account, and theirs to us. An id is never used twice and is remembered for `Timings.remember_s` after its end, so a
  late answer meets its own request and no other.
* The first message with a request's id answers it; what follows with the same id (the fill after the acceptance) is
  an event that remembers where it came from.
* Ten idle seconds send a heartbeat. Twenty silent seconds ask the server for its version; thirty-four end the link:
  a socket that is only half open looks alive for ever otherwise.
"""

import heapq
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Any, cast

from google.protobuf.message import Message

from pepperstone_adapter import openapi
from pepperstone_adapter.common.errors import (
    ConnectFailed,
    LinkLost,
    OutcomeUnknown,
    PepperstoneError,
    RateLimited,
    Silent,
)
from pepperstone_adapter.common.rate_limit import Lane, PacedQueue, Pauses, RateWindow
from pepperstone_adapter.ctrader.client import limits
from pepperstone_adapter.ctrader.client.codec import Codec
from pepperstone_adapter.ctrader.client.errors import error_of
from pepperstone_adapter.network.promises import Promise
from pepperstone_adapter.openapi import PayloadType
from pepperstone_adapter.openapi import messages as oa

_ERRORS = (oa.ErrorRes, oa.CommonErrorRes)
_ORDER_ANSWERS = (oa.ExecutionEvent, oa.OrderErrorEvent, *_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long things may take, in seconds."""

    heartbeat_s: float = 10.0
    probe_s: float = 20.0
    silent_s: float = 34.0
    answer_s: float = 15.0
    order_answer_s: float = 10.0
    order_queue_s: float = 5.0  # an order that could not be written by then is stale
    queue_s: float = 60.0
    remember_s: float = 150.0


class Progress(StrEnum):
    QUEUED = "queued"
    WRITTEN = "written"
    LATE = "late"
    SETTLED = "settled"


class Request:
    """One request of ours. `promise` holds the first answer; `note` is the asker's own, `reading` what was made of the
    answer before the promise was kept."""

    __slots__ = (
        "answer_s",
        "expects",
        "id",
        "lane",
        "message",
        "note",
        "payload_type",
        "progress",
        "promise",
        "reading",
        "trading",
    )

    def __init__(self, id: str, message: Message, lane: Lane, answer_s: float, note: object) -> None:
        self.id = id
        self.message = message
        self.payload_type = openapi.payload_type(message)
        self.lane = lane
        self.answer_s = answer_s
        self.note = note
        self.reading: object = None
        self.trading = self.payload_type in limits.TRADING
        self.expects = _ORDER_ANSWERS if self.trading else (_answer_class(self.payload_type), *_ERRORS)
        self.progress = Progress.QUEUED
        self.promise: Promise[Message] = Promise()

    def __repr__(self) -> str:  # never the message: it may hold a secret
        return f"<Request {openapi.name(self.payload_type)} {self.progress}>"


@dataclass(slots=True)
class Counters:
    received: int = 0
    unknown_types: int = 0
    late_answers: int = 0
    throttled: int = 0
    heartbeats: int = 0


type OnMessage = Callable[[Message, Request | None], None]


class LinkProtocol:
    """The core a `network.link.Link` pumps.

    Parameters
    ----------
    on_message
        Gets every message that is not the answer to a read, with the request it belongs to (None for a foreign id).
        Answers to trading requests come here too, before their promise is settled.
    on_open, on_lost, on_failed
        What happened to the link.
    on_unknown
        Payload types the schema does not know, once each.
    on_batch
        Called after the last message of each chunk of bytes, and between the event of a trading answer and its promise.
    """

    def __init__(
        self,
        on_message: OnMessage,
        on_open: Callable[[], None],
        on_lost: Callable[[PepperstoneError], None],
        on_failed: Callable[[ConnectFailed], None],
        on_unknown: Callable[[int], None] = lambda _type: None,
        on_batch: Callable[[], None] = lambda: None,
        timings: Timings | None = None,
        prefix: str | None = None,
    ) -> None:
        self._on_message = on_message
        self._on_open = on_open
        self._on_lost = on_lost
        self._on_failed = on_failed
        self._on_unknown = on_unknown
        self._on_batch = on_batch
        self.timings = timings or Timings()
        self.counters = Counters()
        self._prefix = prefix if prefix is not None else secrets.token_hex(8)
        self._numbers = count(1)
        self._pauses = Pauses()
        self._queue = self._new_queue()
        self._requests: dict[str, Request] = {}
        self._alarms: list[tuple[float, int, Callable[[float], None]]] = []
        self._alarm_numbers = count()
        self._codec = Codec()
        self._is_open = False
        self._heard_s = 0.0
        self._spoke_s = 0.0
        self._probe: Request | None = None
        self._drop: PepperstoneError | None = None
        self._retry_at_s: float | None = 0.0
        self._unknown_types: set[int] = set()
        #: Sees every message, ours (True) and theirs, before it is acted on; for recordings.
        self.tap: Callable[[bool, openapi.Decoded], None] | None = None

    def __repr__(self) -> str:
        return (
            f"<LinkProtocol {'open' if self._is_open else 'closed'} waiting={self.waiting} queued={len(self._queue)}>"
        )

    @property
    def waiting(self) -> int:
        """Requests written and not answered."""
        return sum(request.progress is Progress.WRITTEN for request in self._requests.values())

    # -- requests ---------------------------------------------------------------------------------------------------

    def ask(
        self,
        message: Message,
        now_s: float,
        *,
        answer_s: float | None = None,
        background: bool = False,
        note: object = None,
    ) -> Request:
        """Queue a request; it is written when its budget allows. On a closed link its promise is broken at once."""
        kind = openapi.payload_type(message)
        order = kind in limits.TRADING
        patience = answer_s or (self.timings.order_answer_s if order else self.timings.answer_s)
        request = Request(
            f"{self._prefix}-{next(self._numbers)}", message, limits.lane(kind, background), patience, note
        )
        if not self._is_open:
            self._settle(request, LinkLost(f"not connected: {openapi.name(kind)} was not sent"))
            return request
        self._requests[request.id] = request
        self._queue.push(request, request.lane)
        queue_s = self.timings.order_queue_s if order else self.timings.queue_s
        self._at(now_s + queue_s, lambda _now: self._queued_too_long(request, queue_s))
        return request

    def withdraw(self, request: Request) -> None:
        """Take back a request that is not written yet; one that is goes on."""
        if self._queue.remove(lambda queued: queued is request):
            self._settle(request, LinkLost("withdrawn before it was sent"))
            self._requests.pop(request.id, None)

    # -- what the link calls ----------------------------------------------------------------------------------------

    def opened(self, now_s: float) -> None:
        self._codec = Codec()
        self._queue = self._new_queue()
        self._is_open = True
        self._heard_s = self._spoke_s = now_s
        self._probe = None
        self._drop = None
        self._retry_at_s = 0.0
        self._on_open()

    def received(self, data: bytes, now_s: float) -> None:
        self._heard_s = now_s
        self._probe = None
        for decoded in self._codec.receive(data):
            self.counters.received += 1
            if self.tap is not None:
                self.tap(False, decoded)
            self._take(decoded, now_s)
            if self._drop is not None:
                break
        if self._codec.broken is not None and self._drop is None:
            self._drop = self._codec.broken
        self._on_batch()

    def tick(self, now_s: float) -> None:
        while self._alarms and self._alarms[0][0] <= now_s:
            heapq.heappop(self._alarms)[2](now_s)
        if not self._is_open:
            return
        # The sums are those of `next_tick_s`: told apart by rounding, an alarm would ring for ever in one moment.
        if now_s >= self._heard_s + self.timings.silent_s:
            self._drop = Silent(f"the server has said nothing for {now_s - self._heard_s:.0f} s")
        elif now_s >= self._heard_s + self.timings.probe_s and self._probe is None:
            self._probe = self.ask(oa.VersionReq(), now_s)
            self._probe.promise.then(lambda _answer: None, lambda _error: None)

    def lost(self, error: PepperstoneError, now_s: float) -> None:
        self._close(error, now_s)
        self._on_lost(error)

    def failed(self, error: ConnectFailed, now_s: float) -> None:  # noqa: ARG002 - the link's interface
        self._on_failed(error)

    def output(self, now_s: float) -> bytes:
        if not self._is_open:
            return b""
        parts: list[bytes] = []
        while (request := self._queue.pop(now_s)) is not None:
            data = self._encode(request)
            if data:
                parts.append(data)
                request.progress = Progress.WRITTEN
                self._at(now_s + request.answer_s, lambda now, r=request: self._unanswered(r, now))  # type: ignore[misc]
        if parts:
            self._spoke_s = now_s
        elif now_s >= self._spoke_s + self.timings.heartbeat_s:
            self._spoke_s = now_s
            self.counters.heartbeats += 1
            parts.append(self._codec.send(oa.HeartbeatEvent()))
        return b"".join(parts)

    def next_tick_s(self, now_s: float, writable: bool) -> float | None:
        times = [self._alarms[0][0]] if self._alarms else []
        if self._is_open:
            times.append(self._heard_s + (self.timings.silent_s if self._probe else self.timings.probe_s))
            if writable:
                times.append(self._spoke_s + self.timings.heartbeat_s)
                ready_s = self._queue.ready_s(now_s)
                if ready_s is not None:
                    times.append(ready_s)
        return min(times, default=None)

    def drop(self) -> PepperstoneError | None:
        return self._drop

    def retry_at_s(self) -> float | None:
        return self._retry_at_s

    def end(self, error: PepperstoneError, retry_at_s: float | None = 0.0) -> None:
        """End the link for `error`; connect again not before `retry_at_s`, or never (None).

        The first word stands: what breaks because the link has ended says nothing new about when to come back."""
        if not self._is_open or self._drop is not None:
            return
        self._drop = error
        self._retry_at_s = retry_at_s

    # -- inside -----------------------------------------------------------------------------------------------------

    def _new_queue(self) -> PacedQueue[Request]:
        # A new link has new budgets at the server; pauses belong to the application and stay.
        budgets = {
            limits.GENERAL: RateWindow(limits.GENERAL_IN_WINDOW, limits.WINDOW_S),
            limits.HISTORY: RateWindow(limits.HISTORY_IN_WINDOW, limits.WINDOW_S),
        }
        return PacedQueue(budgets, self._pauses, limits.URGENT, {limits.GENERAL: limits.GENERAL_RESERVE})

    def _encode(self, request: Request) -> bytes:
        try:
            data = self._codec.send(request.message, request.id)
            if self.tap is not None:
                payload = request.message.SerializeToString()
                self.tap(True, openapi.Decoded(request.payload_type, request.message, request.id, payload))
            return data
        except PepperstoneError as error:
            self._requests.pop(request.id, None)
            self._settle(request, error)
            return b""

    def _take(self, decoded: openapi.Decoded, now_s: float) -> None:
        message = decoded.message
        if message is None:
            self.counters.unknown_types += 1
            if decoded.payload_type not in self._unknown_types:
                self._unknown_types.add(decoded.payload_type)
                self._on_unknown(decoded.payload_type)
            return
        if decoded.payload_type == PayloadType.HEARTBEAT_EVENT:
            return
        request = self._requests.get(decoded.client_msg_id) if decoded.client_msg_id else None
        if request is None:
            self._on_message(message, None)
            return
        is_answer = isinstance(message, request.expects) and not _of_a_level(message, request)
        if not is_answer:
            self._on_message(message, request)
        elif request.progress is Progress.WRITTEN:
            self._answer(request, message, now_s)
        else:
            if request.progress is Progress.LATE:
                self.counters.late_answers += 1
                request.progress = Progress.SETTLED
            self._on_message(message, request)

    def _answer(self, request: Request, message: Message, now_s: float) -> None:
        error = error_of(message, trading=request.trading)
        if isinstance(error, RateLimited):
            self.counters.throttled += 1
            self._pauses.refuse(request.payload_type, error.retry_after_s, now_s)
        elif error is None:
            self._pauses.succeed(request.payload_type)
        request.progress = Progress.SETTLED
        self._forget_later(request, now_s)
        request.reading = None  # of the answer, not of a level's event before it
        try:
            if request.trading and error is None:
                self._on_message(message, request)  # first the event, then the answer: the broker's order
                self._on_batch()  # the node hears of it while the answer is still worked on here
        finally:
            self._settle(request, error if error is not None else message)

    def _unanswered(self, request: Request, now_s: float) -> None:
        if request.progress is not Progress.WRITTEN:
            return
        name = openapi.name(request.payload_type)
        self._forget_later(request, now_s)
        if request.trading:
            self._settle(request, OutcomeUnknown(f"{name}: sent, and no answer within {request.answer_s:g} s"))
        else:
            self._settle(request, Silent(f"{name}: no answer within {request.answer_s:g} s"))
        request.progress = Progress.LATE

    def _queued_too_long(self, request: Request, queue_s: float) -> None:
        if request.progress is Progress.QUEUED and self._queue.remove(lambda queued: queued is request):
            self._requests.pop(request.id, None)
            name = openapi.name(request.payload_type)
            self._settle(request, LinkLost(f"{name}: not sent, {queue_s:g} s in the queue behind the rate limit"))

    def _close(self, error: PepperstoneError, now_s: float) -> None:
        self._is_open = False
        self._drop = None
        for request in self._queue.remove(lambda _request: True):
            self._requests.pop(request.id, None)
            self._settle(request, LinkLost(f"{openapi.name(request.payload_type)} was not sent: {error}"))
        for request in list(self._requests.values()):
            if request.progress is not Progress.WRITTEN:
                continue
            self._forget_later(request, now_s)
            name = openapi.name(request.payload_type)
            if request.trading:
                self._settle(request, OutcomeUnknown(f"{name}: sent, and the link was lost before an answer ({error})"))
            else:
                self._settle(request, LinkLost(f"{name}: {error}"))

    def _settle(self, request: Request, outcome: Message | PepperstoneError) -> None:
        request.progress = Progress.SETTLED
        if isinstance(outcome, Message):
            request.promise.resolve(outcome)
        else:
            request.promise.reject(outcome)

    def _forget_later(self, request: Request, now_s: float) -> None:
        self._at(now_s + self.timings.remember_s, lambda _now: self._requests.pop(request.id, None) and None)

    def _at(self, when_s: float, call: Callable[[float], Any]) -> None:
        heapq.heappush(self._alarms, (when_s, next(self._alarm_numbers), call))


def _answer_class(payload_type: int) -> type[Message]:
    name = PayloadType(payload_type).name.removesuffix("_REQ") + "_RES"
    return cast(type[Message], openapi.message(PayloadType[name]))


def _of_a_level(message: Message, request: Request) -> bool:
    """An event of the stop loss or take profit that an order or a close brings along: it may come before their own."""
    brings = request.payload_type in (PayloadType.NEW_ORDER_REQ, PayloadType.CLOSE_POSITION_REQ)
    return (
        brings
        and isinstance(message, oa.ExecutionEvent)
        and message.order.orderType == oa.OrderType.STOP_LOSS_TAKE_PROFIT
    )
