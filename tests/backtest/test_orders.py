"""How orders are refused, wait, trigger, fill and end."""

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model import Price, Quantity, TimeInForce, TrailingOffsetType

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.symbols import TradingMode
from pepperstone_adapter.simulation.profile import Profile
from tests.kit.orders import BUY, SELL, limit, names, position_of, reasons, stop
from tests.kit.runs import (
    EURUSD,
    MINUTE_NS,
    NS,
    Act,
    Steps,
    bars,
    both,
    buy,
    run_steps,
    run_with,
    sell,
    spec,
    utc,
)

D = Decimal
DAY_S = 86_400


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
        s.submit_order(order, position_of(s))

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
        s.submit_order(trail, position_of(s))

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


def close_with(tif: TimeInForce) -> Act:
    return lambda s: s.close_position(s.cache.positions_open()[0], time_in_force=tif)


@pytest.mark.parametrize(
    ("platform", "act", "reason"),
    [  # the second act; the first opens a position
        ("ctrader", close_with(TimeInForce.FOK), "FOK for an order that closes a position; use GTC, IOC"),
        ("ctrader", close_with(TimeInForce.IOC), None),
        ("mt5", close_with(TimeInForce.FOK), None),
        ("ctrader", buy(1_000, time_in_force=TimeInForce.FOK), None),
        ("ctrader", limit(BUY, 1.09, time_in_force=TimeInForce.DAY), "DAY for a limit order; use GTC, GTD, IOC, FOK"),
        ("mt5", limit(BUY, 1.09, time_in_force=TimeInForce.DAY), None),
        ("mt5", limit(BUY, 1.09, time_in_force=TimeInForce.IOC), "IOC for a limit order; use GTC, GTD, DAY"),
        # A level of a position lasts as long as the position.
        (
            "mt5",
            stop(SELL, 1.09, reduce_only=True, time_in_force=TimeInForce.DAY),
            "DAY for a level of a position; use GTC",
        ),
        ("mt5", stop(SELL, 1.09, reduce_only=True), None),
    ],
)
def test_a_platform_denies_a_time_in_force_that_it_denies_live(platform: str, act: Act, reason: str | None) -> None:
    account = Profile.load({"platform": platform}).terms([EURUSD])
    record, steps = run_with([1.1] * 5, {1: buy(100_000), 3: act}, account=account)
    assert reasons(steps) == ([] if reason is None else [f"UNSUPPORTED_TIME_IN_FORCE: {reason}"])
    assert record.orders[0].status == "FILLED"


def test_the_levels_of_a_bracket_last_as_long_as_the_position() -> None:
    account = Profile.load({"platform": "mt5"}).terms([EURUSD])

    def bracket(s: Steps) -> None:
        levels = {"sl_trigger_price": s.px(EURUSD, 1.09), "tp_price": s.px(EURUSD, 1.12), "tp_post_only": False}
        terms = {"sl_time_in_force": TimeInForce.DAY}
        orders = s.order_factory.bracket(s.id_of(EURUSD), BUY, s.qty(EURUSD, 1_000), **levels, **terms)
        s.submit_order_list(orders)

    record, steps = run_with([1.1] * 4, {1: bracket}, account=account)
    assert reasons(steps) == ["UNSUPPORTED_TIME_IN_FORCE: DAY for a level of a position; use GTC"] * 3
    assert not record.fills


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (buy(10_000, quote_quantity=True), "volumes are in units of the base, not in quote currency"),
        (limit(BUY, 1.09, post_only=True), "no broker order is post-only"),
        (limit(BUY, 1.09, display_qty=Quantity.from_int(1_000)), "no broker order hides a part (display_qty)"),
    ],
)
def test_what_no_platform_takes_live_is_denied(act: Act, reason: str) -> None:
    # The first order, of the same volume, has passed the desk: what is known of it lets no other thing through.
    record, steps = run_with([1.1] * 5, {1: buy(10_000), 3: act})
    assert reasons(steps) == [f"UNSUPPORTED_ORDER: {reason}"]
    assert [f.units for f in record.fills] == [D(10_000)]


def test_netting_a_reversal_is_no_order_that_closes() -> None:
    account = Profile.load({"platform": "ctrader", "mode": "netting"}).terms([EURUSD])
    acts = {
        1: buy(100_000),
        3: lambda s: s.market(EURUSD, SELL, 100_000, position_of(s), time_in_force=TimeInForce.FOK),
    }
    record, _ = run_with([1.1] * 5, acts, account=account, mode=PositionMode.NETTING)
    assert [o.status for o in record.orders] == ["FILLED", "FILLED"]


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
