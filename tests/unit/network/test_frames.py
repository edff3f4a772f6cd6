"""Frames come out the same however the stream is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.common.errors import LocalProtocolError, RemoteProtocolError
from pepperstone_adapter.network.frames import FrameDecoder, frame

CAP = 1_000


def test_a_frame_is_a_big_endian_length_and_the_bytes() -> None:
    assert frame(b"abc", CAP) == b"\x00\x00\x00\x03abc"


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20), st.lists(st.integers(1, 30), min_size=1))
def test_any_chunking_gives_the_same_frames(payloads: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(frame(p, CAP) for p in payloads)
    decoder, out, at, n = FrameDecoder(CAP), [], 0, 0
    while at < len(stream):
        size = sizes[n % len(sizes)]
        out += decoder.feed(stream[at : at + size])
        at, n = at + size, n + 1
    assert out == payloads
    assert decoder.pending_bytes == 0


def test_an_empty_frame_is_ignored_and_counted() -> None:
    decoder = FrameDecoder(CAP)
    assert decoder.feed(b"\x00\x00\x00\x00" + frame(b"x", CAP)) == [b"x"]
    assert decoder.empty_frames == 1


@pytest.mark.parametrize("length", [CAP + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_length_above_the_cap_breaks_at_once_and_keeps_what_came_before(length: int) -> None:
    decoder = FrameDecoder(CAP)
    assert decoder.feed(frame(b"good", CAP) + length.to_bytes(4)) == [b"good"]
    assert isinstance(decoder.broken, RemoteProtocolError)
    assert decoder.pending_bytes == 0  # nothing was allocated for it
    assert decoder.feed(frame(b"later", CAP)) == []


@pytest.mark.parametrize("payload", [b"", b"x" * (CAP + 1)])
def test_we_send_no_frame_that_we_would_refuse(payload: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        frame(payload, CAP)
