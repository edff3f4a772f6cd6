"""Run the sandbox broker: TLS ports, the OAuth page, the tape, on a thread and an event loop of its own.

`start` returns when the ports are open. Everything the broker does happens on its own thread, away from any client in
the same process: a client that blocks does not stop the broker, and the broker shares no reactor with it. Other
threads reach in by `Sandbox.call`.
"""

import asyncio
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.files import FileLock
from pepperstone_adapter.sandbox.clock import BrokerClock, RunningClock, TestClock
from pepperstone_adapter.sandbox.ctrader_server.connection import Connection
from pepperstone_adapter.sandbox.ctrader_server.tokens import ACCESS_TOKEN, CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from pepperstone_adapter.sandbox.ctrader_server.venue import Venue
from pepperstone_adapter.sandbox.faults import FaultRule
from pepperstone_adapter.sandbox.journal import Journal
from pepperstone_adapter.sandbox.ledger import Ledger, violations
from pepperstone_adapter.sandbox.mt5_terminal.server import PipeServer
from pepperstone_adapter.sandbox.mt5_terminal.terminal import Terminal
from pepperstone_adapter.sandbox.oauth import OAuthPages
from pepperstone_adapter.sandbox.player import play
from pepperstone_adapter.sandbox.settings import SandboxSettings
from pepperstone_adapter.sandbox.source import Prices, prices_for
from pepperstone_adapter.sandbox.tape import TapeTick
from pepperstone_adapter.sandbox.tls import server_context

JOURNAL_NAME = "wire.jsonl"
LOCK_NAME = "sandbox.lock"
STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class Ports:
    demo: int
    live: int
    oauth: int
    mt5: int = 0


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client needs to log in to the sandbox. Fixed words that open nothing real."""

    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET
    access_token: str = ACCESS_TOKEN
    refresh_token: str = REFRESH_TOKEN


class _Link(asyncio.Protocol):
    """One socket; the sink its connection writes to."""

    def __init__(self, venue: Venue, environment: Environment) -> None:
        self._venue = venue
        self._environment = environment
        self._transport: asyncio.Transport | None = None
        self._connection: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connection = self._venue.connect(self._environment, self)

    def data_received(self, data: bytes) -> None:
        if self._connection is not None and not self._connection.closed:
            self._connection.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._connection is not None:
            self._connection.lost()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """A TCP reset: the peer sees an error instead of an orderly end."""
        if self._transport is None:
            return
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _linger(sys.platform))
        self._transport.abort()


class Sandbox:
    """A running broker. Use as a context manager, or `stop` it.

    Attributes
    ----------
    ports, ca_file, credentials
        What a client needs.
    venue, clock
        The broker's inside; touch it on its own thread only (`call`).
    """

    def __init__(
        self, settings: SandboxSettings, clock: BrokerClock | None = None, tape: Iterable[TapeTick] | None = None
    ) -> None:
        self.settings = settings
        terms = settings.symbols.terms()
        self._prices = prices_for(settings, [t.spec for t in terms], clock) if tape is None else Prices(tape)
        self.clock = clock or self._prices.clock or RunningClock()
        ledger = Ledger(terms, [account.terms() for account in settings.accounts], settings.rules())
        path = settings.state_dir / JOURNAL_NAME if settings.journal else None
        self._claim = _claim(settings.state_dir)
        try:
            self.journal = Journal(self.clock.now_ns, path)
            self._context, self.ca_file = server_context(settings.state_dir, settings.host)
        except BaseException:
            self._claim.__exit__(None, None, None)
            raise
        self.credentials = Credentials()
        self.loop = asyncio.new_event_loop()
        self.venue = Venue(settings, self.clock, self.loop, ledger, self.journal)
        self.mt5: PipeServer | None = None
        if settings.mt5 is not None:
            self.mt5 = PipeServer(Terminal(settings.mt5, terms, self.clock, settings.seed))
        self.ports = Ports(0, 0, 0)
        self._servers: list[asyncio.Server] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None  # what ended the tape or the timers, if anything did

    # -- life -----------------------------------------------------------------------------------------------------

    def open(self) -> "Sandbox":
        """Open the ports on a thread of their own; returns when clients can connect. Raises `ConfigurationError`."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="sandbox", daemon=True)
        self._thread.start()
        ready.result()
        return self

    def _run(self, ready: "Future[None]") -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(self._failed)
        try:
            self.loop.run_until_complete(self.listen())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self.loop.close()
            self._claim.__exit__(None, None, None)
            ready.set_exception(error)
            return
        ready.set_result(None)
        self.loop.run_forever()
        self.loop.run_until_complete(self._shut())
        self.loop.close()

    async def listen(self) -> None:
        """Open the ports and start the tape on the running loop."""
        for bar in self._prices.bars:
            self.venue.load_bar(bar)
            if self.mt5 is not None:
                self.mt5.terminal.load_bar(bar)
        host, wanted = self.settings.host, self.settings.ports
        demo = await self._serve(lambda: _Link(self.venue, Environment.DEMO), host, wanted.demo, self._context)
        live = await self._serve(lambda: _Link(self.venue, Environment.LIVE), host, wanted.live, self._context)
        pages = OAuthPages(self.venue)
        try:
            oauth = await asyncio.start_server(pages.serve, host, wanted.oauth, limit=16_384)
        except OSError as error:
            raise _port_taken("oauth", wanted.oauth, error) from error
        self._servers.append(oauth)
        if self.mt5 is not None and self.settings.mt5 is not None:
            await self.mt5.open(self.settings.mt5.port)
        mt5 = self.mt5.port if self.mt5 is not None else 0
        self.ports = Ports(demo, live, int(oauth.sockets[0].getsockname()[1]), mt5)
        self._watch(self._seconds())
        if self._prices.ticks is not None:
            self._watch(play(self._prices.ticks, self._quote, self.clock))

    async def _serve(
        self, factory: Callable[[], asyncio.Protocol], host: str, port: int, context: ssl.SSLContext
    ) -> int:
        try:
            server = await self.loop.create_server(factory, host, port, ssl=context, ssl_handshake_timeout=10)
        except OSError as error:
            raise _port_taken("demo or live", port, error) from error
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def _watch(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self.loop.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.failure = task.exception()

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A bug of ours inside a callback: kept for whoever looks, besides the usual log. Broken links are no bug."""
        error = context.get("exception")
        if error is not None and not isinstance(error, OSError):
            self.failure = error
            loop.default_exception_handler(context)

    async def _seconds(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.venue.second()

    async def _shut(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            server.close()
        if self.mt5 is not None:
            self.mt5.close()
        for connection in tuple(self.venue.connections):
            connection.close("sandbox stopped")
        await asyncio.sleep(0.05)  # let farewells leave
        self.journal.close()
        self._claim.__exit__(None, None, None)

    def stop(self) -> None:
        """Close every link and port; returns within five seconds."""
        if self._thread is not None and self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(STOP_S)

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # -- from other threads -----------------------------------------------------------------------------------------

    def call[T](self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run `function` on the broker's thread and return its result (or raise its error)."""
        if threading.current_thread() is self._thread:
            return function(*args, **kwargs)
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(function(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - belongs to the caller
                done.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return done.result(30)

    @property
    def ledger(self) -> Ledger:
        """The books: what a test judges by. Read them between events, or inside `call`."""
        return self.venue.ledger

    def push(self, symbol: str, bid: Decimal | str, ask: Decimal | str) -> None:
        """A new price at the broker's time of now."""
        digits = self.ledger.symbols[symbol].spec.digits
        points = [int(Decimal(price).scaleb(digits)) for price in (bid, ask)]
        self.call(self._quote, symbol, *points)

    def _quote(self, symbol: str, bid_points: int, ask_points: int, ts_ns: int | None = None) -> None:
        self.venue.push(symbol, bid_points, ask_points, ts_ns)
        if self.mt5 is not None:
            self.mt5.terminal.push(symbol, bid_points, ask_points, ts_ns)

    @property
    def terminal(self) -> Terminal:
        """The MetaTrader terminal; touch it on the broker's thread only (`call`)."""
        if self.mt5 is None:
            raise LookupError("this sandbox has no mt5 section in its settings")
        return self.mt5.terminal

    def advance(self, seconds: float) -> None:
        """Let broker time pass (needs a `TestClock`)."""
        if not isinstance(self.clock, TestClock):
            raise TypeError("this sandbox runs on its own clock; start it with a TestClock to move time by hand")
        clock = self.clock

        def move() -> None:
            clock.advance(seconds)
            self.venue.wake()

        self.call(move)

    def add_fault(self, rule: FaultRule) -> None:
        self.call(self.venue.faults.add, rule)

    def clear_faults(self) -> None:
        self.call(self.venue.faults.clear)
        if self.mt5 is not None:
            self.call(self.mt5.terminal.faults.clear)

    def violations(self) -> list[str]:
        """Broken invariants of the books; empty when they are sound."""
        found = self.call(violations, self.ledger)
        return found + self.call(violations, self.mt5.terminal.ledger) if self.mt5 is not None else found


def start(
    settings: SandboxSettings, *, clock: BrokerClock | None = None, tape: Iterable[TapeTick] | None = None
) -> Sandbox:
    """Start a sandbox broker in this process and return its handle.

    Parameters
    ----------
    clock
        The broker's clock; by default the tape's. A `TestClock` stands still until `Sandbox.advance`.
    tape
        Prices to play instead of the settings' source.
    """
    return Sandbox(settings, clock, tape).open()


def _linger(platform: str) -> bytes:
    """``struct linger`` on, zero seconds: closing sends a reset. Two shorts on Windows, two ints elsewhere."""
    return struct.pack("hh" if platform == "win32" else "ii", 1, 0)


def _claim(state_dir: Path) -> FileLock:
    """Take the folder, or a second sandbox would write its authority over that of the first. Raises `ConfigurationError`."""
    try:
        return FileLock(state_dir / LOCK_NAME, f"{state_dir} (each sandbox needs a state_dir of its own)").__enter__()
    except OSError as error:
        text = f"cannot write in {state_dir} ({error.strerror}); set state_dir to a folder that can be written"
        raise ConfigurationError(text) from error


def _port_taken(name: str, port: int, error: OSError) -> ConfigurationError:
    reason = error.strerror or error
    return ConfigurationError(
        f"ports.{name}: cannot listen on {port} ({reason}); choose another, or 0 for any free one"
    )


def settings_for_tests(state_dir: Path, **changes: Any) -> SandboxSettings:
    """Settings for tests: free ports, no tape, no history, no delays, open around the clock, no limits by default."""
    base: dict[str, Any] = {
        "state_dir": state_dir,
        "ports": {"demo": 0, "live": 0, "oauth": 0},
        "symbols": {"always_open": True},
        "tape": {"source": "none", "history_days": 0},
        "behaviour": {"execution_delay_ms": 0.0},
    }
    for key, value in changes.items():
        base[key] = {**base[key], **value} if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return SandboxSettings.model_validate(base)
