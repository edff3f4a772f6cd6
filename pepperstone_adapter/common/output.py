"""Standard output and error that can end under a running process: a full disk, a closed pipe, a lost terminal.

A line that cannot be shown is no reason to stop trading, and must not turn a finished command into a bug. So a failure
of the output says that it is the output's, and is told once: what is written there afterwards, by Python, by the
framework or by the interpreter's own flush at the end, goes nowhere.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

NAME = "standard output"


class Output:
    """Standard output whose failure names it (`OSError.filename`), once.

    Parameters
    ----------
    stream
        The process's own `sys.stdout`, or what a caller put in its place.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        # An empty text is how libraries ask what kind of stream this is: no news to them.
        return 0 if text == "" else int(self._named(self._stream.write, text))

    def flush(self) -> None:
        self._named(self._stream.flush)

    def _named(self, call: Callable[..., Any], *arguments: str) -> Any:
        try:
            return call(*arguments)
        except OSError as error:
            error.filename = NAME
            _point_at_nothing(self._stream.fileno())
            raise


def tell(line: str) -> None:
    """Say a line on standard error, where that still takes one."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:
        _point_at_nothing(sys.stderr.fileno())


def _point_at_nothing(descriptor: int) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)
