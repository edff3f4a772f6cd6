"""How much later an order is accepted because it goes through this program, beside the official SDK.

Prints one JSON line. Limit orders far from the price, one after the other, to a sandbox on loopback, three ways in the
same run, all from the call to the moment the caller is told of the acceptance:

* raw: a blocking TLS socket, the frame made and read by hand: server and wire, the floor of any client.
* node: `Strategy.submit_order` to `on_order_accepted` in a whole live node (risk checks, identity store, pacing,
  network thread, TLS, parsing, framework events).
* sdk: the official client in a process of its own, `send` to its first callback.

What a way adds is its time less the raw median. Targets: `added_p50_ms` at most 1, `added_p99_ms` at most 5;
`ratio` is what the SDK adds over what the node adds (medians).
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
from live_path import ACCOUNT_ID, SYMBOL, Server, percentile_ms, run_node, server, until
from nautilus_trader.model import InstrumentId, OrderSide, Price, Quantity
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter import openapi
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
        self.ask(oa.AccountAuthReq(ctidTraderAccountId=ACCOUNT_ID, accessToken="sandbox-access"))

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
                ctidTraderAccountId=ACCOUNT_ID, symbolId=self._symbol_id, orderType=oa.OrderType.LIMIT,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=200, help="Orders of the node, and of the raw socket.")
    parser.add_argument("--sdk-orders", type=int, default=12)
    parser.add_argument("--sdk", nargs=3, type=int, metavar=("PORT", "SYMBOL", "COUNT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.sdk:
        sdk_orders(*args.sdk)
        return
    trader = Trader()
    raw_ns: list[int] = []
    with server() as started:

        async def work() -> None:
            await until(lambda: trader.quoted, 10)
            raw = await asyncio.to_thread(Raw, started)
            for _ in range(args.orders):  # in turn, so that a busy moment of the machine meets both
                raw_ns.append(await asyncio.to_thread(raw.place))
                trader.accepted.clear()
                trader.place()
                await asyncio.wait_for(trader.accepted.wait(), 10)
                await asyncio.sleep(PAUSE_S)

        run_node(started, trader, work)
        sdk = subprocess.run(
            [sys.executable, __file__, "--sdk", str(started.port), str(started.symbol_id), str(args.sdk_orders)],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    raw, node = np.array(raw_ns[5:]), np.array(trader.ns[5:])  # the first ones warm up
    sdk_ns = np.array(json.loads(sdk.stdout.splitlines()[-1]))
    base = np.median(raw)
    print(
        json.dumps({
            "benchmark": "orders", "orders": len(node), "raw_p50_ms": percentile_ms(raw, 50),
            "node_p50_ms": percentile_ms(node, 50), "node_p99_ms": percentile_ms(node, 99),
            "added_p50_ms": percentile_ms(node - base, 50), "added_p99_ms": percentile_ms(node - base, 99),
            "sdk_orders": len(sdk_ns), "sdk_added_p50_ms": percentile_ms(sdk_ns - base, 50),
            "sdk_added_max_ms": percentile_ms(sdk_ns - base, 100),
            "ratio": float(round(Decimal(float(np.median(sdk_ns) - base)) / Decimal(float(np.median(node) - base)), 1)),
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()
