"""Both venues in one node: a strategy takes cTrader's quotes and trades on MetaTrader; each venue has its own name."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.common import Environment, LoggerConfig, LogLevel
from nautilus_trader.live import LiveNode, LiveNodeConfig
from nautilus_trader.model import InstrumentId, OrderSide, Quantity, TraderId
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.ctrader.config import CTraderDataConfig, CTraderExecConfig
from pepperstone_adapter.ctrader.factories import CTraderDataClientFactory, CTraderExecutionClientFactory
from pepperstone_adapter.live.factories import forget
from pepperstone_adapter.live.presets import engine_config
from pepperstone_adapter.mt5.factories import Mt5DataClientFactory, Mt5ExecutionClientFactory
from pepperstone_adapter.sandbox.report import books
from tests.kit.ctrader_node import ACCOUNT_ID
from tests.kit.ctrader_node import LOGIN as CTRADER_LOGIN
from tests.kit.mt5_node import configs, report, sandbox
from tests.kit.node import DEADLINE_S

QUOTED = InstrumentId.from_str("EURUSD.CTRADER")
TRADED = InstrumentId.from_str("EURUSD.MT5")


class Crossing(Strategy):
    """Buys on one venue when the other's bid passes a level, and sells when it falls back."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig(log_events=False, log_commands=False))
        self.quotes: list[Any] = []
        self.positions: list[Any] = []

    def on_start(self) -> None:
        self.subscribe_quotes(QUOTED)

    def on_quote(self, quote: Any) -> None:
        self.quotes.append(quote)
        open_now = self.cache.positions_open(instrument_id=TRADED)
        if str(quote.bid_price) == "1.09000" and not open_now and len(self.cache.orders()) == 0:
            self.submit_order(self.order_factory.market(TRADED, OrderSide.BUY, Quantity.from_int(10_000)))
        if str(quote.bid_price) == "1.08900" and open_now:
            self.close_position(open_now[0])

    def on_position_event(self, event: Any) -> None:
        self.positions.append(event)


@pytest.mark.timeout(90)
def test_quotes_of_one_venue_trade_on_the_other(tmp_path: Path) -> None:
    strategy = Crossing()

    async def until(condition: Any) -> None:
        async with asyncio.timeout(DEADLINE_S / 2):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    with sandbox(tmp_path) as broker:
        common = {
            "account": CTRADER_LOGIN,
            "environment": "sandbox",
            "venue": "CTRADER",
            "symbols": ["EURUSD"],
            "port": broker.ports.demo,
            "ca_file": str(broker.ca_file),
        }
        quotes = CTraderDataConfig(**common)
        idle = CTraderExecConfig(state_dir=str(tmp_path / "ctrader"), **common)
        data, execution = configs(broker, tmp_path, venue="MT5")
        node = LiveNode.build(
            "both",
            LiveNodeConfig(
                trader_id=TraderId("BOTH-001"),
                environment=Environment.SANDBOX,
                logging=LoggerConfig(stdout_level=LogLevel.WARNING),
                exec_engine=engine_config({}),
                data_clients={"CTRADER": quotes, "MT5": data},
                exec_clients={"CTRADER": idle, "MT5": execution},
                timeout_connection_secs=30.0,
                timeout_reconciliation_secs=30.0,
                timeout_disconnection_secs=5.0,
                delay_post_stop_secs=0.2,
            ),
            data_factories={"CTRADER": CTraderDataClientFactory, "MT5": Mt5DataClientFactory},
            exec_factories={"CTRADER": CTraderExecutionClientFactory, "MT5": Mt5ExecutionClientFactory},
        )

        async def main() -> None:
            cache, handle = node.cache, node.handle()
            running = asyncio.ensure_future(node.run_async())
            try:
                await until(lambda: strategy.quotes)
                broker.push("EURUSD", "1.09000", "1.09007")
                await until(lambda: report(broker)["positions"])
                await until(lambda: cache.positions_open(instrument_id=TRADED))
                (position,) = report(broker)["positions"]
                assert (position["open_price"], float(position["units"])) == ("1.09007", 10_000.0)
                broker.push("EURUSD", "1.08900", "1.08907")
                await until(lambda: not report(broker)["positions"])
                await until(lambda: cache.positions_closed(instrument_id=TRADED))
            finally:
                handle.stop()
                await asyncio.wait({running}, timeout=20)

        try:
            node.add_strategy(strategy)
            asyncio.run(main())
        finally:
            node.dispose()
            forget(quotes.key)
            forget(data.key)
        assert {str(q.instrument_id) for q in strategy.quotes} == {"EURUSD.CTRADER"}
        assert {str(e.instrument_id) for e in strategy.positions} == {"EURUSD.MT5"}
        # cTrader's books stayed empty; MetaTrader's hold one round trip: 10,000 × (1.08900 - 1.09007) - 2 × 0.35
        assert broker.call(books, broker.ledger, ACCOUNT_ID)["deals"] == []
        assert report(broker)["balance"] == "9988.60"
        assert broker.violations() == []
