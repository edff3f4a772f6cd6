"""The envelope, and what survives it."""

import pytest
from google.protobuf.message import DecodeError, EncodeError
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter import openapi
from pepperstone_adapter.openapi import messages as oa


def test_a_message_walks_through_the_envelope() -> None:
    request = oa.CancelOrderReq(ctidTraderAccountId=7, orderId=9)
    kind, message, client_msg_id, payload = openapi.decode(openapi.encode(request, "a-1"))
    assert (kind, message, client_msg_id) == (2108, request, "a-1")
    assert payload == request.SerializeToString()


def test_the_envelope_bytes_are_those_worked_out_by_hand() -> None:
    # field 1 varint 2108 = 08 bc 10; field 2 length 4: account 10 07, order 18 09; field 3 "a" = 1a 01 61
    data = openapi.encode(oa.CancelOrderReq(ctidTraderAccountId=7, orderId=9), "a")
    assert data == bytes.fromhex("08bc10 1204 1007 1809 1a0161")


def test_an_absent_id_is_not_an_empty_one() -> None:
    assert openapi.decode(openapi.encode(oa.HeartbeatEvent())).client_msg_id is None
    assert openapi.decode(openapi.encode(oa.HeartbeatEvent(), "")).client_msg_id == ""


def test_an_unknown_payload_type_keeps_its_bytes() -> None:
    data = oa.Envelope(payloadType=9999, payload=b"\x01\x02", clientMsgId="x").SerializeToString()
    assert openapi.decode(data) == openapi.Decoded(9999, None, "x", b"\x01\x02")
    assert openapi.name(9999) == "payload 9999"


def test_a_request_without_a_required_field_does_not_leave() -> None:
    with pytest.raises(EncodeError, match="orderId"):
        openapi.encode(oa.CancelOrderReq(ctidTraderAccountId=7))


def test_bytes_that_are_no_envelope_are_refused() -> None:
    with pytest.raises(DecodeError):
        openapi.decode(b"\xff\xff\xff\xff")


def test_unknown_fields_and_enum_values_survive_and_are_named() -> None:
    # executionType 99 is not in the schema: the field reads as absent and is kept as an unknown one.
    raw = b"\x10\x01\x18\x63\xfa\x3f\x01\x00"  # account 1, executionType 99, field 1023 = one zero byte
    event = oa.ExecutionEvent()
    event.MergeFromString(raw)
    assert not event.HasField("executionType")
    assert openapi.unknown_numbers(event) == (3, 1023)
    assert event.SerializePartialToString() == raw


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_a_decode_error(data: bytes) -> None:
    try:
        openapi.decode(data)
    except DecodeError:
        return


def test_secret_payloads_are_those_that_carry_a_token_or_secret() -> None:
    fields = {"clientSecret", "accessToken", "refreshToken"}
    carrying = {n for n, cls in openapi.PAYLOAD.items() if fields & set(cls.DESCRIPTOR.fields_by_name)}
    assert carrying == set(openapi.SECRET_PAYLOADS)
