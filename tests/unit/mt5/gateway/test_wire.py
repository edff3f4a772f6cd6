import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.mt5.gateway.wire import (
    TICKS_DTYPE,
    Decoder,
    WireError,
    encode,
    pack_array,
    proof,
    proved,
    unpack_array,
)

MESSAGES = [{"t": "req", "id": n, "fn": "symbol_info", "args": ["EURUSD"]} for n in range(50)]


@given(st.lists(st.integers(1, 40), min_size=1))
def test_any_slicing_gives_the_same_messages(sizes: list[int]) -> None:
    data = b"".join(encode(m) for m in MESSAGES)
    decoder, out, at, turn = Decoder(), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        out += decoder.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert out == MESSAGES


def test_an_oversized_length_is_refused_before_its_body() -> None:
    with pytest.raises(WireError, match="limit"):
        Decoder(max_bytes=100).feed(b"\x7f\xff\xff\xff")


@pytest.mark.parametrize("body", [b"\xc1", b"\x01", b"\x80", b"\x81\xa1t\x01"])
def test_a_body_that_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(WireError, match="not a message"):
        Decoder().feed(len(body).to_bytes(4, "big") + body)


def test_arrays_travel_exactly() -> None:
    ticks = np.array([(1, 1.1, 1.2, 0.0, 0, 1001, 6, 0.0)], dtype=TICKS_DTYPE)
    decoded = Decoder().feed(encode({"t": "ev", "rows": pack_array(ticks)}))[0]
    assert unpack_array(decoded["rows"]).tolist() == ticks.tolist()


def test_proof_needs_token_role_and_both_nonces() -> None:
    token, a, b = b"secret", b"a" * 32, b"b" * 32
    mac = proof(token, "client", a, b)
    assert proved(token, "client", a, b, mac)
    assert not proved(token, "gateway", a, b, mac)
    assert not proved(b"other", "client", a, b, mac)
    assert not proved(token, "client", b, a, mac)
    assert not proved(token, "client", a, b, None)
