"""What the ledger says happened, in order. Every record in an event is a copy as of that moment."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from pepperstone_adapter.sandbox.ledger.records import Cash, Deal, Order, Position


class EventKind(StrEnum):
    ACCEPTED = "accepted"
    FILLED = "filled"
    PARTIALLY_FILLED = "partially_filled"
    REPLACED = "replaced"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    TRAILED = "trailed"
    SWAP = "swap"
    CASH = "cash"
    MARGIN_CHANGED = "margin_changed"
    MARGIN_CALL = "margin_call"
    ACCOUNT_CHANGED = "account_changed"
    SYMBOL_CHANGED = "symbol_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEvent:
    """One happening on one account.

    Attributes
    ----------
    seq
        Runs without gaps over the whole ledger.
    ref
        The mark of the request that started the chain ("" when the broker did).
    by_server
        The broker acted on its own (level hit, stop-out, follow-up of a fill).
    """

    seq: int
    kind: EventKind
    account_id: int
    ts_ns: int
    order: Order | None = None
    position: Position | None = None
    deal: Deal | None = None
    cash: Cash | None = None
    ref: str = ""
    by_server: bool = False
    error: str = ""
    level: Decimal | None = None  # margin call: the threshold in percent
    symbol: str = ""
