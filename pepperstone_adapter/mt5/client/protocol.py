"""The client's end of a gateway link as a sans-I/O core: bytes in, bytes and events out, `now_s` given.

States: down → greeting (our nonce and proof are out) → up. Only in *up* do requests go out; before that they are
refused at once, so a caller always knows that nothing was written. When the link is lost, a read in flight is
`LinkLost`; an order in flight is `OutcomeUnknown`, and after the next *up* its key can be asked for, because the
gateway keeps every answer on disk.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pepperstone_adapter.common.errors import (
    AuthenticationFailed,
    ConnectFailed,
    LinkLost,
    OutcomeUnknown,
    PepperstoneError,
    RemoteProtocolError,
    Silent,
    VenueError,
)
from pepperstone_adapter.mt5.client.errors import call_error
from pepperstone_adapter.mt5.gateway.wire import PROTOCOL, Decoder, Message, WireError, encode, proof, proved

PING_S: Final = 5.0
SILENT_S: Final = 15.0
GREETING_S: Final = 10.0

type Answered = Callable[[Any], None]
type Failed = Callable[[PepperstoneError], None]


@dataclass(frozen=True, slots=True)
class GatewayUp:
    """The link is up; `resumed` means no event was missed, `terminal` whether a terminal is attached right now."""

    resumed: bool
    terminal: bool


@dataclass(frozen=True, slots=True)
class GatewayDown:
    reason: str
    permanent: bool = False


type GatewayNews = GatewayUp | GatewayDown | Message


def kind_of(news: GatewayNews) -> str | None:
    """Of an event of the gateway; None for a change of the link."""
    return news["k"] if isinstance(news, dict) else None


@dataclass(slots=True)
class _Waiting:
    fn: str
    order: bool
    done: Answered
    failed: Failed


class GatewayProtocol:
    """Drives one link; see `network.link.Core` for the contract.

    Parameters
    ----------
    token
        Shared secret; proves both sides to each other and is never sent.
    on_news
        Gets link changes and event maps, in order.
    nonce
        Source of 32 random bytes, given in tests.
    """

    def __init__(
        self,
        token: bytes,
        name: str,
        on_news: Callable[[Sequence[GatewayNews]], None],
        nonce: Callable[[], bytes] = lambda: os.urandom(32),
    ) -> None:
        self._token = token
        self._name = name
        self._on_news = on_news
        self._nonce = nonce
        self._decoder = Decoder()
        self._out = bytearray()
        self._up = False
        self._nonces: tuple[bytes, bytes] | None = None
        self._epoch: str | None = None
        self._seq = 0
        self._heard_s = self._sent_s = self._opened_s = 0.0
        self._drop: PepperstoneError | None = None
        self._permanent: PepperstoneError | None = None
        self.no_link: ConnectFailed | None = None  # why the last attempt to connect failed
        self._waiting: dict[int, _Waiting] = {}
        self._number = 0

    @property
    def up(self) -> bool:
        return self._up

    @property
    def fault(self) -> PepperstoneError | None:
        """Why connecting again cannot help; None while it can."""
        return self._permanent

    def request(
        self, fn: str, args: list[Any], key: str | None, done: Answered, failed: Failed, login: int | None = None
    ) -> None:
        """Ask for one call; exactly one of the callbacks follows, perhaps at once. An order has a key; it and the lists of
        an account are for `login`."""
        if not self._up:
            failed(LinkLost(f"{fn}: no link to the gateway; nothing was sent"))
            return
        self._number += 1
        self._waiting[self._number] = _Waiting(fn, fn == "order_send", done, failed)
        message: Message = {"t": "req", "id": self._number, "fn": fn, "args": args}
        more = {name: value for name, value in (("key", key), ("login", login)) if value is not None}
        self._send(message | more)

    # -- the core's contract ------------------------------------------------------------------------------------------

    def opened(self, now_s: float) -> None:
        self._decoder = Decoder()
        self._out.clear()
        self._drop = None
        self._nonces = None
        self._heard_s = self._sent_s = self._opened_s = now_s

    def received(self, data: bytes, now_s: float) -> None:
        self._heard_s = now_s
        news: list[GatewayNews] = []
        try:
            for message in self._decoder.feed(data):
                if message["t"] == "rep" and news:  # what came before an answer is told before it
                    self._on_news(news)
                    news = []
                self._handle(message, news)
        except WireError as error:
            self._drop = RemoteProtocolError(f"gateway: {error}")
        except PepperstoneError as error:
            self._drop = error
        if news:
            self._on_news(news)

    def tick(self, now_s: float) -> None:
        if not self._opened_s:
            return
        if not self._up and now_s - self._opened_s >= GREETING_S:
            self._drop = Silent(f"gateway: no greeting within {GREETING_S:g} s; is this port a gateway's?")
        elif now_s - self._heard_s >= SILENT_S:
            self._drop = Silent(f"gateway: nothing heard for {SILENT_S:g} s")
        elif self._up and now_s - self._sent_s >= PING_S:
            self._send({"t": "ping"})

    def lost(self, error: PepperstoneError, now_s: float) -> None:  # noqa: ARG002 - the contract's
        self._opened_s = 0.0
        was_up, self._up = self._up, False
        waiting, self._waiting = self._waiting, {}
        for request in waiting.values():
            text = f"{request.fn}: {error}"
            request.failed(OutcomeUnknown(text) if request.order else LinkLost(text))
        if was_up or self._permanent is not None:
            self._on_news([GatewayDown(str(error), self._permanent is not None)])

    def failed(self, error: ConnectFailed, now_s: float) -> None:  # noqa: ARG002 - the contract's
        self.no_link = error
        self._on_news([GatewayDown(str(error))])

    def output(self, now_s: float) -> bytes:
        if not self._out:
            return b""
        self._sent_s = now_s
        data = bytes(self._out)
        self._out.clear()
        return data

    def next_tick_s(self, now_s: float, writable: bool) -> float | None:  # noqa: ARG002 - the contract's
        if not self._opened_s:
            return None
        if not self._up:
            return self._opened_s + GREETING_S
        return min(self._heard_s + SILENT_S, self._sent_s + PING_S)

    def drop(self) -> PepperstoneError | None:
        return self._drop

    def retry_at_s(self) -> float | None:
        return None if self._permanent is not None else 0.0

    # -- messages -----------------------------------------------------------------------------------------------------

    def _send(self, message: Message) -> None:
        self._out += encode(message)

    def _handle(self, message: Message, news: list[GatewayNews]) -> None:
        try:
            self._dispatch(message, news)
        except (KeyError, TypeError, ValueError) as error:
            raise RemoteProtocolError(
                f"gateway: a {message['t']} message that is not of protocol {PROTOCOL} ({type(error).__name__}: {error}); "
                "use one version on both sides"
            ) from None

    def _dispatch(self, message: Message, news: list[GatewayNews]) -> None:
        match message["t"]:
            case "hello":
                self._greet(message)
            case "welcome":
                self._welcome(message, news)
            case "refused":
                self._permanent = AuthenticationFailed(
                    str(message.get("code")),
                    f"the gateway refused: {message.get('text')}; check the token on both sides",
                )
                raise self._permanent
            case "ev" if self._up:
                self._event(message, news)
            case "rep" if self._up:
                self._reply(message)
            case "ping":
                self._send({"t": "pong"})
            case "pong":
                pass
            case kind:
                raise RemoteProtocolError(f"gateway: unexpected message {kind!r}")

    def _greet(self, hello: Message) -> None:
        theirs = hello.get("nonce")
        if hello.get("proto") != PROTOCOL or not (isinstance(theirs, bytes) and len(theirs) == 32):
            self._permanent = RemoteProtocolError(
                f"the gateway speaks protocol {hello.get('proto')}, we {PROTOCOL}; use one version on both sides"
            )
            raise self._permanent
        ours = self._nonce()
        self._nonces = (ours, theirs)
        self._send(
            {
                "t": "auth",
                "proto": PROTOCOL,
                "nonce": ours,
                "mac": proof(self._token, "client", ours, theirs),
                "name": self._name,
                "resume": [self._epoch, self._seq] if self._epoch else None,
            }
        )

    def _welcome(self, message: Message, news: list[GatewayNews]) -> None:
        if self._nonces is None or not proved(
            self._token, "gateway", self._nonces[1], self._nonces[0], message.get("mac")
        ):
            self._permanent = AuthenticationFailed("token", "whatever answers on this port does not know the token")
            raise self._permanent
        resumed, epoch, seq = bool(message["resumed"]), str(message["epoch"]), int(message["seq"])
        self._up, self._epoch = True, epoch
        if not resumed:
            self._seq = seq
        news.append(GatewayUp(resumed, bool(message.get("up"))))

    def _event(self, message: Message, news: list[GatewayNews]) -> None:
        seq = message["seq"]
        if seq <= self._seq:
            return
        if seq != self._seq + 1:
            raise RemoteProtocolError(f"gateway: event {seq} came after {self._seq}")
        events = message["events"]
        if not all(isinstance(event, dict) and isinstance(event.get("k"), str) for event in events):
            raise ValueError("an event without its kind")
        self._seq = seq
        news.extend(events)

    def _reply(self, message: Message) -> None:
        # All is read before the request counts as answered: one whose answer cannot be read is settled by the lost link.
        number, outcome, data, (code, text) = message["id"], message["outcome"], message["data"], message["error"]
        if not isinstance(code, int):
            raise ValueError(f"error code {code!r}")
        request = self._waiting.pop(number, None)
        if request is None:
            return
        match outcome:
            case "answered" if data is None or (data is False and code < 0):
                request.failed(call_error(request.fn, code, text))
            case "answered":
                request.done(data)
            case "unknown":
                request.failed(OutcomeUnknown(f"{request.fn}: the terminal died with the request"))
            case "lost":
                request.failed(LinkLost(f"{request.fn}: the terminal went away before it answered"))
            case "not_sent":
                request.failed(LinkLost(f"{request.fn}: {text}; nothing was sent"))
            case _ if request.order and outcome != "refused":  # it ran, or nobody knows
                request.failed(OutcomeUnknown(f"{request.fn}: {outcome}: {text}"))
            case _:
                request.failed(VenueError(str(outcome), text))
