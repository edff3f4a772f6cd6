"""How a node's account stops: what a strategy sends in its own `on_stop` is seen to its end, and nothing else waited for.

The waits are longer than any test: one that lasts to its end is cut off by the framework, which leaves the store open.
"""

import asyncio
from pathlib import Path

import pytest
from nautilus_trader.live import LiveNode
from nautilus_trader.trading import Strategy, StrategyConfig

from tests.kit.broker import KitBroker, Order
from tests.kit.node import BUY, DEADLINE_S, EURUSD, Bench, px, run_bench, units

LONG_S = 3600.0


class SlowBroker(KitBroker):
    """Takes closing orders at once, and executes them when the framework has long stopped listening; or never."""

    fills_after_s: float | None = 1.0

    def work(self, order: Order) -> None:
        if not order.state.closing:
            super().work(order)
        elif self.fills_after_s is not None:
            asyncio.get_running_loop().call_later(self.fills_after_s, super().work, order)


class Tidy(Strategy):
    """Closes what it holds when it is stopped."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig(log_events=False, log_commands=False))

    def on_start(self) -> None:
        self.submit_order(self.order_factory.market(EURUSD, BUY, units(10_000)))

    def on_stop(self) -> None:
        self.close_all_positions(EURUSD)


def with_tidy(node: LiveNode) -> None:
    node.add_strategy(Tidy())


def test_what_a_strategy_closes_on_its_own_stop_is_in_the_books_also_of_a_slow_venue(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.client.settle_timeout_s = LONG_S
        await b.until(lambda: b.cache.positions_open(), "position")

    broker = SlowBroker()
    bench = run_bench(
        tmp_path, script, broker=broker, setup=with_tidy, node_options={"timeout_disconnection_secs": DEADLINE_S}
    )
    assert not broker.positions
    assert bench.client.table.positions == {}
    assert bench.client.table.open_orders() == []
    assert bench.client.reconciler.unanswered == []
    assert bench.client._store is None


@pytest.mark.parametrize("left", ["a resting order", "a close on a lost link"])
def test_it_waits_for_no_resting_order_and_on_no_lost_link(left: str, tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.client.settle_timeout_s = LONG_S
        if left == "a resting order":
            order = b.probe.order_factory.limit(EURUSD, BUY, units(1_000), px("1.08000"))
            b.probe.submit_order(order)
            await b.reach(order, "ACCEPTED")
            return
        b.probe.submit_order(b.probe.order_factory.market(EURUSD, BUY, units(10_000)))
        await b.until(lambda: b.cache.positions_open(), "position")
        b.probe.close_all_positions(EURUSD)
        await b.until(lambda: any(o.is_open for o in b.client.table.open_orders()), "close")
        b.session.lose_link()

    broker = SlowBroker()
    broker.fills_after_s = None
    assert run_bench(tmp_path, script, broker=broker).client._store is None
