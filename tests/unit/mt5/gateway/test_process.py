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

WORKER = "from pepperstone_adapter.mt5.gateway import worker; worker.main()"


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


def test_nothing_reads_the_input_while_the_terminals_module_is_loaded_and_begins(tmp_path: Path) -> None:
    """On Windows a library that looks at its standard input while it is loaded, and a terminal that is started with it, wait
    for whoever reads there; and the supervisor says nothing before the worker is ready."""
    (tmp_path / "counting.py").write_text(
        "import threading\n"
        "class Terminal:\n"
        "    loaded = threading.active_count()\n"
        "    def initialize(self, *args, **options):\n"
        "        self.begun = threading.active_count()\n"
        "        return False\n"
        "    def last_error(self): return (-6, f'{self.loaded} and {self.begun} threads')\n"
    )
    said: queue.Queue[Any] = queue.Queue()
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {paths!r}.split({os.pathsep!r}); {WORKER}"]
    WorkerProcess({"terminal": "counting:Terminal"}, said.put, said.put, command)
    assert said.get(timeout=30)["error"] == [-6, "1 and 1 threads"]


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
    (reader,) = (t for t in threading.enumerate() if t not in before and t.name == "mt5-worker-out")
    hosted.stop()
    assert reader.is_alive()
    (tmp_path / "ended").touch()
    reader.join(30)
    assert not reader.is_alive()
    assert raised == []


def test_a_worker_that_reads_nothing_holds_up_nobody() -> None:
    """A call that hangs keeps the whole worker, and its pipe takes little (4 KiB on Windows): the supervisor must not wait
    for it, because it is the one that ends such a worker."""
    ended: queue.Queue[str] = queue.Queue()
    command = [sys.executable, "-c", "import threading; threading.Event().wait()"]
    worker = WorkerProcess({}, lambda _message: None, ended.put, command)

    def fill() -> None:
        for _ in range(20):
            worker.send({"t": "sub", "symbol": "x" * 10_000})

    sending = threading.Thread(target=fill, daemon=True)
    sending.start()
    sending.join(20)
    hung = sending.is_alive()
    worker.kill()
    assert ended.get(timeout=20) == "worker ended with code -9"
    assert not hung


def test_a_worker_gets_all_that_was_sent_before_its_input_ends() -> None:
    ended: queue.Queue[str] = queue.Queue()
    count = "import sys; data = sys.stdin.buffer.read(); sys.exit(len(data) == int(sys.argv[1]))"
    messages = [{"t": "sub", "symbol": "x" * 10_000, "n": n} for n in range(30)]
    size = len(encode({"t": "setup"})) + sum(len(encode(message)) for message in messages)
    worker = WorkerProcess({}, lambda _message: None, ended.put, [sys.executable, "-c", count, str(size)])
    for message in messages:
        worker.send(message)
    worker.close(20)
    assert ended.get(timeout=20) == "worker ended with code 1"
    before = threading.active_count()
    worker.send({"t": "sub"})  # to nobody
    assert threading.active_count() <= before
