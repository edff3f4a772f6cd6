"""The symbol table: what we know about a symbol before the broker has said anything.

Facts stand in ``data/symbols.yaml`` and ``data/hours.yaml``, each with its source and date. They are defaults: a user's
settings change single fields (`load(overrides)`), and the broker's own answer, where there is one, replaces them.

A name must match exactly. ``eurusd`` and ``EURUSD.a`` are different symbols to a broker, and guessing between them
trades the wrong thing; so they are refused with the nearest names, and an account whose broker adds a suffix says so
once in its settings: ``EURUSD.a: {like: EURUSD}``.
"""

import difflib
import unicodedata
from collections.abc import Mapping
from dataclasses import fields, replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any

import yaml

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.hours_table import hours_from_mapping, hours_table, true_or_false
from pepperstone_adapter.broker.symbols import (
    AssetClass,
    CommissionKind,
    CommissionRule,
    LeverageTier,
    SwapMode,
    SwapTerms,
    SymbolSpec,
    TradingMode,
    Weekday,
)
from pepperstone_adapter.common.errors import ConfigurationError

SUGGESTIONS = 3
_TEXT = frozenset({"description", "base_currency", "quote_currency", "margin_currency", "source", "as_of"})
_CLASSES = frozenset({"leverage_class", "commission_class"})
_DECIMALS = frozenset({"contract_size", "volume_min", "volume_step", "volume_max"})
_INTEGERS = frozenset({"digits", "pip_position", "stops_distance_points", "venue_id"})
_KNOWN = frozenset(f.name for f in fields(SymbolSpec)) - {"name"}


def load(
    overrides: Mapping[str, Mapping[str, Any]] | None = None, told: Mapping[str, SymbolSpec] | None = None
) -> dict[str, SymbolSpec]:
    """All known symbols by exact name.

    Parameters
    ----------
    overrides
        Symbol name -> fields to change, as read from settings. Nested fields (``swap``, ``commission``) are merged key
        by key; ``hours`` is the name of a template or a full ``{zone, week, holidays}``. A name that is not in the
        table needs ``like: KNOWN_SYMBOL`` (a copy under a new name) or every required field.
    told
        What a broker said, by exact name: it takes the place of the table's entries before `overrides` are applied.

    Returns
    -------
    dict of str to SymbolSpec
        A new dict; the specs are frozen and shared.

    Raises
    ------
    ConfigurationError
        Unknown field or symbol (with suggestions), a value that does not fit, or inconsistent sizes.
    """
    table = {**_base(), **(told or {})}
    for name, changes in (overrides or {}).items():
        check_name(name)
        table[name] = _overridden(table, name, changes)
    return table


def get(name: str, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> SymbolSpec:
    """The symbol called exactly `name`.

    Raises
    ------
    ConfigurationError
        Path-like or confusable name, or an unknown one: the message holds the three nearest names.
    """
    return find(load(overrides), name)


def find(table: Mapping[str, SymbolSpec], name: str) -> SymbolSpec:
    """As `get`, in a table already loaded (or received from the broker)."""
    check_name(name)
    spec = table.get(name)
    if spec is None:
        near = suggestions(name, table)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ConfigurationError(
            f"unknown symbol {name!r}{hint} Names are exact; settings declare a broker's own spelling as "
            f"'symbols: {{{name}: {{like: {near[0] if near else 'EURUSD'}}}}}'"
        )
    return spec


def suggestions(name: str, names: Mapping[str, object]) -> list[str]:
    """The three names nearest to `name`, without regard to case or suffix, best first."""
    by_folded: dict[str, str] = {}
    for known in names:
        by_folded.setdefault(known.casefold(), known)
    wanted = name.strip().casefold()
    stem = wanted.split(".")[0]
    near = [stem] if stem in by_folded else []
    near += [n for n in difflib.get_close_matches(wanted, by_folded, n=SUGGESTIONS + 1, cutoff=0.4) if n not in near]
    return [by_folded[n] for n in near[:SUGGESTIONS]]


def check_name(name: str) -> None:
    """Refuse what cannot be a symbol name: empty, path-like, confusable or unprintable.

    A Cyrillic ``Е`` looks like a Latin one in every log, so any letter outside ASCII is refused by its code point.

    Raises
    ------
    ConfigurationError
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"symbol name {name!r} is empty; use a name such as EURUSD")
    for position, character in enumerate(name, start=1):
        if not character.isascii() or not character.isprintable():
            title = unicodedata.name(character, "control character")
            raise ConfigurationError(
                f"symbol {name!r} has U+{ord(character):04X} ({title}) at position {position}; type it in plain ASCII"
            )
    if ".." in name or any(c in "/\\:" for c in name) or name.startswith("."):
        raise ConfigurationError(f"symbol {name!r} looks like a path; use the broker's symbol name, such as EURUSD")
    if "@" in name:
        raise ConfigurationError(
            f"symbol {name!r} holds '@', which no bar type of the framework can; it cannot be used"
        )
    if name != name.strip() or len(name) > 40:
        raise ConfigurationError(f"symbol {name!r} has surrounding spaces or is over 40 characters; use the exact name")


@cache
def _base() -> dict[str, SymbolSpec]:
    raw = _read("symbols.yaml")
    groups: dict[str, dict[str, Any]] = raw["groups"]
    sources: dict[str, str] = raw["sources"]
    table: dict[str, SymbolSpec] = {}
    for group_name, symbols in raw["symbols"].items():
        group = groups[group_name]
        for name, own in symbols.items():
            merged = _merged(group, own)
            merged.setdefault("as_of", raw["as_of"])
            if group["asset_class"] in ("fx", "metal"):
                merged.setdefault("base_currency", name[:3])
                merged.setdefault("quote_currency", name[3:6])
            merged.setdefault("base_currency", name)
            merged["source"] = sources[merged["source"]]
            table[name] = _spec(name, merged, where="symbols.yaml")
    return table


def _read(file: str) -> Any:
    # libyaml parses this some ten times faster; commands load the table on every start.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = resources.files("pepperstone_adapter.broker").joinpath("data", file).read_text(encoding="utf-8")
    return yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader either way


def _merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(low)
    for key, value in high.items():
        if isinstance(value, Mapping) and isinstance(out.get(key), Mapping):
            out[key] = {**out[key], **value}
        else:
            out[key] = value
    return out


def _overridden(table: Mapping[str, SymbolSpec], name: str, changes: Mapping[str, Any]) -> SymbolSpec:
    where = f"symbols.{name}"
    if not isinstance(changes, Mapping):
        raise ConfigurationError(f"{where}: wants a mapping of fields, got {changes!r}")
    changes = dict(changes)
    base = table.get(name)
    if "like" in changes:
        base = replace(find(table, str(changes.pop("like"))), name=name)
    if base is None:
        missing = sorted(_required() - set(changes))
        if missing:
            near = ", ".join(suggestions(name, table))
            raise ConfigurationError(
                f"{where}: unknown symbol (nearest: {near}); add 'like: SYMBOL' or the fields {', '.join(missing)}"
            )
        return _spec(name, changes, where)
    changes.setdefault("source", f"settings over: {base.source}" if changes else base.source)
    return _spec(name, changes, where, base)


def _required() -> set[str]:
    return {"asset_class", "base_currency", "quote_currency", "digits", "pip_position", "contract_size", "volume_min",
            "volume_step", "volume_max", "hours", "leverage_class", "description"}  # fmt: skip


def _spec(name: str, raw: Mapping[str, Any], where: str, base: SymbolSpec | None = None) -> SymbolSpec:
    values = {
        key: _value(key, value, f"{where}: {name}" if base is None else where, base) for key, value in raw.items()
    }
    if base is None:
        values.setdefault("swap", SwapTerms(mode=SwapMode.DISABLED))
        spec = SymbolSpec(name=name, **values)
    else:
        spec = replace(base, **values)
    _check(spec, where)
    return spec


def _value(key: str, value: Any, where: str, base: SymbolSpec | None) -> Any:
    where = f"{where}.{key}" if base is not None else f"{where} {key}"
    if key not in _KNOWN:
        near = difflib.get_close_matches(key, [*_KNOWN, "like"], n=1)
        raise ConfigurationError(f"{where}: unknown field{f', did you mean {near[0]!r}?' if near else ''}")
    if key in _DECIMALS:
        return _decimal(value, where)
    if key in _INTEGERS:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigurationError(f"{where}: wants a whole number, got {value!r}")
        return value
    if key in _TEXT or key in _CLASSES:
        return str(value)
    if key == "short_selling":
        return true_or_false(value, where)
    if key == "asset_class":
        return _choice(AssetClass, value, where)
    if key == "trading_mode":
        return _choice(TradingMode, value, where)
    if key == "swap":
        return _swap(value, where, base.swap if base else SwapTerms(mode=SwapMode.DISABLED))
    if key == "commission":
        return _commission(value, where, base.commission if base else None)
    if key == "leverage_tiers":
        return _tiers(value, where)
    return _hours(value, where)


def _hours(value: Any, where: str) -> TradingHours:
    if isinstance(value, str):
        templates = hours_table()
        if value not in templates:
            raise ConfigurationError(f"{where}: unknown template {value!r}; one of {', '.join(templates)}")
        return templates[value]
    return hours_from_mapping(value, where)


def _swap(value: Any, where: str, old: SwapTerms) -> SwapTerms:
    parts = _mapping(value, SwapTerms, where)
    out: dict[str, Any] = {}
    for key, part in parts.items():
        if key == "mode":
            out[key] = _choice(SwapMode, part, f"{where}.{key}")
        elif key == "triple_day":
            out[key] = None if part is None else _choice(Weekday, part, f"{where}.{key}")
        elif key == "weekend":
            out[key] = true_or_false(part, f"{where}.{key}")
        else:
            out[key] = _decimal(part, f"{where}.{key}", signed=True)
    if old.mode is SwapMode.DISABLED and "mode" not in out and (out.get("long") or out.get("short")):
        raise ConfigurationError(
            f"{where}: the symbol has no swap, so nothing says how to read these values; add mode: points (or "
            f"{', '.join(mode for mode in SwapMode if mode not in (SwapMode.DISABLED, SwapMode.POINTS))})"
        )
    return replace(old, **out)


def _commission(value: Any, where: str, old: CommissionRule | None) -> CommissionRule | None:
    if value is None:
        return None
    out: dict[str, Any] = {}
    for key, part in _mapping(value, CommissionRule, where).items():
        if key == "kind":
            out[key] = _choice(CommissionKind, part, f"{where}.{key}")
        elif key == "currency":
            out[key] = str(part)
        else:
            out[key] = _decimal(part, f"{where}.{key}", zero=True)
    old = old or CommissionRule()
    if old.kind is CommissionKind.NONE and "kind" not in out:
        raise ConfigurationError(
            f"{where}: takes the place of the account's own rule as a whole; write all of it, such as {{kind: per_lot, "
            f"rate: 3.5, currency: USD}} (kinds: {', '.join(CommissionKind)})"
        )
    return replace(old, **out)


def _tiers(value: Any, where: str) -> tuple[LeverageTier, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigurationError(f"{where}: wants a list of {{up_to_usd, leverage}}, got {value!r}")
    tiers = tuple(_tier(tier, where) for tier in value)
    tops = [Decimal("inf") if tier.up_to_usd is None else tier.up_to_usd for tier in tiers]
    if any(low >= high for low, high in pairwise(tops)):
        raise ConfigurationError(f"{where}: up_to_usd must rise from tier to tier; only the last may have none")
    return tiers


def _tier(value: Any, where: str) -> LeverageTier:
    parts = _mapping(value, LeverageTier, where)
    top = parts.get("up_to_usd")
    return LeverageTier(
        up_to_usd=None if top is None else _decimal(top, f"{where}.up_to_usd"),
        leverage=_decimal(parts.get("leverage"), f"{where}.leverage"),
    )


def _mapping(value: Any, struct: type, where: str) -> Mapping[str, Any]:
    allowed = [f.name for f in fields(struct)]
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where}: wants a mapping with {', '.join(allowed)}; got {value!r}")
    for key in value:
        if key not in allowed:
            near = difflib.get_close_matches(str(key), allowed, n=1)
            raise ConfigurationError(f"{where}.{key}: unknown field{f', did you mean {near[0]!r}?' if near else ''}")
    return value


def _choice[E: StrEnum](enum: type[E], value: Any, where: str) -> E:
    try:
        return enum(value)
    except ValueError:
        raise ConfigurationError(f"{where}: {value!r} is not one of {', '.join(enum)}") from None


def _decimal(value: Any, where: str, *, signed: bool = False, zero: bool = False) -> Decimal:
    """YAML numbers go through their text: 0.1 must stay 0.1."""
    try:
        number = Decimal(str(value)) if not isinstance(value, bool) else Decimal("nan")
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or (not signed and (number < 0 or (number == 0 and not zero))):
        raise ConfigurationError(f"{where}: wants a {'' if signed else 'positive '}number, got {value!r}")
    return number


def _check(spec: SymbolSpec, where: str) -> None:
    if not 0 <= spec.digits <= 9 or not 0 <= spec.pip_position <= spec.digits:
        raise ConfigurationError(
            f"{where}: {spec.name} digits {spec.digits} and pip_position {spec.pip_position} must be 0 to 9, "
            "and pip_position not above digits"
        )
    if spec.volume_min > spec.volume_max:
        raise ConfigurationError(
            f"{where}: {spec.name} volume_min {spec.volume_min} is above volume_max {spec.volume_max} (units, not lots)"
        )
    for field in ("volume_min", "volume_max"):
        if getattr(spec, field) % spec.volume_step:
            raise ConfigurationError(
                f"{where}: {spec.name} {field} {getattr(spec, field)} is not a multiple of volume_step "
                f"{spec.volume_step} (units, not lots)"
            )
