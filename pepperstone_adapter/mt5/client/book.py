"""What polled rows mean: comparison of what the terminal shows now with what it showed before. Pure; `now_ns` is given.

Rules that keep it honest:

* A fill is a deal and nothing else, each deal ticket once. What `order_send` answered is never taken for a fill.
* History lags: a position may vanish seconds before the deal that closed it can be read, or the reverse. A vanished
  position is told only when its deals explain it, or after `LAG_NS` with a warning; otherwise the levels of the
  position would look canceled although one of them was hit.
* For the same reason an open position and the sum of its deals may differ for a moment; where they still do after
  `LAG_NS`, a fill is missing, and a person must know. Time in which no news can come does not count.
* A pending order that vanished was filled, canceled, expired or rejected: only the order history says which, so it is
  asked for (`lookups`), again and again until it answers.
* Ours is what carries a magic number we made; a comment may have been changed by the broker.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

import numpy as np

from pepperstone_adapter.broker.events import BrokerEvent, Notice, OrderChange, OrderChanged, PositionChanged
from pepperstone_adapter.broker.orders import (
    Deal,
    DealEntry,
    DealReason,
    OrderState,
    OrderStatus,
    OrderType,
    PositionState,
)
from pepperstone_adapter.broker.server_time import ServerClock
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.mt5.client import parsing
from pepperstone_adapter.mt5.client.constants import Entry, OrderKind, OrderStateCode, Reason
from pepperstone_adapter.mt5.client.identity import magic_of
from pepperstone_adapter.mt5.client.stream_times import StreamTimes

type Row = Mapping[str, Any]

SERVER_REASONS: Final = frozenset(reason for reason in Reason if reason >= Reason.SL)
UNREADABLE: Final = (ArithmeticError, LookupError, TypeError, ValueError)
LAG_NS: Final = 10 * 1_000_000_000
D0: Final = Decimal(0)
_ENDED: Final = {
    OrderStatus.CANCELED: OrderChange.CANCELED,
    OrderStatus.EXPIRED: OrderChange.EXPIRED,
    OrderStatus.REJECTED: OrderChange.REJECTED,
}


@dataclass(slots=True)
class _Sent:
    """An order of this process: how much was asked and how much of it has been filled.

    `half` is the position on which a close-by is ours; what it does on the other one is told without our id. `ticket` is
    the server's, once it has named it.
    """

    client_order_id: str
    units: Decimal
    half: str | None = None
    filled: Decimal = Decimal(0)
    ticket: int = 0


@dataclass(slots=True)
class Book:
    """The account as last seen.

    Parameters
    ----------
    specs
        By symbol name; rows of unknown symbols are kept out and told once.
    """

    specs: dict[str, SymbolSpec]
    clock: ServerClock
    money_digits: int = 2
    positions: dict[str, PositionState] = field(default_factory=dict)
    lookups: set[int] = field(default_factory=set)
    lists: int = 0  # of orders and positions, taken so far
    heard_from_ns: int | None = 0  # since when news come without a break; None while none can
    _orders: dict[int, Row] | None = None
    _sent: dict[int, _Sent] = field(default_factory=dict)
    _deals: set[int] = field(default_factory=set)
    _parts: dict[int, Decimal] = field(default_factory=dict)  # told so far, of strangers' orders met by their deals
    _held: dict[str, Decimal] = field(default_factory=dict)  # signed units per position, from deals
    _vanished: dict[str, int] = field(default_factory=dict)
    #: Positions whose deals say another volume: shown, dealt, since when.
    _differs: dict[str, tuple[Decimal, Decimal, int]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _odd: list[str] = field(default_factory=list)  # what could not be read and is not told yet
    _accepted: set[int] = field(default_factory=set)  # orders whose acceptance was told
    _times: StreamTimes = field(init=False)  # of the deals, one stream

    def __post_init__(self) -> None:
        self._times = StreamTimes(self.clock)

    # -- our own orders -----------------------------------------------------------------------------------------------

    def sending(self, client_order_id: str, units: Decimal, half: str | None = None) -> None:
        """An order of ours is about to be sent; with `half`, a close-by that is ours on that position."""
        self._sent[magic_of(client_order_id)] = _Sent(client_order_id, units, half)

    def accepted(self, order: OrderState) -> list[BrokerEvent]:
        """The server took an order of ours; told once, before anything else about it."""
        ticket = parsing.ticket_of(order.order_id)
        sent = self._sent.get(magic_of(order.client_order_id)) if order.client_order_id else None
        if sent is not None:
            sent.ticket = sent.ticket or ticket
        if not ticket or ticket in self._accepted:
            return []
        self._accepted.add(ticket)
        state = replace(order, status=OrderStatus.ACCEPTED, filled_units=Decimal(0), average_price=None)
        return [OrderChanged(change=OrderChange.ACCEPTED, order=state, ts_ns=order.updated_ns)]

    def read_back(self, ticket: int, rows: Sequence[Row], lists: int, now_ns: int) -> list[BrokerEvent]:
        """One working order after a request about it: its row, or none. A list that was told since (`lists` had been) is
        of after the request as well. An order that does not work has ended, perhaps before any list had it."""
        out = self.on_orders([*(self._orders or {}).values(), *rows], now_ns) if rows and self.lists == lists else []
        if ticket not in (self._orders or {}):
            self.lookups.add(ticket)
        return out

    def client_order_id(self, row: Row) -> str | None:
        """Whose order or deal this is: ours of this run, ours of an earlier run by its comment, else None."""
        magic, comment = row["magic"], row["comment"]
        if row["reason"] in SERVER_REASONS:
            return None  # a level hit or a stop-out carries its position's magic number and is no order of ours
        sent = self._sent.get(magic)
        if sent is not None:
            another = sent.ticket not in (0, row.get("order", row["ticket"]))
            if another and sent.filled >= sent.units:
                return None  # it has all it asked for: this is a close by another program, which passes the number on
            return sent.client_order_id if sent.half in (None, str(row["position_id"])) else None
        if row.get("entry") == Entry.OUT_BY:
            return None  # a deal does not tell which half was ours; its order, which we noted, does
        return comment if comment and magic and magic_of(comment) == magic else None

    def dealt(self, position_id: str) -> Decimal:
        """Signed units of a position by the deals told so far; zero when they closed it."""
        return self._held.get(position_id, Decimal(0))

    # -- reading rows without telling ----------------------------------------------------------------------------------

    def order_state(self, row: Row) -> OrderState | None:
        spec = self.specs.get(row["symbol"])
        if spec is None:
            return None
        return self._read("order", row, lambda: parsing.order(row, spec, self.clock, self.client_order_id(row)))

    def deal(self, row: Row) -> Deal | None:
        """An execution as a struct; None for balance rows and unknown symbols."""
        spec = self.specs.get(row["symbol"])
        if spec is None or not parsing.is_trade(row):
            return None
        cid = self.client_order_id(row)
        return self._read("deal", row, lambda: parsing.deal(row, spec, self.clock, self.money_digits, cid))

    def position(self, row: Row) -> PositionState | None:
        spec = self.specs.get(row["symbol"])
        if spec is None:
            return None
        return self._read("position", row, lambda: parsing.position(row, spec, self.clock, self.money_digits))

    def _read[T](self, what: str, row: Row, read: Callable[[], T]) -> T | None:
        """A row that this program does not understand (a value newer than it) must not hide the others; it is told."""
        try:
            return read()
        except UNREADABLE as error:
            name = f"{what} {row['ticket']} of {row['symbol']}"
            if name not in self._told:
                self._told.add(name)
                text = f"{name} cannot be read and is left out ({type(error).__name__}: {error}); look at the account"
                self._odd.append(text)
            return None

    def start(
        self, orders: Sequence[Row], positions: Sequence[Row], deals: Sequence[Row], deals_from_s: float = float("inf")
    ) -> None:
        """Take a first snapshot as known; nothing is told about it. Positions opened since `deals_from_s` of the server's
        clock are what their deals make of them: one that is missing still comes, history lags. One that has deals, and
        not that of the order which opened it, is older (turned round in netting, opened again at midnight)."""
        self._orders = {row["ticket"]: row for row in orders}
        self._accepted |= self._orders.keys()
        self.positions = {p.position_id: p for row in positions if (p := self.position(row)) is not None}
        self._deals |= {row["ticket"] for row in deals}
        self._held = {str(row["position_id"]): Decimal(0) for row in deals}
        older = self._held.keys() - {str(row["order"]) for row in deals}
        recent = {str(row["identifier"]) for row in positions if row["time"] >= deals_from_s} - older
        self._held |= {pid: p.side.sign * p.units for pid, p in self.positions.items() if pid not in recent}
        for deal in filter(None, map(self.deal, deals)):
            if deal.position_id in recent:
                self._held[deal.position_id] += deal.side.sign * deal.units

    # -- comparing -----------------------------------------------------------------------------------------------------

    def on_deals(self, rows: Sequence[Row], now_ns: int, orders: Sequence[Row] = ()) -> list[BrokerEvent]:
        """Every deal not seen before, in order of ticket, which is the order in which they were made; their stamps fall
        where the server's clock goes back. `orders` of them are in the history: nothing else tells the size of one that a
        stranger sent to the market; without it, what has come of it so far is its size."""
        out: list[BrokerEvent] = []
        ended = {row["ticket"]: row for row in orders}
        unseen = {row["ticket"]: row for row in rows if row["ticket"] not in self._deals}
        new = [unseen[ticket] for ticket in sorted(unseen)]
        together: dict[int, list[Row]] = {}
        for row in new:
            together.setdefault(row["order"], []).append(row)
        for row in new:
            deal = self.deal(row)
            if deal is None:
                out += self._unknown_symbol(row, now_ns)
                self._deals.add(row["ticket"])
                continue
            (at_ns,) = self._times.utc_ns("", np.array([row["time_msc"]]), now_ns).tolist()
            deal = replace(deal, ts_ns=at_ns)
            filled = self._filled(deal, row, now_ns, ended.get(row["order"]), together[row["order"]])
            if filled.order.client_order_id is not None and row["magic"] in self._sent:
                out += self.accepted(filled.order)
            out.append(filled)
            self._deals.add(row["ticket"])
        return out + self._settle_vanished(now_ns)

    def _filled(self, deal: Deal, row: Row, now_ns: int, ended: Row | None, together: Sequence[Row]) -> OrderChanged:
        before = self._held.get(deal.position_id, Decimal(0))
        after = before + deal.side.sign * deal.units
        if deal.entry is DealEntry.IN_OUT:
            deal = replace(deal, closed_units=min(abs(before), deal.units))
        elif deal.entry is DealEntry.OUT_BY:
            # Both tickets of a close-by carry the volume that went; each deal reduces its own position.
            deal = replace(deal, closed_units=deal.units)
        self._held[deal.position_id] = after
        sent = self._sent.get(row["magic"]) if deal.client_order_id else None
        if sent is not None and sent.ticket not in (0, row["order"]):
            sent = None  # of another order with its magic number
        working = (self._orders or {}).get(row["order"])
        known = working or ended
        units = sent.units if sent else self._volume(known) or sum((d.units for d in map(self.deal, together) if d), D0)
        at_once = deal.entry is DealEntry.OUT_BY or not row["order"]  # one deal is the whole order
        filled = deal.units
        if sent is not None:
            sent.filled += deal.units
            filled = sent.filled
        elif working is None and not at_once:
            filled += self._parts.get(row["order"], D0)
            self._parts[row["order"]] = filled
        protective = deal.reason in (DealReason.STOP_LOSS, DealReason.TAKE_PROFIT)
        whole = filled >= units or at_once
        if whole:
            self._parts.pop(row["order"], None)
        elif working is None and ended is not None:
            self.lookups.add(row["order"])  # what became of the rest
        base = self.order_state(known) if known is not None else None
        order = OrderState(
            order_id=deal.order_id,
            symbol=deal.symbol,
            side=deal.side,
            type=OrderType.PROTECTION if protective else base.type if base else OrderType.MARKET,
            status=OrderStatus.FILLED if whole else OrderStatus.PARTIALLY_FILLED,
            units=deal.units if at_once else units,
            filled_units=filled,
            average_price=deal.price,
            client_order_id=None if protective else deal.client_order_id,
            position_id=deal.position_id,
            limit_price=base.limit_price if base else None,
            stop_price=base.stop_price if base else None,
            closing=deal.entry in (DealEntry.OUT, DealEntry.OUT_BY),
            stop_out=deal.reason is DealReason.STOP_OUT,
            comment=row["comment"],
            created_ns=deal.ts_ns,
            updated_ns=deal.ts_ns,
        )
        return OrderChanged(
            change=OrderChange.FILLED if whole else OrderChange.PARTIALLY_FILLED,
            order=order,
            deal=deal,
            by_server=deal.reason is not DealReason.CLIENT,
            ts_ns=deal.ts_ns or now_ns,
        )

    def _volume(self, row: Row | None) -> Decimal | None:
        state = self.order_state(row) if row is not None else None
        return state.units if state is not None else None

    def on_orders(self, rows: Sequence[Row], now_ns: int) -> list[BrokerEvent]:
        """New, changed and vanished working orders."""
        self.lists += 1
        now = {row["ticket"]: row for row in rows}
        before = self._orders or {}
        out: list[BrokerEvent] = []
        for ticket, row in now.items():
            old = before.get(ticket)
            if old is not None and _terms(old) == _terms(row):
                continue
            state = self.order_state(row)
            if state is None:
                out += self._unknown_symbol(row, now_ns)
            elif state.status.is_open:
                if old is not None:
                    out.append(OrderChanged(change=OrderChange.REPLACED, order=state, ts_ns=state.updated_ns or now_ns))
                else:
                    out += self.accepted(state)
        # An order that is back was only missing from one look.
        self.lookups = (self.lookups | before.keys()) - now.keys()
        self._orders = now
        return out

    def on_ended(self, ticket: int, rows: Sequence[Row], now_ns: int) -> list[BrokerEvent]:
        """The order history's answer about a vanished order; no rows: not there yet, ask again. Told once, however often it
        was asked for."""
        row = next((r for r in rows if r["ticket"] == ticket), None)
        if row is None or ticket not in self.lookups or row["state"] in (OrderStateCode.PLACED, OrderStateCode.STARTED):
            return []
        state = self.order_state(row)
        sent = self._sent.get(row["magic"])
        if sent is not None and sent.ticket not in (0, ticket):
            sent = None
        told = sent.filled if sent is not None else self._parts.get(ticket)
        if state is not None and told is not None and told < state.filled_units:
            return []  # history lags: its deals come first
        self.lookups.discard(ticket)
        self._parts.pop(ticket, None)
        if sent is not None:
            sent.units = sent.filled  # it takes no more
        if state is None or (state.status not in _ENDED and state.filled_units >= state.units):
            return []  # filled: its deals tell
        # What is in the history works no more: a part that was not filled is gone.
        change = _ENDED.get(state.status, OrderChange.CANCELED)
        state = replace(state, status=OrderStatus.CANCELED) if state.status not in _ENDED else state
        return [OrderChanged(change=change, order=state, error=state.comment, ts_ns=state.updated_ns or now_ns)]

    def on_positions(self, rows: Sequence[Row], now_ns: int) -> list[BrokerEvent]:
        """Positions that are new or changed; one that vanished is told when its deals explain it."""
        self.lists += 1
        out: list[BrokerEvent] = []
        seen: set[str] = set()
        for row in rows:
            position = self.position(row)
            if position is None:
                seen.add(str(row["identifier"]))  # it is there, whatever it is
                out += self._unknown_symbol(row, now_ns)
                continue
            seen.add(position.position_id)
            self._vanished.pop(position.position_id, None)
            if self.positions.get(position.position_id) != position:
                self.positions[position.position_id] = position
                out.append(PositionChanged(position=position, ts_ns=position.updated_ns or now_ns))
        for pid in self.positions.keys() - seen:
            self._vanished.setdefault(pid, now_ns)
        return out + self._settle_vanished(now_ns)

    def on_time(self, now_ns: int) -> list[BrokerEvent]:
        """What waiting alone decides."""
        odd, self._odd = self._odd, []
        told: list[BrokerEvent] = [Notice(level="error", text=text, ts_ns=now_ns) for text in odd]
        return told + self._settle_vanished(now_ns) + self._check_volumes(now_ns)

    def _check_volumes(self, now_ns: int) -> list[BrokerEvent]:
        out: list[BrokerEvent] = []
        for pid, position in self.positions.items():
            shown, dealt = position.side.sign * position.units, self._held.get(pid, Decimal(0))
            if shown == dealt or pid in self._vanished:
                self._differs.pop(pid, None)
                continue
            if self._differs.get(pid, ())[:2] != (shown, dealt):  # another one: lists lag, and it is traded
                self._differs[pid] = (shown, dealt, now_ns)
            *_, since_ns = self._differs[pid]
            if not self._waited(since_ns, now_ns) or pid in self._told:
                continue
            self._told.add(pid)
            text = (
                f"position {pid} of {position.symbol} has {shown.normalize():f} units at the terminal, its deals come to "
                f"{dealt.normalize():f} for {LAG_NS // 10**9} s: a fill is missing in the history; look at the account"
            )
            out.append(Notice(level="error", text=text, ts_ns=now_ns))
        return out

    def _settle_vanished(self, now_ns: int) -> list[BrokerEvent]:
        out: list[BrokerEvent] = []
        for pid, since_ns in list(self._vanished.items()):
            explained = pid in self._held and not self._held[pid]
            if not explained and not self._waited(since_ns, now_ns):
                continue
            del self._vanished[pid]
            gone = self.positions.pop(pid)
            self._differs.pop(pid, None)
            if not explained:
                text = f"position {pid} of {gone.symbol} is gone and no deal explains it after {LAG_NS // 10**9} s"
                out.append(Notice(level="error", text=text, ts_ns=now_ns))
            self._held.pop(pid, None)
            out.append(PositionChanged(position=replace(gone, units=Decimal(0)), ts_ns=now_ns))
        return out

    def _waited(self, since_ns: int, now_ns: int) -> bool:
        """Whether what would explain a thing has had its time to come."""
        return self.heard_from_ns is not None and now_ns - max(since_ns, self.heard_from_ns) >= LAG_NS

    def _unknown_symbol(self, row: Row, now_ns: int) -> list[BrokerEvent]:
        name = row["symbol"]
        if not name or name in self.specs or name in self._told:
            return []
        self._told.add(name)
        return [Notice(level="error", text=f"the account trades {name}, which is not in the symbol list", ts_ns=now_ns)]


def _terms(row: Row) -> tuple[Any, ...]:
    """What makes a working order another one when it changes; a partial fill shows in its deals.

    Nothing of a market order can be changed: what works on of it (RETURN, exchange execution) shows its average fill
    price where a pending order has its own.
    """
    if row["type"] in (OrderKind.BUY, OrderKind.SELL):
        return (row["type"], row["volume_initial"])
    names = ("price_open", "price_stoplimit", "sl", "tp", "time_expiration", "volume_initial", "type")
    return tuple(row[name] for name in names)
