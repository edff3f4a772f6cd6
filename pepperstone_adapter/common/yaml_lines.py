"""YAML text to plain values, each one knowing the line it came from.

Settings decide what is traded, so the reader takes less YAML than the language has, and says where every value stands:

- Built from the parser's event stream, so nothing is constructed before its depth and size are known, and no tag can
  make a Python object.
- Plain scalars follow YAML 1.2's core rules: only `true` and `false` are booleans (`no` and `on` stay text), `17:00`
  and `2024-01-01` stay text, and `007` stays text because it is an identifier, not seven.
- A key written twice is an error that names both lines; the language's own rule (the last one wins) loses a value in
  silence.
- `${NAME}` in a value is taken from the environment; `$${` is a literal `${`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import yaml

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
# Aliases copy a branch; this bounds what a small file can grow to.
MAX_VALUES = 200_000

type Scalar = str | int | float | bool | None
type Plain = Scalar | list["Plain"] | dict[str, "Plain"]

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_SPECIAL: dict[str, Scalar] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan"),
}  # fmt: skip
_VARIABLE = re.compile(r"\$?\$\{([^}]*)\}")
_SECRET_NAME = re.compile(
    r"(^|[_-])(password|passwd|passphrase|secret|token|api_?key|private_?key|access_?key|credentials?)$", re.IGNORECASE
)

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ProblemError(ValueError):
    """One thing wrong at one place; `str()` is the whole line."""


@dataclass(slots=True)
class Node:
    """A value and where it was written: `configs/x.yaml:12`, `--set`, or the name of an environment variable."""

    value: Scalar | list["Node"] | dict[str, "Node"]
    where: str
    key_where: str = ""
    size: int = 1
    # A path typed in the shell is meant from the shell's folder, not from the file's.
    from_shell: bool = False

    def own(self) -> "Node":
        """The same with a list or group of its own: an alias is the very value of its anchor, until one is changed."""
        value = self.value
        return replace(
            self, value=dict(value) if isinstance(value, dict) else [*value] if isinstance(value, list) else value
        )

    def plain(self) -> Plain:
        """The bare value, without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        if self.from_shell and isinstance(self.value, str):
            return ShellText(self.value)
        return self.value


class ShellText(str):
    """Text that came from the command line or the environment (see `Node.from_shell`)."""

    __slots__ = ()


def is_secret_name(name: str) -> bool:
    """Whether a key or a variable of this name is expected to hold a secret."""
    return bool(_SECRET_NAME.search(name))


def parse_yaml(text: str, name: str, environ: Mapping[str, str], *, numbered: bool = True) -> Node:
    """Read one YAML document.

    Parameters
    ----------
    text
        The document.
    name
        What to call it in errors (`configs/x.yaml`).
    environ
        Where `${NAME}` is looked up.
    numbered
        Whether lines mean anything to the reader; a value typed on the command line has none.

    Raises
    ------
    ProblemError
        For broken YAML, a repeated key, a key that is not text, a tag, too much depth or size, an unset variable.
    """
    try:
        events = yaml.parse(text, Loader=_Loader)
        return _Builder(name, environ, events, numbered=numbered).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark and numbered else name
        line = text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else ""
        hint = "; indent with spaces, not tabs" if line[: len(line) - len(line.lstrip())].count("\t") else ""
        raise ProblemError(f"{place}: not valid YAML: {error.problem}{hint}") from None
    except yaml.YAMLError as error:
        raise ProblemError(f"{name}: not valid YAML: {str(error).splitlines()[0]}") from None


def parse_scalar(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    if _INT.match(text):
        # Python refuses longer texts (a guard of its own); no setting of ours has 19 digits.
        return int(text) if len(text) <= 19 else text
    if _FLOAT.match(text) and not _LEADING_ZERO.match(text):
        return float(text)
    return text


class _Builder:
    def __init__(self, name: str, environ: Mapping[str, str], events: Iterator[yaml.Event], *, numbered: bool) -> None:
        self._name = name
        self._numbered = numbered
        self._environ = environ
        self._events = events
        self._anchors: dict[str, Node] = {}

    def document(self) -> Node:
        root = Node(None, self._name)
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise ProblemError(f"{self._where(event)}: a second document (`---`); one file holds one")
                root = self._node(next(self._events), 0)
        return root

    def _where(self, event: yaml.Event) -> str:
        mark = event.start_mark
        return f"{self._name}:{mark.line + 1}" if mark and self._numbered else self._name

    def _node(self, event: yaml.Event, depth: int) -> Node:
        where = self._where(event)
        if depth > MAX_DEPTH:
            raise ProblemError(f"{where}: nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise ProblemError(f"{where}: alias *{event.anchor} has no finished anchor &{event.anchor} before it")
            return self._anchors[event.anchor]
        if getattr(event, "tag", None) not in (None, "!"):
            raise ProblemError(f"{where}: tag {event.tag} is not allowed in settings")  # type: ignore[attr-defined]
        if isinstance(event, yaml.ScalarEvent):
            node = Node(self._scalar(event, where), where)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(where, depth)
        else:
            node = self._mapping(where, depth)
        if node.size > MAX_VALUES:
            raise ProblemError(f"{where}: grows beyond {MAX_VALUES} values")
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _sequence(self, where: str, depth: int) -> Node:
        items: list[Node] = []
        size = 1
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
            size += items[-1].size
            self._check_size(size, where)
        return Node(items, where, size=size)

    def _mapping(self, where: str, depth: int) -> Node:
        entries: dict[str, Node] = {}
        size = 1
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            place = self._where(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise ProblemError(f"{place}: a key must be plain text")
            key = event.value
            if key == "<<":
                raise ProblemError(f"{place}: merge keys (`<<`) are not supported; write the keys out")
            value = self._node(next(self._events), depth + 1)
            if key in entries:
                raise ProblemError(f"{place}: duplicate key '{key}'; it is already set at {entries[key].key_where}")
            # An alias may stand under several keys, so each key gets a node of its own.
            entries[key] = Node(value.value, value.where, place, value.size)
            size += value.size
            self._check_size(size, where)
        return Node(entries, where, size=size)

    @staticmethod
    def _check_size(size: int, where: str) -> None:
        if size > MAX_VALUES:
            raise ProblemError(f"{where}: grows beyond {MAX_VALUES} values")

    def _scalar(self, event: yaml.ScalarEvent, where: str) -> Scalar:
        text = _VARIABLE.sub(lambda match: self._variable(match, where), event.value)
        return parse_scalar(text) if event.implicit[0] else text

    def _variable(self, match: re.Match[str], where: str) -> str:
        if match[0].startswith("$$"):
            return match[0][1:]
        name = match[1]
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ProblemError(f"{where}: ${{{name}}} is not a variable name; write $${{ for a literal ${{")
        if is_secret_name(name):
            raise ProblemError(f"{where}: ${{{name}}} looks like a secret; secrets are never part of settings")
        value = self._environ.get(name)
        if value is None:
            raise ProblemError(f"{where}: environment variable {name} is not set")
        if not value.strip():
            raise ProblemError(f"{where}: environment variable {name} is empty")
        return value
