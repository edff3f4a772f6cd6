"""Signing one account in on a link: which account, with which token. Lives in the network thread."""

from collections.abc import Callable

from google.protobuf.message import Message

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.common.errors import (
    ConfigurationError,
    DataError,
    LinkLost,
    PepperstoneError,
    VenueError,
)
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.desk import Desk
from pepperstone_adapter.ctrader.client.errors import WrongEnvironment, is_benign, is_token_refused
from pepperstone_adapter.ctrader.client.tokens import TokenKeeper
from pepperstone_adapter.network.promises import Promise, spawn
from pepperstone_adapter.openapi import messages as oa

REFRESH_AGAIN_NS = 3600 * 1_000_000_000


class SignIn:
    """Authorises an account and keeps its token fresh."""

    def __init__(self, desk: Desk, tokens: TokenKeeper, identify: Callable[[int], None]) -> None:
        self._desk = desk
        self._identify = identify
        self._tokens = tokens
        self._signed_in = tokens.access
        self._again_ns = 0  # no refresh of a token that still lives before this, after one that failed

    @property
    def due(self) -> bool:
        return self._tokens.due and self._desk.now_ns >= self._again_ns

    async def authorise(self) -> None:
        """Authorise the account; refresh the token where it is due or refused.

        Raises
        ------
        AuthenticationFailed, ConfigurationError
            A person must act.
        LinkError, VenueError
            Try again later.
        """
        token = self._tokens.access
        if self.due:
            token = await self.refreshed_if_possible()
        for last in (False, True):
            try:
                if not self._desk.account_id:
                    await self._find_account()
                self._desk.hold()
                self._signed_in = token
                await self._ask_account(token)
            except VenueError as error:
                if is_benign(error):
                    return
                if isinstance(error, WrongEnvironment):
                    raise WrongEnvironment(
                        error.code,
                        f"{error.text or 'no route'}: this server does not serve account "
                        f"{mask(self._desk.wanted.account_number)} (one of the other environment, or the broker is under "
                        "maintenance); check environment and account",
                    ) from error
                if last or not is_token_refused(error):
                    raise
                token = await self._refresh(token)
                continue
            return

    def _ask_account(self, token: Secret) -> Promise[Message]:
        """The request lives in this frame only, which is gone before anything can fail: tracebacks show locals."""
        message = oa.AccountAuthReq(ctidTraderAccountId=self._desk.account_id, accessToken=token.reveal())
        return self._desk.hub.ask(message).promise

    def _ask_accounts(self) -> Promise[Message]:
        return self._desk.hub.ask(oa.GetAccountListByAccessTokenReq(accessToken=self._tokens.access.reveal())).promise

    async def renew(self) -> bool:
        """Refresh a token that is due; say whether there is a new one, which another account of the login may have got."""
        if self.due:
            await self.refreshed_if_possible()
        return self._tokens.access != self._signed_in

    async def refreshed_if_possible(self) -> Secret:
        """Return a fresh token, or the old one where it cannot be refreshed now (refused, not answered, not kept): it
        lives for some days more, and a person is told every hour."""
        old = self._tokens.access
        try:
            return await self._refresh(old)
        except LinkLost:
            raise
        except PepperstoneError as error:
            self._again_ns = self._desk.now_ns + REFRESH_AGAIN_NS
            self._desk.notice("warning", f"the access token ends soon and cannot be refreshed: {error}")
            return old

    async def _refresh(self, refused: Secret) -> Secret:
        """Refresh in a task of its own: a recovery that is cut off must not take a grant with it.

        The venue ends the session *because* of the refresh, perhaps before it answers it.
        """
        fresh: Promise[Secret] = Promise()
        spawn(self._tokens.refresh(refused, self._ask_refresh), fresh.resolve, fresh.reject)
        return await fresh

    async def _ask_refresh(self, message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        answering = self._desk.hub.ask(message, note=self._late_refresh).promise
        del message  # a traceback that shows locals must not show the token
        answer = await answering
        if not isinstance(answer, oa.RefreshTokenRes):
            raise DataError(f"a token refresh was answered with {type(answer).__name__}")
        return answer

    def _late_refresh(self, answer: oa.RefreshTokenRes) -> None:
        self._desk.later(self._tokens.adopt(answer))

    async def _find_account(self) -> None:
        answer = await self._ask_accounts()
        if not isinstance(answer, oa.GetAccountListByAccessTokenRes):
            raise DataError(f"the account list was answered with {type(answer).__name__}")
        answer.ClearField("accessToken")  # the venue echoes it
        number = self._desk.wanted.account_number
        for entry in answer.ctidTraderAccount:
            if number in (str(entry.traderLogin), str(entry.ctidTraderAccountId)):
                if self._desk.wanted.environment is not Environment.SANDBOX and entry.isLive != self._desk.wanted.live:
                    kind = "a live" if entry.isLive else "a demo"
                    raise ConfigurationError(
                        f"account {mask(number)} is {kind} account and the settings say {self._desk.wanted.environment}"
                    )
                if answer.HasField("permissionScope") and answer.permissionScope == oa.ClientPermissionScope.SCOPE_VIEW:
                    self._desk.notice("warning", "this access token may only read: orders will be refused")
                self._desk.account_id = entry.ctidTraderAccountId
                self._identify(entry.ctidTraderAccountId)
                return
        known = ", ".join(mask(str(entry.traderLogin)) for entry in answer.ctidTraderAccount) or "none"
        raise ConfigurationError(
            f"account {mask(number)} is not among those this login may use ({known}); "
            "check the account number, or log in again and allow the account"
        )


def mask(number: str) -> str:
    """An account number as it may be shown: the last three digits."""
    return f"…{number[-3:]}"
