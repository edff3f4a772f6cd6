"""Framework orders as requests, and the reasons why not."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.common import Clock, OrderFactory
from nautilus_trader.model import (
    InstrumentId,
    OrderSide,
    Price,
    Quantity,
    StrategyId,
    TimeInForce,
    TraderId,
    TrailingOffsetType,
)

from pepperstone_adapter.broker.capabilities import Capabilities
from pepperstone_adapter.broker.orders import OrderRequest, Protection, Side
from pepperstone_adapter.broker.orders import OrderType as BrokerType
from pepperstone_adapter.broker.orders import TimeInForce as BrokerTif
from pepperstone_adapter.broker.symbols import TradingMode
from pepperstone_adapter.mapping.ids import Leg
from pepperstone_adapter.mapping.orders import (
    MarketView,
    NotSendable,
    bracket_of,
    check_price,
    check_protection,
    check_trading,
    check_volume,
    leg_plan,
    order_request,
    protection_of,
    resolve_ticks,
)
from tests.kit.broker import spec

D = Decimal
EURUSD = InstrumentId.from_str("EURUSD.PEPPERSTONE")
SPEC = spec("EURUSD")
CAPS = Capabilities(
    time_in_force={
        BrokerType.MARKET: frozenset({BrokerTif.IOC, BrokerTif.FOK}),
        BrokerType.MARKET_RANGE: frozenset({BrokerTif.IOC}),
        BrokerType.LIMIT: frozenset({BrokerTif.GTC, BrokerTif.GTD}),
        BrokerType.STOP_LIMIT: frozenset({BrokerTif.GTC}),
    },
    trailing_stop=True,
    stop_limit_as_distance=True,
)
MARKET = MarketView(bid=D("1.08500"), ask=D("1.08507"), now_ns=1_000)
BUY, SELL = OrderSide.BUY, OrderSide.SELL


def factory() -> OrderFactory:
    return OrderFactory(TraderId("T-1"), StrategyId("S-1"), Clock.new_test())


def qty(n: int) -> Quantity:
    return Quantity.from_int(n)


def px(text: str) -> Price:
    return Price.from_str(text)


def request(order: Any, params: dict[str, Any] | None = None, caps: Capabilities = CAPS) -> OrderRequest:
    return order_request(order.init_event, params, SPEC, caps, MARKET, "text", "nt:S-1")


def test_a_plain_market_order_takes_what_the_venue_calls_at_once() -> None:
    made = request(factory().market(EURUSD, BUY, qty(10_000)))
    assert made == OrderRequest(
        client_order_id="text",
        symbol="EURUSD",
        side=Side.BUY,
        type=BrokerType.MARKET,
        units=D(10_000),
        time_in_force=BrokerTif.IOC,
        tag="nt:S-1",
    )
    assert request(factory().market(EURUSD, SELL, qty(1_000), TimeInForce.FOK)).time_in_force is BrokerTif.FOK


def test_gtd_carries_its_expiry_and_must_lie_ahead() -> None:
    f = factory()
    gtd = TimeInForce.GTD
    made = request(f.limit(EURUSD, BUY, qty(1_000), px("1.08"), gtd, expire_time=2_000))
    assert (made.time_in_force, made.expires_ns, made.limit_price) == (BrokerTif.GTD, 2_000, D("1.08"))
    with pytest.raises(NotSendable, match="lies in the past"):
        request(f.limit(EURUSD, BUY, qty(1_000), px("1.08"), gtd, expire_time=900))


def test_a_stop_limit_kept_as_a_distance_cannot_lie_behind_its_stop() -> None:
    f = factory()
    made = request(f.stop_limit(EURUSD, BUY, qty(1_000), px("1.09110"), px("1.09100")))
    assert (made.stop_price, made.limit_price) == (D("1.09100"), D("1.09110"))
    behind = f.stop_limit(EURUSD, BUY, qty(1_000), px("1.09090"), px("1.09100"))
    with pytest.raises(NotSendable, match="cannot stand below stop"):
        request(behind)
    assert request(behind, caps=replace(CAPS, stop_limit_as_distance=False)).limit_price == D("1.09090")


def test_types_the_venue_has_not_are_named() -> None:
    with pytest.raises(NotSendable, match="has no stop orders"):
        request(factory().stop_market(EURUSD, BUY, qty(1_000), px("1.09")))
    with pytest.raises(NotSendable, match="MARKET_IF_TOUCHED orders do not exist"):
        request(factory().market_if_touched(EURUSD, BUY, qty(1_000), px("1.09")))


def test_a_market_range_order() -> None:
    order = factory().market(EURUSD, SELL, qty(1_000))
    made = request(order, {"slippage_points": 12})
    assert (made.type, made.base_price, made.slippage_points) == (BrokerType.MARKET_RANGE, D("1.08500"), 12)
    assert request(order, {"slippage_points": 0, "base_price": "1.085"}).base_price == D("1.085")
    for params in ({"slippage_points": 1.5}, {"slippage_points": -1}, {"slippage_points": True}, {"base_price": "1"}):
        with pytest.raises(NotSendable):
            request(order, params)


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (D(500), r"500 units \(0.005 lots\) is below the minimum of 1,000 units \(0.01 lots\)"),
        (D(20_000_000), "above the maximum"),
        (D(1_500), "the nearest are 1,000 and 2,000 units"),
    ],
)
def test_volumes_are_told_in_units_and_lots(units: Decimal, text: str) -> None:
    with pytest.raises(NotSendable, match=text):
        check_volume(units, SPEC)


def test_prices_off_the_tick_name_the_nearest() -> None:
    check_price(D("1.08500"), "limit price", SPEC)
    with pytest.raises(NotSendable, match=r"nearest are 1.08500 and 1.08501"):
        check_price(D("1.085005"), "limit price", SPEC)


def test_trading_modes() -> None:
    closing = replace(SPEC, trading_mode=TradingMode.CLOSE_ONLY)
    check_trading(closing, Side.SELL, closing=True)
    with pytest.raises(NotSendable, match="closing only"):
        check_trading(closing, Side.BUY, closing=False)
    with pytest.raises(NotSendable, match="no short positions"):
        check_trading(replace(SPEC, short_selling=False), Side.SELL, closing=False)


def test_a_bracket_is_an_entry_with_levels_and_other_links_are_refused() -> None:
    f = factory()
    orders = f.bracket(EURUSD, BUY, qty(1_000), sl_trigger_price=px("1.08"), tp_price=px("1.09"))
    bracket = bracket_of([o.init_event for o in orders])
    assert bracket is not None
    stop, profit = bracket.leg(Leg.STOP_LOSS), bracket.leg(Leg.TAKE_PROFIT)
    assert stop is not None
    assert profit is not None
    assert (stop.price, profit.price) == (D("1.08"), D("1.09"))
    assert bracket_of([f.limit(EURUSD, BUY, qty(1_000), px("1.08")).init_event]) is None
    with pytest.raises(NotSendable, match="must be a bracket"):
        bracket_of([o.init_event for o in orders[1:]])
    timed = f.bracket(
        EURUSD, BUY, qty(1_000), sl_trigger_price=px("1.08"), tp_price=px("1.09"), sl_time_in_force=TimeInForce.DAY
    )
    with pytest.raises(NotSendable, match="no expiry"):
        bracket_of([o.init_event for o in timed])


def test_a_trailing_leg_in_ticks_becomes_a_price_distance() -> None:
    order = factory().trailing_stop_market(EURUSD, SELL, qty(1_000), D(150), TrailingOffsetType.TICKS, reduce_only=True)
    plan = resolve_ticks(leg_plan(order.init_event), SPEC)
    assert plan.trailing == D("0.00150")
    levels = protection_of(plan, None, Side.BUY, D("1.08500"), as_distance=False, capabilities=CAPS)
    assert levels == Protection(stop_loss=D("1.08350"), trailing=True)
    with pytest.raises(NotSendable, match="no trailing stops"):
        protection_of(
            plan, None, Side.BUY, D("1.08"), as_distance=False, capabilities=replace(CAPS, trailing_stop=False)
        )


def test_levels_of_a_market_order_are_sent_as_distances_from_the_touch() -> None:
    orders = factory().bracket(EURUSD, SELL, qty(1_000), sl_trigger_price=px("1.09"), tp_price=px("1.08"))
    bracket = bracket_of([o.init_event for o in orders])
    assert bracket is not None
    stop, profit = bracket.leg(Leg.STOP_LOSS), bracket.leg(Leg.TAKE_PROFIT)
    levels = protection_of(stop, profit, Side.SELL, MARKET.bid, as_distance=True, capabilities=CAPS)
    # sold at the bid 1.08500: 0.00500 up to the stop, 0.00500 down to the profit
    assert levels == Protection(stop_loss=D("0.00500"), take_profit=D("0.00500"), distance=True)
    with pytest.raises(NotSendable, match="stop loss must be below"):
        protection_of(stop, profit, Side.BUY, MARKET.ask, as_distance=True, capabilities=CAPS)


def test_b27_levels_inside_the_symbols_distance_are_refused_with_it() -> None:
    near = replace(SPEC, stops_distance_points=50)
    check_protection(Protection(stop_loss=D("1.08450")), Side.BUY, D("1.08500"), near)
    with pytest.raises(NotSendable, match="stop loss is 40 points from the price; the broker wants at least 50"):
        check_protection(Protection(stop_loss=D("1.08460")), Side.BUY, D("1.08500"), near)
