"""A look at a real server, read-only: what only it can tell about itself, beside what this program assumes.

The documents of the protocol leave gaps, and the sandbox fills them with what was recorded or with a guess. A probe
signs in to one account, asks everything that can be asked without changing anything, watches prices for a while, and
reports each answer next to the assumption. It holds no code that trades: requests that are not in `READS` are refused
before they are sent.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from google.protobuf.message import Message

from pepperstone_adapter import openapi
from pepperstone_adapter.common.clock import SystemClock
from pepperstone_adapter.common.errors import ConnectFailed, LinkLost, LocalProtocolError, PepperstoneError, VenueError
from pepperstone_adapter.ctrader.client.desk import Desk, Wanted
from pepperstone_adapter.ctrader.client.hub import Hub
from pepperstone_adapter.ctrader.client.protocol import LinkProtocol, Request, Timings
from pepperstone_adapter.ctrader.client.recording import unknown_fields
from pepperstone_adapter.ctrader.client.signin import SignIn
from pepperstone_adapter.ctrader.client.tokens import Credentials, CredentialStore, TokenKeeper
from pepperstone_adapter.network.link import Link
from pepperstone_adapter.network.promises import Promise, in_pool, spawn
from pepperstone_adapter.network.thread import NetworkThread
from pepperstone_adapter.network.tls import CertificateRefused, Endpoint
from pepperstone_adapter.openapi import PayloadType
from pepperstone_adapter.openapi import messages as oa

#: A link that asks nothing for so long: the server's own heartbeat must come first.
CLOSE_TIMEOUT_S = 5.0
QUIET = Timings(probe_s=70.0, silent_s=100.0)
READS = frozenset(
    {
        PayloadType.VERSION_REQ, PayloadType.GET_ACCOUNT_LIST_BY_ACCESS_TOKEN_REQ, PayloadType.TRADER_REQ,
        PayloadType.ASSET_LIST_REQ, PayloadType.ASSET_CLASS_LIST_REQ, PayloadType.SYMBOL_CATEGORY_LIST_REQ,
        PayloadType.SYMBOLS_LIST_REQ, PayloadType.SYMBOL_BY_ID_REQ, PayloadType.RECONCILE_REQ,
        PayloadType.SUBSCRIBE_SPOTS_REQ, PayloadType.UNSUBSCRIBE_SPOTS_REQ, PayloadType.SUBSCRIBE_DEPTH_QUOTES_REQ,
        PayloadType.UNSUBSCRIBE_DEPTH_QUOTES_REQ, PayloadType.SUBSCRIBE_LIVE_TRENDBAR_REQ,
        PayloadType.UNSUBSCRIBE_LIVE_TRENDBAR_REQ, PayloadType.GET_TRENDBARS_REQ, PayloadType.GET_TICK_DATA_REQ,
        PayloadType.DEAL_LIST_REQ, PayloadType.ORDER_LIST_REQ, PayloadType.ORDER_DETAILS_REQ,
        PayloadType.EXPECTED_MARGIN_REQ, PayloadType.GET_DYNAMIC_LEVERAGE_BY_ID_REQ,
        PayloadType.GET_POSITION_UNREALIZED_PNL_REQ, PayloadType.MARGIN_CALL_LIST_REQ,
        PayloadType.CASH_FLOW_HISTORY_LIST_REQ,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing the server told.

    Attributes
    ----------
    assumed
        What this program builds on; empty where it builds on nothing.
    as_assumed
        None where there is no assumption, or the server gave no answer to judge.
    """

    topic: str
    question: str
    seen: str
    assumed: str = ""
    as_assumed: bool | None = None


@dataclass(slots=True)
class Heard:
    """What came in while the probe ran."""

    spots: list[tuple[float, oa.SpotEvent]] = field(default_factory=list)
    depth: list[tuple[float, oa.DepthEvent]] = field(default_factory=list)
    heartbeat_gaps_s: list[float] = field(default_factory=list)
    unknown_fields: Counter[tuple[str, int]] = field(default_factory=Counter)
    unknown_types: Counter[int] = field(default_factory=Counter)
    other: Counter[str] = field(default_factory=Counter)


type Check = Callable[["Probe"], Awaitable[Sequence[Finding]]]


class Probe(Desk):
    """Runs checks on one account of a hub. Lives in the network thread.

    Attributes
    ----------
    done
        The findings of all checks, or why there are none.
    observe_s
        How long prices are watched, and how long the link is left idle afterwards.
    """

    def __init__(
        self, hub: Hub, wanted: Wanted, tokens: TokenKeeper, checks: Sequence[tuple[str, Check]], observe_s: float
    ) -> None:
        super().__init__(hub, wanted, lambda _events: None)
        self.signed: Promise[None] = Promise()
        self.done: Promise[list[Finding]] = Promise()
        self.last_failure: PepperstoneError | None = None
        self.heard = Heard()
        self.symbols_seen: dict[str, tuple[oa.LightSymbol, oa.Symbol | None]] = {}  # by name
        self.observe_s = observe_s
        self._checks = checks
        self._signin = SignIn(self, tokens, lambda account_id: hub.identify(self, account_id))
        self._started = False
        self._last_word_s = 0.0

    # -- what checks use ------------------------------------------------------------------------------------------

    async def get(self, message: Message) -> Any:
        """Ask for something that changes nothing, for this account. Raises `VenueError` where the server says no."""
        kind = openapi.payload_type(message)
        if kind not in READS:
            raise LocalProtocolError(f"a probe does not send {openapi.name(kind)}")
        if any(f.name == "ctidTraderAccountId" for f in message.DESCRIPTOR.fields):
            message.ctidTraderAccountId = self.account_id  # type: ignore[attr-defined]
        return await self.read(message, Message)

    async def refusal(self, message: Message) -> str:
        """The server's code for a request it should refuse, or ``accepted``."""
        try:
            await self.get(message)
        except VenueError as error:
            return error.code
        return "accepted"

    @property
    def clock_s(self) -> float:
        return time.time()

    # -- the run --------------------------------------------------------------------------------------------------

    async def _run(self) -> list[Finding]:
        await self._signin.authorise()
        self.signed.resolve(None)
        findings: list[Finding] = []
        for topic, check in self._checks:
            try:
                findings += await check(self)
            except PepperstoneError as error:
                if not self.hub.ready:
                    raise
                findings.append(Finding(topic=topic, question="the whole check", seen=f"failed: {error}"))
        return findings

    def tapped(self, ours: bool, decoded: openapi.Decoded) -> None:
        """See every message of the link (`LinkProtocol.tap`)."""
        now_s = self.hub.now_s
        if not ours:
            if decoded.message is None:
                self.heard.unknown_types[decoded.payload_type] += 1
            else:
                self.heard.unknown_fields.update(unknown_fields(decoded.message))
            if decoded.payload_type == PayloadType.HEARTBEAT_EVENT and self._last_word_s:
                self.heard.heartbeat_gaps_s.append(now_s - self._last_word_s)
        self._last_word_s = now_s

    # -- the hub's side -------------------------------------------------------------------------------------------

    def link_ready(self) -> None:
        if not self._started:
            self._started = True
            spawn(self._run(), self.done.resolve, self._fail)

    def link_lost(self, error: PepperstoneError, permanent: bool) -> None:  # noqa: ARG002 - the hub's interface
        self._fail(error)

    def link_failed(self, error: ConnectFailed) -> None:
        self.last_failure = error
        if isinstance(error, CertificateRefused):
            self._fail(error)

    def shut(self, reason: str) -> None:
        self._fail(LinkLost(reason))

    def notice(self, level: str, text: str, halt: bool = False) -> None:  # noqa: ARG002 - the hub's interface
        self.heard.other[f"{level}: {text}"] += 1

    def _fail(self, error: BaseException) -> None:
        for promise in (self.signed, self.done):
            if not promise.settled:
                promise.reject(error)

    def message(self, message: Message, request: Request | None) -> None:  # noqa: ARG002 - the hub's interface
        if isinstance(message, oa.SpotEvent):
            self.heard.spots.append((self.clock_s, message))
        elif isinstance(message, oa.DepthEvent):
            self.heard.depth.append((self.clock_s, message))
        else:
            self.heard.other[message.DESCRIPTOR.name] += 1


def run_probe(
    wanted: Wanted,
    endpoint: Endpoint,
    held: tuple[CredentialStore, Credentials],
    checks: Sequence[tuple[str, Check]],
    *,
    observe_s: float,
    tap: Callable[[bool, openapi.Decoded], None] = lambda _ours, _decoded: None,
    connect_timeout_s: float = 30.0,
) -> list[Finding]:
    """Run `checks` on a connection of its own; blocks until they are done.

    Parameters
    ----------
    observe_s
        How long prices are watched, and again how long the link is left idle.
    tap
        Sees every message, for a recording.

    Raises
    ------
    LinkError, VenueError, ConfigurationError
        No connection, or the account cannot be signed in to.
    """
    network = NetworkThread.shared()
    store, credentials = held
    clock = SystemClock()

    def begin() -> Probe:
        def make_link(core: LinkProtocol) -> Link:
            return Link(network.reactor, endpoint, core)

        hub = Hub(
            credentials.application, network.reactor, clock, make_link, partial(in_pool, network.reactor), timings=QUIET
        )
        probe = Probe(hub, wanted, hub.keeper(store, credentials), checks, observe_s)

        def see(ours: bool, decoded: openapi.Decoded) -> None:
            probe.tapped(ours, decoded)
            tap(ours, decoded)

        hub.protocol.tap = see
        hub.join(probe)
        return probe

    probe = network.run(begin).result(connect_timeout_s)
    try:
        signed: Future[None] = network.run(lambda: probe.signed)
        try:
            signed.result(connect_timeout_s)
        except TimeoutError:
            raise ConnectFailed(
                f"not connected to {endpoint} within {connect_timeout_s:g} s: "
                f"{probe.last_failure or 'the server does not answer'}"
            ) from None
        done: Future[list[Finding]] = network.run(lambda: probe.done)
        return done.result()
    finally:
        stopped: Future[None] = network.run(lambda: probe.hub.link.stop())
        stopped.result(CLOSE_TIMEOUT_S)
