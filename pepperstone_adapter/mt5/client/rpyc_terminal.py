"""An existing rpyc server beside a terminal (mt5linux, gmag11's image) as a terminal for our gateway's worker.

Those servers are remote shells: whoever reaches the port owns the machine. So the address must be loopback unless the
user declares that a tunnel leads there. Only one constant piece of code is sent, once; after that every call passes
plain arguments and gets plain values: structs by name, arrays as bytes. Nothing is unpickled and nothing is evaluated.

The worker process that holds this can be killed when a call hangs, as with the module itself.

Settings come from the environment of the gateway: ``PEPPERSTONE_MT5_RPYC_HOST`` (127.0.0.1), ``_PORT`` (18812) and
``PEPPERSTONE_MT5_RPYC_TUNNEL=yes`` to allow another host.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from pepperstone_adapter.mt5.gateway.wire import RATES_DTYPE, TICKS_DTYPE

CALL_TIMEOUT_S: Final = 180
_DTYPES: Final = {dtype.names: dtype for dtype in (RATES_DTYPE, TICKS_DTYPE)}

#: Runs on the server. Only immutable builtins come back, which rpyc passes by value.
REMOTE_CODE: Final = """
def _pepperstone_plain(value):
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "_asdict"):
        return ("struct", type(value).__name__, tuple((k, _pepperstone_plain(v)) for k, v in value._asdict().items()))
    if hasattr(value, "dtype") and getattr(value.dtype, "names", None):
        return ("array", tuple(value.dtype.names), value.tobytes())
    if isinstance(value, (tuple, list)):
        return ("tuple", tuple(_pepperstone_plain(item) for item in value))
    if hasattr(value, "item"):
        return value.item()
    raise TypeError("cannot pass " + type(value).__name__)

def _pepperstone_call(name, args, pairs, request):
    import MetaTrader5
    function = getattr(MetaTrader5, name)
    keywords = dict(pairs)
    if request is not None:
        result = function(**dict(request))
    elif keywords:
        result = function(*args, **keywords)
    else:
        result = function(*args)
    return (_pepperstone_plain(result), tuple(MetaTrader5.last_error()))
"""


class Struct:
    """A row of the terminal: fields as attributes, `_asdict` like the module's own."""

    __slots__ = ("_fields_map",)

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields_map = fields

    def __getattr__(self, name: str) -> Any:
        try:
            return self._fields_map[name]
        except KeyError:
            raise AttributeError(name) from None

    def _asdict(self) -> dict[str, Any]:
        return dict(self._fields_map)


class RpycTerminal:
    """The functions of the module that the gateway uses, over one connection.

    Parameters
    ----------
    connection
        An rpyc *classic* connection.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        connection.root.execute(REMOTE_CODE)
        self._remote = connection.root.namespace["_pepperstone_call"]
        self._error: tuple[int, str] = (1, "Success")

    def last_error(self) -> tuple[int, str]:
        return self._error

    def shutdown(self) -> None:
        """Leave the terminal attached: other clients of the server may use it."""
        self._connection.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*args: Any, **keywords: Any) -> Any:
            request = tuple(keywords.items()) if name in ("order_send", "order_check") else None
            pairs = () if request is not None else tuple(keywords.items())
            try:
                value, error = self._remote(name, args, pairs, request)
            except (EOFError, OSError, TimeoutError) as failure:
                # The server or the tunnel is gone; whether it did what was asked is not known.
                self._error = (-10_002, f"rpyc link lost: {type(failure).__name__}")
                return None
            self._error = (int(error[0]), str(error[1]))
            return _value(value)

        return call


def _value(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    match value:
        case ("struct", str(), fields):
            return Struct({name: _value(item) for name, item in fields})
        case ("array", names, raw):
            return np.frombuffer(raw, dtype=_DTYPES[tuple(names)])
        case ("tuple", items):
            return tuple(_value(item) for item in items)
        case _:
            raise TypeError(f"the server sent an unexpected value of kind {value[:1]}")


def connect(env: Mapping[str, str] = os.environ) -> RpycTerminal:
    """Connect as the environment says; used as ``--terminal pepperstone_adapter.mt5.client.rpyc_terminal:connect``."""
    import rpyc

    host = env.get("PEPPERSTONE_MT5_RPYC_HOST", "127.0.0.1")
    port = int(env.get("PEPPERSTONE_MT5_RPYC_PORT", "18812"))
    if host not in ("127.0.0.1", "::1", "localhost") and env.get("PEPPERSTONE_MT5_RPYC_TUNNEL") != "yes":
        raise SystemExit(
            f"error: {host} is another machine and rpyc is an open shell; reach it through a tunnel to 127.0.0.1, or "
            "set PEPPERSTONE_MT5_RPYC_TUNNEL=yes when the network between is yours alone"
        )

    class OneWay(rpyc.Service):  # type: ignore[misc]
        """What the server sees of us. `rpyc.classic.connect` would let it run code here; this shows it nothing.

        A classic server asks its client for two modules while it connects and gives up when it cannot, so it gets empty
        objects for them.
        """

        def exposed_getmodule(self, _name: str) -> object:
            return object()

        exposed_eval = exposed_execute = exposed_namespace = None

    connection = rpyc.connect(host, port, service=OneWay, config={"sync_request_timeout": CALL_TIMEOUT_S})
    return RpycTerminal(connection)
