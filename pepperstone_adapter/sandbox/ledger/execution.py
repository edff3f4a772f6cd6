"""Executing an order: at which price, how much, and what that does to position and balance.

Prices: market, stop and stop-loss executions take the market as it is when they run (a gap fills at the worse price,
plus drawn slippage); limits and take profits take the market only while it is at their price or better; a market-range
order only within its points of its base price; a guaranteed stop gets exactly its price. With a delay between trigger
and execution the market may have moved: a limit then goes back to rest.

Money of a closing deal: ``balance' = balance + gross profit + swap + commission + conversion fee``, each rounded to the
account's cents. Swap and opening charge are taken from the position in the share that closes, so the shares add up.
"""

from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.orders import DealEntry, DealReason, OrderStatus, OrderType, Side, TimeInForce
from pepperstone_adapter.broker.symbols import CommissionRule
from pepperstone_adapter.sandbox.ledger import checks
from pepperstone_adapter.sandbox.ledger.events import EventKind
from pepperstone_adapter.sandbox.ledger.margin import allocate, base_rates
from pepperstone_adapter.sandbox.ledger.money import cents, commission, profit
from pepperstone_adapter.sandbox.ledger.protection import Protections
from pepperstone_adapter.sandbox.ledger.quotes import Quote
from pepperstone_adapter.sandbox.ledger.records import Deal, Order, Position, PositionStatus
from pepperstone_adapter.sandbox.ledger.refusal import Refusal, Refused
from pepperstone_adapter.sandbox.ledger.state import Account, State
from pepperstone_adapter.sandbox.ledger.terms import SymbolTerms

ZERO = Decimal(0)


class _Rates(NamedTuple):
    """Of one deal: quote currency in account currency, one unit of base in USD and in account currency."""

    quote: Decimal
    usd: Decimal
    margin: Decimal


class _Settled(NamedTuple):
    """What closing a share of a position made; `kept_charge` is the part of its opening commission."""

    gross: Decimal
    swap: Decimal
    fee: Decimal
    kept_charge: Decimal


class Execution:
    def __init__(self, state: State, protections: Protections) -> None:
        self._state = state
        self._protections = protections

    # -- an order's turn ------------------------------------------------------------------------------------------

    def run(self, account: Account, order: Order, now_ns: int) -> None:
        """Execute what can be executed of a working order; leave, cancel or reject the rest by its type."""
        state = self._state
        if order.order_id not in account.working:
            return
        terms = state.symbols[order.symbol]
        position = account.positions.get(order.position_id)
        if order.closing and position is None:
            self._refuse(account, order, now_ns, Refusal.UNKNOWN_POSITION)
            return
        try:
            checks.session(terms, now_ns)
            quote = state.quotes.need(order.symbol)
            price = self._price(terms, order, quote)
            if price is None:
                self._price_is_gone(account, order, now_ns)
                return
            self._rates(account, terms, price)
            opening = ZERO if order.closing else checks.opening_part(account, position, order.side, order.left_units)
            if opening:
                checks.risk(state, account, terms, order.side, opening)
        except Refused as refused:
            if order.type is OrderType.PROTECTION:  # nothing may end a level but the level or its owner
                order.trigger_ns = 0
                return
            self._refuse(account, order, now_ns, refused.reason)
            return
        self._take(account, order, price, quote, now_ns)

    def _refuse(self, account: Account, order: Order, now_ns: int, reason: Refusal) -> None:
        """End an order that may not go on; one whose rest was working is cancelled, not undone."""
        worked = order.rest_works and order.filled_units
        self.end(account, order, EventKind.CANCELED if worked else EventKind.REJECTED, now_ns, error=str(reason))

    def _take(self, account: Account, order: Order, price: Decimal, quote: Quote, now_ns: int) -> None:
        liquidity = self._state.liquidity.get(order.symbol)
        wanted = order.left_units
        if order.closing:
            wanted = min(wanted, account.positions[order.position_id].units)
        if liquidity is None:
            self.fill(account, order, wanted, price, quote, now_ns)
        else:
            total = liquidity.total
            if order.time_in_force is TimeInForce.FOK and total is not None and total < wanted:
                self.end(account, order, EventKind.CANCELED, now_ns)
                return
            while wanted > 0 and (units := liquidity.take(wanted)) > 0:
                self.fill(account, order, units, price, quote, now_ns)
                wanted -= units
        if order.order_id not in account.working:
            return
        if order.type in (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.PROTECTION) and not _immediate(order):
            order.trigger_ns = 0  # the rest goes on resting
        elif order.rest_works:
            order.trigger_ns = 0
            self._state.resting[order.symbol][order.order_id] = order
        else:
            self.end(account, order, EventKind.CANCELED, now_ns)

    def _price(self, terms: SymbolTerms, order: Order, quote: Quote) -> Decimal | None:
        """The price this order gets now, or None when the market is beyond what it accepts."""
        market = quote.opening(order.side)
        sign = order.side.sign
        if order.type is OrderType.PROTECTION:
            position = self._state.account(order.account_id).positions[order.position_id]
            if order.reason is DealReason.TAKE_PROFIT:
                return market if order.limit_price is not None and (market - order.limit_price) * sign <= 0 else None
            if position.guaranteed and order.stop_price is not None:
                return order.stop_price
        if order.type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
            return market if order.limit_price is not None and (market - order.limit_price) * sign <= 0 else None
        slipped = market + sign * self._slippage() * terms.spec.point
        if order.type is OrderType.MARKET_RANGE and order.base_price is not None:
            bound = order.base_price + sign * (order.slippage_points or 0) * terms.spec.point
            if (market - bound) * sign > 0:
                return None
            return min(slipped, bound) if order.side is Side.BUY else max(slipped, bound)
        return slipped

    def _slippage(self) -> int:
        most = self._state.rules.slippage_points_max
        return self._state.random.randint(0, most) if most else 0

    def _price_is_gone(self, account: Account, order: Order, now_ns: int) -> None:
        if order.type is OrderType.MARKET_RANGE or _immediate(order):
            self.end(account, order, EventKind.CANCELED, now_ns)
        else:
            order.trigger_ns = 0

    # -- one deal -------------------------------------------------------------------------------------------------

    def fill(
        self,
        account: Account,
        order: Order,
        units: Decimal,
        price: Decimal,
        quote: Quote,
        now_ns: int,
        *,
        entry: DealEntry | None = None,
        by_server: bool | None = None,
    ) -> Deal:
        """Book one execution of `units` at `price` and announce it. `entry` is given for close-by only."""
        state = self._state
        terms = state.symbols[order.symbol]
        position = self._position_of(account, order, now_ns)
        order.filled_units += units
        before = order.filled_units - units
        order.average_price = ((order.average_price or ZERO) * before + price * units) / order.filled_units
        order.updated_ns = now_ns
        free = entry is DealEntry.OUT_BY or order.reason is DealReason.ROLLOVER
        charge = ZERO if free else self._charge(account, terms, order, units, price)
        deal = self._book(account, terms, order, position, units, price, quote, charge, now_ns, entry)
        account.deals.append(deal)
        changed = allocate(account, terms)
        if order.left_units == 0 or (order.closing and position.units == 0):
            self._leave(account, order, OrderStatus.FILLED, now_ns)
            kind = EventKind.FILLED
        else:
            order.status = OrderStatus.PARTIALLY_FILLED
            kind = EventKind.PARTIALLY_FILLED
        if by_server is None:
            by_server = order.stop_out or order.trigger_ns != 0
        state.emit(
            kind,
            account.account_id,
            now_ns,
            order=order,
            position=position,
            deal=deal,
            ref=order.ref,
            by_server=by_server,
        )
        self._protections.follow(account, order, position, now_ns)
        for other in changed:
            if other is not position:
                state.emit(EventKind.MARGIN_CHANGED, account.account_id, now_ns, position=other, by_server=True)
        return deal

    def _position_of(self, account: Account, order: Order, now_ns: int) -> Position:
        position = account.positions.get(order.position_id)
        if position is None and account.terms.mode is PositionMode.NETTING:
            position = next((p for p in account.positions.values() if p.symbol == order.symbol), None)
            if position is not None:
                order.position_id = position.position_id
        if position is None:
            position = Position(
                position_id=order.position_id,
                account_id=account.account_id,
                symbol=order.symbol,
                side=order.side,
                opened_ns=now_ns,
                label=order.label,
                comment=order.comment,
                magic=order.magic,
                origin=order.origin,
                client_id=order.client_id,
            )
        return position

    def _charge(self, account: Account, terms: SymbolTerms, order: Order, units: Decimal, price: Decimal) -> Decimal:
        """This deal's commission, signed. The minimum counts once an order, so it is worked out over all its fills."""
        rule = terms.commission
        rate, currency = self._state.quotes.rate, account.terms.currency
        if not rule.rate and not rule.minimum:
            return ZERO
        order.raw_commission += commission(_without_minimum(rule), terms.spec, units, price, rate, currency)
        total = order.raw_commission
        if rule.minimum:
            total = max(total, rule.minimum * rate(rule.currency, currency))
        charge = cents(total, account.terms.money_digits) - order.charged
        order.charged += charge
        return -charge

    def _book(
        self,
        account: Account,
        terms: SymbolTerms,
        order: Order,
        position: Position,
        units: Decimal,
        price: Decimal,
        quote: Quote,
        charge: Decimal,
        now_ns: int,
        entry: DealEntry | None,
    ) -> Deal:
        state, own = self._state, account.terms
        closed = min(units, position.units) if position.side is not order.side else ZERO
        opened = units - closed
        rates = self._rates(account, terms, price)
        entry_price = position.open_price if closed else None
        settled = self._settle(account, terms, position, closed, price, rates.quote)
        closing_charge = cents(charge * closed / units, own.money_digits)
        # Booked at the close, the opening charge stays with the position until the share it belongs to is closed.
        booked = settled.kept_charge + closing_charge if own.commission_at_close else charge
        if opened:
            self._grow(account, order, position, opened, price, rates, now_ns)
            if own.commission_at_close:
                position.commission += charge - closing_charge
        elif position.units == 0:
            self._close(account, position, now_ns)
        position.updated_ns = now_ns
        amount = settled.gross + settled.swap + booked + settled.fee
        if closed or amount:
            account.book(amount)
        if entry is None:
            entry = DealEntry.IN if not closed else DealEntry.IN_OUT if opened else DealEntry.OUT
        return Deal(
            deal_id=state.new_deal_id(),
            order_id=order.order_id,
            position_id=position.position_id,
            account_id=account.account_id,
            symbol=order.symbol,
            side=order.side,
            units=units,
            ordered_units=order.units,
            price=price,
            created_ns=order.trigger_ns or order.created_ns,
            ts_ns=now_ns,
            entry=entry,
            reason=order.reason,
            commission=charge,
            booked_commission=booked,
            gross_profit=settled.gross,
            swap=settled.swap,
            conversion_fee=settled.fee,
            closed_units=closed,
            entry_price=entry_price,
            quote_rate=rates.quote,
            margin_rate=rates.margin,
            base_usd_rate=rates.usd,
            balance=account.balance,
            balance_version=account.balance_version,
            partial=order.filled_units < order.units,
            bid=quote.bid,
            ask=quote.ask,
            label=order.label,
            comment=order.comment,
            magic=order.magic,
            origin=order.origin,
            client_id=order.client_id,
        )

    def _rates(self, account: Account, terms: SymbolTerms, price: Decimal) -> _Rates:
        """Every rate a deal at `price` needs; raises `Refused` while one of them has no price."""
        quotes, currency = self._state.quotes, account.terms.currency
        if terms.commission.rate or terms.commission.minimum:
            quotes.rate(terms.commission.currency, currency)
        usd, margin = base_rates(terms, price, quotes, currency)
        return _Rates(quotes.rate(terms.spec.quote_currency, currency), usd, margin)

    @staticmethod
    def _settle(
        account: Account, terms: SymbolTerms, position: Position, closed: Decimal, price: Decimal, rate: Decimal
    ) -> _Settled:
        """Take the share that closes out of a position and say what it made."""
        if not closed:
            return _Settled(ZERO, ZERO, ZERO, ZERO)
        digits = account.terms.money_digits
        part = closed / position.units
        gross = cents(profit(position.side, closed, position.open_price, price) * rate, digits)
        swap = cents(position.swap * part, digits)
        kept_charge = cents(position.commission * part, digits)
        fee = ZERO
        if terms.conversion_fee and terms.spec.quote_currency != account.terms.currency:
            fee = -cents(abs(gross) * terms.conversion_fee, digits)
        position.units -= closed
        position.swap -= swap
        position.commission -= kept_charge
        return _Settled(gross, swap, fee, kept_charge)

    def _grow(
        self,
        account: Account,
        order: Order,
        position: Position,
        opened: Decimal,
        price: Decimal,
        rates: _Rates,
        now_ns: int,
    ) -> None:
        """Open, add to at the volume-weighted price, or turn over."""
        if position.units == 0:
            if position.status is PositionStatus.OPEN:  # a netting reversal: its levels lie on the wrong side now
                self._protections.drop(account, position, now_ns, order.ref)
            position.side = order.side
            position.opened_ns = now_ns
        total = position.units + opened
        position.open_price = (position.open_price * position.units + price * opened) / total
        position.margin_rate = (position.margin_rate * position.units + rates.margin * opened) / total
        position.usd_rate = (position.usd_rate * position.units + rates.usd * opened) / total
        position.units = total
        position.status = PositionStatus.OPEN
        account.positions[position.position_id] = position
        self._state.held[position.symbol][position.position_id] = position

    def _close(self, account: Account, position: Position, now_ns: int) -> None:
        position.status = PositionStatus.CLOSED
        position.closed_ns = now_ns
        position.stop_loss = position.take_profit = position.trailing_distance = None
        position.used_margin = ZERO
        account.positions.pop(position.position_id, None)
        self._state.held[position.symbol].pop(position.position_id, None)
        account.past_positions[position.position_id] = position

    # -- the end of an order --------------------------------------------------------------------------------------

    def end(
        self, account: Account, order: Order, kind: EventKind, now_ns: int, *, error: str = "", ref: str | None = None
    ) -> None:
        """End a working order without (further) execution and say so."""
        status = {
            EventKind.CANCELED: OrderStatus.CANCELED,
            EventKind.EXPIRED: OrderStatus.EXPIRED,
            EventKind.REJECTED: OrderStatus.REJECTED,
        }[kind]
        order.updated_ns = now_ns
        self._leave(account, order, status, now_ns)
        position = account.positions.get(order.position_id) or unborn(order, PositionStatus.CLOSED)
        self._state.emit(
            kind,
            account.account_id,
            now_ns,
            order=order,
            position=position,
            ref=order.ref if ref is None else ref,
            by_server=ref is None and kind is not EventKind.REJECTED,
            error=error,
        )

    def _leave(self, account: Account, order: Order, status: OrderStatus, now_ns: int) -> None:
        order.status = status
        order.closed_ns = now_ns
        account.working.pop(order.order_id, None)
        self._state.resting[order.symbol].pop(order.order_id, None)


def unborn(order: Order, status: PositionStatus) -> Position:
    """The empty position an order is numbered for before its first fill."""
    return Position(
        position_id=order.position_id,
        account_id=order.account_id,
        symbol=order.symbol,
        side=order.side,
        status=status,
        label=order.label,
        comment=order.comment,
        magic=order.magic,
        closed_ns=order.closed_ns,
    )


def _immediate(order: Order) -> bool:
    return order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)


def _without_minimum(rule: CommissionRule) -> CommissionRule:
    return rule if not rule.minimum else replace(rule, minimum=ZERO)
