"""The broker's names of the symbols a user wrote without the entity's suffix (``EURUSD`` for ``EURUSD.a``).

Never a guess: an exact name wins, else the only symbol that is the name with a suffix, else the candidates are listed
and a person chooses. The session's inside knows the user's names only; rows and requests are translated at its edge.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pepperstone_adapter.common.errors import ConfigurationError

SEPARATORS = ".-_#+"


def resolve(wanted: str, names: Iterable[str]) -> str | None:
    """The broker's name for `wanted`; None when there is nothing like it.

    Raises
    ------
    ConfigurationError
        Several symbols are `wanted` with a suffix.
    """
    found = []
    for name in names:
        if name == wanted:
            return name
        rest = name.removeprefix(wanted)
        if rest != name and (rest[0] in SEPARATORS or rest.islower()):
            found.append(name)
    if len(found) > 1:
        raise ConfigurationError(f"symbol {wanted}: the broker has {', '.join(sorted(found))}; write the one you mean")
    return found[0] if found else None


class Aliases:
    """Translates names both ways; a name without an alias stays as it is."""

    def __init__(self) -> None:
        self._theirs: dict[str, str] = {}
        self._ours: dict[str, str] = {}

    def learn(self, wanted: Iterable[str], names: Sequence[str]) -> None:
        """Find the broker's name of every wanted symbol. Raises `ConfigurationError` for an ambiguous one."""
        for ours in wanted:
            theirs = resolve(ours, names)
            if theirs is not None and theirs != ours:
                self._theirs[ours], self._ours[theirs] = theirs, ours

    def theirs(self, ours: str) -> str:
        return self._theirs.get(ours, ours)

    def outbound(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """Arguments of a call: a symbol is a text of its own or the field ``symbol`` of a map."""
        if not self._theirs:
            return tuple(args)
        return tuple(self._out(value) for value in args)

    def _out(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.theirs(value)
        if isinstance(value, dict) and isinstance(value.get("symbol"), str):
            return {**value, "symbol": self.theirs(value["symbol"])}
        return value

    def inbound(self, value: Any) -> Any:
        """A row or a list of rows with our names in ``symbol`` and, for symbols, in ``name``."""
        if not self._ours:
            return value
        if isinstance(value, list):
            return [self.inbound(item) for item in value]
        if isinstance(value, Mapping):
            out = dict(value)
            for field in ("symbol", "name"):
                if out.get(field) in self._ours:
                    out[field] = self._ours[out[field]]
            for field in ("rows", "orders"):
                if isinstance(out.get(field), list):
                    out[field] = self.inbound(out[field])
            return out
        return value
