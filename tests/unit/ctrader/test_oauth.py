"""Logging in by a browser: one answer, the right one, and no secret in any word of ours."""

import http.client
import http.server
import json
import logging
import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterator

import pytest

from pepperstone_adapter.common.errors import ConfigurationError, ConnectFailed, CredentialsError
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client import oauth
from pepperstone_adapter.ctrader.client.tokens import Application, Tokens
from tests.kit.ports import free_port

APP = Application("app-1", Secret("canary-secret"))


@pytest.fixture
def login() -> oauth.Login:
    return oauth.Login.begin(APP, port=free_port())


def get(port: int, path: str, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def while_waiting(login: oauth.Login, browse: Callable[[], None]) -> Secret:
    """What the page is told by a browser that has ended when this returns."""
    ended = threading.Event()

    def browsing() -> None:
        try:
            browse()
        finally:
            ended.set()

    try:
        return login.wait_for_code(20, browsing)
    finally:
        assert ended.wait(20)


def test_the_address_to_open_holds_no_secret_and_a_fresh_state(login: oauth.Login) -> None:
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(login.url).query)
    assert query["client_id"] == ["app-1"]
    assert query["redirect_uri"] == [f"http://127.0.0.1:{login.port}/callback"]
    assert "canary-secret" not in login.url
    assert query["state"] != [oauth.Login.begin(APP).state]
    assert len(query["state"][0]) >= 32


def test_the_browser_brings_the_code_and_the_page_is_gone(login: oauth.Login) -> None:
    answers: list[tuple[int, str]] = []

    def browse() -> None:
        answers.append(get(login.port, "/favicon.ico"))
        answers.append(get(login.port, f"/callback?code=c0de&state={login.state}", host="evil.example"))
        answers.append(get(login.port, f"/callback?code=c0de&state={login.state}"))

    assert while_waiting(login, browse) == Secret("c0de")
    assert [status for status, _ in answers] == [404, 404, 200]
    with pytest.raises(OSError, match="refused"):
        get(login.port, f"/callback?code=again&state={login.state}")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("code=c&state=wrong", "another login"),
        ("code=c", "--paste"),
        ("state={state}&error=access_denied", "access_denied"),
    ],
)
def test_an_answer_that_is_not_for_this_login_ends_it(login: oauth.Login, query: str, words: str) -> None:
    with pytest.raises(CredentialsError, match=words):
        while_waiting(login, lambda: get(login.port, "/callback?" + query.format(state=login.state)) and None)


def test_nobody_comes(login: oauth.Login) -> None:
    with pytest.raises(CredentialsError, match="nobody logged in"):
        login.wait_for_code(0.05)


def test_a_taken_port_is_named(login: oauth.Login) -> None:
    with socket.create_server(("127.0.0.1", login.port)), pytest.raises(ConfigurationError, match=str(login.port)):
        login.wait_for_code(1)


def test_a_pasted_address_or_code_is_read(login: oauth.Login) -> None:
    assert login.code_from(f" {login.redirect_uri}?code=abc&state={login.state}\n") == Secret("abc")
    assert login.code_from(f"{login.redirect_uri}?code=abc") == Secret("abc")
    assert login.code_from("abc") == Secret("abc")
    for bad, words in (
        ("?code=a&state=other", "another login"),
        ("not a code", "neither"),
        ("", "neither"),
        ("?x=1", "grant"),
    ):
        with pytest.raises(CredentialsError, match=words):
            login.code_from(bad)


@pytest.mark.parametrize("server", ["http://openapi.ctrader.com", "ftp://127.0.0.1", "openapi.ctrader.com"])
def test_a_login_server_without_tls_is_refused(server: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        oauth.Login.begin(APP, server=server)


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="scope"):
        oauth.Login.begin(APP, scope="everything")


class TokenServer:
    """Answers the token request with what the test says, and keeps the queries."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str, dict[str, str]]] = []
        self.queries: list[dict[str, list[str]]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.queries.append(urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query))
                status, body, headers = outer.answers[min(len(outer.queries), len(outer.answers)) - 1]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[TokenServer]:
    running = TokenServer()
    yield running
    running.close()


GOOD = json.dumps(
    {
        "accessToken": "canary-access",
        "refreshToken": "canary-refresh",
        "tokenType": "bearer",
        "expiresIn": 2_628_000,
        "errorCode": None,
    }
)


def test_a_code_becomes_tokens(server: TokenServer) -> None:
    server.answers = [(200, GOOD, {})]
    login = oauth.Login.begin(APP, server=server.url, port=4242)
    tokens = oauth.exchange(login, Secret("c0de"), now_ns=10**9)
    assert tokens == Tokens(
        access=Secret("canary-access"), refresh=Secret("canary-refresh"), issued_ns=10**9, expires_ns=2_628_001 * 10**9
    )
    assert server.queries[0]["grant_type"] == ["authorization_code"]
    assert server.queries[0]["redirect_uri"] == ["http://127.0.0.1:4242/callback"]
    assert server.queries[0]["client_secret"] == ["canary-secret"]


@pytest.mark.parametrize(
    ("answer", "error", "words", "tries"),
    [
        ((500, "oops canary-refresh", {}), ConnectFailed, "HTTP 500", 3),
        ((200, "<html>canary-refresh</html>", {}), CredentialsError, "no token", 1),
        (
            (200, '{"errorCode": "ACCESS_DENIED", "description": "canary-refresh"}', {}),
            CredentialsError,
            "ACCESS_DENIED",
            1,
        ),
        ((302, "", {"Location": "http://elsewhere.example/?canary-refresh"}), CredentialsError, "redirect", 1),
        ((200, '{"accessToken": "", "refreshToken": "x"}', {}), CredentialsError, "without an access token", 1),
        ((200, "[]", {}), CredentialsError, "no token", 1),
    ],
)
def test_f43_whatever_the_token_service_does_ends_in_few_tries_and_clean_words(
    server: TokenServer,
    caplog: pytest.LogCaptureFixture,
    answer: tuple[int, str, dict[str, str]],
    error: type[Exception],
    words: str,
    tries: int,
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers = [answer]
    with pytest.raises(error, match=words) as caught:
        oauth.refresh(server.url, APP, Secret("canary-refresh"), 0)
    assert len(server.queries) == tries
    said = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert "canary" not in said


def test_a_token_service_that_is_not_there_keeps_the_secret_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ConnectFailed) as caught:
        oauth.refresh(f"http://127.0.0.1:{free_port()}", APP, Secret("canary-refresh"), 0)
    assert "canary" not in f"{caught.value!r} {caplog.text}"
