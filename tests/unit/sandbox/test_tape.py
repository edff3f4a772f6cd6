"""Tapes: the random walk, bars walked through, the shift by whole weeks."""

from itertools import islice
from pathlib import Path

import pytest

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.sandbox.server import settings_for_tests
from pepperstone_adapter.sandbox.source import prices_for, walk_bar
from pepperstone_adapter.sandbox.tape import NS, RandomWalk, whole_weeks

T0 = 1_705_305_600 * NS  # Monday 2024-01-15 08:00 UTC
NAMES = ("EURUSD", "GBPUSD", "EURGBP", "USDJPY", "EURJPY", "XAUUSD")
SPECS = [symbol_table.get(name) for name in NAMES]


def test_same_seed_same_tape() -> None:
    def first(seed: int) -> list[object]:
        return list(islice(RandomWalk(SPECS, seed, T0, 10.0), 500))

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_a_walk_is_ordered_two_sided_and_at_its_rate() -> None:
    ticks = list(islice(RandomWalk(SPECS, 1, T0, 10.0), 1_006))
    stamps = [tick.ts_ns for tick in ticks]
    assert stamps == sorted(stamps)
    assert {tick.symbol for tick in ticks[:6]} == set(NAMES)  # everyone has a price at once
    assert all(tick.ask_points > tick.bid_points > 0 for tick in ticks)
    assert stamps[-1] - T0 == 100 * NS  # a thousand ticks at ten a second


def test_triangles_stay_closed() -> None:
    walk = RandomWalk(SPECS, 3, T0, 10.0)
    last: dict[str, float] = {}
    for tick in islice(walk, 20_000):
        last[tick.symbol] = tick.bid_points / 10 ** symbol_table.get(tick.symbol).digits
    assert last["EURGBP"] == pytest.approx(last["EURUSD"] / last["GBPUSD"], rel=2e-3)
    assert last["EURJPY"] == pytest.approx(last["EURUSD"] * last["USDJPY"], rel=2e-3)


def test_history_ends_where_the_tape_begins_and_keeps_hours() -> None:
    walk = RandomWalk(SPECS[:1], 1, T0, 10.0)
    bars = list(walk.history(4, T0))
    first = next(iter(walk))
    assert abs(bars[-1].close - first.bid_points) <= 1
    assert [bar.minute for bar in bars] == sorted({bar.minute for bar in bars})
    assert bars[-1].minute == T0 // NS // 60 - 1
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
    closed = [bar for bar in bars if not SPECS[0].hours.is_open(bar.minute * 60 * NS)]
    assert closed == []  # nothing on Saturday and Sunday
    assert len(bars) < 4 * 1_440


def test_a_bar_is_walked_through_its_corners_inside_its_time() -> None:
    path = list(walk_bar(T0, 3_600, 100, 130, 95, 120, 0.01))
    prices = [bid for _, bid in path]
    assert (prices[0], prices[-1], max(prices), min(prices)) == (100, 120, 130, 95)
    assert prices.index(min(prices)) < prices.index(max(prices))  # the low is nearer to the open
    assert path[0][0] == T0 - 3_600 * NS
    assert path[-1][0] < T0
    assert len(path) == 37


def test_the_shift_keeps_the_hour_of_the_week() -> None:
    week = 7 * 86_400 * NS
    by_ns = whole_weeks(T0, T0 + 3 * week + 5 * NS)
    assert by_ns == 3 * week


def test_the_bundled_samples_are_replayed(tmp_path: Path) -> None:
    settings = settings_for_tests(
        tmp_path, tape={"source": "catalog", "speed": 0.0, "shift": False, "start": "2021-03-01", "end": "2021-03-02"}
    )
    specs = [symbol_table.get("GBPUSD"), symbol_table.get("USDJPY")]
    prices = prices_for(settings, specs)
    assert prices.ticks is not None
    ticks = list(islice(prices.ticks, 300))
    assert [t.ts_ns for t in ticks] == sorted(t.ts_ns for t in ticks)
    assert {t.symbol for t in ticks} == {"GBPUSD", "USDJPY"}
    assert all(t.ts_ns >= 1_614_556_800 * NS for t in ticks)


def test_without_a_start_the_last_days_are_replayed_now_on_the_same_weekday(tmp_path: Path) -> None:
    now_ns = T0 + 100 * 7 * 86_400 * NS
    settings = settings_for_tests(tmp_path, tape={"source": "catalog", "speed": 0.0, "history_days": 3})
    prices = prices_for(settings, [symbol_table.get("GBPUSD")], now_ns=lambda: now_ns)
    assert prices.ticks is not None
    first = next(iter(prices.ticks))
    assert now_ns <= first.ts_ns <= now_ns + 3_600 * NS
    bars = list(prices.bars)
    assert bars[-1].minute * 60 * NS < now_ns
    assert len(bars) == 24  # three days back from Monday 08:00 are eight hours of it, Sunday evening, Friday from 08:00


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": "yesterday"}, "no date"),
        ({"start": "2021-03-01"}, "none of symbols.names has prices from 2021-03-01 on"),
    ],
)
def test_bad_replays_are_one_clear_error(changes: dict[str, str], words: str, tmp_path: Path) -> None:
    settings = settings_for_tests(tmp_path, tape={"source": "catalog", **changes})
    names = ["GBPUSD"] if "yesterday" in changes.values() else ["AUDUSD"]
    with pytest.raises(ConfigurationError, match=words):
        prices_for(settings, [symbol_table.get(name) for name in names])
