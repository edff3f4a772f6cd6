"""Credentials, and how an access token stays fresh without ever losing the grant.

Theory. An access token lives about thirty days. A refresh token works *once* and gives a new pair; whoever uses it and
does not keep the new pair has lost the grant, and a person must log in again. So:

1. A lock between processes is taken first; what is stored is read again under it. If another process has refreshed
   meanwhile, its pair is taken and nothing is asked.
2. Before the request leaves, the store is told that a refresh is under way (written and flushed). A crash in between
   is then known at the next start, and said, instead of ending in an endless refusal.
3. The new pair is stored and flushed before it is used. One that could not be stored is what the next refresh stores,
   without asking.
4. An answer that comes after we stopped waiting is stored all the same; where we have asked again by then, which uses the
   same token, it is the answer to that as well, and a refusal that comes before it is not believed at once.

A token is due when 80 % of its life is over, or when the venue refuses it.
"""

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pepperstone_adapter.common.errors import (
    AuthenticationFailed,
    CredentialsError,
    PepperstoneError,
    RemoteProtocolError,
    Silent,
    VenueError,
)
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.common.started import command
from pepperstone_adapter.ctrader.constants import DEFAULT_PROFILE
from pepperstone_adapter.network.promises import Promise
from pepperstone_adapter.openapi import messages as oa

NS = 1_000_000_000
DUE_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Application:
    """The application registered at openapi.ctrader.com."""

    client_id: str
    client_secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """One grant. `expires_ns` 0: not known (a token given by hand)."""

    access: Secret
    refresh: Secret = field(default_factory=lambda: Secret(""))
    issued_ns: int = 0
    expires_ns: int = 0

    def due(self, now_ns: int) -> bool:
        """Whether it should be refreshed before it is used again."""
        if not self.expires_ns:
            return False
        return now_ns >= self.issued_ns + DUE_SHARE * (self.expires_ns - self.issued_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Everything that is stored for one profile.

    Attributes
    ----------
    refreshing
        A refresh was begun and its end never recorded: the refresh token may be used up.
    server
        Address of the login server that gave the grant: no other may see it. Empty where that is not known (variables,
        or stored by an older version).
    """

    application: Application
    tokens: Tokens | None = None
    refreshing: bool = False
    server: str = ""


def login_hint(profile: str) -> str:
    """What a person does about a login that is missing, refused or damaged."""
    option = "" if profile == DEFAULT_PROFILE else f" --profile {profile}"
    return f"run `{command()} auth login ctrader{option}`"


class CredentialStore(Protocol):
    """Where credentials of one profile are kept. Every method may block (disk, keyring, key derivation): never call it
    on a loop."""

    profile: str

    @property
    def describe(self) -> str:
        """Where that is, for a person."""
        ...

    def load(self) -> Credentials | None: ...

    def save(self, credentials: Credentials) -> None:
        """Keep `credentials`, on the disk when this returns. Raises `CredentialsError` where it cannot."""
        ...

    def delete(self) -> bool: ...

    def lock(self) -> AbstractContextManager[object]:
        """One process at a time; waits for a while, then raises `CredentialsError`."""
        ...


def renewed(answer: oa.RefreshTokenRes, now_ns: int) -> Tokens:
    """Tokens of a refresh answer. Raises `RemoteProtocolError` for one without both tokens."""
    if not (answer.accessToken and answer.refreshToken):
        raise RemoteProtocolError("the venue answered a token refresh without both tokens")
    expires = now_ns + answer.expiresIn * NS if answer.expiresIn > 0 else 0
    return Tokens(
        access=Secret(answer.accessToken), refresh=Secret(answer.refreshToken), issued_ns=now_ns, expires_ns=expires
    )


type AskRefresh = Callable[[oa.RefreshTokenReq], Coroutine[Any, Any, oa.RefreshTokenRes]]
type Blocking = Callable[[Callable[[], Any]], Promise[Any]]


class TokenKeeper:
    """Holds one profile's tokens in the network thread.

    Parameters
    ----------
    store, credentials
        Where they are kept and what was loaded from there.
    now_ns
        Wall clock.
    blocking
        Runs a blocking function beside the network thread and promises its result.
    """

    def __init__(
        self, store: CredentialStore, credentials: Credentials, now_ns: Callable[[], int], blocking: Blocking
    ) -> None:
        if credentials.tokens is None:
            raise CredentialsError(f"no access token is stored ({store.describe}); {login_hint(store.profile)}")
        self._store = store
        self._credentials = credentials
        self._tokens: Tokens = credentials.tokens
        self._now_ns = now_ns
        self._blocking = blocking
        self._refreshing: list[Promise[Secret]] | None = None
        self._unstored: Tokens | None = None  # a pair that came, perhaps late while another refresh was under way
        self._asking = False  # the refresh under way waits for its answer
        self._given_up = False  # the last refresh was not answered in time, and may be yet

    @property
    def access(self) -> Secret:
        return self._tokens.access

    @property
    def due(self) -> bool:
        return self._tokens.due(self._now_ns())

    def read_again(self, credentials: Credentials) -> None:
        """Take what has just been read from the store: a person may have logged in anew."""
        newer = credentials.tokens is not None and credentials.tokens.issued_ns > self._tokens.issued_ns
        if newer and self._refreshing is None and self._unstored is None:
            self._take(credentials)

    async def refresh(self, refused: Secret, ask: AskRefresh) -> Secret:
        """Return an access token other than `refused`, refreshing it if nobody else has. One refresh at a time.

        Raises
        ------
        AuthenticationFailed, CredentialsError
            The grant is gone or cannot be kept: a person must log in.
        LinkError
            No answer; the answer may still come and is then kept by `adopt`.
        """
        if self._tokens.access != refused:
            return self._tokens.access
        if self._refreshing is not None:
            waiting: Promise[Secret] = Promise()
            self._refreshing.append(waiting)
            return await waiting
        self._refreshing = []
        try:
            token = await self._refresh(ask)
        except BaseException as error:
            others, self._refreshing = self._refreshing, None
            for promise in others:
                promise.reject(error)
            raise
        others, self._refreshing, self._unstored = self._refreshing, None, None
        for promise in others:
            promise.resolve(token)
        return token

    async def _refresh(self, ask: AskRefresh) -> Secret:
        lock = self._store.lock()
        await self._blocking(lock.__enter__)
        try:
            stored = await self._blocking(self._store.load)
            if stored is not None and stored.tokens is not None and stored.tokens.refresh != self._tokens.refresh:
                self._take(stored)  # another process has done it
                return self._tokens.access
            if not self._tokens.refresh:
                raise CredentialsError(
                    "the venue refuses the access token (wrong or expired) and there is no refresh token; "
                    f"{login_hint(self._store.profile)}"
                )
            # A refresh that was begun and never recorded may have used this token up. Only the venue knows, and asking
            # does no harm; but then its refusal has a reason a person should read.
            interrupted = stored is not None and stored.refreshing
            await self._blocking(lambda: self._store.save(replace(self._credentials, refreshing=True)))
            try:
                self._asking = True
                self._unstored = self._unstored or renewed(
                    await ask(oa.RefreshTokenReq(refreshToken=self._tokens.refresh.reveal())), self._now_ns()
                )
            except PepperstoneError as error:
                if self._unstored is None:
                    raise self._refused(error, interrupted) from None
            finally:
                self._asking = False
            await self._keep(self._unstored)
            self._given_up = False
            return self._tokens.access
        finally:
            await self._blocking(lambda: lock.__exit__(None, None, None))

    def _refused(self, error: PepperstoneError, interrupted: bool) -> PepperstoneError:
        """What a refresh that got no pair ends with."""
        given_up, self._given_up = self._given_up, isinstance(error, Silent)
        if not isinstance(error, AuthenticationFailed):
            return error
        if given_up:
            return VenueError(error.code, "a token refresh was refused, and an earlier one is not answered yet")
        why = "an earlier refresh was cut off before its result was stored" if interrupted else error.text
        return AuthenticationFailed(
            error.code, f"the refresh token is used up or was revoked ({why}); {login_hint(self._store.profile)}"
        )

    async def adopt(self, answer: oa.RefreshTokenRes) -> None:
        """Keep the pair of an answer that came after its request had been given up."""
        self._unstored = late = renewed(answer, self._now_ns())
        if self._refreshing is None or self._asking:
            await self._keep(late)  # a refresh that has not asked yet is writing too: it keeps the pair
            if self._refreshing is None:
                self._unstored = None

    async def _keep(self, tokens: Tokens) -> None:
        fresh = replace(self._credentials, tokens=tokens, refreshing=False)
        await self._blocking(lambda: self._store.save(fresh))
        self._take(fresh)

    def _take(self, credentials: Credentials) -> None:
        if credentials.tokens is not None:
            self._credentials = credentials
            self._tokens = credentials.tokens
