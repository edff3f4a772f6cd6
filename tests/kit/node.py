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
from nautilus_trader.model import Currency, InstrumentId, OrderSide, OrderType, Price, Quantity, TraderId
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.broker.account import Environment as Account
from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.live.config import LiveDataConfig, LiveExecConfig
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.data import BrokerDataClient
from pepperstone_adapter.live.execution import BrokerExecutionClient
from pepperstone_adapter.live.factories import connection_of, data_client, execution_client, forget
from pepperstone_adapter.live.keys import node_name
from pepperstone_adapter.live.presets import engine_config
from tests.kit.broker import KitBroker
from tests.kit.broker_session import KitSession

VENUE = "PEPPERSTONE"
# Only a broken run waits this long; a loaded machine may need much of it.
DEADLINE_S = 60.0
EURUSD = InstrumentId.from_str(f"EURUSD.{VENUE}")
USDJPY = InstrumentId.from_str(f"USDJPY.{VENUE}")
USD = Currency.from_str("USD")
BUY, SELL = OrderSide.BUY, OrderSide.SELL


def units(n: int) -> Quantity:
    return Quantity.from_int(n)


def px(text: str) -> Price:
    return Price.from_str(text)


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
        self.books: list[Any] = []
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

    def on_book(self, book: Any) -> None:
        self.books.append(book)

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

    def __init__(self, probe: Probe, broker: Any = None, session: Any = None) -> None:
        self.broker: KitBroker = broker
        self.session: KitSession = session
        self.sandbox: Any = None
        self.probe = probe
        self.data: BrokerDataClient | None = None
        self.client: BrokerExecutionClient = None  # type: ignore[assignment]
        self.connection: Connection = None  # type: ignore[assignment]
        self.cache: Any = None
        self.portfolio: Any = None

    async def until(
        self, condition: Callable[[], object], what: str = "condition", timeout_s: float = DEADLINE_S
    ) -> None:
        """Wait for a condition; fails with what was awaited and the events so far."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():  # noqa: ASYNC110 - anything may be waited for
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

    def status(self, order: Any) -> str:
        known = self.cache.order(order.client_order_id)
        return "NONE" if known is None else str(known.status.name)

    async def reach(self, order: Any, status: str, timeout_s: float = DEADLINE_S) -> Any:
        """Wait until an order has this status; returns it as the cache holds it then."""
        await self.until(lambda: self.status(order) == status, f"{status} of {order.client_order_id}", timeout_s)
        return self.cache.order(order.client_order_id)

    def bracket(self, stop: str, profit: str, at: str | None = None, side: OrderSide = BUY) -> list[Any]:
        """Submit an entry with its stop loss and take profit: at market, or as a limit order `at` a price."""
        entry = {} if at is None else {"entry_order_type": OrderType.LIMIT, "entry_price": px(at)}
        orders: list[Any] = self.probe.order_factory.bracket(
            EURUSD, side, units(10_000), sl_trigger_price=px(stop), tp_price=px(profit), **entry
        )
        self.probe.submit_order_list(orders)
        return orders


def client_factories(
    bench: Bench, account_number: str, mode: PositionMode
) -> tuple[type[DataClientFactory], type[ExecutionClientFactory]]:
    """Factories of the bench's two clients over its connection, which leave them on the bench."""

    class DataFactory(DataClientFactory):
        @staticmethod
        def create(*, name: str, config: Any, cache: Any, clock: Any) -> BrokerDataClient:
            bench.data = data_client(name, config, cache, clock, bench.connection)
            return bench.data

    class ExecFactory(ExecutionClientFactory):
        @staticmethod
        def create(*, name: str, config: Any, cache: Any, clock: Any, trader_id: Any) -> BrokerExecutionClient:
            bench.client = execution_client(
                name,
                config,
                cache,
                clock,
                trader_id,
                bench.connection,
                account_number=account_number,
                mode=mode,
                currency="USD",
            )
            return bench.client

    return DataFactory, ExecFactory


def run_bench(
    tmp_path: Path,
    script: Callable[[Bench], Awaitable[None]],
    broker: KitBroker | None = None,
    symbols: tuple[str, ...] = ("EURUSD",),
    with_data: bool = True,
    claim: bool = False,
    capabilities: dict[str, object] | None = None,
    node_options: dict[str, Any] | None = None,
    setup: Callable[[LiveNode], None] | None = None,
    data_config: LiveDataConfig | None = None,
    **exec_options: Any,
) -> Bench:
    """Run a node over a kit broker and a script beside it; the node is stopped when the script ends."""
    broker = broker or KitBroker()
    session = KitSession(broker, **(capabilities or {}))
    probe = Probe()
    bench = Bench(probe, broker, session)
    bench.connection = Connection(lambda: session, VENUE, symbols, prime_timeout_s=2.0)
    data, execution = client_factories(bench, "7654321", broker.mode)
    options: dict[str, Any] = {
        "answer_deadline_s": 0.05,
        "give_up_after_s": 0.4,
        "audit_interval_s": 0.1,
        **exec_options,
    }
    return run_node(
        bench,
        script,
        data=(data_config or LiveDataConfig(), data) if with_data else None,
        execution=(LiveExecConfig(state_dir=str(tmp_path), **options), execution),
        claim=claim,
        node_options=node_options,
        setup=setup,
    )


def run_connected(bench: Bench, key: str, script: Callable[[Bench], Awaitable[None]], **node: Any) -> Bench:
    """`run_node` of the clients that share the connection `key`, which the script finds on the bench."""

    async def with_clients(b: Bench) -> None:
        connection = connection_of(key)
        assert connection is not None
        b.connection, b.client = connection, connection.execution
        await script(b)

    try:
        return run_node(bench, with_clients, **node)
    finally:
        forget(key)


def run_node(
    bench: Bench,
    script: Callable[[Bench], Awaitable[None]],
    data: tuple[Any, type] | None,
    execution: tuple[Any, type],
    claim: bool = False,
    node_options: dict[str, Any] | None = None,
    setup: Callable[[LiveNode], None] | None = None,
) -> Bench:
    """Build a node of these clients, run it and the script, stop it.

    Parameters
    ----------
    setup
        Adds strategies and actors of its own to the built node.
    """
    options: dict[str, Any] = {
        "trader_id": TraderId(node_name(Account.DEMO, "0000")),  # two runs within a second share no order ids
        "environment": Environment.LIVE,
        "logging": LoggerConfig(stdout_level=LogLevel.ERROR),
        "exec_engine": engine_config({}),
        "delay_post_stop_secs": 0.2,
        "timeout_connection_secs": DEADLINE_S,
        "timeout_disconnection_secs": 5.0,
        **(node_options or {}),
    }

    def build() -> LiveNode:
        return LiveNode.build(
            "kit",
            LiveNodeConfig(
                data_clients={VENUE: data[0]} if data is not None else {}, exec_clients={VENUE: execution[0]}, **options
            ),
            data_factories={VENUE: data[1]} if data is not None else {},
            exec_factories={VENUE: execution[1]},
        )

    try:
        node = build()
    except RuntimeError as error:
        if "already exists" not in str(error):
            raise
        gc.collect()  # the node of a test before this one, held by a cycle
        node = build()
    node.add_strategy(bench.probe)
    if claim:
        bench.probe.set_external_order_instrument_ids([EURUSD])
    if setup is not None:
        setup(node)
    bench.cache, bench.portfolio = node.cache, node.portfolio

    async def main() -> None:
        handle = node.handle()
        running = asyncio.ensure_future(node.run_async())
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not (handle.is_running or running.done()):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            if running.done():
                await running
            if claim:
                bench.probe.set_external_order_instrument_ids([])
            await script(bench)
        finally:
            handle.stop()
            await running

    failure: BaseException | None = None
    try:
        asyncio.run(main())
    except BaseException as error:  # noqa: BLE001 - raised again below
        failure = error
    node.dispose()  # closes what it records
    # The framework allows one node a thread: a failed test must not keep this one alive through its traceback.
    node = None  # type: ignore[assignment]
    if failure is not None:
        traceback.clear_frames(failure.__traceback__)
        bench.__dict__.clear()
        gc.collect()
        raise failure
    bench.cache = bench.portfolio = None
    gc.collect()
    return bench
