"""Floor 1: cTrader's message schema, and nothing but the schema.

Use it like this::

    from pepperstone_adapter import openapi
    from pepperstone_adapter.openapi import messages as oa

    request = oa.NewOrderReq(ctidTraderAccountId=1, symbolId=1, orderType=oa.OrderType.MARKET, ...)
    data = openapi.encode(request, client_msg_id="a1")   # envelope bytes; the 4-byte length is the transport's
    kind, message, client_msg_id, payload = openapi.decode(data)

* `openapi.messages`: every message class and every enumeration (as `IntEnum`), typed by `messages.pyi`.
* `openapi.PayloadType`, `openapi.PAYLOAD` (number -> class), `openapi.message(number)`, `openapi.payload_type(m)`,
  `openapi.name(number)`: the payload type table. An enumeration member is named after its class:
  ``PayloadType.NEW_ORDER_REQ`` is `NewOrderReq`. The two errors are `CommonErrorRes` (50) and `ErrorRes` (2142); the
  envelope (`ProtoMessage` on the venue's pages) is `Envelope`.
* `openapi.encode(message, client_msg_id)`, `openapi.decode(data) -> Decoded`: envelope bytes and back. An unknown
  payload type decodes with ``message=None`` and its bytes kept; unknown fields and enum values survive re-encoding.
* `openapi.unknown_numbers(message)`: what came that the schema does not know.
* `openapi.SECRET_PAYLOADS`: types whose bytes carry credentials and must never be logged or recorded.

The source is `proto/*.proto`, written by us with units in the comments; `generate.py` compiles it.
"""

from pepperstone_adapter.openapi.messages import PayloadType
from pepperstone_adapter.openapi.payloads import (
    PAYLOAD,
    Decoded,
    decode,
    encode,
    message,
    name,
    payload_type,
    unknown_numbers,
)

SECRET_PAYLOADS = frozenset(
    (
        PayloadType.APPLICATION_AUTH_REQ,
        PayloadType.ACCOUNT_AUTH_REQ,
        PayloadType.GET_ACCOUNT_LIST_BY_ACCESS_TOKEN_REQ,
        PayloadType.GET_ACCOUNT_LIST_BY_ACCESS_TOKEN_RES,
        PayloadType.GET_CTID_PROFILE_BY_TOKEN_REQ,
        PayloadType.REFRESH_TOKEN_REQ,
        PayloadType.REFRESH_TOKEN_RES,
    )
)

__all__ = [
    "PAYLOAD",
    "SECRET_PAYLOADS",
    "Decoded",
    "PayloadType",
    "decode",
    "encode",
    "message",
    "name",
    "payload_type",
    "unknown_numbers",
]
