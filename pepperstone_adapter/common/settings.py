"""Settings: YAML in, a frozen pydantic model out, and one exact line for everything that is wrong.

A setting is taken, strongest first, from `--set key=value`, from `PEPPERSTONE__SECTION__KEY` in the environment, from
the file, from the model's default. Every problem becomes one line that says where it is, which key, what is wrong and
what to write instead:

    configs/backtest/demo.yaml:12: data.symbls: unknown key; did you mean 'symbols'?

Secrets are never settings (design D11): a key that names one is refused unless its value is only a reference to where
the secret is kept (`keyring:NAME`, `env:NAME`, `file:PATH`).
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, PrivateAttr, ValidationError, ValidationInfo

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.settings_errors import did_you_mean, explain
from pepperstone_adapter.common.yaml_lines import (
    MAX_BYTES,
    Node,
    ProblemError,
    ShellText,
    is_secret_name,
    parse_scalar,
    parse_yaml,
)

ENVIRONMENT_PREFIX = "PEPPERSTONE__"
_REFERENCE = re.compile(r"(keyring|env|file):\S+\Z")


class _Places:
    """Where the values of a model were written, which is no part of what they say: all are equal."""

    def __init__(self, node: Node | None = None, keys: tuple[str, ...] = ()) -> None:
        self.node, self.keys = node, keys

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Places)

    __hash__ = None  # type: ignore[assignment]


class StrictModel(BaseModel):
    """Base of every settings model: unknown keys refused, values frozen, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)
    _places: _Places = PrivateAttr(default_factory=_Places)

    def where(self, *keys: str) -> str:
        """``demo.yaml:14: strategies.0.config.fast: ``, or of the nearest value around it that was written; for errors
        that show only when the settings are used. Empty for settings that no file gave."""
        node, written = self._places.node, self._places.keys
        if node is None:
            return ""
        for key in keys:
            if not isinstance(node.value, dict) or key not in node.value:
                break
            node, written = node.value[key], (*written, key)
        name = ".".join(written)
        return f"{node.where}: " if node.where.endswith(name) else f"{node.where}: {name}: "


def _resolve(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str | Path) or not str(value):
        return value
    path = Path(value).expanduser()
    base = (info.context or {}).get("folder")
    return path if base is None or isinstance(value, ShellText) else Path(os.path.normpath(base / path))


RelativePath = Annotated[Path, BeforeValidator(_resolve)]
"""A path that is meant from the folder of the settings file it stands in (from the shell's folder with `--set`)."""


def load_settings[M: StrictModel](
    path: str | Path | None, model: type[M], overrides: Iterable[str] = (), environ: Mapping[str, str] | None = None
) -> M:
    """Read a settings file.

    Parameters
    ----------
    path
        The YAML file, UTF-8, at most 1 MiB; None when everything comes from `overrides` and the environment.
    model
        What it must be.
    overrides
        `key.sub=value` texts of `--set`; the value is read as a YAML scalar or flow collection.
    environ
        Where `PEPPERSTONE__SECTION__KEY` and `${NAME}` are looked up; the process's environment by default.

    Raises
    ------
    ConfigurationError
        With one line for each problem found.
    """
    environ = os.environ if environ is None else environ
    name = "command line" if path is None else str(path)
    folder = Path.cwd() if path is None else Path(path).absolute().parent
    try:
        root = Node({}, name, name) if path is None else parse_yaml(_read(Path(path)), name, environ)
        if root.value is None:
            raise ProblemError(f"{name}: empty; `pepperstone config schema` lists the keys")
        if not isinstance(root.value, dict):
            raise ProblemError(f"{root.where}: settings must be `key: value` lines, not a list or a single value")
        for keys, node in (*_from_environment(environ), *_from_command_line(overrides, environ)):
            _put(root, keys, node)
    except ProblemError as problem:
        raise ConfigurationError(str(problem)) from None
    secrets = [_secret_problem(where, keys) for keys, where in _literal_secrets(root, ())]
    if secrets:
        raise ConfigurationError("\n".join(secrets))
    try:
        settings = model.model_validate(root.plain(), context={"folder": folder})
    except ValidationError as error:
        raise ConfigurationError("\n".join(explain(error, root, model, name))) from None
    _tell_places(settings, root, ())
    return settings


def _tell_places(value: object, node: Node, keys: tuple[str, ...]) -> None:
    if isinstance(value, StrictModel):
        value._places = _Places(node, keys)
        for key, child in node.value.items() if isinstance(node.value, dict) else ():
            _tell_places(getattr(value, key, None), child, (*keys, key))
    elif isinstance(value, list | tuple) and isinstance(node.value, list):
        for index, (entry, child) in enumerate(zip(value, node.value, strict=False)):
            _tell_places(entry, child, (*keys, str(index)))


def dump_settings(settings: StrictModel) -> str:
    """The settings as YAML, complete with defaults, paths as resolved."""
    return yaml_text(settings.model_dump(mode="json"))


def yaml_text(document: Mapping[str, Any]) -> str:
    """Plain values as the YAML of settings."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def settings_schema(model: type[StrictModel]) -> dict[str, Any]:
    """JSON Schema of a settings model, for editors that complete and check YAML."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        siblings = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise ProblemError(f"{path}: no such file{did_you_mean(path.name, siblings)}") from None
    except (IsADirectoryError, PermissionError) as error:
        # Windows answers "permission denied" for a folder.
        if path.is_dir():
            raise ProblemError(f"{path}: is a folder; name the settings file in it") from None
        raise ProblemError(f"{path}: cannot be read: {error.strerror}") from None
    except OSError as error:
        raise ProblemError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ProblemError(f"{path}: larger than 1 MiB; this is not a settings file")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ProblemError(f"{path}: UTF-16, not UTF-8; save it as UTF-8")
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise ProblemError(f"{path}:{line}: holds a NUL byte; this is not a text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ProblemError(f"{path}:{line}: not UTF-8 (byte {data[error.start]:#04x}); save it as UTF-8") from None


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], Node]]:
    for name, text in sorted(environ.items()):
        if not name.upper().startswith(ENVIRONMENT_PREFIX):
            continue
        keys = tuple(name[len(ENVIRONMENT_PREFIX) :].lower().split("__"))
        if not all(keys):
            raise ProblemError(f"{name}: not a setting; write {ENVIRONMENT_PREFIX}SECTION__KEY")
        yield keys, _shell_node(text, name, environ)


def _from_command_line(overrides: Iterable[str], environ: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], Node]]:
    for override in overrides:
        name, equals, text = override.partition("=")
        keys = tuple(name.strip().split("."))
        if not equals or not all(keys):
            shown = name if is_secret_name(keys[-1]) else override
            raise ProblemError(f"--set {shown}: write --set section.key=value")
        yield keys, _shell_node(text, f"--set {name.strip()}", environ)


def _shell_node(text: str, where: str, environ: Mapping[str, str]) -> Node:
    # A value of the shell is one scalar unless it is plainly a collection, so `a: b` and `#1` keep their meaning.
    if text.startswith(("[", "{")):
        node = parse_yaml(text, where, environ, numbered=False)
        return Node(node.value, where, where, node.size)
    return Node(parse_scalar(text), where, where, from_shell=True)


def _put(root: Node, keys: tuple[str, ...], new: Node) -> None:
    node = root
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node.value, list):
            if not key.isdecimal() or int(key) >= len(node.value):
                raise ProblemError(f"{new.where}: '{key}' is not one of the {len(node.value)} entries, counted from 0")
            node.value[int(key)] = new if last else node.value[int(key)].own()
            node = node.value[int(key)]
            continue
        if node.value is None:
            node.value = {}
        if not isinstance(node.value, dict):
            raise ProblemError(f"{new.where}: '{'.'.join(keys[:depth])}' is a single value, it has no key '{key}'")
        # Environment variables have no case; symbols and other keys of the file may.
        key = next((known for known in node.value if known.lower() == key.lower()), key)
        node.value[key] = new if last else node.value.get(key, Node({}, new.where, new.where)).own()
        node = node.value[key]


def _literal_secrets(node: Node, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            values = child.value if isinstance(child.value, list) else [child]
            if is_secret_name(key) and any(map(_is_literal, values)):
                yield (*keys, key), child.key_where
            yield from _literal_secrets(child, (*keys, key))
    elif isinstance(node.value, list):
        for index, child in enumerate(node.value):
            yield from _literal_secrets(child, (*keys, str(index)))


def _is_literal(node: Node) -> bool:
    value = node.value
    return not isinstance(value, dict | list | bool) and value not in (None, "") and not _REFERENCE.match(str(value))


def _secret_problem(where: str, keys: Sequence[str]) -> str:
    return (
        f"{where}: {'.'.join(keys)}: a secret must not stand in settings; "
        "store it with `pepperstone auth login` and write a reference: keyring:NAME, env:NAME or file:PATH"
    )
