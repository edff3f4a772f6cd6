"""Faults on command: what goes wrong between the ledger and a client, never in the ledger itself.

A rule names a direction, a message and a count, and what shall happen then; it is spent after `times` matches. Rules
act on the wire only, so whatever a client sees, the ledger's account of orders, deals and money stays the truth a
test judges by.

Requests (client -> broker)
    cut_before   the link breaks before the broker has read it: nothing was done
    cut_after    the broker does what was asked, then the link breaks before a word of the answer
    swallow      the broker never saw it, and says nothing
    mute         the broker does what was asked and says nothing about it on this link
    throttle     refused with a rate-limit error and `seconds` to wait
    error        refused with the error code in `text`
    token_loss   the grants behind this link are revoked (AccountsTokenInvalidatedEvent), then it is handled
    account_disconnect, client_disconnect
                 the sessions or the links of everyone end (reason in `text`), then it is handled, or is not
    maintenance  every request is refused for `seconds` (0 = until ended by hand)
    flicker      ReconcileReq: everything open is missing from this answer and the next `copies` - 1
Replies and events (broker -> client)
    drop         this message never arrives
    delay        it arrives `seconds` late, later ones pass it (late reply, reordering)
    slow         it and everything behind it arrive `seconds` late
    duplicate    it arrives `copies` times more
    swap         it arrives after the next message
    truncate     half of its frame, then the link breaks
    stall        half of its frame, then nothing more: the link looks alive
    oversize     a frame header that promises 2 GiB follows it
    empty        a frame of length zero precedes it
    garbage      its frame holds bytes that are no message
    nested       its message is groups within groups, five thousand deep
    padded       a field of the future makes its frame 16 MB long: valid, and above any cap
    slice        its frame leaves one byte at a time
    unknown_field, unknown_enum, unknown_type
                 what a newer server may say: a field, an enumeration value, a message nobody knows
    missing      its money-relevant required fields are left out
    cut_before   the link breaks before it is written
    cut_after    the link breaks right after it
Either
    silence      the broker neither reads nor writes on this link for `seconds` (0 = for ever): half-open
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from pepperstone_adapter.common.settings import StrictModel


class FaultKind(StrEnum):
    CUT_BEFORE = "cut_before"
    CUT_AFTER = "cut_after"
    SWALLOW = "swallow"
    MUTE = "mute"
    THROTTLE = "throttle"
    ERROR = "error"
    DROP = "drop"
    DELAY = "delay"
    SLOW = "slow"
    DUPLICATE = "duplicate"
    SWAP = "swap"
    TRUNCATE = "truncate"
    STALL = "stall"
    OVERSIZE = "oversize"
    EMPTY = "empty"
    GARBAGE = "garbage"
    NESTED = "nested"
    PADDED = "padded"
    SLICE = "slice"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_ENUM = "unknown_enum"
    UNKNOWN_TYPE = "unknown_type"
    MISSING = "missing"
    SILENCE = "silence"
    TOKEN_LOSS = "token_loss"  # noqa: S105 - a kind of fault
    ACCOUNT_DISCONNECT = "account_disconnect"
    CLIENT_DISCONNECT = "client_disconnect"
    MAINTENANCE = "maintenance"
    FLICKER = "flicker"


REQUEST_ONLY = frozenset(
    (
        FaultKind.SWALLOW,
        FaultKind.MUTE,
        FaultKind.THROTTLE,
        FaultKind.ERROR,
        FaultKind.TOKEN_LOSS,
        FaultKind.ACCOUNT_DISCONNECT,
        FaultKind.CLIENT_DISCONNECT,
        FaultKind.MAINTENANCE,
        FaultKind.FLICKER,
    )
)
EITHER = frozenset((FaultKind.CUT_BEFORE, FaultKind.CUT_AFTER, FaultKind.SILENCE))
#: What the OAuth pages can do (message ``OAuthToken``, on request).
OAUTH = frozenset((FaultKind.GARBAGE, FaultKind.SWAP, FaultKind.ERROR, FaultKind.THROTTLE))


class FaultRule(StrictModel):
    """One fault.

    Attributes
    ----------
    on
        ``request`` matches what a client sends, ``reply`` what the broker sends (answers and events).
    message
        Message name as in the schema (``NewOrderReq``, ``ExecutionEvent``), or None for any but heartbeats.
    execution
        For ``ExecutionEvent``: only this execution type (``ORDER_FILLED``).
    after
        Let so many matches pass first.
    times
        Act on so many matches; 0 = on every one.
    seconds, copies, text
        What the kind needs.
    """

    kind: FaultKind
    on: Literal["request", "reply"] = "reply"
    message: str | None = None
    execution: str | None = None
    after: int = Field(0, ge=0)
    times: int = Field(1, ge=0)
    seconds: float = Field(0.0, ge=0)
    copies: int = Field(1, ge=1)
    text: str = ""

    @model_validator(mode="after")
    def _check(self) -> "FaultRule":
        if self.kind in EITHER or (self.message == "OAuthToken" and self.kind in OAUTH and self.on == "request"):
            return self
        wanted = "request" if self.kind in REQUEST_ONLY else "reply"
        if self.on != wanted:
            raise ValueError(f"a fault of kind {self.kind} acts on a {wanted}; write 'on: {wanted}'")
        return self


class FaultSettings(StrictModel):
    rules: tuple[FaultRule, ...] = ()


@dataclass(slots=True)
class _Armed:
    rule: FaultRule
    seen: int = 0
    done: int = 0


class Faults:
    """The armed rules, in order; the first that matches and is due wins."""

    def __init__(self, rules: tuple[FaultRule, ...] = ()) -> None:
        self._armed = [_Armed(rule) for rule in rules]

    def add(self, rule: FaultRule) -> None:
        self._armed.append(_Armed(rule))

    def clear(self) -> None:
        self._armed.clear()

    @property
    def pending(self) -> tuple[FaultRule, ...]:
        """Rules that have not acted as often as they should."""
        return tuple(a.rule for a in self._armed if a.rule.times == 0 or a.done < a.rule.times)

    def match(self, on: str, message: str, execution: str | None = None) -> FaultRule | None:
        """Count one message against every rule; return the rule that acts on it."""
        acting: FaultRule | None = None
        for armed in self._armed:
            rule = armed.rule
            if rule.on != on or (rule.message is None and message == "HeartbeatEvent"):
                continue
            if rule.message is not None and rule.message != message:
                continue
            if rule.execution is not None and rule.execution != execution:
                continue
            armed.seen += 1
            if armed.seen <= rule.after or (rule.times and armed.done >= rule.times) or acting is not None:
                continue
            armed.done += 1
            acting = rule
        return acting
