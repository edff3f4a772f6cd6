"""Plain connections to this machine, and to no other.

A helper process beside us (the MetaTrader gateway) needs no TLS: nobody sits between. The address is checked as a
number, so that a name in a hosts file cannot lead elsewhere.
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.network.tls import Endpoint


def is_loopback(host: str) -> bool:
    """Whether `host` is a loopback address, or the name every machine gives to it."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def loopback_connect(reactor: Any, endpoint: Endpoint, timeout_s: float) -> Callable[[Any], Any]:
    """The `connect` of a `Link` to a plain port of this machine.

    Raises
    ------
    ConfigurationError
        The endpoint is elsewhere; that needs TLS.
    """
    if not is_loopback(endpoint.host):
        raise ConfigurationError(f"{endpoint}: a plain connection may only go to this machine; give a CA file for TLS")
    host = "127.0.0.1" if endpoint.host == "localhost" else endpoint.host
    kind: Any = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
    plain = kind(reactor, host, endpoint.port, timeout_s)
    return lambda factory: plain.connect(factory)
