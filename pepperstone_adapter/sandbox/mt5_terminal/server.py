"""The terminal's end of the pipe: one TCP connection on loopback for each process that imported the module.

Runs on the sandbox's loop. A hang delays its own connection only; everything else of the broker goes on.
"""

import asyncio
from typing import Any, Final

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.sandbox.mt5_terminal.faults import Mt5Fault, Mt5FaultKind
from pepperstone_adapter.sandbox.mt5_terminal.pipe import HEAD, pack, unpack
from pepperstone_adapter.sandbox.mt5_terminal.reads import READS
from pepperstone_adapter.sandbox.mt5_terminal.terminal import Answer, Terminal
from pepperstone_adapter.sandbox.mt5_terminal.trading import order_check, order_send

HOST: Final = "127.0.0.1"
READY, CONNECTING, REFUSED = 2, 1, 3
CALLS: Final = {**READS, "order_send": order_send, "order_check": order_check}


class Cut(Exception):
    """This connection ends now, without an answer."""


class PipeServer:
    """Serves one terminal. `open` and `close` on the loop that owns the books."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.port = 0
        self.calls = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self, port: int) -> None:
        """Raises `ConfigurationError` when the port is taken."""
        try:
            self._server = await asyncio.start_server(self._serve, HOST, port)
        except OSError as error:
            raise ConfigurationError(
                f"mt5.port: cannot listen on {port} ({error.strerror or error}); choose another, or 0 for any free one"
            ) from error
        self.port = int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut_all()

    def cut_all(self) -> None:
        """End every pipe: what a restart of the terminal looks like from outside."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    def restart(self, build: int | None = None) -> None:
        """The terminal restarts, perhaps after an update; its broker goes on. Without it there is nothing to show."""
        self.terminal.blank = not self.terminal.connected
        self.terminal.build = build or self.terminal.build + 1
        self.cut_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                (size,) = HEAD.unpack(await reader.readexactly(HEAD.size))
                fn, args = unpack(await reader.readexactly(size))
                writer.write(pack(await self._answer(fn, args)))
                await writer.drain()
        except (OSError, EOFError, Cut):
            pass  # the process went away, or a fault wants it to think that we did
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _answer(self, fn: str, args: list[Any]) -> Any:
        self.calls += 1
        terminal = self.terminal
        await terminal.answers.wait()
        fault = terminal.faults.match(fn)
        if fault is not None:
            answer = await self._break(fault, fn, args)
        elif fn == "hello":
            return {"hold_gil": terminal.settings.hold_gil}
        elif fn == "clock":
            return terminal.clock.now_ns()
        elif fn in ("initialize", "login", "state"):
            return _wire(await self._attach(args))
        else:
            answer = self._do(fn, args)
        return _wire(answer)

    def _do(self, fn: str, args: list[Any]) -> Answer:
        call = CALLS.get(fn)
        if call is None:
            return Answer(None, error=(-7, "Unsupported"))
        return call(self.terminal, *args)

    async def _attach(self, args: list[Any]) -> Answer:
        """State of the login: 1 not yet, 2 ready, 3 refused."""
        terminal = self.terminal
        await terminal.talking.wait()
        options = args[0] if args else {}
        login = options.get("login")
        if login is not None:
            account = terminal.accounts.get(login)
            if account is None or options.get("password", account.password) != account.password:
                return Answer(REFUSED)
            terminal.login = login
        return Answer(CONNECTING if terminal.logging_in else READY)

    async def _break(self, fault: Mt5Fault, fn: str, args: list[Any]) -> Answer:
        match fault.kind:
            case Mt5FaultKind.CUT_BEFORE:
                raise Cut
            case Mt5FaultKind.CUT_AFTER:
                self._do(fn, args)
                raise Cut
            case Mt5FaultKind.HANG_BEFORE:
                await self.terminal.faults.hang(fault.seconds)
                return self._do(fn, args)
            case Mt5FaultKind.HANG_AFTER:
                answer = self._do(fn, args)
                await self.terminal.faults.hang(fault.seconds)
                return answer
            case Mt5FaultKind.ERROR_AFTER | Mt5FaultKind.ERROR:
                if fault.kind is Mt5FaultKind.ERROR_AFTER:
                    self._do(fn, args)
                return Answer(None, error=(fault.code, fault.text))
            case Mt5FaultKind.RETCODE_AFTER | Mt5FaultKind.RETCODE:
                return self._retcode(fault, fn, args)
            case Mt5FaultKind.EMPTY:
                answer = self._do(fn, args)
                none: Any = b"" if answer.kind in ("rates", "ticks") else [] if answer.kind else 0
                return answer._replace(value=none)
            case Mt5FaultKind.DUPLICATE:
                answer = self._do(fn, args)
                rows = isinstance(answer.value, list) and (answer.kind or "").startswith("*")
                return answer._replace(value=[row for row in answer.value for _ in range(2)]) if rows else answer

    def _retcode(self, fault: Mt5Fault, fn: str, args: list[Any]) -> Answer:
        from pepperstone_adapter.sandbox.mt5_terminal import checks, trading

        done = self._do(fn, args) if fault.kind is Mt5FaultKind.RETCODE_AFTER else None
        answer = trading.result(self.terminal, checks.read(self.terminal, args[0]), fault.code, text=fault.text)
        if done is not None and fault.code in trading.ACCEPTED:
            answer.value[trading.ORDER] = done.value[trading.ORDER]  # who says yes names the order
        return answer


def _wire(answer: Answer) -> dict[str, Any]:
    return {"value": answer.value, "kind": answer.kind, "error": list(answer.error)}
