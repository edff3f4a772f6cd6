"""The module's constants, result tuples and array types.

The real result types are C struct sequences: subclasses of tuple with named fields and `_asdict`, without `_fields` and
`_replace`, said to live in ``builtins``, where pickle does not find them. The same is true of these.
"""

import json
from collections.abc import Iterable
from importlib.resources import files
from operator import itemgetter
from typing import Any, Final

import numpy as np

_DATA = files("pepperstone_adapter.sandbox.mt5_terminal") / "data"
CONSTANTS: Final[dict[str, int]] = json.loads((_DATA / "constants.json").read_text())
FIELDS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    name: tuple(tuple(field.split(":")) for field in fields)
    for name, fields in json.loads((_DATA / "structs.json").read_text()).items()
}

RATES: Final = np.dtype(
    [("time", "<i8"), ("open", "<f8"), ("high", "<f8"), ("low", "<f8"), ("close", "<f8"), ("tick_volume", "<u8"),
     ("spread", "<i4"), ("real_volume", "<u8")]
)  # fmt: skip
TICKS: Final = np.dtype(
    [("time", "<i8"), ("bid", "<f8"), ("ask", "<f8"), ("last", "<f8"), ("volume", "<u8"), ("time_msc", "<i8"),
     ("flags", "<u4"), ("volume_real", "<f8")]
)  # fmt: skip


def _new(name: str) -> type:
    fields = FIELDS[name]
    names = [field for field, _ in fields]

    def make(cls: type, values: Iterable[Any]) -> Any:
        row = tuple(values)
        if len(row) != len(fields):
            raise TypeError(f"{name}() takes a {len(fields)}-sequence ({len(row)}-sequence given)")
        return tuple.__new__(cls, row)

    def asdict(self: Any) -> dict[str, Any]:
        return dict(zip(names, self, strict=True))

    def text(self: Any) -> str:
        inner = ", ".join(f"{field}={value!r}" for (field, _), value in zip(fields, self, strict=True))
        return f"{name}({inner})"

    members: dict[str, Any] = {
        "__new__": make,
        "__repr__": text,
        "_asdict": asdict,
        "__slots__": (),
        "__module__": "builtins",
        "n_fields": len(fields),
        "n_sequence_fields": len(fields),
        "n_unnamed_fields": 0,
    }
    members |= {field: property(itemgetter(i)) for i, (field, _) in enumerate(fields)}
    return type(name, (tuple,), members)


STRUCTS: Final = {name: _new(name) for name in FIELDS}
_ZERO: Final = {"str": "", "f64": 0.0, "bool": False}
#: Of every struct the values of an empty row, and where each field stands in it.
_EMPTY: Final = {
    name: ([_ZERO.get(kind, 0) for _, kind in fields], {field: i for i, (field, _) in enumerate(fields)})
    for name, fields in FIELDS.items()
}


def row(name: str, /, **values: Any) -> list[Any]:
    """Values of one struct in order; what is not given is zero, empty or False, as the terminal leaves it."""
    empty, places = _EMPTY[name]
    out: list[Any] = empty.copy()
    for field, value in values.items():
        if field not in places:
            raise KeyError(f"{name} has no field {field!r}")
        out[places[field]] = value
    return out


def array(kind: np.dtype[Any], raw: bytes) -> Any:
    """An array that owns its data and is read-only, as the module's are."""
    out = np.frombuffer(raw, dtype=kind).copy()
    out.flags.writeable = False
    return out
