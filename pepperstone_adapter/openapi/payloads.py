"""Payload types: which number is which message, and the envelope that carries both."""

from typing import NamedTuple, cast

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from pepperstone_adapter.openapi import messages

_CAMEL = {kind.name.replace("_", "").lower(): int(kind) for kind in messages.PayloadType}

#: Message class by payload type, for every type this schema knows.
PAYLOAD: dict[int, type[Message]] = {
    _CAMEL[name.lower()]: cast(type[Message], getattr(messages, name))
    for name in messages.__all__
    if name.lower() in _CAMEL
}
_TYPE_OF: dict[type[Message], int] = {cls: number for number, cls in PAYLOAD.items()}


class Decoded(NamedTuple):
    """One received envelope. `message` is None where the payload type is not known; `payload` is always kept."""

    payload_type: int
    message: Message | None
    client_msg_id: str | None
    payload: bytes


def message(payload_type: int) -> type[Message] | None:
    """Return the class of a payload type, or None where this schema does not know it."""
    return PAYLOAD.get(payload_type)


def payload_type(message: Message | type[Message]) -> int:
    """Return the payload type number of a message or of its class."""
    return _TYPE_OF[message if isinstance(message, type) else type(message)]


def name(payload_type: int) -> str:
    """Name a payload type for a person: ``NewOrderReq`` or ``payload 9999``."""
    cls = PAYLOAD.get(payload_type)
    return cls.DESCRIPTOR.name if cls is not None else f"payload {payload_type}"


def encode(message: Message, client_msg_id: str | None = None) -> bytes:
    """Serialise a message in its envelope, without the 4-byte length.

    Raises `google.protobuf.message.EncodeError` where a required field is missing.
    """
    envelope = messages.Envelope(payloadType=_TYPE_OF[type(message)], payload=message.SerializeToString())
    if client_msg_id is not None:
        envelope.clientMsgId = client_msg_id
    return envelope.SerializeToString()


def decode(data: bytes) -> Decoded:
    """Parse an envelope and, where its type is known, the message in it.

    Raises `google.protobuf.message.DecodeError` for bytes that are not an envelope, or not the message they claim.
    A message may lack required fields (a newer server may drop one): callers test `HasField` for what they need.
    """
    envelope = messages.Envelope()
    envelope.MergeFromString(data)
    kind, payload = envelope.payloadType, envelope.payload
    cls = PAYLOAD.get(kind)
    decoded: Message | None = None
    if cls is not None:
        decoded = cls()
        decoded.MergeFromString(payload)
    return Decoded(kind, decoded, envelope.clientMsgId if envelope.HasField("clientMsgId") else None, payload)


def unknown_numbers(message: Message) -> tuple[int, ...]:
    """Field numbers of the message (its own level) that the schema does not know, or whose enum value it does not."""
    fields = UnknownFieldSet(message)
    return tuple(fields[i].field_number for i in range(len(fields)))
