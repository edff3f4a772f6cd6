"""What a session emits. Lists of these arrive on the node's loop, in the order the broker sent them."""

from dataclasses import dataclass
from enum import StrEnum

from pepperstone_adapter.broker.account import AccountSnapshot
from pepperstone_adapter.broker.market import Bar, DepthUpdate, Tick
from pepperstone_adapter.broker.orders import Deal, OrderState, PositionState
from pepperstone_adapter.broker.symbols import SymbolSpec


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Connected, authorised, resubscribed and reconciled: orders may flow."""

    ts_ns: int


@dataclass(frozen=True, slots=True)
class LinkDown:
    reason: str
    ts_ns: int
    permanent: bool = False  # True: reconnecting cannot help (revoked, wrong account); a person must act


class OrderChange(StrEnum):
    ACCEPTED = "accepted"
    FILLED = "filled"
    PARTIALLY_FILLED = "partially_filled"
    REPLACED = "replaced"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    CANCEL_REJECTED = "cancel_rejected"
    AMEND_REJECTED = "amend_rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChanged:
    """An order, its deal if there was one, and the position it belongs to, as one message of the broker."""

    change: OrderChange
    order: OrderState
    deal: Deal | None = None
    position: PositionState | None = None
    by_server: bool = False
    error: str = ""
    ts_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionChanged:
    """Levels, swap or volume of a position changed without an order event (trailing stop, swap, manual amend)."""

    position: PositionState
    ts_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChanged:
    account: AccountSnapshot
    ts_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolChanged:
    spec: SymbolSpec
    ts_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something a person should read: margin call, maintenance, bad bars repaired, throttling."""

    level: str  # "info" | "warning" | "error"
    text: str
    ts_ns: int
    halt: bool = False  # True: no new risk until a person has looked
    rows_left_out: int = 0  # rows of market data that could not be true, since the last notice about them
    of_rows: bool = False  # True: the rows carry it themselves (`Bar.repaired`); who counts them need not show it


type BrokerEvent = (
    Tick
    | Bar
    | DepthUpdate
    | LinkUp
    | LinkDown
    | OrderChanged
    | PositionChanged
    | AccountChanged
    | SymbolChanged
    | Notice
)
