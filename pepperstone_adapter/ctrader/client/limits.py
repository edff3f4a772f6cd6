"""What the venue allows: 50 requests a second on a link, 5 of the historical kind, and a demo account's minute caps.

Requests bunch up on their way: what left in two bursts a second apart may arrive in less than that. So a "second" here
is `WINDOW_S` long, which forgives near a tenth of a second of jitter and still lets 44 requests a second through.
Orders and cancels may use the whole of it; reads leave a part free. Heartbeats are not counted. Which requests the
venue counts as historical is documented for bars, ticks and deals; the other lists are treated the same to be safe.

The minute caps are published for demo accounts (cTrader Algo pages); breaking one blocks trading for a minute, level
changes for thirty. We refuse before that, and keep the last of each budget for requests that reduce risk.
"""

from dataclasses import dataclass
from functools import cache

from pepperstone_adapter.common.errors import RateLimited
from pepperstone_adapter.common.rate_limit import Lane, RateWindow
from pepperstone_adapter.openapi import PayloadType

GENERAL_IN_WINDOW = 48
HISTORY_IN_WINDOW = 5
WINDOW_S = 1.09
GENERAL_RESERVE = 5
GENERAL = "general"
HISTORY = "history"

HISTORICAL = frozenset(
    {
        PayloadType.GET_TRENDBARS_REQ,
        PayloadType.GET_TICK_DATA_REQ,
        PayloadType.DEAL_LIST_REQ,
        PayloadType.DEAL_LIST_BY_POSITION_ID_REQ,
        PayloadType.DEAL_OFFSET_LIST_REQ,
        PayloadType.ORDER_LIST_REQ,
        PayloadType.ORDER_LIST_BY_POSITION_ID_REQ,
        PayloadType.CASH_FLOW_HISTORY_LIST_REQ,
    }
)
#: Requests that change orders or positions: answered by events, never sent twice.
TRADING = frozenset(
    {
        PayloadType.NEW_ORDER_REQ,
        PayloadType.CANCEL_ORDER_REQ,
        PayloadType.AMEND_ORDER_REQ,
        PayloadType.AMEND_POSITION_SLTP_REQ,
        PayloadType.CLOSE_POSITION_REQ,
    }
)
REDUCING = frozenset({PayloadType.CANCEL_ORDER_REQ, PayloadType.CLOSE_POSITION_REQ})
SESSION = frozenset(
    {
        PayloadType.APPLICATION_AUTH_REQ,
        PayloadType.ACCOUNT_AUTH_REQ,
        PayloadType.REFRESH_TOKEN_REQ,
        PayloadType.GET_ACCOUNT_LIST_BY_ACCESS_TOKEN_REQ,
        PayloadType.VERSION_REQ,
    }
)
URGENT = 1


@cache
def lane(payload_type: int, background: bool = False) -> Lane:
    """Where a request queues: what reduces risk first, then orders, then reads; `background` last."""
    if payload_type in REDUCING or payload_type in SESSION:
        priority = 0
    elif payload_type in TRADING:
        priority = URGENT
    else:
        priority = 3 if background else 2
    return Lane(HISTORY if payload_type in HISTORICAL else GENERAL, payload_type, priority)


@dataclass(frozen=True, slots=True)
class Cap:
    limit: int
    per_s: float
    keep: int  # of the limit, for requests that reduce risk


DEMO_CAPS: dict[int, tuple[Cap, ...]] = {
    PayloadType.NEW_ORDER_REQ: (Cap(500, 60, 25),),
    PayloadType.CANCEL_ORDER_REQ: (Cap(100, 60, 0),),
    PayloadType.AMEND_ORDER_REQ: (Cap(100, 60, 0),),
    PayloadType.CLOSE_POSITION_REQ: (Cap(2000, 60, 0),),
    PayloadType.AMEND_POSITION_SLTP_REQ: (Cap(1000, 60, 50), Cap(5000, 900, 250)),
}


class MinuteCaps:
    """Refuses a trading request that would break a minute cap.

    Parameters
    ----------
    caps
        Cap per payload type; empty for a live account, which has none published.
    """

    def __init__(self, caps: dict[int, tuple[Cap, ...]]) -> None:
        self._windows = {
            kind: [(cap, RateWindow(cap.limit, cap.per_s)) for cap in entries] for kind, entries in caps.items()
        }

    def take(self, payload_type: int, now_s: float, reduces_risk: bool = False) -> None:
        """Count one request.

        Raises
        ------
        RateLimited
            With code ``LOCAL_CAP``: nothing was sent; `retry_after_s` says when it may be.
        """
        windows = self._windows.get(payload_type, [])
        for cap, window in windows:
            wait_s = window.ready_s(now_s, 0 if reduces_risk else cap.keep) - now_s
            if wait_s > 0:
                what = PayloadType(payload_type).name.lower().removesuffix("_req")
                raise RateLimited(
                    "LOCAL_CAP",
                    f"not sent: {what} is limited to {cap.limit} in {cap.per_s:g} s on a demo account"
                    + ("" if reduces_risk or not cap.keep else f", the last {cap.keep} kept for closing")
                    + f"; free again in {wait_s:.1f} s",
                    wait_s,
                )
        for _, window in windows:
            window.take(now_s)
