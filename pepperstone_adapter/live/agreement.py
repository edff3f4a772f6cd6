"""Whether the framework holds what the broker holds.

Everything else sees to it that each deal is told once. This looks at the end of it: a deal that was lost all the same, or
that the framework did not take (it drops one that its rules forbid, and says so in its own log), leaves a position that
differs for good. A strategy then trades on one that is not there; so no new risk is taken until a person has looked.
Nothing is corrected here: an invented fill would be one more mistake.

The framework applies what it is told a moment later, and lists lag: a difference counts when it has stayed the same for
`DIFFERS_S`. Hedging accounts are compared ticket by ticket, netting accounts by the net of each symbol.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any

from nautilus_trader.model import Venue

from pepperstone_adapter.broker.session import BrokerSnapshot
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.live.emissions import Warn

DIFFERS_S = 30.0

type Key = tuple[str, str]  # symbol, and ticket on a hedging account
type Units = dict[Key, Decimal]


class Agreement:
    """Compares one account's snapshots with the framework's `cache`.

    Parameters
    ----------
    specs
        Of the symbols the framework has instruments of; it cannot hold others.
    clock_s
        Measures how long something differs.
    """

    def __init__(
        self,
        cache: Any,
        venue: Venue,
        netting: bool,
        specs: Mapping[str, SymbolSpec],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._venue = venue
        self._netting = netting
        self._specs = specs
        self._clock_s = clock_s
        self._since: dict[tuple[Key, Decimal, Decimal], float] = {}
        self._told: set[Key] = set()
        self.patience_s = DIFFERS_S

    def check(self, snapshot: BrokerSnapshot, newer: Collection[str | None] = ()) -> list[Warn]:
        """What has differed for too long, each position once. Of symbols and tickets of which there was `newer` news than
        the snapshot nothing can be said this time: where always something goes on they would differ at each look."""
        theirs, ours, now_s = self._at_the_broker(snapshot), self._in_the_framework(), self._clock_s()
        unsaid = {pair: since_s for pair, since_s in self._since.items() if _name(pair[0]) in newer}
        keys = [key for key in theirs.keys() | ours.keys() if _name(key) not in newer]
        pairs = [(key, theirs.get(key, Decimal(0)), ours.get(key, Decimal(0))) for key in keys]
        self._since = {pair: self._since.get(pair, now_s) for pair in pairs if self._differs(*pair)}
        out = []
        for (key, there, here), since_s in self._since.items():
            if now_s - since_s >= self.patience_s and key not in self._told:
                self._told.add(key)
                name = " ".join(filter(None, key))
                text = (
                    f"position {name} is {there.normalize():f} at the broker and {here.normalize():f} in the framework"
                )
                out.append(Warn(f"{text}: a deal was not told or not taken", halt=True))
        self._since |= unsaid
        return out

    def wait(self) -> None:
        """Begin anew: something is open that may explain what differs."""
        self._since.clear()

    def _differs(self, key: Key, there: Decimal, here: Decimal) -> bool:
        """By what can be traded: the framework rounds the odd volume of a position that is older than the step."""
        spec = self._specs.get(key[0])
        return spec is not None and abs(there - here) >= spec.volume_step

    def _at_the_broker(self, snapshot: BrokerSnapshot) -> Units:
        return self._sums((p.symbol, p.position_id, p.units * p.side.sign) for p in snapshot.positions)

    def _in_the_framework(self) -> Units:
        held = self._cache.positions_open(self._venue)
        return self._sums(
            (p.instrument_id.symbol.value, str(p.id), p.quantity.as_decimal() * (1 if p.is_long else -1)) for p in held
        )

    def _sums(self, parts: Iterable[tuple[str, str, Decimal]]) -> Units:
        out: Units = {}
        for symbol, ticket, units in parts:
            key = (symbol, "") if self._netting else (symbol, ticket)
            out[key] = out.get(key, Decimal(0)) + units
        return out


def _name(key: Key) -> str:
    """What news of it names: the ticket, or the symbol of a netting account's position."""
    return key[1] or key[0]
