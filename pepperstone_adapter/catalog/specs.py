"""What the broker said about its symbols, kept beside the prices: `symbols/<name>.json` of a catalog.

A file holds one entry for each time the broker's answer was another one than before, with the moment it was read and
who said it. A backtest of a period takes the last answer of that period; where all are later, the first: costs of the
past cannot be asked for.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import Enum
from pathlib import Path
from typing import Any

from pepperstone_adapter.broker.hours import Holiday, TradingHours
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
from pepperstone_adapter.catalog.manifest import iso
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.common.files import file_name_of, write_atomic

FOLDER = "symbols"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSpec:
    """One answer of a broker. `platform` is ``ctrader`` or ``mt5``; `source` names broker and account, masked."""

    read_ns: int
    platform: str
    source: str
    spec: SymbolSpec


def remember(catalog: Path, specs: Iterable[SymbolSpec], *, platform: str, source: str, now_ns: int) -> list[str]:
    """Keep the broker's answer where it is new; the caller holds the catalog's lock.

    Returns
    -------
    list of str
        Symbols with a new entry.
    """
    changed = []
    for spec in specs:
        told = replace(spec, venue_id=None, as_of="")
        entries = list(_entries(_path(catalog, spec.name)))
        last = next((e for e in reversed(entries) if e.source == source and e.platform == platform), None)
        if last is not None and replace(last.spec, as_of="") == told:
            continue
        entries.append(
            StoredSpec(
                read_ns=now_ns,
                platform=platform,
                source=source,
                spec=replace(told, as_of=iso(now_ns)[:10], source=told.source or source),
            )
        )
        _write(_path(catalog, spec.name), spec.name, entries)
        changed.append(spec.name)
    return changed


def stored(catalog: Path, at_ns: int, platform: str = "") -> dict[str, SymbolSpec]:
    """The broker's symbols as of `at_ns`, by name; empty when no answer was ever stored.

    Parameters
    ----------
    platform
        Whose answers are preferred; those of others are taken where it gave none.

    Raises
    ------
    DataError
        A damaged file.
    """
    found = {}
    for path in sorted((catalog / FOLDER).glob("*.json")):
        entries = list(_entries(path))
        own = [e for e in entries if e.platform == platform] or entries
        if own:
            before = [e for e in own if e.read_ns <= at_ns]
            chosen = (before[-1] if before else own[0]).spec
            found[chosen.name] = chosen
    return found


def answers(catalog: Path, symbol: str) -> list[StoredSpec]:
    """Every stored answer about one symbol, oldest first."""
    return list(_entries(_path(catalog, symbol)))


def _path(catalog: Path, symbol: str) -> Path:
    return catalog / FOLDER / f"{file_name_of(symbol)}.json"


def _write(path: Path, symbol: str, entries: list[StoredSpec]) -> None:
    listed = [
        {
            "read_at": iso(e.read_ns),
            "read_ns": e.read_ns,
            "platform": e.platform,
            "source": e.source,
            "spec": spec_json(e.spec),
        }
        for e in entries
    ]
    text = json.dumps({"version": VERSION, "symbol": symbol, "answers": listed}, indent=1, ensure_ascii=False)
    write_atomic(path, text + "\n")


def spec_json(spec: SymbolSpec) -> dict[str, Any]:
    """A specification as JSON values; `spec_of` reads it back."""
    plain: dict[str, Any] = _plain(asdict(spec))
    return plain


def _plain(value: Any) -> Any:
    """JSON values; decimals as text, so that none loses a digit. Private fields are left out."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if not k.startswith("_")}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal | date):
        return str(value)
    return value


def _entries(path: Path) -> Iterator[StoredSpec]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["version"] > VERSION:
            raise DataError(f"{path}: written by a newer version of this program; upgrade pepperstone_adapter")
        for entry in raw["answers"]:
            yield StoredSpec(
                read_ns=int(entry["read_ns"]),
                platform=str(entry["platform"]),
                source=str(entry["source"]),
                spec=spec_of(entry["spec"]),
            )
    except FileNotFoundError:
        return
    except (ValueError, TypeError, KeyError, AttributeError, InvalidOperation) as error:
        raise DataError(f"{path} is damaged ({error}); delete it and download the symbol again") from error


def spec_of(raw: dict[str, Any]) -> SymbolSpec:
    """The specification `spec_json` wrote; `KeyError`, `TypeError`, `ValueError` or `InvalidOperation` when damaged."""
    values = dict(raw)
    for name in ("contract_size", "volume_min", "volume_step", "volume_max"):
        values[name] = Decimal(values[name])
    values["asset_class"] = AssetClass(values["asset_class"])
    values["trading_mode"] = TradingMode(values["trading_mode"])
    values["hours"] = _hours(values["hours"])
    swap = values["swap"]
    values["swap"] = SwapTerms(
        mode=SwapMode(swap["mode"]),
        long=Decimal(swap["long"]),
        short=Decimal(swap["short"]),
        triple_day=Weekday(swap["triple_day"]) if swap["triple_day"] else None,
        weekend=bool(swap["weekend"]),
    )
    rule = values["commission"]
    values["commission"] = rule and CommissionRule(
        kind=CommissionKind(rule["kind"]),
        rate=Decimal(rule["rate"]),
        currency=rule["currency"],
        minimum=Decimal(rule["minimum"]),
    )
    values["leverage_tiers"] = tuple(
        LeverageTier(
            up_to_usd=None if tier["up_to_usd"] is None else Decimal(tier["up_to_usd"]),
            leverage=Decimal(tier["leverage"]),
        )
        for tier in values["leverage_tiers"]
    )
    return SymbolSpec(**values)


def _hours(raw: dict[str, Any]) -> TradingHours:
    holidays = tuple(Holiday(**{**h, "day": date.fromisoformat(h["day"])}) for h in raw["holidays"])
    return TradingHours(
        zone=raw["zone"], intervals=tuple((int(a), int(b)) for a, b in raw["intervals"]), holidays=holidays
    )
