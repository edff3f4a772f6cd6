"""Budgets over a sliding second, order by priority, pauses by kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.common.rate_limit import Lane, PacedQueue, Pauses, RateWindow


def test_a_window_lets_no_second_hold_more_than_its_limit() -> None:
    window = RateWindow(2, 1.0)
    window.take(0.0)
    window.take(0.4)
    assert window.ready_s(0.5) == 1.0
    assert window.ready_s(1.0) == 1.0
    window.take(1.0)
    assert window.ready_s(1.1) == 1.4  # 0.4 and 1.0 are in it


def test_a_reserve_keeps_part_of_the_window_free() -> None:
    window = RateWindow(3, 1.0)
    window.take(0.0)
    assert window.ready_s(0.1, reserve=2) == 1.0
    assert window.ready_s(0.1, reserve=1) == 0.1


@given(
    st.lists(st.floats(0, 0.3), min_size=1, max_size=200),
    st.integers(1, 10),
)
def test_no_sliding_second_ever_holds_more_than_the_limit(steps: list[float], limit: int) -> None:
    window, now, sent = RateWindow(limit, 1.0), 0.0, []
    for step in steps:
        now = max(now + step, window.ready_s(now + step))
        window.take(now)
        sent.append(now)
    for start in sent:
        assert sum(start <= t < start + 1.0 for t in sent) <= limit


def queue(limit: int = 50) -> PacedQueue[str]:
    return PacedQueue(
        {"general": RateWindow(limit), "history": RateWindow(5)}, Pauses(), urgent=1, reserve={"general": 5}
    )


ORDER = Lane("general", "order", 1)
CANCEL = Lane("general", "cancel", 0)
READ = Lane("general", "read", 3)
HISTORY = Lane("history", "bars", 4)


def test_the_urgent_go_first_and_equals_keep_their_order() -> None:
    q = queue()
    for item, lane in [("read", READ), ("order 1", ORDER), ("order 2", ORDER), ("cancel", CANCEL)]:
        q.push(item, lane)
    assert [q.pop(0.0) for _ in range(5)] == ["cancel", "order 1", "order 2", "read", None]


def test_five_hundred_orders_leave_at_most_fifty_in_any_second_in_order() -> None:
    q, now, sent = queue(50), 0.0, []
    for n in range(500):
        q.push(str(n), ORDER)
    while len(q):
        ready = q.ready_s(now)
        assert ready is not None
        now = ready
        item = q.pop(now)
        assert item is not None
        sent.append((now, item))
    assert [item for _, item in sent] == [str(n) for n in range(500)]
    for start, _ in sent:
        assert sum(start <= t < start + 1.0 for t, _ in sent) <= 50
    assert now == pytest.approx(9.0)  # 50 at 0 s, 50 at 1 s, ... 50 at 9 s


def test_reads_leave_room_for_an_order() -> None:
    q = queue(10)
    for n in range(20):
        q.push(f"read {n}", READ)
    taken = [q.pop(0.0) for _ in range(6)]
    assert taken[:5] == [f"read {n}" for n in range(5)]
    assert taken[5] is None  # five of ten stay reserved
    q.push("order", ORDER)
    assert q.pop(0.0) == "order"


def test_history_does_not_use_the_orders_budget() -> None:
    q = queue()
    for n in range(10):
        q.push(f"bars {n}", HISTORY)
    q.push("order", ORDER)
    assert q.pop(0.0) == "order"
    assert [q.pop(0.0) for _ in range(6)] == ["bars 0", "bars 1", "bars 2", "bars 3", "bars 4", None]
    assert q.ready_s(0.0) == 1.0


def test_a_pause_holds_its_kind_only() -> None:
    pauses = Pauses()
    q: PacedQueue[str] = PacedQueue({"general": RateWindow(50)}, pauses)
    pauses.refuse("read", 7.0, now_s=0.0)
    q.push("read", READ)
    q.push("order", ORDER)
    assert q.pop(0.0) == "order"
    assert q.pop(6.9) is None
    assert q.ready_s(0.0) == 7.0
    assert q.pop(7.0) == "read"


def test_repeated_refusals_wait_longer_than_a_small_hint_and_success_forgets() -> None:
    pauses = Pauses()
    assert [pauses.refuse("bars", 1.0, now_s=t) for t in (0, 10, 20, 30)] == [1.0, 2.0, 4.0, 8.0]
    assert pauses.refuse("bars", 30.0, now_s=40) == 30.0  # the hint where it is larger
    pauses.succeed("bars")
    assert pauses.refuse("bars", 1.0, now_s=100) == 1.0


def test_a_burst_that_is_refused_together_is_one_refusal() -> None:
    pauses = Pauses()
    for told_s in (0.0, 0.01, 0.02):
        pauses.refuse("order", 1.0, now_s=told_s)
    assert pauses.ready_s("order", 0.5) == 1.02  # the last answer's hint, not 1 + 2 + 4
    assert pauses.refuse("order", 1.0, now_s=2.0) == 2.0  # the second burst waits longer


def test_removed_items_come_back_oldest_first_and_leave_the_rest() -> None:
    q = queue()
    for item, lane in [("a", READ), ("b", ORDER), ("c", READ)]:
        q.push(item, lane)
    assert q.remove(lambda item: item != "b") == ["a", "c"]
    assert list(q) == ["b"]


def test_a_nonsense_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="not a rate"):
        RateWindow(0)
