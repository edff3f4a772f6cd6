"""Wire messages as lines that may be shown to others: one JSON object a message, without what is private.

Messages that carry credentials are named and their content is left out. In all others the account's ids and numbers,
names, labels, comments and balances are replaced before they are written; prices, volumes, times and the set of fields
stay as they came, also fields this version does not know.
"""

import base64
import json
from collections.abc import Callable, Iterator
from typing import IO, Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from pepperstone_adapter import openapi
from pepperstone_adapter.openapi import Decoded

#: Fields whose value says who the account belongs to or what is on it.
PRIVATE = frozenset(
    {
        "ctidTraderAccountId", "ctidTraderAccountIds", "traderLogin", "userId", "balance", "equity", "managerBonus",
        "ibBonus", "nonWithdrawableBonus", "label", "comment", "clientOrderId", "externalNote", "introducingBrokerId",
        "registrationTimestamp", "lastClosingDealTimestamp", "lastBalanceUpdateTimestamp", "accessToken",
        "refreshToken", "clientId", "clientSecret",
    }
)  # fmt: skip
SCRUBBED_TEXT = "scrubbed"
SCRUBBED_NUMBER = 1


class WireRecording:
    """Writes what a `LinkProtocol.tap` sees to `target`.

    Parameters
    ----------
    now_s
        Seconds; the first message is at 0.
    """

    def __init__(self, target: IO[str], now_s: Callable[[], float]) -> None:
        self._target = target
        self._now_s = now_s
        self._began_s: float | None = None
        self.messages = 0

    def __call__(self, ours: bool, decoded: Decoded) -> None:
        now_s = self._now_s()
        self._began_s = now_s if self._began_s is None else self._began_s
        self.messages += 1
        line = {
            "t": round(now_s - self._began_s, 3),
            "from": "client" if ours else "server",
            "type": decoded.payload_type,
            "name": openapi.name(decoded.payload_type),
            "payload": payload_text(decoded),
        }
        self._target.write(json.dumps(line) + "\n")


def payload_text(decoded: Decoded) -> str | None:
    """The scrubbed message in base64; None where nothing of it may be kept (credentials, types not known)."""
    if decoded.message is None or decoded.payload_type in openapi.SECRET_PAYLOADS:
        return None
    copy = type(decoded.message)()
    copy.CopyFrom(decoded.message)
    scrub(copy)
    return base64.b64encode(copy.SerializePartialToString()).decode("ascii")


def scrub(message: Message) -> None:
    """Replace every private value in `message` and below; fields that were absent stay absent."""
    for field, value in message.ListFields():
        if field.name in PRIVATE:
            new = SCRUBBED_TEXT if field.type == FieldDescriptor.TYPE_STRING else SCRUBBED_NUMBER
            if field.is_repeated:
                del value[:]
            else:
                setattr(message, field.name, new)
        elif field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                scrub(part)


def unknown_fields(message: Message) -> Iterator[tuple[str, int]]:
    """``(message name, field number)`` of everything in `message` that the schema does not know."""
    for number in openapi.unknown_numbers(message):
        yield message.DESCRIPTOR.name, number
    for field, value in message.ListFields():
        if field.message_type is not None:
            parts: list[Any] = list(value) if field.is_repeated else [value]
            for part in parts:
                yield from unknown_fields(part)
