"""Faults of the link (F01 to F17, F52, F53): lost, silent, refused, in maintenance, a wrong clock; in virtual time."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from pepperstone_adapter import openapi
from pepperstone_adapter.broker.events import LinkDown, LinkUp, OrderChanged
from pepperstone_adapter.broker.market import Tick
from pepperstone_adapter.broker.orders import Side
from pepperstone_adapter.broker.session import BrokerSnapshot
from pepperstone_adapter.common.errors import (
    AuthenticationFailed,
    LinkLost,
    OutcomeUnknown,
)
from pepperstone_adapter.openapi import messages as oa
from tests.kit import scripted_venue as venue
from tests.kit.requests import market_order
from tests.kit.scripted_venue import ACCOUNT_ID, World

D = Decimal


def test_f01_a_dead_link_before_the_bytes_left_is_said_to_have_sent_nothing(world: World) -> None:
    world.venue.last.producer.pauseProducing()  # the socket takes nothing more
    outcome = world.start(world.account.orders.submit(market_order()))
    world.venue.last.cut()
    world.turn()
    assert isinstance(outcome.error, LinkLost)
    assert "was not sent" in str(outcome.error)
    assert world.venue.requests(oa.NewOrderReq) == []


def test_f02_a_link_lost_after_the_bytes_left_leaves_the_outcome_unknown(world: World) -> None:
    world.venue.scripts[oa.NewOrderReq] = None
    outcome = world.start(world.account.orders.submit(market_order()))
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


def test_f10_a_flapping_link_is_tried_at_bounded_pace_and_subscribed_once_each_time(world: World) -> None:
    world.start(world.account.feed.quotes(["EURUSD"]))
    for n in range(50):
        world.venue.last.cut()
        while len(world.of(LinkUp)) < n + 2:
            world.pass_s(0.5)
    made = [(asked.at_s, asked.link) for asked in world.venue.asked if isinstance(asked.message, oa.ApplicationAuthReq)]
    assert [link for _, link in made] == list(range(51))
    waits = [after[0] - before[0] for before, after in pairwise(made)]
    assert all(0.5 <= wait <= 5.6 for wait in waits)  # the backoff's first and longest step, and one step of this test
    assert min(waits[10:]) >= 5.0  # a link that never lasts does not begin small again
    subscribed = [asked.link for asked in world.venue.asked if isinstance(asked.message, oa.SubscribeSpotsReq)]
    assert subscribed == list(range(51))


def lists(world: World, *working: oa.Order) -> None:
    """The venue has these orders at work, and knows each by its id."""
    world.venue.scripts[oa.ReconcileReq] = lambda _m: oa.ReconcileRes(ctidTraderAccountId=ACCOUNT_ID, order=working)
    known = {order.orderId: order for order in working}
    world.venue.scripts[oa.OrderDetailsReq] = lambda m: oa.OrderDetailsRes(
        ctidTraderAccountId=ACCOUNT_ID, order=known[m.orderId]
    )


@pytest.mark.parametrize("outage_s", [35, 300, 7_200])
def test_f11_an_outage_of_any_length_settles_nothing_and_the_questions_are_answered_after_it(
    world: World, outage_s: int
) -> None:
    """A submit, a cancel and a close are under way when the link goes, and the port refuses all the time."""
    world.start(world.account.orders.submit(market_order("O-0")))
    lists(world, venue.order(61, clientOrderId="O-0"))
    for kind in (oa.NewOrderReq, oa.CancelOrderReq, oa.ClosePositionReq):
        world.venue.scripts[kind] = None
    orders = world.account.orders
    under_way = [
        world.start(orders.submit(market_order("O-1"))),
        world.start(orders.cancel("61")),
        world.start(orders.close("51", D(10_000), "C-1")),
    ]
    told = len(world.of(OrderChanged))
    world.venue.refuse = True
    world.venue.last.cut()
    world.pass_s(outage_s, step_s=0.5)
    assert all(isinstance(outcome.error, OutcomeUnknown) for outcome in under_way)
    assert len(world.of(OrderChanged)) == told
    assert len(world.of(LinkDown)) == 1
    assert world.venue.attempts <= 12 + outage_s / 3  # 0.5, 1, 2, 4 and then 5 s, less two fifths at most
    world.venue.refuse = False
    world.pass_s(15)
    assert len(world.of(LinkUp)) == 2
    for kind in (oa.NewOrderReq, oa.CancelOrderReq, oa.ClosePositionReq):
        assert len(world.venue.requests(kind)) == (2 if kind is oa.NewOrderReq else 1)  # nothing was sent again
    lists(world, venue.order(61, clientOrderId="O-0"), venue.order(64, clientOrderId="O-1"))
    found = world.start(orders.find("O-1", None, 0))
    assert found.value.order.order_id == "64"


def test_f12_a_request_without_any_answer_is_unknown_after_its_deadline(world: World) -> None:
    world.venue.scripts[oa.NewOrderReq] = None
    outcome = world.start(world.account.orders.submit(market_order()))
    world.pass_s(10.1)
    assert isinstance(outcome.error, OutcomeUnknown)
    assert world.changes() == []  # nothing is declared dead


def test_f13_thirty_late_answers_reach_their_own_requests_or_nobody(world: World) -> None:
    world.venue.scripts[oa.NewOrderReq] = None
    outcomes = [world.start(world.account.orders.submit(market_order(f"O-{n}"))) for n in range(30)]
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


@pytest.mark.parametrize("answer", [oa.OrderErrorEvent, oa.ErrorRes, oa.CommonErrorRes])
@pytest.mark.parametrize("kind", [oa.NewOrderReq, oa.ClosePositionReq])
def test_f13_a_late_refusal_comes_as_an_event_with_our_id(world: World, kind: type, answer: type) -> None:
    world.venue.say(venue.filled())  # position 51
    world.turn()
    world.events.clear()
    world.venue.scripts[kind] = None
    orders = world.account.orders
    if kind is oa.NewOrderReq:
        world.start(orders.submit(market_order("O-2")))
    else:
        world.start(orders.close("51", Decimal(4_000), "O-2"))
    world.pass_s(11)
    ref = next(asked.ref for asked in world.venue.asked if isinstance(asked.message, kind))
    refusal = answer(errorCode="NOT_ENOUGH_MONEY")
    if answer is not oa.CommonErrorRes:
        refusal.ctidTraderAccountId = ACCOUNT_ID
    world.venue.say(refusal, ref)
    world.turn()
    (rejected,) = world.of(OrderChanged)
    assert (str(rejected.change), rejected.order.client_order_id) == ("rejected", "O-2")
    assert (rejected.order.closing, rejected.order.side) == (
        (False, Side.BUY) if kind is oa.NewOrderReq else (True, Side.SELL)
    )
    assert "NOT_ENOUGH_MONEY" in rejected.error
    assert world.account.closings == {}  # no order of a stranger is taken for it


@pytest.mark.parametrize("code", ["TIMEOUT_ERROR", "UNKNOWN_ERROR"])
def test_f13_a_late_word_that_proves_nothing_ends_no_order(world: World, code: str) -> None:
    world.venue.scripts[oa.NewOrderReq] = None
    world.start(world.account.orders.submit(market_order()))
    world.pass_s(11)
    ref = next(asked.ref for asked in world.venue.asked if isinstance(asked.message, oa.NewOrderReq))
    world.venue.say(oa.ErrorRes(ctidTraderAccountId=ACCOUNT_ID, errorCode=code), ref)
    world.turn()
    assert world.of(OrderChanged) == []


def test_f14_a_disconnect_with_a_reason_reconnects_and_a_block_does_not(world: World) -> None:
    world.venue.say(oa.ClientDisconnectEvent(reason="server restart"))
    world.pass_s(2)
    assert "server restart" in world.of(LinkDown)[0].reason
    assert len(world.of(LinkUp)) == 2
    world.venue.say(oa.ClientDisconnectEvent(reason="The application access was blocked by cTrader Administrator"))
    world.pass_s(120, step_s=0.5)
    assert world.of(LinkDown)[-1].permanent
    assert world.venue.attempts == 2


def test_f14_a_block_while_the_application_signs_in_is_not_tried_again() -> None:
    world = World()
    world.venue.scripts[oa.ApplicationAuthReq] = None  # its answer never comes
    world.join()
    world.venue.say(oa.ClientDisconnectEvent(reason="Client is blocked by cTrader Administrator"))
    world.pass_s(120, step_s=0.5)
    assert world.venue.attempts == 1
    assert isinstance(world.firsts[0], LinkLost)


def test_f15_an_account_that_is_sent_away_again_and_again_is_not_hammered(world: World) -> None:
    """Another program on the same login, or a server that takes a session back at once: pauses grow, no storm."""

    def sent_away(_message: oa.AccountAuthReq) -> list[object]:
        gone = oa.AccountDisconnectEvent(ctidTraderAccountId=ACCOUNT_ID)
        return [oa.AccountAuthRes(ctidTraderAccountId=ACCOUNT_ID), gone]

    usual = world.venue.scripts.pop(oa.AccountAuthReq, None)
    world.venue.scripts[oa.AccountAuthReq] = sent_away  # type: ignore[assignment]
    before = len(world.venue.requests(oa.AccountAuthReq))
    world.venue.say(oa.AccountDisconnectEvent(ctidTraderAccountId=ACCOUNT_ID))
    world.pass_s(60)
    # at once, then after 1, 2, 5, and each 10 s
    assert 5 <= len(world.venue.requests(oa.AccountAuthReq)) - before <= 9
    assert len(world.of(LinkDown)) == 1
    if usual is not None:
        world.venue.scripts[oa.AccountAuthReq] = usual
    else:
        del world.venue.scripts[oa.AccountAuthReq]
    world.pass_s(12)
    assert world.account.up
    world.pass_s(40)  # it has held: the next one is answered at once
    world.venue.say(oa.AccountDisconnectEvent(ctidTraderAccountId=ACCOUNT_ID))
    world.pass_s(0.5)
    assert world.account.up


def test_f15_a_lost_account_session_shuts_that_gate_and_recovers_on_the_same_link(world: World) -> None:
    world.venue.scripts[oa.ReconcileReq] = None  # hold the recovery
    world.venue.say(oa.AccountDisconnectEvent(ctidTraderAccountId=ACCOUNT_ID))
    world.turn()
    refused = world.start(world.account.orders.submit(market_order()))
    assert isinstance(refused.error, LinkLost)
    del world.venue.scripts[oa.ReconcileReq]
    world.pass_s(20)
    assert len(world.of(LinkUp)) == 2
    assert world.venue.attempts == 1
    assert len(world.venue.requests(oa.AccountAuthReq)) == 2


def test_f15_a_session_that_ends_while_the_account_is_read_opens_no_gate_until_it_is_signed_in_again(
    world: World,
) -> None:
    """The venue says so without naming a request, right before the last answer: it is held as every event is then."""
    lost = oa.ErrorRes(ctidTraderAccountId=ACCOUNT_ID, errorCode="ACCOUNT_NOT_AUTHORIZED")

    def read(_message: oa.ReconcileReq) -> oa.ReconcileRes:
        if len(world.venue.requests(oa.ReconcileReq)) == 2:
            world.venue.say(lost)
        return oa.ReconcileRes(ctidTraderAccountId=ACCOUNT_ID)

    world.venue.scripts[oa.ReconcileReq] = read
    world.venue.say(oa.AccountDisconnectEvent(ctidTraderAccountId=ACCOUNT_ID))
    world.pass_s(0.5)
    assert not world.account.up
    world.pass_s(2)
    assert [type(event) for event in world.events if isinstance(event, LinkUp | LinkDown)] == [LinkUp, LinkDown, LinkUp]
    assert len(world.venue.requests(oa.AccountAuthReq)) == 3  # the first, the one that ended at once, the last


@pytest.mark.parametrize("unit_ms", [1, 1_000])
@pytest.mark.parametrize("answer", [oa.ErrorRes, oa.CommonErrorRes])
def test_f16_maintenance_is_waited_for_to_its_end_in_seconds_and_in_milliseconds(
    answer: type[Any], unit_ms: int
) -> None:
    """The documents give each message a unit of its own; nobody has seen either."""
    world = under_maintenance(answer, (venue.START_NS // 1_000_000 + 300_000) // unit_ms)
    world.pass_s(299, step_s=0.5)
    assert world.venue.attempts == 1
    del world.venue.scripts[oa.ApplicationAuthReq]
    world.pass_s(3)
    assert world.venue.attempts == 2
    assert isinstance(world.firsts[0], BrokerSnapshot)


def test_f16_f53_an_end_that_is_far_away_or_read_by_a_wrong_clock_is_asked_for_again_every_ten_minutes() -> None:
    world = under_maintenance(oa.ErrorRes, venue.START_NS // 1_000_000_000 + 10 * 3600)
    world.pass_s(1_790, step_s=2.0)
    assert world.venue.attempts == 3
    del world.venue.scripts[oa.ApplicationAuthReq]
    world.pass_s(30, step_s=2.0)
    assert isinstance(world.firsts[0], BrokerSnapshot)


def under_maintenance(answer: type[Any], end: int) -> World:
    world = World()
    closed = answer(errorCode="SERVER_IS_UNDER_MAINTENANCE", maintenanceEndTimestamp=end)
    world.venue.scripts[oa.ApplicationAuthReq] = lambda _m: closed
    return world.join()


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


def test_f17_a_venue_that_forgot_the_application_gets_a_new_link(world: World) -> None:
    forgotten = oa.ErrorRes(errorCode="CH_CLIENT_NOT_AUTHENTICATED", ctidTraderAccountId=ACCOUNT_ID)
    world.venue.scripts[oa.AccountAuthReq] = lambda _m: forgotten
    world.venue.say(oa.AccountDisconnectEvent(ctidTraderAccountId=ACCOUNT_ID))
    world.pass_s(0.2)
    del world.venue.scripts[oa.AccountAuthReq]
    world.pass_s(10)
    assert world.venue.attempts == 2
    assert [asked.link for asked in world.venue.asked if isinstance(asked.message, oa.ApplicationAuthReq)] == [0, 1]
    assert len(world.of(LinkUp)) == 2
    assert not world.of(LinkDown)[-1].permanent


def test_f52_a_weekend_without_a_price_is_one_link_and_no_storm(world: World) -> None:
    world.start(world.account.feed.quotes(["EURUSD"]))
    asked = len(world.venue.asked)
    world.pass_s(49 * 3600, step_s=10.0)
    assert world.venue.attempts == 1
    assert world.of(LinkDown) == []
    # an audit and a comparison of equity each half minute at most; nothing that grows with the silence
    assert len(world.venue.asked) - asked < 49 * 3600 / 30 * 6
    world.venue.say(oa.SpotEvent(ctidTraderAccountId=ACCOUNT_ID, symbolId=1, bid=110_000, ask=110_010))
    world.turn()
    assert world.of(Tick)[-1] == Tick("EURUSD", 110_000, 110_010, 0)


@pytest.mark.parametrize("wrong_s", [-5 * 3600, -300, -2, 2, 300, 3600])
def test_f53_a_clock_that_is_set_wrong_ends_no_link_and_hides_no_deal(world: World, wrong_s: int) -> None:
    """The venue lists the deals of the range it is asked for, by its own clock; the event of this one was lost."""
    world.start(world.account.orders.submit(market_order()))
    lists(world, venue.order(61))
    world.clock.set_by(wrong_s)
    world.pass_s(40, step_s=0.5)
    state = venue.filled()
    state.deal.executionTimestamp = venue.START_NS // 1_000_000 + round(world.reactor.seconds() * 1000)
    world.venue.scripts[oa.DealListReq] = lambda m: oa.DealListRes(
        ctidTraderAccountId=ACCOUNT_ID,
        deal=[state.deal] if m.fromTimestamp <= state.deal.executionTimestamp <= m.toTimestamp else [],
        hasMore=False,
    )
    world.venue.scripts[oa.OrderDetailsReq] = lambda _m: oa.OrderDetailsRes(
        ctidTraderAccountId=ACCOUNT_ID, order=state.order, deal=[state.deal]
    )
    world.pass_s(60, step_s=0.5)
    assert world.changes() == ["accepted", "filled"]
    assert world.of(OrderChanged)[-1].ts_ns == state.deal.executionTimestamp * 1_000_000  # the venue's time, not ours
    assert world.of(LinkDown) == []


@pytest.mark.parametrize("wrong_s", [-5 * 3600, 3600])
def test_f53_an_order_that_has_ended_is_found_by_its_id_whatever_our_clock_says(world: World, wrong_s: int) -> None:
    """The venue lists the orders of the range it is asked for, by its own clock."""
    at_ms = venue.START_NS // 1_000_000
    gone = venue.order(61, oa.OrderStatus.ORDER_STATUS_CANCELLED, at_ms)
    world.clock.set_by(wrong_s)
    lists(world)
    world.venue.scripts[oa.OrderListReq] = lambda m: oa.OrderListRes(
        ctidTraderAccountId=ACCOUNT_ID,
        order=[gone] if m.fromTimestamp <= at_ms <= m.toTimestamp else [],
        hasMore=False,
    )
    world.venue.scripts[oa.OrderDetailsReq] = lambda _m: oa.OrderDetailsRes(ctidTraderAccountId=ACCOUNT_ID, order=gone)
    outcome = world.start(world.account.orders.find("O-1", None, world.clock.now_ns()))
    assert outcome.error is None
    assert outcome.value is not None
    assert outcome.value.order.order_id == "61"


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
