"""The gateway's worker in the time of a simulated broker: the same process in everything else."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

from pepperstone_adapter.mt5.gateway import worker
from pepperstone_adapter.sandbox.mt5_terminal.pipe import PipeBroken


def brokers_time(terminal: Any) -> Callable[[], int]:
    """Where the pipe is broken the poll that follows says so."""
    last = [0]

    def now_ns() -> int:
        with contextlib.suppress(PipeBroken):
            last[0] = terminal.sandbox_now_ns()
        return last[0]

    return now_ns


if __name__ == "__main__":
    os._exit(worker.main(brokers_time))
