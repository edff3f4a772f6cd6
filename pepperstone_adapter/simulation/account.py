"""The simulated account while a run goes: what is checked before an order, booked after a fill, and due at a time.

One instance per run. Guarded strategies call it (`guard.Hooks`); it commands the `Broker`, the one strategy of ours inside
the engine, for postings and forced closings. `due_ns` is the next time at which anything must be done before strategies
see the market, so that a bar without events costs one comparison.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

from nautilus_trader.core import UUID4
from nautilus_trader.model import InstrumentId, OrderModifyRejected, OrderType, Symbol, TimeInForce, Venue

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.simulation.books import LONG, SHORT, ZERO, Books, Posting, Ticket
from pepperstone_adapter.simulation.desk import Amended, Counter, entry_price, refusal, sign_of, ticket_refusal
from pepperstone_adapter.simulation.failures import Failures
from pepperstone_adapter.simulation.grid import Grid, rounded
from pepperstone_adapter.simulation.headroom import Headroom
from pepperstone_adapter.simulation.plan import AccountTerms, Slippage
from pepperstone_adapter.simulation.portfolio import Standing
from pepperstone_adapter.simulation.rates import Rates, conversions
from pepperstone_adapter.simulation.record import LedgerKind
from pepperstone_adapter.simulation.recorder import ENDED, Recorder
from pepperstone_adapter.simulation.rollover import Rollover
from pepperstone_adapter.simulation.sessions import accepts_orders
from pepperstone_adapter.simulation.stop_out import MarginWatch, Path, breach, ways
from pepperstone_adapter.simulation.tape import Tape
from pepperstone_adapter.simulation.turns import Turns
from pepperstone_adapter.simulation.used_margin import UsedMargin

NEVER, ONE, GTC = 2**63 - 1, Decimal(1), TimeInForce.GTC


class Account:
    """Books, margin and clockwork of the account."""

    def __init__(
        self,
        specs: Mapping[str, SymbolSpec],
        tapes: Mapping[str, Tape],
        rates: Rates,
        terms: AccountTerms,
        mode: PositionMode,
        books: Books,
        grids: Mapping[str, Grid],
        recorder: Recorder,
        failures: Failures,
        venue: str,
        start_ns: int,
        slippage: Mapping[str, Slippage],
        latency_ns: int = 0,
        jitter_ns: Callable[[str], int] | None = None,
    ) -> None:
        self.failures = failures
        self.books = books
        self.recorder = recorder
        recorder.post = lambda rows: self.broker.post(rows)
        self.broker: Any = None  # the Broker strategy, set when the venue is built
        self.due_ns = 0
        self.asked: set[tuple[str, Any]] = set()  # what the strategies listen to: ("bars", type) and ("quotes", id)
        self.subscribed: Callable[[str, Any], None] = lambda kind, key: self.asked.add((kind, key))
        self._specs = specs
        self._tapes = tapes
        self._rates = rates
        self._terms = terms
        self._level_watched = max(terms.margin_call_level, terms.stop_out_level)
        self.netting = mode is PositionMode.NETTING
        self._grids = grids
        self.margin = UsedMargin(specs, tapes, books, grids, terms, rates.mid)
        self._on_way: dict[str, Any] = {}  # orders at market that have passed the desk, not in `recorder.sent`
        self.standing = Standing(books, rates, self.margin, self.open_profit, lambda: self.broker.now_ns(), self.settle)
        self._rollover = Rollover(specs, tapes, books, self._to_account, start_ns)
        self.latency_ns = latency_ns
        self._jitter_ns = jitter_ns
        self.turns = Turns(failures)
        self._watch = MarginWatch(tapes, rates, books.currency)
        self._headroom = Headroom(specs, terms, slippage, self._watch, books.currency)
        self._counters = {
            InstrumentId(Symbol(name), Venue(venue)): Counter(spec, self._headroom) for name, spec in specs.items()
        }
        self._converted: set[str] = set()  # symbols whose money can be converted: all prices it takes are there
        self._danger_ns, self._margin_called = NEVER, False
        self._closing = ""  # client order id of the forced closing that is on its way
        self._ahead: tuple[int, list[Path]] = (0, [])  # time of a stop-out, and the rest of its bar for the others
        if terms.conversion_fee_percent:
            recorder.on_converted = self._charge_conversion

    # --- guard.Hooks

    def order_event(self, event: Any) -> None:
        """Fills of orders that were granted can wait to be booked; after any other the account looks at its books."""
        key = str(event.client_order_id)
        if self.recorder.note(event, key):
            self._on_way.pop(key, None)
            if self._rollover.held:
                self._charge_before(event, key)
            self.settle(event.ts_event)
        elif type(event).__name__ in ENDED:
            self._on_way.pop(key, None)
            self.recorder.sent.pop(key, None)
        if self.recorder.due:
            self.due_ns = 0
        if self._closing and self.netting and key == self._closing:
            self.broker.forced(event)

    def strategy(self, strategy_id: Any) -> Any:
        return next(s for s in self.turns.strategies if str(s.strategy_id) == str(strategy_id))

    def settle(self, ts_ns: int) -> None:
        """Look at the books: book what has been filled, find the next danger, measure the headroom."""
        if not self.recorder.waits:
            return
        self.recorder.book()
        self._keep_sent()
        self.protect()
        self._look_ahead(ts_ns)
        self._measure()

    def _keep_sent(self) -> None:
        """All fills are booked: what was granted and is still under way is an order like any other, sent before those."""
        if self.recorder.sent:
            self._on_way = self.recorder.sent | self._on_way
            self.recorder.sent.clear()

    def catch_up(self, ts_ns: int) -> None:
        """Do what is due by `ts_ns`. A stop-out in the bar that ends at the rollover comes before it and pays no swap."""
        self.recorder.purge()
        self._next_due()
        if ts_ns < self.due_ns and not self.recorder.full:
            return  # it was about the purge alone
        self.settle(ts_ns)
        if ts_ns >= self.broker.stop_limits.due_ns:
            self.broker.stop_limits.execute(ts_ns)
        if self._danger_ns <= min(ts_ns, self._rollover.due_ns):
            self._check_margin(ts_ns)
        self._roll_over_due(ts_ns)
        if ts_ns >= self._danger_ns:
            self._check_margin(ts_ns)
        self._next_due()

    def _next_due(self) -> None:
        self.due_ns = min(self._rollover.due_ns, self._danger_ns, self.broker.stop_limits.due_ns)

    def shut_down(self) -> None:
        """Stop all strategies when the callback that asks is over; the account goes on without them."""
        self.broker.later(0, self.turns.end)

    def sent(self) -> None:
        """A command is on its way: have the engine act on it when it arrives, not at the next row of data."""
        if self.latency_ns:
            self.broker.wake_at(self.broker.now_ns() + self.latency_ns)

    def submit(self, order: Any, position_id: Any, params: Any, send: Callable[[], None]) -> None:
        if self._jitter_ns is None and not params:
            counter = self._counters.get(order.instrument_id)
            if counter is not None and counter.grants(order, position_id, self.broker.now_ns()):
                self.recorder.sent[str(order.client_order_id)] = order
                send()
                return
        if (params or order.time_in_force != GTC) and self.broker.desk.denies([order], position_id, params):
            return
        delay = self._jitter_ns(str(order.client_order_id)) if self._jitter_ns is not None else 0
        if delay:
            self.broker.later(delay, partial(self._submit, order, position_id, send))
        else:
            self._submit(order, position_id, send)

    def submit_list(self, orders: list[Any], position_id: Any, params: Any, send: Callable[[], None]) -> None:
        """A list goes one way together, held back as its first order is."""
        if self.broker.desk.denies(orders, position_id, params):
            return
        delay = self._jitter_ns(str(orders[0].client_order_id)) if self._jitter_ns is not None else 0
        if delay:
            self.broker.later(delay, partial(self._submit_list, orders, position_id, send))
        else:
            self._submit_list(orders, position_id, send)

    def window(self, start_ns: int, end_ns: int) -> None:
        """New data is on the tapes: look ahead again."""
        self._watch.load(start_ns, end_ns)
        self._headroom.load()
        self._keep_sent()
        self.broker.stop_limits.look_ahead(start_ns - 1)
        self._look_ahead(start_ns - 1)
        self._measure()

    # --- orders

    def _submit_list(self, orders: list[Any], position_id: Any, send: Callable[[], None]) -> None:
        """A list is sent or refused as a whole: an entry whose stop is refused must not stay unprotected."""
        now = self.broker.now_ns()
        entry = None
        for order in orders:
            child = entry is not None and order.parent_order_id is not None
            reason = self._refusal(order, position_id, now, entry if child else None, child)
            if reason is not None:
                self.broker.desk.deny(orders, reason)
                return
            if not child:
                entry = entry_price(order, self._tapes[str(order.instrument_id.symbol)], now)
                self._note_on_way(order)
            self.broker.stop_limits.watch(order)
        send()
        self.sent()

    def _note_on_way(self, order: Any) -> None:
        if order.order_type == OrderType.MARKET:
            self._on_way[str(order.client_order_id)] = order
            self._headroom.close()

    def _submit(self, order: Any, position_id: Any, send: Callable[[], None]) -> None:
        now = self.broker.now_ns()
        misdirected = None if position_id is None else self._misdirected(order, position_id)
        if misdirected is not None:
            self.broker.desk.deny_order(order, misdirected)
            return
        reason = self._refusal(order, position_id, now, None, False)
        if reason is None:
            self.broker.stop_limits.watch(order)
            self._note_on_way(order)
            send()
            self.sent()
        else:
            self.broker.desk.deny_order(order, reason)

    def _refusal(self, order: Any, position_id: Any, now: int, entry: Decimal | None, child: bool) -> str | None:
        symbol = str(order.instrument_id.symbol)
        spec = self._specs.get(symbol)
        if spec is None:
            return f"UNKNOWN_SYMBOL: {symbol} is not part of this run"
        self.broker.desk.require_market(order, self.failures)
        self.settle(now)
        opened = ZERO if child else self._opens(order, symbol, position_id)
        reason = refusal(order, spec, self._tapes[symbol], now, reduces=not opened, entry=entry)
        if reason is None and symbol not in self._converted:
            missing = self._rates.missing(conversions(spec, self._terms, self.books.currency), now)
            if missing:
                return f"NO_PRICE: {missing}"
            self._converted.add(symbol)
        if reason is None and opened:
            self._counters[order.instrument_id].note(order, now)
        if reason is not None or not opened or order.order_type.name != "MARKET":
            return reason
        return self._short_of_margin(order, position_id, now)

    def _misdirected(self, order: Any, position_id: Any) -> str | None:
        """Why an order that is not reduce-only, and for one ticket, cannot be for that ticket."""
        spec = None if self.netting or order.is_reduce_only else self._specs.get(str(order.instrument_id.symbol))
        if spec is None:
            return None
        cache = self.broker.cache
        under_way = (
            other
            for other in cache.orders(instrument_id=order.instrument_id)
            if other.order_type == OrderType.MARKET
            and not other.is_closed
            and cache.position_id(other.client_order_id) == position_id
        )
        closing = sum(
            (o.leaves_qty.as_decimal() for o in under_way if o.client_order_id != order.client_order_id), ZERO
        )
        return ticket_refusal(order, position_id, cache.position(position_id), closing, spec)

    def refused_amendment(self, order_id: Any, *changes: Any) -> OrderModifyRejected | None:
        """The event that refuses an amendment (quantity, price, trigger price); None when the market may have it."""
        order, now = self.broker.cache.order(order_id), self.broker.now_ns()
        symbol = str(order.instrument_id.symbol) if order is not None else ""
        if order is None or order.is_closed or symbol not in self._specs:
            return None  # the framework has its own words for it
        spec, tape, entry = self._specs[symbol], self._tapes[symbol], None
        if order.parent_order_id is not None:
            parent = self.broker.cache.order(order.parent_order_id)
            entry = entry_price(parent, tape, now) if parent is not None and not parent.is_closed else None
        self.settle(now)
        reduces = entry is not None or not self._opens(order, symbol, self._ticket_of(order))
        reason = refusal(Amended.of(order, *changes), spec, tape, now, reduces=reduces, entry=entry)
        if reason is None:
            return None
        return OrderModifyRejected(
            order.trader_id, order.strategy_id, order.instrument_id, order_id, reason, UUID4(), now, now, False,
            order.venue_order_id, order.account_id,
        )  # fmt: skip

    def refuse_at_trigger(self, order: Any) -> bool:
        """Whether a pending order that has been met opens more than free margin allows; it is then canceled."""
        key = str(order.client_order_id)
        if key in self.recorder.reasons:
            return True  # on its way out; what happens in the same instant does not bring it back
        symbol, now, position_id = str(order.instrument_id.symbol), self.broker.now_ns(), self._ticket_of(order)
        self.settle(now)
        opened = self._opens(order, symbol, position_id)
        reason = None if position_id is None else self._misdirected(order, position_id)
        if reason is None:
            if not opened:
                return False
            reason = self._short_of_margin(order, position_id, now)
        if reason is None:
            return False
        self.recorder.reasons[key] = reason
        self.broker.withdraw(order.client_order_id)
        return True

    def _ticket_of(self, order: Any) -> Any:
        """The position a working order is for; the framework tells the order itself only when it is filled."""
        return order.position_id or self.broker.cache.position_id(order.client_order_id)

    def _opens(self, order: Any, symbol: str, position_id: Any) -> Decimal:
        """Units of an order that would open or add to a position."""
        units: Decimal = order.quantity.as_decimal()
        if order.is_reduce_only:
            return ZERO
        sign = sign_of(order)
        if self.netting:
            added = self._added(self._under_way())
            net = self.books.net(symbol) + added.get((symbol, LONG), ZERO) - added.get((symbol, SHORT), ZERO)
            return max(ZERO, units - max(ZERO, -net * sign))
        if position_id is not None:
            ticket = self.books.tickets.get(str(position_id))
            if ticket is not None and ticket.sign != sign:
                return max(ZERO, units - ticket.units)
        return units

    def _under_way(self) -> list[tuple[Any, Any]]:
        """Orders at market that have passed the desk and are not filled yet, as they were sent, each with its ticket."""
        return [(o, self._ticket_of(o)) for o in (*self.recorder.sent.values(), *self._on_way.values())]

    def _added(self, orders: Iterable[tuple[Any, Any]]) -> dict[tuple[str, int], Decimal]:
        """Units that orders, each with its ticket, put on the sides of their symbols, or take off them."""
        added: dict[tuple[str, int], Decimal] = {}
        left: dict[str, Decimal] = {}  # of a ticket, in netting of a symbol, by the orders before; below zero is short
        for order, position_id in orders:
            symbol, sign, units = str(order.instrument_id.symbol), sign_of(order), order.quantity.as_decimal()
            place = symbol if self.netting else str(position_id or order.client_order_id)
            before = left.get(place, self.books.net(symbol) if self.netting else self.books.net_of(place))
            closed = min(units, max(ZERO, -before * sign))
            opened = ZERO if order.is_reduce_only else units - closed
            left[place] = before + (opened + closed) * sign
            added[symbol, sign] = added.get((symbol, sign), ZERO) + opened
            added[symbol, -sign] = added.get((symbol, -sign), ZERO) - closed
        return added

    # --- money

    def equity(self, ts_ns: int) -> Decimal:
        """Balance and open profit at the quotes of a time, in account currency."""
        return self.books.balance + sum((self.open_profit(t, ts_ns) for t in self.books.tickets.values()), ZERO)

    def open_profit(self, ticket: Ticket, ts_ns: int) -> Decimal:
        quote = self._tapes[ticket.symbol].quote(ts_ns)
        if quote is None:
            return ZERO
        price = quote[0] if ticket.sign > 0 else quote[1]
        return ticket.profit(price) * self._to_account(self._specs[ticket.symbol].quote_currency, ts_ns)

    def _to_account(self, currency: str, ts_ns: int) -> Decimal:
        return ONE if currency == self.books.currency else self._rates.mid(currency, self.books.currency, ts_ns)

    def _short_of_margin(self, order: Any, position_id: Any, ts_ns: int) -> str | None:
        """Why an order opens more than free margin allows, beside those that are under way; None when it does not."""
        under_way = self._under_way()
        used = self.margin.with_more(self._added(under_way), ts_ns)
        needed = self.margin.with_more(self._added([*under_way, (order, position_id)]), ts_ns) - used
        free = self.equity(ts_ns) - used
        if needed <= 0 or needed <= free:
            return None
        c = self.books.currency
        return f"NOT_ENOUGH_MONEY: needs {rounded(needed, c)} {c} of margin, {rounded(free, c)} {c} are free"

    def _charge_conversion(self, ticket: Ticket, realized: int) -> None:
        """The broker's fee on profit and loss that was converted to account currency."""
        currency, profit = self.books.currency, self.books.money(realized)
        if fee := rounded(abs(profit) * self._terms.conversion_fee_percent / 100, currency):
            self.broker.post([Posting(LedgerKind.CONVERSION, -fee, currency, ONE, ticket)])

    def _roll_over_due(self, ts_ns: int) -> None:
        """Book the night of every open position, and end the orders that were good for the day."""
        rollover = self._rollover
        while ts_ns >= rollover.due_ns:
            if self._closing or ts_ns < self.broker.stop_limits.held_until_ns:
                rollover.held = True
                self._headroom.close()  # so that no fill waits to be booked
                return
            self.broker.end_day_orders(rollover.due_ns)
            self.broker.post(rollover.charges(self.books.tickets.values()))
            rollover.done()
            self.broker.wake_at(rollover.due_ns)

    def _charge_before(self, event: Any, key: str) -> None:
        """While the rollover is held back: what an order does to a position now, it does after the night.

        But for a stop-out and a stop-limit that was met on the way to 17:00: those are what it is held back for.
        """
        if key != self._closing and key not in self.recorder.limits:
            self.broker.post(self._rollover.charges_before(str(event.position_id)))

    def paid(self, ts_ns: int) -> None:
        """After postings: protect the client, and look ahead anew, for every charge brings a stop-out nearer."""
        self.protect()
        self._look_ahead(ts_ns)
        self._measure()

    def protect(self) -> None:
        """Give back what a retail client without positions owes, when all charges of the loss have been booked."""
        owes = self.books.balance < 0 and not self.books.tickets and not self.broker.posting
        if owes and self._terms.negative_balance_protection:
            self.broker.post([Posting(LedgerKind.ADJUSTMENT, -self.books.balance, self.books.currency, ONE)])

    # --- margin call and stop-out

    def _look_ahead(self, ts_ns: int) -> None:
        """Find the next time at which the margin level could call for action, and be awake then."""
        if not self.margin.now or self._closing:
            self._danger_ns = NEVER
            self._margin_called = self._margin_called and bool(self.margin.now)
            return
        if self._danger_ns <= ts_ns:
            return  # the row in which an order has just been met is still to be looked at itself
        tickets, balance, found = self.books.tickets.values(), self.books.balance, NEVER
        threshold = self.margin.now * self._level_watched / 100
        self._margin_called = self._margin_called and self.equity(ts_ns) <= threshold
        if self._margin_called:
            found = self._watch.next_relief(tickets, float(balance), float(threshold), ts_ns) or NEVER
            threshold = self.margin.now * self._terms.stop_out_level / 100
        if self._watch.worst_equity(tickets, balance) <= threshold:
            found = min(found, self._watch.next_danger(tickets, float(balance), float(threshold), ts_ns) or NEVER)
        self._danger_ns = found
        if found != NEVER:
            self.broker.wake_at(found)
            self.due_ns = min(self.due_ns, found)

    def _measure(self) -> None:
        if self.latency_ns or self._closing or self._margin_called or self._on_way or self._rollover.held:
            self._headroom.close()
            return
        self._headroom.measure(self.books.tickets.values(), self.books.balance, self.margin.both_sides)

    def _check_margin(self, ts_ns: int) -> None:
        """Note a margin call, or close the worst position when the level has reached the stop-out.

        One at a time: the next one is looked at when the fill has been booked (`forced_closed`).
        """
        self._danger_ns = NEVER
        if not self.margin.now or self._closing:
            return
        paths = self._paths(ts_ns)
        balance = self.books.balance
        call = breach(paths, balance, self.margin.now * self._level_watched / 100)
        if call is not None and (call or not self._margin_called):  # above it until here, or since the last one
            self.recorder.record.margin_calls += 1
        self._margin_called = call is not None
        share = breach(paths, balance, self.margin.now * self._terms.stop_out_level / 100)
        open_now = [
            p for p in paths
            if self._tapes[p.ticket.symbol].has_row(ts_ns) or accepts_orders(self._specs[p.ticket.symbol].hours, ts_ns)
        ]  # fmt: skip
        if share is None or not open_now:
            self._look_ahead(ts_ns)
            return
        record = self.recorder.record
        level = (balance + sum((p.profit(p.price(share)) for p in paths), ZERO)) / self.margin.now * 100
        record.lowest_stop_out_level = min(level, record.lowest_stop_out_level or level)
        worst = min(open_now, key=lambda p: (p.profit(p.price(share)), p.ticket.opened_ns, p.ticket.position_id))
        self._ahead = ts_ns, [p.rest(share) for p in paths if p is not worst]
        self._closing = self.broker.close(worst.ticket, worst.price(share))

    def _paths(self, ts_ns: int) -> list[Path]:
        """The ways of all tickets through the bar of a time; behind a stop-out of that bar, from where it was met."""
        since_ns, ahead = self._ahead
        rest = [p for p in ahead if p.ticket.units]
        if since_ns == ts_ns and len(rest) == len(self.books.tickets):
            return rest
        by_symbol: dict[str, list[Ticket]] = {}
        for ticket in self.books.tickets.values():
            by_symbol.setdefault(ticket.symbol, []).append(ticket)
        paths = []
        for symbol, tickets in by_symbol.items():
            rate = self._to_account(self._specs[symbol].quote_currency, ts_ns)
            paths += ways(tickets, self._tapes[symbol], rate, ts_ns)
        return paths

    def forced_closed(self, ts_ns: int) -> None:
        """A stop-out has been filled: look at what is left."""
        self._closing = ""
        self.recorder.record.stop_outs += 1
        self.protect()
        self._margin_called = bool(self.books.tickets)
        self._check_margin(ts_ns)
        self._roll_over_due(ts_ns)
        self._next_due()

    def forced_failed(self, ts_ns: int) -> None:
        """The position was gone before the broker could close it."""
        self._closing = ""
        self._look_ahead(ts_ns)
        self._roll_over_due(ts_ns)
