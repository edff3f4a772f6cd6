"""The authorisation pages: `/apps/auth` asks, `/apps/token` trades a code or a refresh token for tokens.

Plain HTTP on loopback, just enough of it. The auth page is a form with one button; allowing sends the browser back to
the redirect address with a code and the caller's `state`. Token errors come as the venue sends them: status 200 with
`errorCode` and `description`.
"""

import asyncio
import html
import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, urlencode, urlsplit

from pepperstone_adapter.sandbox.ctrader_server.tokens import CLIENT_ID, CLIENT_SECRET, Grant
from pepperstone_adapter.sandbox.ctrader_server.venue import Venue
from pepperstone_adapter.sandbox.faults import FaultKind

PAGE = """<!doctype html><meta charset="utf-8"><title>Sandbox broker</title>
<body style="font-family: sans-serif; max-width: 32em; margin: 4em auto">
<h1>Sandbox broker</h1>
<p>The application <b>{client}</b> asks for access to your simulated trading accounts ({scope}).</p>
<form action="/apps/allow" method="get">{fields}<button>Allow access</button></form></body>
"""


@dataclass(frozen=True, slots=True)
class Answer:
    status: HTTPStatus
    body: bytes
    content_type: str = "text/html; charset=utf-8"
    location: str = ""

    def encode(self) -> bytes:
        head = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "Connection: close",
        ]
        if self.location:
            head.append(f"Location: {self.location}")
        return ("\r\n".join(head) + "\r\n\r\n").encode() + self.body


class OAuthPages:
    """`answer` is pure; `serve` is its asyncio connection handler."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii", "replace").split(" ", 2)
            rule = self._venue.faults.match("request", "OAuthToken") if target.startswith("/apps/token") else None
            if rule is not None and rule.kind is FaultKind.SILENCE:
                await asyncio.sleep(rule.seconds or 3_600)
            if rule is not None and rule.kind is FaultKind.CUT_BEFORE:
                return
            answer = self._broken(rule.kind) if rule is not None else None
            writer.write((answer or self.answer(method, target)).encode())
            await writer.drain()
        except (TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # not a browser of ours; nothing to answer
        finally:
            writer.close()

    def answer(self, method: str, target: str) -> Answer:
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        pages: dict[str, Callable[[dict[str, str]], Answer]] = {
            "/apps/auth": self._auth,
            "/apps/allow": self._allow,
            "/apps/token": self._token,
        }
        page = pages.get(parts.path.rstrip("/"))
        if method != "GET" or page is None:
            return Answer(HTTPStatus.NOT_FOUND, b"Not found", "text/plain")
        return page(query)

    def _auth(self, query: dict[str, str]) -> Answer:
        problem = self._check_client(query)
        if problem:
            return Answer(HTTPStatus.BAD_REQUEST, html.escape(problem).encode())
        names = ("client_id", "redirect_uri", "scope", "state")
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{html.escape(query[name], quote=True)}">'
            for name in names
            if name in query
        )
        scope = html.escape(query.get("scope", "trading"))
        page = PAGE.format(client=html.escape(query["client_id"]), scope=scope, fields=hidden)
        return Answer(HTTPStatus.OK, page.encode())

    def _allow(self, query: dict[str, str]) -> Answer:
        problem = self._check_client(query)
        if problem:
            return Answer(HTTPStatus.BAD_REQUEST, html.escape(problem).encode())
        may_trade = query.get("scope", "trading") != "accounts"
        address = query["redirect_uri"]
        code = self._venue.tokens.issue_code(address, self._venue.clock.now_ns(), may_trade=may_trade)
        given = {"code": code} | ({"state": query["state"]} if "state" in query else {})
        join = "&" if urlsplit(address).query else "?"
        return Answer(HTTPStatus.FOUND, b"", location=f"{address}{join}{urlencode(given)}")

    @staticmethod
    def _check_client(query: dict[str, str]) -> str:
        if query.get("client_id") != CLIENT_ID:
            return f"Unknown client_id; the sandbox knows {CLIENT_ID}"
        address = query.get("redirect_uri", "")  # it goes into a header: no line ends (urlsplit drops them unseen)
        if urlsplit(address).scheme not in ("http", "https") or not address.isprintable():
            return "redirect_uri is missing or not a web address"
        return ""

    def _token(self, query: dict[str, str]) -> Answer:
        if (query.get("client_id"), query.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return _error("CH_CLIENT_AUTH_FAILURE", "clientId or clientSecret is incorrect")
        now_ns = self._venue.clock.now_ns()
        match query.get("grant_type"):
            case "authorization_code":
                grant = self._venue.tokens.redeem(query.get("code", ""), query.get("redirect_uri", ""), now_ns)
                return self._granted(grant) if grant else _error("ACCESS_DENIED", "Invalid authorization code")
            case "refresh_token":
                turned = self._venue.tokens.refresh(query.get("refresh_token", ""), now_ns)
                if turned is None:
                    return _error("ACCESS_DENIED", "Invalid refresh token")
                old, new = turned
                self._venue.refreshed(old)
                return self._granted(new)
            case _:
                return _error("INVALID_REQUEST", "Unknown grant_type")

    def _granted(self, grant: Grant) -> Answer:
        return _json(
            {
                "accessToken": grant.access,
                "tokenType": "bearer",
                "expiresIn": self._venue.tokens.access_lifetime_s,
                "refreshToken": grant.refresh,
                "errorCode": None,
                "description": None,
            }
        )

    @staticmethod
    def _broken(kind: FaultKind) -> Answer:
        match kind:
            case FaultKind.GARBAGE:
                return Answer(HTTPStatus.OK, b"<html><body>Service page</body></html>")
            case FaultKind.THROTTLE:
                return Answer(HTTPStatus.TOO_MANY_REQUESTS, b"Too many requests", "text/plain")
            case FaultKind.SWAP:
                return Answer(HTTPStatus.FOUND, b"", location="http://127.0.0.1:9/elsewhere")
            case _:
                return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"Internal error", "text/plain")


def _json(body: dict[str, object]) -> Answer:
    return Answer(HTTPStatus.OK, json.dumps(body).encode(), "application/json")


def _error(code: str, text: str) -> Answer:
    return _json({"accessToken": None, "refreshToken": None, "errorCode": code, "description": text})
