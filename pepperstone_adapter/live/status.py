"""One line about a running account (link, latency, positions, equity), and one when it has stopped."""

import time
from decimal import Decimal
from typing import Any

from nautilus_trader.model import OrderStatus, Venue

from pepperstone_adapter.broker.account import minor_digits
from pepperstone_adapter.broker.orders import OrderType as BrokerOrderType
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.keys import label
from pepperstone_adapter.live.market_state import market_state
from pepperstone_adapter.live.settings import AccountSettings
from pepperstone_adapter.live.tracking import ENTRY


def status_line(account: AccountSettings, connection: Connection, cache: Any, portfolio: Any) -> str:
    """``DEMO-x1234 | link up | quote 0.3 s ago | order 12 ms | 2 positions | 1 order | equity 10,012.33 USD``.

    The equity is the broker's where it says one, else the framework's own sum (marked `~`).
    """
    newest = max((q.ts_ns for q in connection.quotes.values()), default=0)
    quote = f"quote {(time.monotonic_ns() - newest) / 1e9:.1f} s ago" if newest else "no quote yet"
    if connection.specs and not any(market_state(s, time.time_ns()).trading for s in connection.specs.values()):
        quote += " (market closed)"
    execution = connection.execution
    parts = [label(account.environment, account.account), "link up" if connection.up else "LINK DOWN", quote]
    if execution is not None:
        sent = execution.sender.round_trip_ms
        venue = Venue(account.venue)
        parts += [
            f"order {sent:.0f} ms" if sent is not None else "no order yet",
            _count(len(cache.positions_open(venue)), "position"),
            _count(len(cache.orders_open(venue)), "order"),
            _equity(connection, portfolio, venue),
        ]
        unknown = len(execution.reconciler.unanswered)
        if unknown:
            parts.append(f"{_count(unknown, 'request')} UNANSWERED")
        if execution.halted is not None:
            parts.append(f"HALTED: {execution.halted}")
    held_back = sum(q.held_back for q in connection.quotes.values())
    if held_back:
        parts.append(f"{held_back} bad quotes held back")
    if connection.rows_left_out:
        parts.append(f"{connection.rows_left_out} bad rows left out")
    return " | ".join(parts)


def summary(account: AccountSettings, connection: Connection, cache: Any) -> str:
    """What a run did and what it leaves at the broker, by the broker's own books.

    ``DEMO-x1234 stopped: 5 orders (4 filled, 1 refused); balance 10,012.33 USD (+12.33 since the start); at the broker:
    EURUSD buy 10,000 (no. 123), no working orders``.
    """
    parts = []
    execution = connection.execution
    if execution is not None and cache is not None:
        own = [o for o in cache.orders(Venue(account.venue)) if str(o.strategy_id) != "EXTERNAL"]
        own = [o for o in own if str(o.client_order_id) not in execution.came_back]
        filled = sum(o.filled_qty.is_positive() for o in own)
        refused = sum(o.status in (OrderStatus.DENIED, OrderStatus.REJECTED) for o in own)
        parts.append(f"{_count(len(own), 'order')} ({filled} filled, {refused} refused)")
    now, before = connection.account, connection.snapshot
    if now is not None and before is not None:
        change = now.balance - before.account.balance
        digits = minor_digits(now.currency)
        parts.append(f"balance {now.balance:,.{digits}f} {now.currency} ({change:+,.{digits}f} since the start)")
    if execution is not None and before is not None:
        # Until the start has taken the account in, the only books are those the broker showed at the connect.
        known = connection.reconciled
        held = execution.table.positions.values() if known else before.positions
        positions = [
            f"{p.symbol} {p.side.value} {format(p.units.normalize(), ',f')} (no. {p.position_id})" for p in held
        ]
        waiting = [o for o in before.orders if o.type is not BrokerOrderType.PROTECTION and not o.closing]
        working = sum(o.kind == ENTRY for o in execution.table.open_orders()) if known else len(waiting)
        parts.append(
            f"at the broker: {', '.join(positions) or 'no positions'}, {working or 'no'} working order"
            f"{'' if working == 1 else 's'}"
        )
    return f"{label(account.environment, account.account)} stopped: {'; '.join(parts)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _equity(connection: Connection, portfolio: Any, venue: Venue) -> str:
    account = connection.account
    if account is None:
        return "no account"
    digits = minor_digits(account.currency)
    if account.equity is not None:
        return f"equity {account.equity:,.{digits}f} {account.currency}"
    sums = portfolio.equity(venue)
    own = [money.as_decimal() for currency, money in sums.items() if currency.code == account.currency]
    if own:
        return f"equity ~{sum(own, Decimal(0)):,.{digits}f} {account.currency}"
    return f"balance {account.balance:,.{digits}f}"
