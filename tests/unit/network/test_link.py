"""Connecting, pumping, losing, stopping: with a clock that moves when told to."""

import pytest
from twisted.internet.task import Clock

from pepperstone_adapter.common.backoff import Backoff
from pepperstone_adapter.common.errors import RemoteProtocolError
from pepperstone_adapter.network.link import CONNECT_S, STOP_S, Link, LinkState
from pepperstone_adapter.network.tls import Endpoint
from tests.kit.memory_wire import MemoryServer, WrittenCore


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.server = MemoryServer(self.clock)
        self.core = WrittenCore()
        self.link = Link(
            self.clock,
            Endpoint(host="demo.example", port=5035),
            self.core,
            Backoff(initial_s=1, factor=2, max_s=8, jitter=0),
            self.server.connect,
            rng=lambda: 0.0,
        )

    def pass_s(self, seconds: float) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))

    def notes(self, kind: str) -> list[object]:
        return [what for name, what in self.core.notes if name == kind]


@pytest.fixture
def world() -> World:
    return World()


def test_bytes_walk_both_ways(world: World) -> None:
    world.core.to_send = b"hello"
    world.link.start()
    assert world.link.state is LinkState.UP
    assert world.server.last.written == b"hello"
    world.server.send(b"hi")
    assert world.notes("received") == [b"hi"]


def test_the_core_is_woken_when_it_asked(world: World) -> None:
    world.core.alarm_s = 3.0
    world.link.start()
    world.pass_s(2.9)
    assert world.notes("tick") == []
    world.pass_s(0.2)
    assert len(world.notes("tick")) == 1


def test_a_thread_that_stood_still_reads_what_has_come_before_it_tells_the_time(world: World) -> None:
    """Silence and missing answers are judged by what was sent, not by when this thread had time to read it."""
    world.core.alarm_s = 3.0
    world.link.start()
    world.clock.callLater(5.0, world.server.send, b"an answer")
    world.clock.advance(10.0)  # nothing ran for ten seconds; the alarm is the first thing that is due
    kinds = [kind for kind, _ in world.core.notes]
    assert kinds.index("received") < kinds.index("tick")


def test_a_thread_that_stood_still_over_some_bytes_reads_those_behind_them_first(world: World) -> None:
    world.core.alarm_s = 3.0
    world.link.start()
    world.clock.rightNow += 10.0
    world.server.send(b"the bytes it stood still over")
    world.clock.callLater(0, world.server.send, b"an answer")
    world.clock.advance(0)
    kinds = [what if kind == "received" else kind for kind, what in world.core.notes]
    assert kinds.index(b"an answer") < kinds.index("tick")


def test_a_thread_that_stands_still_twice_in_a_row_reads_first_each_time(world: World) -> None:
    """What it read after the first time has put the alarm off, which never rang."""

    def answer() -> None:
        world.core.alarm_s = 13.0
        world.server.send(b"an answer")

    world.core.alarm_s = 3.0
    world.link.start()
    world.clock.callLater(5.0, answer)
    world.clock.advance(10.0)
    assert world.notes("tick") == []
    world.clock.callLater(5.0, world.server.send, b"another")
    world.clock.advance(10.0)
    kinds = [what if kind == "received" else kind for kind, what in world.core.notes]
    assert kinds.index(b"another") < kinds.index("tick")


def test_a_late_alarm_rings_although_bytes_keep_coming(world: World) -> None:
    world.core.alarm_s = 3.0
    world.link.start()

    def chatter() -> None:
        world.server.send(b"more")
        world.clock.callLater(0.001, chatter)

    world.clock.callLater(0.001, chatter)
    world.clock.rightNow += 10.0
    for _ in range(10):
        world.clock.advance(0.001)
    assert world.notes("tick")


def test_refused_attempts_wait_longer_each_time_up_to_the_ceiling(world: World) -> None:
    world.server.refuse = True
    world.link.start()
    counts = []
    for _ in range(4):
        world.pass_s(8)
        counts.append(world.server.attempts)
    # attempts at 0, 1, 3, 7, 15, 23, 31: waits 1, 2, 4, 8, 8, 8
    assert counts == [4, 5, 6, 7]
    assert "demo.example:5035" in str(world.notes("failed")[0])


def test_a_lost_link_is_told_once_and_made_again(world: World) -> None:
    world.link.start()
    world.server.last.cut()
    assert world.notes("lost") == ["LinkLost"]
    assert world.link.state is LinkState.WAITING
    world.pass_s(1.1)
    assert world.link.state is LinkState.UP
    assert len(world.notes("opened")) == 2


def test_a_stable_link_begins_small_again_and_a_flapping_one_does_not(world: World) -> None:
    world.link.start()
    for _ in range(3):
        world.server.last.cut()
        world.pass_s(8.1)
    assert world.link.attempts == 3
    world.pass_s(31)
    world.server.last.cut()
    assert world.link.attempts == 1


def test_a_core_that_asks_for_the_end_gets_it_at_once_with_its_reason(world: World) -> None:
    world.link.start()
    world.core.dropping = RemoteProtocolError("garbage")
    world.server.send(b"?")
    assert world.server.last.ended == "aborted"
    world.pass_s(0.1)
    assert world.notes("lost") == ["RemoteProtocolError"]


def test_no_handshake_is_a_failed_attempt_and_nothing_is_written(world: World) -> None:
    world.core.to_send = b"secret"
    world.server.no_handshake = True
    world.link.start()
    world.pass_s(CONNECT_S + 0.1)
    assert "no TLS handshake" in str(world.notes("failed")[0])
    assert world.server.transports[0].written == b""


def test_a_full_send_buffer_keeps_output_in_the_core(world: World) -> None:
    world.link.start()
    world.server.last.producer.pauseProducing()
    world.core.to_send = b"order"
    world.link.pump()
    assert world.server.last.written == b""
    assert world.core.to_send == b"order"  # still not written: a lost link says so truthfully
    world.server.last.producer.resumeProducing()
    assert world.server.last.written == b"order"


def test_the_core_can_hold_the_next_attempt_back_or_end_it(world: World) -> None:
    world.link.start()
    world.core.retry = 100.0
    world.server.last.cut()
    world.pass_s(99)
    assert world.server.attempts == 1
    world.pass_s(2)
    assert world.server.attempts == 2
    world.core.retry = None
    world.server.last.cut()
    world.pass_s(60)
    assert world.server.attempts == 2
    assert world.link.state is LinkState.STOPPED


@pytest.mark.parametrize("state", ["idle", "connecting", "handshaking", "up", "deaf", "waiting", "stopped"])
def test_it_stops_within_its_time_in_every_state(world: World, state: str) -> None:
    world.server.hang = state == "connecting"
    world.server.no_handshake = state == "handshaking"
    world.server.deaf = state == "deaf"
    if state != "idle":
        world.link.start()
    if state == "waiting":
        world.server.last.cut()
    if state == "stopped":
        world.link.stop()
        world.pass_s(0.1)
    done: list[float] = []
    world.link.stop().then(lambda _: done.append(world.clock.seconds()), lambda error: pytest.fail(str(error)))
    began = world.clock.seconds()
    world.pass_s(STOP_S + 0.2)
    assert len(done) == 1
    assert done[0] - began <= STOP_S + 0.1
    attempts = world.server.attempts
    world.pass_s(60)
    assert world.server.attempts == attempts
    assert world.clock.getDelayedCalls() == []


def test_fifty_connects_and_drops_leave_no_timer_behind(world: World) -> None:
    world.link.start()
    for _ in range(50):
        world.server.last.cut()
        world.pass_s(8.1)
    assert len(world.notes("opened")) == 51
    world.link.stop()
    world.pass_s(1)
    assert world.clock.getDelayedCalls() == []


def test_its_repr_is_what_an_operator_reads(world: World) -> None:
    world.link.start()
    assert repr(world.link) == "<Link demo.example:5035 up attempts=0>"
