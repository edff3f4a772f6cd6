"""One reactor thread, reached by futures, gone with the process."""

import select
import subprocess
import sys
import threading
import time

import pytest

from pepperstone_adapter.common.errors import LocalProtocolError
from pepperstone_adapter.network.promises import Promise, in_pool, spawn
from pepperstone_adapter.network.thread import NetworkThread


def test_there_is_one_and_it_runs_what_it_is_given() -> None:
    network = NetworkThread.shared()
    assert network is NetworkThread.shared()
    assert network.alive
    assert network.run(threading.current_thread).result(5).name == "network"


def test_an_exception_belongs_to_the_caller() -> None:
    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        NetworkThread.shared().run(fail).result(5)


def test_a_promise_and_a_coroutine_settle_the_future() -> None:
    network = NetworkThread.shared()

    def later() -> Promise[int]:
        promise: Promise[int] = Promise()
        network.reactor.callLater(0.01, promise.resolve, 42)
        return promise

    assert network.run(later).result(5) == 42

    async def twice() -> int:
        return await later() + await later()

    assert network.run(lambda: spawn(twice())).result(5) == 84

    async def broken() -> int:
        await later()
        raise ValueError("after a wait")

    with pytest.raises(ValueError, match="after a wait"):
        network.run(lambda: spawn(broken())).result(5)


def test_waiting_for_the_thread_inside_it_is_a_bug_that_says_so() -> None:
    network = NetworkThread.shared()
    with pytest.raises(LocalProtocolError):
        network.run(lambda: network.run(lambda: None)).result(5)


def test_what_must_be_done_at_once_is_done_once_and_in_order() -> None:
    network = NetworkThread.shared()
    done: list[int] = []
    for n in range(100):  # whether the thread waits, wakes up or is at work
        if n % 3 == 0:
            network.call(lambda: None)
        network.call_at_once(lambda n=n: done.append(n))  # type: ignore[misc]
    network.run(lambda: None).result(5)
    assert done == list(range(100))


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="a reactor on epoll gives its turn away")
def test_a_thread_that_waits_has_its_work_done_by_the_caller_and_does_nothing_meanwhile() -> None:
    network = NetworkThread.shared()
    network.run(lambda: None).result(5)
    order: list[str] = []
    heard = threading.Event()

    def work() -> None:
        order.append(threading.current_thread().name)
        network.call(lambda: (order.append("called"), heard.set()))
        assert not heard.wait(0.2)
        order.append("ended")

    while order == []:  # it may be at work at first
        network.run(lambda: None).result(5)
        network.call_at_once(lambda: work() if threading.current_thread().name != "network" else None)
    assert heard.wait(5)
    assert order == [threading.current_thread().name, "ended", "called"]


def test_what_was_called_before_runs_before_what_must_be_done_at_once() -> None:
    network = NetworkThread.shared()
    order: list[int] = []
    for n in range(0, 300, 3):
        network.call(order.append, n)
        network.call(order.append, n + 1)
        network.call_at_once(lambda n=n: order.append(n + 2))  # type: ignore[misc]
    network.run(lambda: None).result(5)
    assert order == list(range(300))


def test_a_timer_set_at_once_wakes_a_thread_that_would_have_slept_longer() -> None:
    network = NetworkThread.shared()
    network.run(lambda: None).result(5)
    rung = threading.Event()
    network.call_at_once(lambda: network.reactor.callLater(0.01, rung.set))
    assert rung.wait(5)


def test_what_fails_at_once_fails_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    network = NetworkThread.shared()
    network.run(lambda: None).result(5)
    network.call_at_once(lambda: [][1])
    assert network.run(lambda: 7).result(5) == 7
    assert "list index out of range" in caplog.text


def test_a_thread_that_is_busy_is_waited_for_a_moment_only() -> None:
    network = NetworkThread.shared()
    go, began, ended = threading.Event(), threading.Event(), threading.Event()

    def long() -> None:
        began.set()
        go.wait(5)

    network.call(long)
    assert began.wait(5)
    network.call_at_once(ended.set)
    assert not ended.is_set()
    go.set()
    assert ended.wait(5)


def test_standing_still_for_the_thread_inside_it_is_a_bug_that_says_so() -> None:
    network = NetworkThread.shared()
    with pytest.raises(LocalProtocolError):
        network.run(lambda: network.call_at_once(lambda: None)).result(5)


def test_calls_that_block_and_meet_start_no_thread_that_was_not_there() -> None:
    network = NetworkThread.shared()
    go = threading.Event()
    before = set(threading.enumerate())  # others' may end meanwhile
    futures = [network.run(lambda: in_pool(network.reactor, lambda: go.wait(5))) for _ in range(12)]
    network.run(lambda: None).result(5)
    assert set(threading.enumerate()) <= before
    go.set()
    assert all(future.result(5) for future in futures)


def test_timers_follow_the_monotonic_clock() -> None:
    # A wall clock corrected by minutes must not stop heartbeats (fault F53).
    network = NetworkThread.shared()
    assert network.run(lambda: abs(network.reactor.seconds() - time.monotonic())).result(5) < 1


def test_a_process_ends_at_once_even_while_a_name_is_looked_up() -> None:
    code = (
        "from pepperstone_adapter.network.thread import NetworkThread\n"
        "import threading, time\n"
        "network = NetworkThread.shared()\n"
        "from twisted.internet.threads import deferToThread\n"
        "started = threading.Event()\n"
        "network.call(lambda: deferToThread(lambda: (started.set(), time.sleep(600))) and None)\n"
        "assert started.wait(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
