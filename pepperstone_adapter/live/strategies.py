"""Strategies of a settings file as objects, and which instruments each of them works on."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nautilus_trader.model import InstrumentId
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.common.class_path import check_arguments, find_class, load_class
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.live.settings import StrategySettings


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


def load_strategies(
    settings: Sequence[StrategySettings], venues: Iterable[str]
) -> tuple[list[LoadedStrategy], list[str]]:
    """Import and build every strategy; the texts are warnings for a person.

    Raises
    ------
    ConfigurationError
        Not a framework strategy, or a configuration it does not accept.
    """
    known = tuple(venues)
    loaded = [
        LoadedStrategy(s.name or s.strategy.rpartition(":")[2], _build(s), _instruments(s.config, known))
        for s in settings
    ]
    users = Counter(i for one in loaded for i in one.instruments)
    warnings: list[str] = []
    for one, s in zip(loaded, settings, strict=True):
        one.claims = tuple(i for i in one.instruments if s.claim and users[i] == 1)
        shared = [str(i) for i in one.instruments if s.claim and users[i] > 1]
        if shared:
            warnings.append(
                f"{one.name}: {', '.join(shared)} is traded by several strategies, so positions of an earlier run stay "
                "EXTERNAL there (the framework cannot tell whose they were)"
            )
    return loaded, warnings


def _build(settings: StrategySettings) -> Strategy:
    place = find_class(settings.strategy, [Path(settings.strategy.rpartition(":")[0]).parent])
    cls = load_class(place, Strategy)
    config_name = settings.config_class or f"{place.class_name}Config"
    config_class = load_class(find_class(f"{place.file}:{config_name}", [place.file.parent]), StrategyConfig)
    values = dict(settings.config)
    if settings.name is not None:
        values["order_id_tag"] = settings.name
    check_arguments(config_class, values, f"{place.file}: {config_name}")
    try:
        return cls(config_class(**values))
    except Exception as e:  # a user's class may raise anything; a bad value is the usual cause
        raise ConfigurationError(f"{place.file}: {config_name} refused its config: {e}") from e


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
