"""The broker: accounts trade symbols against quotes, and everything that happens comes out as ordered events.

Verbs change the books at `now_ns` and raise `Refused` when the broker says no (then nothing changed). Prices arrive by
`quote`; time that passes without prices by `advance`. Each call first does what was due before it, in time order:
delayed executions, expiries, and the swap of every server midnight crossed. Same calls, same seed: same events.
"""

import copy
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.orders import DealEntry, OrderType, TimeInForce
from pepperstone_adapter.sandbox.ledger import checks, rollover
from pepperstone_adapter.sandbox.ledger.checks import PENDING, NewOrder
from pepperstone_adapter.sandbox.ledger.events import EventKind
from pepperstone_adapter.sandbox.ledger.execution import Execution, unborn
from pepperstone_adapter.sandbox.ledger.matching import Matching, book_cash
from pepperstone_adapter.sandbox.ledger.protection import Protections
from pepperstone_adapter.sandbox.ledger.quotes import Quote
from pepperstone_adapter.sandbox.ledger.records import CashKind, Order, Position, PositionStatus, Protect, TriggerMethod
from pepperstone_adapter.sandbox.ledger.refusal import Refusal, Refused
from pepperstone_adapter.sandbox.ledger.state import Account, Liquidity, State
from pepperstone_adapter.sandbox.ledger.terms import AccountTerms, LedgerRules, SymbolTerms
from pepperstone_adapter.sandbox.ledger.view import LedgerView

__all__ = ["Ledger", "NewOrder"]


class Ledger(LedgerView):
    """
    Parameters
    ----------
    symbols, accounts
        Terms of everything that can be traded and of everyone who trades.
    rules
        The venue's house rules.
    """

    def __init__(
        self, symbols: Iterable[SymbolTerms], accounts: Iterable[AccountTerms], rules: LedgerRules | None = None
    ) -> None:
        super().__init__(State({terms.name: terms for terms in symbols}, rules or LedgerRules()))
        self._protections = Protections(self._state)
        self._execution = Execution(self._state, self._protections)
        self._matching = Matching(self._state, self._execution, self._protections)
        for terms in accounts:
            self._state.accounts[terms.account_id] = Account(terms, terms.opening_balance)

    # -- time and prices ------------------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> None:
        """Let time pass up to `now_ns`."""
        state = self._state
        if now_ns < state.now_ns:
            now_ns = state.now_ns  # books never go back
        if state.rollover_ns is None:
            state.rollover_ns = rollover.next_rollover_ns(now_ns)
        while (at_ns := self.next_due_ns()) is not None and at_ns <= now_ns:
            state.now_ns = max(at_ns, state.now_ns)
            if (due := state.due.pop(at_ns)) is not None:
                self._run_due(*due)
            elif (expired := state.expiries.pop(at_ns)) is not None:
                self._expire(*expired)
            else:
                rollover.accrue(state, self._execution, at_ns)
                state.rollover_ns = rollover.next_rollover_ns(at_ns)
                self._watch(state.accounts.values(), at_ns)
        state.now_ns = now_ns

    def _run_due(self, at_ns: int, account_id: int, order_id: int) -> None:
        account = self._state.account(account_id)
        order = account.orders[order_id]
        self._execution.run(account, order, at_ns)
        self._matching.watch_margin(account, at_ns)

    def _expire(self, at_ns: int, account_id: int, order_id: int) -> None:
        account = self._state.account(account_id)
        order = account.working.get(order_id)
        if order is not None and order.expires_ns is not None and order.expires_ns <= at_ns:
            self._execution.end(account, order, EventKind.EXPIRED, at_ns)

    def quote(self, symbol: str, bid_points: int, ask_points: int, now_ns: int) -> None:
        """A new price, in points of the symbol; everything it sets off happens now."""
        self.advance(now_ns)
        state = self._state
        quote = state.quotes.set(symbol, bid_points, ask_points, now_ns)
        if state.resting[symbol] or state.held[symbol]:
            self._matching.on_quote(symbol, quote, state.now_ns)
        self._watch((a for a in state.accounts.values() if self._concerns(a, symbol)), state.now_ns)

    def _concerns(self, account: Account, symbol: str) -> bool:
        """Whether a price of `symbol` can change the account's equity: it holds it, or converts profit somewhere."""
        own = account.terms.currency
        return any(
            p.symbol == symbol or self._state.symbols[p.symbol].spec.quote_currency != own
            for p in account.positions.values()
        )

    def _watch(self, accounts: Iterable[Account], now_ns: int) -> None:
        for account in accounts:
            if account.positions:
                self._matching.watch_margin(account, now_ns)

    def set_liquidity(self, symbol: str, liquidity: Liquidity | None) -> None:
        """Bound what executions of a symbol find from now on; None = as much as wanted."""
        if liquidity is None:
            self._state.liquidity.pop(symbol, None)
        else:
            self._state.liquidity[symbol] = liquidity

    # -- orders ---------------------------------------------------------------------------------------------------

    def submit(self, account_id: int, request: NewOrder, now_ns: int) -> Order:
        """Accept an order (raises `Refused`), announce it, and execute what the market allows."""
        self.advance(now_ns)
        state, now_ns = self._state, self._state.now_ns
        account = state.account(account_id)
        terms = state.terms(request.symbol)
        position = self._target(account, request)
        self._check_new(account, terms, request, position, now_ns)
        order = self._make(account, request, position, now_ns)
        account.orders[order.order_id] = account.working[order.order_id] = order
        pending = order.type in PENDING
        if pending:
            state.resting[order.symbol][order.order_id] = order
        state.emit(
            EventKind.ACCEPTED,
            account_id,
            now_ns,
            order=order,
            position=position or unborn(order, PositionStatus.CREATED),
            ref=order.ref,
        )
        self._start(account, order, now_ns, pending=pending)
        self._matching.watch_margin(account, now_ns)
        return order

    def _start(self, account: Account, order: Order, now_ns: int, *, pending: bool) -> None:
        state = self._state
        if order.expires_ns is not None:
            state.expiries.add(order.expires_ns, account.account_id, order.order_id)
        if pending:
            quote = state.quotes.last(order.symbol)
            if quote is not None and state.symbols[order.symbol].spec.hours.is_open(now_ns):
                self._matching.consider(account, order, quote, now_ns)
            immediate = order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
            if immediate and order.trigger_ns == 0 and order.order_id in account.working:
                self._execution.end(account, order, EventKind.CANCELED, now_ns)
        elif state.rules.execution_delay_ns:
            state.due.add(now_ns + state.rules.execution_delay_ns, account.account_id, order.order_id)
        else:
            self._execution.run(account, order, now_ns)

    def _target(self, account: Account, request: NewOrder) -> Position | None:
        """The open position a request is about."""
        if request.position_id:
            position = self._position(account, request.position_id)
            if position.symbol != request.symbol:
                raise Refused(Refusal.INVALID, f"Position {position.position_id} is of {position.symbol}")
            return position
        if account.terms.mode is PositionMode.NETTING:
            return next((p for p in account.positions.values() if p.symbol == request.symbol), None)
        return None

    def _check_new(
        self, account: Account, terms: SymbolTerms, request: NewOrder, position: Position | None, now_ns: int
    ) -> None:
        state = self._state
        opening = checks.opening_part(account, position, request.side, request.units)
        checks.permission(account, terms, request.side, opens=opening > 0)
        if request.type not in PENDING or not state.rules.pending_when_closed:
            checks.session(terms, now_ns)
        checks.volume(terms, request.units)
        if position is not None and not opening and request.units > position.units:
            raise Refused(
                Refusal.BAD_VOLUME,
                f"Order volume {request.units} is bigger than the position's {position.units}",
                position_id=position.position_id,
            )
        quote = state.quotes.last(request.symbol)
        checks.prices(terms, request, quote, marketable_limits_fill=state.rules.marketable_limits_fill)
        checks.expiry(request, now_ns)
        if request.type not in PENDING:
            quote = state.quotes.need(request.symbol)
        self._check_levels(account, terms, request, quote)
        if opening and request.type not in PENDING:
            checks.risk(state, account, terms, request.side, opening)

    def _check_levels(self, account: Account, terms: SymbolTerms, request: NewOrder, quote: Quote | None) -> None:
        protect = request.protect
        if account.terms.limited_risk and not (protect is not None and protect.guaranteed):
            raise Refused(Refusal.GUARANTEED_STOP_REQUIRED, "A guaranteed stop loss is required on this account")
        if protect is None or not protect.any or quote is None:
            return
        reference = quote.opening(request.side.opposite)
        if request.type in PENDING:
            entry = request.limit_price if request.type is OrderType.LIMIT else request.stop_price
            reference = entry if entry is not None else reference
        checks.levels(terms, request.side, protect, reference, of="order" if request.type in PENDING else "position")

    def _make(self, account: Account, request: NewOrder, position: Position | None, now_ns: int) -> Order:
        state = self._state
        order_id = state.new_order_id()
        closing = (
            position is not None
            and position.side is not request.side
            and account.terms.mode is not PositionMode.NETTING
        )
        expires_ns = request.expires_ns
        if request.time_in_force is TimeInForce.DAY and expires_ns is None:
            expires_ns = rollover.next_rollover_ns(now_ns)
        return Order(
            order_id=order_id,
            account_id=account.account_id,
            symbol=request.symbol,
            side=request.side,
            type=request.type,
            units=request.units,
            position_id=position.position_id if position is not None else state.new_position_id(order_id),
            time_in_force=request.time_in_force,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            base_price=request.base_price,
            slippage_points=request.slippage_points,
            expires_ns=expires_ns,
            protect=request.protect,
            rest_works=request.rest_works,
            closing=closing,
            client_id=request.client_id,
            label=request.label,
            comment=request.comment,
            magic=request.magic,
            origin=request.origin,
            ref=request.ref,
            created_ns=now_ns,
            updated_ns=now_ns,
        )

    def amend(
        self,
        account_id: int,
        order_id: int,
        now_ns: int,
        *,
        units: Decimal | None = None,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        slippage_points: int | None = None,
        expires_ns: int | None = None,
        protect: Protect | None = None,
        ref: str = "",
    ) -> Order:
        """Change a pending order; None leaves a value as it is (`protect` replaces all levels at once)."""
        self.advance(now_ns)
        state, now_ns = self._state, self._state.now_ns
        account = state.account(account_id)
        order = self._working(account, order_id)
        if order.type not in PENDING or order.trigger_ns:
            raise Refused(Refusal.CANNOT_AMEND, f"Order {order_id} cannot be amended now", order_id)
        terms = state.symbols[order.symbol]
        changed = copy.copy(order)
        for name, value in (
            ("units", units),
            ("limit_price", limit_price),
            ("stop_price", stop_price),
            ("slippage_points", slippage_points),
            ("expires_ns", expires_ns),
            ("protect", protect),
        ):
            if value is not None:
                setattr(changed, name, value)
        self._check_amended(terms, order, changed, now_ns)
        for name in ("units", "limit_price", "stop_price", "slippage_points", "expires_ns", "protect"):
            setattr(order, name, getattr(changed, name))
        order.updated_ns = now_ns
        order.strikes = 0
        position = account.positions.get(order.position_id) or unborn(order, PositionStatus.CREATED)
        state.emit(EventKind.REPLACED, account_id, now_ns, order=order, position=position, ref=ref)
        self._start(account, order, now_ns, pending=True)
        return order

    def _check_amended(self, terms: SymbolTerms, order: Order, changed: Order, now_ns: int) -> None:
        try:
            checks.volume(terms, changed.units)
            if changed.units <= order.filled_units:
                raise Refused(
                    Refusal.BAD_VOLUME, f"Volume {changed.units} is not above the filled {order.filled_units}"
                )
            checks.price(terms, changed.limit_price, "Limit price")
            checks.price(terms, changed.stop_price, "Stop price")
            if changed.expires_ns is not None and changed.expires_ns <= now_ns:
                raise Refused(Refusal.BAD_EXPIRY, "Expiration is in the past")
            quote = self._state.quotes.last(order.symbol)
            fills = self._state.rules.marketable_limits_fill
            if not order.triggered:
                checks.pending_side(order.type, order.side, changed.limit_price, changed.stop_price, quote, fills)
            entry = changed.limit_price if order.type is OrderType.LIMIT else changed.stop_price
            if changed.protect is not None and entry is not None:
                checks.levels(terms, order.side, changed.protect, entry, of="order")
        except Refused as refused:
            refused.order_id = order.order_id
            raise

    def cancel(self, account_id: int, order_id: int, now_ns: int, *, ref: str = "", by_server: bool = False) -> Order:
        self.advance(now_ns)
        account = self._state.account(account_id)
        order = self._working(account, order_id)
        if order.type is OrderType.PROTECTION:
            position = account.positions[order.position_id]
            self._protections.drop(account, position, self._state.now_ns, ref, by_server=by_server)
            return order
        if order.trigger_ns and self._state.rules.execution_delay_ns:
            raise Refused(Refusal.CANNOT_CANCEL, f"Order {order_id} is being executed", order_id)
        self._execution.end(account, order, EventKind.CANCELED, self._state.now_ns, ref=ref)
        return order

    # -- positions ------------------------------------------------------------------------------------------------

    def close(
        self,
        account_id: int,
        position_id: int,
        units: Decimal,
        now_ns: int,
        *,
        client_id: str = "",
        comment: str | None = None,
        origin: str = "",
        ref: str = "",
    ) -> Order:
        """Close `units` of a ticket by a market order of the other side."""
        self.advance(now_ns)
        account = self._state.account(account_id)
        position = self._position(account, position_id)
        terms = self._state.symbols[position.symbol]
        if units > position.units:
            raise Refused(
                Refusal.BAD_VOLUME,
                f"Volume {units} is bigger than the position's {position.units}",
                position_id=position_id,
            )
        if units != position.units:
            checks.step(terms, units)
        checks.permission(account, terms, position.side.opposite, opens=False)
        checks.session(terms, self._state.now_ns)
        self._state.quotes.need(position.symbol)
        request = NewOrder(
            symbol=position.symbol,
            side=position.side.opposite,
            type=OrderType.MARKET,
            units=units,
            time_in_force=TimeInForce.IOC,
            client_id=client_id,
            label=position.label,
            comment=position.comment if comment is None else comment,
            magic=position.magic,
            origin=origin,
            ref=ref,
        )
        order = self._make(account, request, position, self._state.now_ns)
        order.closing = True
        account.orders[order.order_id] = account.working[order.order_id] = order
        self._state.emit(EventKind.ACCEPTED, account_id, self._state.now_ns, order=order, position=position, ref=ref)
        self._start(account, order, self._state.now_ns, pending=False)
        return order

    def protect(
        self, account_id: int, position_id: int, levels: Protect, now_ns: int, *, ref: str = "", by_server: bool = False
    ) -> Position:
        """Replace a ticket's whole protection. Flags left None stay as they are; a level left None is removed."""
        self.advance(now_ns)
        state, now_ns = self._state, self._state.now_ns
        account = state.account(account_id)
        position = self._position(account, position_id)
        terms = state.symbols[position.symbol]
        if not levels.any and not position.protected:
            raise Refused(Refusal.NOTHING_TO_AMEND, "Nothing to amend.", position_id=position_id)
        if levels.trailing is False and levels.stop_loss is None and position.trailing:
            raise Refused(
                Refusal.BAD_STOPS, "Trailing stop cannot be removed without a stop loss", position_id=position_id
            )
        if account.terms.limited_risk and (levels.stop_loss is None or levels.guaranteed is False):
            text = "The stop loss of a limited risk account is guaranteed and cannot be removed"
            raise Refused(Refusal.GUARANTEED_STOP_REQUIRED, text, position_id=position_id)
        reference = state.quotes.need(position.symbol).opening(position.side.opposite)
        try:
            checks.levels(terms, position.side, levels, reference)
        except Refused as refused:
            refused.position_id = position_id
            raise
        trailing = position.trailing if levels.trailing is None else levels.trailing
        position.stop_loss, position.take_profit = levels.stop_loss, levels.take_profit
        position.trailing_distance = (
            abs(reference - levels.stop_loss) if trailing and levels.stop_loss is not None else None
        )
        if levels.guaranteed is not None:
            position.guaranteed = levels.guaranteed
        position.trigger = levels.trigger or TriggerMethod.TRADE
        self._protections.place(account, position, now_ns, ref, by_server=by_server)
        return position

    def close_by(
        self,
        account_id: int,
        position_id: int,
        other_id: int,
        now_ns: int,
        *,
        comment: str = "",
        magic: int = 0,
        origin: str = "",
        ref: str = "",
    ) -> Order:
        """Close two opposite tickets of one symbol against each other, without the market.

        One order with a deal on each position. Both close at the opening price of the second, so the whole result stands
        in the first one's deal.
        """
        self.advance(now_ns)
        state, now_ns = self._state, self._state.now_ns
        account = state.account(account_id)
        one, other = self._position(account, position_id), self._position(account, other_id)
        if one.symbol != other.symbol or one.side is other.side:
            raise Refused(Refusal.INVALID, "Close-by needs opposite positions of one symbol", position_id=position_id)
        checks.session(state.symbols[one.symbol], now_ns)
        quote = state.quotes.need(one.symbol)
        units, price = min(one.units, other.units), other.open_price
        request = NewOrder(
            symbol=one.symbol,
            side=one.side.opposite,
            type=OrderType.MARKET,
            units=units,
            label=one.label,
            comment=comment,
            magic=magic,
            origin=origin,
            ref=ref,
        )
        order = self._make(account, request, one, now_ns)
        order.closing = True
        order.counter_position_id = other_id
        account.orders[order.order_id] = account.working[order.order_id] = order
        state.emit(EventKind.ACCEPTED, account_id, now_ns, order=order, position=one, ref=ref)
        # An order has one side: its other half is the same order seen from the second position.
        half = replace(order, side=other.side.opposite, position_id=other_id, counter_position_id=position_id)
        self._execution.fill(account, order, units, price, quote, now_ns, entry=DealEntry.OUT_BY)
        self._execution.fill(account, half, units, price, quote, now_ns, entry=DealEntry.OUT_BY)
        return order

    # -- the broker's own hand ------------------------------------------------------------------------------------

    def cash(
        self, account_id: int, amount: Decimal, now_ns: int, *, kind: CashKind | None = None, note: str = ""
    ) -> None:
        """Deposit (positive) or withdraw (negative)."""
        self.advance(now_ns)
        account = self._state.account(account_id)
        account.book(amount)
        kind = kind or (CashKind.DEPOSIT if amount >= 0 else CashKind.WITHDRAW)
        book_cash(self._state, account, kind, amount, self._state.now_ns, note)

    def reject(self, account_id: int, order_id: int, now_ns: int, error: str) -> None:
        """The broker rejects a working order it had accepted."""
        self.advance(now_ns)
        account = self._state.account(account_id)
        order = self._working(account, order_id)
        self._execution.end(account, order, EventKind.REJECTED, self._state.now_ns, error=error)

    def change_account(self, terms: AccountTerms, now_ns: int) -> None:
        """New terms for an account (leverage, rights)."""
        self.advance(now_ns)
        self._state.account(terms.account_id).terms = terms
        self._state.emit(EventKind.ACCOUNT_CHANGED, terms.account_id, self._state.now_ns, by_server=True)

    def set_margin_calls(self, account_id: int, levels: tuple[Decimal, ...]) -> None:
        """New thresholds for margin-call notices, in percent."""
        account = self._state.account(account_id)
        account.terms = replace(account.terms, margin_call_levels=levels)
        account.called_ns.clear()

    def change_symbol(self, terms: SymbolTerms, now_ns: int) -> None:
        """New terms for a symbol; open orders and positions keep what they were given."""
        self.advance(now_ns)
        self._state.symbols[terms.name] = terms
        for account_id in self._state.accounts:
            self._state.emit(
                EventKind.SYMBOL_CHANGED, account_id, self._state.now_ns, symbol=terms.name, by_server=True
            )

    # -- finding --------------------------------------------------------------------------------------------------

    def _working(self, account: Account, order_id: int) -> Order:
        order = account.working.get(order_id)
        if order is None:
            raise Refused(Refusal.UNKNOWN_ORDER, f"Order not found with id {order_id}", order_id)
        return order
