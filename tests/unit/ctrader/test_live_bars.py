"""Forming bars become closed ones, once."""

from pepperstone_adapter.broker.market import Bar, BarPeriod
from pepperstone_adapter.ctrader.client.live_bars import GRACE_NS, BarCloser

MINUTE = 60_000_000_000


def forming(minute: int, *prices: int) -> Bar:
    return Bar("EURUSD", BarPeriod.M1, minute * MINUTE, *prices, 5, closed=False)


def test_the_next_bar_ends_this_one_with_the_bids_that_came_since() -> None:
    closer = BarCloser(BarPeriod.M1)
    assert closer.bar(forming(1, 100, 105, 95, 101)) is None
    closer.bid(110, MINUTE + 5)
    closer.bid(90, MINUTE + 6)
    closer.bid(103, MINUTE + 7)
    assert closer.bar(forming(2, 103, 103, 103, 103)) == Bar(
        "EURUSD", BarPeriod.M1, MINUTE, 100, 110, 90, 103, 5, closed=True
    )


def test_a_bid_of_the_next_minute_does_not_count_in_this_one() -> None:
    closer = BarCloser(BarPeriod.M1)
    closer.bar(forming(1, 100, 105, 95, 101))
    closer.bid(500, 2 * MINUTE)
    done = closer.bar(forming(2, 1, 1, 1, 1))
    assert done is not None
    assert (done.high, done.close) == (105, 101)


def test_time_alone_ends_a_bar_once_and_it_does_not_come_back() -> None:
    closer = BarCloser(BarPeriod.M1)
    closer.bar(forming(1, 100, 105, 95, 101))
    assert closer.time(2 * MINUTE + GRACE_NS - 1) is None
    done = closer.time(2 * MINUTE + GRACE_NS)
    assert done is not None
    assert done.closed
    assert closer.bar(forming(1, 100, 105, 95, 102)) is None  # a late picture of what is closed
    assert closer.time(9 * MINUTE) is None


def test_an_older_picture_changes_nothing() -> None:
    closer = BarCloser(BarPeriod.M1)
    closer.bar(forming(2, 100, 105, 95, 101))
    assert closer.bar(forming(1, 1, 1, 1, 1)) is None
    assert closer.bar(forming(2, 100, 104, 96, 102)) is None
    done = closer.bar(forming(3, 1, 1, 1, 1))
    assert done is not None
    assert (done.high, done.low, done.close) == (105, 95, 102)
