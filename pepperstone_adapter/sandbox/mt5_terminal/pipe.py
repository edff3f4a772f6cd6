"""The pipe between module and terminal: frames of msgpack, length first. One call at a time, no timeout: a terminal that
does not answer blocks the caller for ever, as the real pipe does.

The real module keeps the GIL while it waits. With `hold_gil` (the terminal says so at connect) this one does as well,
so that threads of the same process stand still (POSIX only).
"""

import ctypes
import socket
import struct
import sys
from typing import Any, Final

import msgpack

HEAD: Final = struct.Struct(">I")
NO_IPC: Final = (-10_004, "No IPC connection")


class PipeBroken(Exception):
    """The terminal went away; `sending` tells whether the request had left."""

    def __init__(self, sending: bool) -> None:
        super().__init__("pipe broken")
        self.sending = sending


def pack(message: Any) -> bytes:
    body = msgpack.packb(message, use_bin_type=True)
    return HEAD.pack(len(body)) + bytes(body)


def unpack(body: bytes) -> Any:
    return msgpack.unpackb(body, raw=False, strict_map_key=False)


class Pipe:
    """One connection of one process."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._socket = socket.create_connection((host, port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(None)
        self.hold_gil = False

    def call(self, fn: str, *args: Any) -> Any:
        try:
            self._socket.sendall(pack([fn, list(args)]))
        except OSError:
            raise PipeBroken(sending=True) from None
        try:
            if self.hold_gil:
                _wait_holding_gil(self._socket.fileno())
            (size,) = HEAD.unpack(self._read(HEAD.size))
            return unpack(self._read(size))
        except OSError:
            raise PipeBroken(sending=False) from None

    def close(self) -> None:
        self._socket.close()

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionResetError
            data += part
        return bytes(data)


class _PollFd(ctypes.Structure):
    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


def _wait_holding_gil(fd: int) -> None:
    if sys.platform == "win32":
        return
    one = _PollFd(fd, 1, 0)  # POLLIN
    ctypes.PyDLL(None).poll(ctypes.byref(one), 1, -1)
