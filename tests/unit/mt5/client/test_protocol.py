"""A gateway of another version, or something else behind its port: clear errors, and no request without an end."""

from typing import Any

import pytest

from pepperstone_adapter.common.errors import (
    LinkLost,
    OutcomeUnknown,
    PepperstoneError,
    RemoteProtocolError,
    VenueError,
)
from pepperstone_adapter.mt5.client.protocol import GatewayNews, GatewayProtocol
from pepperstone_adapter.mt5.gateway.wire import PROTOCOL, encode, proof

TOKEN = b"a-token-for-tests-0123456789"
OURS, THEIRS = b"o" * 32, b"t" * 32
WELCOME = {
    "t": "welcome",
    "mac": proof(TOKEN, "gateway", THEIRS, OURS),
    "epoch": "e",
    "seq": 4,
    "resumed": False,
    "up": True,
}


class Client:
    """A link that has greeted, with what came of its requests."""

    def __init__(self) -> None:
        self.news: list[GatewayNews] = []
        self.ends: list[Any] = []
        self.core = GatewayProtocol(TOKEN, "test", self.news.extend, nonce=lambda: OURS)
        self.core.opened(0.0)
        self.take({"t": "hello", "proto": PROTOCOL, "nonce": THEIRS})

    def take(self, *messages: dict[str, Any]) -> PepperstoneError | None:
        """Feed messages; why the link must be dropped then."""
        self.core.received(b"".join(encode(message) for message in messages), 1.0)
        return self.core.drop()

    def ask(self, fn: str, key: str | None = None) -> None:
        self.core.request(fn, [], key, self.ends.append, self.ends.append, 1)


REPLY: dict[str, Any] = {"t": "rep", "id": 1, "outcome": "answered", "data": [], "error": [1, "Success"]}
EVENT: dict[str, Any] = {"t": "ev", "seq": 5, "events": [{"k": "beat"}]}


def without(message: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != name}


def test_the_messages_as_they_should_be() -> None:
    client = Client()
    assert client.take(WELCOME, EVENT) is None
    client.ask("orders_get")
    assert client.take(REPLY) is None
    assert client.ends == [[]]


@pytest.mark.parametrize("name", ["epoch", "seq", "resumed"])
def test_a_welcome_without_a_key_is_a_protocol_error(name: str) -> None:
    client = Client()
    drop = client.take(without(WELCOME, name))
    assert isinstance(drop, RemoteProtocolError)
    assert f"a welcome message that is not of protocol {PROTOCOL} (KeyError: '{name}')" in str(drop)
    assert not client.core.up


@pytest.mark.parametrize(
    "event", [without(EVENT, "seq"), without(EVENT, "events"), EVENT | {"seq": "5"}, EVENT | {"events": [{"x": 1}]}]
)
def test_an_event_that_cannot_be_read_is_not_taken_for_seen(event: dict[str, Any]) -> None:
    client = Client()
    client.take(WELCOME)
    client.news.clear()
    assert isinstance(client.take(event), RemoteProtocolError)
    assert client.news == []
    assert client.core._seq == 4  # the next link asks for it again


@pytest.mark.parametrize("name", ["id", "outcome", "data", "error"])
@pytest.mark.parametrize(
    ("fn", "key", "end"), [("orders_get", None, LinkLost), ("order_send", "k" * 8, OutcomeUnknown)]
)
def test_a_reply_that_cannot_be_read_leaves_no_request_without_an_end(
    name: str, fn: str, key: str | None, end: type
) -> None:
    client = Client()
    client.take(WELCOME)
    client.ask(fn, key)
    drop = client.take(without(REPLY, name))
    assert isinstance(drop, RemoteProtocolError)
    assert client.ends == []
    client.core.lost(drop, 2.0)  # what the link does with a drop
    assert [type(error) for error in client.ends] == [end]


@pytest.mark.parametrize(
    ("outcome", "fn", "end"),
    [
        ("refused", "order_send", VenueError),
        ("too_large", "order_send", OutcomeUnknown),
        ("a word of a later version", "order_send", OutcomeUnknown),
        ("too_large", "orders_get", VenueError),
    ],
)
def test_an_order_that_may_have_run_is_not_told_refused(outcome: str, fn: str, end: type) -> None:
    client = Client()
    client.take(WELCOME)
    client.ask(fn, "k" * 8)
    client.take(REPLY | {"outcome": outcome, "data": None})
    assert [type(error) for error in client.ends] == [end]


def test_what_came_before_an_answer_is_told_before_it() -> None:
    """A tick that was on its way when its symbol was asked for would come after the price of the answer, twice."""
    order: list[str] = []
    core = GatewayProtocol(TOKEN, "test", lambda news: order.extend("news" for _ in news), nonce=lambda: OURS)
    core.opened(0.0)
    for message in ({"t": "hello", "proto": PROTOCOL, "nonce": THEIRS}, WELCOME):
        core.received(encode(message), 1.0)
    core.request("orders_get", [], None, lambda _data: order.append("answer"), lambda _error: None)
    order.clear()
    core.received(encode(EVENT) + encode(REPLY) + encode(EVENT | {"seq": 6}), 1.0)
    assert order == ["news", "answer", "news"]
