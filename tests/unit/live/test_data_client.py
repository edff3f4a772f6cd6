"""The data client in a real node over the kit broker."""

from pathlib import Path
from typing import Any

from nautilus_trader.model import BarType, BookAction, BookType

from pepperstone_adapter.broker.market import DepthLevel, DepthUpdate, Tick
from pepperstone_adapter.common.errors import Silent, VenueError
from pepperstone_adapter.live.config import LiveDataConfig
from pepperstone_adapter.mapping.data import UNITS_PER_TICK
from tests.kit.node import EURUSD, Bench, run_bench

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
ASK_BARS = BarType.from_str(f"{EURUSD}-1-MINUTE-ASK-EXTERNAL")
MID_BARS = BarType.from_str(f"{EURUSD}-2-MINUTE-MID-EXTERNAL")


def test_a_book_of_a_lost_link_is_forgotten_before_the_next_one_begins(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.subscribe_book_deltas(EURUSD, BookType.L2_MBP)
        await b.until(lambda: b.probe.deltas, "the first book")
        before = len(b.probe.deltas)
        b.session.lose_link()
        b.session.restore_link()
        # the same market under the quote ids of another link, one level less
        levels = (DepthLevel(11, True, 108_490, 30_000_000), DepthLevel(12, False, 108_510, 40_000_000))
        b.session.push([DepthUpdate("EURUSD", levels, (), b.broker.now_ns)])
        await b.until(lambda: len(b.probe.deltas) >= before + 2, "the second book")
        told = [d for deltas in b.probe.deltas[before:] for d in deltas.deltas]
        assert [d.action for d in told] == [BookAction.CLEAR, BookAction.ADD, BookAction.ADD]
        assert {str(d.order.price) for d in told[1:]} == {"1.08490", "1.08510"}
        b.broker.set_price("EURUSD", 108_490, 108_510)
        await b.until(lambda: b.probe.quotes and str(b.probe.quotes[-1].bid_price) == "1.08490", "a quote with sizes")
        assert (str(b.probe.quotes[-1].bid_size), str(b.probe.quotes[-1].ask_size)) == ("300000", "400000")

    run_bench(tmp_path, script)


def shown(bar: Any) -> tuple[int, list[str], int]:
    """When a bar ended, what it shows, and of how many ticks it is made."""
    return bar.ts_event, [str(p) for p in (bar.open, bar.high, bar.low, bar.close)], int(bar.volume) // UNITS_PER_TICK


class Prices:
    """Ticks of EURUSD, ask = bid + 10 points, at seconds from a whole minute of the past."""

    def __init__(self, b: Bench) -> None:
        self._b = b
        self.begun = b.broker.now_ns // (2 * MINUTE) * 2 * MINUTE - 20 * MINUTE

    def tick(self, at_s: int, bid: int) -> Tick:
        return Tick("EURUSD", bid, bid + 10, self.begun + at_s * SECOND)

    def come(self, at_s: int, bid: int) -> None:
        self._b.broker.now_ns = self.begun + at_s * SECOND
        self._b.broker.set_price("EURUSD", bid, bid + 10)

    def back(self, at_s: int, bid: int) -> None:
        """The link is there again, and tells the price as it is."""
        self._b.broker.now_ns = self.begun + at_s * SECOND
        self._b.broker.prices["EURUSD"] = (bid, bid + 10)
        self._b.session.restore_link()

    def ended(self, minutes: int) -> int:
        return self.begun + minutes * MINUTE


async def begun(b: Bench, *bar_types: BarType) -> Prices:
    """Bars are subscribed; in the first whole minute a price of 1.08500 came."""
    await b.until(lambda: b.probe.quotes, "the quotes")
    prices = Prices(b)
    for bar_type in bar_types:
        b.probe.subscribe_bars(bar_type)
    assert b.data is not None
    data = b.data
    await b.until(lambda: len(data.built) == len(bar_types), "the subscriptions")
    prices.come(-130, 108_400)  # begun in the middle: no bar
    prices.come(10, 108_500)
    await b.until(lambda: b.probe.quotes[-1].ts_event // SECOND == prices.begun // SECOND + 10, "the first price")
    return prices


def test_a_price_told_again_to_a_new_subscriber_is_no_tick_of_the_bars(tmp_path: Path) -> None:
    """By this machine's clock it may be of an hour the broker has not reached: the bars would have waited for that."""

    async def script(b: Bench) -> None:
        await b.until(lambda: b.probe.quotes, "a quote")
        b.probe.unsubscribe_quotes(EURUSD)
        b.probe.subscribe_bars(ASK_BARS)
        before = len(b.probe.quotes)
        b.probe.subscribe_quotes(EURUSD)
        await b.until(lambda: len(b.probe.quotes) > before, "the price told again")
        p = Prices(b)
        for at_s, bid in ((-130, 108_400), (10, 108_500), (70, 108_600)):
            p.come(at_s, bid)
        await b.until(lambda: b.probe.bars, "the bar of the first minute")
        assert [shown(bar) for bar in b.probe.bars] == [(p.ended(1), ["1.08510"] * 4, 1)]

    run_bench(tmp_path, script)


def test_bars_of_the_ask_get_the_ticks_of_a_lost_link_from_the_brokers_history(tmp_path: Path) -> None:
    """Lost after 10 s, back after 3:20; until then a price of 1.08900 had come and gone, and one of 1.08300."""

    async def script(b: Bench) -> None:
        p = await begun(b, ASK_BARS, MID_BARS)
        b.session.ticks["EURUSD"] = [
            *(p.tick(at, bid) for at, bid in ((10, 108_500), (30, 108_900), (59, 108_600))),
            *(p.tick(at, bid) for at, bid in ((70, 108_300), (119, 108_310))),
            *(p.tick(at, bid) for at, bid in ((185, 108_450), (200, 108_550))),
        ]
        b.session.lose_link()
        p.back(200, 108_550)
        await b.until(lambda: len(b.probe.bars) >= 3, "what ended meanwhile")
        p.come(230, 108_700)
        p.come(241, 108_710)
        await b.until(lambda: len(b.probe.bars) >= 5, "the bars that were begun while the link was down")
        ask = [shown(bar) for bar in b.probe.bars if bar.bar_type == ASK_BARS]
        mid = [shown(bar) for bar in b.probe.bars if bar.bar_type == MID_BARS]
        assert ask == [
            (p.ended(1), ["1.08510", "1.08910", "1.08510", "1.08610"], 3),
            (p.ended(2), ["1.08310", "1.08320", "1.08310", "1.08320"], 2),
            # the third minute had no tick; of the fourth one came while the link was down
            (p.ended(4), ["1.08460", "1.08710", "1.08460", "1.08710"], 3),
        ]
        assert mid == [
            (p.ended(2), ["1.08505", "1.08905", "1.08305", "1.08315"], 5),
            (p.ended(4), ["1.08455", "1.08705", "1.08455", "1.08705"], 3),
        ]

    run_bench(tmp_path, script)


def test_bars_of_the_ask_that_lack_ticks_nobody_has_are_left_out(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        p = await begun(b, ASK_BARS)
        b.session.no_history = VenueError("SERVER_BUSY", "no history now")
        b.session.lose_link()
        p.back(130, 108_550)
        assert b.data is not None
        data = b.data
        await b.until(lambda: not data.built.interrupted, "the question for history")
        p.come(185, 108_600)
        p.come(241, 108_700)
        await b.until(lambda: b.probe.bars, "the first whole bar after it")
        # the third minute was begun when the link came back
        assert [shown(bar) for bar in b.probe.bars] == [(p.ended(4), ["1.08610"] * 4, 1)]

    run_bench(tmp_path, script)


def test_bars_of_the_ask_go_on_with_prices_that_come_although_asking_for_them_again_failed(tmp_path: Path) -> None:
    """A silent symbol is asked for again and no answer comes, though the broker has it: a price of 1.08900 had passed
    unseen, and the next ones are there without another word."""

    async def script(b: Bench) -> None:
        p = Prices(b)
        b.session.ticks["EURUSD"] = [p.tick(10, 108_500), p.tick(20, 108_900)]
        await begun(b, ASK_BARS)
        assert b.data is not None
        building = b.data.built
        b.broker.now_ns = p.begun + 30 * SECOND
        b.session.unheard = Silent("no answer within 15 s")
        await b.until(lambda: building.interrupted, "the silence")

        def read() -> bool:
            p.come(30, 108_600)  # from now on they flow
            return not building.interrupted

        await b.until(read, "the ticks that passed unseen")
        p.come(70, 108_700)
        await b.until(lambda: b.probe.bars and b.probe.bars[-1].ts_event == p.ended(1), "the bar of the first minute")
        assert shown(b.probe.bars[-1])[1] == ["1.08510", "1.08910", "1.08510", "1.08610"]

    run_bench(tmp_path, script, data_config=LiveDataConfig(stale_after_s=2.0))


def test_a_dead_subscription_whose_end_was_not_answered_is_ended_and_begun_once_more(tmp_path: Path) -> None:
    """To a venue that has it still, asking for it again means nothing: it answers that all is well."""

    async def script(b: Bench) -> None:
        await b.until(lambda: b.probe.quotes, "a quote")
        b.session.stuck = Silent("no answer within 15 s")
        await b.until(lambda: b.session.dead, "the silence")
        await b.until(lambda: not b.session.dead, "another try")
        b.broker.set_price("EURUSD", 108_600, 108_610)
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.08600", "prices that flow again")

    run_bench(tmp_path, script, data_config=LiveDataConfig(stale_after_s=1.0))
