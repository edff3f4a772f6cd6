"""The network thread: one Twisted reactor for the whole process (design D4).

A strategy that blocks the node's loop for seconds must not stop a heartbeat or lose a fill, so every link lives in a
thread of its own. Other threads reach it only by `call` and `run`; it reaches an asyncio loop only by a `Mailbox`.

A reactor cannot be started twice in a process, so the thread starts with the first link and stays until the process
ends; a link that closes leaves nothing behind in it. It is a daemon: an orderly end is the sessions' duty (`close`),
and a process that is told to die must not wait for a name server.
"""

import atexit
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from pepperstone_adapter.common.errors import ConfigurationError, LocalProtocolError
from pepperstone_adapter.network.promises import Promise, Task

#: Four times what it takes to write an order; a thread that is busy with something long is not waited for.
STAND_STILL_S = 0.002

_lock = threading.Lock()
_shared: "NetworkThread | None" = None


class NetworkThread:
    """Use `NetworkThread.shared()`; there is one a process."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self.reactor: Any = None

    @staticmethod
    def shared() -> "NetworkThread":
        """Return the process's network thread, started."""
        global _shared
        with _lock:
            if _shared is None:
                _shared = NetworkThread()
                _shared._start()
            return _shared

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Run `function(*args)` in the thread, soon; an exception is logged."""
        self.reactor.callFromThread(function, *args)

    def call_at_once(self, function: Callable[[], object]) -> None:
        """Run `function()` in the thread and stand still until it has ended, for `STAND_STILL_S` at most.

        Threads take turns in one interpreter. What the caller did meanwhile would be done instead of `function`: an
        order was written 0.3 ms later, half of it while the thread waited for its turn.
        """
        if threading.current_thread() is self._thread:
            raise LocalProtocolError("call_at_once() waits for the network thread and was called in it")
        ended = threading.Lock()
        ended.acquire()

        def work() -> None:
            try:
                function()
            finally:
                ended.release()

        self.call(work)
        ended.acquire(timeout=STAND_STILL_S)

    def run[T](self, function: Callable[[], "T | Promise[T] | Task[T]"]) -> "Future[T]":
        """Run `function` in the thread and hand its result, or that of the promise it returns, to a future."""
        if threading.current_thread() is self._thread:
            raise LocalProtocolError("run() waits for the network thread and was called in it")
        future: Future[T] = Future()

        def start() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller's thread
                future.set_exception(error)
                return
            if isinstance(result, Promise | Task):
                result.then(future.set_result, future.set_exception)
            else:
                future.set_result(result)

        self.call(start)
        return future

    def _start(self) -> None:
        from twisted.internet import reactor as installed

        reactor: Any = installed
        if reactor.running:
            raise ConfigurationError("another part of this process already runs a Twisted reactor")
        # The reactor's timers must not follow the wall clock: a correction of five minutes would stop heartbeats.
        reactor.seconds = time.monotonic
        # Name look-ups run in the reactor's pool; as ordinary threads they would hold up the end of the process.
        reactor.getThreadPool().threadFactory = partial(threading.Thread, daemon=True)
        _log_to_logging()
        self.reactor = reactor
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)
        self._thread.start()
        self._ready.wait(10.0)
        atexit.register(self._stop)

    def _run(self) -> None:
        self.reactor.callWhenRunning(self._ready.set)
        self.reactor.run(installSignalHandlers=False)

    def _stop(self) -> None:
        thread = self._thread
        if thread is not None and thread.is_alive():
            self.reactor.callFromThread(self.reactor.stop)
            thread.join(2.0)


def _log_to_logging() -> None:
    """Send what Twisted has to say to `logging`, from warnings up; it prints to the terminal otherwise."""
    from twisted.logger import (
        FilteringLogObserver,
        LogLevel,
        LogLevelFilterPredicate,
        STDLibLogObserver,
        globalLogBeginner,
    )

    warnings: Any = LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)
    to_logging: Any = STDLibLogObserver("pepperstone_adapter.network")
    observer: Any = FilteringLogObserver(to_logging, [warnings])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)
    logging.getLogger("pepperstone_adapter.network").addHandler(logging.NullHandler())
