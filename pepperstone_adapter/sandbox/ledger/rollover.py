"""Server midnight: 17:00 New York. A position held over it is charged or paid one night's swap (three on one weekday).

The instant follows New York's clock through DST: 22:00 UTC in winter, 21:00 in summer.
"""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from pepperstone_adapter.broker.orders import DealReason, OrderType, Side
from pepperstone_adapter.broker.symbols import SwapMode
from pepperstone_adapter.sandbox.ledger.events import EventKind
from pepperstone_adapter.sandbox.ledger.execution import Execution
from pepperstone_adapter.sandbox.ledger.money import cents, nights, swap_for_night
from pepperstone_adapter.sandbox.ledger.records import Order, Position, Protect
from pepperstone_adapter.sandbox.ledger.state import Account, State
from pepperstone_adapter.sandbox.ledger.terms import Reopening, SymbolTerms

NEW_YORK = ZoneInfo("America/New_York")
MIDNIGHT = time(17)
NS = 1_000_000_000


def next_rollover_ns(after_ns: int) -> int:
    """First server midnight strictly after `after_ns`."""
    local = datetime.fromtimestamp(after_ns // NS, tz=UTC).astimezone(NEW_YORK)
    day = local.date()
    while True:
        moment = int(datetime.combine(day, MIDNIGHT, NEW_YORK).timestamp()) * NS
        if moment > after_ns:
            return moment
        day += timedelta(days=1)


def weekday_of(rollover_ns: int) -> int:
    """New York weekday whose trading day ends at this rollover, Monday 0."""
    return datetime.fromtimestamp(rollover_ns // NS, tz=UTC).astimezone(NEW_YORK).weekday()


def accrue(state: State, execution: Execution, rollover_ns: int) -> None:
    """Add the night's swap to every open position. It stays with the position until a deal closes it.

    A symbol whose swap is charged by re-opening gets two deals a position instead.
    """
    weekday = weekday_of(rollover_ns)
    for account in state.accounts.values():
        if account.terms.swap_free:
            continue
        for position in list(account.positions.values()):
            terms = state.symbols[position.symbol]
            count = nights(terms.spec, weekday)
            if not count:
                continue
            if terms.swap_reopens is not None:
                _reopen(state, execution, account, position, count, rollover_ns)
                continue
            amount = cents(_night(state, account, position, terms) * count, account.terms.money_digits)
            if amount:
                position.swap += amount
                state.emit(EventKind.SWAP, account.account_id, rollover_ns, position=position, by_server=True)


def _night(state: State, account: Account, position: Position, terms: SymbolTerms) -> Decimal:
    """One night's swap of a position in account currency, not rounded."""
    price = state.quotes.need(position.symbol).opening(position.side.opposite)
    if terms.swap_on_open_price:
        price = position.open_price
    rate, own = state.quotes.rate, account.terms.currency
    night = swap_for_night(terms.spec, position.side, position.units, price, rate, own)
    if terms.swap_currency is not None and terms.spec.swap.mode is SwapMode.MONEY_PER_LOT:
        night *= rate(terms.swap_currency, own)
    return night


def _reopen(state: State, execution: Execution, account: Account, position: Position, count: int, now_ns: int) -> None:
    """Close a position at the market and open it again, by the points of `count` nights away from where it was.

    Negative points are to the holder's cost: a long is opened higher, a short lower. Levels, magic number and the
    identifier go on; the order, and so the ticket, is a new one. Nothing is charged for either deal.
    """
    terms = state.symbols[position.symbol]
    spec, side, units = terms.spec, position.side, position.units
    quote = state.quotes.need(position.symbol)
    close = quote.opening(side.opposite)
    again = quote.bid if terms.swap_reopens is Reopening.BID else close
    points = (spec.swap.long if side is Side.BUY else spec.swap.short) * count
    levels = Protect(
        stop_loss=position.stop_loss,
        take_profit=position.take_profit,
        trailing=position.trailing,
        guaranteed=position.guaranteed,
        trigger=position.trigger,
    )
    for of, price in ((side.opposite, close), (side, round(again - side.sign * points * spec.point, spec.digits))):
        order = Order(
            order_id=state.new_order_id(),
            account_id=account.account_id,
            symbol=position.symbol,
            side=of,
            type=OrderType.MARKET,
            units=units,
            position_id=position.position_id,
            closing=of is not side,
            protect=levels if of is side and levels.any else None,
            reason=DealReason.ROLLOVER,
            label=position.label,
            comment=position.comment,
            magic=position.magic,
            origin=position.origin,
            client_id=position.client_id,
            created_ns=now_ns,
            updated_ns=now_ns,
        )
        account.orders[order.order_id] = account.working[order.order_id] = order
        state.emit(EventKind.ACCEPTED, account.account_id, now_ns, order=order, position=position, by_server=True)
        execution.fill(account, order, units, price, quote, now_ns, by_server=True)
