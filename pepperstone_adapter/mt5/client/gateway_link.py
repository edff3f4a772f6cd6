"""A gateway as awaitable calls on the node's loop; the socket lives in the network thread."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pepperstone_adapter.common.backoff import Backoff
from pepperstone_adapter.common.errors import ConfigurationError, ConnectFailed, LinkLost, PepperstoneError
from pepperstone_adapter.mt5.client.protocol import GatewayDown, GatewayNews, GatewayProtocol, GatewayUp
from pepperstone_adapter.mt5.gateway.wire import unpack_array
from pepperstone_adapter.network.link import CONNECT_S, RECONNECT, Link
from pepperstone_adapter.network.loopback import is_loopback, loopback_connect
from pepperstone_adapter.network.mailbox import Mailbox
from pepperstone_adapter.network.thread import NetworkThread
from pepperstone_adapter.network.tls import CertificateRefused, ConnectRefused, Endpoint

REFUSED_S: Final = 5.0  # a gateway that is being started listens sooner
CLOSE_S: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAddress:
    """Where a gateway listens and how it is trusted.

    Attributes
    ----------
    ca_file
        Turns TLS on: the PEM file of the authority that signed the gateway's certificate. Needed for every address but
        loopback.
    tls
        TLS against the system's authorities.
    token
        The shared secret; empty for a loopback gateway without one.
    name
        Who we are in the gateway's log; the link adds what tells two nodes of one account apart.
    """

    host: str = "127.0.0.1"
    port: int = 18_815
    ca_file: Path | None = None
    tls: bool = False
    token: str = field(default="", repr=False)
    name: str = "pepperstone"

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and not (self.ca_file or self.tls):
            raise ConfigurationError(f"gateway {self.host}: another machine is reached by TLS only; set ca_file or tls")


class GatewayLink:
    """Calls to one gateway. Made on the node's loop; every callback runs there.

    Parameters
    ----------
    on_news
        Gets link changes and events in order, in batches.
    reconnect
        Pauses between attempts.
    """

    def __init__(
        self,
        address: GatewayAddress,
        on_news: Callable[[Sequence[GatewayNews]], None],
        reconnect: Backoff = RECONNECT,
    ) -> None:
        self._address = address
        self._on_news = on_news
        self._loop = asyncio.get_running_loop()
        self._thread = NetworkThread.shared()
        self._mailbox: Mailbox[GatewayNews] = Mailbox(self._loop, self._deliver)
        name = f"{address.name}-{secrets.token_hex(4)}"  # the same over reconnects: subscriptions are kept by it
        self._protocol = GatewayProtocol(address.token.encode(), name, self._mailbox.post)
        endpoint = Endpoint(host=address.host, port=address.port, ca_file=address.ca_file)
        secure = self._secure = address.tls or address.ca_file is not None
        reactor = self._thread.reactor
        connect = None if secure else loopback_connect(reactor, endpoint, CONNECT_S)
        self._link = Link(reactor, endpoint, self._protocol, backoff=reconnect, connect=connect, handshake=secure)
        self._first: asyncio.Future[GatewayUp] | None = None
        self._opened_s = 0.0

    async def open(self, timeout_s: float) -> GatewayUp:
        """Connect and prove the token on both sides.

        Raises
        ------
        AuthenticationFailed
            Wrong token on either side.
        ConfigurationError
            The `ca_file` cannot be used.
        ConnectFailed
            Not up within `timeout_s`, nothing listening there for `REFUSED_S`, or a certificate that is not trusted.
        """
        self._first = self._loop.create_future()
        self._opened_s = self._loop.time()
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.wrap_future(self._thread.run(self._link.start))
                return await self._first
        except TimeoutError:
            plain = "" if self._secure else " to plain words (one with a certificate wants ca_file in the settings)"
            raise self._no_gateway(f"did not answer within {timeout_s:g} s{plain}") from None
        finally:
            self._first = None

    def _no_gateway(self, what: str) -> ConnectFailed:
        where, failure = f"{self._address.host}:{self._address.port}", self._protocol.no_link
        if isinstance(failure, ConnectRefused):
            what = f"nothing listens on {where}; start `pepperstone mt5-gateway` beside the terminal, or correct the account's"
            return ConnectFailed(f"{what} host and port")
        why = f" ({failure})" if failure is not None else ""
        return ConnectFailed(f"gateway {where} {what}{why}; is `pepperstone mt5-gateway` running beside the terminal?")

    def _hopeless(self) -> ConnectFailed | None:
        """Why waiting for the first connection any longer is in vain."""
        failure = self._protocol.no_link
        if isinstance(failure, ConnectRefused) and self._loop.time() - self._opened_s >= REFUSED_S:
            return self._no_gateway("")
        return failure if isinstance(failure, CertificateRefused) else None

    async def close(self) -> None:
        """End the link in any state."""
        self._mailbox.close()
        ending: Future[None] = self._thread.run(self._link.stop)
        stopped = asyncio.wrap_future(ending)
        await asyncio.wait([stopped], timeout=CLOSE_S)

    async def call(self, fn: str, *args: Any, key: str | None = None, login: int | None = None) -> Any:
        """The plain result of one call; arrays as numpy. An order has a key and names the account it is for.

        Raises
        ------
        LinkLost
            Not written, or a read whose answer was lost.
        OutcomeUnknown
            An order was written and not answered.
        VenueError
            The terminal said no.
        """
        future: asyncio.Future[Any] = self._loop.create_future()

        def settle(value: Any, error: PepperstoneError | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

        def to_loop(value: Any, error: PepperstoneError | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(settle, value, error)

        def send() -> None:
            self._protocol.request(
                fn, list(args), key, lambda value: to_loop(value, None), lambda error: to_loop(None, error), login
            )
            self._link.pump()

        if not self._thread.alive:
            raise LinkLost(f"{fn}: the network thread has ended; nothing was sent")
        self._thread.call(send)
        result = await future
        return unpack_array(result) if isinstance(result, dict) and "nd" in result else result

    def _deliver(self, batch: list[GatewayNews]) -> None:
        first = self._first
        if first is not None and not first.done():
            for item in batch:
                if isinstance(item, GatewayUp):
                    first.set_result(item)
                    break
                if isinstance(item, GatewayDown) and item.permanent:
                    first.set_exception(self._protocol.fault or ConnectFailed(item.reason))
                    break
                if (hopeless := self._hopeless()) is not None:
                    first.set_exception(hopeless)
                    break
        self._on_news(batch)
