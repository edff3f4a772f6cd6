"""The simulated terminal's module, call by call: results and `last_error` as measured on the wheel 5.0.6231.

Every row of the tables is one call on a fresh connection. Texts marked by `...` were not measured; only their code is
held. The terminal runs in this process on a thread of its own and the module talks to it over its pipe.
"""

import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pepperstone_adapter.sandbox.mt5_terminal import connect
from pepperstone_adapter.sandbox.mt5_terminal.module import Mt5Module
from pepperstone_adapter.sandbox.mt5_terminal.structs import CONSTANTS, FIELDS, STRUCTS
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.mt5 import LOGIN, NETTING, broker, fault

SUCCESS = (1, "Success")
INVALID = (-2, "Invalid arguments")
NO_IPC = (-10_004, "No IPC connection")
NONE_FOUND: tuple[Any, ...] = ()
EMPTY: dict[str, Any] = {}
Y2001 = datetime(2001, 1, 1, tzinfo=UTC)


def bad(field: str) -> tuple[int, str]:
    return (-2, f'Invalid "{field}" argument')


def deal(**changes: Any) -> dict[str, Any]:
    request = {
        "action": 1,
        "symbol": "EURUSD",
        "volume": 0.1,
        "type": 0,
        "price": 1.1001,
        "deviation": 10,
        "magic": 7,
        "comment": "test",
        "type_filling": 1,
    }
    return {key: value for key, value in (request | changes).items() if value is not ...}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    running = broker(tmp_path_factory.mktemp("broker"), selected=("EURUSD", "USDJPY"))
    yield running
    running.stop()


@pytest.fixture
def mt5(sandbox: Sandbox) -> Iterator[Any]:
    module = connect({"PEPPERSTONE_SANDBOX_MT5": f"127.0.0.1:{sandbox.ports.mt5}"})
    assert module.initialize()
    yield module
    module.shutdown()


# (call, result, last_error); a text of `...` was not measured
type Row = tuple[str, Callable[[Any], Any], Any, tuple[int, Any]]

UNCONNECTED: list[Row] = [
    ("last_error before any call", lambda m: m.last_error(), (0, ""), (0, "")),
    ("version", lambda m: m.version(), (0, 0, ""), NO_IPC),
    ("terminal_info", lambda m: m.terminal_info(), None, NO_IPC),
    ("account_info", lambda m: m.account_info(), None, NO_IPC),
    ("symbols_total", lambda m: m.symbols_total(), None, (-5, ...)),
    ("symbols_get", lambda m: m.symbols_get(), None, (-5, ...)),
    ("symbol_info", lambda m: m.symbol_info("EURUSD"), None, (-5, ...)),
    ("symbol_info_tick", lambda m: m.symbol_info_tick("EURUSD"), None, NO_IPC),
    ("symbol_select", lambda m: m.symbol_select("EURUSD", True), False, NO_IPC),
    ("market_book_add", lambda m: m.market_book_add("EURUSD"), False, SUCCESS),
    ("market_book_release", lambda m: m.market_book_release("EURUSD"), False, SUCCESS),
    ("market_book_get", lambda m: m.market_book_get("EURUSD"), None, NO_IPC),
    ("copy_rates_from", lambda m: m.copy_rates_from("EURUSD", 1, 1_700_000_000, 10), None, NO_IPC),
    ("copy_ticks_from", lambda m: m.copy_ticks_from("EURUSD", 1_700_000_000, 10, -1), None, NO_IPC),
    ("orders_total", lambda m: m.orders_total(), None, NO_IPC),
    ("positions_get", lambda m: m.positions_get(), None, NO_IPC),
    ("history_deals_get", lambda m: m.history_deals_get(1, 2_000_000_000), None, NO_IPC),
    ("order_send", lambda m: m.order_send(deal()), None, NO_IPC),
    ("order_check", lambda m: m.order_check(deal()), None, NO_IPC),
    ("shutdown", lambda m: m.shutdown(), True, SUCCESS),
]

ARGUMENTS: list[Row] = [
    ("initialize: float timeout", lambda m: m.initialize(timeout=1.5), False, bad("timeout")),
    ("initialize: text login", lambda m: m.initialize(login="1"), False, bad("login")),
    ("initialize: number as path", lambda m: m.initialize(5), False, bad("path")),
    ("login: no number", lambda m: m.login(), False, INVALID),
    ("symbol_info: a number", lambda m: m.symbol_info(5), None, INVALID),
    ("symbol_info: 30 units", lambda m: m.symbol_info("X" * 30), None, INVALID),
    ("symbol_info: unknown", lambda m: m.symbol_info("NOPE"), None, (-4, ...)),
    ("symbol_info_tick: unknown", lambda m: m.symbol_info_tick("NOPE"), None, (-4, ...)),
    ("symbol_info_tick: not selected", lambda m: m.symbol_info_tick("XAUUSD"), None, (-4, ...)),
    ("symbol_select: unknown", lambda m: m.symbol_select("NOPE", True), False, (-4, ...)),
    ("symbols_get: a number", lambda m: m.symbols_get(5), False, INVALID),
    ("symbols_get: two groups", lambda m: m.symbols_get("*", group="*"), False, INVALID),
    ("copy_rates_from: numpy date", lambda m: m.copy_rates_from("EURUSD", 1, np.int64(1_700_000_000), 5), None, INVALID),
    ("copy_rates_from: date 0", lambda m: m.copy_rates_from("EURUSD", 1, 0, 5), None, INVALID),
    ("copy_rates_from_pos: float count", lambda m: m.copy_rates_from_pos("EURUSD", 1, 0, 5.0), None, INVALID),
    ("copy_rates_from_pos: timeframe 7", lambda m: m.copy_rates_from_pos("EURUSD", 7, 0, 5), None, (-2, ...)),
    ("copy_ticks_from: numpy count", lambda m: m.copy_ticks_from("EURUSD", 1_700_000_000, np.int32(5), -1), None, INVALID),
    ("copy_ticks_from: flags 9", lambda m: m.copy_ticks_from("EURUSD", 1_700_000_000, 5, 9), None, (-2, ...)),
    ("orders_get: positional", lambda m: m.orders_get("EURUSD"), None, (-2, ...)),
    ("orders_get: unknown filter", lambda m: m.orders_get(magic=7), None, INVALID),
    ("orders_get: two filters", lambda m: m.orders_get(symbol="EURUSD", ticket=1), None, INVALID),
    ("positions_get: numpy ticket", lambda m: m.positions_get(ticket=np.int64(1)), None, bad("ticket")),
    ("history_deals_get: nothing", lambda m: m.history_deals_get(), None, INVALID),
    ("history_deals_get: dates by name", lambda m: m.history_deals_get(date_from=1, date_to=2), None, INVALID),
    ("history_deals_get: one date", lambda m: m.history_deals_get(1_700_000_000), None, INVALID),
    ("history_orders_get: dates and ticket", lambda m: m.history_orders_get(1, 2, ticket=3), None, INVALID),
    ("order_send: nothing", lambda m: m.order_send(), None, INVALID),
    ("order_send: a list", lambda m: m.order_send([("action", 1)]), None, INVALID),
    ("order_send: empty keyword map", lambda m: m.order_send(deal(), **EMPTY), None, (-2, "Unnamed arguments not allowed")),
    ("order_check: empty keyword map", lambda m: m.order_check(deal(), **EMPTY), None, (-2, "Unnamed arguments not allowed")),
    ("order_send: int volume", lambda m: m.order_send(deal(volume=1)), None, bad("volume")),
    ("order_send: float32 volume", lambda m: m.order_send(deal(volume=np.float32(0.1))), None, bad("volume")),
    ("order_send: int price", lambda m: m.order_send(deal(price=1)), None, bad("price")),
    ("order_send: int sl", lambda m: m.order_send(deal(sl=0)), None, bad("sl")),
    ("order_send: text magic", lambda m: m.order_send(deal(magic="7")), None, bad("magic")),
    ("order_send: numpy magic", lambda m: m.order_send(deal(magic=np.int64(7))), None, bad("magic")),
    ("order_send: float deviation", lambda m: m.order_send(deal(deviation=10.0)), None, bad("deviation")),
    ("order_send: float type", lambda m: m.order_send(deal(type=0.0)), None, bad("type")),
    ("order_send: bytes symbol", lambda m: m.order_send(deal(symbol=b"EURUSD")), None, bad("symbol")),
    ("order_send: comment of 30", lambda m: m.order_send(deal(comment="c" * 30)), None, bad("comment")),
    ("order_send: comment of 15 pairs", lambda m: m.order_send(deal(comment="😀" * 15)), None, bad("comment")),
    ("order_send: expiration as datetime", lambda m: m.order_send(deal(expiration=datetime.now(UTC))), None, bad("expiration")),
    ("order_send: None as volume", lambda m: m.order_send(deal(volume=None)), None, bad("volume")),
    ("order_calc_margin: int volume", lambda m: m.order_calc_margin(0, "EURUSD", 1, 1.1), None, INVALID),
    ("order_calc_profit: unknown", lambda m: m.order_calc_profit(0, "NOPE", 1.0, 1.1, 1.2), None, (-4, ...)),
]  # fmt: skip

ANSWERS: list[Row] = [
    ("initialize", lambda m: m.initialize(), True, SUCCESS),
    ("version", lambda m: m.version()[:2], (500, 5430), SUCCESS),
    ("symbols_total", lambda m: m.symbols_total(), 3, SUCCESS),
    ("symbols_get: group", lambda m: [s.name for s in m.symbols_get("*USD*, !EUR*")], ["USDJPY", "XAUUSD"], SUCCESS),
    ("symbols_get: group by name", lambda m: [s.name for s in m.symbols_get(group="EUR*")], ["EURUSD"], SUCCESS),
    ("symbol_info", lambda m: m.symbol_info("EURUSD").digits, 5, SUCCESS),
    ("symbol_info: not selected has no price", lambda m: m.symbol_info("XAUUSD").bid, 0.0, SUCCESS),
    ("symbol_info_tick", lambda m: m.symbol_info_tick("EURUSD").ask, 1.1001, SUCCESS),
    ("symbol_select: default", lambda m: m.symbol_select("EURUSD"), True, SUCCESS),
    ("market_book_add", lambda m: m.market_book_add("EURUSD"), True, SUCCESS),
    ("market_book_get: no depth", lambda m: m.market_book_get("EURUSD"), NONE_FOUND, SUCCESS),
    ("copy_ticks_from: none yet", lambda m: len(m.copy_ticks_from("EURUSD", 2_000_000_000, 5, -1)), 0, SUCCESS),
    ("copy_ticks_from: trades", lambda m: len(m.copy_ticks_from("EURUSD", 1_000_000_000, 5, 2)), 0, SUCCESS),
    ("copy_rates_from_pos", lambda m: float(m.copy_rates_from_pos("EURUSD", 1, 0, 1)["close"][0]), 1.1, SUCCESS),
    ("orders_total", lambda m: m.orders_total(), 0, SUCCESS),
    ("positions_total", lambda m: m.positions_total(), 0, SUCCESS),
    ("orders_get: none", lambda m: m.orders_get(), NONE_FOUND, SUCCESS),
    ("positions_get: none by symbol", lambda m: m.positions_get(symbol="EURUSD"), NONE_FOUND, SUCCESS),
    ("history_orders_total", lambda m: m.history_orders_total(1, 2_000_000_000), 0, SUCCESS),
    ("history_deals_total: the deposit", lambda m: m.history_deals_total(1, 2_000_000_000), 1, SUCCESS),
    ("history_deals_get: the deposit", lambda m: m.history_deals_get(1, 2_000_000_000)[0].profit, 10_000.0, SUCCESS),
    ("history_deals_get: float dates", lambda m: len(m.history_deals_get(1.5, 2e9)), 1, SUCCESS),
    ("history_deals_get: datetime", lambda m: len(m.history_deals_get(Y2001, 2_000_000_000)), 1, SUCCESS),
    ("history_deals_get: by order", lambda m: m.history_deals_get(ticket=1), NONE_FOUND, SUCCESS),
    ("history_deals_get: by position", lambda m: m.history_deals_get(position=1), NONE_FOUND, SUCCESS),
    ("order_calc_profit", lambda m: m.order_calc_profit(0, "EURUSD", 1.0, 1.1, 1.101), 100.0, SUCCESS),
    ("order_check: yes", lambda m: (m.order_check(deal())[0], m.order_check(deal())[7]), (0, "Done"), SUCCESS),
    ("order_check: numpy float64", lambda m: m.order_check(deal(volume=np.float64(0.1))).retcode, 0, SUCCESS),
    ("order_check: keywords", lambda m: m.order_check(**deal()).retcode, 0, SUCCESS),
    ("order_check: unknown keys ignored", lambda m: m.order_check(deal(nonsense=object())).retcode, 0, SUCCESS),
    ("order_check: bool as int", lambda m: m.order_check(deal(type=False)).retcode, 0, SUCCESS),
    ("order_check: magic of 64 bits", lambda m: m.order_check(deal(magic=2**64 - 1)).retcode, 0, SUCCESS),
    ("order_check: comment of 29", lambda m: m.order_check(deal(comment="c" * 29)).retcode, 0, SUCCESS),
    ("order_check: NaN passes the module", lambda m: m.order_check(deal(volume=float("nan"))).retcode, 10014, SUCCESS),
    ("order_check: missing filling is FOK", lambda m: m.order_check(deal(type_filling=...)).retcode, 10030, SUCCESS),
    ("order_send: 0.015 lots", lambda m: m.order_send(deal(volume=0.015)).retcode, 10014, SUCCESS),
]  # fmt: skip


def hold(row: Row, module: Any) -> None:
    _, call, result, (code, text) = row
    found = call(module)
    assert type(found) is type(result) or result is None
    assert found == result
    error = module.last_error()
    assert error[0] == code
    assert text is ... or error[1] == text


@pytest.mark.parametrize("row", UNCONNECTED, ids=lambda row: row[0])
def test_without_a_terminal(row: Row) -> None:
    hold(row, Mt5Module("127.0.0.1", 1))


@pytest.mark.parametrize("row", ARGUMENTS, ids=lambda row: row[0])
def test_refused_by_the_module(row: Row, mt5: Any) -> None:
    hold(row, mt5)


@pytest.mark.parametrize("row", ANSWERS, ids=lambda row: row[0])
def test_answered(row: Row, mt5: Any) -> None:
    hold(row, mt5)


def test_the_tables_hold_at_least_seventy_calls() -> None:
    assert len(UNCONNECTED) + len(ARGUMENTS) + len(ANSWERS) >= 70


SYSTEM_ERRORS: list[tuple[str, Callable[[Any], Any]]] = [
    ("date past 2^31", lambda m: m.copy_ticks_from("EURUSD", 2**31, 5, -1)),
    ("date before -2^31", lambda m: m.history_deals_get(-(2**31) - 1, 5)),
    ("negative magic", lambda m: m.order_send(deal(magic=-1))),
    ("magic past 2^64", lambda m: m.order_send(deal(magic=2**64))),
]
TYPE_ERRORS: list[tuple[str, Callable[[Any], Any]]] = [
    ("copy_rates_from by keyword", lambda m: m.copy_rates_from("EURUSD", 1, date_from=1, count=5)),
    ("copy_ticks_range by keyword", lambda m: m.copy_ticks_range("EURUSD", date_from=1, date_to=2, flags=-1)),
    ("symbol_info by keyword", lambda m: m.symbol_info(symbol="EURUSD")),
]


@pytest.mark.parametrize("row", SYSTEM_ERRORS, ids=lambda row: row[0])
def test_what_does_not_fit_is_a_system_error(row: tuple[str, Callable[[Any], Any]], mt5: Any) -> None:
    with pytest.raises(SystemError):
        row[1](mt5)


@pytest.mark.parametrize("row", TYPE_ERRORS, ids=lambda row: row[0])
def test_keywords_where_only_positions_count(row: tuple[str, Callable[[Any], Any]], mt5: Any) -> None:
    with pytest.raises(TypeError):
        row[1](mt5)


def test_constants_and_fields_are_the_wheels(mt5: Any) -> None:
    assert len(CONSTANTS) == 223
    assert all(getattr(mt5, name) == value for name, value in CONSTANTS.items())
    assert {name: len(fields) for name, fields in FIELDS.items()} == {
        "TradePosition": 19, "TradeOrder": 24, "TradeDeal": 18, "TradeRequest": 17, "SymbolInfo": 96,
        "OrderCheckResult": 9, "OrderSendResult": 11, "Tick": 8, "TerminalInfo": 22, "AccountInfo": 28, "BookInfo": 4,
    }  # fmt: skip
    for struct in STRUCTS:
        row = STRUCTS[struct](range(len(FIELDS[struct])))
        assert list(row._asdict()) == [name for name, _ in FIELDS[struct]]


def test_result_tuples_are_the_modules_kind(mt5: Any) -> None:
    info = mt5.account_info()
    assert isinstance(info, tuple)
    assert type(info).__module__ == "builtins"
    assert not hasattr(info, "_fields")
    assert not hasattr(info, "_replace")
    assert info._asdict()["login"] == LOGIN
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(info)


def test_arrays_have_the_modules_types_and_cannot_be_written(mt5: Any) -> None:
    ticks = mt5.copy_ticks_from("EURUSD", 1_000_000_000, 5, -1)
    rates = mt5.copy_rates_from_pos("EURUSD", 1, 0, 5)
    for array in (ticks, rates):
        assert array.dtype.itemsize == 60
        assert not array.flags.writeable
        assert array.flags.owndata
    assert ticks.dtype.names == ("time", "bid", "ask", "last", "volume", "time_msc", "flags", "volume_real")
    assert int(ticks["flags"][0]) & 0x400  # an undocumented bit, seen on live ticks


def test_results_echo_the_request_from_this_side(mt5: Any) -> None:
    result = mt5.order_send(deal(volume=500.0, magic=99))
    assert (result.retcode, result.comment) == (10014, "Invalid volume")
    assert (result.request.volume, result.request.magic, result.request.expiration) == (500.0, 99, 0)


def test_last_error_is_one_for_the_process_and_reset_by_each_call(mt5: Any) -> None:
    assert mt5.symbol_info("NOPE") is None
    assert mt5.last_error()[0] == -4
    mt5.symbols_total()
    assert mt5.last_error() == SUCCESS


def test_a_terminal_that_dies_fails_the_call_in_flight_and_nothing_reconnects(sandbox: Sandbox, mt5: Any) -> None:
    fault(sandbox, "cut_before", "account_info")
    assert mt5.account_info() is None
    assert mt5.last_error()[0] == -10_002
    for _ in range(3):
        assert mt5.account_info() is None
        assert mt5.last_error() == NO_IPC
    assert mt5.initialize()
    assert mt5.account_info().login == LOGIN


def test_what_initialize_and_login_say_when_they_fail(sandbox: Sandbox, mt5: Any) -> None:
    assert not mt5.initialize(login=LOGIN, password="wrong", server="x")
    assert mt5.last_error()[0] == -6
    assert mt5.initialize()
    assert not mt5.login(LOGIN, "wrong", "x")
    assert mt5.last_error()[0] == -6
    nowhere = Mt5Module("127.0.0.1", 1)
    assert not nowhere.initialize(timeout=200)
    assert nowhere.last_error()[0] == -10_003


def test_the_timeout_bounds_the_wait_for_a_login_that_is_under_way(sandbox: Sandbox, mt5: Any) -> None:
    sandbox.call(setattr, sandbox.terminal, "logging_in", True)
    try:
        began_s = time.monotonic()
        assert not mt5.initialize(timeout=300)
        assert mt5.last_error() == (-10_005, "IPC timeout")
        assert time.monotonic() - began_s >= 0.3
        assert not mt5.login(LOGIN, "sandbox", timeout=100)
        assert mt5.last_error() == (-10_005, "IPC timeout")
    finally:
        sandbox.call(setattr, sandbox.terminal, "logging_in", False)
    assert mt5.initialize(timeout=300)


def test_no_timeout_bounds_the_wait_for_a_terminal_that_says_nothing(sandbox: Sandbox, mt5: Any) -> None:
    """Measured: `initialize(timeout=3000)` took 100 s with a silent one."""
    sandbox.call(sandbox.terminal.talking.clear)
    done: list[bool] = []
    waiting = threading.Thread(target=lambda: done.append(mt5.initialize(timeout=100)))
    waiting.start()
    waiting.join(0.5)
    assert done == []
    sandbox.call(sandbox.terminal.talking.set)
    waiting.join(20)
    assert done == [True]


LOOKING = """
import sys, threading, time
from pepperstone_adapter.sandbox.mt5_terminal import connect
module = connect({"PEPPERSTONE_SANDBOX_MT5": sys.argv[1]})
assert module.initialize()
pauses, looking = [], True
def look():
    last = time.monotonic()
    while looking:
        time.sleep(0.001)
        now = time.monotonic()
        pauses.append(now - last)
        last = now
thread = threading.Thread(target=look)
thread.start()
while not pauses:
    time.sleep(0.001)
pauses.clear()
assert module.account_info() is not None  # the terminal answers after a second
looking = False
thread.join()
print(max(pauses))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the wait uses poll(2)")
@pytest.mark.parametrize("hold", [True, False])
def test_a_blocked_call_stops_every_thread_of_its_process(tmp_path: Path, hold: bool) -> None:
    """The real module keeps the GIL: measured, a 5 s call gave another thread one iteration."""
    with broker(tmp_path, hold_gil=hold) as running:
        fault(running, "hang_after", "account_info", seconds=1.0)
        command = [sys.executable, "-c", LOOKING, f"127.0.0.1:{running.ports.mt5}"]
        longest_s = float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert (longest_s > 0.5) is hold


def test_a_call_without_seconds_hangs_until_the_faults_are_cleared(tmp_path: Path) -> None:
    with broker(tmp_path) as running, ThreadPoolExecutor(1) as pool:
        module = connect({"PEPPERSTONE_SANDBOX_MT5": f"127.0.0.1:{running.ports.mt5}"})
        assert module.initialize()
        fault(running, "hang_before", "account_info", times=0)
        (armed,) = running.terminal.faults._armed
        asked = pool.submit(module.account_info)
        while not armed.done:
            time.sleep(0.001)
        running.call(setattr, running.terminal, "login", NETTING)
        assert not asked.done()
        running.clear_faults()
        assert asked.result(30).login == NETTING  # the work was done after it
        assert module.account_info() is not None
        module.shutdown()
