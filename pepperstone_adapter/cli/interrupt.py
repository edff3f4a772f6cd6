"""Ctrl-C where an exception would not do, and what else asks a process to end.

While a module loads: an extension that asks whether another one is there takes every exception for a no. The interrupt
would be swallowed, or end the command as a bug; so it is put off until the module is there. While the engine runs: the
framework catches what is raised inside a strategy's callback, and nothing is on the disk yet; so the process ends at
once.
"""

import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pepperstone_adapter.common.output import tell

INTERRUPTED = 130
_IMPORTING = "<frozen importlib"
_ASK_AGAIN_S = 0.02


def listen() -> None:
    """Take Ctrl-C over for this process; left alone where it is ignored (a job in the background)."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


@contextmanager
def ends_at_once(tidy: Callable[[], None]) -> Iterator[None]:
    """Inside, Ctrl-C ends the process, unless it is ignored; `tidy` puts the terminal in order before."""

    def end(_number: int, _frame: FrameType | None) -> None:
        tidy()
        _end()

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def ends_in_order() -> Iterator[None]:
    """Inside, what else asks this process to end (`kill`, a closed terminal) is Ctrl-C, unless it is ignored."""
    numbers = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def run[T](task: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, which ends its tasks in order at Ctrl-C only where Python's own handler stands."""
    import asyncio  # not for `--help`

    before = signal.getsignal(signal.SIGINT)
    if before is _interrupt:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return asyncio.run(task)
    finally:
        task.close()  # one that Ctrl-C kept from beginning ends without a warning
        signal.signal(signal.SIGINT, before)


class _Listener:
    """The handler. While a module loads, a timer sends the interrupt again until one meets none."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not _loads(frame):
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            signal.default_int_handler(number, frame)
        elif self._timer is None:
            self._timer = threading.Timer(_ASK_AGAIN_S, self._again, (number,))
            self._timer.daemon = True
            self._timer.start()

    def _again(self, number: int) -> None:
        self._timer = None
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, number)  # wakes a call that blocks, too
        else:
            signal.raise_signal(number)


_interrupt = _Listener()


def _loads(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTING):
            return True
        frame = frame.f_back
    return False


def _end() -> None:
    tell("error: interrupted")
    os._exit(INTERRUPTED)
