"""What a fault rule does to one link. The ledger is never touched from here.

`SWAP` holds one message back until the next one has gone. `SLOW` holds everything back for a while. `SILENCE` and
`STALL` leave the socket open and say nothing more.
"""

from typing import TYPE_CHECKING

from google.protobuf.message import Message

from pepperstone_adapter import openapi
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.ctrader_server.wire import WireError
from pepperstone_adapter.sandbox.faults import FaultKind, FaultRule

if TYPE_CHECKING:
    from pepperstone_adapter.sandbox.ctrader_server.connection import Connection

UNKNOWN_TYPE = 9_999
#: A varint field 200 with value 1, appended to a payload: a field of the future.
_UNKNOWN_FIELD = b"\xc0\x0c\x01"
#: A bytes field 200 of 16 MB: its tag (200 << 3 | 2) and its length; the bytes follow.
_PADDING = b"\xc2\x0c" + b"\x80\x80\x80\x08"
#: Group 7 within group 7 ...: far below what a parser of protobuf goes.
_NESTED = b"\x3b" * 5_000 + b"\x3c" * 5_000


class Breakage:
    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.silent = False
        self._swapped: bytes | None = None
        self._slow_until_s = 0.0

    def on_request(self, rule: FaultRule, ref: str) -> bool:
        """Apply a rule to an incoming request; True when the broker must not see it."""
        connection = self._connection
        match rule.kind:
            case FaultKind.CUT_BEFORE:
                connection.reset()
                return True
            case FaultKind.SWALLOW:
                return True
            case FaultKind.MUTE | FaultKind.CUT_AFTER:
                connection.muted_refs.add(ref)
            case FaultKind.SILENCE:
                self._go_silent(rule.seconds)
                return True
            case FaultKind.TOKEN_LOSS | FaultKind.ACCOUNT_DISCONNECT | FaultKind.CLIENT_DISCONNECT:
                self._lose(rule)
                return connection.closed
            case FaultKind.MAINTENANCE:
                self._maintain(rule.seconds)
            case FaultKind.FLICKER:
                for account_id in connection.accounts:
                    connection.venue.hide_all(account_id, rule.copies)
            case FaultKind.THROTTLE:
                code, wait_s = rule.text or "BLOCKED_PAYLOAD_TYPE", int(rule.seconds)
                self._refuse(WireError(code, "Request rate limit is reached", retry_after_s=wait_s), ref)
                return True
            case FaultKind.ERROR:
                self._refuse(WireError(rule.text or "INVALID_REQUEST", "Injected by a fault rule"), ref)
                return True
            case _:
                pass
        return False

    def _lose(self, rule: FaultRule) -> None:
        """Sessions that end while the client is speaking."""
        connection, venue = self._connection, self._connection.venue
        match rule.kind:
            case FaultKind.TOKEN_LOSS:
                for grant in {grant.access: grant for grant in connection.accounts.values()}.values():
                    venue.invalidate_token(grant.access)
            case FaultKind.ACCOUNT_DISCONNECT:
                for account_id in tuple(connection.accounts):
                    venue.disconnect_account(account_id)
            case _:
                venue.disconnect_clients(rule.text or "fault")

    def _maintain(self, seconds: float) -> None:
        venue = self._connection.venue
        venue.start_maintenance(venue.clock.now_ns() + round((seconds or 3_600) * 1_000_000_000))
        if seconds:
            venue.timer.call_later(seconds, venue.end_maintenance)

    def _refuse(self, error: WireError, ref: str) -> None:
        self._connection.send(error.message(error.code, error.text, None), ref)

    def send(self, message: Message, payload_type: int, ref: str, frame: bytes) -> None:
        name = openapi.name(payload_type)
        execution = oa.ExecutionType(message.executionType).name if isinstance(message, oa.ExecutionEvent) else None
        rule = self._connection.venue.faults.match("reply", name, execution)
        if rule is None:
            self._put(frame)
            return
        self._apply(rule, message, payload_type, ref, frame)

    def _put(self, frame: bytes) -> None:
        connection = self._connection
        now_s = connection.venue.timer.time()
        if now_s < self._slow_until_s:
            connection.venue.timer.call_later(self._slow_until_s - now_s, connection.put, frame)
            return
        connection.put(frame)
        if self._swapped is not None:
            held, self._swapped = self._swapped, None
            connection.put(held)

    def _apply(self, rule: FaultRule, message: Message, payload_type: int, ref: str, frame: bytes) -> None:
        connection, timer = self._connection, self._connection.venue.timer
        match rule.kind:
            case FaultKind.DROP:
                return
            case FaultKind.CUT_BEFORE:
                connection.flush()
                connection.reset()
            case FaultKind.CUT_AFTER:
                self._put(frame)
                connection.flush()
                connection.close("fault")
            case FaultKind.DELAY:
                timer.call_later(rule.seconds, connection.put, frame)
            case FaultKind.SLOW:
                self._slow_until_s = timer.time() + rule.seconds
                self._put(frame)
            case FaultKind.DUPLICATE:
                for _ in range(1 + rule.copies):
                    self._put(frame)
            case FaultKind.SWAP:
                self._swapped = frame
            case FaultKind.TRUNCATE:
                connection.put_raw(_half(frame))
                connection.close("fault")
            case FaultKind.STALL:
                connection.put_raw(_half(frame))
                connection.flush()
                self._go_silent(rule.seconds)
            case FaultKind.OVERSIZE:
                self._put(frame)
                connection.put_raw(b"\x7f\xff\xff\xff")
            case FaultKind.EMPTY:
                connection.put_raw(b"\x00\x00\x00\x00")
                self._put(frame)
            case FaultKind.GARBAGE:
                self._put(b"\xff" * len(frame))
            case FaultKind.SLICE:
                for byte in len(frame).to_bytes(4, "big") + frame:
                    connection.flush()  # each in a write, and so in a TLS record, of its own
                    connection.put_raw(bytes([byte]))
                connection.flush()
            case FaultKind.SILENCE:
                self._go_silent(rule.seconds)
            case _:
                self._put(_strange(rule.kind, message, payload_type, ref, frame))

    def _go_silent(self, seconds: float) -> None:
        self.silent = True
        if seconds:
            self._connection.venue.timer.call_later(seconds, self.resume)

    def resume(self) -> None:
        """Read and write again; what came in meanwhile is handled now, what was to go out goes out."""
        self.silent = False
        self._connection.flush()
        self._connection.drain()


def _half(frame: bytes) -> bytes:
    return len(frame).to_bytes(4, "big") + frame[: len(frame) // 2]


def _strange(kind: FaultKind, message: Message, payload_type: int, ref: str, frame: bytes) -> bytes:
    """The message as a newer (or a careless) server might send it."""
    payload = message.SerializeToString()
    match kind:
        case FaultKind.UNKNOWN_FIELD:
            payload += _UNKNOWN_FIELD
        case FaultKind.PADDED:
            payload += _PADDING + bytes(16 << 20)
        case FaultKind.NESTED:
            payload = _NESTED
        case FaultKind.UNKNOWN_ENUM:
            payload = _with_unknown_enum(message)
        case FaultKind.UNKNOWN_TYPE:
            payload_type = UNKNOWN_TYPE
        case FaultKind.MISSING:
            payload = _without_required(message)
        case _:
            return frame
    envelope = oa.Envelope(payloadType=payload_type, payload=payload)
    if ref:
        envelope.clientMsgId = ref
    return envelope.SerializeToString()


def _with_unknown_enum(message: Message) -> bytes:
    """The first enumeration of the message gets value 99 (a varint of that field, appended: the last one counts)."""
    for descriptor in message.DESCRIPTOR.fields:
        if descriptor.enum_type is not None and descriptor.name != "payloadType" and not descriptor.is_repeated:
            tag = descriptor.number << 3
            changed = type(message)()
            changed.CopyFrom(message)
            changed.ClearField(descriptor.name)
            return changed.SerializePartialToString() + _varint(tag) + b"\x63"
    return message.SerializeToString()


def _without_required(message: Message) -> bytes:
    """Leave out the money-relevant required fields of deal and position."""
    changed = type(message)()
    changed.CopyFrom(message)
    if isinstance(changed, oa.ExecutionEvent):
        changed.deal.ClearField("filledVolume")
        changed.position.ClearField("swap")
    return changed.SerializePartialToString()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
