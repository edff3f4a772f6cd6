"""What the framework is to be told or the broker to be asked, as `order_events` decides it and `emit` carries it out."""

from dataclasses import dataclass
from decimal import Decimal

from pepperstone_adapter.broker.orders import Deal, OrderState


@dataclass(frozen=True, slots=True)
class Accepted:
    client_order_id: str
    order_id: str
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Filled:
    client_order_id: str
    order_id: str
    deal: Deal
    complete: bool


@dataclass(frozen=True, slots=True)
class Canceled:
    client_order_id: str
    order_id: str | None
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Expired:
    client_order_id: str
    order_id: str | None
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Rejected:
    client_order_id: str
    reason: str
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Updated:
    client_order_id: str
    order_id: str
    units: Decimal
    limit: Decimal | None
    stop: Decimal | None
    ts_ns: int


@dataclass(frozen=True, slots=True)
class AmendRejected:
    client_order_id: str
    order_id: str | None
    reason: str
    ts_ns: int


@dataclass(frozen=True, slots=True)
class CancelRejected:
    client_order_id: str
    order_id: str | None
    reason: str
    ts_ns: int


@dataclass(frozen=True, slots=True)
class StrangerOrder:
    """A stranger's order as a report; `introduce` says it as accepted and unfilled."""

    order: OrderState
    introduce: bool


@dataclass(frozen=True, slots=True)
class StrangerFill:
    deal: Deal


@dataclass(frozen=True, slots=True)
class SetExactLevels:
    """An entry has filled: its position now gets the levels that were asked for, to the point."""

    client_order_id: str
    position_id: str


@dataclass(frozen=True, slots=True)
class Warn:
    text: str
    halt: bool = False  # no new risk until a person has looked


type Emission = (
    Accepted
    | Filled
    | Canceled
    | Expired
    | Rejected
    | Updated
    | AmendRejected
    | CancelRejected
    | StrangerOrder
    | StrangerFill
    | SetExactLevels
    | Warn
)
