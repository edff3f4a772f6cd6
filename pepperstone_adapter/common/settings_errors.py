"""What pydantic complains about, as one line a person can act on: place, key, what is wrong, what to write."""

import difflib
import re
import types
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Any, TypeAliasType, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from pepperstone_adapter.common.yaml_lines import Node, is_secret_name

_UNKNOWN = "extra_forbidden"
_MISSING = "missing"
_TOO_SHORT = "too_short"
_DECIMAL = re.compile(r"Decimal\('([^']+)'\)|(?<![\w'])(\dE\+\d+)(?!\w)")  # a limit, as pydantic writes it
_OWN_WORDS = ("value_error", "assertion_error")


def explain(error: ValidationError, root: Node, model: type[BaseModel], name: str) -> list[str]:
    """One line for each problem, in the order of the file.

    Parameters
    ----------
    error
        What validation found.
    root
        The values with their places.
    model
        The model they were meant for.
    name
        The file, for a problem that has no place of its own.
    """
    problems = [_Problem(detail, root, model, name) for detail in error.errors(include_url=False)]
    # A misspelt required key is one mistake, not two.
    misspelt = {problem.suggested for problem in problems if problem.suggested}
    # Nor is a list too short because its entries are wrong.
    broken = {problem.keys[:depth] for problem in problems for depth in range(len(problem.keys))}
    kept = [
        problem
        for problem in problems
        if not (problem.kind == _MISSING and problem.keys in misspelt)
        and not (problem.kind == _TOO_SHORT and problem.keys in broken)
    ]
    return list(dict.fromkeys(str(problem) for problem in sorted(kept, key=lambda p: p.order)))


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing when no known word is close."""
    close = _closest(given, known)
    return f"; did you mean '{close}'?" if close else ""


class _Problem:
    def __init__(self, detail: Any, root: Node, model: type[BaseModel], name: str) -> None:
        self.kind: str = detail["type"]
        self.suggested: tuple[str, ...] | None = None
        self._detail = detail
        self.keys, node, parent = _locate(root, detail["loc"])
        self._models = list(_models_at(model, self.keys[:-1]))
        if self.kind == _UNKNOWN:
            self._text = self._unknown_key()
            place = node.key_where
        elif self.kind == _MISSING:
            self._text = f"missing; add it, for example `{self.keys[-1]}: {_example(self._models, self.keys[-1])}`"
            place = parent.key_where or name
        else:
            self._text = self._wrong_value()
            place = name if node is root else node.where
        self._place = place
        line = place.rpartition(":")[2]
        self.order = (not line.isdecimal(), int(line) if line.isdecimal() else 0)

    def __str__(self) -> str:
        key = ".".join(self.keys)
        # `--set data.x` names the key already.
        return ": ".join(part for part in (self._place, "" if self._place.endswith(key) else key, self._text) if part)

    def _unknown_key(self) -> str:
        known = sorted({field for owner in self._models for field in owner.model_fields})
        close = _closest(self.keys[-1], known)
        if close:
            self.suggested = (*self.keys[:-1], close)
            return f"unknown key; did you mean '{close}'?"
        return f"unknown key; known keys: {', '.join(known)}" if known else "unknown key"

    def _wrong_value(self) -> str:
        given, context = self._detail["input"], self._detail.get("ctx", {})
        if self.kind in _OWN_WORDS:
            return re.sub(r"^(Value error|Assertion failed), ", "", self._detail["msg"])
        if self.kind in ("model_type", "model_attributes_type", "dict_type"):
            expected = "expected a group of keys"
        elif self.kind == "path_type":
            expected = "expected a path"
        elif self.kind == "union_tag_invalid":
            field = str(context["discriminator"]).strip("'")
            tag, choices = str(context["tag"]), str(context["expected_tags"])
            return f"{field} '{tag}' is not one of {choices}{did_you_mean(tag, _words(choices))}"
        elif self.kind == "union_tag_not_found":
            field = str(context["discriminator"]).strip("'")
            return f"{field} is missing; it says which kind of entry this is"
        else:
            message = self._detail["msg"].replace("Input should be", "expected")
            expected = message.partition(", unable to")[0]
            expected = _DECIMAL.sub(lambda found: f"{Decimal(found[1] or found[2]):f}", expected)
            expected = expected.replace("a valid string", "text").replace("a valid tuple", "a list")
        text = f"{expected}, got {self._shown(given)}"
        if self.kind in ("enum", "literal_error") and isinstance(given, str):
            text += did_you_mean(given, _words(str(context.get("expected", ""))))
        if self.kind in ("string_type", "path_type") and isinstance(given, int | float):
            text += "; put it in quotes"
        if self.kind == "tuple_type" and isinstance(given, str | int | float):
            text += f"; write [{self._shown(given).strip("'")}]"
        return text

    def _shown(self, value: object) -> str:
        if any(map(is_secret_name, self.keys)):
            return "<hidden>"
        if isinstance(value, dict | BaseModel):
            return "a group of keys"
        if isinstance(value, list):
            return "a list"
        if value is None or isinstance(value, bool):
            return {None: "nothing", True: "true", False: "false"}[value]
        text = repr(str(value)) if isinstance(value, str) else str(value)
        return text if len(text) <= 60 else text[:57] + "..."


def _words(choices: str) -> list[str]:
    return re.findall(r"'([^']*)'", choices)


def _closest(given: str, known: Iterable[str]) -> str | None:
    by_lower = {word.lower(): word for word in known}
    close = difflib.get_close_matches(given.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def _locate(root: Node, loc: tuple[int | str, ...]) -> tuple[tuple[str, ...], Node, Node]:
    """Walk to the place of an error. pydantic puts names of union members between the keys; those are passed over."""
    keys: list[str] = []
    node = parent = root
    for position, part in enumerate(loc):
        if isinstance(node.value, dict) and str(part) in node.value:
            parent, node = node, node.value[str(part)]
        elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
            parent, node = node, node.value[part]
        elif position == len(loc) - 1 and isinstance(node.value, dict):
            # A missing key, or a default that does not hold.
            parent = node
        else:
            continue
        keys.append(str(part))
    return tuple(keys), node, parent


def _models_at(annotation: Any, keys: Sequence[str]) -> Iterator[type[BaseModel]]:
    """The models that may stand at a place, found by following the annotations."""
    origin = get_origin(annotation)
    if isinstance(annotation, TypeAliasType):
        yield from _models_at(annotation.__value__, keys)
    elif origin is Annotated:
        yield from _models_at(get_args(annotation)[0], keys)
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _models_at(member, keys)
    elif origin is not None and keys:
        for member in get_args(annotation):
            yield from _models_at(member, keys[1:])
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not keys:
            yield annotation
        elif keys[0] in annotation.model_fields:
            yield from _models_at(annotation.model_fields[keys[0]].annotation, keys[1:])


def _example(models: Sequence[type[BaseModel]], key: str) -> str:
    for owner in models:
        field = owner.model_fields.get(key)
        if field is not None and field.examples:
            return yaml.safe_dump(field.examples[0], default_flow_style=True, width=1000).split("\n...")[0].strip()
    return "..."
