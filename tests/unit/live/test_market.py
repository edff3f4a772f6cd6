"""Quotes from one-sided ticks, bars from ticks, market status and silent feeds, history ranges: all without I/O."""

import asyncio
from dataclasses import replace

import pytest
from nautilus_trader.live import SubmissionRecoveryPolicy
from nautilus_trader.model import BarType, MarketStatusAction, PriceType

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.broker.server_time import UTC_CLOCK
from pepperstone_adapter.broker.symbols import TradingMode
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.live.bars import TickBars, bars_from_ticks
from pepperstone_adapter.live.connection import conversion_symbols
from pepperstone_adapter.live.history import DAY_NS, bar_range, load_bars, tick_range
from pepperstone_adapter.live.market_state import StaleFeed, market_state
from pepperstone_adapter.live.presets import engine_config, unsafe_overrides
from pepperstone_adapter.live.quotes import QuoteMerge
from tests.kit.broker import SPECS, KitBroker, spec
from tests.kit.broker_session import KitSession

MINUTE = 60_000_000_000
S = 1_000_000_000


def test_f55_a_quote_needs_both_sides_and_a_lost_link_forgets_them() -> None:
    quote = QuoteMerge()
    assert not quote.update(108_500, None, 1)
    assert quote.update(None, 108_507, 2)
    assert quote.update(108_501, None, 3)
    assert (quote.bid, quote.ask) == (108_501, 108_507)
    quote.reset()
    assert (quote.bid, quote.ask) == (None, None)
    assert not quote.update(None, 108_600, 4)


def test_f57_impossible_prices_are_held_back_and_counted() -> None:
    quote = QuoteMerge()
    quote.update(108_500, 108_507, 1)
    assert not quote.update(0, None, 2)
    assert not quote.update(108_600, None, 3)  # above the ask: its other half is on the way
    assert quote.update(None, 108_607, 4)
    assert not quote.update(240_000, 240_007, 5)  # more than double
    assert quote.held_back == 3
    assert quote.update(240_001, 240_008, 6)  # and confirmed


@pytest.mark.parametrize("spike", [(240_000, None), (None, 240_000), (50_000, None), (None, 50_000)])
def test_f57_a_spike_of_one_side_is_held_back_until_that_side_says_so_again(
    spike: tuple[int | None, int | None],
) -> None:
    quote = QuoteMerge()
    quote.update(108_500, 108_507, 1)
    assert not quote.update(*spike, 2)
    side = 0 if spike[0] else 1
    other = (None, 108_508) if side == 0 else (108_501, None)
    quote.update(*other, 3)  # the other side goes on and confirms nothing
    assert (quote.bid, quote.ask) in ((108_500, 108_508), (108_501, 108_507))
    assert quote.held_back == 1


@pytest.mark.parametrize("to", [240_000, 50_000])
def test_f57_a_jump_told_one_side_at_a_time_passes_once_both_sides_said_it_twice(to: int) -> None:
    quote = QuoteMerge()
    quote.update(108_500, 108_507, 1)
    told = [quote.update(*tick, 2) for tick in ((to, None), (None, to + 7), (to + 1, None), (None, to + 8))]
    assert told == [False, False, False, True]  # the third is good, and no companion of the ask that was
    assert (quote.bid, quote.ask, quote.held_back) == (to + 1, to + 8, 3)


def test_bars_of_the_ask_begin_with_the_first_whole_period() -> None:
    bars = TickBars("EURUSD", BarPeriod.M1, PriceType.ASK)
    assert bars.add(1, 5, 30 * S) is None  # in the middle of a minute
    assert bars.add(1, 7, MINUTE) is None
    assert bars.add(1, 9, MINUTE + S) is None
    assert bars.add(1, 6, MINUTE + 2 * S) is None
    done = bars.add(1, 8, 3 * MINUTE)
    assert done is not None
    assert (done.open_ns, done.open, done.high, done.low, done.close, done.volume) == (MINUTE, 7, 9, 6, 6, 3)
    closed = bars.close(4 * MINUTE)
    assert closed is not None
    assert closed.open_ns == 3 * MINUTE
    assert bars.add(1, 8, 3 * MINUTE + S) is None  # late: its bar is published
    assert bars.close(5 * MINUTE) is None


def test_bars_of_the_mid_from_history_are_whole() -> None:
    ticks = [Tick("EURUSD", 10, 13, MINUTE), Tick("EURUSD", None, 14, MINUTE + 1), Tick("EURUSD", 20, 22, 2 * MINUTE)]
    bars = bars_from_ticks(ticks, "EURUSD", BarPeriod.M1, PriceType.MID, 3 * MINUTE)
    assert [(b.open_ns, b.close) for b in bars] == [(MINUTE, 11), (2 * MINUTE, 21)]


def test_days_and_quarters_of_them_begin_where_the_brokers_do() -> None:
    """A day of 23 hours (New York's clock went forward on 2024-03-10): its last four-hour bar has three."""
    hour = 3600 * S
    day = 1_710_021_600 * S  # 2024-03-09 22:00 UTC
    ticks = [Tick("BTCUSD", n, n, day + n * hour) for n in range(48)]

    def built(period: BarPeriod) -> list[tuple[float, int, int]]:
        bars = bars_from_ticks(ticks, "BTCUSD", period, PriceType.ASK, day + 48 * hour)
        return [((b.open_ns - day) / hour, b.open, b.volume) for b in bars]

    assert built(BarPeriod.H4)[:8] == [(n, n, 4) for n in (0, 4, 8, 12, 16)] + [(20, 20, 3), (23, 23, 4), (27, 27, 4)]
    assert built(BarPeriod.D1) == [(0, 0, 23), (23, 23, 24)]
    live = TickBars("BTCUSD", BarPeriod.D1, PriceType.ASK)
    done = [bar for tick in ticks if (bar := live.add(tick.bid or 0, tick.ask or 0, tick.ts_ns + 1))]
    # the first day began before the first tick
    assert [(b.open_ns, b.open, b.close, b.volume) for b in done] == [(day + 23 * hour, 23, 46, 24)]
    assert live.close(day + 70 * hour) is None
    closed = live.close(day + 71 * hour)
    assert closed is not None
    assert (closed.open_ns, closed.volume) == (day + 47 * hour, 1)


def test_bars_of_an_account_with_another_server_time_follow_its_rule() -> None:
    """A server on UTC: its four hours begin at 00:00, 04:00 ..., its days at midnight, in the ASK as in the BID."""
    hour, monday = 3600 * S, 1_720_396_800 * S  # 2024-07-08 00:00 UTC
    session = KitSession(KitBroker(), server_clock=UTC_CLOCK, bar_periods=(BarPeriod.H4, BarPeriod.D1))
    session.ticks["EURUSD"] = [Tick("EURUSD", n, n, monday + n * hour) for n in range(1, 72)]
    session.bars["EURUSD", BarPeriod.D1] = [Bar("EURUSD", BarPeriod.D1, monday, 10, 12, 9, 11, 5, closed=True)]

    def closes(name: str) -> list[float]:
        kind = BarType.from_str(f"EURUSD.PEPPERSTONE-{name}-EXTERNAL")
        work = load_bars(session, SPECS[0], kind, 0, monday, monday + 48 * hour, None, monday + 72 * hour)
        return [(bar.ts_event - monday) / hour for bar in asyncio.run(work)]

    assert closes("4-HOUR-ASK") == [4.0 * n for n in range(1, 13)]
    assert closes("1-DAY-ASK") == [24, 48]
    assert closes("1-DAY-BID") == [24]


def test_f52_status_follows_hours_and_trading_mode() -> None:
    # open from Monday 00:00 to Friday 24:00 UTC; 1970-01-01 was a Thursday
    weekdays = replace(SPECS[0], hours=TradingHours(zone="UTC", intervals=((86_400, 6 * 86_400),)))
    thursday, saturday = 12 * 3600 * S, 2 * DAY_NS + S
    assert market_state(weekdays, thursday).action is MarketStatusAction.TRADING
    assert market_state(weekdays, saturday).action is MarketStatusAction.CLOSE
    only = replace(weekdays, trading_mode=TradingMode.CLOSE_ONLY)
    assert market_state(only, thursday).action is MarketStatusAction.HALT
    off = replace(weekdays, trading_mode=TradingMode.DISABLED)
    assert market_state(off, thursday).action is MarketStatusAction.NOT_AVAILABLE_FOR_TRADING


def test_f51_silence_is_told_once_and_counts_from_the_opening() -> None:
    feed = StaleFeed(after_s=60)
    friday = 1 * S
    assert feed.check([("EURUSD", friday)], 200_000 * S) == ([], [])  # the market has just opened
    assert feed.check([("EURUSD", friday)], 200_061 * S) == (["EURUSD"], [])
    assert feed.check([("EURUSD", friday)], 200_099 * S) == ([], [])
    assert feed.check([("EURUSD", 200_100 * S)], 200_101 * S) == ([], ["EURUSD"])
    assert feed.check([], 300_000 * S) == ([], [])  # closed: no alarm
    assert StaleFeed(after_s=0).check([("EURUSD", 1)], 10**18) == ([], [])


def test_f51_silence_that_nothing_could_be_done_about_is_told_again_after_as_long() -> None:
    feed = StaleFeed(after_s=60)
    assert feed.check([("EURUSD", 1 * S)], 1 * S) == ([], [])
    assert feed.check([("EURUSD", 1 * S)], 62 * S) == (["EURUSD"], [])
    feed.again(["EURUSD"], 62 * S)
    assert feed.check([("EURUSD", 1 * S)], 122 * S) == ([], [])
    assert feed.check([("EURUSD", 1 * S)], 123 * S) == (["EURUSD"], [])
    assert not feed.dead_since_ns  # it is tried once more
    feed.again(["EURUSD"], 123 * S)
    assert set(feed.dead_since_ns) == {"EURUSD"}
    assert feed.check([("EURUSD", 130 * S)], 131 * S) == ([], ["EURUSD"])  # it came back by itself
    assert not feed.dead_since_ns
    assert feed.check([("EURUSD", 130 * S)], 191 * S) == (["EURUSD"], [])


def test_history_without_a_start_reaches_over_weekends() -> None:
    now = 100 * DAY_NS
    wanted = bar_range(BarPeriod.H1, None, None, 24, now)
    assert wanted.end_ns == now
    assert now - wanted.start_ns > 3 * DAY_NS
    assert tick_range(None, None, None, now).start_ns == now - 3600 * S
    with pytest.raises(ConfigurationError, match="not before"):
        bar_range(BarPeriod.H1, now, None, None, now)
    with pytest.raises(ConfigurationError, match="data download"):
        bar_range(BarPeriod.M1, 1, None, None, 10_000 * DAY_NS)
    with pytest.raises(ConfigurationError, match="7 days"):
        tick_range(1, None, None, now)


def test_conversion_pairs_are_found_in_one_step_or_two() -> None:
    known = {s.name: s for s in (*SPECS, spec("EURJPY", 3), spec("EURGBP"))}
    assert conversion_symbols([known["USDJPY"]], known, "USD") == ["USDJPY"]
    assert conversion_symbols([known["EURUSD"]], known, "USD") == []
    assert conversion_symbols([known["EURJPY"]], known, "GBP") == ["USDJPY", "GBPUSD"]
    assert conversion_symbols([known["EURJPY"]], known, "AUD") == []


def test_safe_engine_options_are_ours_and_overriding_one_warns() -> None:
    config = engine_config({})
    assert config.inflight_check_interval_ms == 0
    assert config.open_check_interval_secs is None
    assert unsafe_overrides({}) == []
    assert unsafe_overrides({"reconciliation": True, "open_check_lookback_mins": 5}) == []
    (warning,) = unsafe_overrides({"inflight_check_interval_ms": 2_000})
    assert "declared cancelled on silence" in warning
    ours, others = ({"submission_recovery_policy": name} for name in ("RETAIN_UNRESOLVED", "RESOLVE_LOCALLY"))
    assert unsafe_overrides(ours) == []
    assert len(unsafe_overrides(others)) == 1
    assert engine_config(others).submission_recovery_policy == SubmissionRecoveryPolicy.RESOLVE_LOCALLY


def test_bars_of_a_range_close_in_it() -> None:
    """A strategy that asks for the past up to ten o'clock must not be told of what closed after it."""
    hour = 3600 * S
    session = KitSession(KitBroker())
    session.bars["EURUSD", BarPeriod.H1] = [
        Bar("EURUSD", BarPeriod.H1, n * hour, 10, 12, 9, 11, 5, closed=True) for n in range(24)
    ]
    hourly = BarType.from_str("EURUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL")

    def closes(start_ns: int, end_ns: int) -> list[float]:
        work = load_bars(session, SPECS[0], hourly, 0, start_ns, end_ns, None, 30 * hour)
        return [bar.ts_event / hour for bar in asyncio.run(work)]

    assert closes(8 * hour, 10 * hour) == [8, 9, 10]
    assert closes(8 * hour + 1, 10 * hour - 1) == [9]
    assert closes(8 * hour + hour // 2, 10 * hour + hour // 2) == [9, 10]
