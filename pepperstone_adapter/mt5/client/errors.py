"""Return codes of a trade request, in one table: what happened, and what a person can do.

Verdicts: *accepted* (fills come from deals), *refused* (the server or the terminal said no, nothing happened),
*unknown* (nobody knows: never resend, look in the broker's lists), *done* (nothing to change: taken as success),
*stale* (the order or position is not what we thought: refused, and the gateway's next look at the lists, within a second,
tells what it is).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pepperstone_adapter.common.errors import (
    LinkLost,
    NotFound,
    OrderRefused,
    OutcomeUnknown,
    PepperstoneError,
    RateLimited,
    VenueError,
)


class Verdict(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    DONE = "done"
    STALE = "stale"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Retcode:
    name: str
    verdict: Verdict
    text: str
    halt: bool = False  # no order can work until a person has acted


_R, _S = Verdict.REFUSED, Verdict.STALE
RETCODES: Final[dict[int, Retcode]] = {
    10004: Retcode("REQUOTE", _R, "the price moved; send again with a fresh price"),
    10006: Retcode("REJECT", _R, "the dealer refused"),
    10007: Retcode("CANCEL", _R, "canceled in the terminal"),
    10008: Retcode("PLACED", Verdict.ACCEPTED, ""),
    10009: Retcode("DONE", Verdict.ACCEPTED, ""),
    10010: Retcode("DONE_PARTIAL", Verdict.ACCEPTED, "filled in part"),
    10011: Retcode("ERROR", _R, "the server could not process the request"),
    10012: Retcode("TIMEOUT", Verdict.UNKNOWN, "the server did not answer in time"),
    10013: Retcode("INVALID", _R, "the request is not valid"),
    10014: Retcode("INVALID_VOLUME", _R, "check minimum, step and maximum volume of the symbol"),
    10015: Retcode("INVALID_PRICE", _R, "the price is on the wrong side of the market or off the tick"),
    10016: Retcode("INVALID_STOPS", _R, "stop loss or take profit is on the wrong side or too close"),
    10017: Retcode("TRADE_DISABLED", _R, "trading this symbol or account is disabled"),
    10018: Retcode("MARKET_CLOSED", _R, "the market is closed"),
    10019: Retcode("NO_MONEY", _R, "free margin is too small"),
    10020: Retcode("PRICE_CHANGED", _R, "the price moved; send again with a fresh price"),
    10021: Retcode("PRICE_OFF", _R, "no quotes to trade on"),
    10022: Retcode("INVALID_EXPIRATION", _R, "the expiration is not allowed or in the past"),
    10023: Retcode("ORDER_CHANGED", _S, "the order changed meanwhile"),
    10024: Retcode("TOO_MANY_REQUESTS", Verdict.THROTTLED, "too many requests"),
    10025: Retcode("NO_CHANGES", Verdict.DONE, "nothing to change"),
    10026: Retcode("SERVER_DISABLES_AT", _R, "the broker does not allow automated trading on this account", halt=True),
    10027: Retcode(
        "CLIENT_DISABLES_AT",
        _R,
        "press the 'Algo Trading' button in the terminal's toolbar so that it is green",
        halt=True,
    ),
    10028: Retcode("LOCKED", _S, "the request is locked for processing"),
    10029: Retcode("FROZEN", _S, "too close to the market to be changed"),
    10030: Retcode("INVALID_FILL", _R, "the symbol does not take this filling mode"),
    10031: Retcode("CONNECTION", Verdict.UNKNOWN, "the terminal has no connection to the trade server"),
    10032: Retcode("ONLY_REAL", _R, "allowed for live accounts only", halt=True),
    10033: Retcode("LIMIT_ORDERS", _R, "too many pending orders on the account"),
    10034: Retcode("LIMIT_VOLUME", _R, "the symbol's total volume limit is reached"),
    10035: Retcode("INVALID_ORDER", _R, "the symbol does not take this order type"),
    10036: Retcode("POSITION_CLOSED", _S, "the position is closed already"),
    10038: Retcode("INVALID_CLOSE_VOLUME", _S, "more than the position holds"),
    10039: Retcode("CLOSE_ORDER_EXIST", _S, "another closing order exists for the position"),
    10040: Retcode("LIMIT_POSITIONS", _R, "too many open positions on the account"),
    10041: Retcode("REJECT_CANCEL", _S, "the order was being canceled"),
    10042: Retcode("LONG_ONLY", _R, "the symbol can only be bought"),
    10043: Retcode("SHORT_ONLY", _R, "the symbol can only be sold"),
    10044: Retcode("CLOSE_ONLY", _R, "positions of the symbol can only be closed"),
    10045: Retcode("FIFO_CLOSE", _R, "positions must be closed in the order they were opened"),
    10046: Retcode("HEDGE_PROHIBITED", _R, "opposite positions of one symbol are not allowed"),
}

SWITCHED_OFF: Final = -8  # of last_error: 'Auto-Trading using Python API disabled in Terminal'
PYTHON_SWITCH: Final = (
    "in the terminal open Tools, Options, Expert Advisors and untick 'Disable automated trading via Python'"
)
NO_PYTHON: Final = "PYTHON_API_DISABLED"
REFUSED_HERE: Final = frozenset(
    {-2, -3, -5, -6, -7}
)  # arguments, memory, version, login, unsupported: before it leaves
NOT_SENT: Final = frozenset({-10_003, -10_004})  # no pipe to the terminal: nothing was written
IN_FLIGHT: Final = frozenset({-10_000, -10_001, -10_002, -10_005})  # the pipe broke during the call


def trade_error(retcode: int, comment: str, new: bool = False) -> PepperstoneError | None:
    """The error for a return code; None when the request was accepted or, unless it was for a `new` order, had nothing to
    do."""
    known = RETCODES.get(retcode)
    if known is None:
        # A code newer than this table: the server answered, but what it did is not known.
        return OutcomeUnknown(f"unknown return code {retcode} ({comment}); the broker's lists decide")
    text = "; ".join(part for part in (comment, known.text) if part)
    match known.verdict:
        case Verdict.ACCEPTED:
            return None
        case Verdict.DONE if not new:
            return None
        case Verdict.UNKNOWN:
            return OutcomeUnknown(f"{known.name}: {text}")
        case Verdict.THROTTLED:
            return RateLimited(known.name, text, retry_after_s=1.0)
        case Verdict.STALE if known.name == "POSITION_CLOSED":
            return NotFound(known.name, text)
        case _:
            return OrderRefused(known.name, text)


def call_error(fn: str, code: int, text: str) -> PepperstoneError:
    """The error for a failed call (its result was None or False) from ``last_error``.

    An order whose call broke in flight may have reached the server, so it is `OutcomeUnknown`, as it is for every code that
    does not say that the module itself refused it; a read is `LinkLost`.
    """
    where = f"{fn}: {code} {text}"
    if code in NOT_SENT:
        return LinkLost(f"{where}; the terminal is not attached")
    if code in IN_FLIGHT:
        return OutcomeUnknown(where) if fn == "order_send" else LinkLost(where)
    if code == SWITCHED_OFF:
        return OrderRefused(NO_PYTHON, PYTHON_SWITCH)
    if fn == "order_send":
        return OrderRefused(str(code), where) if code in REFUSED_HERE else OutcomeUnknown(where)
    return NotFound(str(code), where) if code == -4 else VenueError(str(code), where)
