"""How much later an order is accepted because it goes through this program, beside the official SDK.

Prints one JSON line. Limit orders far from the price, one after the other, to a sandbox on loopback, three ways in the
same run, all from the call to the moment the caller is told of the acceptance:

* raw: a blocking TLS socket, the frame made and read by hand: server and wire, the floor of any client. It trades on an
  account of its own: on the node's, the node would be told of each of its orders and work on that while either is
  measured (it made the raw client a quarter slower, and so the node look better).
* node: `Strategy.submit_order` to `on_order_accepted` in a whole live node (risk checks, identity store, pacing,
  network thread, TLS, parsing, framework events).
* framework: the same strategy in a node whose execution client accepts at once, with no broker: the floor of any
  adapter of this framework.
* sdk: the official client in a process of its own, `send` to its first callback.

What this program adds is the node's time less the raw and the framework's medians; what the SDK adds is its time less
the raw median. The node notes each order before it leaves and flushes the note beside it (ADR 0040); what such a note
with its flush takes is measured for comparison (`flush_p50_ms`). Targets: `added_p50_ms` at most 1, `added_p99_ms` at
most 5; `ratio` is what the SDK adds over what the node adds (medians).

Each is begun out of a pause, as an order is in life: a processor that has just been at work answers sooner, and only
those that follow another would profit (a node's order right after the raw one was 0.3 to 0.6 ms faster).
"""

import argparse
import asyncio
import json
import socket
import ssl
import subprocess
import sys
import time
from decimal import Decimal

import numpy as np
from live_path import ACCOUNT_ID, OTHER_ID, SYMBOL, Server, percentile_ms, run_clients, run_node, server, until
from nautilus_trader.live.clients import DataClientFactory, ExecutionClient, ExecutionClientFactory, MarketDataClient
from nautilus_trader.model import (
    AccountBalance,
    AccountId,
    AccountType,
    Currency,
    InstrumentId,
    Money,
    OmsType,
    OrderSide,
    Price,
    Quantity,
    Venue,
    VenueOrderId,
)
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter import openapi
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.orders import Side
from pepperstone_adapter.live.config import LiveDataConfig, LiveExecConfig
from pepperstone_adapter.mapping.data import QuoteScale
from pepperstone_adapter.mapping.id_store import IdStore, OrderRecord
from pepperstone_adapter.mapping.instruments import instrument_from_spec
from pepperstone_adapter.openapi import messages as oa

EURUSD = InstrumentId.from_str(f"{SYMBOL}.PEPPERSTONE")
PAUSE_S = 0.03  # below the 45 requests a second the client allows itself
LIMIT = 1.05


class Trader(Strategy):
    """Places limit orders when told and notes when each was accepted."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig(log_events=False, log_commands=False))
        self.accepted = asyncio.Event()
        self.quoted = False
        self.ns: list[int] = []
        self._began = 0

    def on_start(self) -> None:
        self.subscribe_quotes(EURUSD)

    def on_quote(self, _quote) -> None:
        self.quoted = True

    def place(self) -> None:
        order = self.order_factory.limit(EURUSD, OrderSide.BUY, Quantity(1_000, 0), Price(LIMIT, 5))
        self._began = time.perf_counter_ns()
        self.submit_order(order)

    def on_order_accepted(self, _event) -> None:
        self.ns.append(time.perf_counter_ns() - self._began)
        self.accepted.set()


class FloorData(MarketDataClient):
    """Says what the instrument is, and one quote."""

    async def _connect(self) -> None:
        instrument = instrument_from_spec(symbol_table.get(SYMBOL))
        self._handle_instrument(instrument)

    async def _disconnect(self) -> None: ...

    async def _subscribe_quotes(self, _command) -> None:
        self._handle_data(QuoteScale(EURUSD, 5, 0).quote(110_000, 110_010, 1, 1))


class FloorExecution(ExecutionClient):
    """Accepts every order at once."""

    async def _connect(self) -> None:
        usd = Currency.from_str("USD")
        balance = AccountBalance(Money(1e6, usd), Money(0, usd), Money(1e6, usd))
        self.generate_account_state([balance], [], True, self.clock.timestamp_ns())

    async def _disconnect(self) -> None: ...

    async def _submit_order(self, command) -> None:
        now = self.clock.timestamp_ns()
        self.generate_order_submitted(command.order)
        order = self.cache.order(command.order_init.client_order_id)
        self.generate_order_accepted(order, VenueOrderId(str(now)), now)


class FloorDataFactory(DataClientFactory):
    @staticmethod
    def create(*, name, config, cache, clock):
        return FloorData(name=name, config=config, cache=cache, clock=clock, venue=Venue("PEPPERSTONE"))


class FloorExecutionFactory(ExecutionClientFactory):
    @staticmethod
    def create(*, name, config, cache, clock, trader_id):
        return FloorExecution(
            name=name, config=config, cache=cache, clock=clock, trader_id=trader_id, venue=Venue("PEPPERSTONE"),
            account_id=AccountId("PEPPERSTONE-1"), account_type=AccountType.MARGIN, oms_type=OmsType.HEDGING,
            base_currency=Currency.from_str("USD"),
        )  # fmt: skip


class Raw:
    """A blocking client with nothing in between."""

    def __init__(self, started: Server) -> None:
        context = ssl.create_default_context(cafile=str(started.ca_file))
        plain = socket.create_connection(("localhost", started.port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(plain, server_hostname="localhost")
        self._symbol_id = started.symbol_id
        self._number = 0
        self.ask(oa.ApplicationAuthReq(clientId="sandbox-client", clientSecret="sandbox-secret"))
        self.ask(oa.AccountAuthReq(ctidTraderAccountId=OTHER_ID, accessToken="sandbox-access"))

    def ask(self, message) -> int:
        """Send a request; nanoseconds until its first answer."""
        self._number += 1
        began = time.perf_counter_ns()
        data = openapi.encode(message, f"raw-{self._number}")
        self._socket.sendall(len(data).to_bytes(4) + data)
        while True:
            decoded = openapi.decode(self._read(int.from_bytes(self._read(4))))
            if decoded.client_msg_id == f"raw-{self._number}":
                return time.perf_counter_ns() - began

    def place(self) -> int:
        return self.ask(
            oa.NewOrderReq(
                ctidTraderAccountId=OTHER_ID, symbolId=self._symbol_id, orderType=oa.OrderType.LIMIT,
                tradeSide=oa.TradeSide.BUY, volume=100_000, limitPrice=LIMIT,
            )
        )  # fmt: skip

    def _read(self, count: int) -> bytes:
        out = b""
        while len(out) < count:
            out += self._socket.recv(count - len(out))
        return out


def sdk_orders(port: int, symbol_id: int, count: int) -> None:
    """Place orders with the official client; prints their times (runs in a process of its own)."""
    from ctrader_open_api import Client, TcpProtocol
    from ctrader_open_api.messages import OpenApiMessages_pb2 as api
    from ctrader_open_api.messages import OpenApiModelMessages_pb2 as model
    from twisted.internet import reactor

    client, times = Client("127.0.0.1", port, TcpProtocol), []

    def ask(request, then, number: list = [0]) -> None:  # noqa: B006 - a counter
        number[0] += 1
        deferred = client.send(request, clientMsgId=f"sdk-{number[0]}", responseTimeoutInSeconds=20)
        deferred.addCallbacks(then, lambda failure: (print(failure), reactor.stop()))

    def connected(_) -> None:
        ask(api.ProtoOAApplicationAuthReq(clientId="sandbox-client", clientSecret="sandbox-secret"), authorise)

    def authorise(_) -> None:
        ask(api.ProtoOAAccountAuthReq(ctidTraderAccountId=ACCOUNT_ID, accessToken="sandbox-access"), lambda _: place())

    def place() -> None:
        if len(times) == count:
            reactor.stop()
            return
        request = api.ProtoOANewOrderReq(
            ctidTraderAccountId=ACCOUNT_ID, symbolId=symbol_id, orderType=model.ProtoOAOrderType.LIMIT,
            tradeSide=model.ProtoOATradeSide.BUY, volume=100_000, limitPrice=LIMIT,
        )  # fmt: skip
        began = time.perf_counter_ns()

        def answered(_) -> None:
            times.append(time.perf_counter_ns() - began)
            # Not in step with the client's own one-second tick: that would hide or double its wait.
            reactor.callLater(0.05 + 0.37 * len(times) % 1.0, place)

        ask(request, answered)

    client.setConnectedCallback(connected)
    client.startService()
    reactor.run()
    print(json.dumps(times))


def sdk_times(started: Server, count: int) -> np.ndarray:
    """Times of the official client, in a process of its own."""
    sdk = subprocess.run(
        [sys.executable, __file__, "--sdk", str(started.port), str(started.symbol_id), str(count)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return np.array(json.loads(sdk.stdout.splitlines()[-1]))


async def placed(trader: Trader) -> None:
    trader.accepted.clear()
    trader.place()
    await asyncio.wait_for(trader.accepted.wait(), 10)


def flush(store: IdStore, number: int) -> int:
    """Nanoseconds to put one intent on the disk, as the node does before a close."""
    record = OrderRecord(
        client_order_id=f"O-{number}", venue_text=f"t{number}", strategy_id="S", symbol=SYMBOL, side=Side.BUY,
        units=Decimal(1_000), kind="limit",
    )  # fmt: skip
    began = time.perf_counter_ns()
    store.add([record])
    return time.perf_counter_ns() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=200, help="Orders of the node, and of the raw socket.")
    parser.add_argument("--sdk-orders", type=int, default=12, help="Of the official client, a second each; 0: without.")
    parser.add_argument("--sdk", nargs=3, type=int, metavar=("PORT", "SYMBOL", "COUNT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.sdk:
        sdk_orders(*args.sdk)
        return
    trader, alone = Trader(), Trader()
    raw_ns: list[int] = []
    flush_ns: list[int] = []
    with server() as started:

        async def work() -> None:
            await until(lambda: trader.quoted, 10)
            raw = await asyncio.to_thread(Raw, started)
            store = IdStore(started.folder / "beside.sqlite")
            for n in range(args.orders):  # in turn, so that a busy moment of the machine meets all
                raw_ns.append(await asyncio.to_thread(raw.place))
                await asyncio.sleep(PAUSE_S)
                flush_ns.append(flush(store, n))
                await asyncio.sleep(PAUSE_S)
                await placed(trader)
                await asyncio.sleep(PAUSE_S)

        async def floor() -> None:
            await until(lambda: alone.quoted, 10)
            for _ in range(args.orders):
                await placed(alone)
                await asyncio.sleep(PAUSE_S)

        run_node(started, trader, work)
        data, execution = (LiveDataConfig(), FloorDataFactory), (LiveExecConfig(), FloorExecutionFactory)
        run_clients("PEPPERSTONE", data, execution, alone, floor, reconciliation=False)
        sdk = sdk_times(started, args.sdk_orders) if args.sdk_orders else None
    warm = 5  # the first ones warm up
    raw, node, framework, flushed = (np.array(times[warm:]) for times in (raw_ns, trader.ns, alone.ns, flush_ns))
    added = node - np.median(raw) - np.median(framework)
    line = {
        "benchmark": "orders", "orders": len(node), "raw_p50_ms": percentile_ms(raw, 50),
        "raw_p99_ms": percentile_ms(raw, 99), "flush_p99_ms": percentile_ms(flushed, 99),
        "framework_p50_ms": percentile_ms(framework, 50), "flush_p50_ms": percentile_ms(flushed, 50),
        "node_p50_ms": percentile_ms(node, 50), "node_p99_ms": percentile_ms(node, 99),
        "added_p50_ms": percentile_ms(added, 50), "added_p99_ms": percentile_ms(added, 99),
    }  # fmt: skip
    if sdk is not None:
        sdk_added = sdk - np.median(raw)
        line |= {
            "sdk_orders": len(sdk), "sdk_added_p50_ms": percentile_ms(sdk_added, 50),
            "sdk_added_max_ms": percentile_ms(sdk_added, 100),
            "ratio": round(float(np.median(sdk_added) / np.median(added)), 1),
        }  # fmt: skip
    print(json.dumps(line))


if __name__ == "__main__":
    main()
