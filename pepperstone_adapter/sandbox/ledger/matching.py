"""What a new price sets off: pending orders, protective levels, trailing stops, margin calls and stop-outs.

A buy trades at the ask and a sell at the bid. A stop is set off by the side it will trade on (`TRADE`), by the other
(`OPPOSITE`), or by two quotes in a row beyond it (`DOUBLE_...`). A limit is set off by the side it trades on.
Stop-outs close one position at a time and look again after each, so no more is closed than is needed.
"""

from decimal import ROUND_CEILING, Decimal

from pepperstone_adapter.broker.orders import DealReason, OrderType, Side
from pepperstone_adapter.sandbox.ledger.events import EventKind
from pepperstone_adapter.sandbox.ledger.execution import Execution
from pepperstone_adapter.sandbox.ledger.margin import equity, open_profit, used_margin
from pepperstone_adapter.sandbox.ledger.protection import Protections, beyond
from pepperstone_adapter.sandbox.ledger.quotes import Quote
from pepperstone_adapter.sandbox.ledger.records import Cash, CashKind, Order, Position, TriggerMethod
from pepperstone_adapter.sandbox.ledger.refusal import Refused
from pepperstone_adapter.sandbox.ledger.state import Account, State
from pepperstone_adapter.sandbox.ledger.terms import StopOutOrder

DOUBLE = (TriggerMethod.DOUBLE_TRADE, TriggerMethod.DOUBLE_OPPOSITE)
ACROSS = (TriggerMethod.OPPOSITE, TriggerMethod.DOUBLE_OPPOSITE)


class Matching:
    def __init__(self, state: State, execution: Execution, protections: Protections) -> None:
        self._state = state
        self._execution = execution
        self._protections = protections

    def on_quote(self, symbol: str, quote: Quote, now_ns: int) -> None:
        state = self._state
        if not state.symbols[symbol].spec.hours.is_open(now_ns):
            return
        for order in list(state.resting[symbol].values()):
            self.consider(state.account(order.account_id), order, quote, now_ns)
        for position in list(state.held[symbol].values()):
            account = state.account(position.account_id)
            if not self._level_hit(account, position, quote, now_ns):
                self._protections.trail(account, position, quote, now_ns)

    # -- pending orders -------------------------------------------------------------------------------------------

    def consider(self, account: Account, order: Order, quote: Quote, now_ns: int) -> None:
        """Set a pending order off if `quote` reaches it."""
        if order.trigger_ns or order.order_id not in account.working:
            return
        if order.rest_works:
            self._set_off(account, order, now_ns)
            return
        market = quote.opening(order.side)
        if order.type is OrderType.LIMIT or order.triggered:
            if order.limit_price is not None and _reached(order.side, order.limit_price, market):
                self._set_off(account, order, now_ns)
            return
        method = order.protect.trigger if order.protect is not None and order.protect.trigger else TriggerMethod.TRADE
        order.strikes = self._strikes(method, order.side, order.stop_price, quote, order.strikes)
        if order.strikes < (2 if method in DOUBLE else 1):
            return
        if order.type is OrderType.STOP_LIMIT:
            order.triggered = True
            if order.limit_price is None or (market - order.limit_price) * order.side.sign > 0:
                return  # from here on it rests as a limit
        self._set_off(account, order, now_ns)

    def _set_off(self, account: Account, order: Order, now_ns: int) -> None:
        order.trigger_ns = now_ns
        delay = self._state.rules.execution_delay_ns
        if delay:
            self._state.due.add(now_ns + delay, account.account_id, order.order_id)
        else:
            self._execution.run(account, order, now_ns)

    @staticmethod
    def _strikes(method: TriggerMethod, side: Side, stop: Decimal | None, quote: Quote, so_far: int) -> int:
        if stop is None:
            return 0
        price = quote.opening(side.opposite if method in ACROSS else side)
        return so_far + 1 if beyond(side, stop, price) else 0

    # -- levels ---------------------------------------------------------------------------------------------------

    def _level_hit(self, account: Account, position: Position, quote: Quote, now_ns: int) -> bool:
        if not position.protected:
            return False
        side = position.side.opposite
        position.strikes = self._strikes(position.trigger, side, position.stop_loss, quote, position.strikes)
        market = quote.opening(side)
        if position.strikes >= (2 if position.trigger in DOUBLE else 1):
            reason = DealReason.STOP_LOSS
        elif position.take_profit is not None and (market - position.take_profit) * side.sign <= 0:
            reason = DealReason.TAKE_PROFIT
        else:
            return False
        order = account.working.get(position.protection_order_id)
        if order is None:
            order = self._closing_order(account, position, position.units, now_ns, kind=OrderType.PROTECTION)
            order.stop_price, order.limit_price = position.stop_loss, position.take_profit
            position.protection_order_id = order.order_id
        if order.trigger_ns:
            return True
        order.reason = reason
        self._set_off(account, order, now_ns)
        return True

    def _closing_order(
        self, account: Account, position: Position, units: Decimal, now_ns: int, kind: OrderType = OrderType.MARKET
    ) -> Order:
        order = Order(
            order_id=self._state.new_order_id(),
            account_id=account.account_id,
            symbol=position.symbol,
            side=position.side.opposite,
            type=kind,
            units=units,
            position_id=position.position_id,
            closing=True,
            label=position.label,
            comment=position.comment,
            magic=position.magic,
            created_ns=now_ns,
            updated_ns=now_ns,
        )
        account.orders[order.order_id] = account.working[order.order_id] = order
        return order

    # -- margin ---------------------------------------------------------------------------------------------------

    def watch_margin(self, account: Account, now_ns: int) -> None:
        """Margin-call notices and stop-out for one account at the prices of now."""
        try:
            level = self._margin_level(account)
            if level is None:
                self._forgive(account, now_ns)
                return
            self._call(account, level, now_ns)
            while level is not None and level <= account.terms.stop_out_level:
                victim = self._stop_out_victim(account, now_ns)
                if victim is None:
                    return
                self._stop_out(account, victim, now_ns)
                level = self._margin_level(account)
            self._forgive(account, now_ns)
        except Refused:  # a price for a conversion is missing: equity cannot be told, so nothing is done
            return

    def _margin_level(self, account: Account) -> Decimal | None:
        used = used_margin(account)
        if not used:
            return None
        return equity(account, self._state.quotes, self._state.symbols) / used * 100

    def _call(self, account: Account, level: Decimal, now_ns: int) -> None:
        for threshold in account.terms.margin_call_levels:
            last = account.called_ns.get(threshold)
            if level <= threshold and (last is None or now_ns - last >= self._state.rules.margin_call_silence_ns):
                account.called_ns[threshold] = now_ns
                self._state.emit(EventKind.MARGIN_CALL, account.account_id, now_ns, level=threshold, by_server=True)

    def _stop_out_victim(self, account: Account, now_ns: int) -> Position | None:
        symbols = self._state.symbols
        closable = [p for p in account.positions.values() if symbols[p.symbol].spec.hours.is_open(now_ns)]
        if not closable:
            return None
        if account.terms.stop_out_order is StopOutOrder.MOST_MARGIN_USED_FIRST:
            return max(closable, key=lambda p: (p.used_margin, -p.position_id))
        quotes = self._state.quotes
        return min(closable, key=lambda p: (open_profit(account, p, quotes, symbols[p.symbol]).net, p.position_id))

    def _stop_out(self, account: Account, victim: Position, now_ns: int) -> None:
        units = victim.units
        if account.terms.stop_out_partial and victim.used_margin:
            spec = self._state.symbols[victim.symbol].spec
            have = equity(account, self._state.quotes, self._state.symbols)
            allowed = max(have, Decimal(0)) / account.terms.stop_out_level * 100
            share = min((used_margin(account) - allowed) / victim.used_margin, Decimal(1))
            steps = (units * share / spec.volume_step).to_integral_value(rounding=ROUND_CEILING) + 1
            units = min(units, steps * spec.volume_step)
        order = self._closing_order(account, victim, units, now_ns)
        order.stop_out = True
        order.reason = DealReason.STOP_OUT
        self._state.emit(EventKind.ACCEPTED, account.account_id, now_ns, order=order, position=victim, by_server=True)
        quote = self._state.quotes.need(victim.symbol)
        self._execution.fill(account, order, units, quote.opening(order.side), quote, now_ns)

    def _forgive(self, account: Account, now_ns: int) -> None:
        """Negative balance protection: with nothing open, a debt is lifted to zero."""
        if account.positions or account.balance >= 0 or not account.terms.negative_balance_protection:
            return
        lift = -account.balance
        account.book(lift)
        book_cash(self._state, account, CashKind.PROTECTION, lift, now_ns, "negative balance protection")


def _reached(side: Side, limit: Decimal, market: Decimal) -> bool:
    """Whether the market is at a limit or better for `side`."""
    return market <= limit if side is Side.BUY else market >= limit


def book_cash(state: State, account: Account, kind: CashKind, amount: Decimal, now_ns: int, note: str) -> Cash:
    """Record an already booked change of balance and announce it."""
    cash = Cash(
        cash_id=state.next_cash_id,
        account_id=account.account_id,
        kind=kind,
        amount=amount,
        balance=account.balance,
        balance_version=account.balance_version,
        equity=equity(account, state.quotes, state.symbols),
        ts_ns=now_ns,
        note=note,
    )
    state.next_cash_id += 1
    account.cash.append(cash)
    state.emit(EventKind.CASH, account.account_id, now_ns, cash=cash, by_server=True)
    return cash
