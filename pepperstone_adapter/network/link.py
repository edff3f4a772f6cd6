"""One link: connect over verified TLS, pump a sans-I/O core, reconnect until told to stop.

The core decides everything that is protocol; the link only moves bytes and time between it and the reactor:

* bytes that came in go to `Core.received`, what `Core.output` returns is written;
* `Core.next_tick_s` says when the core wants to be woken by `Core.tick`;
* `Core.drop` says that the link must end now (`Silent`, `RemoteProtocolError`), and the link is aborted, not closed:
  a peer that does not answer would not answer a polite goodbye either;
* a thread that stood still (a suspended machine, a computation that kept the interpreter) has not listened: what came
  meanwhile is read before `Core.tick` tells the time, or a peer would be called silent that was not.

States: idle → connecting → (handshake) → up → waiting → connecting … → stopped. After `stop` the state is stopped
within `STOP_S` in every case. Bytes count as written once they are handed to the transport: from then on nobody
knows whether they left.
"""

import random
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol
from zope.interface import implementer

from pepperstone_adapter.common.backoff import Backoff
from pepperstone_adapter.common.errors import ConnectFailed, LinkLost, PepperstoneError
from pepperstone_adapter.network.promises import Promise
from pepperstone_adapter.network.tls import Endpoint, explain, tls_connect

CONNECT_S = 10.0
STOP_S = 3.0
#: An alarm that rings so much too late rings after one more look at the sockets.
LATE_S = 0.1
#: A link that held this long was a good one: the next wait begins small again.
STABLE_S = 30.0
RECONNECT = Backoff(initial_s=0.5, factor=2.0, max_s=5.0, jitter=0.4)


class Core(Protocol):
    """What a link pumps. Every method gets `now_s`, monotonic seconds."""

    def opened(self, now_s: float) -> None: ...
    def received(self, data: bytes, now_s: float) -> None: ...
    def tick(self, now_s: float) -> None: ...
    def lost(self, error: PepperstoneError, now_s: float) -> None: ...
    def failed(self, error: ConnectFailed, now_s: float) -> None: ...
    def output(self, now_s: float) -> bytes: ...
    def next_tick_s(self, now_s: float, writable: bool) -> float | None:
        """Say when to be woken, or None. Not `writable`: the send buffer is full, so a wish to write is no reason."""
        ...

    def drop(self) -> PepperstoneError | None:
        """Say why the link must end now, or None; asked after every call."""
        ...

    def retry_at_s(self) -> float | None:
        """Say before which time not to connect again; None: never again."""
        ...


class LinkState(StrEnum):
    IDLE = "idle"
    CONNECTING = "connecting"
    UP = "up"
    WAITING = "waiting"
    STOPPED = "stopped"


class Link:
    """Drives one core. Every method runs in the network thread.

    Parameters
    ----------
    reactor
        Anything with `callLater` and `seconds` (Twisted's reactor, or its `task.Clock` in tests).
    connect
        Starts one attempt: takes a protocol factory, returns a Deferred. By default verified TLS to `endpoint`.
    handshake
        Whether the link is up only after a TLS handshake; False for a plain connection (see `loopback`).
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: Endpoint,
        core: Core,
        backoff: Backoff = RECONNECT,
        connect: Callable[[Any], Any] | None = None,
        rng: Callable[[], float] = random.random,
        handshake: bool = True,
    ) -> None:
        self.endpoint = endpoint
        self.state = LinkState.IDLE
        self.attempts = 0  # since the last stable link
        self._reactor = reactor
        self._core = core
        self._backoff = backoff
        self._connect = connect or self._connect_tls
        self._rng = rng
        self._handshake = handshake
        self._wire: _Wire | None = None
        self._attempt: Any = None
        self._tried = False
        self._timers: dict[str, Any] = {}
        self._tick_due_s = 0.0
        self._looked = False  # at the sockets, since an alarm rang late
        self._up_since_s = 0.0
        self._ending: PepperstoneError | None = None
        self._stopping: list[Promise[None]] = []

    def __repr__(self) -> str:
        return f"<Link {self.endpoint} {self.state} attempts={self.attempts}>"

    def start(self) -> None:
        """Begin to connect. Raises `ConfigurationError` for an endpoint that cannot work (its CA file)."""
        if self.state is LinkState.IDLE:
            self._try()

    def pump(self) -> None:
        """Write what the core has to say and set its alarm. Call it after every request made of the core."""
        now_s = self._reactor.seconds()
        if self.state is LinkState.UP and self._wire is not None:
            error = self._core.drop()
            if error is None and not self._wire.paused:
                data = self._core.output(now_s)
                if data:
                    self._wire.write(data)
                error = self._core.drop()
            if error is not None:
                self._end(error)
                return
        writable = self._wire is not None and not self._wire.paused
        when_s = self._core.next_tick_s(now_s, writable)
        self._tick_due_s = now_s if when_s is None else when_s
        if when_s is None or when_s > now_s:
            self._looked = False  # for another alarm than the one that rang late
        self._alarm("tick", None if when_s is None else max(0.0, when_s - now_s), self._tick)

    def cut(self, error: PepperstoneError) -> None:
        """End the present connection and reconnect."""
        if self.state is LinkState.UP:
            self._end(error)

    def stop(self) -> Promise[None]:
        """End the link for good; the promise is kept within `STOP_S`."""
        promise: Promise[None] = Promise()
        if self.state is LinkState.STOPPED and self._wire is None:
            promise.resolve(None)
            return promise
        self._stopping.append(promise)
        self.state = LinkState.STOPPED
        for name in list(self._timers):
            self._alarm(name, None, self._tick)
        if self._attempt is not None:
            self._attempt.cancel()
        if self._wire is None:
            self._stopped()
        else:
            self._wire.transport.unregisterProducer()  # a polite goodbye would wait for the producer for ever
            self._wire.transport.loseConnection()
            self._alarm("stop", STOP_S, self._abort)
        return promise

    # -- attempts ---------------------------------------------------------------------------------------------------

    def _connect_tls(self, factory: Any) -> Any:
        return tls_connect(self._reactor, self.endpoint, CONNECT_S, factory)

    def _try(self) -> None:
        self.state = LinkState.CONNECTING
        try:
            self._attempt = self._connect(Factory.forProtocol(lambda: _Wire(self)))
        except Exception as error:
            if isinstance(error, PepperstoneError) and not self._tried:
                self.state = LinkState.IDLE
                raise  # settings that cannot work are told to whoever starts the link
            self._attempt_failed(error)
            return
        self._tried = True
        self._attempt.addCallbacks(self._dialled, lambda failure: self._attempt_failed(failure.value))

    def _dialled(self, wire: "_Wire") -> None:
        self._attempt = None
        if self.state is LinkState.STOPPED:
            wire.transport.abortConnection()
            return
        if wire is self._wire and self.state is LinkState.CONNECTING:
            self._alarm("handshake", CONNECT_S, self._handshake_late)

    def _attempt_failed(self, error: BaseException) -> None:
        self._attempt = None
        if self.state is LinkState.STOPPED:
            if self._wire is None:
                self._stopped()
            return
        self._core.failed(explain(error, self.endpoint), self._reactor.seconds())
        self._wait()

    def _handshake_late(self) -> None:
        self._end(ConnectFailed(f"{self.endpoint}: no TLS handshake within {CONNECT_S:g} s"))

    def _wait(self) -> None:
        now_s = self._reactor.seconds()
        self._alarm("tick", None, self._tick)
        retry_at_s = self._core.retry_at_s()
        if retry_at_s is None:
            self.state = LinkState.STOPPED
            return
        self.state = LinkState.WAITING
        delay_s = self._backoff.delay_s(self.attempts, self._rng)
        self.attempts += 1
        self._alarm("retry", max(delay_s, retry_at_s - now_s), self._try)
        self.pump()

    # -- the wire's side --------------------------------------------------------------------------------------------

    def wire_made(self, wire: "_Wire") -> None:
        self._wire = wire
        self._ending = None
        if not self._handshake:
            self.wire_ready(wire)

    def wire_ready(self, wire: "_Wire") -> None:
        """TLS is up and verified."""
        if wire is not self._wire or self.state is not LinkState.CONNECTING or self._ending is not None:
            return
        self._alarm("handshake", None, self._tick)
        self.state = LinkState.UP
        self._up_since_s = self._reactor.seconds()
        self._core.opened(self._up_since_s)
        self.pump()

    def wire_data(self, wire: "_Wire", data: bytes) -> None:
        if self.state is LinkState.UP and wire is self._wire:
            self._core.received(data, self._reactor.seconds())
            self.pump()

    def wire_lost(self, wire: "_Wire", reason: BaseException) -> None:
        if wire is not self._wire:
            return
        self._wire = None
        now_s = self._reactor.seconds()
        for name in list(self._timers):
            self._alarm(name, None, self._tick)
        error = self._ending
        if self.state is LinkState.STOPPED:
            if self._up_since_s:
                self._core.lost(LinkLost(f"{self.endpoint}: closed by us"), now_s)
            self._up_since_s = 0.0
            self._stopped()
            return
        if self.state is LinkState.UP:
            if now_s - self._up_since_s >= STABLE_S:
                self.attempts = 0
            self._up_since_s = 0.0
            words = " ".join(str(reason).split()).rstrip(".")
            self._core.lost(error or LinkLost(f"{self.endpoint}: {words}"), now_s)
        else:
            failure = error if isinstance(error, ConnectFailed) else explain(reason, self.endpoint)
            self._core.failed(failure, now_s)
        self._wait()

    # -- small things -----------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now_s = self._reactor.seconds()
        if now_s - self._tick_due_s > LATE_S and not self._looked:
            self._looked = True
            self._alarm("tick", 0.0, self._tick)
            return
        self._looked = False
        self._core.tick(now_s)
        self.pump()

    def _end(self, error: PepperstoneError) -> None:
        self._ending = error
        self._abort()

    def _abort(self) -> None:
        if self._wire is not None:
            self._wire.transport.abortConnection()

    def _stopped(self) -> None:
        self._alarm("stop", None, self._abort)
        waiting, self._stopping = self._stopping, []
        for promise in waiting:
            promise.resolve(None)

    def _alarm(self, name: str, delay_s: float | None, call: Callable[[], None]) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None and timer.active():
            timer.cancel()
        if delay_s is not None:
            self._timers[name] = self._reactor.callLater(delay_s, call)


def _nothing() -> None: ...


@implementer(IHandshakeListener, IPushProducer)
class _Wire(TwistedProtocol):
    """The transport's end of a link: passes what happens to it."""

    transport: Any

    def __init__(self, link: Link) -> None:
        self._link = link
        self.paused = False

    def write(self, data: bytes) -> None:
        """Write, and hand it to the system now: a transport alone waits for the reactor's next turn."""
        socket = getattr(self.transport, "transport", self.transport)  # below TLS, where there is TLS
        # The last write of a closing connection also ends it, by what it returns to the reactor.
        if not isinstance(socket, FileDescriptor) or socket.disconnecting:
            self.transport.write(data)
            return
        # To watch a socket for room, which it has, would wake the thread and take the interpreter from this write.
        socket.startWriting = _nothing  # type: ignore[method-assign]
        try:
            self.transport.write(data)
        finally:
            del socket.startWriting
        if not socket.disconnecting:
            socket.doWrite()  # type: ignore[no-untyped-call]
        # No room; or it failed, which fails again in the reactor's turn; or TLS refused and has asked for the end.
        if socket.dataBuffer or socket.disconnecting:
            socket.startWriting()

    def connectionMade(self) -> None:
        self._link.wire_made(self)
        self.transport.registerProducer(self, True)

    def handshakeCompleted(self) -> None:
        # Chain and host name are verified inside the handshake: a stranger never gets here.
        self._link.wire_ready(self)

    def dataReceived(self, data: bytes) -> None:
        self._link.wire_data(self, data)

    def connectionLost(self, reason: Any = None) -> None:
        self._link.wire_lost(self, reason.value)

    # A full send buffer stops new output, so that what has not been handed over still counts as not written.
    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self._link.pump()

    def stopProducing(self) -> None:
        self.paused = True
