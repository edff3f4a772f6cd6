"""The worker process: the only one that holds the terminal's module, and only on its main thread.

It reads requests from its standard input, polls the terminal between them and writes frames to its standard output (see
`wire`; kinds ``req``, ``sub``, ``rep``, ``ev``, ``beat``, ``reading``, ``dead``). A request waits for at most one turn of the
poller, which is short but for the first ticks of a symbol: the terminal may have to fetch them, so it is said before.
Another thread, begun when the terminal is attached, only moves bytes from the pipe into a queue. When the terminal is gone
the worker says so and ends: its supervisor starts a fresh one.

Run as ``python -m pepperstone_adapter.mt5.gateway.worker``; the first frame on its input is the setup.
"""

import importlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from pepperstone_adapter.mt5.gateway.calls import BadCall, checked, plain
from pepperstone_adapter.mt5.gateway.polling import Poller, TerminalGone
from pepperstone_adapter.mt5.gateway.ticks import TickCursor
from pepperstone_adapter.mt5.gateway.wire import WORKER_FRAME_MAX_BYTES, Decoder, Message, WireError, encode

BEAT_S: Final = 1.0
INITIALIZE_TIMEOUT_MS: Final = 60_000


@dataclass(slots=True)
class Pace:
    """How long to wait between polls: the shortest while things happen, slowing to the longest when quiet."""

    fastest_s: float
    slowest_s: float
    wait_s: float = 0.0

    def after(self, busy: bool) -> float:
        self.wait_s = self.fastest_s if busy else min(max(self.wait_s, self.fastest_s) * 1.25, self.slowest_s)
        return self.wait_s


def load_terminal(path: str) -> Any:
    """The module named by `path` (``MetaTrader5``), or what the factory ``module:callable`` makes."""
    name, _, factory = path.partition(":")
    module = importlib.import_module(name)
    return getattr(module, factory)() if factory else module


def initialize(terminal: Any, login: dict[str, Any]) -> tuple[int, str] | None:
    """Attach to the terminal; the error when it refuses."""
    options = {name: value for name, value in login.items() if name in ("login", "password", "server", "portable")}
    options.setdefault("timeout", INITIALIZE_TIMEOUT_MS)
    args = [login["path"]] if login.get("path") else []
    if terminal.initialize(*args, **options):
        return None
    error: tuple[int, str] = terminal.last_error()
    return error


def answer(terminal: Any, message: Message, expect_login: int | None = None) -> Message:
    """Run one request; ``last_error`` is read in the same breath, because the module keeps only one.

    An order names the account it is for, and the gateway may have been started for one: both must be the terminal's. So
    does a read of an account's lists, where not finding an order must not mean that another account has no such one.
    """
    reply: Message = {"t": "rep", "id": message.get("id")}
    try:
        call, args, keywords = checked(message.get("fn"), message.get("args", []))
    except BadCall as error:
        return reply | {"outcome": "refused", "data": None, "error": [-2, str(error)]}
    fn = message["fn"]
    logins = (message.get("login"), expect_login if call.trade else None)
    expected = {login for login in logins if login is not None}
    if expected:
        # A person can switch the account inside the terminal; the order must not land on the other one.
        account = terminal.account_info()
        login = account.login if account is not None else 0
        if expected != {login}:
            wanted = " and ".join(str(number) for number in sorted(expected - {login}))
            text = f"the terminal is logged in to account {login}, not {wanted}; log in again in the terminal"
            return reply | {"outcome": "refused", "data": None, "error": [-6, text]}
    try:
        if fn in ("order_send", "order_check"):
            result = getattr(terminal, fn)(**args[0])  # an extra empty keyword map makes the module refuse a dict
        else:
            result = getattr(terminal, fn)(*args, **keywords)
        code, text = terminal.last_error()
        return reply | {"outcome": "answered", "data": plain(result), "error": [code, text]}
    except Exception as error:  # noqa: BLE001 - the module raises SystemError for numbers it cannot hold; others its stand-ins
        # An order may have left before whatever went wrong, so only the broker's lists can tell.
        outcome = "unknown" if call.trade else "refused"
        return reply | {"outcome": outcome, "data": None, "error": [-2, f"{fn}: {type(error).__name__}: {error}"]}


class Worker:
    """The loop over requests and polls.

    Parameters
    ----------
    terminal
        The module or its stand-in, already initialised.
    write
        Sends one message to the supervisor; `WireError` and nothing sent when it is too large.
    pace
        Time between polls.
    now_ns
        Our time, for windows of history and for how old a tick is.
    clock_s
        Measures turns and pauses.
    """

    def __init__(
        self,
        terminal: Any,
        write: Callable[[Message], None],
        pace: Pace,
        expect_login: int | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        clock_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._now_ns = now_ns
        self._clock_s = clock_s
        self._terminal = terminal
        self._expect_login = expect_login
        self._write = write
        self._pace = pace
        self._poller = Poller(terminal, clock_s, lambda: write({"t": "reading"}))
        self._busy = False  # whether this pass over the symbols has found anything
        self._beat_s = -BEAT_S

    def run(self, inbox: "queue.Queue[Message | None]") -> None:
        """Until the input ends.

        Raises
        ------
        TerminalGone
            The terminal no longer answers.
        """
        next_poll = self._clock_s()
        while True:
            try:
                message = inbox.get(timeout=max(0.0, next_poll - self._clock_s()))
            except queue.Empty:
                wait_s = self.poll(self._now_ns())
                next_poll = self._clock_s() + wait_s
                continue
            if message is None:
                return
            self.handle(message)
            # What the request changed is seen at once, not one pause later.
            next_poll = self._clock_s()

    def handle(self, message: Message) -> None:
        if message["t"] == "sub":
            symbol, cursor = message["symbol"], message.get("cursor")
            if message["on"]:
                self._terminal.symbol_select(symbol, True)
                self._poller.subscribe(symbol, TickCursor(*cursor) if cursor else None)
            else:
                self._poller.unsubscribe(symbol)
        else:
            self._answer(message)

    def _answer(self, message: Message) -> None:
        until_s = message.get("until_s")
        if until_s is not None and time.monotonic() > until_s:  # one clock for all processes of a machine
            text = "the terminal was busy with something else for too long"
            reply = {"t": "rep", "id": message["id"], "outcome": "not_sent", "data": None}
            self._write(reply | {"error": [-10_004, text]})
            return
        reply = answer(self._terminal, message, self._expect_login)
        try:
            self._write(reply)
        except WireError as error:
            text = f"{message['fn']}: the answer is too large to travel ({error}); ask for less at once"
            self._write({**reply, "outcome": "too_large", "data": None, "error": [-3, text]})

    def poll(self, now_ns: int) -> float:
        """One turn of the poller; how many seconds to wait before the next."""
        events = self._poller.poll(now_ns)
        if events:
            self._write({"t": "ev", "events": events, "ts": now_ns})
        elif (clock_s := self._clock_s()) - self._beat_s >= BEAT_S:  # by a clock that nobody sets back
            self._beat_s = clock_s
            self._write({"t": "beat"})
        self._busy |= bool(events)
        if self._poller.halfway:
            return 0.0
        busy, self._busy = self._busy, False
        return self._pace.after(busy)


def _first(stream: BinaryIO, decoder: Decoder) -> list[Message]:
    """The setup, and what came with it; nothing where the input has ended."""
    while data := os.read(stream.fileno(), 1 << 16):
        if messages := decoder.feed(data):
            return messages
    return []


def _read(stream: BinaryIO, decoder: Decoder, inbox: "queue.Queue[Message | None]") -> None:
    while data := os.read(stream.fileno(), 1 << 16):
        for message in decoder.feed(data):
            inbox.put(message)
    inbox.put(None)


def main(clock_of: Callable[[Any], Callable[[], int]] = lambda _terminal: time.time_ns) -> int:
    """Serve one supervisor over standard input and output.

    Parameters
    ----------
    clock_of
        Our time, given the terminal: a stand-in may live in another one than this machine.
    """
    # The module or a library may print: keep the pipe for frames and let prints go to standard error.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Ctrl-C goes to every process of a terminal window; this one ends when its supervisor closes the input, so that
    # an orderly stop can still cancel orders.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lock = threading.Lock()

    def write(message: Message) -> None:
        with lock:
            out.write(encode(message, WORKER_FRAME_MAX_BYTES))
            out.flush()

    decoder, inbox = Decoder(), queue.Queue[Message | None]()
    messages = _first(sys.stdin.buffer, decoder)
    if not messages:
        return 0
    setup = messages.pop(0)
    try:
        terminal = load_terminal(setup["terminal"])
    except Exception as failure:  # noqa: BLE001 - whatever a module or a server behind it does wrong
        write({"t": "dead", "error": [-10_003, f"{type(failure).__name__}: {failure}"], "fn": setup["terminal"]})
        return 1
    error = initialize(terminal, setup.get("login") or {})
    if error is not None:
        write({"t": "dead", "error": list(error), "fn": "initialize"})
        return 1
    # Not before: on Windows a library that looks at its standard input while it is loaded, and a terminal that `initialize`
    # starts, would wait for whoever reads there.
    for message in messages:
        inbox.put(message)
    threading.Thread(target=_read, args=(sys.stdin.buffer, decoder, inbox), daemon=True).start()
    write({"t": "ready"})
    pace = Pace(setup["fastest_s"], setup["slowest_s"])
    try:
        Worker(terminal, write, pace, (setup.get("login") or {}).get("login"), clock_of(terminal)).run(inbox)
    except TerminalGone as gone:
        write({"t": "dead", "error": list(gone.error), "fn": "poll"})
        return 1
    finally:
        terminal.shutdown()
    return 0


if __name__ == "__main__":
    # Not sys.exit: a hung module call in an atexit hook must not keep the process.
    code = main()
    sys.stderr.flush()
    os._exit(code)
