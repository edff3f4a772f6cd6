"""Prices that cannot be used are counted and told; bars that ended during an outage are handed over, each once; what is
refused after an outage keeps nothing else waiting."""

from typing import Any

import pytest

from pepperstone_adapter.broker.events import LinkUp, Notice
from pepperstone_adapter.broker.market import Bar, BarPeriod
from pepperstone_adapter.openapi import messages as oa
from tests.kit.scripted_venue import ACCOUNT_ID, EURUSD, START_NS, World, empty_answer

FIRST = START_NS // 60_000_000_000  # the minute that runs when the world begins; 20 s of it are over


def test_spots_of_a_symbol_nobody_listed_are_told_at_the_first_and_the_tenth() -> None:
    world = World().join()
    for _ in range(11):
        world.venue.say(oa.SpotEvent(ctidTraderAccountId=ACCOUNT_ID, symbolId=999_999, bid=110_000))
    world.turn()
    told = [n.text for n in world.of(Notice) if "cannot be used" in n.text]
    assert [text.split(";")[0] for text in told] == [
        "prices that cannot be used: 1 so far",
        "prices that cannot be used: 10 so far",
    ]


class Bars:
    """A venue with one bar a minute: the forming one on spots, the closed ones in history."""

    def __init__(self) -> None:
        self.world = World().join()
        self.broken = False
        self.world.venue.scripts[oa.GetTrendbarsReq] = self.history
        self.world.start(self.world.account.feed.bars("EURUSD", BarPeriod.M1))

    @property
    def minute(self) -> int:
        return self.world.clock.now_ns() // 60_000_000_000

    def history(self, message: oa.GetTrendbarsReq) -> oa.GetTrendbarsRes | oa.ErrorRes:
        if self.broken:
            return oa.ErrorRes(ctidTraderAccountId=ACCOUNT_ID, errorCode="INVALID_REQUEST", description="no history")
        first, last = -(-message.fromTimestamp // 60_000), message.toTimestamp // 60_000
        rows = [self.row(minute) for minute in range(first, min(last, self.minute) + 1)]
        return oa.GetTrendbarsRes(ctidTraderAccountId=ACCOUNT_ID, period=message.period, trendbar=rows)

    @staticmethod
    def row(minute: int, **fields: int) -> oa.Trendbar:
        return oa.Trendbar(low=110_000, deltaHigh=5, volume=minute - FIRST + 1, utcTimestampInMinutes=minute, **fields)

    def spot(self) -> None:
        forming = self.row(self.minute, period=oa.TrendbarPeriod.M1)
        self.world.venue.say(oa.SpotEvent(ctidTraderAccountId=ACCOUNT_ID, symbolId=EURUSD, trendbar=[forming]))
        self.world.turn()

    def away(self, seconds: float) -> None:
        """Lose the link and let nobody in for so long."""
        self.world.venue.refuse = True
        self.world.venue.last.cut()
        self.world.pass_s(seconds, step_s=0.5)
        self.world.venue.refuse = False

    @property
    def handed(self) -> list[int]:
        """Minutes of the bars handed over, counted from the first."""
        return [bar.open_ns // 60_000_000_000 - FIRST for bar in self.world.of(Bar)]

    @property
    def told(self) -> list[str]:
        return [notice.text for notice in self.world.of(Notice) if "link was down" in notice.text]


def test_every_bar_that_ended_during_an_outage_is_handed_over_once_and_in_order() -> None:
    bars = Bars()
    bars.spot()
    bars.away(200)  # ends bars 0, 1 and 2; bar 3 runs
    bars.world.pass_s(8)
    assert bars.handed == [0, 1, 2]
    assert bars.told == ["EURUSD M1: 3 bars ended while the link was down; they are handed on late"]
    bars.spot()
    bars.world.pass_s(62)
    assert bars.handed == [0, 1, 2, 3]


def test_a_bar_that_ends_while_the_missed_ones_are_read_comes_after_them() -> None:
    bars = Bars()
    bars.spot()
    bars.away(148)  # ends bars 0 and 1
    withheld: list[oa.GetTrendbarsReq] = []
    bars.world.venue.scripts[oa.GetTrendbarsReq] = lambda message: withheld.append(message)  # the answer comes later
    bars.world.pass_s(5)
    bars.spot()
    bars.world.pass_s(3)
    missed = withheld[0]
    ref = next(asked.ref for asked in bars.world.venue.asked if asked.message is missed)
    answer = bars.history(missed)
    bars.world.pass_s(9)  # bar 2 ends; what history says of it does not come in time
    bars.spot()
    bars.world.pass_s(1)
    assert bars.handed == []
    bars.world.venue.say(answer, ref)
    bars.world.turn()
    bars.world.pass_s(5)
    assert bars.handed == [0, 1, 2]


def test_a_bar_that_ends_in_silence_after_the_missed_ones_were_read_comes_with_the_next() -> None:
    """Ticks of it were made while the link was down, so history has it; the stream has shown nothing of it."""
    bars = Bars()
    bars.spot()
    bars.away(145)  # ends bars 0 and 1; 15 s of bar 2 are left
    bars.world.pass_s(8)
    assert bars.handed == [0, 1]
    bars.world.pass_s(15)
    bars.spot()  # bar 3 runs
    bars.world.pass_s(60)
    bars.spot()
    bars.world.pass_s(5)
    assert bars.handed == [0, 1, 2, 3]


def test_a_second_outage_before_the_missed_bars_came_loses_none() -> None:
    bars = Bars()
    bars.spot()
    bars.away(110)  # ends bars 0 and 1
    bars.world.venue.scripts[oa.GetTrendbarsReq] = None  # no answer
    bars.world.pass_s(7)
    bars.spot()
    bars.world.venue.scripts[oa.GetTrendbarsReq] = bars.history
    bars.away(90)  # ends bar 2
    assert bars.handed == []
    bars.world.pass_s(8)
    assert bars.handed == [0, 1, 2]
    assert bars.told == ["EURUSD M1: 3 bars ended while the link was down; they are handed on late"]


def test_a_second_outage_while_a_later_bar_waits_for_the_missed_ones_loses_none_of_them() -> None:
    bars = Bars()
    bars.spot()
    bars.away(148)  # ends bars 0 and 1
    bars.world.venue.scripts[oa.GetTrendbarsReq] = None  # no answer
    bars.world.pass_s(5)
    bars.spot()
    bars.world.pass_s(12)  # bar 2 ends
    bars.spot()
    bars.world.pass_s(4)
    bars.world.venue.scripts[oa.GetTrendbarsReq] = bars.history
    bars.away(60)  # ends bar 3
    assert bars.handed == []
    bars.world.pass_s(8)
    assert bars.handed == [0, 1, 2, 3]
    assert bars.told == ["EURUSD M1: 4 bars ended while the link was down; they are handed on late"]


def test_missed_bars_that_cannot_be_read_are_counted_and_those_after_them_come() -> None:
    bars = Bars()
    bars.spot()
    bars.broken = True
    bars.away(200)
    bars.world.pass_s(8)
    bars.spot()
    bars.world.pass_s(60)
    assert bars.handed == [3]
    assert bars.told == [
        "EURUSD M1: up to 3 bars ended while the link was down and could not be read "
        "(INVALID_REQUEST: no history); they are left out"
    ]


def test_an_outage_longer_than_one_window_of_history_hands_on_the_newest_window() -> None:
    bars = Bars()
    bars.spot()
    weeks_6 = 6 * 7 * 1_440
    bars.world.clock.set_by(weeks_6 * 60)
    bars.away(60)
    bars.world.pass_s(20)
    left_out = bars.handed[0]
    assert bars.handed == list(range(left_out, weeks_6 + 1))
    assert len(bars.handed) <= 5 * 7 * 1_440 + 1
    assert bars.told == [
        f"EURUSD M1: {len(bars.handed)} bars ended while the link was down; they are handed on late; "
        f"up to {left_out} before them are too old and left out"
    ]


GBPUSD = 2


def two_symbols() -> World:
    world = World()
    for kind, row in ((oa.SymbolsListReq, "symbol"), (oa.SymbolByIdReq, "symbol")):
        known = world.venue.scripts[kind]
        assert known is not None

        def both(message: Any, known: Any = known, row: str = row) -> Any:
            answer = known(message)
            second = type(getattr(answer, row)[0])()
            second.CopyFrom(getattr(answer, row)[0])
            second.symbolId = GBPUSD
            if hasattr(second, "symbolName"):
                second.symbolName = "GBPUSD"
            getattr(answer, row).append(second)
            return answer

        world.venue.scripts[kind] = both
    return world.join()


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (oa.SubscribeSpotsReq, "quotes"),
        (oa.SubscribeDepthQuotesReq, "order book"),
        (oa.SubscribeLiveTrendbarReq, "M1 bars"),
    ],
)
def test_a_subscription_that_is_refused_after_an_outage_keeps_neither_orders_nor_the_others_waiting(
    kind: type[Any], what: str
) -> None:
    """A symbol may be withdrawn over a weekend; the positions in the others are to be closed all the same."""
    world = two_symbols()
    for name in ("EURUSD", "GBPUSD"):
        world.start(world.account.feed.quotes([name]))
        world.start(world.account.feed.depth(name))
        world.start(world.account.feed.bars(name, BarPeriod.M1))

    def refuse(message: Any) -> Any:
        ids = message.symbolId if hasattr(message.symbolId, "__len__") else [message.symbolId]
        if GBPUSD in ids:
            return oa.ErrorRes(ctidTraderAccountId=ACCOUNT_ID, errorCode="SYMBOL_NOT_FOUND", description="withdrawn")
        served.append(list(ids))
        return empty_answer(message)

    served: list[list[int]] = []
    world.venue.scripts[kind] = refuse
    world.venue.last.cut()
    world.pass_s(3)
    assert len(world.of(LinkUp)) == 2
    assert served == [[EURUSD]]
    told = [n.text for n in world.of(Notice) if n.level == "error"]
    assert told == [
        f"GBPUSD: the venue refuses its {what} (SYMBOL_NOT_FOUND: withdrawn); asked for again on the next link"
    ]


def test_a_venue_that_cannot_answer_a_subscription_now_is_asked_again_before_orders_flow() -> None:
    world = World().join()
    world.start(world.account.feed.quotes(["EURUSD"]))
    world.venue.scripts[oa.SubscribeSpotsReq] = lambda _m: oa.ErrorRes(
        ctidTraderAccountId=ACCOUNT_ID, errorCode="CH_SERVER_NOT_REACHABLE"
    )
    world.venue.last.cut()
    world.pass_s(3)
    assert len(world.of(LinkUp)) == 1
    world.venue.scripts[oa.SubscribeSpotsReq] = empty_answer
    world.pass_s(12)
    assert len(world.of(LinkUp)) == 2
