"""What tests ask a session for, whatever its venue."""

from decimal import Decimal
from typing import Any

from pepperstone_adapter.broker.orders import OrderRequest, OrderType, Side


def market_order(name: str = "O-1", **changes: Any) -> OrderRequest:
    """Buy 10,000 EURUSD at market, or what `changes` make of it."""
    facts = {
        "client_order_id": name,
        "symbol": "EURUSD",
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "units": Decimal(10_000),
    }
    return OrderRequest(**(facts | changes))
