"""The gateway's frames: bytes in, messages out; no I/O.

A frame is a 4-byte big-endian length and one msgpack map whose key ``t`` names its kind:

========  ==========================================================================================================
hello     gateway → client, first: ``proto``, ``nonce``
auth      client → gateway: ``nonce``, ``mac``, ``name``, ``resume`` = ``[epoch, seq]`` or None
welcome   gateway → client: ``mac`` (the gateway proves the token too), ``epoch``, ``seq``, ``resumed``
refused   gateway → client: ``code``, ``text``; the link ends
req       client → gateway: ``id``, ``fn``, ``args``; orders also ``key`` and ``login``, the account they are for
rep       gateway → client: ``id``, ``outcome``, ``data``, ``error`` = ``[code, text]`` of the terminal's ``last_error``
ev        gateway → client: ``seq``, ``events``; `seq` counts frames of one ``epoch`` without holes
ping/pong either way, to find half-open links
========  ==========================================================================================================

Only plain values travel: no code, no pickles. A numpy array travels as its raw bytes with its dtype's name.
"""

import hashlib
import hmac
import struct
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

PROTOCOL: Final = 1
FRAME_MAX_BYTES: Final = 32 * 1024 * 1024
WORKER_FRAME_MAX_BYTES: Final = FRAME_MAX_BYTES - 1024  # what the supervisor passes on gets its numbers written into it
_HEAD: Final = struct.Struct(">I")

RATES_DTYPE: Final = np.dtype(
    [
        ("time", "<i8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("tick_volume", "<u8"),
        ("spread", "<i4"),
        ("real_volume", "<u8"),
    ]
)
TICKS_DTYPE: Final = np.dtype(
    [
        ("time", "<i8"),
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("last", "<f8"),
        ("volume", "<u8"),
        ("time_msc", "<i8"),
        ("flags", "<u4"),
        ("volume_real", "<f8"),
    ]
)
_DTYPES: Final = {"rates": RATES_DTYPE, "ticks": TICKS_DTYPE}

type Message = dict[str, Any]


class WireError(Exception):
    """The peer sent something that is not a frame of ours; the link must be dropped."""


def encode(message: Message, max_bytes: int = FRAME_MAX_BYTES) -> bytes:
    """One frame. Arrays must have passed `pack_array`. Raises `WireError` when it would be too large."""
    body = msgpack.packb(message, use_bin_type=True)
    if len(body) > max_bytes:
        raise WireError(f"frame of {len(body)} bytes is over the limit of {max_bytes}")
    return _HEAD.pack(len(body)) + bytes(body)


class Decoder:
    """Turns a byte stream, cut anywhere, into messages."""

    def __init__(self, max_bytes: int = FRAME_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Messages completed by `data`.

        Raises
        ------
        WireError
            On an oversized length (before anything is allocated for it) or a body that is not a msgpack map with ``t``.
        """
        self._buffer += data
        out: list[Message] = []
        start = 0
        while len(self._buffer) - start >= _HEAD.size:
            (size,) = _HEAD.unpack_from(self._buffer, start)
            if size > self._max_bytes:
                raise WireError(f"frame of {size} bytes announced, limit is {self._max_bytes}")
            if len(self._buffer) - start - _HEAD.size < size:
                break
            body = bytes(self._buffer[start + _HEAD.size : start + _HEAD.size + size])
            out.append(_message(body))
            start += _HEAD.size + size
        del self._buffer[:start]
        return out


def _message(body: bytes) -> Message:
    try:
        message = msgpack.unpackb(body, raw=False, strict_map_key=False)
    except Exception as error:  # noqa: BLE001 - msgpack raises many unrelated classes for bad bytes
        raise WireError(f"not a message: {type(error).__name__}; first bytes {body[:32].hex()}") from None
    if not isinstance(message, dict) or not isinstance(message.get("t"), str):
        raise WireError(f"not a message: no kind; first bytes {body[:32].hex()}")
    return message


def pack_array(array: NDArray[Any]) -> Message:
    """A rates or ticks array as plain values."""
    for name, dtype in _DTYPES.items():
        if array.dtype.names == dtype.names:
            return {"nd": name, "raw": array.astype(dtype, copy=False).tobytes()}
    raise WireError(f"unexpected array type {array.dtype}")


def last_row(packed: Message) -> Message:
    """The last row of a packed array, packed."""
    return {"nd": packed["nd"], "raw": packed["raw"][-_DTYPES[packed["nd"]].itemsize :]}


def unpack_array(packed: Message) -> NDArray[Any]:
    """The array of `pack_array`, read-only as the module's own are."""
    try:
        return np.frombuffer(packed["raw"], dtype=_DTYPES[packed["nd"]])
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"not an array: {error}") from None


def proof(token: bytes, role: str, own_nonce: bytes, peer_nonce: bytes) -> bytes:
    """What a side shows to prove that it knows the token, without sending it; `role` stops reflection."""
    return hmac.new(token, role.encode() + own_nonce + peer_nonce, hashlib.sha256).digest()


def proved(token: bytes, role: str, own_nonce: bytes, peer_nonce: bytes, mac: object) -> bool:
    """Whether `mac` is the other side's `proof`; constant time."""
    return isinstance(mac, bytes) and hmac.compare_digest(proof(token, role, own_nonce, peer_nonce), mac)
