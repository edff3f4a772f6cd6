"""Live bars on a clock that only runs while they wait: a period is the server's, not UTC's."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from pepperstone_adapter.broker.market import Bar, BarPeriod
from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.common.errors import LinkLost
from pepperstone_adapter.mt5.client.history import PERIOD_S
from pepperstone_adapter.mt5.client.live_bars import LiveBars, forming_opened_ns
from tests.kit.mt5_rows import spec

NS = 1_000_000_000
CLOCK = parse_clock("new-york+7")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


@pytest.mark.parametrize(
    ("now", "period", "opened"),
    [
        ("2026-07-15 08:30", BarPeriod.H4, "2026-07-15 05:00"),  # 11:30 at the server, whose bar began at 08:00
        ("2026-11-18 08:30", BarPeriod.H4, "2026-11-18 06:00"),  # 10:30 in winter
        ("2026-07-15 08:30", BarPeriod.D1, "2026-07-14 21:00"),
        ("2026-11-18 08:30", BarPeriod.D1, "2026-11-17 22:00"),
        ("2026-11-18 23:30", BarPeriod.D1, "2026-11-18 22:00"),
        ("2026-07-15 08:30", BarPeriod.H1, "2026-07-15 08:00"),
        ("2026-03-08 12:00", BarPeriod.D1, "2026-03-07 22:00"),  # that Sunday has 23 hours
        ("2026-11-01 12:00", BarPeriod.D1, "2026-10-31 21:00"),  # and that one 25
        ("2026-11-01 06:20", BarPeriod.M5, "2026-11-01 06:20"),  # the second 08:20 of that day
    ],
)
def test_the_bar_of_now_opened_with_the_servers_day(now: str, period: BarPeriod, opened: str) -> None:
    assert forming_opened_ns(CLOCK, at(now), PERIOD_S[period] * NS) == at(opened)


@pytest.mark.parametrize(
    ("period", "began", "closes"),
    [
        (BarPeriod.H4, "2026-07-15 08:30", "2026-07-15 09:00"),
        (BarPeriod.D1, "2026-07-15 08:30", "2026-07-15 21:00"),
        (BarPeriod.M1, "2026-07-15 08:30", "2026-07-15 08:31"),
    ],
)
def test_the_bar_that_forms_when_it_is_subscribed_to_is_told_when_it_closes(
    period: BarPeriod, began: str, closes: str
) -> None:
    now_ns = at(began) + 7 * NS
    step_ns = PERIOD_S[period] * NS
    told: list[tuple[int, int]] = []

    async def pause(seconds: float) -> None:
        nonlocal now_ns
        now_ns += round(seconds * NS)
        await asyncio.sleep(0)

    async def read(symbol: str, wanted: BarPeriod, start_ns: int, end_ns: int) -> list[Bar]:
        first = at(closes) - 3 * step_ns
        opens = [o for o in range(first, now_ns, step_ns) if start_ns <= o < end_ns and o + step_ns <= now_ns]
        return [Bar(symbol, wanted, o, 1, 1, 1, 1, 1) for o in opens]

    async def main() -> None:
        done = asyncio.Event()

        def emit(new: Sequence[Bar]) -> None:
            told.extend((bar.open_ns, now_ns) for bar in new)
            done.set()

        bars = LiveBars(lambda _name: spec(), read, emit, CLOCK, lambda: now_ns, pause)
        bars.subscribe("EURUSD", period)
        await asyncio.wait_for(done.wait(), 10)
        bars.close()

    asyncio.run(main())
    assert [opened for opened, _ in told] == [at(closes) - step_ns]
    assert told[0][1] - at(closes) < 5 * NS


def test_a_bar_that_was_missed_does_not_make_the_newest_one_a_period_late() -> None:
    """The link was down at nine; at ten the terminal has the bar of before nine at once, and the newest a moment later."""
    nine, ten, step_ns = at("2026-07-15 09:00"), at("2026-07-15 10:00"), 3600 * NS
    now_ns = nine - 60 * NS
    told: list[tuple[int, int]] = []

    async def pause(seconds: float) -> None:
        nonlocal now_ns
        now_ns += round(seconds * NS)
        await asyncio.sleep(0)

    async def read(symbol: str, wanted: BarPeriod, start_ns: int, end_ns: int) -> list[Bar]:
        if now_ns < ten:
            raise LinkLost("away")
        there = [nine - step_ns] if now_ns < ten + NS // 2 else [nine - step_ns, nine]
        return [Bar(symbol, wanted, o, 1, 1, 1, 1, 1) for o in there if start_ns <= o < end_ns]

    async def main() -> None:
        done = asyncio.Event()

        def emit(new: Sequence[Bar]) -> None:
            told.extend((bar.open_ns, now_ns) for bar in new)
            if len(told) == 2:
                done.set()

        bars = LiveBars(lambda _name: spec(), read, emit, CLOCK, lambda: now_ns, pause)
        bars.subscribe("EURUSD", BarPeriod.H1)
        await asyncio.wait_for(done.wait(), 10)
        bars.close()

    asyncio.run(main())
    assert [opened for opened, _ in told] == [nine - step_ns, nine]
    assert told[1][1] - ten < 5 * NS


@pytest.mark.parametrize(
    ("period", "opened", "closes"),
    [(BarPeriod.D1, "2026-03-07 22:00", "2026-03-08 21:00"), (BarPeriod.H4, "2026-03-08 06:00", "2026-03-08 09:00")],
)
def test_a_bar_that_a_clock_change_makes_an_hour_shorter_is_told_when_it_closes(
    period: BarPeriod, opened: str, closes: str
) -> None:
    now_ns = at(closes) - 30 * 60 * NS
    told: list[tuple[int, int]] = []

    async def pause(seconds: float) -> None:
        nonlocal now_ns
        now_ns += round(seconds * NS)
        await asyncio.sleep(0)

    async def read(symbol: str, wanted: BarPeriod, start_ns: int, end_ns: int) -> list[Bar]:
        over = start_ns <= at(opened) < end_ns and now_ns >= at(closes)
        return [Bar(symbol, wanted, at(opened), 1, 1, 1, 1, 1)] if over else []

    async def main() -> None:
        done = asyncio.Event()

        def emit(new: Sequence[Bar]) -> None:
            told.extend((bar.open_ns, now_ns) for bar in new)
            done.set()

        bars = LiveBars(lambda _name: spec(), read, emit, CLOCK, lambda: now_ns, pause)
        bars.subscribe("BTCUSD", period)
        await asyncio.wait_for(done.wait(), 10)
        bars.close()

    asyncio.run(main())
    assert [opened_ns for opened_ns, _ in told] == [at(opened)]
    assert told[0][1] - at(closes) < 5 * NS
