"""Conversion between currencies at the market, and which symbols that takes.

A rate has a side: money that is received is sold at the other currency's BID, money that is owed is bought at its ASK.
The framework converts profit at the BID rate when the closing fill is a sale and at the ASK rate when it is a purchase;
fills carry the rate it used. Swaps and margin are converted at the middle.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from pepperstone_adapter.broker.symbols import AssetClass, SymbolSpec
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.simulation.plan import AccountTerms
from pepperstone_adapter.simulation.tape import Tape

ONE = Decimal(1)
_VIA = ("USD", "EUR", "GBP")

type Leg = tuple[str, bool]  # symbol, and whether it is quoted the other way round


def path(specs: Iterable[SymbolSpec], source: str, target: str) -> tuple[Leg, ...] | None:
    """Symbols that lead from one currency to another, at most two; None when there is no way."""
    if source == target:
        return ()
    pairs = {(s.base_currency, s.quote_currency): s.name for s in specs if s.asset_class is AssetClass.FX}
    direct = _leg(pairs, source, target)
    if direct:
        return (direct,)
    middles = dict.fromkeys((*_VIA, *(c for pair in pairs for c in pair)))
    for middle in middles:
        first, second = _leg(pairs, source, middle), _leg(pairs, middle, target)
        if first and second:
            return (first, second)
    return None


def _leg(pairs: Mapping[tuple[str, str], str], source: str, target: str) -> Leg | None:
    if (source, target) in pairs:
        return pairs[source, target], False
    if (target, source) in pairs:
        return pairs[target, source], True
    return None


def conversions(spec: SymbolSpec, terms: AccountTerms, currency: str) -> set[tuple[str, str]]:
    """``(from, to)`` currencies that trading a symbol takes, on an account of a currency."""
    needed = {(spec.quote_currency, currency)}
    if terms.leverage.get(spec.name):
        needed.add((spec.quote_currency, "USD"))
    rule = terms.commissions.get(spec.name)
    if rule is not None and rule.rate:
        needed |= {(rule.currency, currency), (spec.quote_currency, rule.currency)}
    return needed


def require_paths(specs: Iterable[SymbolSpec], needed: Iterable[tuple[str, str]], known: Iterable[SymbolSpec]) -> None:
    """Raise when a conversion the run will need has no symbols.

    Parameters
    ----------
    needed
        ``(from, to)`` currencies.
    known
        Symbols that could be added, to name them in the error.

    Raises
    ------
    ConfigurationError
    """
    have, table = list(specs), list(known)
    for source, target in needed:
        if path(have, source, target) is None:
            ways = path([*have, *table], source, target)
            names = [leg[0] for leg in ways or () if leg[0] not in {s.name for s in have}]
            hint = f"add {' and '.join(names)} to the instruments" if names else "no known symbols convert it"
            raise ConfigurationError(f"no way to convert {source} to {target} with the data of this run; {hint}")


class Rates:
    """Conversion rates from the tapes of a run."""

    def __init__(self, tapes: Mapping[str, Tape]) -> None:
        self._tapes = tapes
        self._paths: dict[tuple[str, str], tuple[Leg, ...]] = {}

    def mid(self, source: str, target: str, ts_ns: int) -> Decimal:
        """How much of `target` one unit of `source` is worth at the middle of the market.

        Raises
        ------
        LookupError
            The data has not begun for a symbol on the way.
        """
        if source == target:
            return ONE
        rate = ONE
        for name, inverse in self._path(source, target):
            quote = self._tapes[name].quote(ts_ns)
            if quote is None:
                raise LookupError(f"no price of {name} yet to convert {source} to {target}")
            mid = (quote[0] + quote[1]) / 2
            rate = rate / mid if inverse else rate * mid
        return rate

    def missing(self, pairs: Iterable[tuple[str, str]], ts_ns: int) -> str | None:
        """Which symbol has no price yet for one of the conversions ``(from, to)``, in words; None when all have."""
        for source, target in sorted(pairs):
            for name, _ in self._path(source, target) if source != target else ():
                if self._tapes[name].index(ts_ns) < 0:
                    return f"no price of {name} yet to convert {source} to {target}"
        return None

    def legs(self, source: str, target: str) -> tuple[Leg, ...]:
        """The symbols of a conversion."""
        return self._path(source, target)

    def _path(self, source: str, target: str) -> tuple[Leg, ...]:
        key = (source, target)
        if key not in self._paths:
            found = path((t.spec for t in self._tapes.values()), source, target)
            if found is None:
                raise ConfigurationError(f"no way to convert {source} to {target} with the data of this run")
            self._paths[key] = found
        return self._paths[key]
