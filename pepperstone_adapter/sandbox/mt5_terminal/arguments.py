"""What the module accepts, measured on the wheel 5.0.6231. A value of another type is not converted but refused, in the
module's way: the call gives None (or False) and ``last_error`` says ``(-2, …)``; a number too large for its C type is a
SystemError.

* float fields take `float` (and its subclass np.float64); `int` and np.float32 are refused; NaN passes
* int fields take `int` and `bool`; numpy integers are refused
* text is `str` of at most 29 UTF-16 units
* dates are int, float or datetime (naive ones go through the machine's zone); whole seconds; 0 means "not given"
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pepperstone_adapter.sandbox.mt5_terminal.structs import FIELDS

TEXT_MAX: Final = 29
INT32_MAX: Final = 2**31 - 1
INVALID: Final = "Invalid arguments"
UNNAMED: Final = "Unnamed arguments not allowed"
_BITS: Final = {"u64": 2**64 - 1, "i64": 2**63 - 1, "u32": 2**32 - 1, "i32": INT32_MAX}
_EMPTY: Final = {"str": "", "f64": 0.0}


class BadArgument(Exception):
    """The call fails with ``(-2, text)``."""


def text(value: Any, name: str = "") -> str:
    if not isinstance(value, str) or len(value.encode("utf-16-le", "surrogatepass")) // 2 > TEXT_MAX:
        raise BadArgument(_named(name))
    return value


def whole(value: Any, name: str = "", kind: str = "i64") -> int:
    if not isinstance(value, int):
        raise BadArgument(_named(name))
    most = _BITS[kind]
    low = 0 if kind[0] == "u" else -most - 1
    if not low <= value <= most:
        raise SystemError(f"{name} does not fit")
    return int(value)


def real(value: Any, name: str = "") -> float:
    if not isinstance(value, float):
        raise BadArgument(_named(name))
    return float(value)


def flag(value: Any, name: str = "") -> bool:
    if not isinstance(value, int):
        raise BadArgument(_named(name))
    return bool(value)


def date(value: Any) -> int:
    """Whole seconds of the server's clock."""
    if isinstance(value, datetime):
        value = value.timestamp()
    if not isinstance(value, int | float):
        raise BadArgument(INVALID)
    seconds = int(value)
    if not -INT32_MAX - 1 <= seconds <= INT32_MAX:
        raise SystemError("date does not fit")
    if seconds == 0:
        raise BadArgument(INVALID)
    return seconds


def request(fields: Any) -> list[Any]:
    """A trade request in the order of its struct: missing keys are zero, unknown ones are ignored."""
    if not isinstance(fields, dict):
        raise BadArgument(INVALID)
    out: list[Any] = []
    for name, kind in FIELDS["TradeRequest"]:
        if name not in fields:
            out.append(_EMPTY.get(kind, 0))
        elif kind == "str":
            out.append(text(fields[name], name))
        elif kind == "f64":
            out.append(real(fields[name], name))
        else:
            out.append(whole(fields[name], name, kind))
    return out


def trade_request(args: tuple[Any, ...], keywords: Mapping[str, Any] | None) -> list[Any]:
    """`order_send` and `order_check` take one map or keywords, and an empty keyword map counts as keywords."""
    if keywords is not None:
        if args:
            raise BadArgument(UNNAMED)
        return request(dict(keywords))
    if len(args) != 1:
        raise BadArgument(INVALID)
    return request(args[0])


def one_of(names: tuple[str, ...], args: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[str, Any]:
    """The one keyword of a filter, checked; ``("", None)`` when there is none."""
    if args:
        raise BadArgument(UNNAMED)
    known = {name: value for name, value in keywords.items() if name in names}
    if len(known) != len(keywords) or len(known) > 1:
        raise BadArgument(INVALID)
    for name, value in known.items():
        return name, whole(value, name, "u64") if name in ("ticket", "position") else text(value, name)
    return "", None


def _named(name: str) -> str:
    return f'Invalid "{name}" argument' if name else INVALID
