"""Rate limits and bursts (F44 to F47) in virtual time."""

from decimal import Decimal

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.common.errors import (
    RateLimited,
)
from pepperstone_adapter.openapi import messages as oa
from tests.kit.requests import market_order
from tests.kit.scripted_venue import ACCOUNT_ID, World


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
    ordering = world.start(world.account.orders.submit(market_order()))
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
    outcome = world.start(world.account.orders.submit(market_order()))
    world.pass_s(30)
    assert isinstance(outcome.error, RateLimited)
    assert len(world.venue.requests(oa.NewOrderReq)) == 1


def test_f45_a_burst_of_orders_leaves_in_order_below_the_limit_and_cancels_first(world: World) -> None:
    account = world.account
    orders = [world.start(account.orders.submit(market_order(f"O-{n}"))) for n in range(200)]
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
    outcome = world.start(world.account.orders.submit(market_order()))
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
        outcomes += [world.start(account.orders.submit(market_order(f"O-{batch}-{n}"))) for n in range(40)]
        world.pass_s(1)
    refused = [outcome for outcome in outcomes if outcome.error is not None]
    assert len(outcomes) - len(refused) == 475  # 500 a minute, 25 of them kept
    assert isinstance(refused[0].error, RateLimited)
    assert "LOCAL_CAP" in str(refused[0].error)
    assert len(world.venue.requests(oa.NewOrderReq)) == 475
    world.venue.scripts[oa.ClosePositionReq] = None
    close = world.start(account.orders.close("51", Decimal(10_000), "C-1"))  # risk can go down all the time
    cancel = world.start(account.orders.cancel("61"))
    assert not isinstance(close.error, RateLimited)
    assert not isinstance(cancel.error, RateLimited)
    assert len(world.venue.requests(oa.ClosePositionReq)) == len(world.venue.requests(oa.CancelOrderReq)) == 1


def test_f47_a_live_account_has_no_such_cap() -> None:
    world = World(Environment.LIVE)
    world.venue.scripts[oa.GetAccountListByAccessTokenReq] = lambda m: oa.GetAccountListByAccessTokenRes(
        accessToken=m.accessToken,
        ctidTraderAccount=[oa.CtidTraderAccount(ctidTraderAccountId=ACCOUNT_ID, isLive=True, traderLogin=5001)],
    )
    world.join()
    for batch in range(13):
        for n in range(40):
            world.start(world.account.orders.submit(market_order(f"O-{batch}-{n}")))
        world.pass_s(1)
    assert len(world.venue.requests(oa.NewOrderReq)) == 520
