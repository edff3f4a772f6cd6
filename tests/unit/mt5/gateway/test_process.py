"""What differs by platform when a worker is started; the platform is an argument. What one says that cannot begin."""

import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.mt5.gateway.hosted import HostedGateway
from pepperstone_adapter.mt5.gateway.options import GatewayOptions
from pepperstone_adapter.mt5.gateway.process import WorkerProcess, creation_flags
from pepperstone_adapter.mt5.gateway.wire import Decoder, encode


def test_windows_keeps_ctrl_c_and_windows_away_from_the_worker() -> None:
    assert creation_flags("win32") == 0x0800_0200


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_elsewhere_there_are_no_flags(platform: str) -> None:
    assert creation_flags(platform) == 0


@pytest.mark.skipif(sys.platform != "win32", reason="the names exist on Windows only")
def test_the_numbers_are_the_standard_librarys() -> None:
    flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW  # type: ignore[attr-defined]
    assert creation_flags("win32") == flags


def test_a_terminal_that_cannot_be_loaded_is_said_with_its_reason() -> None:
    said: queue.Queue[Any] = queue.Queue()
    WorkerProcess({"terminal": "json:no_such_terminal"}, said.put, said.put)
    dead, end = said.get(timeout=30), said.get(timeout=30)
    assert (dead["t"], dead["fn"]) == ("dead", "json:no_such_terminal")
    assert dead["error"] == [-10_003, "AttributeError: module 'json' has no attribute 'no_such_terminal'"]
    assert end == "worker ended with code 1"


@pytest.mark.skipif(sys.platform == "win32", reason="signals interrupt a write on POSIX only")
def test_a_frame_whose_write_is_interrupted_arrives_whole(tmp_path: Path) -> None:
    """A machine that goes to sleep, or a stopped process: the system then takes a part of what is being written."""
    import fcntl
    import termios

    (tmp_path / "wordy.py").write_text(
        "class Terminal:\n"
        "    def initialize(self, *args, **options): return False\n"
        "    def last_error(self): return (-6, 'x' * 1_000_000)\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-m", "pepperstone_adapter.mt5.gateway.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), *sys.path))},
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        worker.stdin.write(encode({"t": "setup", "terminal": "wordy:Terminal"}))
        worker.stdin.flush()
        end = time.monotonic() + 30

        def waiting() -> int:
            return int(struct.unpack("i", fcntl.ioctl(worker.stdout, termios.FIONREAD, b"    "))[0])  # type: ignore[arg-type]

        while waiting() < 65_536:  # the pipe is full: the worker waits in the middle of its frame
            assert time.monotonic() < end, "the pipe never filled"
        worker.send_signal(signal.SIGSTOP)
        worker.send_signal(signal.SIGCONT)
        (dead,) = Decoder().feed(worker.stdout.read())
        assert dead["error"] == [-6, "x" * 1_000_000]
    finally:
        worker.kill()
        worker.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_what_a_worker_says_when_its_gateway_has_ended_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here its child speaks last: the worker ends when it is told to, and its pipe is still open."""
    said = encode({"t": "beat"})
    script = (
        "import os, sys, time\n"
        "os.read(0, 65536)\n"
        "if os.fork() == 0:\n"
        f"    while not os.path.exists({str(tmp_path / 'ended')!r}): time.sleep(0.01)\n"
        f"    os.write(1, {said!r})\n"
        "    os._exit(0)\n"
        "while os.read(0, 65536): pass\n"
    )
    raised: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    before = set(threading.enumerate())
    hosted = HostedGateway(GatewayOptions(port=0, state_dir=tmp_path, worker_command=(sys.executable, "-c", script)))
    (reader,) = (t for t in threading.enumerate() if t not in before and t.name != "mt5-gateway")
    hosted.stop()
    assert reader.is_alive()
    (tmp_path / "ended").touch()
    reader.join(30)
    assert not reader.is_alive()
    assert raised == []
