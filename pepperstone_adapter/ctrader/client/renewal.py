"""Refreshing tokens over HTTPS, outside a running link: the same rules as on the socket, driven to its end at once."""

import time
from collections.abc import Callable
from typing import Any

from pepperstone_adapter.ctrader.client import oauth
from pepperstone_adapter.ctrader.client.tokens import NS, Credentials, CredentialStore, TokenKeeper
from pepperstone_adapter.network.promises import Promise, spawn
from pepperstone_adapter.openapi import messages as oa


def at_once(function: Callable[[], Any]) -> Promise[Any]:
    """Run a blocking function here and now."""
    promise: Promise[Any] = Promise()
    try:
        promise.resolve(function())
    except BaseException as error:  # noqa: BLE001 - it is the awaiter's
        promise.reject(error)
    return promise


def renew_over_http(
    store: CredentialStore, credentials: Credentials, server: str, now_ns: Callable[[], int] = time.time_ns
) -> None:
    """Refresh and store the tokens. Raises `CredentialsError`, `ConnectFailed`."""
    keeper = TokenKeeper(store, credentials, now_ns, at_once)

    async def ask(message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        from pepperstone_adapter.common.secrets import Secret

        now = now_ns()
        tokens = oauth.refresh(server, credentials.application, Secret(message.refreshToken), now)
        return oa.RefreshTokenRes(
            accessToken=tokens.access.reveal(),
            refreshToken=tokens.refresh.reveal(),
            tokenType="bearer",
            expiresIn=(tokens.expires_ns - now) // NS if tokens.expires_ns else 0,
        )

    errors: list[BaseException] = []
    spawn(keeper.refresh(keeper.access, ask), lambda _token: None, errors.append)
    if errors:
        raise errors[0]
