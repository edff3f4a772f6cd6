"""A cTrader session for tests: a store in memory, a recorder that waits for conditions, a sandbox to talk to."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.events import BrokerEvent, OrderChanged
from pepperstone_adapter.broker.session import BrokerSession
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.desk import Wanted
from pepperstone_adapter.ctrader.client.session import CTraderSession
from pepperstone_adapter.ctrader.client.tokens import Application, Credentials, Tokens
from pepperstone_adapter.network.tls import Endpoint
from pepperstone_adapter.sandbox.clock import BrokerClock
from pepperstone_adapter.sandbox.server import Sandbox, settings_for_tests, start

WAIT_S = 45.0
ACCOUNT = {"id": 1001, "login": 5001}


class MemoryStore:
    """Keeps credentials; `saved` is every state it was ever told to keep."""

    describe = "memory"

    def __init__(self, credentials: Credentials | None, profile: str = "default") -> None:
        self.profile = profile
        self.credentials = credentials
        self.saved: list[Credentials] = []
        self._lock = threading.Lock()

    def load(self) -> Credentials | None:
        return self.credentials

    def save(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.saved.append(credentials)

    def delete(self) -> bool:
        gone, self.credentials = self.credentials is not None, None
        return gone

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """As real stores have it: who finds its token refused while another refreshes it waits for the new one."""
        assert self._lock.acquire(timeout=WAIT_S), "the store stayed locked"
        try:
            yield
        finally:
            self._lock.release()


class Recorder:
    """Takes a session's events; a test waits until they satisfy it."""

    def __init__(self) -> None:
        self.events: list[BrokerEvent] = []
        self._changed = asyncio.Event()

    def __call__(self, events: Sequence[BrokerEvent]) -> None:
        self.events.extend(events)
        self._changed.set()

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def changes(self, client_order_id: str | None = None) -> list[str]:
        return [
            str(event.change)
            for event in self.of(OrderChanged)
            if client_order_id is None or event.order.client_order_id == client_order_id
        ]

    async def until(self, condition: Callable[[], Any], timeout_s: float = WAIT_S) -> None:
        async def wait() -> None:
            while not condition():
                self._changed.clear()
                await self._changed.wait()

        try:
            await asyncio.wait_for(wait(), timeout_s)
        except TimeoutError:
            raise AssertionError(f"not reached in {timeout_s} s; events: {self.events[-10:]}") from None


def sandbox(state_dir: Path, clock: BrokerClock | None = None, **changes: Any) -> Sandbox:
    return start(settings_for_tests(state_dir, **{"accounts": [ACCOUNT], **changes}), clock=clock)


def credentials_of(broker: Sandbox, **tokens: Any) -> Credentials:
    known = broker.credentials
    pair = {"access": Secret(known.access_token), "refresh": Secret(known.refresh_token), **tokens}
    return Credentials(application=Application(known.client_id, Secret(known.client_secret)), tokens=Tokens(**pair))


def session_of(
    broker: Sandbox,
    login: int = 5001,
    store: MemoryStore | None = None,
    environment: Environment = Environment.SANDBOX,
    port: int | None = None,
    **options: Any,
) -> CTraderSession:
    kept = store or MemoryStore(credentials_of(broker))

    def load() -> tuple[MemoryStore, Credentials]:
        credentials = kept.load()
        assert credentials is not None
        return kept, credentials

    endpoint = Endpoint(host="localhost", port=port or broker.ports.demo, ca_file=broker.ca_file)
    return CTraderSession(Wanted(account_number=str(login), environment=environment), endpoint, load, **options)


@contextlib.asynccontextmanager
async def recorded[S: BrokerSession](session: S) -> AsyncIterator[tuple[S, Recorder]]:
    """A session of any venue, connected and closed again, and what it told."""
    recorder = Recorder()
    await session.connect(recorder)
    try:
        yield session, recorder
    finally:
        await session.close()


def connected(broker: Sandbox, **options: Any) -> AbstractAsyncContextManager[tuple[CTraderSession, Recorder]]:
    return recorded(session_of(broker, **options))


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 60))
