"""What ``import MetaTrader5`` gives: functions, constants and the one global `last_error`.

Every function resets `last_error` first, checks its arguments here and asks the terminal over the pipe. When the pipe
breaks, the call in flight fails with -10001 or -10002 and later ones with -10004, until `initialize`: nothing reconnects
by itself. Texts of errors that nobody measured are the terminal's usual ones.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from pepperstone_adapter.sandbox.mt5_terminal import arguments
from pepperstone_adapter.sandbox.mt5_terminal.arguments import INVALID, BadArgument, date, text, whole
from pepperstone_adapter.sandbox.mt5_terminal.pipe import NO_IPC, Pipe, PipeBroken
from pepperstone_adapter.sandbox.mt5_terminal.shortcuts import Shortcuts
from pepperstone_adapter.sandbox.mt5_terminal.structs import CONSTANTS, RATES, STRUCTS, TICKS, array
from pepperstone_adapter.sandbox.mt5_terminal.trap import native

OK: Final = (1, "Success")
DEFAULT_TIMEOUT_MS: Final = 60_000
_ARRAYS: Final = {"rates": RATES, "ticks": TICKS}


class Mt5Module(Shortcuts):
    """The module; an instance stands for one process's import of it."""

    def __init__(self, host: str, port: int) -> None:
        self.__dict__.update(CONSTANTS)
        self.__version__ = "5.0.6231"
        self.__author__ = "sandbox"
        self._address = (host, port)
        self._pipe: Pipe | None = None
        self._error: tuple[int, str] = (0, "")
        self.order_send = native("order_send", lambda a, k: self._trade("order_send", "OrderSendResult", a, k))
        self.order_check = native("order_check", lambda a, k: self._trade("order_check", "OrderCheckResult", a, k))

    # -- connection ---------------------------------------------------------------------------------------------------

    def initialize(self, *args: Any, **keywords: Any) -> bool:
        return self._attach("initialize", args, keywords, ("path",))

    def login(self, *args: Any, **keywords: Any) -> bool:
        return self._attach("login", args, keywords, ("login", "password", "server"))

    def _attach(self, fn: str, args: tuple[Any, ...], keywords: dict[str, Any], positional: tuple[str, ...]) -> bool:
        self._error = OK
        try:
            if len(args) > len(positional):
                raise BadArgument(INVALID)
            given = dict(zip(positional, args, strict=False)) | keywords
            options = {name: _option(name, value) for name, value in given.items()}
            if fn == "login" and "login" not in options:
                raise BadArgument(INVALID)
        except BadArgument as error:
            self._error = (-2, str(error))
            return False
        timeout_ms = options.pop("timeout", DEFAULT_TIMEOUT_MS)
        if fn == "initialize" and not self._open(timeout_ms):
            return False
        return self._until_logged_in(fn, options, timeout_ms)

    def _open(self, timeout_ms: int) -> bool:
        if self._pipe is not None:
            self._pipe.close()
        try:
            self._pipe = Pipe(*self._address, timeout_ms / 1000)
            facts = self._pipe.call("hello")
        except (OSError, PipeBroken):
            self._pipe = None
            self._error = (-10_003, "IPC initialize failed, Process create failed")
            return False
        self._pipe.hold_gil = bool(facts["hold_gil"])
        return True

    def _until_logged_in(self, fn: str, options: dict[str, Any], timeout_ms: int) -> bool:
        """Ask for the state every 100 ms: 2 is ready, 3 refused; the only place where a timeout counts."""
        deadline_s = time.monotonic() + timeout_ms / 1000
        state = self._ask(fn, options)
        while state == 1:
            if time.monotonic() >= deadline_s:
                self._error = (-10_005, "IPC timeout")
                return False
            time.sleep(0.1)
            state = self._ask("state")
        if state == 3:
            self._error = (-6, "Terminal: Authorization failed")
        return bool(state == 2)

    def shutdown(self) -> bool:
        self._error = OK
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        return True

    def last_error(self) -> tuple[int, str]:
        return self._error

    def sandbox_now_ns(self) -> int:
        """UTC of the broker behind the stand-in, which a real module has no word for; raises `PipeBroken`."""
        if self._pipe is None:
            raise PipeBroken(sending=True)
        return int(self._pipe.call("clock"))

    def version(self) -> tuple[int, int, str]:
        value = self._plain("version")
        return (0, 0, "") if value is None else tuple(value)

    def terminal_info(self) -> Any:
        return self._plain("terminal_info")

    def account_info(self) -> Any:
        return self._plain("account_info")

    # -- symbols ------------------------------------------------------------------------------------------------------

    def symbols_total(self) -> int | None:
        found: int | None = self._plain("symbols_total", unconnected=-5)
        return found

    def symbols_get(self, *args: Any, **keywords: Any) -> Any:
        def check() -> list[Any]:
            given = {"group": args[0]} if len(args) == 1 else {}
            if len(args) > 1 or keywords.keys() - {"group"} or (args and keywords):
                raise BadArgument(INVALID)
            group = (given | keywords).get("group", "")
            if not isinstance(group, str):
                raise BadArgument(INVALID)
            return [group]

        return self._call("symbols_get", check, wrong=False, unconnected=-5)

    def symbol_info(self, symbol: Any, /) -> Any:
        return self._call("symbol_info", lambda: [text(symbol)], unconnected=-5)

    def symbol_info_tick(self, symbol: Any, /) -> Any:
        return self._call("symbol_info_tick", lambda: [text(symbol)])

    def symbol_select(self, symbol: Any, enable: Any = True, /) -> bool:
        return bool(self._call("symbol_select", lambda: [text(symbol), arguments.flag(enable)], wrong=False))

    def market_book_add(self, symbol: Any, /) -> bool:
        return self._book("market_book_add", symbol)

    def market_book_release(self, symbol: Any, /) -> bool:
        return self._book("market_book_release", symbol)

    def _book(self, fn: str, symbol: Any) -> bool:
        done = bool(self._call(fn, lambda: [text(symbol)], wrong=False))
        if self._pipe is None and self._error == NO_IPC:
            self._error = OK  # measured: False, and yet "Success"
        return done

    def market_book_get(self, symbol: Any, /) -> Any:
        return self._call("market_book_get", lambda: [text(symbol)])

    # -- history ------------------------------------------------------------------------------------------------------

    def copy_rates_from(self, symbol: Any, timeframe: Any, date_from: Any, count: Any, /) -> Any:
        return self._call(
            "copy_rates_from", lambda: [text(symbol), whole(timeframe), date(date_from), whole(count, kind="i32")]
        )

    def copy_rates_from_pos(self, symbol: Any, timeframe: Any, start_pos: Any, count: Any, /) -> Any:
        return self._call(
            "copy_rates_from_pos",
            lambda: [text(symbol), whole(timeframe), whole(start_pos, kind="i32"), whole(count, kind="i32")],
        )

    def copy_rates_range(self, symbol: Any, timeframe: Any, date_from: Any, date_to: Any, /) -> Any:
        return self._call("copy_rates_range", lambda: [text(symbol), whole(timeframe), date(date_from), date(date_to)])

    def copy_ticks_from(self, symbol: Any, date_from: Any, count: Any, flags: Any, /) -> Any:
        return self._call(
            "copy_ticks_from", lambda: [text(symbol), date(date_from), whole(count, kind="i32"), whole(flags)]
        )

    def copy_ticks_range(self, symbol: Any, date_from: Any, date_to: Any, flags: Any, /) -> Any:
        return self._call("copy_ticks_range", lambda: [text(symbol), date(date_from), date(date_to), whole(flags)])

    # -- trading ------------------------------------------------------------------------------------------------------

    def orders_total(self) -> int | None:
        found: int | None = self._plain("orders_total")
        return found

    def positions_total(self) -> int | None:
        found: int | None = self._plain("positions_total")
        return found

    def orders_get(self, *args: Any, **keywords: Any) -> Any:
        names = ("symbol", "ticket", "group")
        return self._call("orders_get", lambda: list(arguments.one_of(names, args, keywords)))

    def positions_get(self, *args: Any, **keywords: Any) -> Any:
        names = ("symbol", "ticket", "group")
        return self._call("positions_get", lambda: list(arguments.one_of(names, args, keywords)))

    def history_orders_total(self, date_from: Any, date_to: Any, /) -> int | None:
        found: int | None = self._call("history_orders_total", lambda: [date(date_from), date(date_to)])
        return found

    def history_deals_total(self, date_from: Any, date_to: Any, /) -> int | None:
        found: int | None = self._call("history_deals_total", lambda: [date(date_from), date(date_to)])
        return found

    def history_orders_get(self, *args: Any, **keywords: Any) -> Any:
        return self._call("history_orders_get", lambda: _history(args, keywords))

    def history_deals_get(self, *args: Any, **keywords: Any) -> Any:
        return self._call("history_deals_get", lambda: _history(args, keywords))

    def order_calc_margin(self, action: Any, symbol: Any, volume: Any, price: Any, /) -> float | None:
        found: float | None = self._call(
            "order_calc_margin", lambda: [whole(action), text(symbol), arguments.real(volume), arguments.real(price)]
        )
        return found

    def order_calc_profit(self, action: Any, symbol: Any, volume: Any, opened: Any, closed: Any, /) -> float | None:
        reals = (volume, opened, closed)
        found: float | None = self._call(
            "order_calc_profit", lambda: [whole(action), text(symbol), *map(arguments.real, reals)]
        )
        return found

    def _trade(self, fn: str, struct: str, args: tuple[Any, ...], keywords: dict[str, Any] | None) -> Any:
        self._error = OK
        try:
            request = arguments.trade_request(args, keywords)
        except BadArgument as error:
            self._error = (-2, str(error))
            return None
        values = self._ask(fn, request)
        if values is None:
            return None
        # The echo of the request is made on this side, from what was sent.
        return STRUCTS[struct]([*values, STRUCTS["TradeRequest"](request)])

    # -- the pipe -----------------------------------------------------------------------------------------------------

    def _plain(self, fn: str, unconnected: int = NO_IPC[0]) -> Any:
        return self._call(fn, list, unconnected=unconnected)

    def _call(self, fn: str, check: Callable[[], list[Any]], wrong: Any = None, unconnected: int = NO_IPC[0]) -> Any:
        self._error = OK
        try:
            args = check()
        except BadArgument as error:
            self._error = (-2, str(error))
            return wrong
        if self._pipe is None and unconnected == -5:
            self._error = (-5, "Invalid version")
            return None
        return self._ask(fn, *args)

    def _ask(self, fn: str, *args: Any) -> Any:
        if self._pipe is None:
            self._error = NO_IPC
            return None
        try:
            answer = self._pipe.call(fn, *args)
        except PipeBroken as broken:
            self._pipe.close()
            self._pipe = None
            self._error = (-10_001, "IPC send failed") if broken.sending else (-10_002, "IPC recv failed")
            return None
        self._error = (int(answer["error"][0]), str(answer["error"][1]))
        return _value(answer)


def _value(answer: dict[str, Any]) -> Any:
    value, kind = answer["value"], answer.get("kind")
    if value is None or kind is None:
        return value
    if kind in _ARRAYS:
        return array(_ARRAYS[kind], value)
    if kind.startswith("*"):
        make = STRUCTS[kind[1:]]
        return tuple(make(row) for row in value)
    return STRUCTS[kind](value)


def _option(name: str, value: Any) -> Any:
    match name:
        case "path" | "password" | "server":
            if not isinstance(value, str):
                raise BadArgument(f'Invalid "{name}" argument')
            return value
        case "login" | "timeout":
            return whole(value, name)
        case "portable":
            return arguments.flag(value, name)
        case _:
            raise BadArgument(INVALID)


def _history(args: tuple[Any, ...], keywords: dict[str, Any]) -> list[Any]:
    """``(from, to[, group=])`` or one of ``ticket=``, ``position=``."""
    if not args:
        name, value = arguments.one_of(("ticket", "position"), args, keywords)
        if not name:
            raise BadArgument(INVALID)
        return [0, 0, name, value]
    if len(args) != 2 or keywords.keys() - {"group"}:
        raise BadArgument(INVALID)
    group = keywords.get("group", "")
    return [date(args[0]), date(args[1]), "group", text(group, "group")]
