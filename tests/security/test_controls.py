"""The security controls, each by its number (SECURITY.md lists them and where else they are tested)."""

import ast
import os
import pickle
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
import trustme
import yaml

from pepperstone_adapter.common.class_path import find_class, load_class
from pepperstone_adapter.common.errors import ConfigurationError, ConnectFailed, CredentialsError
from pepperstone_adapter.common.files import file_name_of
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client import oauth
from pepperstone_adapter.ctrader.client.stores import EncryptedFileStore, EnvironmentStore, find_store
from pepperstone_adapter.ctrader.client.tokens import Application, Credentials, Tokens
from pepperstone_adapter.ctrader.config import CTraderDataConfig, CTraderExecConfig
from pepperstone_adapter.network.tls import CertificateRefused, Endpoint
from pepperstone_adapter.openapi import PAYLOAD, SECRET_PAYLOADS
from pepperstone_adapter.sandbox.journal import Journal
from tests.kit.ctrader import MemoryStore, Recorder
from tests.kit.ports import free_port
from tests.kit.tls_server import RecordingServer, ca_file, expired, self_signed, server_context

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-8c1f2e7a"
CREDENTIALS = Credentials(
    application=Application("app-id", Secret(f"{CANARY}-client-secret")),
    tokens=Tokens(access=Secret(f"{CANARY}-access"), refresh=Secret(f"{CANARY}-refresh"), issued_ns=1, expires_ns=2),
)


def file_store(folder: Path) -> EncryptedFileStore:
    return EncryptedFileStore("default", folder / "credentials", lambda: Secret(f"{CANARY}-passphrase"))


# -- S01 to S05: where secrets are and are not ---------------------------------------------------------------------------


def test_S01_the_file_comes_before_the_environment_and_both_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    environment = dict.fromkeys(EnvironmentStore.NAMES, "from-the-environment")
    folder = tmp_path / "credentials"
    passphrase = Secret(f"{CANARY}-passphrase")
    found = find_store("default", lambda: passphrase, folder, environment)
    assert found is not None
    assert found[0].describe.startswith("environment")
    file_store(tmp_path).save(CREDENTIALS)
    found = find_store("default", lambda: passphrase, folder, environment)
    assert found is not None
    assert found[0].describe.startswith("encrypted file")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        if file.suffix == ".sealed":
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert CANARY.encode() not in file.read_bytes()


def options(command: click.Command, path: str = "") -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        yield from ((f"{path} {command.name}", name) for name in [*parameter.opts, str(parameter.name)])
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), name)
            if child is not None:
                yield from options(child, f"{path} {command.name}")


def test_S01_no_command_takes_a_secret_on_its_command_line() -> None:
    from typer.main import get_command

    from pepperstone_adapter.cli import auth
    from pepperstone_adapter.cli.main import app

    found = [*options(get_command(auth.app)), *options(app if isinstance(app, click.Command) else get_command(app))]
    assert len(found) > 10
    words = ("secret", "token", "password", "passphrase", "api-key")
    assert [pair for pair in found if any(word in pair[1].lower() for word in words)] == []


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX")
@pytest.mark.parametrize("fault", ["group may read", "others may read", "a link", "another's"])
def test_S02_a_secrets_file_that_is_not_ours_alone_is_refused(tmp_path: Path, fault: str) -> None:
    store = file_store(tmp_path)
    store.save(CREDENTIALS)
    if fault == "a link":
        target = store.path.rename(tmp_path / "elsewhere.sealed")
        store.path.symlink_to(target)
    elif fault == "another's":
        if os.geteuid() != 0:
            pytest.skip("only root can give a file away")
        os.chown(store.path, 12_345, -1)
    else:
        store.path.chmod(0o640 if fault == "group may read" else 0o604)
    with pytest.raises(CredentialsError) as refused:
        file_store(tmp_path).load()
    assert CANARY not in str(refused.value)


def test_S03_a_secret_shows_itself_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EnvironmentStore.NAMES:
        monkeypatch.setenv(name, f"{CANARY}-{name}")
    secret = Secret(CANARY)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>20}",
        repr(CREDENTIALS),
        repr([secret]),
        repr({1: secret}),
    ]
    assert not any(CANARY in text for text in shown)
    for copy in (pickle.dumps, hash, len):
        with pytest.raises(TypeError) as refused:
            copy(secret)
        assert CANARY not in str(refused.value)
    assert secret != CANARY


def test_S03_no_framework_configuration_holds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from nautilus_trader.live import LiveNodeConfig

    for name in EnvironmentStore.NAMES:
        monkeypatch.setenv(name, f"{CANARY}-{name}")
    values = {"account": "1", "environment": "demo", "symbols": ["EURUSD"], "profile": "default"}
    data, execution = CTraderDataConfig(**values), CTraderExecConfig(state_dir="state", **values)
    node = LiveNodeConfig(data_clients={"X": data}, exec_clients={"X": execution})
    for config in (data, execution, node):
        said = repr(config) + str(config) + repr(getattr(config, "__dict__", ""))
        assert CANARY not in said


def test_S03_settings_that_hold_a_secret_are_refused(tmp_path: Path) -> None:
    account = {"platform": "ctrader", "environment": "demo", "account": "1", "symbols": ["EURUSD"]}
    for key in ("client_secret", "access_token", "password"):
        path = tmp_path / "live.yaml"
        path.write_text(yaml.safe_dump({"accounts": [account | {key: CANARY}], "strategies": [], "state_dir": "s"}))
        done = run("live", "--check", str(path))
        assert done.returncode == 2
        assert key in done.stderr
        assert CANARY not in done.stdout + done.stderr


def run(*arguments: str, stdin: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CTRADER_", "PEPPERSTONE_"))}
    return subprocess.run(
        [sys.executable, "-m", "pepperstone_adapter", *arguments],
        cwd=ROOT,
        env={**kept, "NO_COLOR": "1", "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
    )


def test_S05_the_wire_journal_keeps_no_payload_that_carries_a_credential(tmp_path: Path) -> None:
    # application auth, account auth, account list and its answer (it echoes the token), refresh and its answer, ctid
    assert {2100, 2102, 2149, 2150, 2151, 2173, 2174} <= set(map(int, SECRET_PAYLOADS))
    fields = {"accessToken", "refreshToken", "clientSecret"}
    carrying = {number for number, cls in PAYLOAD.items() if fields & set(cls.DESCRIPTOR.fields_by_name)}
    assert carrying <= set(map(int, SECRET_PAYLOADS))  # no message of the schema was forgotten
    journal = Journal(time.time_ns, tmp_path / "wire.jsonl")
    for number in carrying:
        journal.record("in", 1, number, "ref", CANARY.encode())
    journal.record("in", 1, 2106, "ref", b"kept")
    journal.close()
    written = (tmp_path / "wire.jsonl").read_text()
    import base64

    assert base64.b64encode(CANARY.encode()).decode() not in written
    assert base64.b64encode(b"kept").decode() in written
    assert [f.payload for f in journal.frames] == [b""] * len(carrying) + [b"kept"]


# -- S06 to S09: logging in and talking ----------------------------------------------------------------------------------


@pytest.fixture
def login() -> oauth.Login:
    return oauth.Login.begin(Application("app", Secret(f"{CANARY}-client-secret")), port=free_port())


def visit(login: oauth.Login, path: str, host: str | None = None) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{login.port}{path}", headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_S06_the_one_shot_page_answers_its_own_login_only_and_is_gone(login: oauth.Login) -> None:
    statuses: list[int] = []
    ended = threading.Event()
    good = f"/callback?code=abc&state={login.state}"

    def browse() -> None:
        statuses.append(visit(login, f"/other?code=abc&state={login.state}"))
        statuses.append(visit(login, good, host="attacker.example"))
        statuses.append(visit(login, good))
        ended.set()

    code = login.wait_for_code(20.0, browse)
    assert code == Secret("abc")
    assert ended.wait(20)
    assert statuses == [404, 404, 200]
    with pytest.raises(OSError):
        visit(login, good)


@pytest.mark.parametrize("query", ["code=abc", "code=abc&state=wrong", "code=abc&state="])
def test_S06_an_answer_without_this_logins_state_ends_it(login: oauth.Login, query: str) -> None:
    with pytest.raises(CredentialsError, match="state"):
        login.wait_for_code(20.0, lambda: [visit(login, f"/callback?{query}")])  # type: ignore[arg-type, return-value]


def test_S06_the_state_is_random_and_the_page_is_on_loopback_by_number(login: oauth.Login) -> None:
    states = {oauth.Login.begin(login.application).state for _ in range(100)}
    assert len(states) == 100
    assert all(len(state) >= 32 for state in states)  # 192 bits
    assert login.redirect_uri.startswith("http://127.0.0.1:")
    assert CANARY not in login.url


def test_S07_a_token_is_due_at_four_fifths_of_its_life() -> None:
    tokens = Tokens(access=Secret("a"), issued_ns=0, expires_ns=2_628_000 * 10**9)
    due_ns = 2_102_400 * 10**9  # 2,628,000 s x 0.8
    assert not tokens.due(due_ns - 1)
    assert tokens.due(due_ns)


class Redirecting(BaseHTTPRequestHandler):
    followed: list[str] = []  # noqa: RUF012 - shared on purpose

    def do_GET(self) -> None:
        if self.path.startswith("/stolen"):
            self.followed.append(self.path)
        self.send_response(302)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/stolen?{self.path}")  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_S08_the_token_exchange_follows_no_redirect_and_says_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    server = HTTPServer(("127.0.0.1", 0), Redirecting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        login = oauth.Login.begin(
            Application("app", Secret(f"{CANARY}-client-secret")), server=f"http://127.0.0.1:{server.server_port}"
        )
        with pytest.raises(CredentialsError) as refused:
            oauth.exchange(login, Secret(f"{CANARY}-code"), 0)
        assert Redirecting.followed == []
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(ConnectFailed) as failed:  # and nobody there
        oauth.refresh(f"http://127.0.0.1:{free_port()}", login.application, Secret(f"{CANARY}-refresh"), 0)
    for error in (refused.value, failed.value):
        chain = [error, error.__cause__, error.__context__]
        assert not any(CANARY in repr(e) and not getattr(error, "__suppress_context__", False) for e in chain)
        assert CANARY not in str(error)
    assert CANARY not in caplog.text


@pytest.mark.parametrize("server", ["http://openapi.ctrader.com", "ftp://x", "http://127.0.0.1.example.com"])
def test_S08_a_token_server_without_tls_is_refused(server: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        oauth.check_server(server)


@pytest.mark.parametrize("fault", ["self-signed", "expired", "wrong host", "unknown authority"])
def test_S09_F09_a_session_tells_a_stranger_nothing_and_does_not_storm(tmp_path: Path, fault: str) -> None:
    import asyncio

    from pepperstone_adapter.broker.account import Environment
    from pepperstone_adapter.ctrader.client.desk import Wanted
    from pepperstone_adapter.ctrader.client.session import CTraderSession

    ca, other = trustme.CA(), trustme.CA()
    context = {
        "self-signed": lambda: self_signed("localhost"),
        "expired": lambda: server_context(expired(ca, "localhost")),
        "wrong host": lambda: server_context(ca.issue_cert("not-localhost.example")),
        "unknown authority": lambda: server_context(other.issue_cert("localhost")),
    }[fault]()
    with RecordingServer(context) as server:
        store = MemoryStore(CREDENTIALS)
        session = CTraderSession(
            Wanted(account_number="1", environment=Environment.SANDBOX),
            Endpoint(host="localhost", port=server.port, ca_file=ca_file(ca, tmp_path)),
            lambda: (store, CREDENTIALS),
            connect_timeout_s=5.0,
        )
        with pytest.raises(CertificateRefused) as refused:
            asyncio.run(session.connect(Recorder()))
        assert bytes(server.received) == b""
        assert len(server._open) <= 3  # attempts, however they ended
    assert CANARY not in str(refused.value)


def test_S09_nothing_in_the_code_turns_verification_off() -> None:
    forbidden = ("CERT_NONE", "VERIFY_NONE", "check_hostname = False", "_create_unverified_context")
    found = []
    for file in (ROOT / "pepperstone_adapter").rglob("*.py"):
        text = file.read_text()
        found += [f"{file.name}: {word}" for word in forbidden if word in text]
        for node in ast.walk(ast.parse(text)):
            if not (isinstance(node, ast.keyword) and node.arg in ("verify", "verify_mode", "check_hostname")):
                continue
            if isinstance(node.value, ast.Constant) and not node.value.value:
                found.append(f"{file.name}:{node.value.lineno} {node.arg}")
    assert found == []


# -- S13, S14, S22, S23 --------------------------------------------------------------------------------------------------


def test_S13_a_settings_file_runs_no_code_before_it_is_checked(tmp_path: Path) -> None:
    from nautilus_trader.trading import Strategy

    inside, outside = tmp_path / "strategies", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        evil = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\nclass S: pass\n"
        (folder / "evil.py").write_text(evil)
    (inside / "link.py").symlink_to(outside / "evil.py")
    (inside / "not_a_strategy.py").write_text("class S: pass\n")
    refused = [
        "os:system",
        "subprocess:Popen",
        "evil",
        "evil:",
        ":S",
        "evil:missing",
        "../outside/evil.py:S",
        str(outside / "evil.py") + ":S",
        "./link.py:S",
        "evil:S.__init__",
        "pathlib:Path",
    ]
    for text in refused:
        with pytest.raises(ConfigurationError):
            find_class(text, [inside])
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ConfigurationError):
        load_class(find_class("not_a_strategy:S", [inside]), Strategy)
    assert str(inside) not in sys.path
    assert str(Path.cwd() / "strategies") not in sys.path


@pytest.mark.parametrize(
    "identifier",
    [
        "../etc/passwd.CTRADER",
        "/etc/passwd",
        "..",
        ".hidden",
        "a/b",
        "a\\b",
        "nul",
        "C:evil",
        "x\0y",
        "ЕURUSD.CTRADER",
        "a\n",
    ],
)
def test_S14_an_identifier_from_outside_cannot_name_a_path(tmp_path: Path, identifier: str) -> None:
    name = file_name_of(identifier)
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()
    assert name.isascii()
    assert not name.startswith(".")
    assert file_name_of("ЕURUSD.CTRADER") != file_name_of("EURUSD.CTRADER")
    (tmp_path / name).touch()
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("row", range(8))
def test_S22_only_all_three_keys_open_a_live_account(row: int) -> None:
    from decimal import Decimal

    from pepperstone_adapter.broker.account import AccountSnapshot, Environment, PositionMode
    from pepperstone_adapter.live.keys import check_reported

    set_live, number_fits, confirmed = bool(row & 4), bool(row & 2), bool(row & 1)
    reported = AccountSnapshot(
        account_number="7654321",
        environment=Environment.LIVE,
        broker="Pepperstone",
        currency="USD",
        money_digits=2,
        mode=PositionMode.HEDGING,
        balance=Decimal(1),
        leverage=Decimal(30),
    )
    number = "7654321" if number_fits else "1111111"
    arguments = (Environment.LIVE if set_live else Environment.DEMO, number, number if confirmed else None, reported)
    if row == 7:
        check_reported(*arguments)
        return
    with pytest.raises(ConfigurationError) as refused:
        check_reported(*arguments)
    assert "7654321" not in str(refused.value)  # S23: masked, also in an error


def test_S22_a_live_account_without_its_confirmation_opens_no_socket(tmp_path: Path) -> None:
    with RecordingServer(self_signed("localhost")) as server:
        account = {
            "platform": "ctrader",
            "environment": "live",
            "account": "7654321",
            "symbols": ["EURUSD"],
            "host": "localhost",
            "port": server.port,
        }
        path = tmp_path / "live.yaml"
        strategy = {
            "strategy": str(ROOT / "strategies" / "ema_cross.py") + ":EmaCross",
            "config": {"bar_type": "EURUSD.PEPPERSTONE-1-MINUTE-BID-INTERNAL"},
        }
        path.write_text(yaml.safe_dump({"accounts": [account], "strategies": [strategy], "state_dir": "s"}))
        for arguments in ((), ("--confirm-live", "1234567")):
            done = run("live", str(path), *arguments)
            assert done.returncode == 2, done.stderr
            assert "confirm-live" in done.stderr
            assert "7654321" not in done.stdout + done.stderr
        assert server._open == []
