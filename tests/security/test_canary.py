"""S04: marked secrets go through faults, logins and commands, and none of them is found in anything that was written.

Everything a run leaves is searched: what it printed, its logs at the finest level, state files, recordings, the wire
journal, errors with all their causes and local variables. A control shows that the search finds what is there.
"""

import contextlib
import signal
import traceback
from pathlib import Path

import pytest

from pepperstone_adapter.common.secrets import Secret
from tests.integration.test_auth_command import BROWSER, pepperstone
from tests.kit.ctrader import MemoryStore, Recorder, credentials_of, session_of
from tests.kit.ctrader_node import ACCOUNT_ID, LOGIN, sandbox
from tests.kit.faults import rule
from tests.kit.live_process import running, settings, traded, until
from tests.kit.ports import free_port

CANARY = "canary-51e9b0d4"
#: What the sandbox hands out; every token it makes begins with one of these.
SANDBOX_SECRETS = ("sandbox-secret", "sandbox-access", "sandbox-refresh", "sandbox-code")


def hits(folder: Path, words: tuple[str, ...], *texts: str) -> list[str]:
    """Where any of `words` stands below `folder` or in `texts`."""
    found = [f"text {n}: {word}" for n, text in enumerate(texts) for word in words if word in text]
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            data = file.read_bytes()
            found += [f"{file.relative_to(folder)}: {word}" for word in words if word.encode() in data]
    return found


def test_S04_the_search_finds_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "live.log").write_bytes(b"\x00\x01" + CANARY.encode())
    assert hits(tmp_path, (CANARY,), f"x{CANARY}y") == [f"text 0: {CANARY}", f"deep/live.log: {CANARY}"]


def test_S04_a_node_under_faults_writes_no_secret(tmp_path: Path) -> None:
    with sandbox(tmp_path, journal=True) as broker:
        path = settings(
            tmp_path,
            broker,
            log={"level": "DEBUG", "file_level": "DEBUG", "dir": str(tmp_path / "logs")},
            record={"catalog": str(tmp_path / "recorded")},
        )
        with running(path) as process:
            until(lambda: traded(broker), "position and order", process)
            for fault in (rule("garbage", "SpotEvent", on="reply"), rule("cut_after", "ReconcileReq")):
                broker.add_fault(fault)
                broker.push("EURUSD", "1.08511", "1.08518")

            def disconnect() -> int:
                before = len(broker.journal.requests("AccountAuthReq"))
                broker.venue.disconnect_account(ACCOUNT_ID)
                return before

            before = broker.call(disconnect)
            until(
                lambda: len(broker.call(broker.journal.requests, "AccountAuthReq")) > before, "a new sign-in", process
            )
            grant = broker.venue.tokens.grant(broker.credentials.access_token)
            assert grant is not None
            broker.call(broker.venue.end_sessions, grant, "again")
            process.send_signal(signal.SIGINT)
            out = process.communicate(timeout=60)[0]
            assert "stopping" in out
    assert any((tmp_path / "logs").iterdir())
    assert (tmp_path / "sandbox" / "wire.jsonl").stat().st_size > 1_000
    assert hits(tmp_path, SANDBOX_SECRETS, out) == []


def test_S04_logging_in_and_every_way_it_fails_writes_no_secret(tmp_path: Path) -> None:
    home, script = tmp_path / "home", tmp_path / "browser.py"
    script.write_text(BROWSER)
    import sys

    marked = {
        "PEPPERSTONE_PASSPHRASE": f"{CANARY}-passphrase",
        "BROWSER": f"{sys.executable} {script} %s",
    }
    said: list[str] = []
    with sandbox(tmp_path, journal=True) as broker:
        server = f"http://127.0.0.1:{broker.ports.oauth}"
        login = ("login", "ctrader", "--server", server, "--port", str(free_port()))
        done = pepperstone(home, *login, stdin="sandbox-client\nsandbox-secret\n", **marked)
        said += [done.stdout, done.stderr]
        assert done.returncode == 0, done.stderr
        for command in ("status", "refresh"):
            arguments = (command, "ctrader", *(("--server", server) if command == "refresh" else ()))
            done = pepperstone(home, *arguments, **marked)
            said += [done.stdout, done.stderr]
        wrong = pepperstone(home, "status", "ctrader", PEPPERSTONE_PASSPHRASE=f"{CANARY}-wrong")
        refused = pepperstone(tmp_path / "other", *login, stdin=f"sandbox-client\n{CANARY}-client-secret\n", **marked)
        said += [wrong.stdout, wrong.stderr, refused.stdout, refused.stderr]
        assert wrong.returncode == 4
        assert refused.returncode != 0
    assert any((home / "credentials").iterdir())
    script.unlink()
    assert hits(tmp_path, (*SANDBOX_SECRETS, CANARY), *said) == []


@pytest.mark.parametrize(
    "message", ["ApplicationAuthReq", "GetAccountListByAccessTokenReq", "AccountAuthReq", "RefreshTokenReq"]
)
@pytest.mark.parametrize("kind", ["error", "cut_after", "throttle"])
def test_S04_no_error_of_signing_in_holds_a_secret(tmp_path: Path, message: str, kind: str) -> None:
    import asyncio

    with sandbox(tmp_path) as broker:
        access = f"{CANARY}-access" if message == "RefreshTokenReq" else broker.credentials.access_token
        store = MemoryStore(credentials_of(broker, access=Secret(access)))
        more = {"text": "CH_CLIENT_AUTH_FAILURE"} if kind == "error" else {}
        broker.add_fault(rule(kind, message, times=0, **more))
        session = session_of(broker, login=int(LOGIN), store=store, connect_timeout_s=1.5)

        async def main() -> BaseException | None:
            try:
                await session.connect(Recorder())
            except Exception as error:  # noqa: BLE001 - whatever it is, it is searched
                return error
            finally:
                await session.close()
            return None

        error = asyncio.run(main())
        assert error is not None
        lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
        told = "".join(lines)
        own = "tests/security"  # the test's own locals are not the product's
        kept = [block for block in told.split('  File "') if own not in block]
        assert [word for word in (*SANDBOX_SECRETS, CANARY) for block in kept if word in block] == []
        assert not any(word in str(error) for word in (*SANDBOX_SECRETS, CANARY))


def test_S04_no_secret_on_a_command_line_or_in_a_name(tmp_path: Path) -> None:
    """What others see of a running node: its command line and the names of what it has open."""
    with sandbox(tmp_path) as broker, running(settings(tmp_path, broker)) as process:
        until(lambda: traded(broker), "position and order", process)
        folder = Path(f"/proc/{process.pid}")
        if not folder.exists():
            pytest.skip("needs /proc")
        said = (folder / "cmdline").read_bytes().decode()
        for fd in (folder / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed in between
                said += f" {fd.readlink()}"
        assert not any(word in said for word in SANDBOX_SECRETS)
        assert LOGIN not in (folder / "cmdline").read_bytes().decode()
