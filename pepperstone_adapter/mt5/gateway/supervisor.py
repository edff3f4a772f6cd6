"""The supervisor: sockets, authentication, subscriptions, the worker's life. It never imports MetaTrader5.

A worker is replaced when a request passes its deadline, when it has said nothing for `hang_s`, or when it ended; one that
said that it reads what the terminal may have to fetch has `HISTORY_S` for that. Tick cursors travel with the ticks, so the
next worker reads on exactly after the last tick that entered the ring buffer.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import sqlite3
import ssl
import time
from collections.abc import Callable
from typing import Any, Final

from pepperstone_adapter.mt5.gateway.calls import HISTORY_S
from pepperstone_adapter.mt5.gateway.dispatch import Dispatcher
from pepperstone_adapter.mt5.gateway.history import EventRing
from pepperstone_adapter.mt5.gateway.keys import OrderKeys
from pepperstone_adapter.mt5.gateway.options import BadOptions, GatewayOptions
from pepperstone_adapter.mt5.gateway.process import WorkerProcess
from pepperstone_adapter.mt5.gateway.wire import (
    PROTOCOL,
    Decoder,
    Message,
    WireError,
    encode,
    last_row,
    proof,
    proved,
)

log = logging.getLogger("pepperstone.mt5_gateway")

AUTH_TIMEOUT_S: Final = 10.0
PING_S: Final = 5.0
SILENT_S: Final = 20.0
OUTBOX_MAX_BYTES: Final = 64 * 1024 * 1024
KEEP_KEYS_NS: Final = 90 * 86_400 * 1_000_000_000  # no client asks for an order's answer after so long
RESTART_MIN_S: Final = 0.2
RESTART_MAX_S: Final = 15.0
STEADY_S: Final = 10.0  # a worker that ran for so long began well
LOGIN_REFUSED: Final = -6
REFUSED_S: Final = 60.0  # servers close accounts to which somebody signs in wrongly again and again
FORGET_S: Final = 600.0  # what a client that does not come back had subscribed to is no longer read


class _Client:
    """One authenticated connection."""

    def __init__(self, writer: asyncio.StreamWriter, name: str, may_trade: bool) -> None:
        self._writer = writer
        self.name = name
        self.may_trade = may_trade
        self.heard_s = time.monotonic()

    def send(self, frame: bytes) -> None:
        """Queue a frame; a client too slow to take 64 MiB is cut off and may resume."""
        if self._writer.is_closing():
            return
        self._writer.write(frame)
        if self._writer.transport.get_write_buffer_size() > OUTBOX_MAX_BYTES:
            log.warning("client %s is too slow, cut off", self.name)
            self._writer.transport.abort()

    def abort(self) -> None:
        self._writer.transport.abort()


class Supervisor:
    """One gateway; `start`, then `serve` until cancelled, or `close`."""

    def __init__(self, options: GatewayOptions) -> None:
        options.check()
        self._options = options
        try:
            options.state_dir.mkdir(parents=True, exist_ok=True)
            self._keys = OrderKeys(options.state_dir / "mt5-order-keys.sqlite")
        except (OSError, sqlite3.Error) as error:
            raise BadOptions(
                f"order keys cannot be kept in {options.state_dir}: {error}; choose another place"
            ) from None
        self._keys.forget_before(time.time_ns() - KEEP_KEYS_NS)
        self._dispatcher = Dispatcher(self._keys, self._to_worker, options.patience)
        self._ring = EventRing(secrets.token_hex(8))
        self._clients: set[_Client] = set()
        self._cursors: dict[str, list[int] | None] = {}
        self._newest: dict[str, Message] = {}
        self._wanted: dict[str, set[str]] = {}
        self._worker: WorkerProcess | None = None
        self._generation = 0
        self._ready = False
        self._started_s = 0.0
        self._heard_s = 0.0
        self._reading = False  # the worker's last word: it reads what may take long
        self._restart_s = RESTART_MIN_S
        self.restarts = 0
        self._why_down = ""  # the last thing heard of a worker that is not there
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def worker_pid(self) -> int | None:
        return self._worker.pid if self._worker else None

    async def start(self) -> None:
        """Listen and start the first worker."""
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(
            self._serve_client, self._options.host, self._options.port, ssl=self._tls()
        )
        if (warning := self._options.warning) is not None:
            log.warning(warning)
        self._start_worker()
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._ping())]

    async def close(self) -> None:
        """End clients and worker."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        if self._server is not None:
            self._server.close()
        self.drop_clients()
        if self._worker is not None:
            await asyncio.to_thread(self._worker.close)
        self._keys.close()

    def _tls(self) -> ssl.SSLContext | None:
        if self._options.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._options.certificate, self._options.private_key)
        except OSError as error:  # ssl's own errors among them
            raise BadOptions(f"certificate {self._options.certificate} and its private key: {error}") from None
        return context

    # -- the worker ---------------------------------------------------------------------------------------------------

    def _start_worker(self) -> None:
        self._generation += 1
        generation = self._generation
        self._started_s = self._heard_s = time.monotonic()
        setup: Message = {
            "terminal": self._options.terminal,
            "login": self._options.login,
            "fastest_s": self._options.fastest_s,
            "slowest_s": self._options.slowest_s,
        }

        def told(take: Callable[[int, Any], None], what: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: what a worker says last is for nobody
                self._loop.call_soon_threadsafe(take, generation, what)

        def on_message(message: Message) -> None:
            told(self._from_worker, message)

        def on_exit(reason: str) -> None:
            told(self._worker_gone, reason)

        self._worker = WorkerProcess(
            setup, on_message, on_exit, list(self._options.worker_command) or None, self._options.worker_env
        )

    def _to_worker(self, message: Message) -> None:
        if self._worker is not None:
            self._worker.send(message)

    def _from_worker(self, generation: int, message: Message) -> None:
        if generation != self._generation:
            return
        self._heard_s = time.monotonic()
        if self._reading:
            self._dispatcher.heard(self._heard_s)
        self._reading = message["t"] == "reading"
        match message["t"]:
            case "ready":
                self._ready = True
                self._why_down = ""
                for symbol, cursor in self._cursors.items():
                    self._to_worker({"t": "sub", "on": True, "symbol": symbol, "cursor": cursor})
                self._emit([{"k": "worker", "up": True, "reason": ""}])
                self._dispatcher.worker_up(self._heard_s)
            case "rep":
                self._dispatcher.answered(message, self._heard_s)
            case "ev":
                for event in message["events"]:
                    if event["k"] == "ticks" and event["symbol"] in self._cursors:
                        self._cursors[event["symbol"]] = event["cursor"]
                        self._newest[event["symbol"]] = last_row(event["rows"])
                self._emit(message["events"])
            case "dead":
                code, text = message["error"]
                self._why_down = f"{message['fn']}: {code} {text}"
                if code == LOGIN_REFUSED:
                    self._restart_s = REFUSED_S
                log.error("terminal gone in %s", self._why_down)
                self._emit([{"k": "worker", "up": False, "reason": self._why_down}])

    def _worker_gone(self, generation: int, reason: str) -> None:
        if generation != self._generation or self._closing:
            return
        if self._ready and time.monotonic() - self._started_s > STEADY_S and self._restart_s != REFUSED_S:
            self._restart_s = RESTART_MIN_S
        log.warning("%s; starting another in %.1f s", reason, self._restart_s)
        self._worker = None
        self._ready = False
        self._why_down = self._why_down or reason
        self._generation += 1
        self._dispatcher.worker_down()
        self._emit([{"k": "worker", "up": False, "reason": reason}])
        self.restarts += 1
        self._loop.call_later(self._restart_s, self._restart, self._generation)
        self._restart_s = min(self._restart_s * 2, RESTART_MAX_S)

    def _restart(self, generation: int) -> None:
        if generation != self._generation or self._closing:
            return
        try:
            self._start_worker()
        except (OSError, RuntimeError) as error:  # no memory, process, thread or file is left just now
            self._worker_gone(self._generation, f"a worker cannot be started: {error}")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            now_s = time.monotonic()
            self._dispatcher.on_time(now_s)
            if self._worker is not None and self._hangs(now_s):
                log.error("worker hangs, killing it")
                self._worker.kill()
                self._worker_gone(self._generation, "worker hung and was killed")

    def _hangs(self, now_s: float) -> bool:
        if not self._ready:
            return now_s - self._started_s > self._options.start_s
        if self._reading and now_s - self._heard_s <= HISTORY_S * self._options.patience:
            return False
        deadline_s = self._dispatcher.deadline_s
        return now_s > (self._heard_s + self._options.hang_s if deadline_s is None else deadline_s)

    # -- events -------------------------------------------------------------------------------------------------------

    def _emit(self, events: list[Message]) -> None:
        frame = encode({"t": "ev", "seq": self._ring.next(), "ts": time.time_ns(), "events": events})
        self._ring.add(frame)
        for client in list(self._clients):
            client.send(frame)

    # -- clients ------------------------------------------------------------------------------------------------------

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client: _Client | None = None
        decoder = Decoder(max_bytes=1 << 20)
        try:
            client, rest = await asyncio.wait_for(self._authenticate(reader, writer, decoder), AUTH_TIMEOUT_S)
            if client is None:
                return
            for message in rest:
                self._from_client(client, message)
            while data := await reader.read(1 << 16):
                client.heard_s = time.monotonic()
                for message in decoder.feed(data):
                    self._from_client(client, message)
        except WireError as error:
            log.warning("client dropped: %s", error)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the link is gone; the client resumes
        finally:
            if client is not None:
                self._clients.discard(client)
                self._loop.call_later(FORGET_S, self._forget, client.name)
            writer.transport.abort()

    def drop_clients(self) -> None:
        """Break every client's socket; they come back and resume."""
        for client in list(self._clients):
            client.abort()

    async def _authenticate(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: Decoder
    ) -> tuple[_Client | None, list[Message]]:
        nonce = os.urandom(32)
        writer.write(encode({"t": "hello", "proto": PROTOCOL, "nonce": nonce}))
        messages: list[Message] = []
        while not messages:
            data = await reader.read(1 << 16)
            if not data:
                return None, []
            messages = decoder.feed(data)
        auth, *rest = messages
        theirs, mac = auth.get("nonce"), auth.get("mac")
        token = self._options.token.encode()
        read_token = self._options.read_token.encode()
        if (
            auth["t"] != "auth"
            or auth.get("proto") != PROTOCOL
            or not (isinstance(theirs, bytes) and len(theirs) == 32)
        ):
            await self._refuse(writer, "protocol", f"this gateway speaks protocol {PROTOCOL}")
            return None, []
        may_trade = proved(token, "client", theirs, nonce, mac)
        if not may_trade:
            if not (read_token and proved(read_token, "client", theirs, nonce, mac)):
                await self._refuse(writer, "token", "wrong token")
                return None, []
            token = read_token
        client = _Client(writer, str(auth.get("name", ""))[:64], may_trade)
        missed = self._ring.after(auth.get("resume"))
        welcome = {
            "t": "welcome",
            "mac": proof(token, "gateway", nonce, theirs),
            "epoch": self._ring.epoch,
            "seq": self._ring.seq,
            "resumed": missed is not None,
            "up": self._ready,
        }
        client.send(encode(welcome))
        for frame in missed or []:
            client.send(frame)
        self._clients.add(client)
        return client, rest

    async def _refuse(self, writer: asyncio.StreamWriter, code: str, text: str) -> None:
        log.warning("client refused: %s", text)
        writer.write(encode({"t": "refused", "code": code, "text": text}))
        await writer.drain()

    def _from_client(self, client: _Client, message: Message) -> None:
        match message["t"]:
            case "ping":
                client.send(encode({"t": "pong"}))
            case "pong":
                pass
            case "req":
                self._request(client, message)
            case kind:
                raise WireError(f"unexpected {kind!r} from a client")

    def _request(self, client: _Client, message: Message) -> None:
        def reply(answer: Message) -> None:
            client.send(encode(answer))

        fn, args = message.get("fn"), message.get("args", [])
        if not isinstance(message.get("id"), int):
            raise WireError("a request needs a whole number as its id")
        match fn, args:
            case "subscribe_ticks", [str(symbol)]:
                data: Any = self._subscribe(client, symbol, None)
            case "subscribe_ticks", [str(symbol), [int(), int(), int()] as cursor]:
                data = self._subscribe(client, symbol, cursor)
            case "unsubscribe_ticks", [str(symbol)]:
                self._unsubscribe(client.name, symbol)
                data = True
            case "order_key", [str(key)]:
                data = self._dispatcher.key_state(key)
            case "status", []:
                waiting, reason = self._dispatcher.waiting, self._why_down
                data = {"up": self._ready, "restarts": self.restarts, "waiting": waiting, "reason": reason}
            case _:
                self._dispatcher.request(message, client.may_trade, reply, time.time_ns(), time.monotonic())
                return
        reply({"t": "rep", "id": message.get("id"), "outcome": "answered", "data": data, "error": [1, "Success"]})

    def _subscribe(self, client: _Client, symbol: str, cursor: list[int] | None) -> Message | bool:
        """Read a symbol's ticks for `client`, from its cursor on, else from the newest one. The newest tick when they are
        being read already, so that a price is there at once; else it comes as an event."""
        self._wanted.setdefault(symbol, set()).add(client.name)
        if symbol in self._cursors:
            return self._newest.get(symbol, True)
        self._cursors[symbol] = cursor
        if self._ready:
            self._to_worker({"t": "sub", "on": True, "symbol": symbol, "cursor": cursor})
        return True

    def _forget(self, name: str) -> None:
        if all(client.name != name for client in self._clients):
            for symbol in list(self._wanted):
                self._unsubscribe(name, symbol)

    def _unsubscribe(self, name: str, symbol: str) -> None:
        wanted = self._wanted.get(symbol, set())
        wanted.discard(name)
        if wanted or symbol not in self._cursors:
            return
        del self._cursors[symbol]
        self._wanted.pop(symbol, None)
        self._newest.pop(symbol, None)
        if self._ready:
            self._to_worker({"t": "sub", "on": False, "symbol": symbol})

    async def _ping(self) -> None:
        frame = encode({"t": "ping"})
        while True:
            await asyncio.sleep(PING_S)
            now_s = time.monotonic()
            for client in list(self._clients):
                if now_s - client.heard_s > SILENT_S:
                    log.warning("client %s is silent, dropped", client.name)
                    client.abort()
                else:
                    client.send(frame)
