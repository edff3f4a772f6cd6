"""The last price of every symbol, and the graph of symbols that turns one currency into another.

A symbol is an edge base -> quote. A rate is the product of mid prices along the shortest path (fewest symbols, then
alphabetical), so a direct pair always wins over a cross through a third currency.
"""

from decimal import Decimal

from pepperstone_adapter.broker.orders import Side
from pepperstone_adapter.sandbox.ledger.refusal import Refusal, Refused
from pepperstone_adapter.sandbox.ledger.terms import SymbolTerms


class Quote:
    """Bid and ask in points; Decimal prices on demand and only once, because most quotes move no order."""

    __slots__ = ("_ask", "_bid", "ask_points", "bid_points", "digits", "ts_ns")

    def __init__(self, bid_points: int, ask_points: int, digits: int, ts_ns: int) -> None:
        self.bid_points = bid_points
        self.ask_points = ask_points
        self.digits = digits
        self.ts_ns = ts_ns
        self._bid: Decimal | None = None
        self._ask: Decimal | None = None

    @property
    def bid(self) -> Decimal:
        if self._bid is None:
            self._bid = Decimal(self.bid_points).scaleb(-self.digits)
        return self._bid

    @property
    def ask(self) -> Decimal:
        if self._ask is None:
            self._ask = Decimal(self.ask_points).scaleb(-self.digits)
        return self._ask

    @property
    def mid(self) -> Decimal:
        return (self.bid + self.ask) / 2

    def opening(self, side: Side) -> Decimal:
        """What an order of `side` trades at."""
        return self.ask if side is Side.BUY else self.bid


class Quotes:
    def __init__(self, symbols: dict[str, SymbolTerms]) -> None:
        self._symbols = symbols
        self._last: dict[str, Quote] = {}
        self._paths: dict[tuple[str, str], tuple[tuple[str, bool], ...] | None] = {}

    def set(self, symbol: str, bid_points: int, ask_points: int, ts_ns: int) -> Quote:
        quote = Quote(bid_points, ask_points, self._symbols[symbol].spec.digits, ts_ns)
        self._last[symbol] = quote
        return quote

    def last(self, symbol: str) -> Quote | None:
        return self._last.get(symbol)

    def need(self, symbol: str) -> Quote:
        quote = self._last.get(symbol)
        if quote is None:
            raise Refused(Refusal.NO_QUOTES, f"no price for {symbol}")
        return quote

    def rate(self, source: str, target: str) -> Decimal:
        """Units of `target` for one unit of `source`. Raises `Refused` (NO_QUOTES) when no priced path exists."""
        result = Decimal(1)
        for symbol, forward in self.path(source, target):
            mid = self.need(symbol).mid
            result = result * mid if forward else result / mid
        return result

    def path(self, source: str, target: str) -> tuple[tuple[str, bool], ...]:
        """Symbols to walk from `source` to `target`, each with True for base -> quote."""
        if source == target:
            return ()
        key = (source, target)
        if key not in self._paths:
            self._paths[key] = self._search(source, target)
        path = self._paths[key]
        if path is None:
            raise Refused(Refusal.NO_QUOTES, f"no symbols lead from {source} to {target}")
        return path

    def _search(self, source: str, target: str) -> tuple[tuple[str, bool], ...] | None:
        edges: dict[str, list[tuple[str, bool, str]]] = {}
        for name in sorted(self._symbols):
            spec = self._symbols[name].spec
            edges.setdefault(spec.base_currency, []).append((name, True, spec.quote_currency))
            edges.setdefault(spec.quote_currency, []).append((name, False, spec.base_currency))
        frontier: list[tuple[str, tuple[tuple[str, bool], ...]]] = [(source, ())]
        seen = {source}
        while frontier:
            following: list[tuple[str, tuple[tuple[str, bool], ...]]] = []
            for currency, walked in frontier:
                for name, forward, reached in edges.get(currency, ()):
                    if reached in seen:
                        continue
                    path = (*walked, (name, forward))
                    if reached == target:
                        return path
                    seen.add(reached)
                    following.append((reached, path))
            frontier = following
        return None
