from typing import Any

import pytest

from pepperstone_adapter.mt5.gateway.calls import CALLS
from pepperstone_adapter.mt5.gateway.dispatch import ORDER_WAIT_MAX_S, Dispatcher
from pepperstone_adapter.mt5.gateway.keys import OrderKeys

ORDER = {"t": "req", "id": 1, "fn": "order_send", "args": [{"action": 1, "volume": 0.1}], "key": "key-0001"}
READ = {"t": "req", "id": 2, "fn": "symbol_info", "args": ["EURUSD"]}


class Desk:
    """A dispatcher with what it sent and answered."""

    def __init__(self, up: bool = True, keys: OrderKeys | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.replies: list[dict[str, Any]] = []
        self.dispatcher = Dispatcher(keys or OrderKeys(":memory:"), self._send)
        if up:
            self.dispatcher.worker_up(0.0)

    def _send(self, message: dict[str, Any]) -> bool:
        self.sent.append(message)
        return True

    def ask(self, message: dict[str, Any], may_trade: bool = True, now_s: float = 0.0) -> None:
        self.dispatcher.request(message, may_trade, self.replies.append, 1, now_s)

    def answer(self, data: Any = None, outcome: str = "answered", now_s: float = 0.0) -> None:
        reply = {"t": "rep", "id": self.sent[-1]["id"], "outcome": outcome, "data": data, "error": [1, "Success"]}
        self.dispatcher.answered(reply, now_s)

    @property
    def outcomes(self) -> list[tuple[object, str]]:
        return [(r["id"], r["outcome"]) for r in self.replies]


def test_one_request_at_a_time_and_orders_first() -> None:
    desk = Desk()
    desk.ask(READ)
    desk.ask({**READ, "id": 3})
    desk.ask(ORDER)
    assert [m["fn"] for m in desk.sent] == ["symbol_info"]
    desk.answer()
    assert [m["fn"] for m in desk.sent] == ["symbol_info", "order_send"]
    desk.answer({"deal": 9})
    assert [m["fn"] for m in desk.sent] == ["symbol_info", "order_send", "symbol_info"]


def test_the_key_of_an_order_that_the_broker_has_is_refused_and_its_answer_is_not_given_to_another_order() -> None:
    desk = Desk()
    desk.ask(ORDER)
    desk.answer({"order": 9})
    desk.ask({**ORDER, "id": 77})
    assert len(desk.sent) == 1
    assert desk.outcomes == [(1, "answered"), (77, "refused")]
    assert desk.replies[-1]["data"] is None
    said = "an order of this name was sent on 1970-01-01 00:00:00 UTC; nothing was sent now: give it another name"
    assert desk.replies[-1]["error"][1] == said
    kept = desk.dispatcher.key_state("key-0001")
    assert (kept["state"], kept["answer"]["data"], kept["sent_ns"]) == ("answered", {"order": 9}, 1)


@pytest.mark.parametrize("data", [None, {"retcode": 10018, "order": 0}], ids=["no result", "refused"])
def test_a_repeated_key_without_an_order_at_the_broker_gets_the_stored_answer_and_is_never_sent_again(
    data: Any,
) -> None:
    desk = Desk()
    desk.ask(ORDER)
    desk.answer(data)
    desk.ask({**ORDER, "id": 77})
    assert len(desk.sent) == 1
    assert desk.replies[-1] == desk.replies[0] | {"id": 77}


def test_a_worker_that_dies_with_an_order_leaves_it_unknown_for_good() -> None:
    desk = Desk()
    desk.ask(ORDER)
    desk.dispatcher.worker_down()
    assert desk.outcomes == [(1, "unknown")]
    desk.dispatcher.worker_up(1.0)
    desk.ask({**ORDER, "id": 5})
    assert desk.outcomes[-1] == (5, "unknown")
    assert len(desk.sent) == 1
    assert desk.dispatcher.key_state("key-0001") == {"state": "unknown"}


def test_orders_that_never_left_are_said_so_and_may_be_tried_again() -> None:
    desk = Desk()
    desk.ask(READ)
    desk.ask(ORDER)
    desk.dispatcher.worker_down()
    assert desk.outcomes == [(2, "lost"), (1, "not_sent")]
    assert desk.dispatcher.key_state("key-0001") == {"state": "absent"}
    desk.dispatcher.worker_up(1.0)
    desk.ask(ORDER)
    assert desk.sent[-1]["fn"] == "order_send"


def test_reads_wait_for_the_next_worker_and_orders_do_not() -> None:
    desk = Desk(up=False)
    desk.ask(READ)
    desk.ask(ORDER)
    assert desk.outcomes == [(1, "not_sent")]
    desk.dispatcher.worker_up(1.0)
    desk.answer({"name": "EURUSD"})
    assert desk.outcomes[-1] == (2, "answered")


def test_a_worker_learns_until_when_an_order_for_new_risk_is_wanted() -> None:
    desk = Desk()
    desk.ask(ORDER, now_s=7.0)
    assert desk.sent[-1]["until_s"] == 7.0 + ORDER_WAIT_MAX_S
    desk.answer(outcome="not_sent")
    assert desk.dispatcher.key_state("key-0001") == {"state": "absent"}
    close = {**ORDER, "id": 4, "key": "key-0002", "args": [{"action": 1, "volume": 0.1, "position": 5}]}
    for message in (close, READ):
        desk.ask(message, now_s=8.0)
        assert desk.sent[-1]["until_s"] is None
        desk.answer()


def test_the_deadline_of_a_request_runs_from_when_the_worker_could_begin_with_it() -> None:
    desk = Desk()
    desk.ask(READ, now_s=1.0)
    assert desk.dispatcher.deadline_s == 1.0 + CALLS["symbol_info"].deadline_s
    desk.dispatcher.heard(9.0)
    assert desk.dispatcher.deadline_s == 9.0 + CALLS["symbol_info"].deadline_s
    desk.answer(now_s=10.0)
    desk.dispatcher.heard(11.0)
    assert desk.dispatcher.deadline_s is None


def test_a_late_reply_of_a_dead_worker_is_nobodys() -> None:
    desk = Desk()
    desk.ask(READ)
    late = desk.sent[-1]["id"]
    desk.dispatcher.worker_down()
    desk.dispatcher.worker_up(1.0)
    desk.ask({**READ, "id": 8})
    desk.dispatcher.answered({"t": "rep", "id": late, "outcome": "answered", "data": 1, "error": [1, ""]}, 1.0)
    assert (8, "answered") not in desk.outcomes


def test_readers_cannot_trade_and_orders_need_a_key() -> None:
    desk = Desk()
    desk.ask(ORDER, may_trade=False)
    desk.ask({**ORDER, "key": None})
    desk.ask({**ORDER, "key": "short"})
    assert desk.outcomes == [(1, "refused")] * 3
    assert desk.sent == []


def test_the_deadline_measures_the_call_alone() -> None:
    desk = Desk()
    assert desk.dispatcher.deadline_s is None
    desk.ask(READ, now_s=100.0)
    assert desk.dispatcher.deadline_s == 110.0
    desk.answer()
    assert desk.dispatcher.deadline_s is None


def test_an_order_for_new_risk_that_waited_too_long_is_not_sent_and_a_closing_one_is() -> None:
    desk = Desk()
    desk.ask(READ, now_s=0.0)
    desk.ask(ORDER, now_s=1.0)
    close = {**ORDER, "id": 4, "key": "key-0002", "args": [{"action": 1, "position": 77}]}
    desk.ask(close, now_s=1.0)
    desk.dispatcher.answered(
        {"t": "rep", "id": desk.sent[-1]["id"], "outcome": "answered", "data": 1, "error": [1, ""]}, 6.5
    )
    assert desk.outcomes == [(2, "answered"), (1, "not_sent")]
    assert "busy for 5.5 s" in desk.replies[-1]["error"][1]
    assert desk.sent[-1]["args"] == close["args"]
    assert desk.dispatcher.key_state("key-0001") == {"state": "absent"}


def test_an_order_the_module_threw_at_stays_unknown() -> None:
    desk = Desk()
    desk.ask(ORDER)
    desk.answer(outcome="unknown")
    assert desk.dispatcher.key_state("key-0001") == {"state": "unknown"}


def test_an_order_whose_answer_could_not_travel_is_never_sent_again() -> None:
    desk = Desk()
    desk.ask(ORDER)
    desk.answer(outcome="too_large")
    desk.ask({**ORDER, "id": 77})
    assert desk.outcomes == [(ORDER["id"], "too_large"), (77, "unknown")]
    assert len(desk.sent) == 1


def test_an_answer_that_cannot_be_kept_is_given_all_the_same() -> None:
    keys = OrderKeys(":memory:")
    desk = Desk(keys=keys)
    desk.ask(ORDER)
    desk.ask(READ)
    keys.close()  # the disk is gone
    desk.answer({"order": 9})
    assert desk.outcomes == [(1, "answered")]
    assert desk.sent[-1]["fn"] == "symbol_info"


def test_a_disk_that_takes_nothing_more_does_not_keep_waiting_orders_from_being_given_back() -> None:
    keys = OrderKeys(":memory:")
    desk = Desk(keys=keys)
    desk.ask(READ)
    desk.ask(ORDER)
    keys.close()
    desk.dispatcher.worker_down()
    assert desk.outcomes == [(2, "lost"), (1, "not_sent")]


def test_the_account_an_order_is_for_travels_with_it() -> None:
    desk = Desk()
    desk.ask({**ORDER, "login": 7})
    assert desk.sent[-1]["login"] == 7
    desk.ask({**ORDER, "key": "key-0002", "login": "7"})
    assert desk.outcomes == [(1, "refused")]


PAGE = {"t": "req", "id": 9, "fn": "copy_rates_range", "args": ["EURUSD", 1, 0, 60]}


def test_pages_of_history_go_last_and_none_goes_between_a_price_and_the_order_at_it() -> None:
    desk = Desk()
    for number in range(3):
        desk.ask({**PAGE, "id": number})
    desk.ask(READ, now_s=1.0)
    desk.answer(now_s=2.0)  # the first page; the price is read next
    desk.answer(now_s=2.0)
    desk.ask(ORDER, now_s=2.01)
    desk.answer({"deal": 9}, now_s=2.02)
    assert [m["fn"] for m in desk.sent] == ["copy_rates_range", "symbol_info", "order_send"]
    desk.dispatcher.on_time(2.06)
    assert len(desk.sent) == 3  # another order may follow
    desk.dispatcher.on_time(2.08)
    desk.answer(now_s=3.0)
    assert [m["fn"] for m in desk.sent[3:]] == ["copy_rates_range", "copy_rates_range"]  # no rest between pages
    assert desk.dispatcher.waiting == 1
