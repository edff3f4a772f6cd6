"""What a plan says of its order before it is noted."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from nautilus_trader.common import Clock, OrderFactory
from nautilus_trader.model import InstrumentId, OrderSide, Price, Quantity, StrategyId, TraderId

from pepperstone_adapter.broker.capabilities import Capabilities
from pepperstone_adapter.broker.orders import OrderType, TimeInForce
from pepperstone_adapter.live.planning import Open, Surroundings, plan_bracket, plan_order
from pepperstone_adapter.live.tracking import OrderTable
from pepperstone_adapter.mapping.orders import MarketView, bracket_of
from tests.kit.broker import spec

EURUSD = InstrumentId.from_str("EURUSD.PEPPERSTONE")
GOOD = frozenset({TimeInForce.GTC})
KEEPS = Capabilities(time_in_force={OrderType.LIMIT: GOOD, OrderType.MARKET: GOOD}, keeps_texts=True)
FACTORY = OrderFactory(TraderId("T-1"), StrategyId("S-1"), Clock.new_test())


def around(capabilities: Capabilities) -> Surroundings:
    return Surroundings(
        spec=spec("EURUSD"),
        capabilities=capabilities,
        market=MarketView(bid=Decimal("1.08500"), ask=Decimal("1.08507"), now_ns=1_000),
        table=OrderTable(),
        netting=False,
        open_gate=None,
        risk_gate=None,
    )


def venue_knows(capabilities: Capabilities) -> bool:
    order: Any = FACTORY.limit(EURUSD, OrderSide.BUY, Quantity(1_000, 0), Price(1.05, 5))
    plan = plan_order(order.init_event, None, None, around(capabilities))
    assert isinstance(plan, Open)
    return plan.order.venue_knows


def test_a_venue_knows_an_order_whose_id_and_strategy_it_keeps_whole() -> None:
    assert venue_knows(KEEPS)
    assert not venue_knows(replace(KEEPS, keeps_texts=False))
    assert not venue_knows(replace(KEEPS, client_order_id_max=15))  # a digest and a tail: the id cannot be read off it
    assert venue_knows(replace(KEEPS, tag_max=len("nt:S-1")))
    assert not venue_knows(replace(KEEPS, tag_max=len("nt:S-")))


def test_a_venue_does_not_know_the_ids_of_a_bracket_s_levels() -> None:
    orders = FACTORY.bracket(
        EURUSD, OrderSide.BUY, Quantity(1_000, 0), sl_trigger_price=Price(1.07, 5), tp_price=Price(1.09, 5)
    )
    bracket = bracket_of([order.init_event for order in orders])
    assert bracket is not None
    assert not plan_bracket(bracket, None, around(KEEPS)).order.venue_knows
