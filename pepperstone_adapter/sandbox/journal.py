"""The wire journal: every frame, in order, as JSON lines; kept in memory for tests and in a file when asked for.

Payloads that carry credentials are never written, only their size.
"""

import base64
import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TextIO

from pepperstone_adapter.openapi import SECRET_PAYLOADS, PayloadType, name

KEPT = 20_000


class Frame(NamedTuple):
    ts_ns: int
    direction: str  # "in" = from the client, "out" = to the client, "note"
    connection: int
    payload_type: int
    name: str
    ref: str
    payload: bytes


class Journal:
    """Remembers the last frames; `path` also writes all of them. Spots and heartbeats are counted, not kept."""

    def __init__(self, now_ns: Callable[[], int], path: Path | None = None) -> None:
        self._now_ns = now_ns
        self._file: TextIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8")
        self.frames: deque[Frame] = deque(maxlen=KEPT)
        self.counts: dict[tuple[str, int], int] = {}

    def record(self, direction: str, connection: int, payload_type: int, ref: str, payload: bytes) -> None:
        key = (direction, payload_type)
        self.counts[key] = self.counts.get(key, 0) + 1
        if payload_type in (PayloadType.SPOT_EVENT, PayloadType.HEARTBEAT_EVENT):
            return
        secret = payload_type in SECRET_PAYLOADS
        kept = b"" if secret else payload
        frame = Frame(self._now_ns(), direction, connection, payload_type, name(payload_type), ref, kept)
        self.frames.append(frame)
        if self._file is not None:
            row = frame._asdict() | {"payload": base64.b64encode(kept).decode(), "size": len(payload)}
            self._file.write(json.dumps(row) + "\n")

    def note(self, connection: int, text: str) -> None:
        self.frames.append(Frame(self._now_ns(), "note", connection, 0, text, "", b""))

    def requests(self, message: str) -> list[Frame]:
        """Frames of one kind that clients sent."""
        return [f for f in self.frames if f.direction == "in" and f.name == message]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
