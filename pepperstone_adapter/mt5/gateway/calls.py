"""Which functions of the terminal's module a client may call, with the types of their arguments and their deadlines.

The table is the whole attack surface: names outside it are refused, arguments of another type are refused, and nothing
is evaluated. Values are passed by position except where the module demands keywords. Argument rules were measured on
the module's wheel 5.0.6231: float fields want `float`, integer fields `int`, no unknown text longer than 29 units.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pepperstone_adapter.mt5.gateway.wire import pack_array

TEXT_MAX: Final = 29
DEAL, PENDING = 1, 5  # actions of a trade request


class BadCall(Exception):
    """A request outside the table."""


@dataclass(frozen=True, slots=True)
class Call:
    """One callable function.

    Attributes
    ----------
    args
        Types by position.
    optional
        How many trailing arguments may be left out.
    keywords
        Names of arguments the module takes by keyword only; a request gives them as one map after `args`.
    deadline_s
        After this the worker is taken for hung. Measured: calls take 0.15 ms; a first history call may take 45 s.
    trade
        Changes the account: needs a trading client and an order key.
    bulk
        Reads history, which may take long: whatever else is asked goes first.
    """

    args: tuple[type, ...] = ()
    optional: int = 0
    keywords: tuple[tuple[str, type], ...] = ()
    deadline_s: float = 10.0
    trade: bool = False
    bulk: bool = False


HISTORY_S: Final = 60.0

CALLS: Final[dict[str, Call]] = {
    "version": Call(),
    "terminal_info": Call(),
    "account_info": Call(),
    "symbols_total": Call(),
    "symbols_get": Call(args=(str,), optional=1, deadline_s=30.0),
    "symbol_info": Call(args=(str,)),
    "symbol_info_tick": Call(args=(str,)),
    "symbol_select": Call(args=(str, bool), optional=1),
    "copy_rates_from": Call(args=(str, int, int, int), deadline_s=HISTORY_S, bulk=True),
    "copy_rates_from_pos": Call(args=(str, int, int, int), deadline_s=HISTORY_S, bulk=True),
    "copy_rates_range": Call(args=(str, int, int, int), deadline_s=HISTORY_S, bulk=True),
    "copy_ticks_from": Call(args=(str, int, int, int), deadline_s=HISTORY_S, bulk=True),
    "copy_ticks_range": Call(args=(str, int, int, int), deadline_s=HISTORY_S, bulk=True),
    "orders_total": Call(),
    "positions_total": Call(),
    "orders_get": Call(keywords=(("symbol", str), ("ticket", int), ("group", str))),
    "positions_get": Call(keywords=(("symbol", str), ("ticket", int), ("group", str))),
    "history_orders_total": Call(args=(int, int), deadline_s=HISTORY_S),
    "history_deals_total": Call(args=(int, int), deadline_s=HISTORY_S),
    "history_orders_get": Call(
        args=(int, int), optional=2, keywords=(("ticket", int), ("position", int)), deadline_s=HISTORY_S
    ),
    "history_deals_get": Call(
        args=(int, int), optional=2, keywords=(("ticket", int), ("position", int)), deadline_s=HISTORY_S
    ),
    "order_check": Call(args=(dict,)),
    "order_calc_margin": Call(args=(int, str, float, float)),
    "order_calc_profit": Call(args=(int, str, float, float, float)),
    "order_send": Call(args=(dict,), deadline_s=30.0, trade=True),
}

_FLOAT_FIELDS: Final = frozenset({"volume", "price", "stoplimit", "sl", "tp"})
_TEXT_FIELDS: Final = frozenset({"symbol", "comment"})
_INT_FIELDS: Final = frozenset(
    {
        "action",
        "magic",
        "order",
        "deviation",
        "type",
        "type_filling",
        "type_time",
        "expiration",
        "position",
        "position_by",
    }
)


def checked(fn: object, args: object) -> tuple[Call, list[Any], dict[str, Any]]:
    """The call and its arguments, positional and keyword, ready for the module.

    Raises
    ------
    BadCall
        Unknown name, wrong number or type of arguments.
    """
    if not isinstance(fn, str) or fn not in CALLS:
        raise BadCall(f"no such function: {fn!r}")
    if not isinstance(args, list):
        raise BadCall(f"{fn}: arguments must be a list")
    call = CALLS[fn]
    args = list(args)
    keywords: dict[str, Any] = {}
    if call.keywords and args and isinstance(args[-1], dict):
        known = dict(call.keywords)
        for name, value in args.pop().items():
            if name not in known or not _is(value, known[name]):
                raise BadCall(f"{fn}: bad argument {name!r}")
            keywords[name] = value
    if not len(call.args) - call.optional <= len(args) <= len(call.args):
        raise BadCall(f"{fn}: takes {len(call.args)} arguments, {len(args)} given")
    for position, (value, kind) in enumerate(zip(args, call.args, strict=False)):
        if not _is(value, kind):
            raise BadCall(f"{fn}: argument {position + 1} must be {kind.__name__}")
    if dict in call.args:
        args[0] = _request(fn, args[0])
    return call, args, keywords


def is_new_risk(trade: dict[str, Any]) -> bool:
    """Whether a trade request makes an order that closes nothing; changing, closing and removing are wanted late as well."""
    return trade.get("action") == PENDING or (trade.get("action") == DEAL and not trade.get("position"))


def _is(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, float)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _request(fn: str, fields: dict[Any, Any]) -> dict[str, Any]:
    """A trade request with every field of the type the module wants; the module ignores unknown keys, we do not."""
    for name, value in fields.items():
        if not _fits(name, value):
            raise BadCall(f"{fn}: bad field {name!r}")
    return dict(fields)


def _fits(name: object, value: object) -> bool:
    if name in _FLOAT_FIELDS:
        return isinstance(value, float) and math.isfinite(value)
    if name in _INT_FIELDS:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return name in _TEXT_FIELDS and isinstance(value, str) and _units(value) <= TEXT_MAX


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


_SCALARS = (bool, int, float, str)
_PLAIN = frozenset({*_SCALARS, type(None)})


def plain(value: Any) -> Any:
    """A result of the module as values that can travel: structs as maps, arrays packed, numpy scalars as Python's."""
    if type(value) in _PLAIN or isinstance(value, _SCALARS):  # most values are plain, and there are many
        return value
    if isinstance(value, np.ndarray):
        return pack_array(value)
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "_asdict"):
        return {name: plain(field) for name, field in value._asdict().items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    raise BadCall(f"a result of type {type(value).__name__} cannot travel")
