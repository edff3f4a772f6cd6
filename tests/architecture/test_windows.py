"""What Windows' loops and sockets lack, given to a process here: each way round it does the same as the way it replaces.

How a worker is started there is in `unit/mt5/gateway/test_process`.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pepperstone_adapter.sandbox.server import _linger
from tests.kit.mt5 import STAND_IN, broker

posix = pytest.mark.skipif(
    sys.platform == "win32", reason="sends signals; on Windows the real loop is the one that lacks"
)

# As in Windows' event loops (`asyncio` docs, "Platform Support").
NO_HANDLERS = """
import asyncio
def lacking(*_args): raise NotImplementedError
asyncio.SelectorEventLoop.add_signal_handler = lacking
"""

SELECT = """
from twisted.internet import selectreactor
selectreactor.install()
from pepperstone_adapter.network.thread import NetworkThread
network = NetworkThread.shared()
assert type(network.reactor).__name__ == "SelectReactor"
for n in range(100):
    done = []
    network.call(lambda: done.append("before"))
    network.call_at_once(lambda: done.append(n))
    network.run(lambda: None).result(5)
    assert done == ["before", n], done
print(network.run(lambda: 7).result(5))
"""

STOPPED = """
import signal
from pepperstone_adapter.live.node import install_signal
async def main():
    heard = asyncio.Event()
    install_signal(signal.SIGINT, heard.set)
    signal.raise_signal(signal.SIGINT)
    await asyncio.wait_for(heard.wait(), 10)
    print("heard on the loop")
asyncio.run(main())
"""

GATEWAY = """
import sys
from pepperstone_adapter.mt5.gateway.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_links_work_on_a_reactor_of_select() -> None:
    assert run(SELECT) == "7\n"


@posix
def test_ctrl_c_reaches_a_node_whose_loop_takes_no_signal_handlers() -> None:
    assert run(NO_HANDLERS + STOPPED) == "heard on the loop\n"


@posix
def test_ctrl_c_ends_a_gateway_whose_loop_takes_no_signal_handlers_and_its_worker(tmp_path: Path) -> None:
    with broker(tmp_path) as running:
        assert running.mt5 is not None
        command = [sys.executable, "-c", NO_HANDLERS + GATEWAY, "--terminal", STAND_IN, "--port", "0"]
        gateway = subprocess.Popen(
            [*command, "--state-dir", str(tmp_path / "keys")],
            env={**os.environ, "PEPPERSTONE_SANDBOX_MT5": f"127.0.0.1:{running.ports.mt5}"},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert gateway.stderr is not None
        try:
            while "listens on" not in gateway.stderr.readline():
                assert gateway.poll() is None
            while not running.call(lambda: running.mt5._writers):  # its worker has not joined the terminal yet
                assert gateway.poll() is None
                time.sleep(0.02)
            gateway.send_signal(signal.SIGINT)
            _, said = gateway.communicate(timeout=60)
        finally:
            gateway.kill()
        assert gateway.returncode == 0
        assert "Traceback" not in said
        while running.call(lambda: running.mt5._writers):
            time.sleep(0.02)  # the pipe of a worker that lives on never ends, and the test's time does


@pytest.mark.parametrize(("platform", "size"), [("win32", 4), ("linux", 8), ("darwin", 8)])
def test_a_reset_is_asked_for_as_the_platform_wants_it(platform: str, size: int) -> None:
    packed = _linger(platform)
    assert len(packed) == size
    assert struct.unpack("hh" if size == 4 else "ii", packed) == (1, 0)  # on, after no time
    if platform == sys.platform:
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, packed)
            assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, size) == packed
