"""What the supervisor decides, without any I/O: which request runs next, what becomes of requests when a worker dies.

One request is with the worker at a time, so that its deadline measures it alone. Orders go first, then reads, then pages
of history; and after anything else a page waits `REST_S`, because whoever closes a position asks for the price, then
sends, and must not find a page between the two. So an order waits for one page at most, and it may not be cut: the
module holds its process until it has answered. When a worker dies, the request it held is

* an order: **unknown**. Its key stays pending on disk; nobody sends it again, the client asks the broker's lists.
* a read: **lost**. The client may ask again.

Requests still waiting never reached the terminal: orders are answered **not_sent** and their keys released (an order
must not be sent minutes late by a replacement), reads wait for the next worker. For the same reason an order for new
risk that waited `ORDER_WAIT_MAX_S` behind another call (a first history call may take 45 s) is not sent any more;
closing, changing and removing are wanted late as well. The worker looks at that time too, when it begins with the order: it
may have been reading the first ticks of a symbol until then.
"""

import logging
import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pepperstone_adapter.mt5.gateway.calls import CALLS, BadCall, checked, is_new_risk
from pepperstone_adapter.mt5.gateway.keys import Kept, OrderKeys
from pepperstone_adapter.mt5.gateway.wire import Message

log = logging.getLogger("pepperstone.mt5_gateway")

type Reply = Callable[[Message], None]

ORDER_WAIT_MAX_S: Final = 5.0
REST_S: Final = 0.05


@dataclass(slots=True)
class _Request:
    client_id: object
    fn: str
    args: list[Any]
    key: str | None
    reply: Reply
    login: int | None
    taken_s: float

    @property
    def is_new_risk(self) -> bool:
        return self.key is not None and is_new_risk(self.args[0])


class Dispatcher:
    """The queue between clients and one worker.

    Parameters
    ----------
    keys
        Order keys on disk.
    send
        Hands a request to the worker; called only while none is in flight.
    patience
        Factor on every deadline.
    """

    def __init__(self, keys: OrderKeys, send: Callable[[Message], object], patience: float = 1.0) -> None:
        self._patience = patience
        self._keys = keys
        self._send = send
        self._orders: deque[_Request] = deque()
        self._reads: deque[_Request] = deque()
        self._pages: deque[_Request] = deque()
        self._quick_s = float("-inf")  # when something else than a page was last asked or answered
        self._flying: _Request | None = None
        self._deadline_s: float | None = None
        self._number = 0
        self._up = False

    @property
    def deadline_s(self) -> float | None:
        """Monotonic second after which the worker is taken for hung; None when nothing is in flight."""
        return self._deadline_s

    @property
    def waiting(self) -> int:
        return len(self._orders) + len(self._reads) + len(self._pages) + (self._flying is not None)

    def request(self, message: Message, may_trade: bool, reply: Reply, now_ns: int, now_s: float) -> None:
        """Take a client's request; `reply` is called once, now or later."""
        client_id = message.get("id")
        fn, args, key = message.get("fn"), message.get("args", []), message.get("key")
        login = message.get("login")
        try:
            call, _, _ = checked(fn, args)
            if call.trade and not may_trade:
                raise BadCall(f"{fn}: this client may only read")
            if call.trade and not (isinstance(key, str) and 8 <= len(key) <= 64):
                raise BadCall(f"{fn}: an order needs a key of 8 to 64 characters")
            if login is not None and not isinstance(login, int):
                raise BadCall(f"{fn}: login must be int")
        except BadCall as error:
            reply(_reply(client_id, "refused", error=[-2, str(error)]))
            return
        assert isinstance(fn, str)
        request = _Request(client_id, fn, args, key if call.trade else None, reply, login, now_s)
        if call.bulk:
            self._pages.append(request)
        elif request.key is None:
            self._reads.append(request)
        elif not self._up:
            reply(_reply(client_id, "not_sent", error=[-10_004, "no terminal"]))
            return
        else:
            try:
                kept = self._keys.claim(request.key, now_ns)
            except sqlite3.Error as error:  # a full disk: no order without a durable key
                text = f"the order's key cannot be kept ({error}); free space on the gateway's disk"
                reply(_reply(client_id, "not_sent", error=[-3, text]))
                return
            if kept is not None:
                reply(_again(client_id, kept))
                return
            self._orders.append(request)
        self._next(now_s)

    def key_state(self, key: str) -> Message:
        """What is kept for `key` without claiming it: answer, unknown, or absent."""
        kept = self._keys.look(key)
        if kept is None:
            return {"state": "absent"}
        if not kept.answer:
            return {"state": "unknown"}
        return {"state": "answered", "answer": kept.answer, "sent_ns": kept.created_ns}

    def worker_up(self, now_s: float) -> None:
        self._up = True
        self._next(now_s)

    def worker_down(self) -> None:
        """The worker died: settle what it held and what must not wait."""
        self._up = False
        flying, self._flying, self._deadline_s = self._flying, None, None
        if flying is not None:
            flying.reply(_reply(flying.client_id, "lost" if flying.key is None else "unknown"))
        while self._orders:
            self._give_back(self._orders.popleft(), "the terminal went away")

    def heard(self, now_s: float) -> None:
        """The worker is done with what kept it from the request in flight."""
        if self._flying is not None:
            self._deadline_s = now_s + CALLS[self._flying.fn].deadline_s * self._patience

    def answered(self, message: Message, now_s: float) -> None:
        """The worker's reply to the request in flight."""
        request = self._flying
        if request is None or message.get("id") != self._number:
            return
        self._flying, self._deadline_s = None, None
        if not CALLS[request.fn].bulk:
            self._quick_s = now_s
        answer = _reply(request.client_id, message["outcome"], message["data"], message["error"])
        if request.key is not None:
            try:
                self._keep(request.key, answer)
            except sqlite3.Error as error:  # the key stays pending, which is unknown after a restart: safe
                log.error("the answer to order key %s cannot be kept: %s", request.key, error)
        request.reply(answer)
        self._next(now_s)

    def on_time(self, now_s: float) -> None:
        """Begin what was put off; called about every `REST_S`."""
        self._next(now_s)

    def _keep(self, key: str, answer: Message) -> None:
        if answer["outcome"] == "answered":
            self._keys.settle(key, answer)
        elif answer["outcome"] in (
            "refused",
            "not_sent",
        ):  # it never reached the terminal; of anything else nobody can be sure
            self._keys.release(key)

    def _next(self, now_s: float) -> None:
        if not self._up or self._flying is not None:
            return
        while self._orders and self._orders[0].is_new_risk and now_s - self._orders[0].taken_s > ORDER_WAIT_MAX_S:
            waited = self._orders.popleft()
            self._give_back(waited, f"the terminal was busy for {now_s - waited.taken_s:.1f} s")
        queue = self._orders or self._reads
        if not queue and now_s - self._quick_s >= REST_S:
            queue = self._pages
        if not queue:
            return
        request = queue.popleft()
        self._number += 1
        self._flying = request
        self.heard(now_s)
        until_s = request.taken_s + ORDER_WAIT_MAX_S if request.is_new_risk else None
        message = {"t": "req", "id": self._number, "fn": request.fn, "args": request.args, "login": request.login}
        # A worker that dies before it has read this is followed by `worker_down`, which settles the request.
        self._send(message | {"until_s": until_s})

    def _give_back(self, order: _Request, reason: str) -> None:
        """An order that never left: its key is free again."""
        assert order.key is not None
        try:
            self._keys.release(order.key)
        except sqlite3.Error as error:  # the key stays pending, so the same order is not sent later either
            log.error("order key %s cannot be released: %s", order.key, error)
        order.reply(_reply(order.client_id, "not_sent", error=[-10_004, reason]))


def _reply(client_id: object, outcome: str, data: Any = None, error: list[Any] | None = None) -> Message:
    return {"t": "rep", "id": client_id, "outcome": outcome, "data": data, "error": error or [1, ""]}


def _again(client_id: object, kept: Kept) -> Message:
    """The answer to a key met before. No client sends an order again: who comes with the key of an order that the broker has
    has another one of the same name, whose node does not know of the first. The answer kept is of that one; taken for the
    new one's, it would make up its fill."""
    if kept.answer is None:
        return _reply(client_id, "unknown")
    if not (kept.answer["data"] or {}).get("order"):
        return kept.answer | {"id": client_id}  # a refusal, or nobody knows
    sent = datetime.fromtimestamp(kept.created_ns / 1e9, UTC)
    text = f"an order of this name was sent on {sent:%Y-%m-%d %H:%M:%S} UTC; nothing was sent now: give it another name"
    return _reply(client_id, "refused", error=[-2, text])
