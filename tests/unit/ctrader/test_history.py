"""The past comes in pages, newest first, of the venue's choosing; and a failed look is never "not there"."""

from decimal import Decimal
from random import Random
from typing import Any

import pytest

from pepperstone_adapter.broker.events import Notice
from pepperstone_adapter.broker.market import BarPeriod, Tick
from pepperstone_adapter.common.errors import NotFound, Silent, VenueError
from pepperstone_adapter.openapi import messages as oa
from tests.kit import scripted_venue as venue
from tests.kit.scripted_venue import ACCOUNT_ID, START_NS, World

D = Decimal
START_MS = START_NS // 1_000_000
MS = 1_000_000


@pytest.fixture
def world() -> World:
    return World().join()


def finish(world: World, coroutine, seconds: float = 30):
    outcome = world.start(coroutine)
    world.pass_s(seconds)
    assert outcome.done
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


def deals_server(deals: list[oa.Deal], page: int):
    """Newest first, `page` at a time, ends inclusive."""

    def serve(message: oa.DealListReq) -> oa.DealListRes:
        inside = [d for d in deals if message.fromTimestamp <= d.executionTimestamp <= message.toTimestamp]
        inside.sort(key=lambda d: (-d.executionTimestamp, -d.dealId))
        return oa.DealListRes(ctidTraderAccountId=ACCOUNT_ID, deal=inside[:page], hasMore=len(inside) > page)

    return serve


def test_deals_of_many_pages_and_weeks_come_once_each_in_order(world: World) -> None:
    week = 7 * 86_400_000
    deals = [venue.deal(n, 60 + n) for n in range(1, 21)]
    for n, deal in enumerate(deals):
        deal.executionTimestamp = START_MS - 3 * week + n * week // 7
    for deal in deals[5:8]:
        deal.executionTimestamp = deals[5].executionTimestamp  # three in one millisecond, at a seam
    world.venue.scripts[oa.DealListReq] = deals_server(deals, page=3)
    found = finish(world, world.account.history.deals(START_NS - 4 * week * MS, START_NS))
    assert [deal.deal_id for deal in found] == [str(n) for n in range(1, 21)]


def test_a_deal_in_a_symbol_that_the_venue_has_withdrawn_is_left_out_and_told_once(world: World) -> None:
    """A contract has expired, a share was delisted: what the account did in it must not hide all other deals."""
    withdrawn = venue.deal(2, 62)
    withdrawn.symbolId = 999
    world.venue.scripts[oa.DealListReq] = deals_server([venue.deal(1), withdrawn, venue.deal(3, 63)], page=10)
    for _ in range(2):
        found = finish(world, world.account.history.deals(START_NS - 60_000 * MS, START_NS + 1), 3)
        assert [deal.deal_id for deal in found] == ["1", "3"]
    told = [n.text for n in world.of(Notice)]
    assert told == ["deals in a symbol that the venue does not list (any more) are left out: symbol id 999"]


def served(rows: list[Any], stamp: Any, order: str, page: int, message: Any) -> tuple[list[Any], bool]:
    """A page of the rows whose `stamp` lies in the range that is asked for, and whether there are more."""
    first = message.fromTimestamp if message.HasField("fromTimestamp") else 0
    last = message.toTimestamp if message.HasField("toTimestamp") else 1 << 62
    inside = sorted((row for row in rows if first <= stamp(row) <= last), key=stamp, reverse=order != "oldest first")
    shown = inside[:page]
    return shown[::-1] if order == "newest, read upwards" else shown, len(inside) > page


@pytest.mark.parametrize("order", ["newest first", "oldest first", "newest, read upwards"])
@pytest.mark.parametrize("seed", range(5))
def test_lists_are_read_whole_whatever_their_order(world: World, order: str, seed: int) -> None:
    """Only for the lists of one position the order was ever seen; a list that is read half hides a fill."""
    random = Random(seed)  # noqa: S311
    deals = [venue.deal(n, 60 + n) for n in range(1, 24)]
    for deal in deals:
        deal.executionTimestamp = START_MS - random.randrange(10 * 86_400_000)
    deals[3].executionTimestamp = deals[2].executionTimestamp

    def deal_list(message: oa.DealListReq) -> oa.DealListRes:
        shown, more = served(deals, lambda deal: deal.executionTimestamp, order, 4, message)
        return oa.DealListRes(ctidTraderAccountId=ACCOUNT_ID, deal=shown, hasMore=more)

    world.venue.scripts[oa.DealListReq] = deal_list
    since_ns = START_NS - 11 * 86_400_000 * MS
    found = finish(world, world.account.history.deals(since_ns, START_NS + 1), 60)
    assert sorted(int(deal.deal_id) for deal in found) == list(range(1, 24))


@pytest.mark.parametrize("order", ["newest first", "oldest first", "newest, read upwards"])
@pytest.mark.parametrize("by", ["created", "updated"])
@pytest.mark.parametrize("seed", range(5))
def test_orders_are_read_whole_whatever_their_order_and_its_time(world: World, order: str, by: str, seed: int) -> None:
    random = Random(seed)  # noqa: S311
    orders = [venue.order(n) for n in range(1, 24)]
    for entry in orders:
        entry.tradeData.openTimestamp = START_MS - random.randrange(6 * 86_400_000)
        entry.utcLastUpdateTimestamp = entry.tradeData.openTimestamp + random.choice((0, 5, 3_600_000))

    def stamp(entry: oa.Order) -> int:
        return entry.tradeData.openTimestamp if by == "created" else entry.utcLastUpdateTimestamp

    def order_list(message: oa.OrderListReq) -> oa.OrderListRes:
        shown, more = served(orders, stamp, order, 4, message)
        return oa.OrderListRes(ctidTraderAccountId=ACCOUNT_ID, order=shown, hasMore=more)

    def of_position(message: oa.OrderListByPositionIdReq) -> oa.OrderListByPositionIdRes:
        shown, more = served(orders, stamp, order, 4, message)
        return oa.OrderListByPositionIdRes(ctidTraderAccountId=ACCOUNT_ID, order=shown, hasMore=more)

    world.venue.scripts[oa.OrderListReq] = order_list
    world.venue.scripts[oa.OrderListByPositionIdReq] = of_position
    since_ns = START_NS - 7 * 86_400_000 * MS
    history = world.account.history
    for reading in (history.orders(since_ns, START_NS + 7_200_000 * MS), history.orders_of_position("51")):
        found = finish(world, reading, 60)
        assert sorted(entry.orderId for entry in found) == list(range(1, 24))


def test_bars_are_read_on_when_a_page_is_cut_short_in_silence(world: World) -> None:
    minutes = [START_MS // 60_000 - 5_000 + n for n in range(100)]
    stock = [oa.Trendbar(volume=1, low=100 + n, utcTimestampInMinutes=minute) for n, minute in enumerate(minutes)]

    def serve(message: oa.GetTrendbarsReq) -> oa.GetTrendbarsRes:
        inside = [
            bar for bar in stock if message.fromTimestamp <= bar.utcTimestampInMinutes * 60_000 <= message.toTimestamp
        ]
        return oa.GetTrendbarsRes(ctidTraderAccountId=ACCOUNT_ID, period=message.period, trendbar=inside[-30:])

    world.venue.scripts[oa.GetTrendbarsReq] = serve
    start, end = minutes[0] * 60_000 * MS, (minutes[-1] + 1) * 60_000 * MS
    found = finish(world, world.account.history.bars("EURUSD", BarPeriod.M1, start, end))
    assert [bar.low for bar in found] == [100 + n for n in range(100)]
    part = finish(world, world.account.history.bars("EURUSD", BarPeriod.M1, start + 60_000 * MS, end - 60_000 * MS))
    assert [bar.low for bar in part] == [100 + n for n in range(1, 99)]  # the start is in, the end is not


def test_a_bar_that_is_still_forming_is_not_history(world: World) -> None:
    minute = START_MS // 60_000
    now = oa.Trendbar(volume=1, low=5, utcTimestampInMinutes=minute)
    world.venue.scripts[oa.GetTrendbarsReq] = lambda m: oa.GetTrendbarsRes(
        ctidTraderAccountId=ACCOUNT_ID, period=m.period, trendbar=[now]
    )
    history = world.account.history
    assert (
        finish(world, history.bars("EURUSD", BarPeriod.M1, minute * 60_000 * MS, (minute + 1) * 60_000 * MS), 0) == []
    )


def test_repaired_bars_are_counted_and_told(world: World) -> None:
    minute = START_MS // 60_000 - 10
    bad = oa.Trendbar(volume=1, low=100, deltaOpen=9, deltaHigh=0, utcTimestampInMinutes=minute)
    world.venue.scripts[oa.GetTrendbarsReq] = lambda m: oa.GetTrendbarsRes(
        ctidTraderAccountId=ACCOUNT_ID, period=m.period, trendbar=[bad]
    )
    start = minute * 60_000 * MS
    (bar,) = finish(world, world.account.history.bars("EURUSD", BarPeriod.M1, start, start + 60_000 * MS))
    assert (bar.high, bar.repaired, world.account.history.repaired_bars) == (109, True, 1)
    assert "1 of 1 bars" in world.events[-1].text  # type: ignore[union-attr]
    assert world.events[-1].of_rows  # type: ignore[union-attr]


def test_ticks_of_both_sides_are_paged_apart_and_merged(world: World) -> None:
    stock = {
        oa.QuoteType.BID: [(START_MS - 1_000 + n, 110_000 + n) for n in range(0, 10, 2)],
        oa.QuoteType.ASK: [(START_MS - 1_000 + n, 110_010 + n) for n in range(1, 10, 2)],
    }

    def serve(message: oa.GetTickDataReq) -> oa.GetTickDataRes:
        inside = [t for t in stock[oa.QuoteType(message.type)] if message.fromTimestamp <= t[0] <= message.toTimestamp]
        page = list(reversed(inside))[:2]
        coded, last = [], (0, 0)
        for tick in page:
            coded.append(oa.TickData(timestamp=tick[0] - last[0], tick=tick[1] - last[1]))
            last = tick
        return oa.GetTickDataRes(ctidTraderAccountId=ACCOUNT_ID, tickData=coded, hasMore=len(inside) > 2)

    world.venue.scripts[oa.GetTickDataReq] = serve
    found = finish(world, world.account.history.ticks("EURUSD", (START_MS - 1_000) * MS, START_NS))
    assert len(found) == 9  # ten moves; the first knows one side only
    assert found[0] == Tick("EURUSD", 110_000, 110_011, (START_MS - 999) * MS)
    assert found[-1] == Tick("EURUSD", 110_008, 110_019, (START_MS - 991) * MS)


def test_an_order_is_found_in_the_past_by_our_id_and_not_by_a_closing_orders_echo(world: World) -> None:
    def serve(message: oa.OrderListReq) -> oa.OrderListRes:
        echo = venue.order(90, oa.OrderStatus.ORDER_STATUS_FILLED, closingOrder=True, clientOrderId="O-9")
        ours = venue.order(91, oa.OrderStatus.ORDER_STATUS_FILLED, clientOrderId="O-9")
        return oa.OrderListRes(ctidTraderAccountId=ACCOUNT_ID, order=[echo, ours], hasMore=False)

    world.venue.scripts[oa.OrderListReq] = serve
    world.venue.scripts[oa.OrderDetailsReq] = lambda m: oa.OrderDetailsRes(
        ctidTraderAccountId=ACCOUNT_ID,
        order=venue.order(m.orderId, oa.OrderStatus.ORDER_STATUS_FILLED, clientOrderId="O-9"),
        deal=[venue.deal(72, m.orderId, 400_000), venue.deal(71, m.orderId, 600_000)],
    )
    found = finish(world, world.account.orders.find("O-9", None, START_NS - 10**9))
    assert found.order.order_id == "91"
    assert [deal.deal_id for deal in found.deals] == ["71", "72"]


def test_not_found_is_said_only_after_every_place_was_read(world: World) -> None:
    assert finish(world, world.account.orders.find("O-9", None, START_NS)) is None
    assert len(world.venue.requests(oa.OrderListReq)) >= 1
    world.venue.scripts[oa.OrderDetailsReq] = lambda _m: oa.ErrorRes(errorCode="ORDER_NOT_FOUND")
    assert finish(world, world.account.orders.find(None, "77", 0)) is None


@pytest.mark.parametrize("broken", [oa.ReconcileReq, oa.OrderListReq])
def test_a_failed_look_is_an_error_and_not_an_absence(world: World, broken: type) -> None:
    world.venue.scripts[broken] = lambda _m: oa.ErrorRes(errorCode="UNKNOWN_ERROR", ctidTraderAccountId=ACCOUNT_ID)
    with pytest.raises(VenueError):
        finish(world, world.account.orders.find("O-9", None, START_NS))


def test_a_failed_look_at_the_details_is_an_error_too(world: World) -> None:
    world.venue.scripts[oa.OrderDetailsReq] = lambda _m: oa.ErrorRes(errorCode="UNKNOWN_ERROR")
    with pytest.raises(VenueError) as caught:
        finish(world, world.account.orders.find(None, "77", 0))
    assert not isinstance(caught.value, NotFound)


def test_a_read_without_an_answer_is_repeated_a_few_times_and_then_fails(world: World) -> None:
    before = len(world.venue.requests(oa.TraderReq))
    world.venue.scripts[oa.TraderReq] = None
    with pytest.raises(Silent):
        finish(world, world.account.reconciler.read_trader(), 61)
    assert len(world.venue.requests(oa.TraderReq)) - before == 4
