"""A strategy as settings files name it, in a backtest and live: found when the file is read, built when the run begins.

What a strategy must be derived from is the caller's to say, so nothing here knows the framework.
"""

import re
from decimal import InvalidOperation
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo

from pepperstone_adapter.common.class_path import check_arguments, find_class, load_class, strategy_roots
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.settings import StrictModel


def _strategy_file(value: str, info: ValidationInfo) -> str:
    """`/absolute/file.py:Class`, found inside the folders strategies may come from; nothing is imported."""
    folder = (info.context or {}).get("folder")
    if folder is None:
        return value
    try:
        found = find_class(value, strategy_roots(folder))
    except ConfigurationError as e:
        raise ValueError(str(e)) from e
    return f"{found.file}:{found.class_name}"


class StrategySettings(StrictModel):
    """A strategy class and its configuration.

    `strategy` is `module:Class` or `./file.py:Class`, looked up in the settings' folder, its `strategies/` and the
    project's. `config_class` names the configuration class in the same file; `<Class>Config` when not given. `name`
    tells two instances of one class apart in results.
    """

    strategy: Annotated[str, AfterValidator(_strategy_file), Field(examples=["strategies.ema_cross:EmaCross"])]
    config: dict[str, Any] = Field(default_factory=dict)
    config_class: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,24}$")] | None = None

    def build[S, C](self, base: type[S], config_base: type[C]) -> S:
        """Import the strategy's file and build the strategy, derived from `base`, with its configuration.

        Raises
        ------
        ConfigurationError
            Not derived from `base`, no configuration class, or a configuration it does not accept; with the line of the
            settings file that is to be changed.
        """
        place = find_class(self.strategy, [Path(self.strategy.rpartition(":")[0]).parent])
        config_name = self.config_class or f"{place.class_name}Config"
        values = dict(self.config)
        if self.name is not None:
            values["order_id_tag"] = self.name
        named = f" of '{self.name}'" if self.name else ""
        where = f"{place.file}: {config_name}{named}"
        key = "strategy"
        try:
            cls: Any = load_class(place, base)
            key = "strategy" if self.config_class is None else "config_class"
            config_class = load_class(find_class(f"{place.file}:{config_name}", [place.file.parent]), config_base)
            key = "config"
            check_arguments(config_class, values, where)
            try:
                config = config_class(**values)
                where = f"{place.file}: {place.class_name}{named}"
                built: S = cls(config)
            except Exception as e:  # a user's class may raise anything; a bad value is the usual cause
                raise ConfigurationError(f"{where} refused its config: {_one_line(e)}") from e
        except ConfigurationError as e:
            keys = (key, *self._meant(str(e))) if key == "config" else (key,)
            raise ConfigurationError(f"{self.where(*keys)}{e}") from e
        return built

    def _meant(self, problem: str) -> list[str]:
        """The value of the configuration that a problem names, or quotes; none where there is no one such value."""
        words = re.split(r" \(did you mean |; it takes ", problem.partition(" refused its config: ")[2])[0]
        named = [key for key in self.config if re.search(rf"(?<!\w){re.escape(key)}(?!\w)", words)]
        quoted = [key for key, value in self.config.items() if str(value) and str(value) in words]
        return next((keys for keys in (named, quoted) if len(keys) == 1), [])


def _one_line(error: Exception) -> str:
    if isinstance(error, InvalidOperation):  # its own words are names of Python classes
        return "a value is not a number"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text and isinstance(error, KeyError) else text or type(error).__name__
