"""Charges that are booked apart from a fill, and the stop-out they bring nearer: sums by hand."""

from decimal import Decimal

import pytest
from nautilus_trader.model import OrderSide, TimeInForce

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.symbols import SwapMode, SwapTerms
from pepperstone_adapter.simulation.plan import Latency
from tests.kit.orders import limit, stop
from tests.kit.runs import EURUSD, Steps, amounts, bars, both, buy, close_all, run_steps, sell, spec, utc

D = Decimal
EURGBP, GBPUSD = spec("EURGBP"), spec("GBPUSD")
HALF_PERCENT = {"conversion_fee_percent": D("0.5")}


def long_eurgbp(prices, acts, **kw):  # type: ignore[no-untyped-def]
    """20,000 EURGBP are 16,000 GBP at 0.80, 20,000 USD at 1.25, 666.67 USD of margin at 30:1."""
    return run_steps(
        prices, acts, symbol=EURGBP, others=[(GBPUSD, [1.25] * len(prices))], term_changes=HALF_PERCENT, **kw
    )


def test_a_stop_out_pays_the_conversion_fee() -> None:
    # Stop-out at equity 333.33 of 1,000: a loss of 666.67 USD = 533.33 GBP over 20,000 units = 0.0266667 below 0.80.
    # Sold at 0.77333: 533.40 GBP × 1.25 = 666.75 USD, and 0.5 % of it: 3.33375 = 3.33.
    record = long_eurgbp(
        [0.8, 0.8, 0.8, (0.8, 0.8, 0.77, 0.77), 0.77], {1: buy(20_000, EURGBP)}, start_balance=D(1_000)
    )
    assert [(f.price, f.reason) for f in record.fills[1:]] == [(D("0.77333"), "stop_out")]
    assert amounts(record, "realized_pnl") == [D("-666.75")]
    assert amounts(record, "conversion") == [D("-3.33")]
    assert record.end_balance == D("329.92")


def test_the_fee_of_one_stop_out_counts_for_the_next() -> None:
    # Two of them on 2,000: used 1,333.33, stop-out at 666.67, each has lost 666.67 by 0.77333: the older goes for 666.75
    # and 3.33. Left: 1,329.92 with 666.67 used; the stop-out at 333.33 is a loss of 996.59 USD = 797.27 GBP =
    # 0.0398635 below 0.80: 0.76013, 797.40 GBP = 996.75 USD, fee 4.98375 = 4.98. Without the first fee it would have
    # stood until 1,333.25 - 333.33 = 999.92 USD = 799.93 GBP: 0.76000.
    market = [0.8, 0.8, 0.8, 0.8, (0.8, 0.8, 0.77, 0.77), (0.77, 0.77, 0.75, 0.75), 0.75]
    record = long_eurgbp(market, {1: buy(20_000, EURGBP), 2: buy(20_000, EURGBP)}, start_balance=D(2_000))
    assert [(f.price, f.reason) for f in record.fills[2:]] == [(D("0.77333"), "stop_out"), (D("0.76013"), "stop_out")]
    assert amounts(record, "conversion") == [D("-3.33"), D("-4.98")]
    assert record.end_balance == D("328.19")  # 2,000 - 666.75 - 3.33 - 996.75 - 4.98


def test_what_is_given_back_covers_the_fee() -> None:
    # 0.80 gaps to 0.73: 1,400 GBP = 1,750 USD, fee 8.75; 1,000 - 1,758.75 = -758.75.
    record = long_eurgbp([0.8, 0.8, 0.8, (0.73,) * 4, 0.73], {1: buy(20_000, EURGBP)}, start_balance=D(1_000))
    assert amounts(record, "conversion") == [D("-8.75")]
    assert amounts(record, "adjustment") == [D("758.75")]
    assert record.end_balance == 0


@pytest.mark.parametrize("chunk", [None, 20, 5])
def test_swaps_alone_can_stop_a_position_out(chunk: int | None) -> None:
    # 30,000 EURUSD at 1.10: used 1,100, stop-out at 550. -400 points a night: 30,000 × 0.004 = -120, three times on
    # Wednesday. 1,150 - 120 (Mon) - 120 (Tue) - 360 (Wed 22:00 UTC) = 550: closed at the next row, at 23:00.
    symbol = spec("EURUSD", swap=SwapTerms(mode=SwapMode.POINTS, long=D(-400), short=D(0)))
    market = bars(symbol, [1.1] * 100, period="1-HOUR")
    record = run_steps(market, {1: buy(30_000, symbol)}, symbol=symbol, start_balance=D(1_150), chunk_size=chunk)
    assert [(f.ts_ns, f.price, f.reason) for f in record.fills[1:]] == [
        (utc(2024, 1, 10, 23), D("1.10000"), "stop_out")
    ]
    assert amounts(record, "swap") == [D("-120.00"), D("-120.00"), D("-360.00")]
    assert (record.end_balance, record.margin_calls) == (D("550.00"), 1)


@pytest.mark.parametrize("latency_ms", [0, 50])
@pytest.mark.parametrize("after", [[], [1.05]])
def test_the_last_row_can_stop_out(after: list[float], latency_ms: float) -> None:
    # 30,000 from 1.10 gaps to 1.05 at the last row: -1,500 of 1,150, and 350 are given back.
    record = run_steps(
        [1.1, 1.1, 1.1, (1.05,) * 4, *after],
        {1: buy(30_000)},
        start_balance=D(1_150),
        latency=Latency(base_ms=latency_ms),
    )
    assert [f.reason for f in record.fills] == ["client", "stop_out"]
    assert amounts(record, "adjustment") == [D("350.00")]
    assert (record.end_balance, record.end_equity, record.stop_outs) == (0, 0, 1)


def test_charges_of_the_last_row_arrive_with_latency() -> None:
    # Closed at the last row, 50 ms on its way; the fee on 200 GBP × 1.25 = 250 USD is posted after it: 1.25.
    record = long_eurgbp(
        [0.8, 0.8, 0.8, 0.79, 0.79], {1: buy(20_000, EURGBP), 4: close_all(EURGBP)}, start_balance=D(10_000),
        latency=Latency(base_ms=50),
    )  # fmt: skip
    assert amounts(record, "conversion") == [D("-1.25")]
    assert record.end_balance == D("9748.75")
    last = record.equity[-1]
    assert (last.ts_ns, last.balance, last.equity) == (record.ledger[-1].ts_ns, D("9748.75"), D("9748.75"))


@pytest.mark.parametrize("chunk", [None, 1])
@pytest.mark.parametrize("mode", [PositionMode.HEDGING, PositionMode.NETTING])
def test_a_part_closed_in_a_bar_does_not_hide_the_stop_out_of_that_bar(mode: PositionMode, chunk: int | None) -> None:
    # 30,000 at 1.10 use 1,100 of 1,150. 1,000 of them are stopped at 1.095: -5.00. The others use 1,063.33: stop-out at
    # 531.67, a loss of 613.33 on 29,000 = 0.0211494: 1.07885, on the way to 1.07; the bar ends where it began.
    acts = {0: buy(30_000), 1: stop(OrderSide.SELL, 1.095, 1_000, reduce_only=True)}
    record = run_steps(
        [1.1, 1.1, (1.1, 1.1, 1.07, 1.1), 1.1], acts, start_balance=D(1_150), mode=mode, chunk_size=chunk
    )
    assert [(f.units, f.price, f.reason) for f in record.fills[1:]] == [
        (D(1_000), D("1.09500"), "stop_loss"), (D(29_000), D("1.07885"), "stop_out")
    ]  # fmt: skip
    assert (record.stop_outs, record.margin_calls) == (1, 1)


def test_an_order_filled_in_a_bar_does_not_hide_the_stop_out_of_that_bar() -> None:
    # 30,000 at 1.10 of 1,150; 1,000 more at 1.095 in the bar that falls to 1.07: 31,000 that cost 34,095 use 1,136.50:
    # stop-out at 568.25, a loss of 581.75: 33,513.25 / 31,000 = 1.0810726: 1.08107.
    acts = {0: both(buy(30_000), limit(OrderSide.BUY, 1.095, 1_000))}
    record = run_steps([1.1, 1.1, (1.1, 1.1, 1.07, 1.1), 1.1], acts, start_balance=D(1_150), mode=PositionMode.NETTING)
    assert [(f.units, f.price, f.reason) for f in record.fills[1:]] == [
        (D(1_000), D("1.09500"), "client"), (D(31_000), D("1.08107"), "stop_out")
    ]  # fmt: skip


def rollover_bar(prices, acts, *, latency_ms=0, short=0, strategy=None, **kw):  # type: ignore[no-untyped-def]
    """Hourly bars of which the third ends at 17:00 New York (22:00 UTC); -10 points a night, 0.0001 a unit."""
    symbol = spec("EURUSD", swap=SwapTerms(mode=SwapMode.POINTS, long=D(-10), short=D(short)))
    market = bars(symbol, prices, start_ns=utc(2024, 1, 8, 19), period="1-HOUR")
    kw = {"start_balance": D(1_150), "latency": Latency(base_ms=latency_ms), **kw}
    kw |= {"strategy": strategy(symbol)} if strategy else {}
    return run_steps(market, {k: act(symbol) for k, act in acts.items()}, symbol=symbol, **kw)


@pytest.mark.parametrize("latency_ms", [0, 50])
@pytest.mark.parametrize("mode", [PositionMode.HEDGING, PositionMode.NETTING])
def test_a_stop_out_in_the_bar_before_the_rollover_pays_no_swap(mode: PositionMode, latency_ms: float) -> None:
    # 30,000 at 1.10 use 1,100 of 1,150: at 1.08 (-600, equity 550) the broker closes, in the hour that ends at 17:00.
    record = rollover_bar(
        [1.1, 1.1, (1.1, 1.1, 1.07, 1.075), 1.075], {0: lambda s: buy(30_000, s)}, mode=mode, latency_ms=latency_ms
    )
    assert [(f.price, f.reason) for f in record.fills[1:]] == [(D("1.08000"), "stop_out")]
    assert amounts(record, "swap") == []
    assert record.end_balance == D("550.00")


@pytest.mark.parametrize("latency_ms", [0, 50])
def test_what_a_stop_out_at_the_rollover_leaves_pays_the_night(latency_ms: float) -> None:
    # Two of 20,000 at 1.10 use 1,466.67 of 1,600: stop-out at 733.33, when both have lost 866.67 on 40,000 units:
    # 1.0783333 -> 1.07833: 20,000 × 0.02167 = -433.40. The other has lost 400 at 1.08 and stays: 20,000 × 0.0001 = -2.
    record = rollover_bar(
        [1.1, 1.1, (1.1, 1.1, 1.078, 1.08), 1.08], {0: lambda s: buy(20_000, s), 1: lambda s: buy(20_000, s)},
        start_balance=D(1_600), latency_ms=latency_ms,
    )  # fmt: skip
    assert [(f.price, f.reason) for f in record.fills[2:]] == [(D("1.07833"), "stop_out")]
    assert [(row.amount, row.position_id) for row in record.ledger if row.kind == "swap"] == [
        (D("-2.00"), record.fills[1].position_id)
    ]
    assert record.end_balance == D("1164.60")  # 1,600 - 433.40 - 2.00


def test_what_is_opened_while_a_stop_out_at_the_rollover_is_under_way_has_not_held_the_night() -> None:
    # Sent 30 ms before 17:00 and filled 20 ms after it, 30 ms before the stop-out that the rollover waits for.
    def late(symbol):  # type: ignore[no-untyped-def]
        sent_ns = utc(2024, 1, 8, 22) - 30 * 10**6
        return lambda s: s.clock.set_time_alert_ns(
            "late", sent_ns, lambda _event: s.market(symbol, OrderSide.BUY, 1_000)
        )

    record = rollover_bar(
        [1.1, 1.1, (1.1, 1.1, 1.07, 1.075), 1.075], {0: lambda s: buy(30_000, s), 1: late}, latency_ms=50
    )
    assert [(f.ts_ns - utc(2024, 1, 8, 22), f.reason) for f in record.fills[1:]] == [
        (20 * 10**6, "client"), (50 * 10**6, "stop_out")
    ]  # fmt: skip
    assert amounts(record, "swap") == []


def at(time_ns, act):  # type: ignore[no-untyped-def]
    """Do something at a time of its own, not at a row."""
    return lambda s: s.clock.set_time_alert_ns("at", time_ns, lambda _event: act(s))


@pytest.mark.parametrize("chunk", [None, 1])
def test_what_closes_while_a_stop_out_at_the_rollover_is_under_way_has_held_the_night(chunk: int | None) -> None:
    # 31,000 at 1.10 use 1,136.67 of 1,150: stop-out at 568.33, a loss of 581.67 on 31,000 = 0.0187634: 1.08123, and the
    # larger goes: 30,000 × 0.01877 = -563.10. The other is sold 30 ms earlier, 20 ms after 17:00, at 1.075: -25.00; it
    # has held the night: 1,000 × 0.0001 = -0.10.
    ends = utc(2024, 1, 8, 22)
    record = rollover_bar(
        [1.1, 1.1, (1.1, 1.1, 1.07, 1.075), 1.075],
        {
            0: lambda s: both(buy(30_000, s), buy(1_000, s)),
            1: lambda s: at(ends - 30 * 10**6, lambda strategy: close_oldest_of(1_000, s, strategy)),
        },
        latency_ms=50, chunk_size=chunk,
    )  # fmt: skip
    assert [(f.ts_ns - ends, f.price, f.reason) for f in record.fills[2:]] == [
        (20 * 10**6, D("1.07500"), "client"), (50 * 10**6, D("1.08123"), "stop_out")
    ]  # fmt: skip
    assert [(row.amount, row.position_id) for row in record.ledger if row.kind == "swap"] == [
        (D("-0.10"), record.fills[1].position_id)
    ]
    assert {p.position_id: p.swap for p in record.positions} == {
        record.fills[0].position_id: D(0), record.fills[1].position_id: D("-0.10")
    }  # fmt: skip
    assert record.end_balance == D("561.80")  # 1,150 - 563.10 - 25.00 - 0.10


def close_oldest_of(units, symbol, s):  # type: ignore[no-untyped-def]
    held = s.cache.positions_open(instrument_id=s.id_of(symbol))
    s.close_position(next(p for p in held if p.quantity.as_double() == units))


def test_what_is_added_while_a_stop_out_at_the_rollover_is_under_way_has_not_held_the_night() -> None:
    # One position of netting, 1,000 EURUSD, beside 30,000 GBPUSD at 1.20 that the broker closes in the hour that ends at
    # 17:00; 2,000 more reach it 20 ms after that: the night is of 1,000: -0.10.
    gbpusd, ends = spec("GBPUSD"), utc(2024, 1, 8, 22)
    others = bars(gbpusd, [1.2, 1.2, (1.2, 1.2, 1.15, 1.15), 1.15], start_ns=utc(2024, 1, 8, 19), period="1-HOUR")
    record = rollover_bar(
        [1.1] * 4,
        {
            0: lambda s: both(buy(30_000, gbpusd), buy(1_000, s)),
            1: lambda s: at(ends - 30 * 10**6, buy(2_000, s)),
        },
        latency_ms=50, others=[(gbpusd, others)], mode=PositionMode.NETTING, start_balance=D(1_350),
    )  # fmt: skip
    assert [(f.ts_ns - ends, f.units, f.reason) for f in record.fills[2:]] == [
        (20 * 10**6, D(2_000), "client"), (50 * 10**6, D(30_000), "stop_out")
    ]  # fmt: skip
    assert amounts(record, "swap") == [D("-0.10")]


def test_a_strategy_that_closes_at_the_rollover_has_held_the_night() -> None:
    # It sees the hour when it is over: 30,000 × 0.0001 = -3.
    record = rollover_bar([1.1, 1.1, 1.1, 1.1], {0: lambda s: buy(30_000, s), 2: close_all})
    assert amounts(record, "swap") == [D("-3.00")]
    assert record.end_balance == D("1147.00")


def test_a_stop_loss_in_the_bar_before_the_rollover_pays_no_swap() -> None:
    # Sold at 1.095: 10,000 × 0.005 = -50.
    def entry(symbol):  # type: ignore[no-untyped-def]
        def act(s):  # type: ignore[no-untyped-def]
            s.market(symbol, OrderSide.BUY, 10_000)
            s.submit_order(
                s.order_factory.stop_market(
                    s.id_of(symbol), OrderSide.SELL, s.qty(symbol, 10_000), s.px(symbol, 1.095), reduce_only=True
                )
            )

        return act

    record = rollover_bar([1.1, 1.1, (1.1, 1.1, 1.09, 1.09), 1.09], {0: entry}, mode=PositionMode.NETTING)
    assert [(f.price, f.reason) for f in record.fills[1:]] == [(D("1.09500"), "stop_loss")]
    assert amounts(record, "swap") == []
    assert record.end_balance == D("1100.00")


# A fall through a stop-limit in the hour that ends at 17:00: the order is executed behind the bar, and the rollover waits.
FALL = [1.1, 1.1, (1.1, 1.1, 1.08, 1.08), 1.08, 1.08]


def stop_limit_below(symbol):  # type: ignore[no-untyped-def]
    """Sell 1,000 at 1.095."""

    def act(s):  # type: ignore[no-untyped-def]
        order = s.order_factory.stop_limit(
            s.id_of(symbol), OrderSide.SELL, s.qty(symbol, 1_000), s.px(symbol, 1.094), s.px(symbol, 1.095)
        )
        s.submit_order(order)

    return act


@pytest.mark.parametrize("latency_ms", [0, 40])
@pytest.mark.parametrize("chunk", [None, 1])
def test_what_is_opened_while_a_stop_limit_at_the_rollover_is_executed_has_not_held_the_night(
    latency_ms: float, chunk: int | None
) -> None:
    # What the stop-limit opens, at 1.095 on the way to 17:00, has: 1,000 × 0.0001 = -0.10 (both sides pay 10 points). The
    # 5,000 that are bought when the hour is over have not.
    record = rollover_bar(
        FALL, {1: stop_limit_below, 2: lambda s: buy(5_000, s)}, latency_ms=latency_ms, chunk_size=chunk, short=-10
    )
    assert sorted((f.side, f.units, f.price) for f in record.fills) == [
        ("BUY", D(5_000), D("1.08000")), ("SELL", D(1_000), D("1.09500"))
    ]  # fmt: skip
    (sold,) = [f.position_id for f in record.fills if f.side == "SELL"]
    assert [(row.amount, row.position_id) for row in record.ledger if row.kind == "swap"] == [(D("-0.10"), sold)]


@pytest.mark.parametrize("latency_ms", [0, 40])
def test_what_a_reversal_leaves_while_the_rollover_waits_has_not_held_the_night(latency_ms: float) -> None:
    # 1,000 held long: -0.10; 3,000 sold when the hour is over, while a stop-limit of GBPUSD is executed: the 2,000 short
    # that this leaves pay nothing for the night before.
    gbpusd = spec("GBPUSD")
    others = bars(gbpusd, FALL, start_ns=utc(2024, 1, 8, 19), period="1-HOUR")
    record = rollover_bar(
        FALL,
        {0: lambda s: buy(1_000, s), 1: lambda _: stop_limit_below(gbpusd), 2: lambda s: sell(3_000, s)},
        latency_ms=latency_ms, others=[(gbpusd, others)], mode=PositionMode.NETTING, short=-10,
    )  # fmt: skip
    assert amounts(record, "swap") == [D("-0.10")]
    assert [(p.side, p.units, p.swap) for p in record.positions if p.closed_ns] == [("LONG", D(1_000), D("-0.10"))]


def test_what_closes_behind_another_fill_while_the_rollover_waits_has_held_the_night() -> None:
    # When the hour is over 3,000 are bought, and when they are filled the 2,000 of before are sold: these have held the
    # night: -0.20, and the 1,000 of the stop-limit: -0.10.
    class Follows(Steps):
        def on_order_filled(self, event):  # type: ignore[no-untyped-def]
            if self.count == 2 and event.last_qty.as_double() == 3_000:
                close_oldest_of(2_000, EURUSD, self)

    record = rollover_bar(
        FALL, {}, short=-10, start_balance=D(100_000),
        strategy=lambda s: Follows(
            {0: buy(2_000, s), 1: stop_limit_below(s), 2: buy(3_000, s)}, "EURUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL"
        ),
    )  # fmt: skip
    assert [(f.side, f.units) for f in record.fills[1:]] == [
        ("SELL", D(1_000)), ("BUY", D(3_000)), ("SELL", D(2_000))
    ]  # fmt: skip
    assert sorted(amounts(record, "swap")) == [D("-0.20"), D("-0.10")]


@pytest.mark.parametrize("held", [False, True])
def test_an_order_good_for_the_day_that_is_sent_at_the_rollover_is_of_the_next_day(held: bool) -> None:
    def for_the_day(symbol):  # type: ignore[no-untyped-def]
        return lambda s: s.submit_order(
            s.order_factory.limit(
                s.id_of(symbol), OrderSide.BUY, s.qty(symbol, 1_000), s.px(symbol, 1.05), time_in_force=TimeInForce.DAY
            )
        )

    acts = {1: for_the_day, 2: for_the_day}
    if held:
        acts[1] = lambda s: both(for_the_day(s), stop_limit_below(s))
    record = rollover_bar(FALL, acts)
    assert [o.status for o in record.orders if o.order_type == "LIMIT"] == ["CANCELED", "ACCEPTED"]
