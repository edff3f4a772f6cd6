"""Ctrl-C where an exception would not do.

While a module loads: an extension that asks whether another one is there takes every exception for a no. The interrupt
would be swallowed, or end the command as a bug. While the engine runs: the framework catches what is raised inside a
strategy's callback. In both cases the process ends at once; what a command writes is staged, so nothing is half there.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pepperstone_adapter.common.output import tell

INTERRUPTED = 130
_IMPORTING = "<frozen importlib"


def listen() -> None:
    """Take Ctrl-C over for this process; left alone where it is ignored (a job in the background)."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


@contextmanager
def ends_at_once(tidy: Callable[[], None]) -> Iterator[None]:
    """Inside, Ctrl-C ends the process; `tidy` puts the terminal in order before."""

    def end(_number: int, _frame: FrameType | None) -> None:
        tidy()
        _end()

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run[T](task: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, which ends its tasks in order at Ctrl-C only where Python's own handler stands."""
    before = signal.getsignal(signal.SIGINT)
    if before is _interrupt:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return asyncio.run(task)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    inner = frame
    while inner is not None:
        if inner.f_code.co_filename.startswith(_IMPORTING):
            _end()
        inner = inner.f_back
    signal.default_int_handler(number, frame)


def _end() -> None:
    tell("error: interrupted")
    os._exit(INTERRUPTED)
