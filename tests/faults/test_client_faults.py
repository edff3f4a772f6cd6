"""Faults of the wire and of the session, numbered as in the fault matrix: on bytes (P) and in virtual time (V).

Each is judged by what reached the venue and what was told upwards; no test waits.
"""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pepperstone_adapter import openapi
from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.events import LinkDown, LinkUp, Notice, OrderChanged
from pepperstone_adapter.broker.market import BarPeriod, Tick
from pepperstone_adapter.broker.orders import OrderRequest, OrderType, Side
from pepperstone_adapter.broker.session import BrokerSnapshot
from pepperstone_adapter.common.errors import (
    AuthenticationFailed,
    LinkLost,
    NotFound,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
)
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.codec import MAX_FRAME_BYTES, Codec
from pepperstone_adapter.ctrader.client.tokens import Application, Credentials, Tokens
from pepperstone_adapter.openapi import messages as oa
from tests.kit import scripted_venue as venue
from tests.kit.ctrader import MemoryStore
from tests.kit.scripted_venue import ACCOUNT_ID, World, frame

D = Decimal


def market(name: str = "O-1", units: int = 10_000) -> OrderRequest:
    return OrderRequest(client_order_id=name, symbol="EURUSD", side=Side.BUY, type=OrderType.MARKET, units=D(units))


@pytest.fixture
def world() -> World:
    world = World().join()
    assert isinstance(world.firsts[0], BrokerSnapshot)
    return world


# -- A. transport --------------------------------------------------------------------------------------------------------


def test_f01_a_dead_link_before_the_bytes_left_is_said_to_have_sent_nothing(world: World) -> None:
    world.venue.last.producer.pauseProducing()  # the socket takes nothing more
    outcome = world.start(world.account.orders.submit(market()))
    world.venue.last.cut()
    world.turn()
    assert isinstance(outcome.error, LinkLost)
    assert "was not sent" in str(outcome.error)
    assert world.venue.requests(oa.NewOrderReq) == []


def test_f02_a_link_lost_after_the_bytes_left_leaves_the_outcome_unknown(world: World) -> None:
    world.venue.scripts[oa.NewOrderReq] = None
    outcome = world.start(world.account.orders.submit(market()))
    world.venue.last.cut()
    world.pass_s(2)
    assert isinstance(outcome.error, OutcomeUnknown)
    assert len(world.venue.requests(oa.NewOrderReq)) == 1  # never sent again


def test_f07_a_silent_peer_is_found_within_35_seconds(world: World) -> None:
    began = world.reactor.seconds()
    world.venue.mute = True
    while not world.of(LinkDown):
        world.pass_s(0.5)
        assert world.reactor.seconds() - began < 35.1
    assert "said nothing" in world.of(LinkDown)[0].reason


def test_f07_an_idle_peer_that_answers_the_probe_is_not_lost(world: World) -> None:
    world.pass_s(120, step_s=0.5)
    assert world.of(LinkDown) == []
    assert world.venue.heartbeats >= 1 or world.venue.requests(oa.VersionReq)


def test_f12_a_request_without_any_answer_is_unknown_after_its_deadline(world: World) -> None:
    world.venue.scripts[oa.NewOrderReq] = None
    outcome = world.start(world.account.orders.submit(market()))
    world.pass_s(10.1)
    assert isinstance(outcome.error, OutcomeUnknown)
    assert world.changes() == []  # nothing is declared dead


def test_f13_thirty_late_answers_reach_their_own_requests_or_nobody(world: World) -> None:
    world.venue.scripts[oa.NewOrderReq] = None
    outcomes = [world.start(world.account.orders.submit(market(f"O-{n}"))) for n in range(30)]
    world.pass_s(11)
    assert all(isinstance(outcome.error, OutcomeUnknown) for outcome in outcomes)
    refs = [asked.ref for asked in world.venue.asked if isinstance(asked.message, oa.NewOrderReq)]
    assert len(set(refs)) == 30
    for n, ref in reversed(list(enumerate(refs))):
        world.venue.say(venue.accepted(oa.NewOrderReq(clientOrderId=f"O-{n}", volume=1_000_000), 100 + n), ref)
    world.turn()
    told = {event.order.client_order_id: event.order.order_id for event in world.of(OrderChanged)}
    assert told == {f"O-{n}": str(100 + n) for n in range(30)}
    assert world.hub.protocol.counters.late_answers == 30


def test_f13_a_late_refusal_comes_as_an_event_with_our_id(world: World) -> None:
    world.venue.scripts[oa.NewOrderReq] = None
    world.start(world.account.orders.submit(market()))
    world.pass_s(11)
    ref = next(asked.ref for asked in world.venue.asked if isinstance(asked.message, oa.NewOrderReq))
    world.venue.say(oa.OrderErrorEvent(ctidTraderAccountId=ACCOUNT_ID, errorCode="NOT_ENOUGH_MONEY"), ref)
    world.turn()
    (rejected,) = world.of(OrderChanged)
    assert (str(rejected.change), rejected.order.client_order_id) == ("rejected", "O-1")
    assert "NOT_ENOUGH_MONEY" in rejected.error


def test_f14_a_disconnect_with_a_reason_reconnects_and_a_block_does_not(world: World) -> None:
    world.venue.say(oa.ClientDisconnectEvent(reason="server restart"))
    world.pass_s(2)
    assert "server restart" in world.of(LinkDown)[0].reason
    assert len(world.of(LinkUp)) == 2
    world.venue.say(oa.ClientDisconnectEvent(reason="The application access was blocked by cTrader Administrator"))
    world.pass_s(120, step_s=0.5)
    assert world.of(LinkDown)[-1].permanent
    assert world.venue.attempts == 2


def test_f15_a_lost_account_session_shuts_that_gate_and_recovers_on_the_same_link(world: World) -> None:
    world.venue.scripts[oa.ReconcileReq] = None  # hold the recovery
    world.venue.say(oa.AccountDisconnectEvent(ctidTraderAccountId=ACCOUNT_ID))
    world.turn()
    refused = world.start(world.account.orders.submit(market()))
    assert isinstance(refused.error, LinkLost)
    del world.venue.scripts[oa.ReconcileReq]
    world.pass_s(20)
    assert len(world.of(LinkUp)) == 2
    assert world.venue.attempts == 1
    assert len(world.venue.requests(oa.AccountAuthReq)) == 2


def test_f16_maintenance_is_waited_for_to_its_end_in_seconds_and_in_milliseconds() -> None:
    for answer, end_s in ((oa.ErrorRes, 300), (oa.CommonErrorRes, 300)):
        world = World()
        end = venue.START_NS // 1_000_000_000 + end_s
        stamp = end if answer is oa.ErrorRes else end * 1000
        closed = answer(errorCode="SERVER_IS_UNDER_MAINTENANCE", maintenanceEndTimestamp=stamp)
        world.venue.scripts[oa.ApplicationAuthReq] = lambda _m, closed=closed: closed
        world.join()
        world.pass_s(299, step_s=0.5)
        assert world.venue.attempts == 1, answer
        del world.venue.scripts[oa.ApplicationAuthReq]
        world.pass_s(3)
        assert world.venue.attempts == 2
        assert isinstance(world.firsts[0], BrokerSnapshot)


@pytest.mark.parametrize(
    ("kind", "code"),
    [(oa.ApplicationAuthReq, "CH_CLIENT_ALREADY_AUTHENTICATED"), (oa.AccountAuthReq, "ALREADY_LOGGED_IN")],
)
def test_f17_being_signed_in_already_is_no_error(kind: type, code: str) -> None:
    world = World()
    world.venue.scripts[kind] = lambda _m: oa.ErrorRes(errorCode=code, ctidTraderAccountId=ACCOUNT_ID)
    world.join()
    assert isinstance(world.firsts[0], BrokerSnapshot)


def test_f17_a_refused_application_is_not_tried_again() -> None:
    world = World()
    world.venue.scripts[oa.ApplicationAuthReq] = lambda _m: oa.ErrorRes(errorCode="CH_CLIENT_AUTH_FAILURE")
    world.join()
    world.pass_s(60, step_s=0.5)
    assert isinstance(world.firsts[0], AuthenticationFailed)
    assert world.venue.attempts == 1


# -- B. framing and codec ------------------------------------------------------------------------------------------------


def test_f18_a_truncated_frame_and_then_silence_ends_the_link(world: World) -> None:
    whole = frame(oa.SpotEvent(ctidTraderAccountId=ACCOUNT_ID, symbolId=1, bid=1))
    world.venue.raw(whole[:-3])
    world.venue.mute = True
    world.pass_s(35)
    assert world.of(LinkDown)


def test_f19_garbage_drops_the_link_and_the_third_time_in_a_minute_asks_for_a_person(world: World) -> None:
    garbage = (5).to_bytes(4) + b"\xff\xff\xff\xff\xff"
    for n in range(3):
        world.venue.raw(garbage)
        world.pass_s(3)
        assert len(world.of(LinkUp)) == n + 2
    halts = [notice for notice in world.of(Notice) if notice.halt]
    assert len(halts) == 1
    assert "garbage" in halts[0].text


def test_f20_an_empty_frame_is_counted_and_harms_nothing() -> None:
    codec = Codec()
    message = oa.SpotEvent(ctidTraderAccountId=1, symbolId=1, bid=5)
    assert [d.message for d in codec.receive(b"\x00\x00\x00\x00" + frame(message))] == [message]
    assert codec.empty_frames == 1


@pytest.mark.parametrize("length", [MAX_FRAME_BYTES + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_f21_f22_a_frame_above_the_cap_ends_the_link_at_once(world: World, length: int) -> None:
    world.venue.raw(length.to_bytes(4))
    assert world.venue.transports[0].ended == "aborted"
    world.pass_s(2)
    assert len(world.of(LinkUp)) == 2


def test_f23_an_unknown_type_is_told_once_and_the_link_stays(world: World) -> None:
    unknown = oa.Envelope(payloadType=9999, payload=b"\x08\x01").SerializeToString()
    for _ in range(5):
        world.venue.raw(len(unknown).to_bytes(4) + unknown)
    world.turn()
    assert world.of(LinkDown) == []
    assert sum("9999" in notice.text for notice in world.of(Notice)) == 1
    assert world.hub.protocol.counters.unknown_types == 5


def test_f24_an_unknown_execution_type_is_a_loud_notice_and_no_guess(world: World) -> None:
    event = venue.filled()
    event.ClearField("executionType")
    raw = event.SerializePartialToString() + b"\x18\x63"  # executionType = 99
    envelope = oa.Envelope(payloadType=2126, payload=raw).SerializeToString()
    world.venue.raw(len(envelope).to_bytes(4) + envelope)
    world.turn()
    assert world.of(OrderChanged) == []
    (notice,) = [n for n in world.of(Notice) if n.halt]
    assert "ExecutionEvent.executionType" in notice.text
    assert "does not know" in notice.text


def test_f24_a_missing_required_field_and_an_unknown_one_are_survived(world: World) -> None:
    event = venue.filled()
    event.deal.ClearField("filledVolume")
    envelope = oa.Envelope(payloadType=2126, payload=event.SerializePartialToString()).SerializeToString()
    world.venue.raw(len(envelope).to_bytes(4) + envelope)
    world.turn()
    assert any("Deal.filledVolume" in notice.text for notice in world.of(Notice))
    newer = venue.filled().SerializeToString() + b"\xfa\x3f\x01\x00"
    envelope = oa.Envelope(payloadType=2126, payload=newer).SerializeToString()
    world.venue.raw(len(envelope).to_bytes(4) + envelope)
    world.turn()
    assert "filled" in world.changes()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_f25_any_slicing_gives_the_same_messages(sizes: list[int]) -> None:
    sent = [oa.SpotEvent(ctidTraderAccountId=1, symbolId=n, bid=n * 7) for n in range(1, 30)]
    stream, codec, got, at, n = b"".join(frame(m) for m in sent), Codec(), [], 0, 0
    while at < len(stream):
        size = sizes[n % len(sizes)]
        got += codec.receive(stream[at : at + size])
        at, n = at + size, n + 1
    assert [d.message for d in got] == sent


def test_f25_one_byte_at_a_time_and_a_thousand_frames_at_once() -> None:
    sent = [oa.SpotEvent(ctidTraderAccountId=1, symbolId=1, bid=n) for n in range(1, 1_001)]
    stream = b"".join(frame(message) for message in sent)
    whole = [d.message for d in Codec().receive(stream)]
    codec = Codec()
    sliced = [d.message for i in range(len(stream)) for d in codec.receive(stream[i : i + 1])]
    assert whole == sliced == sent


def test_f26_deep_nesting_is_a_broken_stream_and_nothing_worse() -> None:
    nested = b""
    for _ in range(5_000):
        nested = b"\x3b" + nested + b"\x3c"  # groups within groups
    payload = oa.Envelope(payloadType=2126, payload=nested).SerializeToString()
    codec = Codec()
    assert codec.receive(len(payload).to_bytes(4) + payload) == []
    assert codec.broken is not None


# -- C. order and repetition ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", [2, 5])
def test_f27_a_repeated_execution_counts_once(world: World, copies: int) -> None:
    for _ in range(copies):
        world.venue.say(venue.filled())
    world.turn()
    assert world.changes() == ["accepted", "filled"]


def test_f28_one_deal_from_the_stream_the_list_and_the_reconcile_counts_once(world: World) -> None:
    world.venue.say(venue.filled())
    state = venue.filled()
    world.venue.scripts[oa.DealListReq] = lambda _m: oa.DealListRes(
        ctidTraderAccountId=ACCOUNT_ID, deal=[state.deal], hasMore=False
    )
    world.venue.scripts[oa.ReconcileReq] = lambda _m: oa.ReconcileRes(
        ctidTraderAccountId=ACCOUNT_ID, position=[state.position]
    )
    world.venue.scripts[oa.OrderDetailsReq] = lambda _m: oa.OrderDetailsRes(
        ctidTraderAccountId=ACCOUNT_ID, order=state.order, deal=[state.deal]
    )
    world.venue.last.cut()
    world.pass_s(3)
    world.venue.say(venue.filled())
    world.turn()
    assert len(world.of(LinkUp)) == 2
    assert [event.deal.deal_id for event in world.of(OrderChanged) if event.deal] == ["71"]


def test_f29_a_fill_before_its_acceptance_is_told_after_one(world: World) -> None:
    world.venue.say(venue.filled())
    world.venue.say(venue.accepted(oa.NewOrderReq(clientOrderId="O-1", volume=1_000_000)))
    world.turn()
    assert world.changes() == ["accepted", "filled"]


def test_f30_acceptance_and_fill_in_one_packet_settle_the_request_in_order(world: World) -> None:
    world.venue.scripts[oa.NewOrderReq] = lambda m: [venue.accepted(m), venue.filled()]
    outcome = world.start(world.account.orders.submit(market()))
    assert outcome.value.order_id == "61"
    assert world.changes() == ["accepted", "filled"]


def test_f31_partial_fills_add_up(world: World) -> None:
    for n in range(1, 6):
        done = n == 5
        status = oa.OrderStatus.ORDER_STATUS_FILLED if done else oa.OrderStatus.ORDER_STATUS_ACCEPTED
        kind = oa.ExecutionType.ORDER_FILLED if done else oa.ExecutionType.ORDER_PARTIAL_FILL
        part = venue.deal(70 + n, volume=200_000, executionPrice=1.1 + n * 0.0001)
        world.venue.say(venue.event(kind, order=venue.order(61, status, n + 1, executedVolume=200_000 * n), deal=part))
    world.turn()
    deals = [event.deal for event in world.of(OrderChanged) if event.deal]
    assert sum(deal.units for deal in deals) == D(10_000)
    # (1.1001 + 1.1002 + 1.1003 + 1.1004 + 1.1005) x 2,000 / 10,000
    assert sum(deal.units * deal.price for deal in deals) / D(10_000) == D("1.1003")
    assert world.changes() == ["accepted", *["partially_filled"] * 4, "filled"]


def test_f32_a_cancel_after_a_partial_fill_keeps_the_fill(world: World) -> None:
    world.venue.say(
        venue.event(
            oa.ExecutionType.ORDER_PARTIAL_FILL,
            order=venue.order(61, updated_ms=2, executedVolume=400_000),
            deal=venue.deal(71, volume=400_000),
        )
    )
    gone = venue.cancelled()
    gone.order.executedVolume = 400_000
    world.venue.say(gone)
    world.turn()
    assert world.changes() == ["accepted", "partially_filled", "canceled"]
    assert world.of(OrderChanged)[-1].order.filled_units == D(4_000)


def test_f34_a_refusal_after_an_acceptance_is_an_event(world: World) -> None:
    outcome = world.start(world.account.orders.submit(market()))
    assert outcome.value is not None
    ref = next(asked.ref for asked in world.venue.asked if isinstance(asked.message, oa.NewOrderReq))
    error = oa.OrderErrorEvent(ctidTraderAccountId=ACCOUNT_ID, errorCode="MARKET_CLOSED", orderId=0)
    world.venue.say(error, ref)
    world.turn()
    assert world.changes() == ["accepted", "rejected"]
    assert world.of(OrderChanged)[-1].order.order_id == "61"


def test_f36_a_cancel_of_what_is_gone_is_not_found_and_no_event(world: World) -> None:
    world.venue.scripts[oa.CancelOrderReq] = lambda _m: oa.OrderErrorEvent(
        ctidTraderAccountId=ACCOUNT_ID, errorCode="ORDER_NOT_FOUND", orderId=61
    )
    outcome = world.start(world.account.orders.cancel("61"))
    assert isinstance(outcome.error, NotFound)
    assert world.changes() == []


def test_f38_an_event_that_was_never_sent_is_found_on_a_healthy_link_within_a_minute(world: World) -> None:
    outcome = world.start(world.account.orders.submit(market()))
    assert outcome.value is not None
    state = venue.filled()
    world.venue.scripts[oa.ReconcileReq] = lambda _m: oa.ReconcileRes(
        ctidTraderAccountId=ACCOUNT_ID, position=[state.position]
    )
    world.venue.scripts[oa.DealListReq] = lambda _m: oa.DealListRes(
        ctidTraderAccountId=ACCOUNT_ID, deal=[state.deal], hasMore=False
    )
    world.venue.scripts[oa.OrderDetailsReq] = lambda _m: oa.OrderDetailsRes(
        ctidTraderAccountId=ACCOUNT_ID, order=state.order, deal=[state.deal]
    )
    world.pass_s(60, step_s=0.5)
    assert world.changes() == ["accepted", "filled"]
    assert world.of(LinkDown) == []


# -- D. session, tokens, limits ------------------------------------------------------------------------------------------


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


def test_f44_a_throttled_read_waits_as_told_and_orders_go_on(world: World) -> None:
    throttled = [True]

    def trader(_message: oa.TraderReq) -> object:
        if throttled.pop():
            return oa.ErrorRes(errorCode="BLOCKED_PAYLOAD_TYPE", retryAfter=7, ctidTraderAccountId=ACCOUNT_ID)
        return oa.TraderRes(
            ctidTraderAccountId=ACCOUNT_ID,
            trader=oa.Trader(ctidTraderAccountId=ACCOUNT_ID, balance=5, depositAssetId=2, moneyDigits=2),
        )

    throttled.insert(0, False)
    world.venue.scripts[oa.TraderReq] = trader  # type: ignore[assignment]
    before = len(world.venue.requests(oa.TraderReq))
    reading = world.start(world.account.reconciler.read_trader())
    ordering = world.start(world.account.orders.submit(market()))
    assert ordering.value is not None
    world.pass_s(6.5)
    assert not reading.done
    world.pass_s(1)
    assert reading.done
    assert reading.error is None
    asked = [a.at_s for a in world.venue.asked if isinstance(a.message, oa.TraderReq)][before:]
    assert asked[1] - asked[0] >= 7.0


def test_f44_a_throttled_order_is_refused_and_never_sent_again(world: World) -> None:
    world.venue.scripts[oa.NewOrderReq] = lambda _m: oa.ErrorRes(
        errorCode="REQUEST_FREQUENCY_EXCEEDED", ctidTraderAccountId=ACCOUNT_ID
    )
    outcome = world.start(world.account.orders.submit(market()))
    world.pass_s(30)
    assert isinstance(outcome.error, RateLimited)
    assert len(world.venue.requests(oa.NewOrderReq)) == 1


def test_f45_a_burst_of_orders_leaves_in_order_below_the_limit_and_cancels_first(world: World) -> None:
    account = world.account
    orders = [world.start(account.orders.submit(market(f"O-{n}"))) for n in range(200)]
    cancel = world.start(account.orders.cancel("999"))
    world.pass_s(6)
    sent = [a for a in world.venue.asked if isinstance(a.message, oa.NewOrderReq)]
    assert [a.message.clientOrderId for a in sent] == [f"O-{n}" for n in range(200)]
    for first in sent:
        assert sum(first.at_s <= a.at_s < first.at_s + 1.0 for a in world.venue.asked) <= 50
    assert all(outcome.value is not None for outcome in orders)
    assert cancel.done
    trading = [type(a.message).__name__ for a in world.venue.asked if type(a.message).__name__.endswith("OrderReq")]
    assert trading.index("CancelOrderReq") < 60  # it overtook what was waiting


def test_f46_history_leaves_orders_alone(world: World) -> None:
    bars = world.start(world.account.history.bars("EURUSD", BarPeriod.M1, 0, 10**18))
    world.pass_s(1)
    before = world.reactor.seconds()
    outcome = world.start(world.account.orders.submit(market()))
    assert outcome.value is not None
    assert world.reactor.seconds() == before  # at once
    asked = [a.at_s for a in world.venue.asked if isinstance(a.message, oa.GetTrendbarsReq)]
    world.pass_s(3)
    for first in asked:
        assert sum(first <= at < first + 1.0 for at in asked) <= 5
    assert not bars.done


def test_f47_the_minute_cap_refuses_before_the_venue_does_and_keeps_room_to_close() -> None:
    world = World(Environment.DEMO).join()
    account = world.account
    outcomes = []
    for batch in range(12):
        outcomes += [world.start(account.orders.submit(market(f"O-{batch}-{n}"))) for n in range(40)]
        world.pass_s(1)
    refused = [outcome for outcome in outcomes if outcome.error is not None]
    assert len(outcomes) - len(refused) == 475  # 500 a minute, 25 of them kept
    assert isinstance(refused[0].error, RateLimited)
    assert "LOCAL_CAP" in str(refused[0].error)
    assert len(world.venue.requests(oa.NewOrderReq)) == 475


def test_f47_a_live_account_has_no_such_cap() -> None:
    world = World(Environment.LIVE)
    world.venue.scripts[oa.GetAccountListByAccessTokenReq] = lambda m: oa.GetAccountListByAccessTokenRes(
        accessToken=m.accessToken,
        ctidTraderAccount=[oa.CtidTraderAccount(ctidTraderAccountId=ACCOUNT_ID, isLive=True, traderLogin=5001)],
    )
    world.join()
    for batch in range(13):
        for n in range(40):
            world.start(world.account.orders.submit(market(f"O-{batch}-{n}")))
        world.pass_s(1)
    assert len(world.venue.requests(oa.NewOrderReq)) == 520


# -- E and F: what else belongs to the client ----------------------------------------------------------------------------


def test_f55_one_sided_and_bar_only_spots(world: World) -> None:
    world.start(world.account.feed.quotes(["EURUSD"]))
    for bid, ask in ((110_000, 0), (0, 110_010), (0, 0)):
        spot = oa.SpotEvent(ctidTraderAccountId=ACCOUNT_ID, symbolId=1)
        if bid:
            spot.bid = bid
        if ask:
            spot.ask = ask
        world.venue.say(spot)
    world.turn()
    assert world.of(Tick) == [Tick("EURUSD", 110_000, None, 0), Tick("EURUSD", None, 110_010, 0)]


def test_f67_deposits_and_swaps_change_the_account_and_no_order(world: World) -> None:
    change = oa.DepositWithdraw(
        operationType=oa.ChangeBalanceType.BALANCE_DEPOSIT, balanceHistoryId=1, balance=1_250_000, delta=250_000,
        changeBalanceTimestamp=1, balanceVersion=2, moneyDigits=2,
    )  # fmt: skip
    world.venue.say(venue.event(oa.ExecutionType.DEPOSIT_WITHDRAW, depositWithdraw=change))
    world.turn()
    assert world.account.money.now is not None
    assert world.account.money.now.balance == D("12500.00")
    assert world.changes() == []


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


def test_f70_a_refusal_keeps_the_venues_reason(world: World) -> None:
    world.venue.scripts[oa.NewOrderReq] = lambda _m: oa.OrderErrorEvent(
        ctidTraderAccountId=ACCOUNT_ID, errorCode="NOT_ENOUGH_MONEY", description="Not enough  funds"
    )
    outcome = world.start(world.account.orders.submit(market()))
    assert isinstance(outcome.error, OrderRefused)
    assert str(outcome.error) == "NOT_ENOUGH_MONEY: Not enough funds"
    assert world.changes() == []


def test_o8_no_secret_is_said_anywhere(world: World) -> None:
    world.venue.last.cut()
    world.pass_s(3)
    said = repr([world.hub, world.account, world.keeper, world.store.credentials, world.events, world.hub.protocol])
    assert "app-secret" not in said
    assert "access-1" not in said
    assert "refresh-1" not in said


def test_heartbeats_go_out_every_ten_idle_seconds_and_are_never_answered(world: World) -> None:
    world.account.up = False  # its own polling would keep the link busy
    world.account._stop_watches()
    before = world.venue.heartbeats
    world.pass_s(15)
    assert world.venue.heartbeats == before + 1
    world.venue.say(oa.HeartbeatEvent())
    world.turn()
    assert world.venue.heartbeats == before + 1


def test_every_request_of_the_schema_knows_its_answer() -> None:
    from pepperstone_adapter.ctrader.client import limits
    from pepperstone_adapter.ctrader.client.protocol import _answer_class

    for number, cls in openapi.PAYLOAD.items():
        if cls.DESCRIPTOR.name.endswith("Req") and number not in limits.TRADING:
            assert _answer_class(number).DESCRIPTOR.name.endswith("Res")
