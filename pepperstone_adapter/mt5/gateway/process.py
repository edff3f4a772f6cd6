"""One worker process as the supervisor sees it: a pipe in, a pipe out, and the right to kill.

Pipes are read and written by a thread each, not by the event loop: asyncio's subprocess support needs the proactor loop on
Windows, and this must run the same there, under Wine and on Linux. A worker that hangs in a call reads nothing, and its pipe
takes little (4 KiB on Windows): whoever waited for it could not end it.
"""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from pepperstone_adapter.mt5.gateway.wire import Decoder, Message, WireError, encode


def creation_flags(platform: str) -> int:
    """How Windows starts a worker: in a process group of its own, so that Ctrl-C in the gateway's window does not reach
    it, and without a window. Elsewhere the worker ignores the signal by itself and these flags must be 0."""
    create_new_process_group, create_no_window = 0x0000_0200, 0x0800_0000
    return create_new_process_group | create_no_window if platform == "win32" else 0


class WorkerProcess:
    """Starts at once; messages and the end arrive on the reader thread.

    Parameters
    ----------
    setup
        First message: terminal, login, pace, cursors (see `worker`).
    on_message, on_exit
        Called from the reader thread; `on_exit` exactly once, last.
    command
        How to start it; the default runs the worker module with this interpreter.
    env
        Variables to add to this process's own, such as where a stand-in finds its terminal.
    """

    def __init__(
        self,
        setup: Message,
        on_message: Callable[[Message], None],
        on_exit: Callable[[str], None],
        command: list[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        command = command or [sys.executable, "-m", "pepperstone_adapter.mt5.gateway.worker"]
        # The package may sit in a folder or in a bundle that only this process has on its path.
        root = str(Path(__file__).parents[3])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        whole = {**os.environ, **(env or {}), "PYTHONPATH": path}
        self._process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=whole,
            creationflags=creation_flags(sys.platform),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        for name, work, args in (
            ("mt5-worker-in", self._write, (self._process.stdin,)),
            ("mt5-worker-out", self._read, (self._process.stdout, on_message, on_exit)),
        ):
            threading.Thread(target=work, args=args, name=name, daemon=True).start()
        self.send({"t": "setup", **setup})

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Message) -> None:
        """Hand a message over, after those before it; one that has ended gets it no more, which `on_exit` tells."""
        self._frames.put(encode(message))

    def kill(self) -> None:
        self._process.kill()

    def close(self, timeout_s: float = 2.0) -> None:
        """Ask it to end; kill it when it does not within `timeout_s`."""
        self._frames.put(None)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _write(self, stdin: IO[bytes]) -> None:
        with suppress(OSError), stdin:  # it has ended
            while (frame := self._frames.get()) is not None:
                stdin.write(frame)
                stdin.flush()

    def _read(self, stdout: IO[bytes], on_message: Callable[[Message], None], on_exit: Callable[[str], None]) -> None:
        decoder = Decoder()
        reason = ""
        try:
            while data := stdout.read1(1 << 16):  # type: ignore[attr-defined]
                for message in decoder.feed(data):
                    on_message(message)
        except WireError as error:
            reason = f"worker spoke nonsense: {error}"
            self._process.kill()
        code = self._process.wait()
        self._frames.put(None)
        on_exit(reason or f"worker ended with code {code}")
