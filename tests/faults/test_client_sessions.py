"""Tokens and sign-in (F39 to F42, F69) in virtual time: each judged by what the venue was asked and what was kept."""

import pytest

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.events import LinkDown, LinkUp, Notice
from pepperstone_adapter.broker.session import BrokerSnapshot
from pepperstone_adapter.common.errors import (
    AuthenticationFailed,
    LinkLost,
)
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.account import Account
from pepperstone_adapter.ctrader.client.desk import Wanted
from pepperstone_adapter.ctrader.client.tokens import Application, Credentials, Tokens
from pepperstone_adapter.openapi import messages as oa
from tests.kit.ctrader import MemoryStore
from tests.kit.scripted_venue import ACCOUNT_ID, START_NS, World


def refresh_script(world: World, log: list[str]) -> None:
    def refreshed(message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        log.append(message.refreshToken)
        n = len(log) + 1
        return oa.RefreshTokenRes(
            accessToken=f"access-{n}", refreshToken=f"refresh-{n}", tokenType="bearer", expiresIn=2_628_000
        )

    def signed_in(message: oa.AccountAuthReq) -> object:
        if message.accessToken == f"access-{len(log) + 1}" and message.accessToken != "access-1":
            return oa.AccountAuthRes(ctidTraderAccountId=ACCOUNT_ID)
        return oa.ErrorRes(errorCode="CH_ACCESS_TOKEN_INVALID", description="Access token expired")

    world.venue.scripts[oa.RefreshTokenReq] = refreshed
    world.venue.scripts[oa.AccountAuthReq] = signed_in  # type: ignore[assignment]


def test_f39_a_token_that_expired_is_refreshed_once_and_kept_before_it_is_used() -> None:
    world, used = World(), []
    refresh_script(world, used)
    world.join()
    assert isinstance(world.firsts[0], BrokerSnapshot)
    assert used == ["refresh-1"]
    assert [saved.refreshing for saved in world.store.saved] == [True, False]
    kept = world.store.saved[-1].tokens
    assert kept is not None
    assert kept.refresh == Secret("refresh-2")


def test_f39_a_refused_refresh_is_a_clear_end_not_a_loop() -> None:
    world = World()
    world.venue.scripts[oa.AccountAuthReq] = lambda _m: oa.ErrorRes(errorCode="CH_ACCESS_TOKEN_INVALID")
    world.venue.scripts[oa.RefreshTokenReq] = lambda _m: oa.ErrorRes(errorCode="CH_ACCESS_TOKEN_INVALID")
    world.join()
    world.pass_s(60, step_s=0.5)
    assert isinstance(world.firsts[0], AuthenticationFailed)
    assert "auth login" in str(world.firsts[0])
    assert len(world.venue.requests(oa.RefreshTokenReq)) == 1


def test_f40_a_token_taken_back_with_orders_open_shuts_the_gate_and_opens_it_again(world: World) -> None:
    used: list[str] = []
    refresh_script(world, used)
    world.venue.say(oa.AccountsTokenInvalidatedEvent(ctidTraderAccountIds=[ACCOUNT_ID], reason="token was revoked"))
    world.pass_s(2)
    assert "revoked" in world.of(LinkDown)[0].reason
    assert len(world.of(LinkUp)) == 2
    assert used == ["refresh-1"]
    assert world.venue.requests(oa.CancelOrderReq) == []


def test_f41_a_late_refresh_answer_is_kept_all_the_same() -> None:
    world = World()
    world.venue.scripts[oa.AccountAuthReq] = lambda _m: oa.ErrorRes(errorCode="CH_ACCESS_TOKEN_INVALID")
    world.venue.scripts[oa.RefreshTokenReq] = None
    world.join()
    ref = next(asked.ref for asked in world.venue.asked if isinstance(asked.message, oa.RefreshTokenReq))
    world.pass_s(16)
    late = oa.RefreshTokenRes(accessToken="late-a", refreshToken="late-r", tokenType="bearer", expiresIn=100)
    world.venue.say(late, ref)
    world.turn()
    kept = world.store.saved[-1].tokens
    assert kept is not None
    assert (kept.access, kept.refresh) == (Secret("late-a"), Secret("late-r"))


@pytest.mark.parametrize("refused_first", [False, True])
def test_f41_a_late_refresh_answer_is_that_to_the_second_request_as_well(refused_first: bool) -> None:
    """The refresh token works once: the second request can only be refused, before the late answer or after it."""
    world = World()
    world.venue.scripts[oa.AccountAuthReq] = lambda m: (
        oa.AccountAuthRes(ctidTraderAccountId=ACCOUNT_ID)
        if m.accessToken == "late-a"
        else oa.ErrorRes(errorCode="CH_ACCESS_TOKEN_INVALID")
    )
    world.venue.scripts[oa.RefreshTokenReq] = None
    world.join()
    world.pass_s(18)
    first, second = [asked.ref for asked in world.venue.asked if isinstance(asked.message, oa.RefreshTokenReq)]
    late = oa.RefreshTokenRes(accessToken="late-a", refreshToken="late-r", tokenType="bearer", expiresIn=2_628_000)
    words = [(late, first), (oa.ErrorRes(errorCode="CH_ACCESS_TOKEN_INVALID"), second)]
    for message, ref in reversed(words) if refused_first else words:
        world.venue.say(message, ref)
        world.turn()
    world.pass_s(5)
    assert isinstance(world.firsts[0], BrokerSnapshot)
    kept = world.store.saved[-1]
    assert kept.tokens is not None
    assert (kept.tokens.access, kept.tokens.refresh, kept.refreshing) == (Secret("late-a"), Secret("late-r"), False)


def test_f41_two_accounts_of_one_login_ask_for_one_refresh_and_share_its_late_answer() -> None:
    """The refresh token works once: what the second account asked for itself would be refused, and end it for good."""
    world = World()
    other: list[object] = []
    second = Account(
        world.hub, Wanted(account_number="5002", environment=Environment.DEMO), world.keeper, lambda _events: None
    )
    second.first.then(other.append, other.append)
    world.venue.scripts[oa.GetAccountListByAccessTokenReq] = lambda m: oa.GetAccountListByAccessTokenRes(
        accessToken=m.accessToken,
        ctidTraderAccount=[
            oa.CtidTraderAccount(ctidTraderAccountId=ACCOUNT_ID + n, isLive=False, traderLogin=5001 + n) for n in (0, 1)
        ],
    )
    world.venue.scripts[oa.AccountAuthReq] = lambda m: (
        oa.AccountAuthRes(ctidTraderAccountId=m.ctidTraderAccountId)
        if m.accessToken == "late-a"
        else oa.ErrorRes(errorCode="CH_ACCESS_TOKEN_INVALID")
    )
    world.venue.scripts[oa.RefreshTokenReq] = None
    world.hub.join(second)
    world.join()
    (asked,) = [asked.ref for asked in world.venue.asked if isinstance(asked.message, oa.RefreshTokenReq)]
    world.pass_s(15.2)
    late = oa.RefreshTokenRes(accessToken="late-a", refreshToken="late-r", tokenType="bearer", expiresIn=2_628_000)
    world.venue.say(late, asked)
    world.pass_s(20)
    assert isinstance(world.firsts[0], BrokerSnapshot)
    assert isinstance(other[0], BrokerSnapshot)


def test_f40_a_token_that_another_account_of_the_login_refreshed_is_signed_in_with_where_the_venue_says_nothing(
    world: World,
) -> None:
    async def ask(_message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        return oa.RefreshTokenRes(accessToken="access-2", refreshToken="refresh-2", tokenType="bearer", expiresIn=100)

    world.start(world.keeper.refresh(Secret("access-1"), ask))
    world.pass_s(65)
    assert [m.accessToken for m in world.venue.requests(oa.AccountAuthReq)] == ["access-1", "access-2"]
    assert len(world.of(LinkUp)) == 2


def test_f41_a_refusal_that_no_late_answer_takes_back_is_believed_the_second_time() -> None:
    world = World()
    world.venue.scripts[oa.AccountAuthReq] = lambda _m: oa.ErrorRes(errorCode="CH_ACCESS_TOKEN_INVALID")
    world.venue.scripts[oa.RefreshTokenReq] = None
    world.join()
    world.pass_s(15.5)
    world.venue.scripts[oa.RefreshTokenReq] = lambda _m: oa.ErrorRes(errorCode="CH_ACCESS_TOKEN_INVALID")
    world.pass_s(60, step_s=0.5)
    assert isinstance(world.firsts[0], AuthenticationFailed)
    assert len(world.venue.requests(oa.RefreshTokenReq)) == 3


@pytest.mark.parametrize("code", ["", "UNKNOWN_ERROR", "REQUEST_FREQUENCY_EXCEEDED", "CH_SERVER_NOT_REACHABLE"])
def test_f39_a_token_that_lives_is_used_on_while_it_cannot_be_refreshed(code: str) -> None:
    """It is due, and has three days left: a refresh that is refused or not answered must keep nobody out."""
    day_ns = 86_400 * 1_000_000_000
    tokens = Tokens(
        access=Secret("access-1"), refresh=Secret("refresh-1"),
        issued_ns=START_NS - 27 * day_ns, expires_ns=START_NS + 3 * day_ns,
    )  # fmt: skip
    world = World(store=MemoryStore(Credentials(application=Application("app", Secret("s")), tokens=tokens)))
    world.venue.scripts[oa.RefreshTokenReq] = (lambda _m: oa.ErrorRes(errorCode=code)) if code else None
    world.join()
    world.pass_s(20)
    assert isinstance(world.firsts[0], BrokerSnapshot)
    world.pass_s(1800, step_s=5.0)
    assert world.account.up
    assert len(world.venue.requests(oa.RefreshTokenReq)) == 1
    assert len([n for n in world.of(Notice) if "ends soon and cannot be refreshed" in n.text]) == 1


def test_f40_a_session_that_ends_because_of_the_refresh_does_not_take_the_grant_with_it() -> None:
    world, used = World(), []
    refresh_script(world, used)
    refreshed = world.venue.scripts[oa.RefreshTokenReq]
    world.venue.scripts[oa.RefreshTokenReq] = None
    world.join()
    asked = next(a for a in world.venue.asked if isinstance(a.message, oa.RefreshTokenReq))
    world.venue.say(oa.AccountsTokenInvalidatedEvent(ctidTraderAccountIds=[ACCOUNT_ID], reason="token was refreshed"))
    world.venue.say(oa.AccountDisconnectEvent(ctidTraderAccountId=ACCOUNT_ID))
    world.turn()
    assert refreshed is not None
    world.venue.say(refreshed(asked.message), asked.ref)  # type: ignore[arg-type]
    world.pass_s(3)
    assert isinstance(world.firsts[0], BrokerSnapshot)
    kept = world.store.saved[-1].tokens
    assert kept is not None
    assert kept.refresh == Secret("refresh-2")
    assert len(world.venue.requests(oa.RefreshTokenReq)) == 1


def test_a_read_while_signing_in_does_not_begin_the_signing_in_again(world: World) -> None:
    world.venue.scripts[oa.AccountAuthReq] = None
    world.venue.say(oa.AccountDisconnectEvent(ctidTraderAccountId=ACCOUNT_ID))
    world.turn()
    lost = oa.ErrorRes(
        errorCode="INVALID_REQUEST", description="Trading account is not authorized", ctidTraderAccountId=ACCOUNT_ID
    )
    world.venue.scripts[oa.TraderReq] = lambda _m: lost
    for _ in range(5):
        assert isinstance(world.start(world.account.reconciler.read_trader()).error, LinkLost)
    assert len(world.venue.requests(oa.AccountAuthReq)) == 2  # the first, and the one that waits


def test_f41_a_refresh_that_cannot_be_kept_is_not_asked_for() -> None:
    class FullDisk(MemoryStore):
        def save(self, credentials: Credentials) -> None:
            from pepperstone_adapter.common.errors import CredentialsError

            raise CredentialsError("disk full")

    tokens = Tokens(access=Secret("access-1"), refresh=Secret("refresh-1"))
    world = World(store=FullDisk(Credentials(application=Application("app", Secret("s")), tokens=tokens)))
    refresh_script(world, [])
    world.join()
    assert "disk full" in str(world.firsts[0])
    assert world.venue.requests(oa.RefreshTokenReq) == []  # the single-use token is not spent


def test_f42_a_pair_that_another_process_stored_is_taken_and_nothing_asked() -> None:
    world, used = World(), []
    refresh_script(world, used)
    world.venue.scripts[oa.AccountAuthReq] = lambda m: (
        oa.AccountAuthRes(ctidTraderAccountId=ACCOUNT_ID)
        if m.accessToken == "theirs"
        else oa.ErrorRes(errorCode="CH_ACCESS_TOKEN_INVALID")
    )
    mine = world.store.credentials
    assert mine is not None
    world.store.credentials = Credentials(
        application=mine.application, tokens=Tokens(access=Secret("theirs"), refresh=Secret("their-refresh"))
    )
    world.join()
    assert isinstance(world.firsts[0], BrokerSnapshot)
    assert used == []


def test_f69_the_wrong_host_is_an_end_at_the_start_and_a_wait_later(world: World) -> None:
    fresh = World()
    wrong = oa.ErrorRes(errorCode="CANT_ROUTE_REQUEST", ctidTraderAccountId=ACCOUNT_ID)
    fresh.venue.scripts[oa.AccountAuthReq] = lambda _m: wrong
    fresh.join()
    assert "CANT_ROUTE_REQUEST" in str(fresh.firsts[0])
    world.venue.scripts[oa.AccountAuthReq] = lambda _m: wrong
    world.venue.last.cut()
    world.pass_s(20)
    assert not world.of(LinkDown)[-1].permanent  # the venue says so during maintenance too
    del world.venue.scripts[oa.AccountAuthReq]
    world.pass_s(15)
    assert len(world.of(LinkUp)) == 2


def test_o8_no_secret_is_said_anywhere(world: World) -> None:
    world.venue.last.cut()
    world.pass_s(3)
    said = repr([world.hub, world.account, world.keeper, world.store.credentials, world.events, world.hub.protocol])
    assert "app-secret" not in said
    assert "access-1" not in said
    assert "refresh-1" not in said
