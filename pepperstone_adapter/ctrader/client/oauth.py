"""Logging in: a browser, a page of our own on loopback, one code, one exchange.

The listener takes connections on the literal 127.0.0.1 only, answers one path, checks that the browser was sent to it
by name (`Host`) and that `state` is the one of this login, serves one answer and is gone; two minutes at most. The code
lives sixty seconds. Where the venue does not send `state` back, or there is no browser on this machine, the address the
browser ended at is pasted by hand instead.

The exchange is a GET with the application's secret in its query, because that is what the venue serves. So nothing of
the request may be shown: no redirect is followed, errors are told in our own words, and the HTTP library's own log of
addresses is switched off for the call.
"""

import contextlib
import http.server
import logging
import secrets
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pepperstone_adapter.common.errors import ConfigurationError, ConnectFailed, CredentialsError
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.tokens import NS, Application, Tokens

SERVER = "https://openapi.ctrader.com"
CALLBACK_PATH = "/callback"
CALLBACK_PORT = 8976
LOGIN_S = 120.0
EXCHANGE_S = 10.0
TRIES = 3
SCOPES = ("trading", "accounts")
_DONE = b"<!doctype html><title>Done</title><p>Logged in. You can close this page and go back to the terminal.</p>"
_REFUSED = b"<!doctype html><title>Refused</title><p>This answer was not accepted. Go back to the terminal.</p>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One attempt to log in."""

    application: Application
    scope: str = "trading"
    port: int = CALLBACK_PORT
    server: str = SERVER
    state: str

    @classmethod
    def begin(cls, application: Application, **options: Any) -> "Login":
        login = cls(application=application, state=secrets.token_urlsafe(24), **options)
        if login.scope not in SCOPES:
            raise ConfigurationError(f"scope: {login.scope!r} is not one of {', '.join(SCOPES)}")
        check_server(login.server)
        return login

    @property
    def redirect_uri(self) -> str:
        """The address to register for the application at the venue."""
        return f"http://127.0.0.1:{self.port}{CALLBACK_PATH}"

    @property
    def url(self) -> str:
        """Where a person logs in; it holds no secret."""
        query = {
            "client_id": self.application.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.scope,
            "state": self.state,
        }
        return f"{self.server}/apps/auth?{urllib.parse.urlencode(query)}"

    def code_from(self, pasted: str) -> Secret:
        """Read the code from a pasted address (or the bare code). Raises `CredentialsError`."""
        text = pasted.strip()
        if "?" not in text:
            if not text or any(c.isspace() or c in "/&=" for c in text):
                raise CredentialsError("that is neither the address the browser ended at nor a code")
            return Secret(text)
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(text).query)
        if "state" in query and not secrets.compare_digest(query["state"][0].encode(), self.state.encode()):
            raise CredentialsError("that address belongs to another login; start again")
        return self._code(query)

    def wait_for_code(self, timeout_s: float = LOGIN_S, listening: Callable[[], None] = lambda: None) -> Secret:
        """Serve the one-shot page until the browser comes back with this login's code.

        `listening` is called in a thread of its own once the page is there: opening a browser may take as long as the
        browser lives.

        Raises
        ------
        CredentialsError
            The venue refused, the answer was not for this login, or nobody came in time.
        ConfigurationError
            The port is taken.
        """
        outcome: list[Secret | CredentialsError] = []
        try:
            server = http.server.HTTPServer(("127.0.0.1", self.port), self._handler(outcome))
        except OSError as error:
            raise ConfigurationError(
                f"port {self.port} cannot be used ({error.strerror}); choose another with --port and register that one"
            ) from None
        with server:
            threading.Thread(target=listening, daemon=True).start()
            end = time.monotonic() + timeout_s
            while not outcome:
                server.timeout = end - time.monotonic()
                if server.timeout <= 0:
                    raise CredentialsError(f"nobody logged in within {timeout_s:g} s; start again, or use --paste")
                server.handle_request()
        if isinstance(outcome[0], CredentialsError):
            raise outcome[0]
        return outcome[0]

    def _handler(self, outcome: list[Secret | CredentialsError]) -> type[http.server.BaseHTTPRequestHandler]:
        login = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 5  # a browser that opens a connection and says nothing must not hold the login up

            def do_GET(self) -> None:
                parts = urllib.parse.urlsplit(self.path)
                if parts.path != CALLBACK_PATH or self.headers.get("Host") != f"127.0.0.1:{login.port}":
                    self._answer(404, _REFUSED)
                    return
                query = urllib.parse.parse_qs(parts.query)
                state = query.get("state", [""])[0]
                if not secrets.compare_digest(state.encode(), login.state.encode()):
                    why = "carried another login's state" if state else "carried no state; log in again with --paste"
                    outcome.append(CredentialsError(f"the answer in the browser {why}"))
                    self._answer(400, _REFUSED)
                    return
                try:
                    outcome.append(login._code(query))
                    self._answer(200, _DONE)
                except CredentialsError as error:
                    outcome.append(error)
                    self._answer(400, _REFUSED)

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("Referrer-Policy", "no-referrer")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: the line would hold the code."""

        return Handler

    @staticmethod
    def _code(query: dict[str, list[str]]) -> Secret:
        if "code" not in query:
            said = query.get("error", query.get("errorCode", ["no code"]))[0][:60]
            raise CredentialsError(f"the venue did not grant access ({said})")
        return Secret(query["code"][0])


def exchange(login: Login, code: Secret, now_ns: int) -> Tokens:
    """Turn a code into tokens. Raises `CredentialsError` for a refusal, `ConnectFailed` where nobody answers."""
    return _ask(
        login.server,
        login.application,
        {"grant_type": "authorization_code", "code": code.reveal(), "redirect_uri": login.redirect_uri},
        now_ns,
    )


def refresh(server: str, application: Application, token: Secret, now_ns: int) -> Tokens:
    """Use up a refresh token for a new pair; the caller stores it before anything else. Raises like `exchange`."""
    return _ask(server, application, {"grant_type": "refresh_token", "refresh_token": token.reveal()}, now_ns)


def check_server(server: str) -> None:
    """Refuse an address that is not HTTPS, but for the sandbox's on loopback."""
    parts = urllib.parse.urlsplit(server)
    loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise ConfigurationError("the login server must be https:// (http:// only for a sandbox on this machine)")


def _ask(server: str, application: Application, query: dict[str, str], now_ns: int) -> Tokens:
    import httpx

    check_server(server)
    host = urllib.parse.urlsplit(server).netloc
    secret = {"client_id": application.client_id, "client_secret": application.client_secret.reveal()}
    failure = "no answer"
    for attempt in range(TRIES):
        if attempt:
            time.sleep(0.5 * attempt)
        try:
            with _silent_logs(), httpx.Client(timeout=EXCHANGE_S, follow_redirects=False, trust_env=False) as client:
                answer = client.get(f"{server}/apps/token", params={**query, **secret})
        except httpx.HTTPError as error:
            failure = type(error).__name__
            continue
        if answer.status_code >= 500:
            failure = f"HTTP {answer.status_code}"
            continue
        return _tokens(answer, host, now_ns)
    raise ConnectFailed(
        f"{host}: the token service does not work ({failure}, {TRIES} tries); try again later"
    ) from None


def _tokens(answer: Any, host: str, now_ns: int) -> Tokens:
    if answer.is_redirect:
        raise CredentialsError(f"{host}: answered with a redirect, which is not followed")
    try:
        row = answer.json()
        if row.get("errorCode"):
            raise CredentialsError(f"{host}: refused ({str(row['errorCode'])[:60]}); log in again")
        access, new_refresh, life_s = row["accessToken"], row["refreshToken"], int(row.get("expiresIn") or 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CredentialsError(f"{host}: answered something that is no token (HTTP {answer.status_code})") from None
    if not (isinstance(access, str) and access and isinstance(new_refresh, str)):
        raise CredentialsError(f"{host}: answered without an access token") from None
    return Tokens(
        access=Secret(access),
        refresh=Secret(new_refresh),
        issued_ns=now_ns,
        expires_ns=now_ns + life_s * NS if life_s > 0 else 0,
    )


@contextlib.contextmanager
def _silent_logs() -> Iterator[None]:
    """The HTTP library logs whole addresses, secrets included."""

    def refuse(_record: logging.LogRecord) -> bool:
        return False

    loggers = [logging.getLogger(name) for name in ("httpx", "httpcore.connection", "httpcore.http11")]
    for logger in loggers:
        logger.addFilter(refuse)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(refuse)
