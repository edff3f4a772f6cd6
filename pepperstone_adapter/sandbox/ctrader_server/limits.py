"""Request limits of one connection, in sliding windows.

Real time counts, not the tape's: a limit protects the server. Over a limit a request is refused with the seconds to
wait, and the refusal holds for that payload type until then.
"""

from collections import deque

from pepperstone_adapter.openapi import PayloadType
from pepperstone_adapter.sandbox.settings import LimitSettings

#: The requests the venue documents as historical.
HISTORICAL = frozenset((PayloadType.GET_TRENDBARS_REQ, PayloadType.GET_TICK_DATA_REQ, PayloadType.DEAL_LIST_REQ))
LISTS = frozenset(
    (
        PayloadType.ORDER_LIST_REQ,
        PayloadType.ORDER_LIST_BY_POSITION_ID_REQ,
        PayloadType.DEAL_LIST_BY_POSITION_ID_REQ,
        PayloadType.CASH_FLOW_HISTORY_LIST_REQ,
    )
)


class _Window:
    def __init__(self, limit: int, per_s: float) -> None:
        self._limit = limit
        self._per_s = per_s
        self._taken: deque[float] = deque()

    def take(self, now_s: float) -> bool:
        while self._taken and self._taken[0] + self._per_s <= now_s:
            self._taken.popleft()
        if len(self._taken) >= self._limit:
            return False
        self._taken.append(now_s)
        return True


class Limits:
    def __init__(self, settings: LimitSettings, *, demo: bool) -> None:
        self._settings = settings
        self._historical = HISTORICAL | LISTS if settings.historical == "lists_too" else HISTORICAL
        self._requests = _Window(settings.requests_per_s, 1.0)
        self._history = _Window(settings.history_per_s, 1.0)
        self._quota = _Window(settings.history_quota_per_min, 60.0) if settings.history_quota_per_min else None
        caps = settings.demo_order_caps and demo
        self._caps = (
            {
                PayloadType.NEW_ORDER_REQ: _Window(settings.demo_orders_per_min, 60.0),
                PayloadType.CANCEL_ORDER_REQ: _Window(settings.demo_cancels_per_min, 60.0),
                PayloadType.AMEND_ORDER_REQ: _Window(settings.demo_amends_per_min, 60.0),
                PayloadType.CLOSE_POSITION_REQ: _Window(settings.demo_closes_per_min, 60.0),
                PayloadType.AMEND_POSITION_SLTP_REQ: _Window(settings.demo_protections_per_min, 60.0),
            }
            if caps
            else {}
        )
        # Beside its minute: a quarter of an hour, and then half an hour's block.
        self._protections = _Window(settings.demo_protections_per_15_min, 900.0) if caps else None
        self._blocked: dict[int, float] = {}

    def admit(self, payload_type: int, now_s: float) -> int | None:
        """None to let a request pass, else the seconds its type must wait."""
        if not self._settings.enabled:
            return None
        until = self._blocked.get(payload_type, 0.0)
        if now_s < until:
            return max(1, round(until - now_s + 0.5))
        wait_s = self._refuse(payload_type, now_s)
        if wait_s is not None:
            self._blocked[payload_type] = now_s + wait_s
        return wait_s

    def _refuse(self, payload_type: int, now_s: float) -> int | None:
        if payload_type in self._historical:
            if self._quota is not None and not self._quota.take(now_s):
                return 30
            return None if self._history.take(now_s) else self._settings.retry_after_s
        cap = self._caps.get(PayloadType(payload_type)) if payload_type in self._caps else None
        if cap is not None and not cap.take(now_s):
            return 60
        protects = payload_type == PayloadType.AMEND_POSITION_SLTP_REQ
        if protects and self._protections is not None and not self._protections.take(now_s):
            return 1_800
        return None if self._requests.take(now_s) else self._settings.retry_after_s
