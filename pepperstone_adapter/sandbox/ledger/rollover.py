"""Server midnight: 17:00 New York. A position held over it is charged or paid one night's swap (three on one weekday).

The instant follows New York's clock through DST: 22:00 UTC in winter, 21:00 in summer.
"""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pepperstone_adapter.sandbox.ledger.events import EventKind
from pepperstone_adapter.sandbox.ledger.money import cents, nights, swap_for_night
from pepperstone_adapter.sandbox.ledger.state import State

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


def accrue(state: State, rollover_ns: int) -> None:
    """Add the night's swap to every open position. It stays with the position until a deal closes it."""
    weekday = weekday_of(rollover_ns)
    for account in state.accounts.values():
        if account.terms.swap_free:
            continue
        for position in account.positions.values():
            terms = state.symbols[position.symbol]
            count = nights(terms.spec, weekday)
            if not count:
                continue
            price = state.quotes.need(position.symbol).opening(position.side.opposite)
            night = swap_for_night(
                terms.spec, position.side, position.units, price, state.quotes.rate, account.terms.currency
            )
            amount = cents(night * count, account.terms.money_digits)
            if amount:
                position.swap += amount
                state.emit(EventKind.SWAP, account.account_id, rollover_ns, position=position, by_server=True)
