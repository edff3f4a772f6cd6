"""What must hold of the books at any moment, recomputed from deals and cash alone."""

from decimal import Decimal

from pepperstone_adapter.sandbox.ledger.ledger import Ledger
from pepperstone_adapter.sandbox.ledger.state import Account


def violations(ledger: Ledger) -> list[str]:
    """Every broken invariant in words; empty when the books are sound.

    * balance = opening balance + what deals and cash did to it, step by step, versions rising by one;
    * signed units of deals = signed units of open positions, ticket by ticket, and the same for the opening price;
    * what deals charged and did not book = what positions still carry, so equity misses nothing;
    * nobody fills more than was ordered; a working order is not ended; ids rise.
    """
    found: list[str] = []
    for account in ledger.accounts.values():
        found += _balance(account) + _volumes(account) + _prices(account) + _charges(account) + _orders(account)
    found += _sequence(ledger)
    return found


def _balance(account: Account) -> list[str]:
    found: list[str] = []
    steps = [
        (d.balance_version, d.net, d.balance, f"deal {d.deal_id}") for d in account.deals if d.closed_units or d.net
    ]
    steps += [(c.balance_version, c.amount, c.balance, f"cash {c.cash_id}") for c in account.cash]
    balance = account.terms.opening_balance
    for expected, (version, amount, after, name) in enumerate(sorted(steps), start=1):
        balance += amount
        if version != expected:
            found.append(f"account {account.account_id}: {name} has balance version {version}, expected {expected}")
        if after != balance:
            found.append(f"account {account.account_id}: balance after {name} is {after}, sum says {balance}")
    if account.balance != balance:
        found.append(f"account {account.account_id}: balance {account.balance}, sum says {balance}")
    return found


def _volumes(account: Account) -> list[str]:
    found: list[str] = []
    signed: dict[int, Decimal] = {}
    for deal in account.deals:
        signed[deal.position_id] = signed.get(deal.position_id, Decimal(0)) + deal.side.sign * deal.units
    for position_id, units in signed.items():
        position = account.positions.get(position_id)
        held = position.side.sign * position.units if position is not None else Decimal(0)
        if held != units:
            found.append(f"account {account.account_id}: position {position_id} holds {held}, deals say {units}")
    found += [
        f"account {account.account_id}: position {p} is open without a deal"
        for p in account.positions
        if p not in signed
    ]
    return found


def _prices(account: Account) -> list[str]:
    """Opening prices as the volume-weighted deals since a ticket was last flat or turned over."""
    found: list[str] = []
    for position in account.positions.values():
        units = value = Decimal(0)
        for deal in (d for d in account.deals if d.position_id == position.position_id):
            opened = deal.units - deal.closed_units
            if deal.closed_units:
                value -= deal.closed_units * (value / units)
                units -= deal.closed_units
            if opened:
                value += opened * deal.price
                units += opened
        if abs(value - units * position.open_price) > Decimal("1e-9") * max(units, Decimal(1)):
            found.append(f"position {position.position_id}: opened at {position.open_price}, deals say {value / units}")
    return found


def _charges(account: Account) -> list[str]:
    charged = sum((deal.commission for deal in account.deals), Decimal(0))
    booked = sum((deal.booked_commission for deal in account.deals), Decimal(0))
    kept = sum((position.commission for position in account.positions.values()), Decimal(0))
    if charged != booked + kept:
        return [f"account {account.account_id}: charged {charged}, booked {booked}, kept {kept}"]
    return []


def _orders(account: Account) -> list[str]:
    found: list[str] = []
    filled: dict[int, Decimal] = {}
    for deal in account.deals:
        filled[deal.order_id] = filled.get(deal.order_id, Decimal(0)) + deal.units
    for order in account.orders.values():
        # A close-by fills once on each of its two positions.
        done = filled.get(order.order_id, Decimal(0)) / (2 if order.counter_position_id else 1)
        if done != order.filled_units or done > order.units:
            found.append(f"order {order.order_id}: filled {order.filled_units} of {order.units}, deals say {done}")
        if order.status.is_open != (order.order_id in account.working):
            found.append(f"order {order.order_id} is {order.status} and working is {order.order_id in account.working}")
    for position in account.positions.values():
        order_id = position.protection_order_id
        if order_id and account.working[order_id].units != position.units + account.working[order_id].filled_units:
            found.append(f"position {position.position_id}: protective order for {account.working[order_id].units}")
    return found


def _sequence(ledger: Ledger) -> list[str]:
    first = ledger.events[0].seq if ledger.events else 1
    found = [f"event {i} carries number {e.seq}" for i, e in enumerate(ledger.events, start=first) if e.seq != i]
    stamps = [event.ts_ns for event in ledger.events]
    if stamps != sorted(stamps):
        found.append("events are not in order of time")
    for account in ledger.accounts.values():
        ids = [deal.deal_id for deal in account.deals]
        if ids != sorted(set(ids)):
            found.append(f"account {account.account_id}: deal ids do not rise")
    return found
