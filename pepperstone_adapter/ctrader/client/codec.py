"""Bytes to messages and back. Sans I/O.

A frame that holds garbage breaks the stream: whatever follows cannot be trusted, so the link is dropped and made
again. Of the bytes only the first eight are ever shown: enough to see what a server sent, too few for a token.
"""

from google.protobuf.message import DecodeError, EncodeError, Message

from pepperstone_adapter import openapi
from pepperstone_adapter.common.errors import LocalProtocolError, RemoteProtocolError
from pepperstone_adapter.network.frames import FrameDecoder, frame

#: The venue's own cap. The largest legal answer, a list of some thousands of full symbols, stays below 2 MB.
MAX_FRAME_BYTES = 15_000_000
SHOWN_BYTES = 8


class Codec:
    """One direction-less codec per connection.

    Attributes
    ----------
    broken
        Why nothing more can be read, or None; messages before the fault are still returned.
    """

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._frames = FrameDecoder(max_bytes)
        self._max_bytes = max_bytes
        self._garbage: RemoteProtocolError | None = None

    @property
    def broken(self) -> RemoteProtocolError | None:
        return self._garbage or self._frames.broken

    @property
    def empty_frames(self) -> int:
        return self._frames.empty_frames

    def receive(self, data: bytes) -> list[openapi.Decoded]:
        """Take bytes in, give whole messages out, in order."""
        decoded: list[openapi.Decoded] = []
        if self._garbage is not None:
            return decoded
        for data_frame in self._frames.feed(data):
            try:
                decoded.append(openapi.decode(data_frame))
            except (DecodeError, RecursionError):
                head = data_frame[:SHOWN_BYTES].hex(" ")
                self._garbage = RemoteProtocolError(
                    f"the server sent a frame of {len(data_frame)} bytes that is no message (it begins {head})"
                )
                break
        return decoded

    def send(self, message: Message, client_msg_id: str | None = None) -> bytes:
        """Serialise one message with its envelope and length.

        Raises `LocalProtocolError` for a message that lacks a required field or does not fit a frame: our bug, and
        nothing was written.
        """
        try:
            return frame(openapi.encode(message, client_msg_id), self._max_bytes)
        except EncodeError as error:
            raise LocalProtocolError(f"{type(message).__name__} cannot be sent: {error}") from error
