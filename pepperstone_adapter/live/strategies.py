"""Strategies of a settings file as objects, and which instruments each of them works on."""

import re
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nautilus_trader.model import InstrumentId
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.common.errors import PepperstoneError
from pepperstone_adapter.live.settings import LiveStrategySettings


@dataclass(slots=True)
class LoadedStrategy:
    """A strategy ready to run.

    Attributes
    ----------
    instruments
        Those its configuration names (ids and bar types).
    claims
        Those whose positions and orders of an earlier run it gets back.
    """

    name: str
    strategy: Strategy
    instruments: tuple[InstrumentId, ...]
    claims: tuple[InstrumentId, ...] = ()


def strategy_of(settings: LiveStrategySettings) -> Strategy:
    """The strategy with its configuration.

    Raises
    ------
    ConfigurationError
        Not a framework strategy, or a configuration it does not accept.
    """
    return settings.build(Strategy, StrategyConfig)


def stopping_alone(strategy: Strategy) -> Strategy:
    """The same strategy, whose `on_stop` may raise what it likes: it is logged.

    The framework stops strategies one after the other, and none after the first exception; those would keep the
    positions that they close at their stop.
    """
    inner = strategy.on_stop

    def on_stop() -> None:
        try:
            inner()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the others must hear of the stop
            place = traceback.extract_tb(error.__traceback__)[-1]
            words = " ".join(str(error).split())
            strategy.log.error(
                f"on_stop raised {type(error).__name__}: {words} ({Path(place.filename).name}:{place.lineno})"
            )

    strategy.on_stop = on_stop  # type: ignore[method-assign]
    return strategy


def start_failure(error: BaseException) -> PepperstoneError | None:
    """A strategy's exception at its start, as one line; the framework gives the whole traceback. None for other errors."""
    text = str(error)
    if "Python on_start failed" not in text:
        return None
    places = re.findall(r'File "(?:[^"]*[/\\])?([^"]+)", line (\d+)', text)
    words = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    return PepperstoneError(f"a strategy could not start: {words}" + (" ({}:{})".format(*places[-1]) if places else ""))


def load_strategies(
    settings: Sequence[LiveStrategySettings], venues: Iterable[str]
) -> tuple[list[LoadedStrategy], list[str]]:
    """Import and build every strategy; the texts are warnings for a person.

    Raises
    ------
    ConfigurationError
        Not a framework strategy, or a configuration it does not accept.
    """
    known = tuple(venues)
    loaded = [
        LoadedStrategy(s.name or s.strategy.rpartition(":")[2], strategy_of(s), _instruments(s.config, known))
        for s in settings
    ]
    users = Counter(i for one in loaded for i in one.instruments)
    warnings: list[str] = []
    for one, s in zip(loaded, settings, strict=True):
        one.claims = tuple(i for i in one.instruments if s.claim and users[i] == 1)
        if s.claim and not one.instruments:
            warnings.append(
                f"{one.name}: its config names no instrument of this node (as EURUSD.{known[0]}), so positions and orders of "
                "an earlier run stay EXTERNAL, and it does not see them as its own; name what it trades, or set claim: false"
            )
        shared = [str(i) for i in one.instruments if s.claim and users[i] > 1]
        if shared:
            warnings.append(
                f"{one.name}: {', '.join(shared)} is traded by several strategies, so positions of an earlier run stay "
                "EXTERNAL there (the framework cannot tell whose they were)"
            )
    return loaded, warnings


def _instruments(value: Any, venues: tuple[str, ...]) -> tuple[InstrumentId, ...]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return tuple(dict.fromkeys(i for part in value for i in _instruments(part, venues)))
    if not isinstance(value, str):
        return ()
    for venue in venues:
        symbol, dot, rest = value.partition(f".{venue}")
        if dot and symbol and (not rest or rest.startswith("-")):
            return (InstrumentId.from_str(f"{symbol}.{venue}"),)
    return ()
