"""Our orders and the account's positions as this process knows them. Plain Python, no framework, no I/O.

The framework applies events some time after they are emitted, so decisions about the next broker event cannot read its
cache: this table holds what has been *emitted* so far. An order is known by three names: our client order id, the text
the venue keeps for it, and the venue's order id once it has one. Stop loss and take profit of a position are orders
here (`leg`), because the framework holds them as such; at the venue they are levels of the position.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, auto

from pepperstone_adapter.broker.orders import Deal, PositionState, Side
from pepperstone_adapter.mapping.ids import Leg

ENTRY, CLOSE, LEG = "entry", "close", "leg"
SEEN_DEALS = 100_000
KEPT_ORDERS = 20_000  # ended orders are forgotten beyond this, oldest first; late news of one is a stranger's then


class Phase(Enum):
    SUBMITTED = auto()
    ACCEPTED = auto()
    ENDED = auto()


@dataclass(slots=True, kw_only=True)
class TrackedOrder:
    """One of our orders, with what was last emitted about it.

    Attributes
    ----------
    kind
        ``entry``, ``close`` (of a ticket) or ``leg``.
    limit, stop
        The levels the framework was last told; of a leg one of the two.
    trails
        The broker moves this stop after the price.
    venue_knows
        The venue, once it has the order, knows all that a note of ours says: whose it is, and its whole id.
    wants_exact
        Levels to set after the fill, because the venue took only distances with the order.
    rejected
        The framework was told that it is rejected, and takes no fill for it any more.
    """

    client_order_id: str
    venue_text: str
    strategy_id: str
    symbol: str
    side: Side
    units: Decimal
    kind: str = ENTRY
    leg: Leg | None = None
    parent: str | None = None
    limit: Decimal | None = None
    stop: Decimal | None = None
    trails: bool = False
    filled: Decimal = Decimal(0)
    phase: Phase = Phase.SUBMITTED
    order_id: str | None = None
    position_id: str | None = None
    venue_knows: bool = False
    wants_exact: bool = False
    rejected: bool = False
    submitted_ns: int = 0

    @property
    def is_open(self) -> bool:
        return self.phase is Phase.ACCEPTED

    @property
    def level(self) -> Decimal | None:
        return self.stop if self.leg is Leg.STOP_LOSS else self.limit


@dataclass(slots=True)
class OrderTable:
    """Every order of ours in this run, every open position of the account, and the deals already applied."""

    _orders: dict[str, TrackedOrder] = field(default_factory=dict)
    _live: dict[str, TrackedOrder] = field(default_factory=dict)  # those not known to have ended
    _by_text: dict[str, str] = field(default_factory=dict)
    _by_order_id: dict[str, str] = field(default_factory=dict)
    _legs: dict[str, list[TrackedOrder]] = field(default_factory=dict)  # by entry
    positions: dict[str, PositionState] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)  # order id of a stranger's working order -> symbol
    introduced: dict[str, None] = field(default_factory=dict)  # strangers' order ids the framework has been told of
    whole_until: dict[str, int] = field(default_factory=dict)  # positions told without their deals -> last change then
    _deals: "OrderedDict[str, None]" = field(default_factory=OrderedDict)

    def add(self, order: TrackedOrder) -> None:
        self._orders[order.client_order_id] = order
        self._live[order.client_order_id] = order
        if order.parent is not None:
            self._legs.setdefault(order.parent, []).append(order)
        self._forget_oldest()
        self._by_text[order.venue_text] = order.client_order_id
        if order.order_id is not None:
            self._by_order_id[order.order_id] = order.client_order_id

    def name(self, order: TrackedOrder, order_id: str) -> None:
        """Remember the venue's id of an order."""
        if order.order_id is None or order.kind != LEG:
            order.order_id = order_id
        self._by_order_id[order_id] = order.client_order_id

    def unused(self, order_id: str) -> str:
        """`order_id`, or where an order of this run has had it, the next free of ``…-2``, ``…-3``.

        Only for levels, whose ids we make: the framework gives a venue order id to one order for good, also when that
        order has ended, and drops every event of a second one.
        """
        text, n = order_id, 1
        while text in self._by_order_id:
            n += 1
            text = f"{order_id}-{n}"
        return text

    def get(self, client_order_id: str) -> TrackedOrder | None:
        return self._orders.get(client_order_id)

    def by_text(self, text: str | None) -> TrackedOrder | None:
        return self._orders.get(self._by_text.get(text, "")) if text else None

    def by_order_id(self, order_id: str | None) -> TrackedOrder | None:
        return self._orders.get(self._by_order_id.get(order_id, "")) if order_id else None

    def open_orders(self, symbol: str | None = None) -> list[TrackedOrder]:
        """Orders that have not ended, submitted ones included."""
        for cid in [cid for cid, order in self._live.items() if order.phase is Phase.ENDED]:
            del self._live[cid]
        return [o for o in self._live.values() if symbol is None or o.symbol == symbol]

    def legs_of_entry(self, entry: str) -> list[TrackedOrder]:
        return [o for o in self._legs.get(entry, ()) if o.phase is not Phase.ENDED]

    def legs_of_position(self, position_id: str) -> list[TrackedOrder]:
        return [o for o in self.open_orders() if o.kind == LEG and o.position_id == position_id]

    def leg(self, position_id: str, kind: Leg) -> TrackedOrder | None:
        return next((o for o in self.legs_of_position(position_id) if o.leg is kind), None)

    def held(self, position_id: str) -> bool:
        """Whether an order of ours opened a position, or was to close it."""
        return any(o.position_id == position_id for o in self._orders.values())

    def close_under_way(self, position_id: str | None, units: Decimal) -> bool:
        """Whether we have asked to close so much of a position and do not know the broker's order for it yet."""
        return any(
            o.kind == CLOSE and o.phase is Phase.SUBMITTED and o.position_id == position_id and o.units == units
            for o in self.open_orders()
        )

    def introduce(self, order_id: str) -> bool:
        """Whether the framework is told of a stranger's order for the first time; from now on it has been."""
        new = order_id not in self.introduced
        self.introduced[order_id] = None
        if len(self.introduced) > KEPT_ORDERS:
            for old in list(self.introduced)[: KEPT_ORDERS // 10]:
                if old not in self.foreign:
                    del self.introduced[old]
        return new

    def _forget_oldest(self) -> None:
        if len(self._orders) <= KEPT_ORDERS:
            return
        self.open_orders()
        for cid in list(self._orders)[: KEPT_ORDERS // 10]:
            if cid not in self._live:
                gone = self._orders.pop(cid)
                self._legs.pop(cid, None)
                self._by_text.pop(gone.venue_text, None)
                if gone.order_id is not None:
                    self._by_order_id.pop(gone.order_id, None)

    def deal_told(self, deal: Deal) -> bool:
        """Whether the framework has been told of a deal: by itself, or in what the start told of its position."""
        return deal.deal_id in self._deals or deal.ts_ns <= self.whole_until.get(deal.position_id, -1)

    def mark_deal(self, deal_id: str) -> None:
        """To be called after the deal was applied, never before (a crash between would lose it)."""
        self._deals[deal_id] = None
        while len(self._deals) > SEEN_DEALS:
            self._deals.popitem(last=False)
