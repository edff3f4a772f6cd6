"""The broker's books, without I/O: orders, positions, deals, money, sessions. Time is an argument everywhere."""

from pepperstone_adapter.sandbox.ledger.events import EventKind, LedgerEvent
from pepperstone_adapter.sandbox.ledger.invariants import violations
from pepperstone_adapter.sandbox.ledger.ledger import Ledger, NewOrder
from pepperstone_adapter.sandbox.ledger.records import (
    Cash,
    Deal,
    Order,
    Position,
    PositionStatus,
    Protect,
    TriggerMethod,
)
from pepperstone_adapter.sandbox.ledger.refusal import Refusal, Refused
from pepperstone_adapter.sandbox.ledger.terms import (
    Access,
    AccountTerms,
    HedgeMargin,
    LedgerRules,
    Reopening,
    StopOutOrder,
    SymbolTerms,
    TicketScheme,
)

__all__ = [
    "Access",
    "AccountTerms",
    "Cash",
    "Deal",
    "EventKind",
    "HedgeMargin",
    "Ledger",
    "LedgerEvent",
    "LedgerRules",
    "NewOrder",
    "Order",
    "Position",
    "PositionStatus",
    "Protect",
    "Refusal",
    "Refused",
    "Reopening",
    "StopOutOrder",
    "SymbolTerms",
    "TicketScheme",
    "TriggerMethod",
    "violations",
]
