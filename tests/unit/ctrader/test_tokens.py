"""A grant is never lost by our doing."""

from collections.abc import Callable

import pytest

from pepperstone_adapter.common.errors import AuthenticationFailed, CredentialsError, LinkLost, RemoteProtocolError
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.renewal import at_once
from pepperstone_adapter.ctrader.client.tokens import Application, Credentials, TokenKeeper, Tokens, renewed
from pepperstone_adapter.network.promises import Promise, spawn
from pepperstone_adapter.openapi import messages as oa
from tests.kit.ctrader import MemoryStore

NS = 1_000_000_000
APP = Application("app", Secret("s"))
OLD = Tokens(access=Secret("a1"), refresh=Secret("r1"), issued_ns=0, expires_ns=100 * NS)
FRESH = oa.RefreshTokenRes(accessToken="a2", refreshToken="r2", tokenType="bearer", expiresIn=1_000)


def keeper(store: MemoryStore, now_ns: int = 50 * NS) -> TokenKeeper:
    credentials = store.load()
    assert credentials is not None
    return TokenKeeper(store, credentials, lambda: now_ns, at_once)


def outcome(coroutine) -> list[object]:
    out: list[object] = []
    spawn(coroutine, out.append, out.append)
    return out


def test_a_token_is_due_at_eighty_percent_of_its_life() -> None:
    assert not OLD.due(80 * NS - 1)
    assert OLD.due(80 * NS)
    assert not Tokens(access=Secret("x")).due(10**30)  # no end is known


def test_the_store_is_told_before_the_token_is_used_and_keeps_the_pair_before_it_is_given_out() -> None:
    store = MemoryStore(Credentials(application=APP, tokens=OLD))
    notes: list[str] = []

    async def ask(message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        notes.append(f"asked with {message.refreshToken}, told: {store.saved[-1].refreshing}")
        return FRESH

    (token,) = outcome(keeper(store).refresh(Secret("a1"), ask))
    assert notes == ["asked with r1, told: True"]
    assert token == Secret("a2")
    assert store.saved[-1] == Credentials(
        application=APP,
        tokens=Tokens(access=Secret("a2"), refresh=Secret("r2"), issued_ns=50 * NS, expires_ns=1_050 * NS),
    )


def test_two_waiters_share_one_refresh() -> None:
    store = MemoryStore(Credentials(application=APP, tokens=OLD))
    answer: Promise[oa.RefreshTokenRes] = Promise()
    asked: list[str] = []

    async def ask(message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        asked.append(message.refreshToken)
        return await answer

    one = keeper(store)
    first, second = outcome(one.refresh(Secret("a1"), ask)), outcome(one.refresh(Secret("a1"), ask))
    answer.resolve(FRESH)
    assert first == second == [Secret("a2")]
    assert asked == ["r1"]


def test_a_token_that_somebody_refreshed_already_is_not_refreshed_again() -> None:
    async def ask(_message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        raise AssertionError("asked")

    store = MemoryStore(Credentials(application=APP, tokens=OLD))
    assert outcome(keeper(store).refresh(Secret("older"), ask)) == [Secret("a1")]


def test_a_refusal_after_an_interrupted_refresh_says_so() -> None:
    store = MemoryStore(Credentials(application=APP, tokens=OLD, refreshing=True))

    async def ask(_message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        raise AuthenticationFailed("CH_ACCESS_TOKEN_INVALID", "gone")

    (error,) = outcome(keeper(store).refresh(Secret("a1"), ask))
    assert isinstance(error, AuthenticationFailed)
    assert "cut off before its result was stored" in str(error)
    assert "auth login" in str(error)


def test_a_lost_answer_leaves_the_mark_so_that_the_next_start_knows() -> None:
    store = MemoryStore(Credentials(application=APP, tokens=OLD))

    async def ask(_message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        raise LinkLost("cut")

    (error,) = outcome(keeper(store).refresh(Secret("a1"), ask))
    assert isinstance(error, LinkLost)
    kept = store.load()
    assert kept is not None
    assert (kept.refreshing, kept.tokens) == (True, OLD)


class FullOnce(MemoryStore):
    """Refuses the first new pair, as a disk that is full for a while."""

    full = True

    def save(self, credentials: Credentials) -> None:
        if self.full and not credentials.refreshing:
            self.full = False
            raise CredentialsError("no space left")
        super().save(credentials)


def test_a_pair_that_could_not_be_stored_is_stored_by_the_next_refresh_which_asks_for_none() -> None:
    """The venue gave it for a token that works once: asked again it can only refuse."""
    store = FullOnce(Credentials(application=APP, tokens=OLD))
    asked: list[str] = []

    async def ask(message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        asked.append(message.refreshToken)
        return FRESH

    one = keeper(store)
    (error,) = outcome(one.refresh(Secret("a1"), ask))
    assert isinstance(error, CredentialsError)
    assert one.access == Secret("a1")
    assert outcome(one.refresh(Secret("a1"), ask)) == [Secret("a2")]
    assert asked == ["r1"]
    kept = store.saved[-1]
    assert kept.tokens is not None
    assert (kept.tokens.refresh, kept.refreshing) == (Secret("r2"), False)


def test_a_late_pair_that_could_not_be_stored_is_stored_by_the_next_refresh() -> None:
    async def ask(_message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        raise AssertionError("asked")

    one = keeper(FullOnce(Credentials(application=APP, tokens=OLD, refreshing=True)))
    (error,) = outcome(one.adopt(FRESH))
    assert isinstance(error, CredentialsError)
    assert outcome(one.refresh(Secret("a1"), ask)) == [Secret("a2")]


def test_a_pair_that_comes_after_a_newer_one_is_not_kept_for_the_next_refresh() -> None:
    store = MemoryStore(Credentials(application=APP, tokens=OLD))
    held: list[tuple[Callable[[], object], Promise[object]]] = []
    works: list[bool] = []

    def blocking(function: Callable[[], object]) -> Promise[object]:
        works.append(True)
        if len(works) != 5:  # lock, read, mark, store, and give the lock back
            return at_once(function)
        held.append((function, Promise()))
        return held[-1][1]

    async def ask(message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        number = int(message.refreshToken[1:]) + 1
        return oa.RefreshTokenRes(
            accessToken=f"a{number}", refreshToken=f"r{number}", tokenType="bearer", expiresIn=100
        )

    one = TokenKeeper(store, store.load() or Credentials(application=APP), lambda: 0, blocking)
    first = outcome(one.refresh(Secret("a1"), ask))
    outcome(one.adopt(oa.RefreshTokenRes(accessToken="x", refreshToken="y", tokenType="bearer", expiresIn=100)))
    function, promise = held[0]
    promise.resolve(function())
    assert first == [Secret("a2")]
    assert outcome(one.refresh(Secret("a2"), ask)) == [Secret("a3")]


@pytest.mark.parametrize("lost_a_pair", [False, True])
def test_a_new_login_that_another_account_has_read_is_used_and_not_written_over(lost_a_pair: bool) -> None:
    async def ask(_message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        return FRESH

    store = FullOnce(Credentials(application=APP, tokens=OLD))
    one = keeper(store)
    if lost_a_pair:
        outcome(one.refresh(Secret("a1"), ask))
    new = Credentials(application=APP, tokens=Tokens(access=Secret("n1"), refresh=Secret("n2"), issued_ns=60 * NS))
    store.credentials = new
    one.read_again(new)
    one.read_again(Credentials(application=APP, tokens=OLD))  # read before that
    assert lost_a_pair or one.access == Secret("n1")
    assert outcome(one.refresh(Secret("a1"), ask)) == [Secret("n1")]
    assert store.load() == new


def test_without_a_refresh_token_or_any_token_a_person_is_sent_to_log_in() -> None:
    async def ask(_message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        raise AssertionError("asked")

    store = MemoryStore(Credentials(application=APP, tokens=Tokens(access=Secret("a1"))))
    (error,) = outcome(keeper(store).refresh(Secret("a1"), ask))
    assert isinstance(error, CredentialsError)
    assert str(error).endswith("run `pepperstone auth login ctrader`")
    with pytest.raises(CredentialsError, match="auth login"):
        keeper(MemoryStore(Credentials(application=APP)))


def test_the_hint_names_the_profile_that_was_used() -> None:
    async def ask(_message: oa.RefreshTokenReq) -> oa.RefreshTokenRes:
        raise AuthenticationFailed("CH_ACCESS_TOKEN_INVALID", "gone")

    for tokens in (OLD, Tokens(access=Secret("a1"))):
        store = MemoryStore(Credentials(application=APP, tokens=tokens), profile="second")
        (error,) = outcome(keeper(store).refresh(Secret("a1"), ask))
        assert str(error).endswith("run `pepperstone auth login ctrader --profile second`")


def test_an_answer_without_both_tokens_is_no_answer() -> None:
    with pytest.raises(RemoteProtocolError):
        renewed(oa.RefreshTokenRes(accessToken="a", refreshToken="", tokenType="b", expiresIn=1), 0)
