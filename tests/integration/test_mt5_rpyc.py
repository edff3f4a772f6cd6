"""The compatibility mode: the same session over an existing rpyc server, by value, in our own gateway's worker."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pepperstone_adapter.broker.market import Tick
from pepperstone_adapter.mt5.constants import RPYC_TERMINAL
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit import mt5 as kit
from tests.kit.ctrader import Recorder
from tests.kit.requests import market_order

pytest.importorskip("rpyc")

SERVER = """
import sys
from pepperstone_adapter.sandbox.mt5_terminal import install
install({"PEPPERSTONE_SANDBOX_MT5": sys.argv[1]})
from rpyc.core import SlaveService
from rpyc.utils.server import ThreadedServer
server = ThreadedServer(SlaveService, hostname="127.0.0.1", port=0)
print(server.port, flush=True)
server.start()
"""


@contextmanager
def rpyc_server(broker: Sandbox) -> Iterator[str]:
    command = [sys.executable, "-c", SERVER, f"127.0.0.1:{broker.ports.mt5}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def test_ticks_and_orders_over_an_rpyc_server(tmp_path: Path) -> None:
    with kit.broker(tmp_path) as broker, rpyc_server(broker) as port:
        env = {"PEPPERSTONE_MT5_RPYC_PORT": port}
        with kit.gateway(broker, tmp_path, terminal=RPYC_TERMINAL, worker_env=env) as gate:

            async def main() -> None:
                session, told = kit.session_of(gate), Recorder()
                await session.connect(told)
                await session.subscribe_quotes(["EURUSD"])
                await told.until(lambda: told.of(Tick))
                await session.submit(market_order())
                await told.until(lambda: told.changes("O-1") == ["accepted", "filled"])
                assert len(kit.held(broker)) == 1
                await session.close()

            asyncio.run(asyncio.wait_for(main(), 60))
            assert broker.violations() == []
