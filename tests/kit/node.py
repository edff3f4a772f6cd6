"""A real LiveNode over a `KitBroker`, and a strategy that a test drives step by step."""

import asyncio
import gc
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from nautilus_trader.common import Environment, LoggerConfig, LogLevel
from nautilus_trader.live import LiveNode, LiveNodeConfig
from nautilus_trader.live.clients import DataClientFactory, ExecutionClientFactory
from nautilus_trader.model import AccountId, InstrumentId, TraderId, Venue
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.live.config import LiveDataConfig, LiveExecConfig
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.data import BrokerDataClient
from pepperstone_adapter.live.execution import BrokerExecutionClient
from pepperstone_adapter.live.presets import engine_config
from tests.kit.broker import KitBroker, KitSession

VENUE = "PEPPERSTONE"
EURUSD = InstrumentId.from_str(f"EURUSD.{VENUE}")
USDJPY = InstrumentId.from_str(f"USDJPY.{VENUE}")


class Probe(Strategy):
    """Records what it is told."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig(log_events=False, log_commands=False))
        self.events: list[Any] = []
        self.position_events: list[Any] = []
        self.quotes: list[Any] = []
        self.bars: list[Any] = []
        self.history: list[Any] = []
        self.statuses: list[Any] = []
        self.deltas: list[Any] = []
        self.depths: list[Any] = []
        self.instruments: list[Any] = []
        self.started = False

    def on_start(self) -> None:
        self.started = True
        self.subscribe_quotes(EURUSD)

    def on_quote(self, quote: Any) -> None:
        self.quotes.append(quote)

    def on_bar(self, bar: Any) -> None:
        self.bars.append(bar)

    def on_historical_bars(self, bars: Any) -> None:
        self.history.append(bars)

    def on_historical_quotes(self, quotes: Any) -> None:
        self.history.append(quotes)

    def on_instrument_status(self, status: Any) -> None:
        self.statuses.append(status)

    def on_instrument(self, instrument: Any) -> None:
        self.instruments.append(instrument)

    def on_book_deltas(self, deltas: Any) -> None:
        self.deltas.append(deltas)

    def on_book_depth(self, depth: Any) -> None:
        self.depths.append(depth)

    def on_order_event(self, event: Any) -> None:
        self.events.append(event)

    def on_position_event(self, event: Any) -> None:
        self.position_events.append(event)

    def names(self, client_order_id: Any = None) -> list[str]:
        """Kinds of the order events seen, of one order or of all."""
        return [
            type(e).__name__.removeprefix("Order")
            for e in self.events
            if client_order_id is None or e.client_order_id == client_order_id
        ]


class Bench:
    """What a test works with while the node runs."""

    def __init__(self, broker: KitBroker, session: KitSession, probe: Probe) -> None:
        self.broker = broker
        self.session = session
        self.probe = probe
        self.data: BrokerDataClient | None = None
        self.client: BrokerExecutionClient = None  # type: ignore[assignment]
        self.connection: Connection = None  # type: ignore[assignment]
        self.cache: Any = None
        self.portfolio: Any = None

    async def until(self, condition: Callable[[], object], what: str = "condition", timeout_s: float = 10.0) -> None:
        """Wait for a condition; fails with what was awaited and the events so far."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            reasons = [str(e.reason) for e in self.probe.events if getattr(e, "reason", None)]
            raise AssertionError(
                f"no {what} within {timeout_s} s; events: {self.probe.names()}; reasons: {reasons}"
            ) from None

    async def names(self, client_order_id: Any, *wanted: str) -> None:
        """Wait until an order has had exactly these events."""
        await self.until(
            lambda: self.probe.names(client_order_id) == list(wanted),
            f"{list(wanted)} for {client_order_id} (has {self.probe.names(client_order_id)})",
        )


def run_bench(
    tmp_path: Path,
    script: Callable[[Bench], Awaitable[None]],
    broker: KitBroker | None = None,
    symbols: tuple[str, ...] = ("EURUSD",),
    with_data: bool = True,
    claim: bool = False,
    capabilities: dict[str, object] | None = None,
    node_options: dict[str, Any] | None = None,
    **exec_options: Any,
) -> Bench:
    """Run a node over a kit broker and a script beside it; the node is stopped when the script ends."""
    broker = broker or KitBroker()
    session = KitSession(broker, **(capabilities or {}))
    probe = Probe()
    bench = Bench(broker, session, probe)
    connection = Connection(lambda: session, VENUE, symbols, prime_timeout_s=2.0)  # type: ignore[arg-type, return-value]
    bench.connection = connection

    class DataFactory(DataClientFactory):
        @staticmethod
        def create(*, name: str, config: Any, cache: Any, clock: Any) -> BrokerDataClient:
            bench.data = BrokerDataClient(
                name=name, config=config, cache=cache, clock=clock, connection=connection, venue=Venue(VENUE)
            )
            return bench.data

    class ExecFactory(ExecutionClientFactory):
        @staticmethod
        def create(*, name: str, config: Any, cache: Any, clock: Any, trader_id: Any) -> BrokerExecutionClient:
            bench.client = BrokerExecutionClient(
                name=name,
                config=config,
                cache=cache,
                clock=clock,
                trader_id=trader_id,
                connection=connection,
                venue=Venue(VENUE),
                account_id=AccountId(f"{VENUE}-x4321"),
                mode=broker.mode if broker.mode is not PositionMode.SPREAD_BETTING else PositionMode.HEDGING,
                currency="USD",
            )
            return bench.client

    options: dict[str, Any] = {
        "answer_deadline_s": 0.05,
        "give_up_after_s": 0.4,
        "audit_interval_s": 0.1,
        **exec_options,
    }
    config = LiveNodeConfig(
        trader_id=TraderId("TEST-001"),
        environment=Environment.LIVE,
        logging=LoggerConfig(stdout_level=LogLevel.ERROR),
        exec_engine=engine_config({}),
        data_clients={VENUE: LiveDataConfig()} if with_data else {},
        exec_clients={VENUE: LiveExecConfig(state_dir=str(tmp_path), **options)},
        delay_post_stop_secs=0.0,
        timeout_connection_secs=10.0,
        timeout_disconnection_secs=5.0,
        **(node_options or {}),
    )
    node = LiveNode.build(
        "kit",
        config,
        data_factories={VENUE: DataFactory} if with_data else {},
        exec_factories={VENUE: ExecFactory},
    )
    node.add_strategy(probe)
    if claim:
        probe.set_external_order_instrument_ids([EURUSD])
    bench.cache, bench.portfolio = node.cache, node.portfolio

    async def main() -> None:
        handle = node.handle()
        running = asyncio.ensure_future(node.run_async())
        try:
            async with asyncio.timeout(20):
                while not handle.is_running and not running.done():
                    await asyncio.sleep(0.005)
            if running.done():
                await running
            if claim:
                probe.set_external_order_instrument_ids([])
            await script(bench)
        finally:
            handle.stop()
            await running

    failure: BaseException | None = None
    try:
        asyncio.run(main())
    except BaseException as error:  # noqa: BLE001 - raised again below
        failure = error
    # The framework allows one node a thread: a failed test must not keep this one alive through its traceback.
    node = None
    if failure is not None:
        traceback.clear_frames(failure.__traceback__)
        bench.__dict__.clear()
        gc.collect()
        raise failure
    bench.cache = bench.portfolio = None
    gc.collect()
    return bench
