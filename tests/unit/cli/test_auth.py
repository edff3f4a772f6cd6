"""The auth command's own words; the whole way through a browser is in tests/integration/test_auth_command.py."""

import json
from pathlib import Path

import pytest

from pepperstone_adapter.cli.main import main
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.stores import EncryptedFileStore, data_dir
from pepperstone_adapter.ctrader.client.tokens import Application, Credentials, Tokens


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PEPPERSTONE_HOME", str(tmp_path))
    monkeypatch.setenv("PEPPERSTONE_PASSPHRASE", "pass")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    for name in ("CTRADER_CLIENT_ID", "CTRADER_CLIENT_SECRET", "CTRADER_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_without_a_login_every_command_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "refresh", "logout"):
        assert main(["auth", command]) == 4
        assert capsys.readouterr().err == (
            "error: no cTrader login is stored under profile 'default'; run `pepperstone auth login ctrader`\n"
        )


def test_the_hint_names_the_profile_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "refresh", "logout"):
        assert main(["auth", command, "--profile", "second"]) == 4
        assert capsys.readouterr().err == (
            "error: no cTrader login is stored under profile 'second'; run `pepperstone auth login ctrader --profile "
            "second`\n"
        )


@pytest.mark.parametrize(
    ("set_", "missing"),
    [
        ("CTRADER_CLIENT_ID", "CTRADER_CLIENT_SECRET, CTRADER_ACCESS_TOKEN"),
        ("CTRADER_CLIENT_SECRET", "CTRADER_CLIENT_ID, CTRADER_ACCESS_TOKEN"),
        ("CTRADER_ACCESS_TOKEN", "CTRADER_CLIENT_ID, CTRADER_CLIENT_SECRET"),
    ],
)
def test_a_part_of_a_login_in_variables_is_answered_with_what_is_there_and_what_is_not(
    set_: str, missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(set_, "canary")
    for command in ("status", "refresh", "logout"):
        assert main(["auth", command]) == 4
        assert capsys.readouterr().err == (
            f"error: no cTrader login is stored, and the environment has only a part of one: {set_} is set, {missing} "
            "not; run `pepperstone auth login ctrader`, which takes id and secret from there, or set all three\n"
        )


def test_variables_are_a_login_that_cannot_be_refreshed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CTRADER_CLIENT_ID", "app")
    monkeypatch.setenv("CTRADER_CLIENT_SECRET", "canary-secret")
    monkeypatch.setenv("CTRADER_ACCESS_TOKEN", "canary-access")
    assert main(["auth", "status", "--json"]) == 0
    out = capsys.readouterr().out
    facts = json.loads(out)
    assert (facts["logged_in"], facts["refreshable"], facts["seconds_left"]) == (True, False, None)
    assert main(["auth", "refresh"]) == 4
    assert main(["auth", "logout"]) == 4
    assert "canary" not in out + "".join(capsys.readouterr())


def test_another_venue_and_a_plain_http_server_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["auth", "login", "mt5"]) == 2
    assert "only ctrader" in capsys.readouterr().err
    monkeypatch.setenv("CTRADER_CLIENT_SECRET", "canary-secret")
    assert main(["auth", "login", "--client-id", "app", "--server", "http://login.example"]) == 2
    said = capsys.readouterr()
    assert "https://" in said.err
    assert "canary" not in said.out + said.err


def test_a_login_of_an_older_version_is_refreshed_only_at_a_server_that_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tokens = Tokens(access=Secret("canary-access"), refresh=Secret("canary-refresh"))
    store = EncryptedFileStore("default", data_dir(), lambda: Secret("pass"))
    store.save(Credentials(application=Application("app", Secret("canary-secret")), tokens=tokens))
    assert main(["auth", "refresh"]) == 2
    assert capsys.readouterr().err == (
        "error: the stored login does not say which server it came from; add --server https://openapi.ctrader.com, or "
        "the address of the sandbox it was made at\n"
    )
    loaded = store.load()
    assert loaded is not None
    assert not loaded.refreshing
