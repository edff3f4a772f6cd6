"""Bars built from quotes, over gaps: whole from the broker's ticks, or left out and told."""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from nautilus_trader.model import BarType, PriceType

from pepperstone_adapter.broker.events import LinkDown
from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.common.errors import LinkLost, VenueError
from pepperstone_adapter.live.built_bars import BuiltBars
from pepperstone_adapter.live.connection import Connection
from tests.kit.broker import KitBroker
from tests.kit.broker_session import KitSession
from tests.kit.node import EURUSD, USDJPY, VENUE

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 1440 * MINUTE
START = 1_700_000_000 // 60 * MINUTE
ASK_BARS = BarType.from_str(f"{EURUSD}-1-MINUTE-ASK-EXTERNAL")


class Scene:
    """A connected session, bars of the ask over it, and the clock that a test sets."""

    def __init__(self, session: KitSession) -> None:
        self.session = session
        self.connection = Connection(lambda: session, VENUE, ("EURUSD",), prime_timeout_s=1.0)
        self.bars: list[tuple[int, int, int]] = []  # minute, high, ticks
        self.told: list[str] = []
        self.now_ns = START
        self.built = BuiltBars(self.connection, self._emit, lambda: self.now_ns, self)  # type: ignore[arg-type]
        self.connection.on_market(lambda event: self.built.interrupt() if isinstance(event, LinkDown) else None)

    def _emit(self, bar: Bar, _bar_type: BarType) -> None:
        self.bars.append(((bar.open_ns - START) // MINUTE, bar.high, bar.volume))

    def warning(self, text: str) -> None:
        self.told.append(text)

    def quote(self, at_s: int, ask: int) -> None:
        self.now_ns = START + at_s * SECOND
        self.built.quote("EURUSD", ask - 10, ask, self.now_ns)


def ticks(*rows: tuple[int, int]) -> list[Tick]:
    return [Tick("EURUSD", ask - 10, ask, START + at_s * SECOND) for at_s, ask in rows]


def play(session: KitSession, script: Any) -> Scene:
    async def main() -> Scene:
        scene = Scene(session)
        await scene.connection.start()
        scene.built.begin(ASK_BARS, "EURUSD", BarPeriod.M1, PriceType.ASK)
        await script(scene)
        await scene.connection.abort()
        return scene

    return asyncio.run(main())


def test_bars_that_lack_ticks_nobody_has_are_counted_and_told() -> None:
    session = KitSession(KitBroker())
    session.no_history = VenueError("SERVER_BUSY", "not now")

    async def script(s: Scene) -> None:
        s.quote(10, 500)
        s.built.interrupt()
        s.quote(130, 600)  # the third minute is under way
        assert s.built.interrupted
        await s.built.fill_gaps()
        for at_s, ask in ((185, 700), (241, 800)):
            s.quote(at_s, ask)

    scene = play(session, script)
    assert scene.bars == [(3, 700, 1)]
    assert scene.told == [
        f"{ASK_BARS}: up to 3 bars lack ticks that passed unseen and are left out "
        "(the broker's ticks could not be read: SERVER_BUSY: not now)"
    ]


def test_a_link_that_falls_again_while_history_is_read_leaves_the_gap_to_the_next() -> None:
    class Falls(KitSession):
        falls = 1

        async def history_ticks(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Tick]:
            if self.falls:
                self.falls -= 1
                self.lose_link()
                self.up = True
            return await super().history_ticks(symbol, start_ns, end_ns)

    session = Falls(KitBroker())
    session.ticks["EURUSD"] = ticks((10, 500), (40, 900), (70, 550), (130, 600), (150, 650), (170, 620))

    async def script(s: Scene) -> None:
        s.quote(10, 500)
        s.built.interrupt()
        s.quote(130, 600)
        await s.built.fill_gaps()
        assert s.bars == []  # nothing of a gap that has just grown
        s.quote(170, 620)
        await s.built.fill_gaps()
        s.quote(181, 630)

    scene = play(session, script)
    assert scene.bars == [(0, 900, 2), (1, 550, 1), (2, 650, 3)]
    assert len(scene.told) == 1
    assert scene.told[0].startswith(f"{ASK_BARS}: 2 bars ended while ticks passed unseen")


def test_a_link_whose_loss_is_told_after_the_read_it_broke_leaves_the_gap_to_the_next() -> None:
    """The read ends in the network thread before the account there says that the link is down."""

    class Falls(KitSession):
        falls = 1

        async def history_ticks(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Tick]:
            if self.falls:
                self.falls -= 1
                asyncio.get_running_loop().call_soon(self.lose_link)
                raise LinkLost("the link went")
            return await super().history_ticks(symbol, start_ns, end_ns)

    session = Falls(KitBroker())
    session.ticks["EURUSD"] = ticks((10, 500), (40, 900), (70, 550), (130, 600))

    async def script(s: Scene) -> None:
        s.quote(10, 500)
        s.built.interrupt()
        s.quote(130, 600)
        await s.built.fill_gaps()
        assert s.told == []
        session.restore_link()
        s.quote(170, 620)
        await s.built.fill_gaps()

    scene = play(session, script)
    assert scene.bars == [(0, 900, 2), (1, 550, 1)]


def test_a_gap_of_more_than_a_week_is_left_out() -> None:
    session = KitSession(KitBroker())

    async def script(s: Scene) -> None:
        s.quote(10, 500)
        s.built.interrupt()
        s.now_ns = START + 8 * DAY
        s.built.quote("EURUSD", 590, 600, s.now_ns)
        await s.built.fill_gaps()

    scene = play(session, script)
    assert scene.bars == []
    assert scene.told == [  # 8 days of 1,440 minutes, and the one that has begun
        f"{ASK_BARS}: up to 11521 bars lack ticks that passed unseen and are left out (longer ago than 7 days)"
    ]


def test_two_gaps_in_one_minute_that_is_left_out_do_not_cost_the_next() -> None:
    session = KitSession(KitBroker())
    session.no_history = VenueError("SERVER_BUSY", "not now")

    async def script(s: Scene) -> None:
        for at_s in (10, 40):
            s.quote(at_s, 500)
            s.built.interrupt()
            await s.built.fill_gaps()
        for at_s, ask in ((70, 600), (130, 700)):
            s.quote(at_s, ask)

    scene = play(session, script)
    assert scene.bars == [(1, 600, 1)]
    assert len(scene.told) == 1
    assert "up to 1 bars lack ticks" in scene.told[0]


def test_a_month_that_lacks_ticks_does_not_keep_a_minute_waiting_for_a_week_of_them() -> None:
    class Asked(KitSession):
        since: ClassVar[list[int]] = []

        async def history_ticks(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Tick]:
            self.since.append(start_ns)
            return await super().history_ticks(symbol, start_ns, end_ns)

    session = Asked(KitBroker())
    month = BarType.from_str(f"{EURUSD}-1-MONTH-ASK-EXTERNAL")
    session.ticks["EURUSD"] = ticks((10, 500), (40, 900))

    async def script(s: Scene) -> None:  # START is the 14th of November
        s.built.begin(month, "EURUSD", BarPeriod.MN1, PriceType.ASK)
        s.quote(10, 500)
        s.built.interrupt()
        s.quote(50, 600)
        await s.built.fill_gaps()
        s.quote(70, 700)

    scene = play(session, script)
    assert Asked.since == [START]
    assert scene.bars == [(0, 900, 3)]
    assert [line.split(" (")[1] for line in scene.told] == ["longer ago than 7 days)"]


def test_ticks_are_asked_for_by_the_clock_that_is_ahead() -> None:
    """Ours is an hour behind the broker's: what it stamped a minute ago lies in our future."""
    session = KitSession(KitBroker())
    session.ticks["EURUSD"] = ticks((10, 500), (50, 700))

    async def script(s: Scene) -> None:
        s.quote(10, 500)
        s.built.interrupt()
        s.now_ns = START + 70 * SECOND - 60 * MINUTE
        s.built.quote("EURUSD", 590, 600, START + 70 * SECOND)
        await s.built.fill_gaps()

    assert play(session, script).bars == [(0, 700, 2)]


def test_a_gap_of_prices_that_do_not_flow_again_is_not_read_with_the_others() -> None:
    session = KitSession(KitBroker())
    yen_bars = BarType.from_str(f"{USDJPY}-1-MINUTE-ASK-EXTERNAL")
    session.ticks["EURUSD"] = ticks((10, 500), (40, 900))

    async def script(s: Scene) -> None:
        s.built.begin(yen_bars, "USDJPY", BarPeriod.M1, PriceType.ASK)
        s.quote(10, 500)
        s.built.quote("USDJPY", 1_490, 1_500, s.now_ns)
        s.built.interrupt()
        s.quote(50, 600)
        assert s.built.to_fill({"USDJPY"})
        filling = asyncio.ensure_future(s.built.fill_gaps({"USDJPY"}))
        await asyncio.sleep(0)
        assert not s.built.to_fill({"USDJPY"})  # it is being read
        await filling
        assert s.built.interrupted
        assert not s.built.to_fill({"USDJPY"})
        assert s.built.to_fill(())
        s.quote(70, 600)

    assert play(session, script).bars == [(0, 900, 3)]


def test_a_gap_of_another_symbol_does_not_end_the_reading_of_this_one() -> None:
    """Quiet symbols fall silent all the time, and a week of ticks takes minutes."""

    class Meanwhile(KitSession):
        async def history_ticks(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Tick]:
            scenes[0].built.interrupt({"USDJPY"})
            return await super().history_ticks(symbol, start_ns, end_ns)

    session, scenes = Meanwhile(KitBroker()), []
    yen_bars = BarType.from_str(f"{USDJPY}-1-MINUTE-ASK-EXTERNAL")
    session.ticks["EURUSD"] = ticks((10, 500), (40, 900))

    async def script(s: Scene) -> None:
        scenes.append(s)
        s.built.begin(yen_bars, "USDJPY", BarPeriod.M1, PriceType.ASK)
        s.quote(10, 500)
        s.built.quote("USDJPY", 1_490, 1_500, s.now_ns)
        s.built.interrupt()
        s.quote(50, 600)
        await s.built.fill_gaps()
        s.quote(70, 600)

    assert play(session, script).bars == [(0, 900, 3)]
