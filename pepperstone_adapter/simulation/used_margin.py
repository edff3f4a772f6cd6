"""The margin in use: of what the books hold, and how much more orders would take. The rules are `margin`'s."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.simulation.books import LONG, SHORT, ZERO, Books, Held
from pepperstone_adapter.simulation.grid import Grid
from pepperstone_adapter.simulation.margin import Side, symbol_margin, tiered_margin
from pepperstone_adapter.simulation.plan import AccountTerms
from pepperstone_adapter.simulation.tape import Tape

type Added = Mapping[tuple[str, int], Decimal]  # symbol and side -> units more, or less


class UsedMargin:
    """Margin of one account, in its currency."""

    def __init__(
        self,
        specs: Mapping[str, SymbolSpec],
        tapes: Mapping[str, Tape],
        books: Books,
        grids: Mapping[str, Grid],
        terms: AccountTerms,
        rate: Callable[[str, str, int], Decimal],
    ) -> None:
        self._specs = specs
        self._tapes = tapes
        self._books = books
        self._grids = grids
        self._terms = terms
        self._rate = rate
        self._known = dict.fromkeys(specs, ZERO)

    @property
    def now(self) -> Decimal:
        """In use by what is held."""
        moved, held = self._books.moved, self._books.held
        while moved:
            name = moved.pop()
            self._known[name] = self.of(name, held[name, LONG][-1], held[name, SHORT][-1])
        return sum(self._known.values(), ZERO)

    @property
    def both_sides(self) -> Decimal:
        """In use if no hedge saved any."""
        total = ZERO
        for (name, _), history in self._books.held.items():
            tiers = self._terms.leverage.get(name)
            if tiers and history[-1].steps:
                side = self._side(name, history[-1])
                total += tiered_margin(side.notional, side.notional_usd, tiers)
        return total

    def of(self, symbol: str, long: Held, short: Held) -> Decimal:
        """In use by both sides of a symbol."""
        tiers = self._terms.leverage.get(symbol)
        if not tiers:
            return ZERO
        return symbol_margin(self._side(symbol, long), self._side(symbol, short), tiers, self._terms.hedged_margin)

    def with_more(self, added: Added, ts_ns: int) -> Decimal:
        """What would be in use with some units more or less, at the market of a time."""
        used = self.now
        for name in dict.fromkeys(name for name, _ in added):
            tiers, quote = self._terms.leverage.get(name), self._tapes[name].quote(ts_ns)
            if tiers and quote is not None:
                long = self._changed(name, LONG, added.get((name, LONG), ZERO), quote[1], ts_ns)
                short = self._changed(name, SHORT, added.get((name, SHORT), ZERO), quote[0], ts_ns)
                used += symbol_margin(long, short, tiers, self._terms.hedged_margin) - self._known[name]
        return used

    def _changed(self, name: str, sign: int, units: Decimal, price: Decimal, ts_ns: int) -> Side:
        side, currency = self._side(name, self._books.held[name, sign][-1]), self._specs[name].quote_currency
        if units > 0:
            side.units += units
            side.notional += units * price * self._rate(currency, self._books.currency, ts_ns)
            side.notional_usd += units * price * self._rate(currency, "USD", ts_ns)
        elif side.units:
            left = max(ZERO, side.units + units) / side.units
            side = Side(side.units * left, side.notional * left, side.notional_usd * left)
        return side

    def _side(self, symbol: str, held: Held) -> Side:
        if not held.steps:
            return Side()
        grid = self._grids[symbol]
        return Side(grid.units(held.steps), grid.value(held.notional), grid.value(held.notional_usd))
