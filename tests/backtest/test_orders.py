"""How orders are refused, wait, trigger, fill and end."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from nautilus_trader.model import OrderSide, Price, Quantity, TimeInForce, TrailingOffsetType

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.symbols import TradingMode
from pepperstone_adapter.simulation.plan import Latency, Slippage
from tests.kit.runs import (
    EURUSD,
    MINUTE_NS,
    NS,
    Act,
    Steps,
    bars,
    both,
    buy,
    close_all,
    quotes,
    run_steps,
    run_with,
    sell,
    spec,
    utc,
)

D = Decimal
DAY_S = 86_400
BUY, SELL = OrderSide.BUY, OrderSide.SELL


def reasons(steps: Steps) -> list[str]:
    return [e.reason for e in steps.events if type(e).__name__ in ("OrderDenied", "OrderRejected")]


def names(steps: Steps) -> list[str]:
    return [type(e).__name__ for e in steps.events]


def stop(side: OrderSide, price: float, units: int = 100_000, **kw: Any) -> Act:
    return lambda s: s.submit_order(
        s.order_factory.stop_market(s.id_of(EURUSD), side, s.qty(EURUSD, units), s.px(EURUSD, price), **kw),
        _position(s) if kw.get("reduce_only") else None,
    )


def limit(side: OrderSide, price: float, units: int = 100_000, **kw: Any) -> Act:
    return lambda s: s.submit_order(
        s.order_factory.limit(s.id_of(EURUSD), side, s.qty(EURUSD, units), s.px(EURUSD, price), **kw),
        _position(s) if kw.get("reduce_only") else None,
    )


def _position(s: Steps) -> Any:
    return s.cache.positions_open()[0].id


# --- refused


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        # B24: a tenth of a lot written as lots (0.1 × 100,000 meant), too much, and between two steps
        (buy(1), "VOLUME_TOO_LOW: 1 units (0.00001 lots) of EURUSD, at least 1000 units (0.01 lots)"),
        (buy(20_000_000), "VOLUME_TOO_HIGH: 20000000 units (200 lots) of EURUSD, at most 10000000 units (100 lots)"),
        (buy(1_500), "VOLUME_STEP: 1500 units (0.015 lots) of EURUSD is no multiple of 1000 units (0.01 lots)"),
        # B27: a protective level on the wrong side
        (stop(BUY, 1.09), "INVALID_LEVEL: BUY STOP_MARKET at 1.09000 must be above 1.10010 of EURUSD"),
        (stop(SELL, 1.11), "INVALID_LEVEL: SELL STOP_MARKET at 1.11000 must be below 1.10000 of EURUSD"),
        # B26
        (
            limit(BUY, 1.09, time_in_force=TimeInForce.GTD, expire_time=utc(2024, 1, 8, 9, 0)),
            "INVALID_EXPIRY: 2024-01-08T09:00:00Z is not ahead of 2024-01-08T10:02:00Z",
        ),
        (limit(BUY, 1.09, time_in_force=TimeInForce.AT_THE_OPEN), "UNSUPPORTED_TIME_IN_FORCE: AT_THE_OPEN"),
    ],
)
def test_the_desk_refuses(act: Act, reason: str) -> None:
    record, steps = run_with([1.1] * 4, {1: act}, spread=10)
    assert reasons(steps) == [reason]
    assert [o.status for o in record.orders] == ["DENIED"]
    assert record.orders[0].reason == reason
    assert not record.fills


def test_b25_a_price_off_the_tick_names_the_nearest() -> None:
    coarse = spec("EURUSD", digits=4)  # ticks of a pip, in a market of pips

    def off(s: Steps) -> None:
        order = s.order_factory.limit(s.id_of(coarse), BUY, s.qty(coarse, 100_000), Price.from_str("1.09005"))
        s.submit_order(order)

    _, steps = run_with([1.1] * 3, {1: off}, symbol=coarse)
    assert reasons(steps) == ["INVALID_PRICE: price 1.09005 of EURUSD is off its tick; nearest 1.0900, 1.0901"]


def test_b26_an_order_type_the_broker_has_not() -> None:
    def market_to_limit(s: Steps) -> None:
        s.submit_order(s.order_factory.market_to_limit(s.id_of(EURUSD), BUY, s.qty(EURUSD, 100_000)))

    _, steps = run_with([1.1] * 3, {1: market_to_limit})
    assert reasons(steps) == ["UNSUPPORTED_ORDER_TYPE: MARKET_TO_LIMIT"]


def test_a_stop_inside_the_stops_distance() -> None:
    wide = spec("EURUSD", stops_distance_points=50)
    _, steps = run_with([1.1] * 3, {1: stop(SELL, 1.0997)}, symbol=wide)
    assert reasons(steps) == [
        "INVALID_LEVEL: SELL STOP_MARKET at 1.09970 must be below 1.10000 of EURUSD by at least 0.00050"
    ]


def test_modes_of_a_symbol() -> None:
    for changes, act, reason in (
        ({"trading_mode": TradingMode.DISABLED}, buy, "TRADING_DISABLED: EURUSD cannot be traded"),
        ({"trading_mode": TradingMode.CLOSE_ONLY}, buy, "CLOSE_ONLY: EURUSD allows only closing orders"),
        ({"short_selling": False}, sell, "SHORT_SELLING_NOT_ALLOWED: EURUSD cannot be sold short"),
    ):
        bound = spec("EURUSD", **changes)
        _, steps = run_with([1.1] * 3, {1: act(100_000, bound)}, symbol=bound)
        assert reasons(steps) == [reason]


def test_a_bracket_with_its_stop_on_the_wrong_side_is_refused_as_a_whole() -> None:
    def bracket(s: Steps) -> None:
        s.submit_order_list(
            s.order_factory.bracket(
                s.id_of(EURUSD), BUY, s.qty(EURUSD, 100_000), tp_price=s.px(EURUSD, 1.12),
                sl_trigger_price=s.px(EURUSD, 1.11), tp_post_only=False,
            )
        )  # fmt: skip

    record, steps = run_with([1.1] * 3, {1: bracket})
    assert reasons(steps) == ["INVALID_LEVEL: SELL STOP_MARKET at 1.11000 must be below 1.10000 of EURUSD"] * 3
    assert not record.fills
    assert [o.status for o in record.orders] == ["DENIED"] * 3


# --- sessions

NOON_TO_FIVE = TradingHours(
    zone="UTC", intervals=tuple((d * DAY_S + 12 * 3600, d * DAY_S + 17 * 3600) for d in range(7))
)


def hourly(prices: list[Any], first: int, symbol: Any) -> Any:
    return bars(
        symbol, prices, times=[utc(2024, 1, 8, first) + i * 3600 * NS for i in range(len(prices))], period="1-HOUR"
    )


def test_a_closed_market_takes_no_orders_and_shows_no_bars() -> None:
    # Open 12:00 to 17:00 UTC. Bars closing at 11:00 and 12:00 lie before it, 13:00 to 17:00 inside, 18:00 after it.
    day = spec("EURUSD", hours=NOON_TO_FIVE)
    seen: list[int] = []

    def late(s: Steps) -> None:
        s.clock.set_time_alert_ns("late", utc(2024, 1, 8, 17, 30), lambda _e: buy(100_000, day)(s))
        s.clock.set_time_alert_ns("morning", utc(2024, 1, 9, 12, 30), lambda _e: seen.append(1))

    market = bars(
        day, [1.1] * 11, times=[utc(2024, 1, 8, h) for h in range(11, 19)] + [utc(2024, 1, 9, h) for h in (13, 14, 15)],
        period="1-HOUR",
    )  # fmt: skip
    record, steps = run_with(market, {0: late}, symbol=day)
    assert reasons(steps) == ["MARKET_CLOSED: EURUSD is closed until 2024-01-09T12:00:00Z"]
    assert record.closed_rows == 3
    assert record.bars == 8
    assert seen == [1]


def test_the_last_instant_of_a_session_still_trades() -> None:
    day = spec("EURUSD", hours=NOON_TO_FIVE)
    record = run_steps(hourly([1.1] * 5, 13, day), {4: buy(100_000, day)}, symbol=day)
    assert [f.ts_ns for f in record.fills] == [utc(2024, 1, 8, 17)]


def test_a_pending_order_waits_for_the_opening_and_fills_at_the_gap() -> None:
    # A buy stop at 1.10500 placed at 17:00; the next session opens at 1.11000: filled there, not at its price.
    day = spec("EURUSD", hours=NOON_TO_FIVE)
    times = [utc(2024, 1, 8, h) for h in (15, 16, 17, 19)] + [utc(2024, 1, 9, h) for h in (13, 14)]
    rows = [1.1, 1.1, 1.1, (1.1, 1.2, 1.1, 1.15), (1.11, 1.112, 1.109, 1.111), 1.111]
    record = run_steps(bars(day, rows, times=times, period="1-HOUR"), {2: stop(BUY, 1.105)}, symbol=day)
    assert [(f.ts_ns, f.price) for f in record.fills] == [(utc(2024, 1, 9, 13), D("1.11000"))]


# --- triggers by side


def test_a_longs_stop_and_target_trigger_on_the_bid() -> None:
    # ASK touches 1.09 nowhere near; BID low 1.09000 triggers the stop; the spread is 100 points.
    market = [1.1, 1.1, 1.1, (1.1, 1.1, 1.0901, 1.1), (1.1, 1.1, 1.09, 1.095), 1.095]
    record = run_steps(market, {1: buy(100_000), 2: stop(SELL, 1.09, reduce_only=True)}, spread=100)
    assert [(f.ts_ns // MINUTE_NS, f.price) for f in record.fills[1:]] == [
        (utc(2024, 1, 8, 10, 5) // MINUTE_NS, D("1.09000"))
    ]


def test_a_shorts_stop_triggers_on_the_ask() -> None:
    # Short at BID 1.10; stop at 1.11000; spread 100 points: the ASK is there when the BID is at 1.10900.
    market = [1.1, 1.1, 1.1, (1.1, 1.1089, 1.1, 1.1), (1.1, 1.1091, 1.1, 1.105), 1.105]
    record = run_steps(market, {1: sell(100_000), 2: stop(BUY, 1.11, reduce_only=True)}, spread=100)
    assert [(f.ts_ns, f.price) for f in record.fills[1:]] == [(utc(2024, 1, 8, 10, 5), D("1.11000"))]


def test_a_target_fills_at_its_price() -> None:
    market = [1.1, 1.1, 1.1, (1.1, 1.12, 1.1, 1.115), 1.115]
    record = run_steps(market, {1: buy(100_000), 2: limit(SELL, 1.11, reduce_only=True)})
    assert [(f.price, f.reason) for f in record.fills[1:]] == [(D("1.11000"), "take_profit")]


def test_a_bracket_ends_its_other_leg() -> None:
    def bracket(s: Steps) -> None:
        s.submit_order_list(
            s.order_factory.bracket(
                s.id_of(EURUSD), BUY, s.qty(EURUSD, 100_000), tp_price=s.px(EURUSD, 1.11),
                sl_trigger_price=s.px(EURUSD, 1.09), tp_post_only=False,
            )
        )  # fmt: skip

    record = run_steps([1.1, 1.1, 1.1, 1.112, 1.08, 1.08], {1: bracket})
    assert [f.price for f in record.fills] == [D("1.10000"), D("1.11000")]
    assert sorted(o.status for o in record.orders) == ["CANCELED", "FILLED", "FILLED"]
    assert record.end_balance == D("101000.00")


def test_a_trailing_stop_follows() -> None:
    def trail(s: Steps) -> None:
        order = s.order_factory.trailing_stop_market(
            s.id_of(EURUSD), SELL, s.qty(EURUSD, 100_000), trailing_offset=D("0.0050"),
            trailing_offset_type=TrailingOffsetType.PRICE, trigger_price=s.px(EURUSD, 1.095), reduce_only=True,
        )  # fmt: skip
        s.submit_order(order, _position(s))

    # From 1.10 to 1.11 the stop rises to 1.105 and is hit on the way down.
    record = run_steps([1.1, 1.1, 1.1, 1.105, 1.11, 1.1, 1.1], {1: buy(100_000), 2: trail})
    assert [(f.price, f.reason) for f in record.fills[1:]] == [(D("1.10500"), "trailing_stop")]
    assert record.end_balance == D("100500.00")


# --- time in force


def test_a_trailing_stop_whose_quantity_changes_at_a_gap_still_fills_at_the_gap() -> None:
    # Half of 100,000 has a stop at 1.099, the trailing stop for all of it stands at 1.1 - 0.002 = 1.098. The market opens
    # at 1.09: the first stop closes its half there, which shrinks the trailing stop, which closes the rest there too.
    def protect(s: Any) -> None:
        stop(SELL, 1.099, 50_000, reduce_only=True)(s)
        trail = s.order_factory.trailing_stop_market(
            s.id_of(EURUSD), SELL, s.qty(EURUSD, 100_000), D("0.002"),
            trailing_offset_type=TrailingOffsetType.PRICE, reduce_only=True,
        )  # fmt: skip
        s.submit_order(trail, _position(s))

    market = [1.1, 1.1, 1.1, 1.1, (1.09, 1.091, 1.089, 1.09), 1.09]
    record = run_steps(market, {1: buy(100_000), 2: protect})
    assert [(f.order_type, f.units, f.price) for f in record.fills[1:]] == [
        ("STOP_MARKET", 50_000, D("1.09000")),
        ("TRAILING_STOP_MARKET", 50_000, D("1.09000")),
    ]


def test_good_till_date_expires() -> None:
    gtd = limit(BUY, 1.09, time_in_force=TimeInForce.GTD, expire_time=utc(2024, 1, 8, 10, 4) + 30 * NS)
    record, steps = run_with([1.1, 1.1, 1.1, 1.1, 1.1, 1.08, 1.08], {1: gtd})
    assert "OrderExpired" in names(steps)
    assert not record.fills
    assert [o.status for o in record.orders] == ["EXPIRED"]


def test_immediate_or_cancel_and_fill_or_kill() -> None:
    for tif in (TimeInForce.IOC, TimeInForce.FOK):
        record = run_steps([1.1] * 4, {1: limit(BUY, 1.09, time_in_force=tif)})
        assert [o.status for o in record.orders] == ["CANCELED"], tif
        record = run_steps([1.1] * 4, {1: limit(BUY, 1.101, time_in_force=tif)})
        assert [(f.price, f.units) for f in record.fills] == [(D("1.10000"), D(100_000))], tif
        record = run_steps([1.1] * 4, {1: buy(10_000_000, time_in_force=tif)}, leverage=None)
        assert [o.status for o in record.orders] == ["FILLED"], tif


def test_a_day_order_ends_with_the_trading_day() -> None:
    # Placed at 21:00 UTC; the day ends at 17:00 in New York, 22:00 UTC. The low of 1.08 comes an hour later.
    rows: list[Any] = [1.1, 1.1, 1.1, (1.1, 1.1, 1.08, 1.1), 1.1]
    market = bars(EURUSD, rows, times=[utc(2024, 1, 8, 20) + i * 3600 * NS for i in range(5)], period="1-HOUR")
    record = run_steps(market, {1: limit(BUY, 1.09, time_in_force=TimeInForce.DAY)})
    assert not record.fills
    assert [(o.status, o.reason) for o in record.orders] == [("CANCELED", "the trading day has ended")]
    record = run_steps(market, {1: limit(BUY, 1.09)})
    assert [f.price for f in record.fills] == [D("1.09000")]


def test_orders_without_margin_end_in_the_order_in_which_they_were_met() -> None:
    # The bar of 1.08 meets twelve limits at once; 100 USD carry none of them.
    record = run_steps([1.1, 1.1, 1.08, 1.08], {1: both(*[limit(BUY, 1.09)] * 12)}, start_balance=D(100))
    assert [o.status for o in record.orders] == ["CANCELED"] * 12
    assert [int(o.client_order_id.rpartition("-")[2]) for o in record.orders] == list(range(1, 13))


# --- orders for one ticket of a hedging account


def for_ticket(side: OrderSide, *sizes: int, **kw: Any) -> Act:
    """Market orders for the ticket there is, or was."""

    def act(s: Steps) -> None:
        ticket = (s.cache.positions_open() or s.cache.positions_closed())[0].id
        for units in sizes:
            s.market(EURUSD, side, units, ticket, **kw)

    return act


def stop_for_ticket(units: int) -> Act:
    def act(s: Steps) -> None:
        stop = s.order_factory.stop_market(s.id_of(EURUSD), SELL, s.qty(EURUSD, units), s.px(EURUSD, 1.09))
        s.submit_order(stop, _position(s))

    return act


@pytest.mark.parametrize("latency_ms", [0, 5])
@pytest.mark.parametrize(
    ("side", "sizes", "reason", "left"),
    [
        (
            SELL, (150_000,),
            "INVALID_CLOSE_VOLUME: position {} has 100000 units (1 lots) to close, not 150000 units (1.5 lots)", 100_000,
        ),
        (
            SELL, (70_000, 70_000),
            "INVALID_CLOSE_VOLUME: position {} has 30000 units (0.3 lots) left to close, not 70000 units (0.7 lots)", 30_000,
        ),
        (
            BUY, (10_000,),
            "INVALID_POSITION: position {} cannot be added to; send the order without position_id", 100_000,
        ),
    ],
)  # fmt: skip
def test_a_ticket_is_closed_and_not_turned_round(
    side: OrderSide, sizes: tuple[int, ...], reason: str, left: int, latency_ms: int
) -> None:
    # The volume has passed the desk before, so that it is not looked at closely again.
    acts = {
        0: both(buy(150_000), buy(70_000), buy(10_000)),
        1: close_all(),
        2: buy(100_000),
        3: for_ticket(side, *sizes),
    }
    record, steps = run_with([1.1] * 6, acts, latency=Latency(base_ms=latency_ms))
    ticket = record.positions[-1].position_id
    assert reasons(steps) == [reason.format(ticket)]
    assert sum(f.units if f.side == "BUY" else -f.units for f in record.fills if f.position_id == ticket) == left


def test_a_ticket_that_is_closed_is_not_opened_again() -> None:
    record, steps = run_with([1.1] * 5, {1: buy(100_000), 2: close_all(), 3: for_ticket(SELL, 100_000)})
    assert reasons(steps) == [f"POSITION_NOT_FOUND: no open position {record.positions[0].position_id}"]
    assert len(record.positions) == 1


@pytest.mark.parametrize(
    ("meanwhile", "reason"),
    [
        (for_ticket(SELL, 40_000), "has 60000 units (0.6 lots) to close, not 100000 units (1 lots)"),
        (close_all(), "no open position"),
    ],
)
def test_a_stop_for_more_than_is_left_of_its_ticket_is_canceled_when_it_is_met(meanwhile: Act, reason: str) -> None:
    acts = {1: buy(100_000), 2: stop_for_ticket(100_000), 3: meanwhile}
    record = run_steps([1.1, 1.1, 1.1, 1.1, 1.08, 1.08], acts)
    (stop,) = (o for o in record.orders if o.order_type == "STOP_MARKET")
    assert stop.status == "CANCELED"
    assert reason in stop.reason
    assert len(record.positions) == 1


def test_a_stop_for_a_ticket_needs_no_margin() -> None:
    # 100,000 at 1.10 hold 3,666.67 of 5,000 USD; where both sides of a hedge count, a second 100,000 would be too many.
    acts = {1: buy(100_000), 2: stop_for_ticket(100_000)}
    record = run_steps(
        [1.1, 1.1, 1.1, 1.089, 1.089], acts, start_balance=D(5_000), term_changes={"hedged_margin": "sum"}
    )
    assert [(f.price, f.reason) for f in record.fills[1:]] == [(D("1.09000"), "stop_loss")]


# --- amendments


def test_day_orders_end_in_the_order_in_which_they_were_sent() -> None:
    acts = {i: limit(BUY, 1.09, 1_000, time_in_force=TimeInForce.DAY) for i in range(1, 41)}
    record = run_steps(bars(EURUSD, [1.1] * 60, start_ns=utc(2024, 1, 8, 21, 10)), acts)
    assert [o.status for o in record.orders] == ["CANCELED"] * 40
    assert [o.created_ns for o in record.orders] == sorted(o.created_ns for o in record.orders)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"trigger_price": "1.11000"}, "INVALID_LEVEL: SELL STOP_MARKET at 1.11000 must be below 1.10000 of EURUSD"),
        ({"trigger_price": "1.095005"}, "INVALID_PRICE: trigger_price 1.095005 of EURUSD is off its tick"),
        ({"quantity": "99500"}, "VOLUME_STEP: 99500 units"),
    ],
)
def test_the_desk_refuses_an_amendment(change: dict[str, str], reason: str) -> None:
    def amend(s: Steps) -> None:
        (order,) = s.cache.orders_open()
        price = change.get("trigger_price")
        s.modify_order(
            order.client_order_id,
            quantity=Quantity.from_str(change["quantity"]) if "quantity" in change else None,
            trigger_price=Price.from_str(price) if price else None,
        )

    market = [1.1, 1.1, 1.1, 1.1, (1.1, 1.1, 1.0899, 1.095), 1.095]
    acts = {1: buy(100_000), 2: stop(SELL, 1.09, reduce_only=True), 3: amend}
    record, steps = run_with(market, acts)
    (refused,) = [e for e in steps.events if type(e).__name__ == "OrderModifyRejected"]
    assert refused.reason.startswith(reason)
    # The order is as it was.
    assert [(f.price, f.units) for f in record.fills[1:]] == [(D("1.09000"), D(100_000))]


def test_a_stop_is_moved_to_where_it_may_be() -> None:
    def amend(s: Steps) -> None:
        (order,) = s.cache.orders_open()
        s.modify_order(order.client_order_id, trigger_price=s.px(EURUSD, 1.095))

    market = [1.1, 1.1, 1.1, 1.1, (1.1, 1.1, 1.0899, 1.095), 1.095]
    record = run_steps(market, {1: buy(100_000), 2: stop(SELL, 1.09, reduce_only=True), 3: amend})
    assert [f.price for f in record.fills[1:]] == [D("1.09500")]


# --- slippage and latency


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
        # Triggered by a bar up to 1.12, then a bar back down to 1.10: the limit waits at 1.106 and is filled there.
        ("stop_limit", BUY, 1.105, 1.106, [(1.1, 1.12, 1.1, 1.12), (1.12, 1.12, 1.1, 1.1)], "1.10600"),
        ("stop_limit", SELL, 1.095, 1.094, [(1.1, 1.1, 1.08, 1.08), (1.08, 1.1, 1.08, 1.1)], "1.09400"),
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
