"""Who may speak, tokens, limits, heartbeats: each behaviour of the server that was recorded or observed."""

from pathlib import Path

import pytest

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.openapi import messages as oa
from tests.kit.sandbox_wire import ACCOUNT, EURUSD, LIVE, Bench, code, market


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.push("1.10000", "1.10002")
    return made


APP = oa.ApplicationAuthReq(clientId="sandbox-client", clientSecret="sandbox-secret")


def test_nothing_is_heard_before_the_application_is_authorised(bench: Bench) -> None:
    link = bench.link()
    assert code(link.ask(oa.TraderReq(ctidTraderAccountId=ACCOUNT))) == "CH_CLIENT_NOT_AUTHENTICATED"
    link.send(oa.HeartbeatEvent(), "")
    assert link.messages() == []  # accepted, and never echoed
    assert code(link.ask(oa.ApplicationAuthReq(clientId="x", clientSecret="y"))) == "CH_CLIENT_AUTH_FAILURE"
    assert isinstance(link.ask(APP), oa.ApplicationAuthRes)
    assert code(link.ask(APP)) == "CH_CLIENT_ALREADY_AUTHENTICATED"


def test_account_authorisation(bench: Bench) -> None:
    link = bench.link()
    link.ask(APP)
    unauthorised = link.ask(oa.TraderReq(ctidTraderAccountId=ACCOUNT))
    assert (code(unauthorised), unauthorised.description) == (
        "INVALID_REQUEST",
        "Trading account is not authorized",
    )
    wrong = oa.AccountAuthReq(ctidTraderAccountId=ACCOUNT, accessToken="stolen")
    assert code(link.ask(wrong)) == "CH_ACCESS_TOKEN_INVALID"
    other = oa.AccountAuthReq(ctidTraderAccountId=77, accessToken="sandbox-access")
    assert code(link.ask(other)) == "CH_CTID_TRADER_ACCOUNT_NOT_FOUND"
    live = oa.AccountAuthReq(ctidTraderAccountId=LIVE, accessToken="sandbox-access")
    assert code(link.ask(live)) == "CANT_ROUTE_REQUEST"
    mine = oa.AccountAuthReq(ctidTraderAccountId=ACCOUNT, accessToken="sandbox-access")
    assert isinstance(link.ask(mine), oa.AccountAuthRes)
    assert code(link.ask(mine)) == "ALREADY_LOGGED_IN"
    assert bench.link(Environment.LIVE).login(LIVE)


def test_the_account_list_is_served_on_either_port(bench: Bench) -> None:
    for environment in (Environment.DEMO, Environment.LIVE):
        link = bench.link(environment)
        link.ask(APP)
        listed = link.ask(oa.GetAccountListByAccessTokenReq(accessToken="sandbox-access"))
        assert [(a.ctidTraderAccountId, a.isLive) for a in listed.ctidTraderAccount] == [
            (1_000_001, False),
            (1_000_002, False),
            (1_000_003, True),
        ]


def test_a_refresh_turns_both_tokens_over_once_and_ends_the_session(bench: Bench) -> None:
    link = bench.link().login()
    link.read()
    link.send(oa.RefreshTokenReq(refreshToken="sandbox-refresh"))
    new, invalidated, disconnected = link.messages()
    assert (new.tokenType, new.expiresIn) == ("bearer", 2_628_000)
    assert list(invalidated.ctidTraderAccountIds) == [ACCOUNT]
    assert disconnected.ctidTraderAccountId == ACCOUNT
    assert code(link.ask(oa.TraderReq(ctidTraderAccountId=ACCOUNT))) == "INVALID_REQUEST"
    assert code(link.ask(oa.RefreshTokenReq(refreshToken="sandbox-refresh"))) == "CH_ACCESS_TOKEN_INVALID"
    again = oa.AccountAuthReq(ctidTraderAccountId=ACCOUNT, accessToken=new.accessToken)
    assert isinstance(link.ask(again), oa.AccountAuthRes)


def test_a_refresh_may_leave_the_session_alive(tmp_path: Path) -> None:
    bench = Bench(tmp_path, behaviour={"after_refresh": "silent"})
    link = bench.link().login()
    link.ask(oa.RefreshTokenReq(refreshToken="sandbox-refresh"))
    assert isinstance(link.ask(oa.TraderReq(ctidTraderAccountId=ACCOUNT)), oa.TraderRes)


def test_an_expired_token_is_refused(bench: Bench) -> None:
    bench.venue.tokens.expire("sandbox-access", bench.clock.now_ns())
    link = bench.link()
    link.ask(APP)
    answer = link.ask(oa.AccountAuthReq(ctidTraderAccountId=ACCOUNT, accessToken="sandbox-access"))
    assert (code(answer), answer.description) == ("CH_ACCESS_TOKEN_INVALID", "Access token expired")


def test_a_token_for_looking_may_not_trade(bench: Bench) -> None:
    link = bench.link()
    link.ask(APP)
    listed = link.ask(oa.GetAccountListByAccessTokenReq(accessToken="sandbox-view"))
    assert listed.permissionScope == oa.ClientPermissionScope.SCOPE_VIEW
    link.ask(oa.AccountAuthReq(ctidTraderAccountId=ACCOUNT, accessToken="sandbox-view"))
    assert code(link.ask(market())) == "TRADING_NOT_ALLOWED"


def test_unknown_payloads_and_missing_fields_get_the_common_error(bench: Bench) -> None:
    link = bench.link().login()
    link.read()
    link.send_frame(oa.Envelope(payloadType=9_999, clientMsgId="q").SerializeToString())
    (unknown,) = link.messages()
    assert (type(unknown), code(unknown)) == (oa.CommonErrorRes, "UNSUPPORTED_MESSAGE")
    payload = oa.NewOrderReq(ctidTraderAccountId=ACCOUNT, symbolId=EURUSD).SerializePartialToString()
    link.send_frame(oa.Envelope(payloadType=2106, payload=payload).SerializeToString())
    assert code(link.messages()[0]) == "INVALID_REQUEST"
    link.send_frame(b"\xff\xff\xff")
    assert code(link.messages()[0]) == "INVALID_REQUEST"


def test_frames_cut_anywhere_and_frames_too_long(bench: Bench) -> None:
    from pepperstone_adapter import openapi

    link = bench.link()
    assert link.connection is not None
    frame = openapi.encode(APP, "cut")
    for byte in len(frame).to_bytes(4, "big") + frame:
        link.connection.receive(bytes([byte]))
    assert isinstance(link.messages()[0], oa.ApplicationAuthRes)
    link.connection.receive(b"\x7f\xff\xff\xff")
    assert code(link.messages()[0]) == "FRAME_TOO_LONG"
    assert link.closed


def test_heartbeat_on_an_idle_link_and_the_end_of_a_silent_client(bench: Bench) -> None:
    link = bench.link().login()
    link.read()
    for _ in range(26):
        bench.wait(1)
        bench.venue.second()
    assert [type(m) for m in link.messages()] == [oa.HeartbeatEvent]
    for _ in range(20):
        bench.wait(1)
        bench.venue.second()
    assert link.closed
    assert bench.venue.connections == set()


def test_fifty_requests_a_second_and_five_of_history(bench: Bench) -> None:
    link = bench.link().login()
    answers = [link.ask(oa.VersionReq()) for _ in range(50)]
    refused = next(a for a in answers if isinstance(a, oa.ErrorRes))
    assert (code(refused), refused.retryAfter) == ("BLOCKED_PAYLOAD_TYPE", 1)
    assert sum(isinstance(a, oa.VersionRes) for a in answers) == 48  # two requests went before, to log in
    bench.timer.turn(1.1)
    deals = oa.DealListReq(ctidTraderAccountId=ACCOUNT, fromTimestamp=0, toTimestamp=1)
    assert [type(link.ask(deals)).__name__ for _ in range(6)] == ["DealListRes"] * 5 + ["ErrorRes"]
    assert isinstance(link.ask(oa.VersionReq()), oa.VersionRes)  # only that payload type is blocked
    bench.timer.turn(1.1)
    assert isinstance(link.ask(deals), oa.DealListRes)


def test_demo_accounts_have_caps_a_minute(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits={"demo_orders_per_min": 3})
    bench.push("1.10000", "1.10002")
    link = bench.link().login()
    answers = [link.ask(market(volume=100_000)) for _ in range(4)]
    assert [type(a).__name__ for a in answers] == ["ExecutionEvent"] * 3 + ["ErrorRes"]
    assert answers[-1].retryAfter == 60


def test_changes_of_levels_have_a_cap_a_quarter_of_an_hour(tmp_path: Path) -> None:
    caps = {"demo_protections_per_min": 3, "demo_protections_per_15_min": 4}
    bench = Bench(tmp_path, limits=caps, behaviour={"client_silence_s": 0})
    bench.push("1.10000", "1.10002")
    link = bench.link().login()
    ticket = link.ask(market()).position.positionId

    def change(points: int) -> object:
        stop = round(1.09 + points / 100_000, 5)
        return link.ask(oa.AmendPositionSLTPReq(ctidTraderAccountId=ACCOUNT, positionId=ticket, stopLoss=stop))

    bench.wait(1)
    assert [type(change(n)).__name__ for n in range(3)] == ["ExecutionEvent"] * 3
    bench.wait(61)  # a new minute, the same quarter of an hour
    answers = [change(n) for n in (3, 4)]
    assert [type(a).__name__ for a in answers] == ["ExecutionEvent", "ErrorRes"]
    assert answers[1].retryAfter == 1_800
    bench.wait(1_000)  # the window is empty again, the block stands
    assert code(change(5)) == "BLOCKED_PAYLOAD_TYPE"
    bench.wait(801)
    assert isinstance(change(6), oa.ExecutionEvent)


def test_too_many_connections(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits={"connections": 1})
    bench.link()
    second = bench.link()
    assert code(second.messages()[0]) == "CONNECTIONS_LIMIT_EXCEEDED"
    assert second.closed


def test_maintenance_and_disconnects(bench: Bench) -> None:
    link = bench.link().login()
    bench.venue.start_maintenance(1_705_309_200 * 1_000_000_000)
    refused = link.ask(oa.TraderReq(ctidTraderAccountId=ACCOUNT))
    assert (code(refused), refused.maintenanceEndTimestamp) == ("SERVER_IS_UNDER_MAINTENANCE", 1_705_309_200)  # seconds
    bench.venue.end_maintenance()
    assert isinstance(link.ask(oa.TraderReq(ctidTraderAccountId=ACCOUNT)), oa.TraderRes)
    bench.venue.disconnect_account(ACCOUNT)
    assert isinstance(link.messages()[-1], oa.AccountDisconnectEvent)
    assert code(link.ask(oa.TraderReq(ctidTraderAccountId=ACCOUNT))) == "INVALID_REQUEST"
    bench.venue.disconnect_clients("blocked by administrator")
    assert link.messages()[-1].reason == "blocked by administrator"
    assert link.closed


def test_logout_ends_the_account_session(bench: Bench) -> None:
    link = bench.link().login()
    assert isinstance(link.ask(oa.AccountLogoutReq(ctidTraderAccountId=ACCOUNT)), oa.AccountLogoutRes)
    assert code(link.ask(market())) == "INVALID_REQUEST"


def test_the_journal_keeps_no_secret(bench: Bench) -> None:
    bench.link().login()
    kept = b"".join(frame.payload for frame in bench.venue.journal.frames)
    assert b"sandbox-secret" not in kept
    assert b"sandbox-access" not in kept
    assert [f.name for f in bench.venue.journal.frames][:2] == ["ApplicationAuthReq", "ApplicationAuthRes"]
