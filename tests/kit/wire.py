"""A plain blocking client of the cTrader wire, for tests: it knows frames and the schema and nothing else.

It has no opinion about prices or volumes, so a test that uses it sees what the sandbox really said.
"""

import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from pepperstone_adapter import openapi
from pepperstone_adapter.openapi import messages as oa

WAIT_S = 30.0


class WireClient:
    """One verified TLS connection. `heard` keeps every message in order of arrival."""

    def __init__(self, port: int, ca_file: Path) -> None:
        context = ssl.create_default_context(cafile=str(ca_file))
        raw = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self._socket = context.wrap_socket(raw, server_hostname="localhost")
        self._socket.settimeout(WAIT_S)
        self._inbox = b""
        self._ids = 0
        self.heard: list[openapi.Decoded] = []

    def __enter__(self) -> "WireClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def send(self, message: Message, ref: str | None = None) -> str:
        """Write one request; returns its clientMsgId."""
        self._ids += 1
        ref = ref or f"t{self._ids}"
        self.send_raw(openapi.encode(message, ref))
        return ref

    def send_raw(self, frame: bytes) -> None:
        self._socket.sendall(struct.pack(">I", len(frame)) + frame)

    def next(self) -> openapi.Decoded:
        """The next message; raises `ConnectionError` at the end of the stream, `TimeoutError` in silence."""
        while len(self._inbox) < 4 or len(self._inbox) < 4 + struct.unpack(">I", self._inbox[:4])[0]:
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionError("the sandbox closed the link")
            self._inbox += data
        (length,) = struct.unpack(">I", self._inbox[:4])
        frame, self._inbox = self._inbox[4 : 4 + length], self._inbox[4 + length :]
        decoded = openapi.decode(frame)
        self.heard.append(decoded)
        return decoded

    def wait(self, wanted: Callable[[openapi.Decoded], bool]) -> Any:
        """The first message from here on that is `wanted`."""
        while not wanted(decoded := self.next()):
            pass
        return decoded.message

    def ask(self, message: Message) -> Any:
        """Send a request and return the first message that carries its id (not a spot or a heartbeat)."""
        ref = self.send(message)
        return self.wait(lambda d: d.client_msg_id == ref)

    def execution(self, kind: oa.ExecutionType) -> oa.ExecutionEvent:
        """The next execution event of one kind."""
        event = self.wait(lambda d: isinstance(d.message, oa.ExecutionEvent) and d.message.executionType == kind)
        assert isinstance(event, oa.ExecutionEvent)
        return event

    def login(self, account_id: int, token: str = "sandbox-access") -> None:
        app = self.ask(oa.ApplicationAuthReq(clientId="sandbox-client", clientSecret="sandbox-secret"))
        assert isinstance(app, oa.ApplicationAuthRes), app
        account = self.ask(oa.AccountAuthReq(ctidTraderAccountId=account_id, accessToken=token))
        assert isinstance(account, oa.AccountAuthRes), account
