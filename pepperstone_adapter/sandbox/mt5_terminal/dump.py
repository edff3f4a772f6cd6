"""The symbols of a real terminal, written down by ``pepperstone probe mt5 --symbols FILE``, as the simulated terminal's.

The file is JSON: ``{"kind": "mt5-symbols", …, "symbols": [record, …]}`` or the list alone; a record has the fields of the
module's ``SymbolInfo``. What a record says (names, digits, sizes, swaps, execution, filling, levels, lifetimes) is shown
and enforced. What the module does not tell comes from the sandbox's own symbol of that name, with or without a suffix:
hours, leverage, commission; for a symbol the sandbox does not know: always open, 1:5, no commission.
"""

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.symbols import AssetClass, LeverageTier, SwapMode, SwapTerms, SymbolSpec, Weekday
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.sandbox.ledger import SymbolTerms
from pepperstone_adapter.sandbox.mt5_terminal.settings import Mt5Symbol
from pepperstone_adapter.sandbox.mt5_terminal.structs import FIELDS

NEEDED: Final = (
    "name", "digits", "trade_contract_size", "volume_min", "volume_max", "volume_step", "currency_base",
    "currency_profit", "filling_mode", "trade_exemode", "order_mode", "expiration_mode", "trade_mode",
    "trade_stops_level", "trade_freeze_level", "swap_mode", "swap_long", "swap_short", "swap_rollover3days",
)  # fmt: skip
#: What lives on, and what settings may change; everything else is shown as it was written down.
LIVE: Final = frozenset(
    {
        "select", "visible", "time", "bid", "ask", "spread", "filling_mode", "trade_exemode", "order_mode",
        "expiration_mode", "trade_mode", "trade_stops_level", "trade_freeze_level", "volume_limit", "swap_mode",
    }
)  # fmt: skip
_KINDS: Final = {"str": (str,), "f64": (int, float), "bool": (bool, int)}
_SWAP: Final = (
    SwapMode.DISABLED, SwapMode.POINTS, SwapMode.MONEY_PER_LOT, SwapMode.MONEY_PER_LOT, SwapMode.MONEY_PER_LOT,
    SwapMode.PERCENT_ANNUAL, SwapMode.PERCENT_ANNUAL, SwapMode.POINTS, SwapMode.POINTS,
)  # fmt: skip
_FOLDERS: Final = (
    ("forex", AssetClass.FX), ("metal", AssetClass.METAL), ("ind", AssetClass.INDEX), ("energ", AssetClass.ENERGY),
    ("commod", AssetClass.ENERGY), ("crypto", AssetClass.CRYPTO), ("share", AssetClass.SHARE),
    ("stock", AssetClass.SHARE),
)  # fmt: skip
_UNKNOWN: Final = (LeverageTier(up_to_usd=None, leverage=Decimal(5)),)


@dataclass(frozen=True, slots=True)
class Dumped:
    """One symbol: `own` is the sandbox's name of it, where it has one (`on_tape`) with `own_digits`; `rule` and `terms`
    follow the record."""

    own: str
    on_tape: bool
    own_digits: int
    record: dict[str, Any]
    terms: SymbolTerms
    rule: Mt5Symbol


def load(path: Path, ours: list[SymbolTerms], overrides: dict[str, dict[str, Any]]) -> list[Dumped]:
    """Every symbol of a dump.

    Parameters
    ----------
    overrides
        Settings of single symbols (`Mt5Settings.symbols`), which win over the record.

    Raises
    ------
    DataError
        Not such a file, or a record without a field that is needed; says which.
    """
    known = {terms.spec.name: terms for terms in ours}
    records = _records(path)
    exact = {record["name"] for record in records} & known.keys()
    out: list[Dumped] = []
    for record in records:
        name = record["name"]
        base = name if name in exact else name.partition(".")[0]
        own = base if base in known and (base == name or base not in exact) else name
        if any(other.own == own for other in out):
            own = name  # a second suffix of the same symbol
        rule = Mt5Symbol.model_validate(_rule(record) | overrides.get(own, {}))
        terms = _terms(record, own, known.get(own))
        digits = known[own].spec.digits if own in known else terms.spec.digits
        out.append(Dumped(own, own in known, digits, record, terms, rule))
    return out


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: no dump of symbols ({error}); make one with `pepperstone probe mt5 --symbols`"
        ) from None
    records = read.get("symbols") if isinstance(read, dict) else read
    if not isinstance(records, list) or not records:
        raise DataError(f"{path}: no list of symbols in it; make one with `pepperstone probe mt5 --symbols FILE`")
    for number, record in enumerate(records, start=1):
        _check(path, number, record)
    names = [record["name"] for record in records]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: {twice} is there twice")
    return records


def _check(path: Path, number: int, record: Any) -> None:
    where = f"{path}, symbol {number}"
    if not isinstance(record, dict):
        raise DataError(f"{where}: not a record of fields")
    missing = [name for name in NEEDED if name not in record]
    if missing:
        raise DataError(f"{where} ({record.get('name', 'without a name')}): has no {', '.join(missing)}")
    for name, kind in FIELDS["SymbolInfo"]:
        if name in record and not isinstance(record[name], _KINDS.get(kind, (int,))):
            raise DataError(f"{where} ({record['name']}): {name} is {record[name]!r}")
    if not 0 <= record["digits"] <= 10 or not 0 < record["volume_min"] <= record["volume_max"]:
        raise DataError(f"{where} ({record['name']}): digits or volumes that no symbol can have")
    if not record["trade_contract_size"] > 0 or not record["volume_step"] > 0 or not 0 <= record["swap_mode"] <= 8:
        raise DataError(f"{where} ({record['name']}): contract size, volume step or swap mode that no symbol can have")


def _rule(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "filling": record["filling_mode"],
        "execution": record["trade_exemode"],
        "order_mode": record["order_mode"],
        "expiration": record["expiration_mode"],
        "stops_level": record["trade_stops_level"],
        "freeze_level": record["trade_freeze_level"],
        "trade_mode": record["trade_mode"],
        "volume_limit_lots": float(record.get("volume_limit", 0.0)),
        "swap_mode": record["swap_mode"],
    }


def _number(record: dict[str, Any], name: str) -> Decimal:
    return Decimal(repr(record[name]))


def _terms(record: dict[str, Any], own: str, ours: SymbolTerms | None) -> SymbolTerms:
    size, digits = _number(record, "trade_contract_size"), record["digits"]
    lots = {name: _number(record, name) * size for name in ("volume_min", "volume_step", "volume_max")}
    folder = str(record.get("path", "")).lower()
    asset_class = next((kind for word, kind in _FOLDERS if word in folder), AssetClass.OTHER)
    # The terminal counts weekdays from Sunday = 0.
    triple = list(Weekday)[(record["swap_rollover3days"] - 1) % 7]
    facts: dict[str, Any] = {
        "description": str(record.get("description", own)),
        "base_currency": record["currency_base"],
        "quote_currency": record["currency_profit"],
        "margin_currency": record.get("currency_margin") or None,
        "digits": digits,
        "contract_size": size,
        "swap": SwapTerms(
            mode=_SWAP[record["swap_mode"]],
            long=_number(record, "swap_long"),
            short=_number(record, "swap_short"),
            triple_day=triple,
        ),
        "source": "a terminal's symbols",
        **lots,
    }
    if ours is not None:
        return replace(ours, spec=replace(ours.spec, **facts))
    pip = digits - 1 if asset_class is AssetClass.FX and digits in (3, 5) else digits
    spec = SymbolSpec(
        name=own,
        asset_class=asset_class,
        pip_position=pip,
        hours=TradingHours.always(),
        leverage_class="other",
        **facts,
    )
    return SymbolTerms(spec=spec, tiers=_UNKNOWN)
