"""Orders of a scripted strategy, and what became of them."""

from typing import Any

from nautilus_trader.model import OrderSide

from tests.kit.runs import EURUSD, Act, Steps

BUY, SELL = OrderSide.BUY, OrderSide.SELL


def reasons(steps: Steps) -> list[str]:
    return [e.reason for e in steps.events if type(e).__name__ in ("OrderDenied", "OrderRejected")]


def names(steps: Steps) -> list[str]:
    return [type(e).__name__ for e in steps.events]


def stop(side: OrderSide, price: float, units: int = 100_000, **kw: Any) -> Act:
    return lambda s: s.submit_order(
        s.order_factory.stop_market(s.id_of(EURUSD), side, s.qty(EURUSD, units), s.px(EURUSD, price), **kw),
        position_of(s) if kw.get("reduce_only") else None,
    )


def limit(side: OrderSide, price: float, units: int = 100_000, **kw: Any) -> Act:
    return lambda s: s.submit_order(
        s.order_factory.limit(s.id_of(EURUSD), side, s.qty(EURUSD, units), s.px(EURUSD, price), **kw),
        position_of(s) if kw.get("reduce_only") else None,
    )


def position_of(s: Steps) -> Any:
    return s.cache.positions_open()[0].id
