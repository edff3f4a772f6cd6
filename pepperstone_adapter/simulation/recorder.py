"""From order events to rows: fills, orders, ledger and the hash over all of them.

Guarded strategies hand in each of their order events (`note`); they are booked together when the account needs to know
(`book`), because code that has just been run is several times as fast as code that a whole bar of the framework has driven
out of the processor's caches, and so are the rows it has made. What the framework knows of an order or the balance is taken
down at the event itself, for its work per fill grows with what has ended and is still in its cache: that is purged (`purge`)
more often than is booked, all but the latest `GRACE`, which strategies may still look up.
"""

import hashlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from nautilus_trader.model import (
    FIXED_PRECISION,
    Currency,
    InstrumentId,
    OrderFilled,
    OrderSide,
    OrderStatus,
    OrderType,
    Symbol,
    Venue,
)

from pepperstone_adapter.simulation.books import Books, Filled, Posting, Ticket
from pepperstone_adapter.simulation.failures import Failures, RunFailed
from pepperstone_adapter.simulation.fees import ONE, AccountFees, Charge
from pepperstone_adapter.simulation.fills import AccountFills
from pepperstone_adapter.simulation.grid import Grid, divided, minor_unit, rounded
from pepperstone_adapter.simulation.record import FillRow, LedgerKind, OrderRow, RunRecord
from pepperstone_adapter.simulation.table import Table
from pepperstone_adapter.simulation.times import iso

GRACE = 16
CROWD = 48  # orders ended since the purge before the last
BACKLOG = 256  # events that wait to be booked
PACKED = 256  # rows worth a block of their own
ENDED = {"OrderDenied", "OrderRejected", "OrderCanceled", "OrderExpired"}
_REALIZED, _COMMISSION = LedgerKind.REALIZED_PNL.value, LedgerKind.COMMISSION.value
_MARKET = OrderType.MARKET.name
_OF_MARKET_ORDER = 11  # values kept of an order at market that was filled at once


class Recorder:
    """Books every fill and keeps the rows of a run."""

    def __init__(
        self,
        record: RunRecord,
        books: Books,
        grids: Mapping[str, Grid],
        fees: AccountFees,
        fills: AccountFills,
        venue: Venue,
        failures: Failures,
    ) -> None:
        self.record = record
        self.books = books
        self.fills, self.orders = Table(self._made_fill), Table(self._made_order)
        self.cache: Any = None
        self.reasons: dict[str, str] = {}  # client order id -> stop_out and the like, where we know better
        self.limits: dict[str, str] = {}  # client order id -> limit, where an amendment of ours has changed it
        self.on_converted: Callable[[Ticket, int], None] | None = None  # called with each profit in a foreign currency
        self.post: Any = None  # charges a list of `Posting`
        self.sent: dict[str, Any] = {}  # market orders whose fills may wait: what their rows need is known beforehand
        self.closed: list[tuple[Ticket, int]] = []  # since the window began; the time whose rows went on without it
        self._grids = grids
        self._ids = {name: f"{name}.{venue}" for name in grids}
        self._digits = {f"{name}.{venue}": grid.digits for name, grid in grids.items()}
        self._fees = fees
        self._fill_model = fills
        self._venue = venue
        self._currency = Currency.from_str(books.currency)
        # One order makes a ticket there, at one price, so what the framework books is known to the cent.
        self._known = {
            InstrumentId(Symbol(name), venue)
            for name, grid in grids.items()
            if grid.whole and grid.quote == books.currency and not books.netting
        }
        self._raw_minor = 10 ** (FIXED_PRECISION - books.digits)
        self._failures = failures
        self._sha = hashlib.sha256()
        # An order event, its order's id, and the balance after a fill where it cannot be known without asking, or the order
        # as the event that ended it left it.
        self._waiting: list[tuple[Any, str, Any]] = []
        self._lines: list[str] = []  # not hashed yet
        self._events = 0
        self._order_positions: dict[str, str] = {}
        self._amended: dict[str, int] = {}  # when an order was last changed
        self.due = False  # whether enough has ended to be purged, or waits to be booked, at the last event
        self._ended: list[int] = []  # when orders were filled or ended otherwise
        self._fills: list[int] = []  # when they were filled
        self._spreads = dict.fromkeys(grids, 0)  # ASK less BID times size, of fills that need no conversion

    def note(self, event: Any, key: str) -> bool:
        """Keep an event of an order until the books are looked at; whether it is a fill that must not wait."""
        self._events += 1
        if type(event) is OrderFilled:
            ts_ns: int = event.ts_event
            order: Any = self.sent.get(key)
            whole = order is not None and order.quantity == event.last_qty
            known = whole and order.instrument_id in self._known
            self._waiting.append((event, key, None if known else self._balance(ts_ns)))
            self._ended.append(ts_ns)
            self._fills.append(ts_ns)
            self.due = len(self._ended) > CROWD or self.full
            return not whole
        ended = type(event).__name__ in ENDED
        self._waiting.append((event, key, self.cache.order(event.client_order_id) if ended else None))
        if ended:
            self._ended.append(event.ts_event)
        self.due = len(self._ended) > CROWD or self.full
        return False

    def _balance(self, ts_ns: int) -> int:
        """The framework's, in minor units. The account goes without its past states, which every look at it would copy."""
        self.cache.purge_account_events(ts_ns, 0)
        raw: Any = self.cache.account_for_venue(self._venue).balance_total(self._currency).raw
        return int(raw // self._raw_minor)

    @property
    def waits(self) -> bool:
        return bool(self._waiting)

    @property
    def full(self) -> bool:
        """Whether enough events wait to be booked."""
        return len(self._waiting) > BACKLOG

    def book(self) -> None:
        """Book the fills that wait, and write down the other events."""
        waiting, self._waiting = self._waiting, []
        for event, key, known in waiting:
            if type(event) is OrderFilled:
                self._filled(event, key, known)
            else:
                self._noted(event, key, known)
        self._sha.update("".join(self._lines).encode())
        self._lines.clear()
        for table in (self.fills, self.orders, self.books.ledger):
            if len(table.fresh) >= PACKED:
                table.pack()

    def _noted(self, event: Any, key: str, ended: Any) -> None:
        name, ts_ns = type(event).__name__, event.ts_event
        self._lines.append(f"{name}|{key}|{ts_ns}\n")
        if ended is not None:
            self._order_row(ended, str(getattr(event, "reason", None) or ""), ts_ns)
        elif name == "OrderUpdated":
            self._amended[key] = ts_ns

    def _filled(self, event: Any, key: str, balance: int | None) -> None:
        charge, grid, steps, price = self._fees.charges.pop(key)
        ts_ns, order_type, trade_id = event.ts_event, event.order_type, str(event.trade_id)
        position_id, strategy_id = str(event.position_id), str(event.strategy_id)
        venue_order_id, buy = str(event.venue_order_id), event.order_side is OrderSide.BUY
        at_market = order_type is OrderType.MARKET
        kind = _MARKET if at_market else order_type.name
        self._lines.append(f"F|{key}|{trade_id}|{position_id}|{ts_ns}|{buy}|{steps}|{price}\n")
        quote = self._fill_model.quotes.pop(key, None)
        bid = ask = price
        if quote is not None:
            bid, ask = quote[0].raw // grid.raw_point, quote[1].raw // grid.raw_point
        slipped = self._fill_model.slipped.pop(key, 0) if self._fill_model.slipped else 0
        met_ns = 0
        if not at_market or key in self.reasons:
            # A stop-out too is somewhere inside a bar: the one that called for it, which with latency is before the fill. An
            # order that fills as soon as it is sent, or a limit as soon as it is amended, is at the end of one.
            sent_ns = self.cache.order(event.client_order_id).ts_init
            if order_type is OrderType.LIMIT:
                sent_ns = self._amended.get(key, sent_ns)
            met_ns = sent_ns if at_market else 0 if sent_ns == ts_ns else ts_ns
        if met_ns:
            # Inside a bar the engine's quote is the bar's extreme; the market at the fill was where the order met it.
            met, spread = (price - slipped if buy else price + slipped), ask - bid
            bid, ask = (met - spread, met) if buy else (met, met + spread)
        parts = self.books.fill(ts_ns, position_id, strategy_id, grid, 1 if buy else -1, steps, price, met_ns)
        realized = self._book_money(ts_ns, balance, parts, charge, grid, (self._ids[grid.name], position_id, trade_id))
        ticket, _, closed, _ = parts[0]
        grown, opened, _, _ = parts[-1]
        if opened:  # the first of its prices is that at which it could be closed again
            grown.lowest = grown.highest = bid if buy else ask
        reason = self.reasons.get(key) or ("client" if at_market else _reason(order_type, closed > 0))
        if charge.xrate is ONE:
            self._spreads[grid.name] += (ask - bid) * steps
        else:
            self.record.costs_spread += grid.value((ask - bid) * steps) * charge.xrate / 2
        if slipped:
            self.record.costs_slippage += grid.value(slipped * steps) * charge.xrate
        self.fills.add((
            ts_ns, trade_id, key, venue_order_id, position_id, strategy_id, grid.name, kind, buy, steps, price,
            bid, ask, charge.xrate_text, charge.minor, slipped, reason,
        ))  # fmt: skip
        order = self.sent.pop(key, None)
        if order is not None and order.quantity == event.last_qty:
            tags = order.tags
            self.orders.add((
                key, venue_order_id, strategy_id, grid.name, buy, steps, price, position_id,
                ",".join(map(str, tags)) if tags else "", order.ts_init, ts_ns,
            ))  # fmt: skip
        else:
            self._order_positions[key] = position_id
            order = self.cache.order(event.client_order_id)
            if order.status == OrderStatus.FILLED and order.last_trade_id == event.trade_id:  # the last of its parts
                self._order_row(order, "", ts_ns)
        if ticket.closed_ns:
            ticket.exit_reason = reason
            self.closed.append((ticket, met_ns or ts_ns + 1))
        if realized and charge.xrate is not ONE and self.on_converted is not None:
            self.on_converted(ticket, realized)

    def _book_money(
        self,
        ts_ns: int,
        balance: int | None,
        parts: tuple[Filled, ...],
        charge: Charge,
        grid: Grid,
        where: tuple[str, str, str],
    ) -> int:
        """Ledger rows of a fill: what the framework's account did, checked against what it should have done.

        Returns the profit it realized, in minor units.
        """
        books, xrate, paid = self.books, charge.xrate, charge.minor
        ticket, _, closed, profit = parts[0]
        if not closed:
            wanted = slack = 0
        elif xrate is ONE:
            wanted, slack = grid.minor(profit), 2
        else:
            # The framework rounds profit to the quote currency's minor unit before it converts it.
            wanted = books.in_minor(rounded(grid.value(profit) * xrate, books.currency))
            slack = 1 + books.in_minor(minor_unit(grid.quote) * xrate)
        # What is known without asking is checked with the balance of the window.
        realized = wanted if balance is None else balance - books.minor + (0 if charge.posted else paid)
        if abs(realized - wanted) > slack:
            raise RunFailed(
                f"the books disagree at {iso(ts_ns)}: fill {where[2]} of {where[0]} changed the balance by "
                f"{books.money(realized)} without commission, the books say {books.money(wanted)}; please report this"
            )
        if closed:
            books.post(ts_ns, _REALIZED, realized, grid.quote, charge.xrate_text, where)
            ticket.gross += realized
        if paid:
            last, opened, *_ = parts[-1]
            if charge.posted:
                amount = books.money(-paid)
                self.post([Posting(LedgerKind.COMMISSION, amount, charge.currency, charge.rate, last, where[2])])
            else:
                books.post(ts_ns, _COMMISSION, -paid, charge.currency, str(charge.rate), where)
            if last is not ticket:  # a reversal: each ticket bears its share
                share = divided(paid * opened, opened + closed)
                last.commission += share
                paid -= share
            ticket.commission += paid
        return realized

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
        where = (instrument_id, position_id, row.trade_id)
        self.books.post(ts_ns, row.kind.value, self.books.in_minor(row.amount), row.currency, str(row.rate), where)

    def window(self, ts_ns: int) -> None:
        """A window of data has been booked: add up its costs; raise when the framework's balance is not the ledger's."""
        for name, value in self._spreads.items():
            self.record.costs_spread += self._grids[name].value(value) / 2
            self._spreads[name] = 0
        balance = self.cache.account_for_venue(self._venue).balance_total(self._currency).as_decimal()
        if balance != self.books.balance:
            raise RunFailed(f"at {iso(ts_ns)} the framework's balance is {balance}, the ledger's {self.books.balance}")

    def purge(self) -> None:
        """Drop what has ended from the framework's cache, but for the latest `GRACE` round trips."""
        # What ended together stays together.
        if len(self._ended) > 2 * GRACE:
            del self._ended[: -2 * GRACE]
            self.cache.purge_closed_orders(self._ended[0] - 1)
            self.cache.purge_account_events(self._ended[-1], 0)
        if len(self._fills) > 2 * GRACE:
            del self._fills[: -2 * GRACE]
            self.cache.purge_closed_positions(self._fills[0] - 1)

    def finish(self) -> str:
        """Write the orders that are still open; returns the hash of events."""
        self.record.events = self._events
        self._sha.update("".join(self._lines).encode())
        open_now = [o for o in self.cache.orders() if not o.is_closed and str(o.instrument_id) in self._digits]
        for order in sorted(open_now, key=lambda o: (o.ts_init, str(o.client_order_id))):
            self._order_row(order, "", 0)
        return self._sha.hexdigest()

    def _order_row(self, order: Any, reason: str, ended_ns: int) -> None:
        key, instrument_id, average = str(order.client_order_id), str(order.instrument_id), order.avg_px
        self._amended.pop(key, None)
        self.orders.add((
            key, str(order.venue_order_id or ""), str(order.strategy_id), instrument_id, order.side.name,
            order.order_type.name, order.time_in_force.name, str(order.quantity), str(order.filled_qty),
            self.limits.pop(key, None) or _price(order, "price"), _price(order, "trigger_price"),
            None if average is None else str(_average(average, self._digits[instrument_id])),
            order.status.name, reason or self.reasons.pop(key, ""),
            self._order_positions.pop(key, None) or str(order.position_id or ""), ",".join(map(str, order.tags or ())),
            order.ts_init, ended_ns,
        ))  # fmt: skip

    # --- rows, as they are read

    def _made_fill(
        self, ts_ns: int, trade_id: str, key: str, venue_order_id: str, position_id: str, strategy_id: str, name: str,
        order_type: str, buy: bool, steps: int, price: int, bid: int, ask: int, rate: str, paid: int, slipped: int, reason: str,
    ) -> FillRow:  # fmt: skip
        grid = self._grids[name]
        return FillRow(
            ts_ns, trade_id, key, venue_order_id, position_id, strategy_id, f"{name}.{self._venue}", order_type,
            "BUY" if buy else "SELL", grid.units(steps), grid.price(price), grid.price(bid), grid.price(ask), grid.quote,
            Decimal(rate), self.books.money(paid), grid.price(slipped), reason,
        )  # fmt: skip

    def _made_order(self, *values: Any) -> OrderRow:
        """Most orders are at market and filled at once: of these only what they do not share was kept."""
        if len(values) == _OF_MARKET_ORDER:
            key, venue_order_id, strategy_id, name, buy, steps, price, *rest = values
            grid, side = self._grids[name], "BUY" if buy else "SELL"
            size = grid.units(steps)
            terms = (self._ids[name], side, _MARKET, "GTC", size, size, None, None, grid.price(price), "FILLED", "")
            return OrderRow(key, venue_order_id, strategy_id, *terms, *rest)
        # Sizes and prices are the eighth to the twelfth of an order's fields.
        numbers = (None if text is None else Decimal(text) for text in values[7:12])
        return OrderRow(*values[:7], *numbers, *values[12:])


def _price(order: Any, name: str) -> str | None:
    value = getattr(order, name, None)
    return None if value is None else str(value)


def _average(price: Any, digits: int) -> Decimal:
    """An average of fills with two more digits than the symbol; a price of the symbol as it is."""
    average = Decimal(str(round(price, digits + 2)))
    at_tick = round(average, digits)
    return at_tick if at_tick == average else average


def _reason(order_type: Any, closing: bool) -> str:
    """Why a fill happened, from the order's type: a closing stop is a stop loss, a closing limit a take profit."""
    if not closing:
        return "client"
    if order_type in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT):
        return "stop_loss"
    if order_type in (OrderType.TRAILING_STOP_MARKET, OrderType.TRAILING_STOP_LIMIT):
        return "trailing_stop"
    if order_type in (OrderType.LIMIT, OrderType.LIMIT_IF_TOUCHED, OrderType.MARKET_IF_TOUCHED):
        return "take_profit"
    return "client"
