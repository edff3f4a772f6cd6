"""Ports for what a test starts later: in a process of its own, or in the moment after."""

import contextlib
import secrets
import socket


def free_port() -> int:
    """A port of this machine on which nobody listens, below those that systems hand out by themselves.

    One that was bound by number 0 and let go is given to whichever socket of the other tests asks next.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
