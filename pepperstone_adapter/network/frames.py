"""Frames on a byte stream: a 4-byte big-endian length, then that many bytes. Sans I/O.

A zero length is ignored and counted: it carries nothing, and some proxies use it to keep a link awake. A length above
the cap is never allocated: whoever announces it is not speaking this protocol, and the link must be dropped at once.
"""

from pepperstone_adapter.common.errors import LocalProtocolError, RemoteProtocolError

LENGTH_BYTES = 4


def frame(payload: bytes, max_bytes: int) -> bytes:
    """Put the length before `payload`. Raises `LocalProtocolError` for one that is empty or above the cap."""
    if not 0 < len(payload) <= max_bytes:
        raise LocalProtocolError(f"a frame of {len(payload)} bytes cannot be sent (cap {max_bytes})")
    return len(payload).to_bytes(LENGTH_BYTES) + payload


class FrameDecoder:
    """Cuts a stream into frames, whatever the chunks it comes in.

    Attributes
    ----------
    broken
        Why nothing more can be read, or None. Frames before the fault are still returned.
    empty_frames
        How many zero-length frames were ignored.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.broken: RemoteProtocolError | None = None
        self.empty_frames = 0
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes in, give whole frames out, in order."""
        if self.broken is not None:
            return []
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        start, end = 0, len(buffer)
        while end - start >= LENGTH_BYTES:
            length = int.from_bytes(buffer[start : start + LENGTH_BYTES])
            if length > self.max_bytes:
                self.broken = RemoteProtocolError(
                    f"the server announced a frame of {length} bytes (cap {self.max_bytes})"
                )
                buffer.clear()
                return frames
            body = start + LENGTH_BYTES
            if end - body < length:
                break
            if length:
                frames.append(bytes(buffer[body : body + length]))
            else:
                self.empty_frames += 1
            start = body + length
        del buffer[:start]
        return frames
