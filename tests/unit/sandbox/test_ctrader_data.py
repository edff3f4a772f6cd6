"""Prices over the wire: spots, live bars, depth, bar and tick history."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.openapi.messages import TrendbarPeriod as Period
from pepperstone_adapter.sandbox.ctrader_server.market import BidBar, SymbolHistory
from pepperstone_adapter.sandbox.ctrader_server.periods import bar_start, next_start
from tests.kit.sandbox_wire import ACCOUNT, EURUSD, Bench, MemoryLink, code

SUBSCRIBE = oa.SubscribeSpotsReq(ctidTraderAccountId=ACCOUNT, symbolId=[EURUSD], subscribeToSpotTimestamp=True)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path, limits={"enabled": False})
    made.push("1.10000", "1.10002")
    return made


@pytest.fixture
def link(bench: Bench) -> MemoryLink:
    return bench.link().login()


def sides(messages: list[Any]) -> list[tuple[int | None, int | None]]:
    return [
        (m.bid if m.HasField("bid") else None, m.ask if m.HasField("ask") else None)
        for m in messages
        if isinstance(m, oa.SpotEvent)
    ]


def test_the_first_spot_is_the_last_price_then_only_what_changed(bench: Bench, link: MemoryLink) -> None:
    link.read()
    link.send(SUBSCRIBE)
    answer, first = link.messages()
    assert isinstance(answer, oa.SubscribeSpotsRes)
    assert (sides([first]), first.timestamp) == ([(110_000, 110_002)], bench.clock.now_ns() // 1_000_000)
    for bid, ask in (("1.10001", "1.10002"), ("1.10001", "1.10003"), ("1.10001", "1.10003"), ("1.10000", "1.10001")):
        bench.push(bid, ask)
    assert sides(link.messages()) == [(110_001, None), (None, 110_003), (110_000, 110_001)]
    assert code(link.ask(SUBSCRIBE)) == "ALREADY_SUBSCRIBED"
    link.ask(oa.UnsubscribeSpotsReq(ctidTraderAccountId=ACCOUNT, symbolId=[EURUSD]))
    bench.push("1.2", "1.3")
    assert link.messages() == []
    again = oa.UnsubscribeSpotsReq(ctidTraderAccountId=ACCOUNT, symbolId=[EURUSD])
    assert code(link.ask(again)) == "NOT_SUBSCRIBED_TO_SPOTS"
    assert isinstance(link.ask(SUBSCRIBE), oa.SubscribeSpotsRes)


def test_both_sides_and_stray_spots_by_switch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, behaviour={"spots": "both_sides", "spots_after_unsubscribe": 1})
    bench.push("1.10000", "1.10002")
    link = bench.link().login()
    link.ask(SUBSCRIBE)
    link.ask(oa.UnsubscribeSpotsReq(ctidTraderAccountId=ACCOUNT, symbolId=[EURUSD]))
    link.read()
    for _ in range(3):
        bench.push("1.10000", "1.10002")
    assert sides(link.messages()) == [(110_000, 110_002)]


def test_spots_sent_twice_by_switch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, behaviour={"spot_repeats": 1})
    bench.push("1.10000", "1.10002")
    link = bench.link().login()
    link.read()
    link.send(SUBSCRIBE)
    _, *spots = link.messages()
    assert sides(spots) == [(110_000, 110_002)] * 2
    bench.push("1.10001", "1.10002")
    bench.push("1.10001", "1.10002")  # nothing changed: nothing to repeat
    one, again = link.messages()
    assert one == again
    assert sides([one]) == [(110_001, None)]


def test_bars_in_a_spot_of_their_own_by_switch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, behaviour={"bars_in_own_spot": True})
    bench.push("1.10000", "1.10002")
    link = bench.link().login()
    link.ask(SUBSCRIBE)
    for period in (Period.M1, Period.H1):
        link.ask(oa.SubscribeLiveTrendbarReq(ctidTraderAccountId=ACCOUNT, period=period, symbolId=EURUSD))
    link.read()
    bench.push("1.10010", "1.10002")
    price, own = link.messages()
    assert sides([price, own]) == [(110_010, None), (None, None)]
    assert not price.trendbar
    assert own.timestamp == price.timestamp == bench.clock.now_ns() // 1_000_000
    assert [(b.period, b.low, b.deltaHigh, b.deltaClose) for b in own.trendbar] == [
        (Period.M1, 110_000, 10, 10),
        (Period.H1, 110_000, 10, 10),
    ]


def test_a_three_digit_symbol_is_coded_in_hundred_thousandths_too(bench: Bench, link: MemoryLink) -> None:
    number = bench.venue.directory.symbol_ids["USDJPY"]
    bench.push("150.123", "150.126", "USDJPY")
    link.read()
    link.send(oa.SubscribeSpotsReq(ctidTraderAccountId=ACCOUNT, symbolId=[number]))
    assert sides(link.messages()) == [(15_012_300, 15_012_600)]


def test_live_bars_need_spots_and_ride_on_them(bench: Bench, link: MemoryLink) -> None:
    request = oa.SubscribeLiveTrendbarReq(ctidTraderAccountId=ACCOUNT, period=Period.M1, symbolId=EURUSD)
    assert code(link.ask(request)) == "INVALID_REQUEST"
    link.ask(SUBSCRIBE)
    link.ask(request)
    link.ask(oa.SubscribeLiveTrendbarReq(ctidTraderAccountId=ACCOUNT, period=Period.H1, symbolId=EURUSD))
    link.read()
    bench.wait(10)
    bench.push("1.10010", "1.10012")
    bench.wait(60)
    bench.push("1.09990", "1.09992")
    first, second = link.messages()
    assert [(b.period, b.low, b.deltaOpen, b.deltaHigh, b.deltaClose, b.volume) for b in first.trendbar] == [
        (Period.M1, 110_000, 0, 10, 10, 2),
        (Period.H1, 110_000, 0, 10, 10, 2),
    ]
    assert [(b.period, b.low, b.deltaOpen, b.deltaHigh, b.deltaClose, b.volume) for b in second.trendbar] == [
        (Period.M1, 109_990, 0, 0, 0, 1),
        (Period.H1, 109_990, 10, 20, 0, 3),
    ]


def test_depth_is_a_book_by_quote_id(bench: Bench, link: MemoryLink) -> None:
    request = oa.SubscribeDepthQuotesReq(ctidTraderAccountId=ACCOUNT, symbolId=[EURUSD])
    assert code(link.ask(request)) == "NOT_SUBSCRIBED_TO_SPOTS"
    link.ask(SUBSCRIBE)
    link.read()
    link.send(request)
    _, snapshot = link.messages()
    book = {q.id: (q.bid, q.ask, q.size) for q in snapshot.newQuotes}
    assert sorted(book.values())[-5:][0] == (109_996, 0, 50_000_000)  # five levels down on the bid
    bench.push("1.10001", "1.10002")
    change = next(m for m in link.messages() if isinstance(m, oa.DepthEvent))
    for gone in change.deletedQuotes:
        del book[gone]
    book |= {q.id: (q.bid, q.ask, q.size) for q in change.newQuotes}
    bids = sorted((b for b, _, _ in book.values() if b), reverse=True)
    asks = sorted(a for _, a, _ in book.values() if a)
    assert bids == [110_001, 110_000, 109_999, 109_998, 109_997]
    assert asks == [110_002, 110_003, 110_004, 110_005, 110_006]


def fill_minutes(bench: Bench, count: int) -> None:
    """One bar a minute from now on: open 1.10000 + n points, close one point lower than the high."""
    for n in range(count):
        for step in (0, 5, -3, 4):
            bench.push(f"{1.1 + (n + step) / 100_000:.5f}", f"{1.1001 + (n + step) / 100_000:.5f}")
        bench.wait(60)


def bars(link: MemoryLink, **fields: Any) -> Any:
    given = {"ctidTraderAccountId": ACCOUNT, "symbolId": EURUSD, "period": Period.M1}
    return link.ask(oa.GetTrendbarsReq(**(given | fields)))


def test_bar_history_is_ascending_closed_and_inclusive(bench: Bench, link: MemoryLink) -> None:
    start_ms = bench.clock.now_ns() // 1_000_000
    fill_minutes(bench, 6)
    everything = bars(link, fromTimestamp=0, toTimestamp=2**41)
    minutes = [b.utcTimestampInMinutes for b in everything.trendbar]
    assert minutes == [start_ms // 60_000 + n for n in range(5)]  # the sixth closed less than 250 ms ago
    bench.wait(1)
    assert len(bars(link, fromTimestamp=0, toTimestamp=2**41).trendbar) == 6
    second = everything.trendbar[1]  # 1.10001, 1.10006, 1.09998, 1.10005
    assert (second.low, second.deltaOpen, second.deltaHigh, second.deltaClose) == (109_998, 3, 8, 7)
    inside = bars(link, fromTimestamp=start_ms + 60_000, toTimestamp=start_ms + 180_000)
    assert [b.utcTimestampInMinutes for b in inside.trendbar] == minutes[1:4]
    counted = bars(link, fromTimestamp=start_ms + 170_000, toTimestamp=start_ms + 180_000, count=3)
    assert [b.utcTimestampInMinutes for b in counted.trendbar] == minutes[1:4]  # the beginning does not bound a count
    assert counted.hasMore
    assert not any(b.HasField("period") for b in everything.trendbar)
    five = bars(link, period=Period.M5, fromTimestamp=0, toTimestamp=2**41)
    assert [(b.utcTimestampInMinutes, b.volume) for b in five.trendbar] == [
        (minutes[0], 21)
    ]  # 5 * 4 and the first price


def test_long_ranges_lose_their_old_end_silently(tmp_path: Path) -> None:
    bench = Bench(tmp_path, behaviour={"bars_max": 4}, limits={"enabled": False})
    fill_minutes(bench, 8)
    bench.wait(1)
    link = bench.link().login()
    newest = [b.utcTimestampInMinutes for b in bars(link, fromTimestamp=0, toTimestamp=2**41).trendbar]
    assert len(newest) == 4
    assert newest[-1] == bench.clock.now_ns() // 60_000_000_000 - 1
    assert len(bars(link, count=4).trendbar) == 3  # a full count gives one less
    assert len(bars(link, count=3).trendbar) == 3


def test_the_servers_own_bad_bars(tmp_path: Path) -> None:
    bench = Bench(tmp_path, behaviour={"delta_high_bug_every": 1}, limits={"enabled": False})
    for bid in ("1.10003", "1.10009", "1.10000"):  # closes at its low
        bench.push(bid, "1.10020")
    bench.wait(61)
    bar = bars(bench.link().login(), count=1).trendbar[0]
    assert (bar.deltaOpen, bar.deltaHigh, bar.deltaClose) == (3, 0, 0)


def test_ticks_are_newest_first_and_chained_by_differences(tmp_path: Path) -> None:
    bench = Bench(tmp_path, behaviour={"ticks_page": 3}, limits={"enabled": False})
    wanted: list[tuple[int, int]] = []
    for n, bid in enumerate((110_000, 110_003, 110_003, 110_001, 110_009)):
        bench.push(f"{bid / 100_000:.5f}", f"{(110_020 + n % 2) / 100_000:.5f}")
        if not wanted or wanted[-1][1] != bid:
            wanted.append((bench.clock.now_ns() // 1_000_000, bid))
        bench.wait(0.25)
    link = bench.link().login()
    got: list[tuple[int, int]] = []
    until, more = 2**41, True
    while more:
        page = link.ask(
            oa.GetTickDataReq(
                ctidTraderAccountId=ACCOUNT, symbolId=EURUSD, type=oa.QuoteType.BID, fromTimestamp=0, toTimestamp=until
            )
        )
        stamp = price = 0
        for tick in page.tickData:
            stamp, price = stamp + tick.timestamp, price + tick.tick
            got.append((stamp, price))
        until, more = got[-1][0] - 1, page.hasMore
    assert got == wanted[::-1]


def test_no_bars_without_ticks_and_bad_boundaries(bench: Bench, link: MemoryLink) -> None:
    assert len(bars(link, symbolId=41, fromTimestamp=0, toTimestamp=2**41).trendbar) == 0
    assert code(bars(link, fromTimestamp=5, toTimestamp=4)) == "INCORRECT_BOUNDARIES"
    assert code(bars(link, symbolId=999)) == "SYMBOL_NOT_FOUND"


# -- where bars begin ---------------------------------------------------------------------------------------------------


def minute(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) // 60


@pytest.mark.parametrize(
    ("period", "inside", "start"),
    [
        (Period.M10, "2024-01-15T08:37", "2024-01-15T08:30"),
        (Period.H1, "2024-01-15T08:37", "2024-01-15T08:00"),
        (Period.H4, "2024-01-15T08:37", "2024-01-15T06:00"),  # winter: the day begins at 22:00
        (Period.H4, "2024-07-15T08:37", "2024-07-15T05:00"),  # summer: at 21:00
        (Period.H12, "2024-01-15T10:00", "2024-01-15T10:00"),
        (Period.D1, "2024-01-15T21:59", "2024-01-14T22:00"),
        (Period.D1, "2024-07-15T21:00", "2024-07-15T21:00"),
        (Period.D1, "2024-03-10T22:00", "2024-03-10T21:00"),  # the Sunday US clocks go forward
        (Period.W1, "2024-01-19T12:00", "2024-01-14T22:00"),
        (Period.MN1, "2024-01-19T12:00", "2023-12-31T22:00"),
        (Period.MN1, "2024-07-31T21:30", "2024-07-31T21:00"),
    ],
)
def test_bar_boundaries(period: Period, inside: str, start: str) -> None:
    assert bar_start(period, minute(inside)) == minute(start)


@pytest.mark.parametrize("period", list(Period))
def test_bars_tile_the_year_through_both_clock_changes(period: Period) -> None:
    start = bar_start(period, minute("2024-01-15T08:00"))
    starts = [start]
    while starts[-1] < minute("2024-01-17T08:00" if period <= Period.H1 else "2025-02-01T00:00"):
        starts.append(next_start(period, starts[-1]))
    for one, following in pairwise(starts):
        assert bar_start(period, following - 1) == one
        assert bar_start(period, following) == following


def test_a_forming_bar_asked_for_late_knows_its_past() -> None:
    history = SymbolHistory()
    base = minute("2024-01-15T08:00")
    for n, bid in enumerate((5, 9, 2, 7)):
        history.add((base + n) * 60_000, bid, bid + 1)
    assert history.forming(Period.H1) == BidBar(base, 5, 9, 2, 7, 4)
    history.add((base + 61) * 60_000, 4, 5)
    assert history.forming(Period.H1) == BidBar(base + 60, 4, 4, 4, 4, 1)


def test_past_ticks_are_in_order_where_one_pushed_by_hand_was_ahead_of_a_tape_that_lags() -> None:
    history = SymbolHistory()
    for ts_ms, bid in ((2_000, 108_390), (1_990, 108_391), (2_010, 108_392)):
        history.add(ts_ms, bid, bid + 7)
    found, _ = history.ticks(0, 3_000, asks=False, most=10)
    assert found == [(2_010, 108_392), (2_000, 108_391), (2_000, 108_390)]
