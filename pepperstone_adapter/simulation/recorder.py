"""From order events to rows: fills, orders, ledger and the hash over all of them.

Guarded strategies hand in each of their order events (`note`); they are booked together when the account needs to know
(`book`), because code that has just been run is several times as fast as code that a whole bar of the framework has driven
out of the processor's caches. The balance is taken down at the fill itself. The framework's work per fill grows with the
closed positions in its cache, so what has ended is purged, all but the latest `GRACE`, which strategies may still look up.
"""

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from nautilus_trader.model import (
    Currency,
    OrderFilled,
    OrderInitialized,
    OrderSide,
    OrderStatus,
    OrderSubmitted,
    OrderType,
    Venue,
)

from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.simulation.books import Booking, Books, Posting, Ticket
from pepperstone_adapter.simulation.failures import Failures, RunFailed
from pepperstone_adapter.simulation.fees import AccountFees, Charge, minor_unit, rounded
from pepperstone_adapter.simulation.fills import AccountFills
from pepperstone_adapter.simulation.record import FillRow, LedgerKind, OrderRow, RunRecord
from pepperstone_adapter.simulation.table import Table
from pepperstone_adapter.simulation.times import iso

GRACE = 16
BACKLOG = 256
ZERO, ONE, HALF = Decimal(0), Decimal(1), Decimal("0.5")
# An order's submission is told by its row; half of all events are these.
_SUBMISSION = (OrderInitialized, OrderSubmitted)
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
        self.fills, self.orders = Table(FillRow), Table(OrderRow)
        self.cache: Any = None
        self.reasons: dict[str, str] = {}  # client order id -> stop_out and the like, where we know better
        self.on_booked: Any = None  # called with (ts_ns, booking, price) after each fill
        self.post: Any = None  # charges a list of `Posting`
        self._specs = specs
        self._fees = fees
        self._fill_model = fills
        self._venue = venue
        self._currency = Currency.from_str(books.currency)
        self._unit = minor_unit(books.currency)
        self._failures = failures
        self._sha = hashlib.sha256()
        self._waiting: list[tuple[Any, Any]] = []  # order events, and the balance after each fill
        self._lines: list[str] = []  # not hashed yet
        self.sent: dict[str, Any] = {}  # market orders whose fills may wait: what their rows need is known beforehand
        self._order_positions: dict[str, str] = {}
        self._ended_orders: list[int] = []  # when they ended
        self._ended_positions: list[int] = []
        self.closed: list[tuple[Ticket, bool]] = []  # since the window began, and whether a market order closed them
        self._symbols = {f"{name}.{venue}": spec for name, spec in specs.items()}

    def note(self, event: Any) -> bool:
        """Keep an order event until the books are looked at; whether it is a fill."""
        self.record.events += 1
        kind = type(event)
        if kind in _SUBMISSION:
            return False
        if kind is not OrderFilled:
            self._waiting.append((event, None))
            return False
        # The account goes without its past states, which every look at it would copy.
        self.cache.purge_account_events(event.ts_event, 0)
        self._waiting.append((event, self.cache.account_for_venue(self._venue).balance_total(self._currency)))
        return True

    @property
    def waits(self) -> bool:
        return bool(self._waiting)

    @property
    def backlog(self) -> int:
        """Work that can be put off, but not for ever: events to be booked, ended orders and positions to be purged."""
        return len(self._waiting) + len(self._ended_orders) + len(self._ended_positions)

    def book(self) -> None:
        """Book the fills that wait, and write down the other events."""
        waiting, self._waiting = self._waiting, []
        for event, balance in waiting:
            if balance is None:
                self._noted(event)
            else:
                self._filled(event, balance.as_decimal())

    def _noted(self, event: Any) -> None:
        name, key, ts_ns = type(event).__name__, str(event.client_order_id), event.ts_event
        self._lines.append(f"{name}|{key}|{ts_ns}\n")
        if name in _ENDED:
            self._ended(event, str(getattr(event, "reason", None) or ""))

    def _filled(self, event: Any, balance: Decimal) -> None:
        ts_ns, quantity, order_type = event.ts_event, event.last_qty, event.order_type
        key, trade_id, position_id = str(event.client_order_id), str(event.trade_id), str(event.position_id)
        strategy_id, instrument_id = str(event.strategy_id), str(event.instrument_id)
        units, price = quantity.as_decimal(), event.last_px.as_decimal()
        spec = self._symbols[instrument_id]
        buy = event.order_side == OrderSide.BUY
        at_market = order_type == OrderType.MARKET
        self._lines.append(f"F|{key}|{trade_id}|{position_id}|{ts_ns}|{buy}|{units}|{price}\n")
        charge = self._fees.charges.pop(key)
        bid, ask = self._fill_model.quotes.pop(key, (price, price))
        slipped = self._fill_model.slipped.pop(key, ZERO)
        if not at_market:
            # Inside a bar the engine's quote is the bar's extreme; the market at the fill was where the order met it.
            met, spread = (price - slipped if buy else price + slipped), ask - bid
            bid, ask = (met - spread, met) if buy else (met, met + spread)
        sign = 1 if buy else -1
        bookings = [
            self.books.fill(ts_ns, position_id, strategy_id, spec.name, sign, part, price)
            for part in self.books.split(position_id, sign, units)
        ]
        first = bookings[0]
        self._book_money(ts_ns, balance, bookings, charge, spec, instrument_id, position_id, trade_id)
        reason = self.reasons.get(key) or ("client" if at_market else _reason(order_type, bool(first.closed)))
        self.record.costs_spread += (ask - bid) * HALF * units * charge.xrate
        if slipped:
            self.record.costs_slippage += slipped * units * charge.xrate
        self.fills.add(
            ts_ns, trade_id, key, str(event.venue_order_id), position_id, strategy_id, instrument_id, order_type.name,
            "BUY" if buy else "SELL", units, price, bid, ask, spec.quote_currency, charge.xrate, charge.amount, slipped,
            reason,
        )  # fmt: skip
        order = self.sent.pop(key, None)
        if order is not None and order.quantity == quantity:
            tags = order.tags
            self._ended_orders.append(ts_ns)
            self.orders.add(
                key, str(event.venue_order_id), strategy_id, instrument_id, "BUY" if buy else "SELL", "MARKET", "GTC", units,
                units, None, None, price, "FILLED", "", position_id, ",".join(map(str, tags)) if tags else "",
                order.ts_init, ts_ns,
            )  # fmt: skip
        else:
            self._order_positions[key] = position_id
            self._ended(event, "")
        if first.ticket.closed_ns:
            first.ticket.exit_reason = reason
            self._ended_positions.append(ts_ns)
            self.closed.append((first.ticket, at_market))
        if self.on_booked is not None:
            for booking in bookings:
                self.on_booked(ts_ns, booking, price)

    def _book_money(
        self,
        ts_ns: int,
        balance: Decimal,
        bookings: list[Booking],
        charge: Charge,
        spec: SymbolSpec,
        instrument_id: str,
        position_id: str,
        trade_id: str,
    ) -> None:
        """Ledger rows of a fill: what the framework's account did, checked against what it should have done."""
        books, first = self.books, bookings[0]
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
            self._fill_model.quotes.pop(str(event.client_order_id), None)

    def posted(self, ts_ns: int, row: Posting) -> None:
        """Write a cash posting to the ledger: it has reached the framework's account."""
        self.book()
        position_id = row.ticket.position_id if row.ticket else ""
        instrument_id = f"{row.ticket.symbol}.{self._venue}" if row.ticket else ""
        self._lines.append(f"P|{row.kind}|{row.amount}|{position_id}|{ts_ns}\n")
        self.books.post(ts_ns, row.kind, row.amount, row.currency, row.rate, instrument_id, position_id, row.trade_id)

    def check_balance(self, ts_ns: int) -> None:
        """Raise when the framework's balance is not the ledger's."""
        balance = self.cache.account_for_venue(self._venue).balance_total(self._currency).as_decimal()
        if balance != self.books.balance:
            raise RunFailed(f"at {iso(ts_ns)} the framework's balance is {balance}, the ledger's {self.books.balance}")

    def purge(self) -> None:
        """Drop what has ended from the framework's cache, but for the latest `GRACE`, and what ended together with it."""
        orders, positions = self._ended_orders, self._ended_positions
        if len(orders) > 2 * GRACE:
            del orders[: -2 * GRACE]
            self.cache.purge_closed_orders(orders[0] - 1)
        if len(positions) > GRACE:
            del positions[:-GRACE]
            self.cache.purge_closed_positions(positions[0] - 1)
        self._hash()

    def _hash(self) -> None:
        self._sha.update("".join(self._lines).encode())
        self._lines.clear()

    def finish(self) -> str:
        """Write the orders that are still open; returns the hash of events."""
        self._hash()
        open_now = [o for o in self.cache.orders() if not o.is_closed and str(o.instrument_id) in self._symbols]
        for order in sorted(open_now, key=lambda o: (o.ts_init, str(o.client_order_id))):
            self._order_row(order, "", 0)
        return self._sha.hexdigest()

    def _ended(self, event: Any, reason: str) -> None:
        """Write the row of an order if this is the event that ended it."""
        order = self.cache.order(event.client_order_id)
        if type(event) is OrderFilled and (order.status != OrderStatus.FILLED or order.last_trade_id != event.trade_id):
            return  # filled in parts, and this is not the last of them
        self._ended_orders.append(event.ts_event)
        self._order_row(order, reason, event.ts_event)

    def _order_row(self, order: Any, reason: str, ended_ns: int) -> None:
        key, instrument_id, average = str(order.client_order_id), str(order.instrument_id), order.avg_px
        self.orders.add(
            key, str(order.venue_order_id or ""), str(order.strategy_id), instrument_id, order.side.name,
            order.order_type.name, order.time_in_force.name, order.quantity.as_decimal(), order.filled_qty.as_decimal(),
            _price(order, "price"), _price(order, "trigger_price"),
            None if average is None else _average(average, self._symbols[instrument_id].digits),
            order.status.name, reason or self.reasons.pop(key, ""),
            self._order_positions.pop(key, None) or str(order.position_id or ""), ",".join(map(str, order.tags or ())),
            order.ts_init, ended_ns,
        )  # fmt: skip


def _price(order: Any, name: str) -> Decimal | None:
    value = getattr(order, name, None)
    return None if value is None else value.as_decimal()


def _average(price: Any, digits: int) -> Decimal:
    """An average of fills with two more digits than the symbol; a price of the symbol as it is."""
    average = Decimal(str(round(price, digits + 2)))
    at_tick = round(average, digits)
    return at_tick if at_tick == average else average


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
