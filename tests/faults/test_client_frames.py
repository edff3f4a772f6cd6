"""Faults of framing and codec (F18 to F26), on bytes and in virtual time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pepperstone_adapter.broker.events import LinkDown, LinkUp, Notice, OrderChanged
from pepperstone_adapter.ctrader.client.codec import MAX_FRAME_BYTES, Codec
from pepperstone_adapter.openapi import messages as oa
from tests.kit import scripted_venue as venue
from tests.kit.scripted_venue import ACCOUNT_ID, World, frame


def test_f18_a_truncated_frame_and_then_silence_ends_the_link(world: World) -> None:
    whole = frame(oa.SpotEvent(ctidTraderAccountId=ACCOUNT_ID, symbolId=1, bid=1))
    world.venue.raw(whole[:-3])
    world.venue.mute = True
    world.pass_s(35)
    assert world.of(LinkDown)


def test_f19_garbage_drops_the_link_and_the_third_time_in_a_minute_asks_for_a_person(world: World) -> None:
    garbage = (5).to_bytes(4) + b"\xff\xff\xff\xff\xff"
    for n in range(3):
        world.venue.raw(garbage)
        world.pass_s(3)
        assert len(world.of(LinkUp)) == n + 2
    halts = [notice for notice in world.of(Notice) if notice.halt]
    assert len(halts) == 1
    assert "garbage" in halts[0].text


def test_f20_an_empty_frame_is_counted_and_harms_nothing() -> None:
    codec = Codec()
    message = oa.SpotEvent(ctidTraderAccountId=1, symbolId=1, bid=5)
    assert [d.message for d in codec.receive(b"\x00\x00\x00\x00" + frame(message))] == [message]
    assert codec.empty_frames == 1


@pytest.mark.parametrize("length", [MAX_FRAME_BYTES + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_f21_f22_a_frame_above_the_cap_ends_the_link_at_once(world: World, length: int) -> None:
    world.venue.raw(length.to_bytes(4))
    assert world.venue.transports[0].ended == "aborted"
    world.pass_s(2)
    assert len(world.of(LinkUp)) == 2


def test_f23_an_unknown_type_is_told_once_and_the_link_stays(world: World) -> None:
    unknown = oa.Envelope(payloadType=9999, payload=b"\x08\x01").SerializeToString()
    for _ in range(5):
        world.venue.raw(len(unknown).to_bytes(4) + unknown)
    world.turn()
    assert world.of(LinkDown) == []
    assert sum("9999" in notice.text for notice in world.of(Notice)) == 1
    assert world.hub.protocol.counters.unknown_types == 5


def test_f24_an_unknown_execution_type_is_a_loud_notice_and_no_guess(world: World) -> None:
    event = venue.filled()
    event.ClearField("executionType")
    raw = event.SerializePartialToString() + b"\x18\x63"  # executionType = 99
    envelope = oa.Envelope(payloadType=2126, payload=raw).SerializeToString()
    world.venue.raw(len(envelope).to_bytes(4) + envelope)
    world.turn()
    assert world.of(OrderChanged) == []
    (notice,) = [n for n in world.of(Notice) if n.halt]
    assert "ExecutionEvent.executionType" in notice.text
    assert "does not know" in notice.text


def test_f24_a_missing_required_field_and_an_unknown_one_are_survived(world: World) -> None:
    event = venue.filled()
    event.deal.ClearField("filledVolume")
    envelope = oa.Envelope(payloadType=2126, payload=event.SerializePartialToString()).SerializeToString()
    world.venue.raw(len(envelope).to_bytes(4) + envelope)
    world.turn()
    assert any("Deal.filledVolume" in notice.text for notice in world.of(Notice))
    newer = venue.filled().SerializeToString() + b"\xfa\x3f\x01\x00"
    envelope = oa.Envelope(payloadType=2126, payload=newer).SerializeToString()
    world.venue.raw(len(envelope).to_bytes(4) + envelope)
    world.turn()
    assert "filled" in world.changes()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_f25_any_slicing_gives_the_same_messages(sizes: list[int]) -> None:
    sent = [oa.SpotEvent(ctidTraderAccountId=1, symbolId=n, bid=n * 7) for n in range(1, 30)]
    stream, codec, got, at, n = b"".join(frame(m) for m in sent), Codec(), [], 0, 0
    while at < len(stream):
        size = sizes[n % len(sizes)]
        got += codec.receive(stream[at : at + size])
        at, n = at + size, n + 1
    assert [d.message for d in got] == sent


def test_f25_one_byte_at_a_time_and_a_thousand_frames_at_once() -> None:
    sent = [oa.SpotEvent(ctidTraderAccountId=1, symbolId=1, bid=n) for n in range(1, 1_001)]
    stream = b"".join(frame(message) for message in sent)
    whole = [d.message for d in Codec().receive(stream)]
    codec = Codec()
    sliced = [d.message for i in range(len(stream)) for d in codec.receive(stream[i : i + 1])]
    assert whole == sliced == sent


def test_f26_deep_nesting_is_a_broken_stream_and_nothing_worse() -> None:
    nested = b""
    for _ in range(5_000):
        nested = b"\x3b" + nested + b"\x3c"  # groups within groups
    payload = oa.Envelope(payloadType=2126, payload=nested).SerializeToString()
    codec = Codec()
    assert codec.receive(len(payload).to_bytes(4) + payload) == []
    assert codec.broken is not None
