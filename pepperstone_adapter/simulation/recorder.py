"""From order events to rows: fills, orders, positions, ledger and the hash over all of them.

Called by every guarded strategy for each of its order events. Rows of orders and positions are written when they have
ended and a while has passed: the framework's work per fill grows with the closed positions in its cache, so ended ones
are purged, all but the latest `GRACE`, which strategies may still look up.
"""

import hashlib
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from nautilus_trader.model import Currency, OrderSide, OrderType, Venue

from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.simulation.books import Booking, Books, Posting, Ticket
from pepperstone_adapter.simulation.failures import Failures, RunFailed
from pepperstone_adapter.simulation.fees import AccountFees, Charge, minor_unit, rounded
from pepperstone_adapter.simulation.fills import AccountFills
from pepperstone_adapter.simulation.record import FillRow, LedgerKind, OrderRow, RunRecord
from pepperstone_adapter.simulation.times import iso

GRACE = 16
ZERO, ONE = Decimal(0), Decimal(1)
_ENDED = {"OrderDenied", "OrderRejected", "OrderCanceled", "OrderExpired"}


class Recorder:
    """Books every fill and keeps the rows of a run."""

    def __init__(
        self,
        record: RunRecord,
        books: Books,
        specs: Mapping[str, SymbolSpec],
        fees: AccountFees,
        fills: AccountFills,
        venue: Venue,
        failures: Failures,
    ) -> None:
        self.record = record
        self.books = books
        self.cache: Any = None
        self.reasons: dict[str, str] = {}  # client order id -> stop_out and the like, where we know better
        self.on_booked: Any = None  # called with (ts_ns, booking, price) after each fill
        self.post: Any = None  # charges a list of `Posting`
        self._specs = specs
        self._fees = fees
        self._fills = fills
        self._venue = venue
        self._currency = Currency.from_str(books.currency)
        self._unit = minor_unit(books.currency)
        self._failures = failures
        self._sha = hashlib.sha256()
        self._last_ns = 0
        self._created: dict[str, int] = {}
        self._endings: dict[str, tuple[str, int]] = {}
        self._order_positions: dict[str, str] = {}
        self._ended_orders: deque[Any] = deque()
        self._ended_positions: deque[Any] = deque()
        self.closed: list[tuple[Ticket, bool]] = []  # since the window began, and whether a market order closed them
        self._symbols = {f"{name}.{venue}": name for name in specs}

    def order_event(self, event: Any) -> None:
        """Note one order event."""
        name = type(event).__name__
        key = str(event.client_order_id)
        self.record.events += 1
        if name == "OrderFilled":
            self._filled(event, key)
            return
        self._sha.update(f"{name}|{key}|{event.ts_event}\n".encode())
        if name == "OrderInitialized":
            self._created[key] = event.ts_event
        elif name in _ENDED:
            self._endings[key] = (str(getattr(event, "reason", None) or ""), event.ts_event)
            self._ended_orders.append(event.client_order_id)

    def _filled(self, event: Any, key: str) -> None:
        ts_ns, trade_id, position_id = event.ts_event, str(event.trade_id), str(event.position_id)
        units, price = event.last_qty.as_decimal(), event.last_px.as_decimal()
        instrument_id = str(event.instrument_id)
        symbol = self._symbols[instrument_id]
        spec = self._specs[symbol]
        buy = event.order_side == OrderSide.BUY
        self._sha.update(f"F|{key}|{trade_id}|{position_id}|{ts_ns}|{buy}|{units}|{price}\n".encode())
        charge = self._fees.charges.pop(key)
        bid, ask = self._fills.quotes.pop(key, (price, price))
        slipped = self._fills.slipped.pop(key, ZERO)
        if event.order_type != OrderType.MARKET:
            # Inside a bar the engine's quote is the bar's extreme; the market at the fill was where the order met it.
            met, spread = (price - slipped if buy else price + slipped), ask - bid
            bid, ask = (met - spread, met) if buy else (met, met + spread)
        sign = 1 if buy else -1
        parts = self.books.split(position_id, sign, units)
        bookings = [
            self.books.fill(ts_ns, position_id, str(event.strategy_id), symbol, sign, part, price) for part in parts
        ]
        self._book_money(event, bookings, charge, spec, instrument_id, position_id, trade_id)
        ticket = bookings[0].ticket
        reason = self.reasons.get(key) or _reason(event.order_type, bool(bookings[0].closed))
        self.record.costs_spread += (ask - bid) / 2 * units * charge.xrate
        self.record.costs_slippage += slipped * units * charge.xrate
        self.record.fills.append(
            FillRow(
                ts_ns=ts_ns, trade_id=trade_id, client_order_id=key, venue_order_id=str(event.venue_order_id),
                position_id=position_id, strategy_id=str(event.strategy_id), instrument_id=instrument_id,
                order_type=event.order_type.name, side="BUY" if buy else "SELL", units=units, price=price,
                bid=bid, ask=ask, quote_currency=spec.quote_currency, rate=charge.xrate, commission=charge.amount,
                slippage=slipped, reason=reason,
            )
        )  # fmt: skip
        self._order_positions[key] = position_id
        self._ended_orders.append(event.client_order_id)
        if ticket.closed_ns:
            ticket.exit_reason = reason
            self._ended_positions.append(event.position_id)
            self.closed.append((ticket, event.order_type == OrderType.MARKET))
        if self.on_booked is not None:
            for booking in bookings:
                self.on_booked(ts_ns, booking, price)

    def _book_money(
        self,
        event: Any,
        bookings: list[Booking],
        charge: Charge,
        spec: SymbolSpec,
        instrument_id: str,
        position_id: str,
        trade_id: str,
    ) -> None:
        """Ledger rows of a fill: what the framework's account did, checked against what it should have done."""
        books, first, ts_ns = self.books, bookings[0], event.ts_event
        self._last_ns = ts_ns
        balance = self.cache.account_for_venue(self._venue).balance_total(self._currency).as_decimal()
        realized = balance - books.balance + (ZERO if charge.posted else charge.amount)
        wanted, slack = ZERO, ZERO
        if first.closed:
            wanted = rounded(first.profit * charge.xrate, books.currency)
            # The framework rounds profit to the quote currency's minor unit before it converts it.
            slack = self._unit + minor_unit(spec.quote_currency) * charge.xrate
        if abs(realized - wanted) > slack:
            raise RunFailed(
                f"the books disagree at {iso(ts_ns)}: fill {trade_id} of {instrument_id} changed the balance by "
                f"{realized} without commission, the books say {wanted}; please report this"
            )
        where = (instrument_id, position_id, trade_id)
        if first.closed:
            books.post(ts_ns, LedgerKind.REALIZED_PNL, realized, spec.quote_currency, charge.xrate, *where)
            first.ticket.gross += realized
            first.realized = realized
        if charge.amount:
            last = bookings[-1]
            if charge.posted:
                bill = Posting(
                    LedgerKind.COMMISSION, -charge.amount, charge.currency, charge.rate, last.ticket, trade_id
                )
                self.post([bill])
            else:
                books.post(ts_ns, LedgerKind.COMMISSION, -charge.amount, charge.currency, charge.rate, *where)
            if last is not first:  # a reversal: each ticket bears its share
                share = rounded(charge.amount * last.opened / (last.opened + first.closed), books.currency)
                last.ticket.commission += share
                first.ticket.commission += charge.amount - share
            else:
                first.ticket.commission += charge.amount

    def cash_event(self, event: Any) -> None:
        """Events of the broker's own cash postings leave no order rows."""
        if type(event).__name__ == "OrderFilled":
            self._fills.quotes.pop(str(event.client_order_id), None)

    def posted(self, ts_ns: int, row: Posting) -> None:
        """Write a cash posting to the ledger: it has reached the framework's account."""
        position_id = row.ticket.position_id if row.ticket else ""
        instrument_id = f"{row.ticket.symbol}.{self._venue}" if row.ticket else ""
        self._sha.update(f"P|{row.kind}|{row.amount}|{position_id}|{ts_ns}\n".encode())
        self.books.post(ts_ns, row.kind, row.amount, row.currency, row.rate, instrument_id, position_id, row.trade_id)

    def check_balance(self, ts_ns: int) -> None:
        """Raise when the framework's balance is not the ledger's."""
        balance = self.cache.account_for_venue(self._venue).balance_total(self._currency).as_decimal()
        if balance != self.books.balance:
            raise RunFailed(f"at {iso(ts_ns)} the framework's balance is {balance}, the ledger's {self.books.balance}")

    @property
    def backlog(self) -> int:
        return len(self._ended_positions) + len(self._ended_orders)

    def purge(self, keep: int = GRACE) -> None:
        """Write the rows of what has ended and drop it from the framework's cache, but for the latest `keep`."""
        cache = self.cache
        # Reading the account copies all its past states: without this every read costs more than the one before.
        cache.purge_account_events(self._last_ns, 0)
        positions, orders = self._ended_positions, self._ended_orders
        while len(positions) > keep:
            position_id = positions.popleft()
            if cache.is_position_closed(position_id):  # a netting position may have been opened again
                cache.purge_position(position_id)
        while len(orders) > 2 * keep:
            order_id = orders.popleft()
            order = cache.order(order_id)
            if order is None or not order.is_closed:
                continue
            self._order_row(order, str(order_id))
            cache.purge_order(order_id)

    def finish(self) -> str:
        """Write what is left; returns the hash of events."""
        self.purge(0)
        for order in self.cache.orders():
            if str(order.instrument_id) in self._symbols:
                self._order_row(order, str(order.client_order_id))
        self.record.orders.sort(key=lambda row: (row.created_ns, row.client_order_id))
        return self._sha.hexdigest()

    def _order_row(self, order: Any, key: str) -> None:
        reason, ended_ns = self._endings.pop(key, ("", order.ts_last if order.is_closed else 0))
        position_id = self._order_positions.pop(key, None) or str(order.position_id or "")
        average = order.avg_px
        digits = self._specs[self._symbols[str(order.instrument_id)]].digits
        self.record.orders.append(
            OrderRow(
                client_order_id=key, venue_order_id=str(order.venue_order_id or ""),
                strategy_id=str(order.strategy_id), instrument_id=str(order.instrument_id),
                side=order.side.name, order_type=order.order_type.name, time_in_force=order.time_in_force.name,
                units=order.quantity.as_decimal(), filled_units=order.filled_qty.as_decimal(),
                price=_price(order, "price"), trigger_price=_price(order, "trigger_price"),
                average_price=None if average is None else Decimal(str(round(average, digits + 2))),
                status=order.status.name, reason=reason or self.reasons.pop(key, ""), position_id=position_id,
                tags=",".join(map(str, order.tags or ())), created_ns=self._created.pop(key, order.ts_init),
                ended_ns=ended_ns,
            )
        )  # fmt: skip


def _price(order: Any, name: str) -> Decimal | None:
    value = getattr(order, name, None)
    return None if value is None else value.as_decimal()


def _reason(order_type: Any, closing: bool) -> str:
    """Why a fill happened, from the order's type: a closing stop is a stop loss, a closing limit a take profit."""
    if not closing:
        return "client"
    if order_type == OrderType.STOP_MARKET:
        return "stop_loss"
    if order_type in (OrderType.TRAILING_STOP_MARKET, OrderType.TRAILING_STOP_LIMIT):
        return "trailing_stop"
    if order_type in (OrderType.LIMIT, OrderType.LIMIT_IF_TOUCHED, OrderType.MARKET_IF_TOUCHED):
        return "take_profit"
    return "client"
