"""The three strategies on prices made by hand: every entry, stop, target and partial close where the rules put it.

All bars are built so that each one's true range is 0.0020; the average true range is then 0.0020 whatever its average.
"""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from nautilus_trader.model import OmsType, OrderSide, OrderStatus, OrderType

from strategies.donchian_breakout import DonchianBreakout, DonchianBreakoutConfig
from strategies.ema_cross import EmaCross, EmaCrossConfig
from strategies.mean_reversion import MeanReversion, MeanReversionConfig
from tests.kit.price_path import HOUR_NS, MONDAY_NS, Ohlc, Outcome, bar_type, trade

BOTH_MODES = pytest.mark.parametrize("oms", [OmsType.HEDGING, OmsType.NETTING], ids=["hedging", "netting"])


def steps(start: float, *moves: int) -> list[Ohlc]:
    """Bars that move by +10 or -10 pips from close to close, with 5 pips beyond each end: true range 20 pips."""
    bars, close = [], start
    for move in moves:
        after = round(close + move * 0.0010, 5)
        bars.append((close, round(max(close, after) + 0.0005, 5), round(min(close, after) - 0.0005, 5), after))
        close = after
    return bars


def mirrored(bars: Sequence[Ohlc], around: float = 1.1) -> list[Ohlc]:
    return [tuple(round(2 * around - x, 5) for x in (o, low, high, c)) for o, high, low, c in bars]  # type: ignore[misc]


# --- EMA cross ---------------------------------------------------------------------------------------------------
# Fast 2 and slow 3 bars. After a long steady fall fast stands half a step below slow; the first rising bar leaves it
# 1/6 of a step below, the second lifts it 1/9 above: the cross. From 1.1000 twelve bars fall to 1.0880, two rise to
# 1.0900: the entry. Stop 1.0900 - 2 x 0.0020 = 1.0860, target 1.0900 + 4 x 0.0020 = 1.0980, bought at the ask 1.09002.
FALL_AND_CROSS = steps(1.1000, *[-1] * 12, 1, 1)


def ema(**changes: Any) -> EmaCross:
    settings = {"fast_period": 2, "slow_period": 3, "atr_period": 3, "units": 100_000}
    return EmaCross(EmaCrossConfig(bar_type=bar_type("EURUSD"), **settings | changes))


@BOTH_MODES
def test_a_cross_upwards_buys_and_the_target_takes_the_profit(oms: OmsType) -> None:
    done = trade(ema(), FALL_AND_CROSS + steps(1.0900, *[1] * 9), oms=oms)

    assert done.filled() == [("MARKET", "BUY", "100000", "1.09002"), ("LIMIT", "SELL", "100000", "1.09800")]
    # (1.0980 - 1.09002) x 100,000
    assert done.balance == Decimal(100_000) + Decimal("798.00")
    assert not done.open_positions()


@BOTH_MODES
def test_the_stop_loses_what_was_planned(oms: OmsType) -> None:
    crash = [(1.0900, 1.0905, 1.0840, 1.0845)]

    done = trade(ema(allow_short=False), FALL_AND_CROSS + crash, oms=oms)

    assert done.filled() == [("MARKET", "BUY", "100000", "1.09002"), ("STOP_MARKET", "SELL", "100000", "1.08600")]
    # (1.0860 - 1.09002) x 100,000
    assert done.balance == Decimal(100_000) - Decimal("402.00")


def test_risk_decides_the_size() -> None:
    # 0.5 % of 100,000 USD are 500 USD; 0.0040 USD a unit: 125,000 units
    done = trade(ema(units=None, risk_percent="0.5"), FALL_AND_CROSS)

    assert [o for o in done.filled() if o[0] == "MARKET"] == [("MARKET", "BUY", "125000", "1.09002")]


def test_risk_is_measured_in_account_currency() -> None:
    # USDJPY 150: ten times the steps are 1.0 yen a bar, a stop 4 yen away; 1 yen is 1 / mid dollars, and the mid stands
    # near 139. 500 USD / (4 / 139) = 17,375 units, down to 17,000
    bars = [tuple(round(x * 1000 - 951, 3) for x in bar) for bar in FALL_AND_CROSS]
    config = EmaCrossConfig(bar_type=bar_type("USDJPY"), fast_period=2, slow_period=3, atr_period=3, risk_percent=0.5)

    done = trade(EmaCross(config), bars, symbol="USDJPY", spread=0.002)

    assert [(o[1], o[2]) for o in done.filled()] == [("BUY", "17000")]


@BOTH_MODES
def test_a_cross_back_turns_the_position_round(oms: OmsType) -> None:
    # Far target: only the cross ends the trade. After four more rises to 1.0940 the fall crosses on its second bar.
    done = trade(ema(target_atr=50, stop_atr=10), FALL_AND_CROSS + steps(1.0900, 1, 1, 1, 1, -1, -1, -1), oms=oms)

    assert sorted(done.filled()[1:]) == [("MARKET", "SELL", "100000", "1.09200")] * 2
    # bought at 1.09002, sold at 1.0920; the short from 1.0920 is still open
    assert done.balance == Decimal(100_000) + Decimal("198.00")
    assert [p.signed_qty for p in done.open_positions()] == [-100_000]
    # the bracket of the first trade is gone, that of the second stands
    waiting = [o for o in done.orders if o.is_open]
    assert sorted((o.order_type.name, o.side.name) for o in waiting) == [("LIMIT", "BUY"), ("STOP_MARKET", "BUY")]


def test_no_short_positions_when_they_are_not_wanted() -> None:
    done = trade(ema(allow_short=False), mirrored(FALL_AND_CROSS))

    assert done.orders == []
    assert [o[1] for o in trade(ema(), mirrored(FALL_AND_CROSS)).filled()] == ["SELL"]


@pytest.mark.parametrize(("session", "trades"), [("13:00-15:00", 1), ("14:30-18:00", 0), ("", 1)])
def test_nothing_is_opened_outside_the_session(session: str, trades: int) -> None:
    # the cross is the close of the 14th bar: 14:00 UTC; the bar after it is no second chance
    done = trade(ema(session=session, session_zone="UTC"), FALL_AND_CROSS + steps(1.0900, 1))

    assert len(done.filled()) == trades


def test_a_position_whose_stop_was_refused_is_closed_at_once() -> None:
    # A stop 0.0001 true ranges away rounds to the close itself, which is the bid: the venue refuses it as already hit.
    done = trade(ema(stop_atr="0.0001"), FALL_AND_CROSS + steps(1.0900, 1))

    refused = [o for o in done.orders if o.status == OrderStatus.REJECTED and o.order_type == OrderType.STOP_MARKET]
    assert len(refused) == 1
    assert [o[:2] for o in done.filled()] == [("MARKET", "BUY"), ("MARKET", "SELL")]
    assert not done.open_positions()


def test_a_refused_entry_is_tried_once_more_and_does_not_stop_the_strategy() -> None:
    # 10,000,000 EUR need 363,000 USD of margin at 30: denied. Each cross is tried on two bars.
    done = trade(ema(units=10_000_000), FALL_AND_CROSS + steps(1.0900, 1, 1, -1, -1, -1, -1))

    entries = [o for o in done.orders if o.order_type == OrderType.MARKET]
    assert [(o.side.name, o.status.name) for o in entries] == [("BUY", "DENIED")] * 2 + [("SELL", "DENIED")] * 2
    assert [o.ts_init for o in entries[:2]] == [MONDAY_NS + 14 * HOUR_NS, MONDAY_NS + 15 * HOUR_NS]
    assert done.balance == 100_000


def test_a_trade_that_has_ended_is_not_entered_again_before_the_next_cross() -> None:
    # the stop is hit one bar after the entry, and the averages still point up
    spike = [(1.0900, 1.0930, 1.0859, 1.0925)]

    done = trade(ema(), FALL_AND_CROSS + spike + steps(1.0925, 1, 1, 1))

    assert [o[1] for o in done.filled()] == ["BUY", "SELL"]


def test_positions_are_closed_at_the_end_only_when_asked() -> None:
    kept = trade(ema(), FALL_AND_CROSS)

    assert [p.signed_qty for p in kept.open_positions()] == [100_000]
    assert len([o for o in kept.orders if o.is_open]) == 2  # the bracket still guards it


def test_a_cross_that_came_and_went_while_the_link_was_down_is_not_traded() -> None:
    # Up at the fourteenth bar, down again at the sixteenth: bars 12 to 16 are handed over at once, an hour's half late.
    path = FALL_AND_CROSS + steps(1.0900, -1, -1, -1, -1)
    assert trade(ema(allow_short=False), path).filled() != []
    assert trade(ema(allow_short=False), path, away=range(12, 17)).orders == []


def test_a_cross_that_still_stands_after_an_outage_is_traded_at_the_newest_bar() -> None:
    done = trade(ema(), FALL_AND_CROSS + steps(1.0900, 1), away=range(12, 15))
    # the newest of them closed at 1.0910, and is half an hour old
    assert [(o.side.name, str(o.trigger_price)) for o in done.orders if o.order_type == OrderType.STOP_MARKET] == [
        ("SELL", "1.08700")  # 1.0910 - 2 x 0.0020
    ]


# --- Donchian breakout -------------------------------------------------------------------------------------------
# Channel of 3 bars, 1.0990 to 1.1010. Entries 0.4 x 0.0020 = 0.0008 beyond it: buy 1.1018, sell 1.0982, stops 0.0040
# behind. The fifth bar reaches 1.1020.
QUIET: list[Ohlc] = [(1.1000, 1.1010, 1.0990, 1.1000)] * 4
BREAK: list[Ohlc] = [(1.1000, 1.1020, 1.1000, 1.1015)]


def donchian(**changes: Any) -> DonchianBreakout:
    settings = {"channel": 3, "atr_period": 3, "buffer_atr": 0.4, "stop_atr": 2, "trail_atr": 2, "units": 100_000}
    return DonchianBreakout(DonchianBreakoutConfig(bar_type=bar_type("EURUSD"), **settings | changes))


def test_entries_wait_on_both_sides_of_the_channel() -> None:
    done = trade(donchian(), QUIET[:3])

    waiting = {(o.side.name, o.is_reduce_only): str(o.trigger_price) for o in done.orders}
    assert waiting == {
        ("BUY", False): "1.10180",
        ("SELL", True): "1.09780",
        ("SELL", False): "1.09820",
        ("BUY", True): "1.10220",
    }


def test_of_bars_that_ended_while_the_link_was_down_only_the_newest_places_breakout_entries() -> None:
    wider = (1.1000, 1.1012, 1.0992, 1.1000)  # true range 20 pips as all, the channel 2 pips higher on top
    done = trade(donchian(), [*QUIET[:3], wider, QUIET[0]], away=range(5))
    assert len(done.orders) == 4  # placed once: two entries and their stops
    assert {str(o.trigger_price) for o in done.orders if o.side == OrderSide.BUY and not o.is_reduce_only} == {
        "1.10200"
    }


@BOTH_MODES
def test_a_break_is_bought_trailed_and_stopped(oms: OmsType) -> None:
    # Closes 1.1015, 1.1025, 1.1035, 1.1045: the stop stays at 1.0978 (1.0975 would be further), then follows 0.0040
    # behind: 1.0985, 1.0995, 1.1005. The last bar falls through it.
    path = QUIET + BREAK + steps(1.1015, 1, 1, 1) + [(1.1045, 1.1050, 1.0990, 1.0995)]

    done = trade(donchian(), path, oms=oms)

    assert done.filled() == [("STOP_MARKET", "BUY", "100000", "1.10180"), ("STOP_MARKET", "SELL", "100000", "1.10050")]
    # (1.1005 - 1.1018) x 100,000
    assert done.balance == Decimal(100_000) - Decimal("130.00")
    assert not done.open_positions()


@BOTH_MODES
def test_a_break_downwards_is_the_mirror_image(oms: OmsType) -> None:
    path = mirrored(QUIET + BREAK + steps(1.1015, 1, 1, 1) + [(1.1045, 1.1050, 1.0990, 1.0995)])

    done = trade(donchian(), path, oms=oms)

    # a short is stopped by the ask, which stands 0.00002 above the bid; the levels are those of the bid bars
    assert done.filled() == [("STOP_MARKET", "SELL", "100000", "1.09820"), ("STOP_MARKET", "BUY", "100000", "1.09950")]
    assert done.balance == Decimal(100_000) - Decimal("130.00")


def check_other_side_went(done: Outcome, filled: OrderSide) -> None:
    """The entry that filled took the other one with it at that very moment, not at the end of the run."""
    entry = next(o for o in done.orders if o.side == filled and not o.is_reduce_only and o.status == OrderStatus.FILLED)
    others = [o for o in done.orders if o.side != filled and not o.is_reduce_only and o.ts_closed >= entry.ts_closed]
    assert [(o.status, o.ts_closed) for o in others] == [(OrderStatus.CANCELED, entry.ts_closed)]


def test_a_fill_cancels_the_other_side() -> None:
    done = trade(donchian(), QUIET + BREAK + steps(1.1015, 1, 1))

    check_other_side_went(done, OrderSide.BUY)
    assert [(o.side, o.is_reduce_only) for o in done.orders if o.is_open] == [(OrderSide.SELL, True)]


def test_entries_follow_the_channel_and_there_are_never_two_for_a_side() -> None:
    # the range narrows and drifts for some bars, without a break
    drift = [(1.1 + k * 0.0001, 1.101 + k * 0.0001, 1.099 + k * 0.0001, 1.1 + k * 0.0001) for k in range(8)]

    done = trade(donchian(buffer_atr=3), [tuple(round(x, 5) for x in bar) for bar in drift])

    for side in (OrderSide.BUY, OrderSide.SELL):
        entries = [o for o in done.orders if o.side == side and not o.is_reduce_only]
        assert len(entries) >= 4
        assert all(o.status == OrderStatus.CANCELED for o in entries)  # the last one by the end of the run
        assert all(before.ts_closed <= after.ts_submitted for before, after in pairwise(entries))
    assert done.filled() == []


def test_no_sell_entries_when_shorts_are_not_wanted() -> None:
    done = trade(donchian(allow_short=False), QUIET)

    assert {o.side for o in done.orders if not o.is_reduce_only} == {OrderSide.BUY}


# --- Mean reversion ----------------------------------------------------------------------------------------------
# Bands of 4 bars, two deviations wide. Typical prices 1.1000 and 1.1010 in turn: mean 1.1005, deviation 0.0005, bands
# 1.0995 and 1.1015. Stop 2 x 0.0020 beyond: 1.0955 for the buy. The fifth bar dips to 1.0990 and fills the buy.
SWING: list[Ohlc] = [
    (1.1005, 1.1010, 1.0990, 1.1000),
    (1.1000, 1.1020, 1.1000, 1.1010),
    (1.1010, 1.1010, 1.0990, 1.1000),
    (1.1000, 1.1020, 1.1000, 1.1010),
]
DIP: list[Ohlc] = [(1.1010, 1.1010, 1.0990, 1.1000)]
BACK: list[Ohlc] = [(1.1000, 1.1010, 1.0998, 1.1008)]  # closes above the mean of about 1.1004


def reversion(**changes: Any) -> MeanReversion:
    settings = {"period": 4, "width": 2, "atr_period": 3, "stop_atr": 2, "units": 100_000}
    return MeanReversion(MeanReversionConfig(bar_type=bar_type("EURUSD"), **settings | changes))


def level(order: Any) -> str:
    return str(order.trigger_price if order.order_type == OrderType.STOP_MARKET else order.price)


def test_entries_wait_at_the_bands_with_stop_and_target() -> None:
    done = trade(reversion(), SWING)

    levels = {(o.order_type.name, o.side.name, o.is_reduce_only): level(o) for o in done.orders}
    assert levels == {
        ("LIMIT", "BUY", False): "1.09950",
        ("STOP_MARKET", "SELL", True): "1.09550",
        ("LIMIT", "SELL", True): "1.10150",
        ("LIMIT", "SELL", False): "1.10150",
        ("STOP_MARKET", "BUY", True): "1.10550",
        ("LIMIT", "BUY", True): "1.09950",
    }
    assert not [o for o in done.orders if o.is_open]  # the end of the run takes waiting entries back


def test_of_bars_that_ended_while_the_link_was_down_only_the_newest_places_band_entries() -> None:
    # Typical prices of the last four: 1.1010, 1.1000, 1.1010, 1.1020: mean 1.1010, deviation root(2e-6 / 4) = 0.000707
    done = trade(reversion(), [*SWING, (1.1010, 1.1030, 1.1010, 1.1020)], away=range(5))
    entries = {
        (o.side.name, str(o.price)) for o in done.orders if o.order_type == OrderType.LIMIT and not o.is_reduce_only
    }
    assert entries == {("BUY", "1.09959"), ("SELL", "1.10241")}


@BOTH_MODES
def test_half_is_taken_at_the_mean_and_the_rest_at_the_other_band(oms: OmsType) -> None:
    done = trade(reversion(), SWING + DIP + BACK + [(1.1008, 1.1016, 1.1005, 1.1012)], oms=oms)

    assert done.filled() == [
        ("LIMIT", "BUY", "100000", "1.09950"),
        ("MARKET", "SELL", "50000", "1.10080"),
        ("LIMIT", "SELL", "50000", "1.10150"),
    ]
    # (1.1008 - 1.0995) x 50,000 + (1.1015 - 1.0995) x 50,000 = 65 + 100
    assert done.balance == Decimal(100_000) + Decimal("165.00")
    assert not done.open_positions()


@BOTH_MODES
def test_after_the_partial_close_the_rest_cannot_lose(oms: OmsType) -> None:
    done = trade(reversion(), SWING + DIP + BACK + [(1.1008, 1.1009, 1.0960, 1.0965)], oms=oms)

    assert done.filled()[1:] == [("MARKET", "SELL", "50000", "1.10080"), ("STOP_MARKET", "SELL", "50000", "1.09950")]
    # 65 from the first half, nothing from the second
    assert done.balance == Decimal(100_000) + Decimal("65.00")


@BOTH_MODES
def test_a_fall_through_the_band_is_stopped_in_full(oms: OmsType) -> None:
    done = trade(reversion(), [*SWING, *DIP, (1.1000, 1.1001, 1.0940, 1.0945)], oms=oms)

    assert done.filled() == [("LIMIT", "BUY", "100000", "1.09950"), ("STOP_MARKET", "SELL", "100000", "1.09550")]
    # (1.0955 - 1.0995) x 100,000
    assert done.balance == Decimal(100_000) - Decimal("400.00")


def test_a_fill_at_one_band_cancels_the_other() -> None:
    check_other_side_went(trade(reversion(), SWING + DIP + BACK), OrderSide.BUY)


def test_the_partial_share_is_a_setting() -> None:
    quarter = trade(reversion(partial_percent=25), SWING + DIP + BACK * 2)
    none = trade(reversion(partial_percent=0), SWING + DIP + BACK * 2)

    assert quarter.filled()[1:] == [("MARKET", "SELL", "25000", "1.10080")]  # once, although two bars close above
    assert none.filled()[1:] == []


def test_the_upper_band_is_sold() -> None:
    rise = [(1.1010, 1.1020, 1.1005, 1.1012)]

    done: Outcome = trade(reversion(), SWING + rise)

    assert done.filled() == [("LIMIT", "SELL", "100000", "1.10150")]
    assert trade(reversion(allow_short=False), SWING + rise).filled() == []
