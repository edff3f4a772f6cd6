"""Names of one thing in two worlds: framework ids and the venue's texts and numbers. Pure.

A trade id is the venue's deal id, a position id its position id, an order's venue id its order id: nothing is invented,
so a restart finds the same ids. Only two things have no id at the venue and get a fixed form here: the legs of a
bracket (the venue keeps them as levels of the position) and a client order id longer than the venue's field.
"""

import base64
import hashlib
from enum import StrEnum

from nautilus_trader.model import PositionId, TradeId, VenueOrderId

from pepperstone_adapter.broker.orders import Deal


class Leg(StrEnum):
    STOP_LOSS = "SL"
    TAKE_PROFIT = "TP"

    @property
    def sibling(self) -> "Leg":
        return Leg.TAKE_PROFIT if self is Leg.STOP_LOSS else Leg.STOP_LOSS


_DIGEST = 13  # base32 letters of 65 bits: a collision among a million orders is one in ten million


def venue_text(client_order_id: str, longest: int) -> str:
    """The text the venue keeps for an order: our id, or its tail with a digest of the whole where it is too long."""
    if len(client_order_id) <= longest:
        return client_order_id
    digest = base64.b32encode(hashlib.sha256(client_order_id.encode()).digest()).decode()[:_DIGEST].lower()
    tail = max(0, longest - _DIGEST - 1)
    return f"{digest}-{client_order_id[-tail:]}"[:longest] if tail else digest[:longest]


def leg_text(key: str, leg: Leg) -> str:
    """Venue order id of a bracket leg: `key` is the position id where known when it was accepted, else the order id."""
    return f"{key}-{leg.value}"


def trade_id(deal: Deal) -> TradeId:
    return TradeId(deal.deal_id)


def position_id(text: str | None, netting: bool) -> PositionId | None:
    """The ticket as a framework position id; None on netting accounts, where the framework keeps one per strategy."""
    return PositionId(text) if text and not netting else None


def venue_order_id(text: str) -> VenueOrderId:
    return VenueOrderId(text)


def tag_of(strategy_id: str, longest: int) -> str:
    """What the venue's label says about an order: `nt:` and the strategy it belongs to."""
    return f"nt:{strategy_id}"[:longest]


def is_our_tag(tag: str) -> bool:
    return tag.startswith("nt:")


def strategy_of(tag: str) -> str:
    """The strategy that a tag of ours names; cut off where the tag was."""
    return tag.removeprefix("nt:")
