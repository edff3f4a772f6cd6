"""Turn `module:Class` or `./file.py:Class` from a settings file into a class, and run nothing else.

A settings file that names code is code. So a path is looked up only inside given root folders, as a file, never through
`sys.path`; everything that can be told without running it (form, place, existence, syntax, the class's presence) is
checked before the file is imported; the class must then be a subclass of what the caller expects.

The file is imported as a member of a private package whose path is its own folder, so files beside it are reached by
relative imports (``from .indicators import x``) and two projects' ``strategies`` folders never collide.
"""

import ast
import difflib
import hashlib
import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.resources import resource_root

FORM = "write module:Class or ./file.py:Class"


@dataclass(frozen=True, slots=True)
class ClassPath:
    """A class in a source file, both known to exist; nothing has been imported."""

    file: Path
    class_name: str


def find_class(text: str, roots: Sequence[Path]) -> ClassPath:
    """Find the file that `text` names and check that it defines the class, without importing it.

    Parameters
    ----------
    text
        ``package.module:Class`` (looked up below each root in turn) or ``./folder/file.py:Class`` (relative to the
        first root).
    roots
        Folders strategies may live in; the first is the settings file's own.

    Raises
    ------
    ConfigurationError
        Bad form, outside every root, no such file, a syntax error, or no such class in it.
    """
    module, colon, class_name = text.rpartition(":")
    if not colon or not module or not class_name.isidentifier():
        raise ConfigurationError(f"'{text}' does not name a class; {FORM}")
    file = _file_of(module, text, roots)
    classes = _classes_in(file)
    if class_name not in classes:
        raise ConfigurationError(
            f"{file} defines no class '{class_name}'{_nearest(class_name, classes)}; it defines: "
            f"{', '.join(classes) or 'none'}"
        )
    return ClassPath(file, class_name)


def strategy_roots(folder: Path) -> tuple[Path, ...]:
    """Folders strategies may come from: the settings' own and its `strategies/`, the project's, and those we bring.

    The project is the nearest folder above the settings that holds a `strategies` folder.
    """
    roots = [folder, folder / "strategies"]
    project = next((parent for parent in folder.parents if (parent / "strategies").is_dir()), None)
    if project is not None:
        roots.append(project / "strategies")
    bundled = resource_root() / "strategies"
    return (*roots, bundled) if bundled not in roots else tuple(roots)


def load_class[T](path: ClassPath, base: type[T]) -> type[T]:
    """Import the file of `path` and return its class.

    Raises
    ------
    ConfigurationError
        The file raises when imported, or the class is not a subclass of `base`.
    """
    module = _import(path.file)
    found = getattr(module, path.class_name, None)
    if not (isinstance(found, type) and issubclass(found, base)):
        wanted = f"{base.__module__}.{base.__name__}"
        raise ConfigurationError(f"{path.class_name} in {path.file} is not a {base.__name__}; derive it from {wanted}")
    return found


def sources(file: Path) -> set[Path]:
    """The file and all it reaches by relative imports (``from .indicators import x``), wherever in it they stand.

    Raises
    ------
    ConfigurationError
        One of them is not valid Python.
    """
    found: set[Path] = set()
    waiting = [file.resolve()]
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            waiting += [other for node in ast.walk(_parsed(here)) for other in _imported(node, here)]
    return found


def _imported(node: ast.AST, file: Path) -> list[Path]:
    """Files that a relative import in `file` runs: the module, the packages around it, and names that are modules."""
    if not isinstance(node, ast.ImportFrom) or not 1 <= node.level <= len(file.parents):
        return []
    module = file.parents[node.level - 1]
    places = [module := module / part for part in (node.module or "").split(".") if part]
    places += [module / alias.name for alias in node.names]
    files = [candidate for place in places for candidate in (place.with_suffix(".py"), place / "__init__.py")]
    return [candidate.resolve() for candidate in files if candidate.is_file()]


def _file_of(module: str, text: str, roots: Sequence[Path]) -> Path:
    real_roots = [root.resolve() for root in roots]
    if module.endswith(".py"):
        candidates = [real_roots[0] / module]
    else:
        parts = module.split(".")
        if not all(part.isidentifier() for part in parts):
            raise ConfigurationError(f"'{module}' in '{text}' is not a module name; {FORM}")
        candidates = [root.joinpath(*parts).with_suffix(".py") for root in real_roots]
        # A root may be named itself: `strategies.ema_cross` is `ema_cross.py` in a root called `strategies`.
        named = [root for root in real_roots if root.name == parts[0] and len(parts) > 1]
        candidates += [root.joinpath(*parts[1:]).with_suffix(".py") for root in named]
    for candidate in candidates:
        file = candidate.resolve()
        if not any(file.is_relative_to(root) for root in real_roots):
            raise ConfigurationError(
                f"'{text}' lies outside the folders strategies may come from; move the file into one of: "
                + ", ".join(map(str, real_roots))
            )
        if file.is_file():
            return file
    raise ConfigurationError(f"no strategy file for '{text}'; looked for: {', '.join(map(str, candidates))}")


def _classes_in(file: Path) -> list[str]:
    return [node.name for node in _parsed(file).body if isinstance(node, ast.ClassDef)]


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), filename=str(file))
    except SyntaxError as e:
        raise ConfigurationError(f"{file}:{e.lineno}: {e.msg}; the file is not valid Python") from e
    except ValueError as e:
        raise ConfigurationError(f"{file}: {e}; the file is not Python source") from e


def check_arguments(owner: type, values: Mapping[str, object], where: str) -> None:
    """Refuse a value that a configuration class does not take, before it is built.

    So that nothing is cut or turned round in silence: `int(2.5)` is 2, and `bool("no")`, as YAML reads `no`, is true.

    Raises
    ------
    ConfigurationError
        With the nearest name and all that there are, or the kind of value that is wanted; `where` begins the line.
    """
    try:
        parameters = inspect.signature(owner).parameters
    except (TypeError, ValueError):
        return  # not written in Python: it will say so itself
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    known = [name for name in parameters if name != "order_id_tag"]
    for name in values:
        if name not in parameters:
            raise ConfigurationError(
                f"{where} refused its config: no '{name}'{_nearest(name, known)}; it takes {', '.join(known) or 'nothing'}"
            )
        kind, value = parameters[name].annotation, values[name]
        if kind in (int, "int") and isinstance(value, float) and not value.is_integer():
            raise ConfigurationError(f"{where} refused its config: {name} takes a whole number, not {value}")
        if kind in (bool, "bool") and not isinstance(value, bool):
            raise ConfigurationError(f"{where} refused its config: {name} takes true or false, not {value!r}")


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _import(file: Path) -> ModuleType:
    folder = file.parent
    package = f"_files_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if package not in sys.modules:
        parent = ModuleType(package)
        parent.__path__ = [str(folder)]
        sys.modules[package] = parent
    # A file written after the folder was last listed (new-strategy, tests) must be seen.
    importlib.invalidate_caches()
    try:
        return importlib.import_module(f"{package}.{file.stem}")
    except Exception as e:  # a user's file may raise anything
        line = _line_in(e, file)
        raise ConfigurationError(f"{file}{line}: {type(e).__name__}: {e} (while the file was imported)") from e


def _line_in(error: BaseException, file: Path) -> str:
    line = ""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return line
