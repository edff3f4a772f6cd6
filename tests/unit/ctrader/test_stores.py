"""Where credentials are kept, and how each fault of it is told apart."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pepperstone_adapter.common.errors import CredentialsError
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.stores import (
    EncryptedFileStore,
    EnvironmentStore,
    KeyringStore,
    from_json,
    to_json,
)
from pepperstone_adapter.ctrader.client.tokens import Application, Credentials, Tokens

CANARIES = ("canary-secret", "canary-access", "canary-refresh", "canary-pass")
CREDENTIALS = Credentials(
    application=Application("app-1", Secret("canary-secret")),
    tokens=Tokens(access=Secret("canary-access"), refresh=Secret("canary-refresh"), issued_ns=5, expires_ns=9),
    refreshing=True,
    server="http://127.0.0.1:5080",
)


def file_store(folder: Path, passphrase: str = "canary-pass", profile: str = "default") -> EncryptedFileStore:
    return EncryptedFileStore(profile, folder, lambda: Secret(passphrase))


def clean(error: BaseException) -> str:
    text = f"{error!r} {error.__cause__!r} {error}"
    assert not any(canary in text for canary in CANARIES)
    return str(error)


def test_the_stored_form_holds_everything_and_an_old_one_is_told() -> None:
    assert from_json(to_json(CREDENTIALS), "x") == CREDENTIALS
    bare = Credentials(application=CREDENTIALS.application)
    assert from_json(to_json(bare), "x") == bare
    older = json.loads(to_json(CREDENTIALS))
    del older["server"]  # as an older version stored it
    assert from_json(json.dumps(older), "x") == replace(CREDENTIALS, server="")
    with pytest.raises(CredentialsError, match="another version"):
        from_json('{"access": "canary-access"}', "x")


def test_the_file_is_sealed_private_and_read_back(tmp_path: Path) -> None:
    store = file_store(tmp_path / "credentials")
    assert store.load() is None
    store.save(CREDENTIALS)
    raw = store.path.read_bytes()
    assert not any(canary.encode() in raw for canary in CANARIES)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    assert file_store(tmp_path / "credentials").load() == CREDENTIALS
    assert store.delete()
    assert not store.delete()


def test_two_saves_share_no_nonce(tmp_path: Path) -> None:
    store = file_store(tmp_path)
    store.save(CREDENTIALS)
    first = json.loads(store.path.read_text().split("\n")[0])
    store.save(CREDENTIALS)
    second = json.loads(store.path.read_text().split("\n")[0])
    assert first["nonce"] != second["nonce"]
    assert first["sealed"] != second["sealed"]


def forged(line: str) -> str:
    return f"{line}\n{hashlib.sha256(line.encode()).hexdigest()}\n"


def tamper(path: Path, fault: str) -> None:
    line = path.read_text().split("\n")[0]
    row = json.loads(line)
    if fault == "cut short":
        path.write_text(line[: len(line) // 2])
    elif fault == "flipped byte":
        data = bytearray(path.read_bytes())
        data[20] ^= 1
        path.write_bytes(bytes(data))
    elif fault == "forged seal":
        row["sealed"] = row["sealed"][:-8] + "AAAAAAA="
        path.write_text(forged(json.dumps(row)))
    elif fault == "other version":
        row["format"] = "pepperstone-credentials-0"
        path.write_text(forged(json.dumps(row)))
    elif fault == "weaker key":
        row["scrypt"]["n"] = 2
        path.write_text(forged(json.dumps(row)))
    elif fault == "not ours":
        path.write_text(forged("{}"))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("cut short", "cut short"),
        ("flipped byte", "checksum"),
        ("forged seal", "seal is broken"),
        ("other version", "another version"),
        ("weaker key", "another version"),
        ("not ours", "damaged"),
    ],
)
def test_each_damage_is_told_apart(tmp_path: Path, fault: str, words: str) -> None:
    store = file_store(tmp_path, profile="second")
    store.save(CREDENTIALS)
    tamper(store.path, fault)
    with pytest.raises(CredentialsError, match=words) as caught:
        file_store(tmp_path, profile="second").load()
    assert str(store.path) in clean(caught.value)
    assert clean(caught.value).endswith("run `pepperstone auth login ctrader --profile second`")


def test_a_wrong_passphrase_is_that_and_nothing_else(tmp_path: Path) -> None:
    file_store(tmp_path).save(CREDENTIALS)
    with pytest.raises(CredentialsError, match="wrong passphrase") as caught:
        file_store(tmp_path, "another").load()
    clean(caught.value)
    with pytest.raises(CredentialsError, match="empty passphrase"):
        file_store(tmp_path / "new", "").save(CREDENTIALS)


def test_a_file_that_is_not_ours_alone_is_refused(tmp_path: Path) -> None:
    store = file_store(tmp_path)
    store.save(CREDENTIALS)
    store.path.chmod(0o640)
    with pytest.raises(CredentialsError, match="chmod 600"):
        store.load()
    store.path.chmod(0o600)
    real = tmp_path / "elsewhere"
    store.path.rename(real)
    store.path.symlink_to(real)
    with pytest.raises(CredentialsError, match="is a link"):
        store.load()
    with pytest.raises(CredentialsError, match="is a link"):
        store.save(CREDENTIALS)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs the right to give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    store = file_store(tmp_path)
    store.save(CREDENTIALS)
    os.chown(store.path, 12_345, -1)
    with pytest.raises(CredentialsError, match="another user"):
        store.load()


def test_a_disk_that_takes_nothing_leaves_the_old_file(tmp_path: Path) -> None:
    store = file_store(tmp_path)
    store.save(CREDENTIALS)
    before = store.path.read_bytes()
    store.path.unlink()
    store.path.mkdir()
    with pytest.raises(CredentialsError):
        store.save(CREDENTIALS)
    store.path.rmdir()
    store.path.write_bytes(before)
    store.path.chmod(0o600)
    assert store.load() == CREDENTIALS


class DictKeyring:
    """A keyring in memory; `broken` makes it fail as a locked one does, with the value in its words."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.broken = False

    def get_password(self, service: str, user: str) -> str | None:
        if self.broken:
            raise RuntimeError("locked: canary-secret")
        return self.kept.get((service, user))

    def set_password(self, service: str, user: str, text: str) -> None:
        if self.broken:
            raise RuntimeError(f"cannot write {text}")
        self.kept[service, user] = text

    def delete_password(self, service: str, user: str) -> None:
        del self.kept[service, user]


def test_the_keyring_keeps_reads_and_clears(tmp_path: Path) -> None:
    store = KeyringStore("default", tmp_path, DictKeyring())
    assert store.load() is None
    store.save(CREDENTIALS)
    assert store.load() == CREDENTIALS
    assert store.delete()
    assert store.load() is None


def test_a_locked_keyring_says_what_to_do_and_not_what_it_held(tmp_path: Path) -> None:
    backend = DictKeyring()
    store = KeyringStore("default", tmp_path, backend)
    backend.broken = True
    for call in (store.load, lambda: store.save(CREDENTIALS)):
        with pytest.raises(CredentialsError, match="PEPPERSTONE_PASSPHRASE") as caught:
            call()
        clean(caught.value)
        assert caught.value.__cause__ is None


def test_the_environment_is_read_whole_or_named_and_keeps_nothing(tmp_path: Path) -> None:
    assert EnvironmentStore("default", tmp_path, {}).load() is None
    with pytest.raises(
        CredentialsError, match="CTRADER_CLIENT_ID is set, CTRADER_CLIENT_SECRET, CTRADER_ACCESS_TOKEN not; run"
    ):
        EnvironmentStore("default", tmp_path, {"CTRADER_CLIENT_ID": "a"}).load()
    full = {"CTRADER_CLIENT_ID": "a", "CTRADER_CLIENT_SECRET": "b", "CTRADER_ACCESS_TOKEN": "c"}
    store = EnvironmentStore("default", tmp_path, full)
    loaded = store.load()
    assert loaded is not None
    assert loaded.tokens == Tokens(access=Secret("c"))
    with pytest.raises(CredentialsError, match="cannot keep"):
        store.save(loaded)


PROCESS = """
import sys, time
from pathlib import Path
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.renewal import at_once
from pepperstone_adapter.ctrader.client.stores import EncryptedFileStore
from pepperstone_adapter.ctrader.client.tokens import TokenKeeper
from pepperstone_adapter.network.promises import spawn
from pepperstone_adapter.openapi import messages as oa

folder, go = Path(sys.argv[1]), Path(sys.argv[2])
store = EncryptedFileStore("default", folder, lambda: Secret("pass"))
credentials = store.load()
keeper = TokenKeeper(store, credentials, time.time_ns, at_once)
print("ready", flush=True)
sys.stdin.readline()

async def ask(message):
    # The venue: a refresh token works once.
    used = folder / f"used-{message.refreshToken}"
    used.touch(exist_ok=False)
    return oa.RefreshTokenRes(accessToken="new-access", refreshToken="new-refresh", tokenType="bearer", expiresIn=100)

out = []
spawn(keeper.refresh(keeper.access, ask), out.append, out.append)
print(out[0].reveal(), flush=True)
"""


def test_two_processes_use_a_single_use_token_once(tmp_path: Path) -> None:
    old = Tokens(access=Secret("old-access"), refresh=Secret("old-refresh"))
    store = file_store(tmp_path, "pass")
    store.save(Credentials(application=CREDENTIALS.application, tokens=old))
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path), str(tmp_path / "go")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0].strip() for process in both]
    assert answers == ["new-access", "new-access"]
    kept = file_store(tmp_path, "pass").load()
    assert kept is not None
    assert kept.tokens is not None
    assert (kept.tokens.refresh, kept.refreshing) == (Secret("new-refresh"), False)
