"""An independent ledger: a double-entry book in Decimal that knows no framework and none of the simulation's code.

It is given what an outsider has: the fills, the swap table, the commission and the prices at the rollovers. It keeps its
own tickets, works out profit, commission and swap, and posts each to two accounts, so that the book always balances to
zero. `Ledger.balance` is what the run's account should say.

The rules it follows are written down here again on purpose:

* profit of a close = (closing price - average opening price) × units × sign, rounded to the quote currency's minor unit,
  times the fill's conversion rate, rounded to cents;
* profit of a symbol quoted in another currency costs the conversion fee: a percentage of the booked amount, gain or loss,
  however the position was closed;
* what a client without positions owes is given back;
* a night is booked at 17:00 New York of Monday to Friday, three times on the triple day, for every ticket then open,
  units × points × point, converted and rounded per ticket.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

CENT = Decimal("0.01")


def rollovers(first_ns: int, last_ns: int) -> list[tuple[int, date]]:
    """17:00 New York of each weekday within two times, as UTC nanoseconds and the day."""
    zone = ZoneInfo("America/New_York")
    day = datetime.fromtimestamp(first_ns // 10**9, zone).date() - timedelta(days=1)
    out = []
    while True:
        day += timedelta(days=1)
        ts = int(datetime(day.year, day.month, day.day, 17, tzinfo=zone).timestamp()) * 10**9
        if ts > last_ns:
            return out
        if ts > first_ns and day.weekday() < 5:
            out.append((ts, day))


@dataclass(slots=True)
class Lot:
    symbol: str
    sign: int
    units: Decimal
    cost: Decimal


@dataclass(slots=True)
class Fill:
    """One line of fills.csv, as far as money needs it."""

    ts_ns: int
    position_id: str
    symbol: str
    side: str
    units: Decimal
    price: Decimal
    rate: Decimal
    commission: Decimal
    inside_bar: bool = False  # a resting order or a stop-out, met before its bar's end


@dataclass(slots=True)
class Ledger:
    """The book of one account.

    Attributes
    ----------
    minor
        Minor unit of each symbol's quote currency.
    swap
        Symbol -> (points long, points short, point, triple weekday).
    foreign, conversion_percent
        Symbols whose profit is converted, and the fee on it.
    cent
        Minor unit of the account currency.
    """

    start: Decimal
    minor: Mapping[str, Decimal]
    swap: Mapping[str, tuple[Decimal, Decimal, Decimal, int]] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    conversion_percent: Decimal = Decimal(0)
    cent: Decimal = CENT
    lots: dict[str, Lot] = field(default_factory=dict)
    accounts: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    history: list[tuple[int, str, Decimal]] = field(default_factory=list)
    exact: list[Decimal] = field(default_factory=list)  # of each profit, in order, unrounded
    slack: list[Decimal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._post(0, "capital", self.start)

    @property
    def balance(self) -> Decimal:
        return self.accounts["cash"]

    def check(self) -> None:
        assert sum(self.accounts.values()) == 0, "the book does not balance"

    def _post(self, ts_ns: int, other: str, amount: Decimal) -> None:
        self.accounts["cash"] += amount
        self.accounts[other] -= amount
        self.history.append((ts_ns, other, amount))

    def fill(self, fill: Fill) -> None:
        sign = 1 if fill.side == "BUY" else -1
        lot = self.lots.get(fill.position_id)
        units = fill.units
        if lot is not None and lot.sign != sign:
            closed = min(units, lot.units)
            average = lot.cost / lot.units
            exact = (fill.price - average) * closed * lot.sign
            quote = exact.quantize(self.minor[fill.symbol], ROUND_HALF_UP)
            profit = (quote * fill.rate).quantize(self.cent, ROUND_HALF_UP)
            self._post(fill.ts_ns, "profit", profit)
            if fill.symbol in self.foreign:
                fee = (abs(profit) * self.conversion_percent / 100).quantize(self.cent, ROUND_HALF_UP)
                if fee:
                    self._post(fill.ts_ns, "conversion", -fee)
            # Two roundings lie between the exact profit and cents; a tie (an average price ends in half a point) may
            # fall either way.
            self.slack.append(self.cent / 2 + self.minor[fill.symbol] / 2 * fill.rate + Decimal("1e-9"))
            self.exact.append(exact * fill.rate)
            lot.cost -= average * closed
            lot.units -= closed
            units -= closed
            if not lot.units:
                del self.lots[fill.position_id]
                lot = None
        if units:
            if lot is None:
                lot = self.lots[fill.position_id] = Lot(fill.symbol, sign, Decimal(0), Decimal(0))
            lot.units += units
            lot.cost += units * fill.price
        if fill.commission:
            self._post(fill.ts_ns, "commission", -fill.commission)
        if not self.lots and self.balance < 0:
            self._post(fill.ts_ns, "adjustment", -self.balance)

    def night(self, ts_ns: int, day: date, rates: Mapping[str, Decimal]) -> None:
        """Book one rollover; `rates` convert each symbol's quote currency."""
        for lot in self.lots.values():
            if lot.symbol not in self.swap:
                continue
            long, short, point, triple = self.swap[lot.symbol]
            nights = 3 if day.weekday() == triple else 1
            amount = lot.units * (long if lot.sign > 0 else short) * point * nights * rates[lot.symbol]
            if cents := amount.quantize(self.cent, ROUND_HALF_UP):
                self._post(ts_ns, "swap", cents)


def recompute(
    ledger: Ledger,
    fills: Iterable[Fill],
    nights: Iterable[tuple[int, date]],
    rates: Mapping[int, Mapping[str, Decimal]],
) -> Ledger:
    """Run fills and rollovers through a ledger in time order.

    At the very rollover resting orders and stop-outs come first (they were met inside the bar that ends then), orders
    sent then last, and what became of those after them.
    """
    events: list[tuple[int, int, int, object]] = [(ts, 1, 0, (ts, day)) for ts, day in nights]
    sent_ns = -1  # the last time at which an order was sent
    for i, fill in enumerate(fills):
        sent_ns = sent_ns if fill.inside_bar else fill.ts_ns
        events.append((fill.ts_ns, 2 if fill.ts_ns == sent_ns else 0, i, fill))
    for _, _, _, event in sorted(events, key=lambda e: e[:3]):
        if isinstance(event, Fill):
            ledger.fill(event)
        else:
            ts, day = event  # type: ignore[misc]
            ledger.night(ts, day, rates[ts])
        ledger.check()
    return ledger
