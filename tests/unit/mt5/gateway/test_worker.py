"""One request in the worker, on a terminal of plain functions."""

import time
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

from pepperstone_adapter.mt5.gateway.wire import TICKS_DTYPE, WireError
from pepperstone_adapter.mt5.gateway.worker import Pace, Worker, answer

Account = namedtuple("Account", "login")
ORDER = {"t": "req", "id": 3, "fn": "order_send", "args": [{"action": 1, "volume": 0.1}]}


class Terminal:
    """Logged in to account 7; `order_send` keeps what it was given."""

    def __init__(self, login: int | None = 7) -> None:
        self._login = login
        self.sent: list[dict[str, Any]] = []

    def account_info(self) -> Any:
        return None if self._login is None else Account(self._login)

    def order_send(self, **request: Any) -> tuple[int, ...]:
        if request.get("magic", 0) > 2**63:
            raise SystemError("returned NULL without setting an exception")
        self.sent.append(request)
        return (10009,)

    def copy_ticks_from(self, _symbol: str, _date: int, _count: int, _flags: int) -> Any:
        raise SystemError("returned NULL without setting an exception")

    def orders_total(self) -> int:
        return 5

    def last_error(self) -> tuple[int, str]:
        return (1, "Success")


@pytest.mark.parametrize(
    ("shown", "named", "gateways", "sent"),
    [
        (7, 7, None, True),  # the gateway was started without --login: the order's own account decides
        (8, 7, None, False),
        (8, 7, 8, False),
        (7, 7, 8, False),
        (8, None, 7, False),
        (None, 7, None, False),  # logged out
        (7, None, None, True),
    ],
)
def test_an_order_reaches_only_the_account_it_is_for(
    shown: int | None, named: int | None, gateways: int | None, sent: bool
) -> None:
    terminal = Terminal(shown)
    reply = answer(terminal, ORDER | {"login": named}, gateways)
    assert len(terminal.sent) == sent
    assert reply["outcome"] == ("answered" if sent else "refused")
    if not sent:
        assert "log in again in the terminal" in reply["error"][1]


@pytest.mark.parametrize(("named", "outcome"), [(7, "answered"), (8, "refused"), (None, "answered")])
def test_the_lists_of_an_account_are_read_of_no_other(named: int | None, outcome: str) -> None:
    read = {"t": "req", "id": 1, "fn": "orders_total", "args": [], "login": named}
    # Only what the request names counts: a gateway started for another account still reads.
    assert answer(Terminal(7), read, 9)["outcome"] == outcome


def test_a_call_the_module_throws_at_does_not_end_the_worker() -> None:
    read = {"t": "req", "id": 1, "fn": "copy_ticks_from", "args": ["EURUSD", 2**40, 10, 1]}
    reply = answer(Terminal(), read)
    assert (reply["outcome"], reply["error"][1][:28]) == ("refused", "copy_ticks_from: SystemError")
    # An order may have left before it threw: nobody may call it refused.
    assert answer(Terminal(), {**ORDER, "args": [{"action": 1, "magic": 2**63 + 1}]})["outcome"] == "unknown"


def test_an_answer_too_large_for_a_frame_is_said_so() -> None:
    written: list[dict[str, Any]] = []

    def write(message: dict[str, Any]) -> None:
        if message["outcome"] == "answered":
            raise WireError("frame of 40000000 bytes is over the limit")
        written.append(message)

    Worker(Terminal(), write, Pace(0.01, 0.05)).handle({"t": "req", "id": 9, "fn": "orders_total", "args": []})
    assert [(m["id"], m["outcome"], m["data"]) for m in written] == [(9, "too_large", None)]
    assert "ask for less" in written[0]["error"][1]


class Slow:
    """Symbols whose newest tick takes a millisecond of `now_s` to be read and is the same for ever; no trades."""

    now_s = 0.0

    def symbol_select(self, _symbol: str, _on: bool) -> bool:
        return True

    def symbol_info_tick(self, _symbol: str) -> Any:
        self.now_s += 0.001
        return namedtuple("Tick", "time_msc bid ask")(1_600_000_000_000, 1.1, 1.2)

    def copy_ticks_from(self, *_args: Any) -> Any:
        return np.zeros(0, TICKS_DTYPE)

    def history_deals_get(self, *_window: int) -> tuple[()]:
        return ()

    def orders_total(self, *_window: int) -> int:
        return 0

    def account_info(self) -> Any:
        return namedtuple("Row", "login connected")(7, True)

    orders_get = positions_get = history_deals_get
    history_deals_total = positions_total = orders_total
    terminal_info = account_info


def test_the_rest_of_a_pass_follows_without_a_pause_and_the_pace_is_that_of_the_whole() -> None:
    written: list[dict[str, Any]] = []
    terminal = Slow()
    worker = Worker(terminal, written.append, Pace(0.01, 0.05), clock_s=lambda: terminal.now_s)
    for number in range(15):
        worker.handle({"t": "sub", "on": True, "symbol": f"S{number}"})
    at_ns = 1_600_000_000_000_000_000
    # The first turn tells account and terminal; both are of the first pass, so that pass was busy.
    assert [worker.poll(at_ns), worker.poll(at_ns)] == [0.0, 0.01]
    assert [worker.poll(at_ns), worker.poll(at_ns)] == [0.0, 0.0125]
    # A symbol's first read is announced.
    assert [message["t"] for message in written if message["t"] != "reading"] == ["ev", "beat"]
    assert len(written) == 15 + 2


def test_a_worker_with_nothing_to_tell_shows_that_it_lives_though_our_clock_stands_still() -> None:
    written: list[dict[str, Any]] = []
    terminal = Slow()
    worker = Worker(terminal, written.append, Pace(0.01, 0.05), clock_s=lambda: terminal.now_s)
    at_ns = 1_600_000_000_000_000_000
    for _ in range(5):
        worker.poll(at_ns)
        terminal.now_s += 0.6
    # The first poll tells account and terminal; then a beat at 0.6, none at 1.2, one at 1.8 and none at 2.4 seconds.
    assert [message["t"] for message in written] == ["ev", "beat", "beat"]


def test_an_order_for_new_risk_that_waited_behind_a_slow_look_is_not_sent_late() -> None:
    """It was handed over while the poller read the first ticks of a symbol, which the terminal had to fetch."""
    terminal, written = Terminal(), list[dict[str, Any]]()
    worker = Worker(terminal, written.append, Pace(0.01, 0.05))
    worker.handle(ORDER | {"until_s": time.monotonic() - 0.001})
    assert terminal.sent == []
    assert [(m["id"], m["outcome"]) for m in written] == [(3, "not_sent")]
    assert "busy" in written[0]["error"][1]
    for until_s in (time.monotonic() + 3600, None):
        worker.handle(ORDER | {"until_s": until_s})
    assert len(terminal.sent) == 2


def test_a_worker_says_before_it_reads_a_symbol_that_the_terminal_may_have_to_fetch_and_then_no_more() -> None:
    written: list[dict[str, Any]] = []
    terminal = Slow()
    worker = Worker(terminal, written.append, Pace(0.01, 0.05), clock_s=lambda: terminal.now_s)
    worker.handle({"t": "sub", "on": True, "symbol": "A"})
    said: list[str] = []
    read = terminal.copy_ticks_from

    def copy_ticks_from(*args: Any) -> Any:
        said.append(",".join(message["t"] for message in written))
        return None if len(said) == 1 else read(*args)

    terminal.copy_ticks_from = copy_ticks_from  # type: ignore[method-assign]
    terminal.last_error = lambda: (-1, "Terminal: Call failed")  # type: ignore[attr-defined]
    at_ns = 1_600_000_000_000_000_000
    for turn in range(4):
        worker.poll(at_ns + turn * 2_000_000_000)
    # To begin with it is read twice; the first answer is none yet.
    assert said[:2] == ["reading", "reading"]
    assert [message["t"] for message in written].count("reading") == 1
