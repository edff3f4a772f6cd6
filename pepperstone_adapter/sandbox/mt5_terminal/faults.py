"""Faults of the terminal on command. They act between the module and the books, so the ledger stays the truth.

cut_before   the pipe breaks and nothing was done
cut_after    the terminal does what was asked, then the pipe breaks before a word of the answer
hang_before  no answer for `seconds` (0 = until the faults are cleared); the work is done after them
hang_after   the work is done at once, the answer comes after `seconds`
error        None with ``last_error`` = (`code`, `text`), nothing done
error_after  the same, and yet it was done
retcode      `order_send` answers `code`, nothing done (10004 requote, 10031 no connection, …)
retcode_after  the same, and yet it was done (10012: the server was slow, not idle)
empty        reads find nothing
duplicate    reads of orders, positions, deals and symbols give every row twice
"""

import asyncio
import contextlib
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from pepperstone_adapter.common.settings import StrictModel


class Mt5FaultKind(StrEnum):
    CUT_BEFORE = "cut_before"
    CUT_AFTER = "cut_after"
    HANG_BEFORE = "hang_before"
    HANG_AFTER = "hang_after"
    ERROR = "error"
    ERROR_AFTER = "error_after"
    RETCODE = "retcode"
    RETCODE_AFTER = "retcode_after"
    EMPTY = "empty"
    DUPLICATE = "duplicate"


class Mt5Fault(StrictModel):
    """One fault: `fn` names a function of the module (None: any), the rest is as in `sandbox.faults`."""

    kind: Mt5FaultKind
    fn: str | None = None
    after: int = Field(0, ge=0)
    times: int = Field(1, ge=0)
    seconds: float = Field(0.0, ge=0)
    code: int = 0
    text: str = ""


@dataclass(slots=True)
class _Armed:
    rule: Mt5Fault
    seen: int = 0
    done: int = 0


class Mt5Faults:
    """The armed faults; the first that matches and is due acts."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []
        self._cleared = asyncio.Event()

    def add(self, rule: Mt5Fault) -> None:
        self._armed.append(_Armed(rule))

    def clear(self) -> None:
        """Disarm all of them; what hangs goes on."""
        self._armed.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    async def hang(self, seconds: float) -> None:
        """For `seconds`, or until the faults are cleared."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._cleared.wait(), seconds or None)

    def match(self, fn: str) -> Mt5Fault | None:
        acting: Mt5Fault | None = None
        for armed in self._armed:
            if armed.rule.fn is not None and armed.rule.fn != fn:
                continue
            armed.seen += 1
            spent = armed.rule.times and armed.done >= armed.rule.times
            if acting is None and armed.seen > armed.rule.after and not spent:
                armed.done += 1
                acting = armed.rule
        return acting
