"""Spots, bars, ticks, depth."""

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.market import Bar, BarPeriod, DepthLevel, Tick
from pepperstone_adapter.broker.symbols import AssetClass, SwapMode, SwapTerms, SymbolSpec
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.ctrader.client import market
from pepperstone_adapter.openapi import messages as oa

D = Decimal
DATA = Path(__file__).parents[2] / "data" / "ctrader" / "recorded-symbols-trendbars.jsonl"
NOW = 2**62


def spec(digits: int = 5) -> SymbolSpec:
    return SymbolSpec(
        name="EURUSD", description="", asset_class=AssetClass.FX, base_currency="EUR", quote_currency="USD",
        digits=digits, pip_position=4, contract_size=D(100_000), volume_min=D(1_000), volume_step=D(1_000),
        volume_max=D(10**7), hours=TradingHours.always(), swap=SwapTerms(mode=SwapMode.DISABLED),
        leverage_class="fx_major", venue_id=1,
    )  # fmt: skip


def ns(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 10**9


def test_spots_of_both_one_and_no_side() -> None:
    event = oa.SpotEvent(ctidTraderAccountId=1, symbolId=1, bid=114_791, ask=114_793, timestamp=1_600_000_000_123)
    assert market.tick(event, spec()) == Tick("EURUSD", 114_791, 114_793, 1_600_000_000_123_000_000)
    event.ClearField("ask")
    assert market.tick(event, spec()) == Tick("EURUSD", 114_791, None, 1_600_000_000_123_000_000)
    event.ClearField("bid")
    assert market.tick(event, spec()) is None


def test_recorded_bars_are_ascending_and_exact() -> None:
    for row in map(json.loads, DATA.read_text().splitlines()):
        if row["type"] == 2138:
            answer = oa.GetTrendbarsRes.FromString(base64.b64decode(row["payload"]))
    bars = market.bars(answer, spec(), BarPeriod.M15, NOW)
    # low 114791, open +22, close +35, high +44; opened 29,828,535 minutes after 1970
    assert bars[0] == Bar(
        "EURUSD", BarPeriod.M15, 29_828_535 * 60 * 10**9, 114_813, 114_835, 114_791, 114_826, 1_613, True, False
    )
    assert [bar.open_ns for bar in bars] == sorted(bar.open_ns for bar in bars)
    assert not any(bar.repaired for bar in bars)
    with pytest.raises(DataError, match="was given others"):
        market.bars(answer, spec(), BarPeriod.M1, NOW)


def test_a_bar_without_a_usable_high_is_made_legal_and_marked() -> None:
    # the venue's fault: deltaHigh and deltaClose 0 while the open lies 30 above the low
    bad = oa.Trendbar(volume=5, low=100_000, deltaOpen=30, deltaClose=0, deltaHigh=0, utcTimestampInMinutes=1)
    bar = market.bar(bad, spec(), BarPeriod.M1, NOW)
    assert (bar.open, bar.high, bar.low, bar.close, bar.repaired) == (100_030, 100_030, 100_000, 100_000, True)


@given(st.integers(1, 10**9), *(st.integers(0, 10**6) for _ in range(3)))
def test_every_bar_that_comes_out_is_legal(low: int, open_: int, close: int, high: int) -> None:
    payload = oa.Trendbar(volume=1, low=low, deltaOpen=open_, deltaClose=close, deltaHigh=high, utcTimestampInMinutes=1)
    bar = market.bar(payload, spec(), BarPeriod.M1, NOW)
    assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
    assert bar.repaired == (high < max(open_, close))


def test_a_bar_without_price_or_time_is_refused() -> None:
    with pytest.raises(DataError, match="without price or time"):
        market.bar(oa.Trendbar(volume=1, utcTimestampInMinutes=1), spec(), BarPeriod.M1, NOW)


@pytest.mark.parametrize(
    ("period", "opened", "ends"),
    [
        (BarPeriod.M1, (2024, 1, 2, 10, 0), (2024, 1, 2, 10, 1)),
        (BarPeriod.H1, (2024, 1, 2, 10, 0), (2024, 1, 2, 11, 0)),
        (BarPeriod.D1, (2024, 1, 2, 22, 0), (2024, 1, 3, 22, 0)),  # 17:00 New York in winter
        (BarPeriod.D1, (2024, 7, 2, 21, 0), (2024, 7, 3, 21, 0)),  # in summer
        (BarPeriod.D1, (2024, 3, 8, 22, 0), (2024, 3, 9, 22, 0)),
        (BarPeriod.D1, (2024, 3, 9, 22, 0), (2024, 3, 10, 21, 0)),  # 10 March 2024: the clock goes forward
        (BarPeriod.D1, (2024, 11, 2, 21, 0), (2024, 11, 3, 22, 0)),  # 3 November 2024: and back
        (BarPeriod.H4, (2024, 1, 2, 22, 0), (2024, 1, 3, 2, 0)),
        (BarPeriod.H12, (2024, 7, 3, 9, 0), (2024, 7, 3, 21, 0)),
        (BarPeriod.W1, (2024, 1, 7, 22, 0), (2024, 1, 14, 22, 0)),
        (BarPeriod.W1, (2024, 3, 3, 22, 0), (2024, 3, 10, 21, 0)),
        (BarPeriod.MN1, (2024, 2, 29, 22, 0), (2024, 3, 31, 21, 0)),
        (BarPeriod.MN1, (2024, 11, 30, 22, 0), (2024, 12, 31, 22, 0)),
    ],
)
def test_long_bars_end_with_the_new_york_day(period: BarPeriod, opened: tuple[int, ...], ends: tuple[int, ...]) -> None:
    assert market.bar_end_ns(period, ns(*opened)) == ns(*ends)


def test_ticks_are_differences_from_the_newest_backwards() -> None:
    entries = [
        oa.TickData(timestamp=1_000, tick=110_000),
        oa.TickData(timestamp=-10, tick=-5),
        oa.TickData(timestamp=-20, tick=3),
    ]
    assert market.tick_chain(entries) == [(1_000, 110_000), (990, 109_995), (970, 109_998)]


def test_both_sides_merge_into_one_quote_an_instant() -> None:
    bids = [(90, 109_990), (100, 110_000), (120, 110_001)]
    asks = [(95, 110_011), (100, 110_010), (130, 110_012), (200, 110_020)]
    # before 100 nothing is asked for; at 100 both sides moved: one quote; 200 lies beyond the end
    assert market.merge_ticks(bids, asks, spec(), 100, 200) == [
        Tick("EURUSD", 110_000, 110_010, 100_000_000),
        Tick("EURUSD", 110_001, 110_010, 120_000_000),
        Tick("EURUSD", 110_001, 110_012, 130_000_000),
    ]


def test_no_quote_before_both_sides_are_known() -> None:
    assert market.merge_ticks([(100, 1)], [], spec(), 0, 1_000) == []


def test_depth_sets_and_deletes_by_id() -> None:
    event = oa.DepthEvent(
        ctidTraderAccountId=1,
        symbolId=1,
        newQuotes=[oa.DepthQuote(id=5, size=100_000_000, bid=110_000), oa.DepthQuote(id=6, size=50, ask=110_010)],
        deletedQuotes=[3, 4],
    )
    update = market.depth(event, spec(), 9)
    assert update.upserts == (DepthLevel(5, True, 110_000, 100_000_000), DepthLevel(6, False, 110_010, 50))
    assert (update.deletes, update.ts_ns) == ((3, 4), 9)
