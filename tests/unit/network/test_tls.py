"""Whom we talk to: real handshakes on loopback, and not one application byte to a stranger."""

import concurrent.futures
import ssl
import time
from pathlib import Path

import pytest
import trustme

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.network.link import CONNECT_S, Link
from pepperstone_adapter.network.thread import NetworkThread
from pepperstone_adapter.network.tls import Endpoint
from tests.kit.memory_wire import WrittenCore
from tests.kit.tls_server import RecordingServer, ca_file, expired, self_signed, server_context

SECRET = b"client-secret-canary"


class FirstOutcome(WrittenCore):
    """Tells a future how the first attempt ended, and never tries again."""

    def __init__(self) -> None:
        super().__init__()
        self.retry = None
        self.outcome: concurrent.futures.Future[str] = concurrent.futures.Future()
        self.ended: concurrent.futures.Future[str] = concurrent.futures.Future()

    def opened(self, now_s: float) -> None:
        super().opened(now_s)
        self.outcome.set_result("up")

    def failed(self, error, now_s: float) -> None:
        super().failed(error, now_s)
        self.outcome.set_result(f"{type(error).__name__}: {error}")

    def lost(self, error, now_s: float) -> None:
        super().lost(error, now_s)
        self.ended.set_result(str(error))


def attempt(server: RecordingServer, host: str, ca: Path | None, data: bytes = SECRET) -> tuple[str, bytes]:
    network, core = NetworkThread.shared(), FirstOutcome()
    core.to_send = data
    link = Link(network.reactor, Endpoint(host=host, port=server.port, ca_file=ca), core)
    network.call(link.start)
    outcome = core.outcome.result(15)
    if outcome == "up":
        assert server.wait(lambda: len(server.received) >= len(data))
    network.run(link.stop).result(10)
    return outcome, bytes(server.received)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def test_a_certificate_of_the_named_authority_for_the_named_host_is_accepted(ca: trustme.CA, tmp_path: Path) -> None:
    for host in ("localhost", "127.0.0.1"):
        with RecordingServer(server_context(ca.issue_cert(host))) as server:
            assert attempt(server, host, ca_file(ca, tmp_path)) == ("up", SECRET)


def test_more_than_the_system_takes_at_once_arrives_whole(ca: trustme.CA, tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000
    with RecordingServer(server_context(ca.issue_cert("localhost"))) as server:
        assert attempt(server, "localhost", ca_file(ca, tmp_path), data) == ("up", data)


def test_a_write_that_tls_refuses_ends_the_link_at_once(ca: trustme.CA, tmp_path: Path) -> None:
    """Nobody would watch the socket any more: the link would be deaf and dumb until its silence is noticed."""
    network, core = NetworkThread.shared(), FirstOutcome()

    def write_after_goodbye() -> None:
        assert link._wire is not None
        link._wire.transport._tlsConnection.shutdown()
        core.to_send = SECRET
        link.pump()

    with RecordingServer(server_context(ca.issue_cert("localhost"))) as server:
        link = Link(network.reactor, Endpoint(host="localhost", port=server.port, ca_file=ca_file(ca, tmp_path)), core)
        network.call(link.start)
        assert core.outcome.result(15) == "up"
        network.run(write_after_goodbye).result(5)
        assert "protocol is shutdown" in core.ended.result(15)
        network.run(link.stop).result(10)
        assert bytes(server.received) == b""


@pytest.mark.parametrize("fault", ["self-signed", "expired", "wrong host", "unknown authority", "no authority given"])
def test_a_stranger_is_refused_and_told_nothing(fault: str, ca: trustme.CA, tmp_path: Path) -> None:
    other = trustme.CA()
    context = {
        "self-signed": lambda: self_signed("localhost"),
        "expired": lambda: server_context(expired(ca, "localhost")),
        "wrong host": lambda: server_context(ca.issue_cert("not-localhost.example")),
        "unknown authority": lambda: server_context(other.issue_cert("localhost")),
        "no authority given": lambda: server_context(ca.issue_cert("localhost")),
    }[fault]()
    trusted = None if fault == "no authority given" else ca_file(ca, tmp_path)
    with RecordingServer(context) as server:
        outcome, received = attempt(server, "localhost", trusted)
        assert outcome.startswith("CertificateRefused: localhost:")
        assert "nothing was sent" in outcome
        assert received == b""


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_a_server_that_speaks_only_old_tls_is_refused(ca: trustme.CA, tmp_path: Path) -> None:
    context = server_context(ca.issue_cert("localhost"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with RecordingServer(context) as server:
        outcome, received = attempt(server, "localhost", ca_file(ca, tmp_path))
        assert outcome.startswith("ConnectFailed: localhost:")
        assert received == b""


def test_a_closed_port_is_a_clear_failure(tmp_path: Path) -> None:
    with RecordingServer(self_signed("localhost")) as server:
        port = server.port
    network, core = NetworkThread.shared(), FirstOutcome()
    link = Link(network.reactor, Endpoint(host="127.0.0.1", port=port), core)
    network.call(link.start)
    assert f"127.0.0.1:{port}" in core.outcome.result(15)
    network.run(link.stop).result(10)


def test_a_real_stop_is_quick_while_a_handshake_hangs(ca: trustme.CA, tmp_path: Path) -> None:
    with RecordingServer(server_context(ca.issue_cert("localhost")), silent=True) as server:
        network, core = NetworkThread.shared(), WrittenCore()
        link = Link(network.reactor, Endpoint(host="localhost", port=server.port, ca_file=ca_file(ca, tmp_path)), core)
        network.call(link.start)
        assert server.wait(lambda: server._open)
        began = time.monotonic()
        network.run(link.stop).result(30)
        assert time.monotonic() - began < CONNECT_S  # when a handshake that hangs is given up by itself


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such ca_file; a sandbox writes it when it starts"),
        ("hello", "no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", "not a certificate"),
    ],
)
def test_a_bad_authority_file_is_named_before_any_socket_opens(text: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    network = NetworkThread.shared()
    link = Link(network.reactor, Endpoint(host="localhost", port=1, ca_file=path), WrittenCore())
    with pytest.raises(ConfigurationError, match=words):
        network.run(link.start).result(5)


@pytest.mark.parametrize(("host", "port"), [("https://x", 1), ("", 1), ("a b", 1), ("x", 0), ("x", 70000)])
def test_a_nonsense_endpoint_is_refused(host: str, port: int) -> None:
    with pytest.raises(ConfigurationError, match=r"host:|port:"):
        Endpoint(host=host, port=port)
