"""At which price and when orders fill: slippage, triggers inside a bar, latency and jitter."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from nautilus_trader.model import OrderSide

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.symbols import SwapMode, SwapTerms
from pepperstone_adapter.simulation.plan import Latency, Slippage
from tests.kit.orders import BUY, SELL, limit, stop
from tests.kit.runs import (
    EURUSD,
    MINUTE_NS,
    MONDAY,
    NS,
    Act,
    Steps,
    amounts,
    bars,
    both,
    buy,
    close_all,
    quotes,
    run_steps,
    spec,
    utc,
)

D = Decimal
DAY_S = 86_400


def test_slippage_is_drawn_from_the_seed() -> None:
    slip = {"EURUSD": Slippage(probability=1.0, min_points=1, max_points=5)}
    acts = {i: both(close_all(), buy(100_000)) for i in range(1, 21)}
    record = run_steps([1.1] * 22, acts, slippage=slip, seed=3)
    again = run_steps([1.1] * 22, acts, slippage=slip, seed=3)
    other = run_steps([1.1] * 22, acts, slippage=slip, seed=4)
    slipped = [f.slippage for f in record.fills]
    assert slipped == [f.slippage for f in again.fills]
    assert slipped != [f.slippage for f in other.fills]
    assert {D("0.00001"), D("0.00005")} <= set(slipped) <= {D(n) / 100_000 for n in range(1, 6)}
    for fill in record.fills:
        worse = fill.price - fill.ask if fill.side == "BUY" else fill.bid - fill.price
        assert worse == fill.slippage
    assert record.costs_slippage == sum(s * 100_000 for s in slipped)


def test_half_of_fills_slip_when_half_should() -> None:
    slip = {"EURUSD": Slippage(probability=0.5, min_points=2, max_points=2)}
    acts = {i: both(close_all(), buy(1_000)) for i in range(1, 400)}
    record = run_steps([1.1] * 401, acts, slippage=slip)
    share = sum(f.slippage > 0 for f in record.fills) / len(record.fills)
    assert 0.42 < share < 0.58


def test_limits_never_slip_and_stops_slip_from_their_level() -> None:
    slip = {"EURUSD": Slippage(probability=1.0, min_points=3, max_points=3)}
    market = [1.1, 1.1, 1.1, (1.1, 1.12, 1.1, 1.115), 1.115]
    record = run_steps(market, {1: buy(100_000), 2: limit(SELL, 1.11, reduce_only=True)}, slippage=slip)
    assert [f.price for f in record.fills] == [D("1.10003"), D("1.11000")]
    market = [1.1, 1.1, 1.1, (1.1, 1.1, 1.08, 1.085), 1.085]
    record = run_steps(market, {1: buy(100_000), 2: stop(SELL, 1.09, reduce_only=True)}, slippage=slip)
    assert record.fills[1].price == D("1.08997")
    gap = [1.1, 1.1, 1.1, (1.085, 1.086, 1.08, 1.085), 1.085]
    record = run_steps(gap, {1: buy(100_000), 2: stop(SELL, 1.09, reduce_only=True)}, slippage=slip)
    assert record.fills[1].price == D("1.08497")


def test_if_touched_orders_slip_from_their_level_and_not_from_the_bars_extreme() -> None:
    # The ASK lies 10 points above the BID. Bought at 1.09500 + 3 points in a bar whose ASK falls to 1.08010; when it
    # opens at 1.08510, below the level, at that and 3 points. A sale at 1.11 in a bar up to 1.12: 1.11 - 3 points.
    slip = {"EURUSD": Slippage(probability=1.0, min_points=3, max_points=3)}

    def touched(side: OrderSide, price: float) -> Act:
        def act(s: Any) -> None:
            order = s.order_factory.market_if_touched(s.id_of(EURUSD), side, s.qty(EURUSD, 1_000), s.px(EURUSD, price))
            s.submit_order(order)

        return act

    falls, gaps = (1.1, 1.101, 1.08, 1.09), (1.085, 1.086, 1.08, 1.085)
    for bar, side, level, price in (
        (falls, BUY, 1.095, "1.09503"), (gaps, BUY, 1.095, "1.08513"), ((1.1, 1.12, 1.1, 1.11), SELL, 1.11, "1.10997"),
    ):  # fmt: skip
        record = run_steps([1.1, 1.1, 1.1, bar, bar[3]], {1: touched(side, level)}, slippage=slip, spread=10)
        assert [f.price for f in record.fills] == [D(price)]


def test_the_spread_of_a_fill_is_the_bars_own() -> None:
    # 20 points apart at all times. While a bar is being worked through the engine's BID and ASK are not of one moment.
    rng = np.random.default_rng(7)
    closes = 110_000 + np.cumsum(rng.integers(-60, 61, 400))
    opens = np.concatenate((closes[:1], closes[:-1]))
    highs, lows = (
        np.maximum(opens, closes) + rng.integers(0, 40, 400),
        np.minimum(opens, closes) - rng.integers(0, 40, 400),
    )
    market = [tuple(p / 100_000 for p in bar) for bar in zip(opens, highs, lows, closes, strict=True)]

    def around(s: Any) -> None:
        close, kind = s.row.close.as_double(), s.count % 4
        make = (limit, stop)[kind % 2]
        side = BUY if kind < 2 else SELL
        away = 0.0005 if (side == BUY) == (make is stop) else -0.0005
        make(side, round(close + away, 5), 1_000)(s)

    acts = dict.fromkeys(range(1, 390), around)
    record = run_steps(market, acts, spread=20, others=[(spec("GBPUSD"), [1.3] * 400)], leverage=None)
    assert len(record.fills) > 100
    assert {f.ask - f.bid for f in record.fills} == {D("0.00020")}


@pytest.mark.parametrize(
    ("kind", "side", "trigger", "price", "rows", "filled"),
    [
        # The bar runs through trigger and limit and ends beyond both: met on the way, at the trigger.
        ("stop_limit", BUY, 1.105, 1.106, [(1.1, 1.12, 1.1, 1.12), (1.12, 1.12, 1.1, 1.1)], "1.10500"),
        ("stop_limit", SELL, 1.095, 1.094, [(1.1, 1.1, 1.08, 1.08), (1.08, 1.1, 1.08, 1.1)], "1.09500"),
        # It opens between trigger and limit: at the open.
        ("stop_limit", BUY, 1.105, 1.106, [(1.1055, 1.12, 1.1055, 1.12)], "1.10550"),
        # It opens beyond the limit, and the next comes back: the limit waits at 1.106 and is filled there.
        ("stop_limit", BUY, 1.105, 1.106, [(1.11, 1.12, 1.11, 1.12), (1.12, 1.12, 1.1, 1.1)], "1.10600"),
        ("stop_limit", SELL, 1.095, 1.094, [(1.09, 1.09, 1.08, 1.08), (1.08, 1.1, 1.08, 1.1)], "1.09400"),
        # A limit on the near side of the trigger (MetaTrader's) waits for the market to come back to it.
        ("stop_limit", BUY, 1.105, 1.104, [(1.1, 1.12, 1.1, 1.12), (1.12, 1.12, 1.1, 1.1)], "1.10400"),
        # Down, up through the trigger and back in one bar: at the trigger, within the limit.
        ("stop_limit", BUY, 1.105, 1.106, [(1.1, 1.12, 1.09, 1.1)], "1.10500"),
        ("limit_if_touched", BUY, 1.095, 1.096, [(1.1, 1.1, 1.08, 1.09)], "1.09500"),
        ("limit_if_touched", SELL, 1.105, 1.104, [(1.1, 1.12, 1.1, 1.11)], "1.10500"),
        # The market opens beyond the trigger, on the good side: at the open.
        ("limit_if_touched", BUY, 1.095, 1.096, [(1.09, 1.091, 1.08, 1.09)], "1.09000"),
    ],
)
def test_limits_with_a_trigger_fill_where_they_are_met_and_not_at_the_bars_extreme(
    kind: str, side: OrderSide, trigger: float, price: float, rows: list[Any], filled: str
) -> None:
    def act(s: Any) -> None:
        make = getattr(s.order_factory, kind)
        s.submit_order(make(s.id_of(EURUSD), side, s.qty(EURUSD, 1_000), s.px(EURUSD, price), s.px(EURUSD, trigger)))

    record = run_steps([1.1, 1.1, 1.1, *rows, rows[-1][3]], {1: act})
    assert [f.price for f in record.fills] == [D(filled)]


def test_a_triggered_limit_takes_the_quote_that_triggers_it_and_waits_at_its_price_after_that() -> None:
    def act(s: Any) -> None:
        order = s.order_factory.stop_limit(
            s.id_of(EURUSD), BUY, s.qty(EURUSD, 1_000), s.px(EURUSD, 1.106), s.px(EURUSD, 1.105)
        )
        s.submit_order(order)

    for prices, filled in (((1.1, 1.1, 1.1, 1.1055, 1.12), "1.10550"), ((1.1, 1.1, 1.1, 1.12, 1.1), "1.10600")):
        record = run_steps(quotes(EURUSD, [(p, p) for p in prices]), {1: act})
        assert [f.price for f in record.fills] == [D(filled)]


@pytest.mark.parametrize("chunk", [None, 2])
def test_quotes_of_one_time_are_met_one_by_one(chunk: int | None) -> None:
    # At 10:00:03 the ASK goes to 1.1055 and, in the same instant, on to 1.1065: the order is met by the first of them.
    def act(s: Any) -> None:
        stop_limit(s, BUY, 1.105, 1.107)

    market = quotes(EURUSD, [(p, p) for p in (1.1, 1.1, 1.1, 1.1055, 1.1065, 1.1065)])
    market.ts_ns[4:] -= NS
    for slippage in ({}, {"EURUSD": Slippage(probability=1.0, min_points=3, max_points=3)}):
        record = run_steps(market, {1: both(act, stop(BUY, 1.105, 1_000))}, slippage=slippage, chunk_size=chunk)
        slipped = D("0.00003") if slippage else 0
        assert sorted((f.order_type, f.price, f.ask) for f in record.fills) == [
            ("STOP_LIMIT", D("1.10550"), D("1.10550")), ("STOP_MARKET", D("1.10550") + slipped, D("1.10550"))
        ]  # fmt: skip


RUN_THROUGH = [1.1, 1.1, 1.1, (1.1, 1.12, 1.1, 1.12), 1.12]


def stop_limit(s: Any, side: OrderSide, trigger: float, price: float, **kw: Any) -> None:
    order = s.order_factory.stop_limit(
        s.id_of(EURUSD), side, s.qty(EURUSD, 1_000), s.px(EURUSD, price), s.px(EURUSD, trigger), **kw
    )
    s.submit_order(order)


@pytest.mark.parametrize("latency_ms", [0, 40])
@pytest.mark.parametrize("side", ["BID", "ASK"])
@pytest.mark.parametrize("chunk", [None, 1])
def test_a_stop_limit_that_a_bar_runs_through(latency_ms: float, side: str, chunk: int | None) -> None:
    # A spread of 20 points: the ASK opens at 1.1002 and is at the trigger of 1.105 on its way up.
    strategy = Steps({1: lambda s: stop_limit(s, BUY, 1.105, 1.106)}, f"EURUSD.PEPPERSTONE-1-MINUTE-{side}-EXTERNAL")
    record = run_steps(
        RUN_THROUGH, {}, strategy=strategy, spread=20, latency=Latency(base_ms=latency_ms), chunk_size=chunk
    )
    (fill,), (order,) = record.fills, record.orders
    assert (fill.price, fill.bid, fill.ask) == (D("1.10500"), D("1.10480"), D("1.10500"))
    assert fill.ts_ns == MONDAY + 4 * MINUTE_NS + latency_ms * 1_000_000
    assert (order.price, order.trigger_price, order.status) == (D("1.10600"), D("1.10500"), "FILLED")


@pytest.mark.parametrize(
    ("side", "trigger", "limit_price", "rows"),
    [
        # Through trigger and limit; the minute after goes further away, and the market is there when the order is executed.
        (BUY, 1.105, 1.106, [(1.1, 1.12, 1.1, 1.12), 1.13, 1.14, 1.14]),
        (SELL, 1.095, 1.094, [(1.1, 1.1, 1.08, 1.08), 1.07, 1.06, 1.06]),
    ],
)
def test_a_stop_limit_is_executed_where_it_was_met_however_long_that_takes(
    side: OrderSide, trigger: float, limit_price: float, rows: list[Any]
) -> None:
    acts = {1: lambda s: stop_limit(s, side, trigger, limit_price)}
    record = run_steps([1.1, 1.1, 1.1, 1.1, *rows], acts, latency=Latency(base_ms=90_000))
    (fill,), (order,) = record.fills, record.orders
    assert (fill.ts_ns, fill.price) == (MONDAY + 6 * MINUTE_NS + 30 * NS, D(str(trigger)))
    assert (order.price, order.status) == (D(str(limit_price)), "FILLED")


def test_a_stop_limit_of_a_symbol_nobody_listens_to_is_met_in_its_own_time() -> None:
    # GBPUSD is heard, every second minute; the order is for EURUSD, which runs through it in a minute between.
    gbpusd = spec("GBPUSD")
    heard = bars(gbpusd, [1.3] * 3, times=[MONDAY + n * MINUTE_NS for n in (1, 3, 5)])
    strategy = Steps({0: lambda s: stop_limit(s, BUY, 1.105, 1.106)}, "GBPUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
    record = run_steps(RUN_THROUGH, {}, strategy=strategy, others=[(gbpusd, heard)])
    assert [(f.ts_ns, f.price) for f in record.fills] == [(MONDAY + 4 * MINUTE_NS, D("1.10500"))]


def test_a_stop_limit_that_is_sent_in_a_bar_does_not_hide_another_that_this_bar_runs_through() -> None:
    # The minute that runs through 1.105 and 1.106 fills a stop at 1.102 on its way; that is answered by a stop-limit below.
    class Answers(Steps):
        def on_order_filled(self, event: Any) -> None:
            if event.last_px.as_decimal() == D("1.102"):
                stop_limit(self, SELL, 1.05, 1.049)

    acts = {1: both(lambda s: stop_limit(s, BUY, 1.105, 1.106), stop(BUY, 1.102, 1_000))}
    record = run_steps(RUN_THROUGH, {}, strategy=Answers(acts, "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL"))
    assert sorted((f.order_type, f.price) for f in record.fills) == [
        ("STOP_LIMIT", D("1.10500")), ("STOP_MARKET", D("1.10200"))
    ]  # fmt: skip
    assert {f.ts_ns for f in record.fills} == {MONDAY + 4 * MINUTE_NS}


def test_a_stop_limit_without_margin_is_canceled_when_a_bar_runs_through_it() -> None:
    # 1,000 units at 1.105 need 36.83 of 20.
    record = run_steps(RUN_THROUGH, {1: lambda s: stop_limit(s, BUY, 1.105, 1.106)}, start_balance=D(20))
    assert [(o.status, o.reason.partition(":")[0]) for o in record.orders] == [("CANCELED", "NOT_ENOUGH_MONEY")]
    assert not record.fills


def test_a_stop_limit_closes_in_the_bar_before_the_rollover() -> None:
    # Bought at 1.10; the hour that ends at 17:00 New York runs from 1.10 down to 1.08, through the stop at 1.095:
    # -5.00, and no swap, which would be 1,000 × 0.0001 = -0.10.
    symbol = spec("EURUSD", swap=SwapTerms(mode=SwapMode.POINTS, long=D(-10), short=D(0)))
    market = bars(symbol, [1.1, 1.1, (1.1, 1.1, 1.08, 1.08), 1.08], start_ns=utc(2024, 1, 8, 19), period="1-HOUR")

    def enter(s: Any) -> None:
        s.market(symbol, BUY, 1_000)
        stop_limit(s, SELL, 1.095, 1.094, reduce_only=True)

    record = run_steps(market, {1: enter}, symbol=symbol, mode=PositionMode.NETTING)
    assert [(f.price, f.reason) for f in record.fills[1:]] == [(D("1.09500"), "stop_loss")]
    assert amounts(record, "swap") == []
    assert record.end_balance == D("99995.00")


@pytest.mark.parametrize("latency_ms", [0, 40])
@pytest.mark.parametrize("chunk", [None, 1])
def test_what_closes_while_a_stop_limit_at_the_rollover_is_executed_has_held_the_night(
    latency_ms: float, chunk: int | None
) -> None:
    # Bought at 1.10; the hour that ends at 17:00 New York runs from 1.10 down to 1.08, through the stop at 1.095:
    # -5.00, and no swap, which would be 1,000 × 0.0001 = -0.10. The 2,000 that are sold when the hour is over, at 1.08, have
    # held the night, however long the order is on its way: -40.00 and -0.20.
    symbol = spec("EURUSD", swap=SwapTerms(mode=SwapMode.POINTS, long=D(-10), short=D(0)))
    market = bars(symbol, [1.1, 1.1, (1.1, 1.1, 1.08, 1.08), 1.08, 1.08], start_ns=utc(2024, 1, 8, 19), period="1-HOUR")

    def protect(s: Any) -> None:
        first, _ = s.cache.positions_open()
        order = s.order_factory.stop_limit(
            s.id_of(symbol), SELL, first.quantity, s.px(symbol, 1.094), s.px(symbol, 1.095), reduce_only=True
        )
        s.submit_order(order, first.id)

    def leave(s: Any) -> None:
        s.close_position(next(p for p in s.cache.positions_open() if p.quantity.as_double() == 2_000))

    acts = {0: both(buy(1_000, symbol), buy(2_000, symbol)), 1: protect, 2: leave}
    record = run_steps(market, acts, symbol=symbol, latency=Latency(base_ms=latency_ms), chunk_size=chunk)
    assert sorted((f.price, f.reason) for f in record.fills[2:]) == [
        (D("1.08000"), "client"), (D("1.09500"), "stop_loss")
    ]  # fmt: skip
    assert amounts(record, "swap") == [D("-0.20")]
    assert {p.units: p.swap for p in record.positions} == {D(1_000): D(0), D(2_000): D("-0.20")}
    assert record.end_balance == D("99954.80")


def test_latency_fills_at_the_price_of_its_arrival() -> None:
    # Quotes a second apart; the order of 10:00:01 arrives 1.5 s later: after the quote of :02, before that of :03.
    rows = [(1.1, 1.1001), (1.1001, 1.1002), (1.1005, 1.1006), (1.1009, 1.101)]
    record = run_steps(quotes(EURUSD, rows), {1: buy(100_000)}, latency=Latency(base_ms=1500))
    assert [f.price for f in record.fills] == [D("1.10060")]


def test_jitter_is_drawn_from_the_seed() -> None:
    rows = [(1.1 + i / 10_000, 1.1001 + i / 10_000) for i in range(40)]
    acts = {i: buy(1_000) for i in range(1, 20)}
    jitter = Latency(base_ms=0, jitter_ms=5_000)
    first = run_steps(quotes(EURUSD, rows), acts, latency=jitter, seed=1)
    again = run_steps(quotes(EURUSD, rows), acts, latency=jitter, seed=1)
    other = run_steps(quotes(EURUSD, rows), acts, latency=jitter, seed=2)
    assert [f.price for f in first.fills] == [f.price for f in again.fills]
    assert [f.price for f in first.fills] != [f.price for f in other.fills]
    assert len(first.fills) == 19


def test_a_bracket_is_held_back_as_a_whole() -> None:
    # An ASK that rises a point a second: what arrives later pays more. All three orders leave together.
    def bracket(s: Any) -> None:
        orders = s.order_factory.bracket(
            s.id_of(EURUSD), BUY, s.qty(EURUSD, 1_000), sl_trigger_price=s.px(EURUSD, 1.05), tp_price=s.px(EURUSD, 1.2)
        )
        s.submit_order_list(orders)

    rows = [(1.1 + i / 100_000, 1.1 + i / 100_000) for i in range(60)]
    at_once = run_steps(quotes(EURUSD, rows), {1: bracket})
    later = run_steps(quotes(EURUSD, rows), {1: bracket}, latency=Latency(jitter_ms=50_000))
    alone = run_steps(quotes(EURUSD, rows), {1: buy(1_000)}, latency=Latency(jitter_ms=50_000))
    assert at_once.fills[0].ts_ns < later.fills[0].ts_ns == alone.fills[0].ts_ns
    assert later.fills[0].price > at_once.fills[0].price
    assert [o.status for o in later.orders] == [o.status for o in at_once.orders]


def test_a_market_order_at_the_end_of_the_run_is_filled() -> None:
    class Leaves(Steps):
        def on_stop(self) -> None:
            self.close_all_positions(self.id_of(EURUSD))

    record = run_steps(
        [1.1, 1.1, 1.101], {}, strategy=Leaves({1: buy(100_000)}, "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
    )
    assert record.end_balance == record.end_equity == D("100100.00")
    assert record.positions[0].closed_ns
