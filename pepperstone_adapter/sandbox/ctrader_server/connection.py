"""One link: frames in, requests to handlers, messages out, and the faults that may happen to each on its way.

A frame is a 4-byte big-endian length and one envelope. Frames may arrive cut anywhere or many at once.
"""

import struct
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf.message import DecodeError, Message

from pepperstone_adapter import openapi
from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.openapi import PayloadType
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.ctrader_server.breakage import Breakage
from pepperstone_adapter.sandbox.ctrader_server.limits import Limits
from pepperstone_adapter.sandbox.ctrader_server.tokens import Grant
from pepperstone_adapter.sandbox.ctrader_server.wire import HANDLERS, OrderError, WireError
from pepperstone_adapter.sandbox.faults import FaultKind
from pepperstone_adapter.sandbox.ledger import Refusal, Refused

if TYPE_CHECKING:
    from pepperstone_adapter.sandbox.ctrader_server.venue import Venue

FRAME_MAX = 15_000_000
_LENGTH = struct.Struct(">I")
_TRADING = frozenset(
    (
        PayloadType.NEW_ORDER_REQ,
        PayloadType.CANCEL_ORDER_REQ,
        PayloadType.AMEND_ORDER_REQ,
        PayloadType.AMEND_POSITION_SLTP_REQ,
        PayloadType.CLOSE_POSITION_REQ,
    )
)
_EXEMPT = frozenset((PayloadType.HEARTBEAT_EVENT,))


class Sink(Protocol):
    """Where bytes go. `reset` breaks the link without a farewell."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def reset(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Request:
    """One decoded request with what a handler may use."""

    connection: "Connection"
    message: Any
    ref: str

    @property
    def venue(self) -> "Venue":
        return self.connection.venue

    @property
    def account_id(self) -> int:
        return int(self.message.ctidTraderAccountId)


@dataclass(slots=True)
class Subscriptions:
    """What one connection wants to hear about one account."""

    spots: dict[str, bool] = field(default_factory=dict)  # symbol -> with timestamp
    bars: dict[str, set[int]] = field(default_factory=dict)  # symbol -> periods
    depth: set[str] = field(default_factory=set)
    trailing_spots: dict[str, int] = field(default_factory=dict)  # still sent after unsubscribing
    last_sides: dict[str, tuple[int, int]] = field(default_factory=dict)
    pnl: bool = False


class Connection:
    def __init__(self, venue: "Venue", environment: Environment, sink: Sink, number: int) -> None:
        self.venue = venue
        self.environment = environment
        self.number = number
        self.app_authorised = False
        self.accounts: dict[int, Grant] = {}
        self.subscriptions: dict[int, Subscriptions] = {}
        self.closed = False
        self.heard_s = self.spoke_s = venue.timer.time()
        self._sink = sink
        self._inbox = bytearray()
        self._out: deque[bytes] = deque()
        self._flush_set = False
        self._limits = Limits(venue.settings.limits, demo=environment is Environment.DEMO)
        self._breakage = Breakage(self)
        self.muted_refs: set[str] = set()

    # -- in -------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes off the link."""
        self.heard_s = self.venue.timer.time()
        self._inbox += data
        if self._breakage.silent:
            return
        self.drain()

    def drain(self) -> None:
        """Handle every whole frame received so far."""
        inbox = self._inbox
        while not self.closed and not self._breakage.silent and len(inbox) >= 4:
            (length,) = _LENGTH.unpack_from(inbox)
            if length > FRAME_MAX:
                self.send(oa.CommonErrorRes(errorCode="FRAME_TOO_LONG", description=f"Frame of {length} bytes"))
                self.close("frame too long")
                return
            if len(inbox) < 4 + length:
                return
            frame = bytes(inbox[4 : 4 + length])
            del inbox[: 4 + length]
            if frame:
                self._frame(frame)

    def _frame(self, frame: bytes) -> None:
        try:
            decoded = openapi.decode(frame)
        except DecodeError:
            self.send(oa.CommonErrorRes(errorCode="INVALID_REQUEST", description="Frame is no message"))
            return
        name = openapi.name(decoded.payload_type)
        ref = decoded.client_msg_id or ""
        self.venue.journal.record("in", self.number, decoded.payload_type, ref, decoded.payload)
        rule = self.venue.faults.match("request", name)
        if rule is not None and self._breakage.on_request(rule, ref):
            return
        if decoded.payload_type in _TRADING and ref:
            self.venue.asks(ref, self)
        self.venue.wake()
        try:
            reply = self._handle(decoded.payload_type, decoded.message, ref)
        except WireError as error:
            reply = self._error(error, decoded.message)
        except (OrderError, Refused) as refused:
            reply = self._refused(decoded.payload_type, decoded.message, refused)
        if reply is not None:
            self.send(reply, ref)
        if rule is not None and rule.kind is FaultKind.CUT_AFTER:
            self.reset()
        self.venue.wake()

    def _handle(self, payload_type: int, message: Message | None, ref: str) -> Message | None:
        handler = HANDLERS.get(payload_type)
        if handler is None or message is None:
            raise WireError("unknown_message", f"Unknown payload type {payload_type}", common=True)
        if payload_type not in _EXEMPT:
            wait_s = self._limits.admit(payload_type, self.venue.timer.time())
            if wait_s is not None:
                raise WireError("too_many_requests", "Request rate limit is reached", retry_after_s=wait_s)
        if not message.IsInitialized():
            raise WireError("INVALID_REQUEST", f"{openapi.name(payload_type)} lacks required fields", common=True)
        self._gate(payload_type, message)
        return handler(Request(self, message, ref))

    def _gate(self, payload_type: int, message: Any) -> None:
        """Application first, then account, before anything else is heard."""
        early = self.venue.settings.behaviour.heartbeat_before_login or self.app_authorised
        if payload_type == PayloadType.APPLICATION_AUTH_REQ or (payload_type == PayloadType.HEARTBEAT_EVENT and early):
            return
        if self.venue.maintenance_end_ns is not None:
            raise WireError(
                "maintenance",
                "Server is under maintenance",
                maintenance_end_s=self.venue.maintenance_end_ns // 1_000_000_000,
            )
        if not self.app_authorised and payload_type != PayloadType.VERSION_REQ:
            raise WireError("no_application", "Channel is not authorized")
        if "ctidTraderAccountId" not in message.DESCRIPTOR.fields_by_name:
            return
        if payload_type == PayloadType.ACCOUNT_AUTH_REQ:
            return
        if message.ctidTraderAccountId not in self.accounts:
            raise WireError("no_account", "Trading account is not authorized")

    def _refused(self, payload_type: int, request: Any, refused: OrderError | Refused) -> Message:
        """The broker's no: an order error to a trading request (or what the switch says), the plain error to a question."""
        behaviour = self.venue.settings.behaviour
        reason = refused.reason.value if isinstance(refused, Refused) else refused.code
        if payload_type not in _TRADING or behaviour.order_refusals == "error":
            return self._error(WireError(reason, refused.text), request)
        code, text = behaviour.errors.say(reason, refused.text)
        if behaviour.order_refusals == "execution":
            rejected = self.venue.rejection(request, code)
            if rejected is not None:
                return rejected
        order_id, position_id = refused.order_id, refused.position_id
        if not behaviour.order_error_ids or reason == Refusal.UNKNOWN_POSITION:  # that one was seen with both ids zero
            order_id = position_id = 0
        return oa.OrderErrorEvent(
            ctidTraderAccountId=request.ctidTraderAccountId,
            errorCode=code,
            orderId=order_id,
            positionId=position_id,
            description=text,
        )

    def _error(self, error: WireError, request: Any) -> Message:
        return error.message(*self.venue.settings.behaviour.errors.say(error.code, error.text), request)

    # -- out ------------------------------------------------------------------------------------------------------

    def send(self, message: Message, ref: str = "") -> None:
        """Put one message on the link, through whatever fault waits for it."""
        if self.closed or (ref and ref in self.muted_refs):
            return
        frame = openapi.encode(message, ref or None)
        payload_type = openapi.payload_type(message)
        self.venue.journal.record("out", self.number, payload_type, ref, frame)
        self._breakage.send(message, payload_type, ref, frame)

    def put(self, frame: bytes) -> None:
        """Queue one frame (an envelope without its length) for writing; many leave in one write."""
        self.put_raw(_LENGTH.pack(len(frame)) + frame)

    def put_raw(self, data: bytes) -> None:
        if self.closed:
            return
        self.spoke_s = self.venue.timer.time()
        self._out.append(data)
        if not self._flush_set:
            self._flush_set = True
            self.venue.timer.call_soon(self.flush)

    def flush(self) -> None:
        self._flush_set = False
        if self._out and not self.closed and not self._breakage.silent:
            data = b"".join(self._out)
            self._out.clear()
            self._sink.write(data)

    # -- life -----------------------------------------------------------------------------------------------------

    def watch(self, now_s: float) -> None:
        """Once a second: speak on an idle link, leave a client that says nothing."""
        behaviour = self.venue.settings.behaviour
        if self._breakage.silent:
            return
        if now_s - self.spoke_s >= behaviour.heartbeat_idle_s:
            self.send(oa.HeartbeatEvent())
        if behaviour.client_silence_s and now_s - self.heard_s >= behaviour.client_silence_s:
            self.close("no heartbeat from client")

    def drop_account(self, account_id: int) -> None:
        self.accounts.pop(account_id, None)
        self.subscriptions.pop(account_id, None)

    def close(self, reason: str = "") -> None:
        """Say what is queued and close."""
        if not self.closed:
            self.flush()
            self._end(reason)
            self._sink.close()

    def reset(self) -> None:
        """Break the link: what is queued is lost."""
        if not self.closed:
            self._end("reset")
            self._sink.reset()

    def lost(self) -> None:
        """The client is gone."""
        if not self.closed:
            self._end("closed by client")

    def _end(self, reason: str) -> None:
        self.closed = True
        self.venue.journal.note(self.number, reason)
        self.venue.forget(self)
