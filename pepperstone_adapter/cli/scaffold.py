"""Files that `init` and `new-strategy` write: text templates of this folder, and the bundled strategies themselves.

A strategy template is the bundled strategy under another name, so there is no second copy that could rot.
"""

import importlib.util
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.resources import resource

_TEMPLATES = Path(__file__).parent / "templates"
_PYTHON = "python"


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
        if not allowed or not words or not _free(name.module, name.class_name):
            raise ConfigurationError(f"'{text}' cannot name a strategy; use words such as my-idea or MyIdea")
        return name


def strategy_source(template: StrategyTemplate, name: StrategyName) -> str:
    """The bundled strategy with its classes renamed and its origin told in the first line.

    Raises
    ------
    ConfigurationError
        One of the new classes would take the place of something that the strategy uses.
    """
    text = resource(f"strategies/{template.module}.py").read_text(encoding="utf-8")
    if re.search(rf"\b{name.class_name}(Config)?\b", text):
        raise ConfigurationError(
            f"'{name.class_name}' is a name that the template itself uses; choose another, such as my-{name.file_name}"
        )
    text = re.sub(rf"\b{template.class_name}(Config)?\b", rf"{name.class_name}\1", text)
    return text.replace(
        '"""', f'"""{name.class_name}: begun as a copy of `{template.module}`; make it your own.\n\n', 1
    )


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def fill(template: str, **values: str) -> str:
    """A text template of this folder with its `$names` replaced."""
    return Template((_TEMPLATES / template).read_text(encoding="utf-8")).substitute(values)


def python() -> str:
    """What to type for the Python this runs in, the one that has the framework: `./run` has it in a folder of its own."""
    found, own = shutil.which(_PYTHON), Path(sys.executable)
    if found is not None and Path(found).absolute().parent == own.parent and own.samefile(found):
        return _PYTHON  # own may be python3.13
    return f'"{own}"' if " " in str(own) else str(own)


def commands_of_tests(tests: str = "", *, installed: Callable[[str], bool] = _is_installed) -> list[str]:
    """What to type to run the tests of a project; where there is no pytest yet, first how to install it."""
    own = python()
    commands = [f"{own} -m pytest {tests}".rstrip()]
    if not installed("pytest"):
        # An environment that uv made has no pip; uv itself finds the one that is active or of this project.
        uv = "uv pip install" if own == _PYTHON else f"uv pip install --python {own}"
        commands.insert(0, f"{f'{own} -m pip install' if installed('pip') else uv} pytest")
    return commands


def _free(*names: str) -> bool:
    import keyword

    return not any(keyword.iskeyword(name) or name in sys.stdlib_module_names for name in names)
