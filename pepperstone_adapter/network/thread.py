"""The network thread: one Twisted reactor for the whole process (design D4).

A strategy that blocks the node's loop for seconds must not stop a heartbeat or lose a fill, so every link lives in a
thread of its own. Other threads reach it only by `call` and `run`; it reaches an asyncio loop only by a `Mailbox`.

What must leave at once (`call_at_once`) does not wait for the thread to wake up: while the reactor waits for its sockets
nobody is at work on the links, and the caller does the work in the thread's stead. A lock, the turn, is held by whoever
is at work on them; the thread gives it away only while it waits. Where the system has no epoll the caller stands still
until the thread has done it.

A reactor cannot be started twice in a process, so the thread starts with the first link and stays until the process
ends; a link that closes leaves nothing behind in it. It is a daemon: an orderly end is the sessions' duty (`close`),
and a process that is told to die must not wait for a name server.
"""

import atexit
import logging
import select
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

log = logging.getLogger("pepperstone_adapter.network")

#: Name look-ups (a link each) and files that are written; each may block for a while.
POOL_THREADS = 4

_lock = threading.Lock()
_shared: "NetworkThread | None" = None


class NetworkThread:
    """Use `NetworkThread.shared()`; there is one a process."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._turn = threading.Lock()
        self._gives_turns = False
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
        """Run `function()` now, in the thread's stead while it waits; an exception is logged.

        To wake the thread and to wait for it made an order 0.2 ms later. A thread that is at work does it itself, next; the
        caller stands still until then, for `STAND_STILL_S` at most. What was called before runs before.
        """
        if threading.current_thread() is self._thread:
            raise LocalProtocolError("call_at_once() waits for the network thread and was called in it")
        if not self._gives_turns or self.reactor.threadCallQueue or not self._turn.acquire(blocking=False):
            self._call_and_stand_still(function)
            return
        try:
            function()
        except Exception:
            log.exception("a call into the network thread failed")
        finally:
            self._turn.release()
        self.reactor.wakeUp()  # it may have less time to wait now than when it began to

    def _call_and_stand_still(self, function: Callable[[], object]) -> None:
        """Threads take turns in one interpreter: what the caller did meanwhile would be done instead of `function`."""
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
        # As many as there will be: one more that starts after hours, when two calls meet, looks like one that leaks.
        pool = reactor.getThreadPool()
        pool.threadFactory = partial(threading.Thread, daemon=True)
        pool.adjustPoolsize(POOL_THREADS, POOL_THREADS)
        _log_to_logging()
        if isinstance(getattr(reactor, "_poller", None), getattr(select, "epoll", ())):
            reactor._poller = _GivesTurn(reactor._poller, self._turn)
            self._gives_turns = True
        self.reactor = reactor
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)
        self._thread.start()
        self._ready.wait(10.0)
        atexit.register(self._stop)

    def _run(self) -> None:
        self.reactor.callWhenRunning(self._ready.set)
        with self._turn:
            self.reactor.run(installSignalHandlers=False)

    def _stop(self) -> None:
        thread = self._thread
        if thread is not None and thread.is_alive():
            self.reactor.callFromThread(self.reactor.stop)
            thread.join(2.0)


class _GivesTurn:
    """The reactor's epoll object, which gives the turn away while it waits."""

    def __init__(self, poller: Any, turn: threading.Lock) -> None:
        self._poller = poller
        self._turn = turn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)

    def poll(self, timeout_s: float, most: int) -> Any:
        self._turn.release()
        try:
            return self._poller.poll(timeout_s, most)
        finally:
            self._turn.acquire()


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
    log.addHandler(logging.NullHandler())
