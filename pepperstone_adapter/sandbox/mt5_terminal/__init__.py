"""A stand-in for ``import MetaTrader5`` on the sandbox's ledger.

Two halves, as with a real terminal. `module` is what a Python process imports: argument rules, error texts, result
tuples and the blocking pipe. `server` is the terminal with the broker behind it; it lives in the sandbox's process, so
the books survive when the process that holds the module is killed in the middle of a call.

The address of the terminal comes from the environment: ``PEPPERSTONE_SANDBOX_MT5`` (``127.0.0.1:5055``). Used as
``pepperstone mt5-gateway --terminal pepperstone_adapter.sandbox.mt5_terminal:connect``.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

ADDRESS_VARIABLE = "PEPPERSTONE_SANDBOX_MT5"
DEFAULT_ADDRESS = "127.0.0.1:5055"


def connect(env: Mapping[str, str] = os.environ) -> Any:
    """The module's functions and constants; nothing is contacted before `initialize`, as with the real one."""
    from pepperstone_adapter.sandbox.mt5_terminal.module import Mt5Module

    host, _, port = env.get(ADDRESS_VARIABLE, DEFAULT_ADDRESS).rpartition(":")
    if host not in ("127.0.0.1", "::1", "localhost") or not port.isdigit():
        raise SystemExit(f"error: {ADDRESS_VARIABLE} must be a loopback address such as {DEFAULT_ADDRESS}")
    return Mt5Module(host, int(port))


def install(env: Mapping[str, str] = os.environ) -> Any:
    """Make ``import MetaTrader5`` of this process give the stand-in (for programs that import it by name)."""
    sys.modules["MetaTrader5"] = module = connect(env)
    return module
