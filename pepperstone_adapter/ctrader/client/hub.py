"""One link of one application in one environment, with every account that uses it. Lives in the network thread.

On each new connection the application authorises itself; then every account recovers on its own (`account`). What the
venue says about the whole connection is decided here: blocked applications are not retried, maintenance is waited
for, garbage from the server drops the link and, the third time within a minute, asks for a person.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from google.protobuf.message import Message

from pepperstone_adapter import openapi
from pepperstone_adapter.common.clock import Clock
from pepperstone_adapter.common.errors import (
    ConnectFailed,
    LinkLost,
    PepperstoneError,
    RemoteProtocolError,
    VenueError,
)
from pepperstone_adapter.ctrader.client.errors import Maintenance, error_of, is_benign, is_permanent
from pepperstone_adapter.ctrader.client.protocol import LinkProtocol, Request, Timings
from pepperstone_adapter.ctrader.client.tokens import Application, Blocking, Credentials, CredentialStore, TokenKeeper
from pepperstone_adapter.network.link import Link
from pepperstone_adapter.network.promises import Promise, spawn
from pepperstone_adapter.openapi import messages as oa

log = logging.getLogger(__name__)
GARBAGE_LIMIT = 3
GARBAGE_WINDOW_S = 60.0
#: An end may be moved forward, or be far away by our clock alone: it is asked for again after so long.
MAINTENANCE_S = 600.0


class Member(Protocol):
    """What a hub tells an account."""

    def link_ready(self) -> None:
        """The application is authorised: authorise and recover."""
        ...

    def link_lost(self, error: PepperstoneError, permanent: bool) -> None: ...
    def link_failed(self, error: ConnectFailed) -> None: ...
    def message(self, message: Message, request: Request | None) -> None: ...
    def notice(self, level: str, text: str, halt: bool = False) -> None: ...
    def flush(self) -> None:
        """A batch of messages is over: hand on what came of it."""
        ...


class Hub:
    """Accounts on one link.

    Parameters
    ----------
    make_link
        Builds the link around the protocol core; given so that tests can put a memory transport below.
    blocking
        Runs a blocking function beside the network thread.
    """

    def __init__(
        self,
        application: Application,
        reactor: Any,
        clock: Clock,
        make_link: Callable[[LinkProtocol], Link],
        blocking: Blocking,
        timings: Timings | None = None,
        prefix: str | None = None,
    ) -> None:
        self.application = application
        self.reactor = reactor
        self.clock = clock
        self.blocking = blocking
        self.ready = False
        self.members: dict[int, Member] = {}
        self._watchers: list[Member] = []  # members without an account id yet
        self._keepers: dict[str, TokenKeeper] = {}  # by profile
        self._garbage: deque[float] = deque(maxlen=GARBAGE_LIMIT)
        self.protocol = LinkProtocol(
            on_message=self._on_message,
            on_open=self._on_open,
            on_lost=self._on_lost,
            on_failed=self._on_failed,
            on_unknown=self._on_unknown,
            on_batch=self._on_batch,
            timings=timings,
            prefix=prefix,
        )
        self.link = make_link(self.protocol)

    def __repr__(self) -> str:
        return f"<Hub {self.link} {'ready' if self.ready else 'not ready'} accounts={len(self.members)}>"

    # -- for accounts -----------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        now: float = self.reactor.seconds()
        return now

    def join(self, member: Member) -> None:
        """Take part: the member hears of the link at once if it is ready."""
        self._watchers.append(member)
        self.link.start()
        if self.ready:
            member.link_ready()

    def keeper(self, store: CredentialStore, credentials: Credentials) -> TokenKeeper:
        """Keeper of a login's tokens, one for all accounts: a refresh is asked for once, and its answer is for all of them.

        Each with its own would wait for the others in a thread, and would use the refresh token a second time.
        """
        keeper = self._keepers.get(store.profile)
        if keeper is None:
            keeper = self._keepers[store.profile] = TokenKeeper(store, credentials, self.clock.now_ns, self.blocking)
        else:
            keeper.read_again(credentials)
        return keeper

    def identify(self, member: Member, account_id: int) -> None:
        """Route the messages of `account_id` to `member`."""
        self.members[account_id] = member

    def leave(self, member: Member) -> int:
        """Stop taking part; return how many members are left."""
        if member in self._watchers:
            self._watchers.remove(member)
        for account_id in [number for number, known in self.members.items() if known is member]:
            del self.members[account_id]
        return len(self._watchers)

    def ask(self, message: Message, **options: Any) -> Request:
        """Queue a request and write what may be written."""
        request = self.protocol.ask(message, self.now_s, **options)
        self.link.pump()
        return request

    def sleep(self, seconds: float) -> Promise[None]:
        promise: Promise[None] = Promise()
        self.reactor.callLater(seconds, promise.resolve, None)
        return promise

    # -- what the link says -----------------------------------------------------------------------------------------

    def _on_open(self) -> None:
        spawn(self._authorise(), lambda _none: None, self._authorisation_failed)

    async def _authorise(self) -> None:
        request = self.ask(
            oa.ApplicationAuthReq(
                clientId=self.application.client_id, clientSecret=self.application.client_secret.reveal()
            )
        )
        try:
            await request.promise
        except VenueError as error:
            if not is_benign(error):
                raise
        self.ready = True
        for member in list(self._watchers):
            member.link_ready()

    def _authorisation_failed(self, error: BaseException) -> None:
        if not isinstance(error, PepperstoneError):
            log.error("application authorisation broke", exc_info=error)
            error = LinkLost(f"application authorisation broke: {type(error).__name__}")
        self.end(error, permanent=is_permanent(error))

    def end(self, error: PepperstoneError, permanent: bool = False) -> None:
        """End the connection; reconnect unless that cannot help."""
        retry_at_s: float | None = None if permanent else 0.0
        if isinstance(error, Maintenance) and error.until_ms:
            wait_s = error.until_ms / 1000 - self.clock.now_ns() / 1e9
            retry_at_s = self.now_s + min(max(0.0, wait_s), MAINTENANCE_S)
        self.protocol.end(error, retry_at_s)
        self.link.pump()

    def _on_lost(self, error: PepperstoneError) -> None:
        self.ready = False
        permanent = self.protocol.retry_at_s() is None
        if isinstance(error, RemoteProtocolError):
            self._garbage.append(self.now_s)
            if len(self._garbage) == GARBAGE_LIMIT and self.now_s - self._garbage[0] <= GARBAGE_WINDOW_S:
                self._notice(
                    "error", f"the server sent garbage {GARBAGE_LIMIT} times within a minute: {error}", halt=True
                )
        for member in list(self._watchers):
            member.link_lost(error, permanent)

    def _on_failed(self, error: ConnectFailed) -> None:
        for member in list(self._watchers):
            member.link_failed(error)

    def _on_unknown(self, payload_type: int) -> None:
        self._notice("info", f"the server sent messages of a type this version does not know ({payload_type}); ignored")

    def _on_batch(self) -> None:
        for member in list(self._watchers):
            member.flush()

    def _on_message(self, message: Message, request: Request | None) -> None:
        if isinstance(message, oa.SpotEvent | oa.ExecutionEvent | oa.DepthEvent):  # the busy ones first
            member = self.members.get(message.ctidTraderAccountId)
            if member is not None:
                member.message(message, request)
        elif isinstance(message, oa.ClientDisconnectEvent):
            blocked = "block" in message.reason.lower()
            self.end(
                LinkLost(f"the venue ended the connection: {message.reason or 'no reason given'}"), permanent=blocked
            )
        elif isinstance(message, oa.AccountsTokenInvalidatedEvent):
            for account_id in message.ctidTraderAccountIds:
                if account_id in self.members:
                    self.members[account_id].message(message, request)
        elif isinstance(message, oa.RefreshTokenRes):
            if request is not None and callable(request.note):
                request.note(message)  # an answer after its asker had given up: the grant must not be lost
        else:
            self._route(message, request)

    def _route(self, message: Message, request: Request | None) -> None:
        account_id = getattr(message, "ctidTraderAccountId", 0)
        if not account_id and request is not None and request.trading:  # an error need not name the account
            account_id = getattr(request.message, "ctidTraderAccountId", 0)
        if account_id:
            member = self.members.get(account_id)
            if member is not None:
                member.message(message, request)
            return
        error = error_of(message)
        if error is None:
            return
        if isinstance(error, Maintenance):
            self.end(error)
        elif is_permanent(error):
            self.end(error, permanent=True)
        else:
            name = openapi.name(openapi.payload_type(message))
            self._notice("warning", f"the venue said, without naming a request ({name}): {error}")

    def _notice(self, level: str, text: str, halt: bool = False) -> None:
        for member in list(self._watchers):
            member.notice(level, text, halt)
