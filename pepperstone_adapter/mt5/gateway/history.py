"""The last event frames, so that a client that lost its link reads on where it stopped."""

from collections import deque


class EventRing:
    """Numbered frames of one epoch, bounded by bytes.

    Parameters
    ----------
    epoch
        Random name of this life of the gateway; a client with another epoch needs a fresh snapshot.
    max_bytes
        Oldest frames go when their encoded size passes this.
    """

    def __init__(self, epoch: str, max_bytes: int = 64 * 1024 * 1024) -> None:
        self.epoch = epoch
        self.seq = 0
        self._max_bytes = max_bytes
        self._bytes = 0
        self._frames: deque[tuple[int, bytes]] = deque()

    def add(self, frame: bytes) -> None:
        """Keep the encoded frame with number `seq` (already counted by `next`)."""
        self._frames.append((self.seq, frame))
        self._bytes += len(frame)
        while self._bytes > self._max_bytes and len(self._frames) > 1:
            _, old = self._frames.popleft()
            self._bytes -= len(old)

    def next(self) -> int:
        self.seq += 1
        return self.seq

    def after(self, resume: object) -> list[bytes] | None:
        """Frames after a client's ``[epoch, seq]``; None when they are no longer all here."""
        if not (isinstance(resume, list) and len(resume) == 2 and resume[0] == self.epoch):
            return None
        seen = resume[1]
        if not isinstance(seen, int) or not 0 <= seen <= self.seq:
            return None
        if seen == self.seq:
            return []
        if not self._frames or self._frames[0][0] > seen + 1:
            return None
        return [frame for number, frame in self._frames if number > seen]
