"""Bundled strategies over the real wire, where the legs of a pending entry are orders of their own before it fills."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.model import Bar, BarType, OrderSide, OrderStatus, Price, Quantity

from strategies.donchian_breakout import DonchianBreakout, DonchianBreakoutConfig
from tests.kit.ctrader_node import run_ctrader, sandbox
from tests.kit.node import Bench

MINUTES = "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL"


class Fed(DonchianBreakout):
    """Gets its bars by hand."""

    def feed(self, opened: str, high: str, low: str, close: str) -> None:
        o, h, lo, c = (Price.from_str(text) for text in (opened, high, low, close))
        now_ns = self.clock.timestamp_ns()
        bar = Bar(BarType.from_str(MINUTES), o, h, lo, c, Quantity.from_int(1), now_ns, now_ns)
        for indicator in self.registered_indicators:
            indicator.handle_bar(bar)
        self.on_bar(bar)


def test_a_stop_trails_from_the_fill_on_and_not_while_its_entry_waits(tmp_path: Path) -> None:
    """Live, the stop of a pending entry works with it; in a backtest it is told with the fill."""
    config = DonchianBreakoutConfig(
        bar_type=MINUTES, channel=3, atr_period=3, buffer_atr=0.5, stop_atr=4, trail_atr=0.5, units=10_000
    )
    fed = Fed(config)

    def stops(b: Bench) -> dict[OrderSide, Any]:
        return {o.side: o for o in b.cache.orders(strategy_id=fed.strategy_id) if o.is_reduce_only}

    async def script(b: Bench) -> None:
        await b.until(lambda: b.probe.quotes, "a quote")
        for _ in range(
            3
        ):  # a range of 0.00100: entries at 1.08550 + 0.00050 and 1.08450 - 0.00050, stops 0.00400 behind
            fed.feed("1.08500", "1.08550", "1.08450", "1.08500")
        await b.until(
            lambda: [o.status for o in b.cache.orders(strategy_id=fed.strategy_id)] == [OrderStatus.ACCEPTED] * 4,
            "entries and stops",
        )
        fed.feed("1.08500", "1.08550", "1.08450", "1.08500")  # 0.00050 from the close is nearer than either stop
        assert not any(o.is_pending_update for o in b.cache.orders())
        b.sandbox.push("EURUSD", "1.08600", "1.08607")
        await b.until(lambda: b.cache.positions_open(), "the buy")
        assert stops(b)[OrderSide.SELL].trigger_price == Price.from_str("1.08200")
        await b.until(lambda: stops(b)[OrderSide.BUY].status is OrderStatus.CANCELED, "the other side gone")
        fed.feed("1.08600", "1.08660", "1.08560", "1.08600")
        trailed = Decimal("1.08600") - Decimal("0.5") * Decimal(str(round(fed.registered_indicators[1].value, 10)))
        wanted = b.cache.instrument(config.instrument_id).make_price(trailed)
        await b.until(lambda: stops(b)[OrderSide.SELL].trigger_price == wanted, "a trailed stop")

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script, setup=lambda node: node.add_strategy(fed))
        assert broker.violations() == []
