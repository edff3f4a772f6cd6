"""Executions repeated, out of order, refused or lost (F12, F27 to F38, F67, F70), one-sided prices (F55); virtual time."""

from decimal import Decimal

import pytest

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.events import LinkDown, LinkUp, Notice, OrderChanged, PositionChanged
from pepperstone_adapter.broker.market import Tick
from pepperstone_adapter.common.errors import (
    NotFound,
    OrderRefused,
    OutcomeUnknown,
)
from pepperstone_adapter.openapi import messages as oa
from tests.kit import scripted_venue as venue
from tests.kit.requests import market_order
from tests.kit.scripted_venue import ACCOUNT_ID, World

D = Decimal


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
    outcome = world.start(world.account.orders.submit(market_order()))
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
    outcome = world.start(world.account.orders.submit(market_order()))
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
    outcome = world.start(world.account.orders.submit(market_order()))
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


def test_f38_a_stop_that_is_hit_while_a_comparison_reads_is_told_once_and_breaks_nothing(world: World) -> None:
    """The snapshot is ahead of the stream: the position is gone there, and its end comes while that is looked into."""
    guard = {"orderType": oa.OrderType.STOP_LOSS_TAKE_PROFIT, "closingOrder": True, "side": oa.TradeSide.SELL}
    world.venue.say(venue.filled())
    world.venue.say(venue.event(oa.ExecutionType.ORDER_ACCEPTED, order=venue.order(62, updated_ms=2, **guard)))
    world.turn()
    closed_by = oa.ClosePositionDetail(entryPrice=1.1, grossProfit=-1_000, swap=0, commission=-70, balance=998_930)
    hit = venue.event(
        oa.ExecutionType.ORDER_FILLED,
        order=venue.order(62, oa.OrderStatus.ORDER_STATUS_FILLED, 3, executedVolume=1_000_000, **guard),
        deal=venue.deal(72, 62, tradeSide=oa.TradeSide.SELL, closePositionDetail=closed_by),
        position=venue.position(0, 3),
    )

    def details(_request: oa.OrderDetailsReq) -> oa.OrderDetailsRes:
        world.venue.say(hit)
        return oa.OrderDetailsRes(ctidTraderAccountId=ACCOUNT_ID, order=hit.order, deal=[hit.deal])

    world.venue.scripts[oa.OrderDetailsReq] = details
    world.pass_s(35, step_s=0.5)
    assert [n.text for n in world.of(Notice) if n.level == "error"] == []
    assert [e.deal.deal_id for e in world.of(OrderChanged) if e.deal] == ["71", "72"]
    asked = len(world.venue.requests(oa.ReconcileReq))
    world.pass_s(35, step_s=0.5)
    assert len(world.venue.requests(oa.ReconcileReq)) == asked + 1  # the comparisons go on


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


def test_f67_a_swap_and_a_bonus_change_the_account_and_no_order(world: World) -> None:
    swapped = venue.position(updated_ms=5, swap=-125)
    world.venue.say(venue.event(oa.ExecutionType.SWAP, position=swapped))
    trader = oa.Trader(
        ctidTraderAccountId=ACCOUNT_ID, balance=1_000_000, balanceVersion=1, depositAssetId=2, traderLogin=5001,
        moneyDigits=2, leverageInCents=3_000, managerBonus=50_000,
    )  # fmt: skip
    world.venue.scripts[oa.TraderReq] = lambda _m: oa.TraderRes(ctidTraderAccountId=ACCOUNT_ID, trader=trader)
    bonus = oa.BonusDepositWithdraw(
        operationType=oa.ChangeBonusType.BONUS_DEPOSIT, bonusHistoryId=1, managerBonus=50_000, managerDelta=50_000,
        ibBonus=0, ibDelta=0, changeBonusTimestamp=1,
    )  # fmt: skip
    world.venue.say(venue.event(oa.ExecutionType.BONUS_DEPOSIT_WITHDRAW, bonusDepositWithdraw=bonus))
    world.pass_s(5)
    assert world.account.money.now is not None
    assert world.account.money.now.balance == D("10000.00")  # a bonus is credit, not balance
    assert world.account.money.now.equity == D("10500.00")  # 10,000.00 + 500.00, no profit open
    (told,) = [event.position for event in world.of(PositionChanged) if event.position.swap]
    assert told.swap == D("-1.25")
    assert world.changes() == []


def test_f70_a_refusal_keeps_the_venues_reason(world: World) -> None:
    world.venue.scripts[oa.NewOrderReq] = lambda _m: oa.OrderErrorEvent(
        ctidTraderAccountId=ACCOUNT_ID, errorCode="NOT_ENOUGH_MONEY", description="Not enough  funds"
    )
    outcome = world.start(world.account.orders.submit(market_order()))
    assert isinstance(outcome.error, OrderRefused)
    assert str(outcome.error) == "NOT_ENOUGH_MONEY: Not enough funds"
    assert world.changes() == []


# -- closes: the venue keeps no id of ours with them ---------------------------------------------------------------------


def closing(world: World, *orders: oa.Order) -> None:
    """The venue lists these orders of position 51, and knows each by its id."""
    known = {entry.orderId: entry for entry in orders}
    world.venue.scripts[oa.OrderListByPositionIdReq] = lambda _m: oa.OrderListByPositionIdRes(
        ctidTraderAccountId=ACCOUNT_ID, order=orders, hasMore=False
    )
    world.venue.scripts[oa.OrderDetailsReq] = lambda m: oa.OrderDetailsRes(
        ctidTraderAccountId=ACCOUNT_ID, order=known[m.orderId], deal=[venue.deal(70 + m.orderId, m.orderId)]
    )


def closed(order_id: int) -> oa.Order:
    order = venue.order(order_id, oa.OrderStatus.ORDER_STATUS_FILLED, 2, closingOrder=True, side=oa.TradeSide.SELL)
    order.ClearField("clientOrderId")
    return order


def found(world: World, **by: str) -> tuple[str, str | None] | None:
    outcome = world.start(world.account.orders.find(by.get("ours"), by.get("order_id"), 0))
    assert outcome.error is None
    state = outcome.value.order if outcome.value else None
    return None if state is None else (state.order_id, state.client_order_id)


def test_f12_a_close_is_known_by_its_order_once_it_is_unanswered_and_not_before(world: World) -> None:
    world.venue.scripts[oa.ClosePositionReq] = None
    closing(world, closed(62))
    close = world.start(world.account.orders.close("51", D(10_000), "C-1"))
    assert found(world, order_id="62") == ("62", None)  # its answer may still come, and name another
    world.pass_s(11)
    assert isinstance(close.error, OutcomeUnknown)
    assert found(world, order_id="62") == ("62", "C-1")
    assert found(world, ours="C-1") == ("62", "C-1")


@pytest.mark.parametrize("stamped", ["a price", "an order"])
def test_f12_f53_a_close_is_known_by_its_order_also_where_the_clocks_differ_by_hours(
    world: World, stamped: str
) -> None:
    """Ours is three hours behind the venue's: what the venue has stamped says when a close was asked for, there."""
    world.clock.set_by(-3 * 3600)
    venue_ms = venue.START_NS // 1_000_000
    if stamped == "a price":
        world.start(world.account.feed.quotes(["EURUSD"]))
        price = oa.SpotEvent(ctidTraderAccountId=ACCOUNT_ID, symbolId=1, bid=110_000, ask=110_010, timestamp=venue_ms)
        world.venue.say(price)
    else:
        state = venue.filled(updated_ms=venue_ms)
        world.venue.say(venue.event(oa.ExecutionType.ORDER_ACCEPTED, order=state.order))
    world.turn()
    world.venue.scripts[oa.ClosePositionReq] = None
    ours = closed(62)
    ours.tradeData.openTimestamp = venue_ms + 100
    closing(world, ours)
    close = world.start(world.account.orders.close("51", D(10_000), "C-1"))
    world.pass_s(11)
    assert isinstance(close.error, OutcomeUnknown)
    assert found(world, ours="C-1") == ("62", "C-1")


@pytest.mark.parametrize(("wrong_s", "environment", "halts"), [
    (2 * 3600, Environment.DEMO, True),
    (3600, Environment.DEMO, False),
    (-2 * 3600, Environment.DEMO, False),
    (2 * 3600, Environment.SANDBOX, False),
])  # fmt: skip
def test_f53_a_clock_hours_ahead_stops_new_risk(wrong_s: int, environment: Environment, halts: bool) -> None:
    """Lists are asked for from an hour before: with a clock further ahead a lost event or order is not found again.

    A sandbox may replay another year."""
    world = World(environment).join()
    world.clock.set_by(wrong_s)
    venue_ms = venue.START_NS // 1_000_000
    world.venue.scripts[oa.NewOrderReq] = lambda m: venue.event(
        oa.ExecutionType.ORDER_ACCEPTED, order=venue.order(clientOrderId=m.clientOrderId, updated_ms=venue_ms)
    )
    for _ in range(2):
        world.start(world.account.orders.submit(market_order()))
    told = [notice.text for notice in world.of(Notice) if notice.halt]
    assert len(told) == halts
    assert all(text.startswith("this machine's clock is 120 minutes ahead of the venue's") for text in told)


def test_f12_an_order_is_not_given_to_an_unanswered_close_while_another_of_its_size_is_under_way(world: World) -> None:
    world.venue.scripts[oa.ClosePositionReq] = None
    closing(world, closed(62))
    world.start(world.account.orders.close("51", D(10_000), "C-1"))
    world.pass_s(11)
    world.start(world.account.orders.close("51", D(10_000), "C-2"))
    assert found(world, ours="C-1") is None
    ref = [asked.ref for asked in world.venue.asked if isinstance(asked.message, oa.ClosePositionReq)][1]
    world.venue.say(venue.event(oa.ExecutionType.ORDER_ACCEPTED, order=closed(62)), ref)
    world.turn()
    assert found(world, ours="C-1") is None
    assert found(world, ours="C-2") == ("62", "C-2")


def test_f13_a_late_answer_does_not_give_a_close_a_second_order(world: World) -> None:
    """C-1 was taken for order 62; its late answer names 63, so 63 is that of the other unanswered close."""
    world.venue.scripts[oa.ClosePositionReq] = None
    closing(world, closed(62), closed(63))
    for ours in ("C-1", "C-2"):
        world.start(world.account.orders.close("51", D(10_000), ours))
    world.pass_s(11)
    assert found(world, ours="C-1") == ("62", "C-1")
    ref = next(asked.ref for asked in world.venue.asked if isinstance(asked.message, oa.ClosePositionReq))
    world.venue.say(venue.event(oa.ExecutionType.ORDER_ACCEPTED, order=closed(63)), ref)
    world.turn()
    assert found(world, ours="C-1") == ("62", "C-1")
    assert found(world, ours="C-2") == ("63", "C-2")


def test_a_close_that_was_refused_or_is_long_past_takes_no_order(world: World) -> None:
    world.venue.scripts[oa.ClosePositionReq] = lambda _m: oa.OrderErrorEvent(
        ctidTraderAccountId=ACCOUNT_ID, errorCode="MARKET_CLOSED"
    )
    refused = world.start(world.account.orders.close("51", D(10_000), "C-1"))
    assert isinstance(refused.error, OrderRefused)
    closing(world, closed(62))
    assert found(world, order_id="62") == ("62", None)
    world.venue.scripts[oa.ClosePositionReq] = None
    world.start(world.account.orders.close("51", D(10_000), "C-2"))
    world.pass_s(11)
    by_hand = closed(63)  # eleven minutes later: our close has been given up by then
    by_hand.tradeData.openTimestamp = venue.START_NS // 1_000_000 + 660_000
    closing(world, by_hand)
    assert found(world, ours="C-2") is None
