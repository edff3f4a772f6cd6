"""One reactor thread, reached by futures, gone with the process."""

import subprocess
import sys
import threading
import time

import pytest

from pepperstone_adapter.common.errors import LocalProtocolError
from pepperstone_adapter.network.promises import Promise, spawn
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


def test_who_stands_still_for_the_thread_does_so_for_a_moment_only() -> None:
    network = NetworkThread.shared()
    go, began, ended = threading.Event(), threading.Event(), threading.Event()

    def long() -> None:
        began.set()
        go.wait(5)
        ended.set()

    network.call_at_once(long)
    assert not ended.is_set()  # it was not waited for to its end
    go.set()
    assert began.wait(5)
    assert ended.wait(5)


def test_standing_still_for_the_thread_inside_it_is_a_bug_that_says_so() -> None:
    network = NetworkThread.shared()
    with pytest.raises(LocalProtocolError):
        network.run(lambda: network.call_at_once(lambda: None)).result(5)


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
        "network.call(lambda: deferToThread(lambda: (started.set(), time.sleep(60))) and None)\n"
        "started.wait(5)\n"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], timeout=30, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < 15
