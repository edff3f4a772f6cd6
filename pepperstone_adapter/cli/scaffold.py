"""Files that `init` and `new-strategy` write: text templates of this folder, and the bundled strategies themselves.

A strategy template is the bundled strategy under another name, so there is no second copy that could rot.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.resources import resource

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class StrategyTemplate:
    """A bundled strategy and its first instruments: one to trade, then what converts its profit."""

    module: str
    class_name: str
    instruments: tuple[str, ...]


STRATEGY_TEMPLATES = {
    "ema": StrategyTemplate("ema_cross", "EmaCross", ("GBPUSD",)),
    "breakout": StrategyTemplate("donchian_breakout", "DonchianBreakout", ("XAUUSD",)),
    "mean-reversion": StrategyTemplate("mean_reversion", "MeanReversion", ("EURGBP", "GBPUSD")),
}


@dataclass(frozen=True, slots=True)
class StrategyName:
    """One name in the three ways it is written: `my-idea`, `my_idea`, `MyIdea`.

    Raises
    ------
    ConfigurationError
        When the text is not words of letters and digits, begins with a digit, or is a word of Python.
    """

    file_name: str
    module: str
    class_name: str

    @classmethod
    def parse(cls, text: str) -> "StrategyName":
        words = [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", text)]
        name = cls("-".join(words), "_".join(words), "".join(word.capitalize() for word in words))
        allowed = re.fullmatch(r"[A-Za-z][A-Za-z0-9_ -]*", text)
        if not allowed or not words or not _free(name.module):
            raise ConfigurationError(f"'{text}' cannot name a strategy; use words such as my-idea or MyIdea")
        return name


def strategy_source(template: StrategyTemplate, name: StrategyName) -> str:
    """The bundled strategy with its classes renamed and its origin told in the first line."""
    text = resource(f"strategies/{template.module}.py").read_text(encoding="utf-8")
    text = re.sub(rf"\b{template.class_name}(Config)?\b", rf"{name.class_name}\1", text)
    return text.replace(
        '"""', f'"""{name.class_name}: begun as a copy of `{template.module}`; make it your own.\n\n', 1
    )


def fill(template: str, **values: str) -> str:
    """A text template of this folder with its `$names` replaced."""
    return Template((_TEMPLATES / template).read_text(encoding="utf-8")).substitute(values)


def _free(module: str) -> bool:
    import keyword
    import sys

    return not keyword.iskeyword(module) and module not in sys.stdlib_module_names
