"""How an order of ours is known again: by its magic number, and by its comment where that fits.

The magic number survives on the order, the position and the entry deal; comments are cut at 29 units and may be
replaced by the broker. So the magic number is derived from the client order id alone (63 bits of its SHA-256, never
zero, so that hand-made orders with magic 0 are never ours), and the comment holds the id, or a short form of it.
"""

import hashlib
from typing import Final

from pepperstone_adapter.mt5.client.constants import COMMENT_MAX, MAGIC_BITS

_SHORT: Final = 12


def magic_of(client_order_id: str) -> int:
    """The magic number of an order id: the same in every process and on every day."""
    digest = hashlib.sha256(b"pepperstone:" + client_order_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - MAGIC_BITS) or 1


def key_of(client_order_id: str) -> str:
    """The gateway's order key: as unique as the id, of a length the gateway takes."""
    return hashlib.sha256(b"key:" + client_order_id.encode()).hexdigest()[:40]


def comment_of(client_order_id: str) -> str:
    """The id itself when it fits, else its tail after a short hash: what a person can still find."""
    if len(client_order_id.encode("utf-16-le")) // 2 <= COMMENT_MAX and client_order_id.isascii():
        return client_order_id
    short = hashlib.sha256(client_order_id.encode()).hexdigest()[:_SHORT]
    tail = "".join(c for c in client_order_id if c.isascii())[-(COMMENT_MAX - _SHORT - 1) :]
    return f"{short}~{tail}"
