"""A link's other end in memory, and a core that writes down what it was told."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pepperstone_adapter.common.errors import PepperstoneError


class MemoryTransport:
    """Keeps what is written; loses the connection a turn later, as a real one does."""

    def __init__(self, clock: Clock, protocol: Any, deaf: bool = False) -> None:
        self._clock = clock
        self._protocol = protocol
        self._deaf = deaf  # never answers a polite close
        self.written = b""
        self.ended = ""
        self.producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.written += data

    def loseConnection(self) -> None:
        self.ended = self.ended or "closed"
        if not self._deaf:
            self._clock.callLater(0, self._gone, ConnectionDone())

    def abortConnection(self) -> None:
        if self.ended != "aborted":
            self.ended = "aborted"
            self._clock.callLater(0, self._gone, ConnectionAborted())

    def cut(self) -> None:
        """The peer resets the connection."""
        self._gone(ConnectionAborted())

    def _gone(self, error: Exception) -> None:
        if self.ended != "gone":
            self.ended = "gone"
            self._protocol.connectionLost(Failure(error))


class MemoryServer:
    """Stands in for `connect`: each attempt succeeds, is refused, or hangs, as told."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.transports: list[MemoryTransport] = []
        self.attempts = 0
        self.refuse = False
        self.hang = False
        self.no_handshake = False
        self.deaf = False

    def connect(self, factory: Any) -> Deferred[Any]:
        self.attempts += 1
        done: Deferred[Any] = Deferred()
        if self.hang:
            return done
        if self.refuse:
            done.errback(Failure(ConnectionRefusedError()))
            return done
        protocol = factory.buildProtocol(None)
        transport = MemoryTransport(self.clock, protocol, self.deaf)
        self.transports.append(transport)
        protocol.makeConnection(transport)
        done.callback(protocol)
        if not self.no_handshake:
            protocol.handshakeCompleted()
        self.clock.pump([0, 0, 0])
        return done

    @property
    def last(self) -> MemoryTransport:
        return self.transports[-1]

    def send(self, data: bytes) -> None:
        self.last._protocol.dataReceived(data)


class WrittenCore:
    """A core that only takes notes."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, object]] = []
        self.to_send = b""
        self.dropping: PepperstoneError | None = None
        self.alarm_s: float | None = None
        self.retry: float | None = 0.0

    def opened(self, now_s: float) -> None:
        self.notes.append(("opened", now_s))

    def received(self, data: bytes, now_s: float) -> None:
        self.notes.append(("received", data))

    def tick(self, now_s: float) -> None:
        self.notes.append(("tick", now_s))
        self.alarm_s = None

    def lost(self, error: PepperstoneError, now_s: float) -> None:
        self.notes.append(("lost", type(error).__name__))
        self.dropping = None

    def failed(self, error: PepperstoneError, now_s: float) -> None:
        self.notes.append(("failed", str(error)))

    def output(self, now_s: float) -> bytes:
        data, self.to_send = self.to_send, b""
        return data

    def next_tick_s(self, now_s: float, writable: bool) -> float | None:
        return self.alarm_s

    def drop(self) -> PepperstoneError | None:
        return self.dropping

    def retry_at_s(self) -> float | None:
        return self.retry
