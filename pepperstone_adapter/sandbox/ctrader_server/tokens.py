"""Grants: what a person allowed an application to do, and the two tokens that stand for it.

A refresh token is single use: refreshing turns both tokens over, and the old ones are refused from then on. An
authorisation code lives for a minute. Token texts are made from the seed, so a run repeats; they guard nothing real.
"""

import hashlib
from dataclasses import dataclass

NS = 1_000_000_000

#: What the sandbox accepts out of the box. They open nothing but a simulated broker on this machine.
CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105
ACCESS_TOKEN = "sandbox-access"  # noqa: S105
REFRESH_TOKEN = "sandbox-refresh"  # noqa: S105
VIEW_TOKEN = "sandbox-view"  # noqa: S105 - a grant that may look and not trade


@dataclass(slots=True)
class Grant:
    """One authorisation. `expires_ns` is of the access token; `accounts` may be read or traded with it."""

    access: str
    refresh: str
    expires_ns: int
    accounts: tuple[int, ...]
    may_trade: bool = True


class Tokens:
    """
    Parameters
    ----------
    seed
        Makes token texts repeatable.
    accounts
        What every grant covers.
    access_lifetime_s, code_lifetime_s
        Lifetimes of an access token and of an authorisation code.
    single_use
        A refresh token is dead once it was used.
    """

    def __init__(
        self,
        seed: int,
        accounts: tuple[int, ...],
        access_lifetime_s: int,
        code_lifetime_s: int,
        now_ns: int,
        *,
        single_use: bool = True,
    ) -> None:
        self._seed = seed
        self._single_use = single_use
        self._accounts = accounts
        self._access_ns = access_lifetime_s * NS
        self._code_ns = code_lifetime_s * NS
        self._count = 0
        self._codes: dict[str, tuple[int, str, bool]] = {}
        self._by_access: dict[str, Grant] = {}
        self._by_refresh: dict[str, Grant] = {}
        self._keep(Grant(ACCESS_TOKEN, REFRESH_TOKEN, now_ns + self._access_ns, accounts))
        self._keep(Grant(VIEW_TOKEN, VIEW_TOKEN + "-refresh", now_ns + self._access_ns, accounts, may_trade=False))

    @property
    def access_lifetime_s(self) -> int:
        return self._access_ns // NS

    def grant(self, access: str) -> Grant | None:
        """The grant behind an access token, expired or not; None for a token that is unknown or was turned over."""
        return self._by_access.get(access)

    def issue_code(self, redirect_uri: str, now_ns: int, *, may_trade: bool = True) -> str:
        code = self._text("code")
        self._codes[code] = (now_ns + self._code_ns, redirect_uri, may_trade)
        return code

    def redeem(self, code: str, redirect_uri: str, now_ns: int) -> Grant | None:
        """A new grant for a code: once, in time, and for the address it was issued to."""
        expires_ns, issued_to, may_trade = self._codes.pop(code, (0, "", False))
        if now_ns >= expires_ns or issued_to != redirect_uri:
            return None
        return self._keep(self._new(may_trade, now_ns))

    def refresh(self, refresh: str, now_ns: int) -> tuple[Grant, Grant] | None:
        """Turn a grant over: ``(old, new)``, or None when the refresh token is unknown or used."""
        old = self._by_refresh.get(refresh)
        if old is None:
            return None
        if self._single_use:
            del self._by_refresh[refresh]
        self._by_access.pop(old.access, None)
        return old, self._keep(self._new(old.may_trade, now_ns))

    def revoke(self, access: str) -> Grant | None:
        """Forget a grant altogether."""
        grant = self._by_access.pop(access, None)
        if grant is not None:
            self._by_refresh.pop(grant.refresh, None)
        return grant

    def expire(self, access: str, now_ns: int) -> None:
        """Let an access token run out now."""
        grant = self._by_access.get(access)
        if grant is not None:
            grant.expires_ns = now_ns

    def _new(self, may_trade: bool, now_ns: int) -> Grant:
        return Grant(self._text("access"), self._text("refresh"), now_ns + self._access_ns, self._accounts, may_trade)

    def _keep(self, grant: Grant) -> Grant:
        self._by_access[grant.access] = grant
        self._by_refresh[grant.refresh] = grant
        return grant

    def _text(self, kind: str) -> str:
        self._count += 1
        digest = hashlib.sha256(f"{self._seed}/{kind}/{self._count}".encode()).hexdigest()
        return f"sandbox-{kind}-{digest[:32]}"
