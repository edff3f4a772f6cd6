"""`pepperstone auth` from end to end: a real process, a real browser stand-in, the sandbox's login pages."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.ctrader import sandbox
from tests.kit.ports import free_port

# What a person does in the browser: open the page, allow, be sent back.
BROWSER = """
import re, sys, urllib.parse, urllib.request
page = urllib.request.urlopen(sys.argv[1]).read().decode()
fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', page))
base = urllib.parse.urlsplit(sys.argv[1])
allow = f"{base.scheme}://{base.netloc}/apps/allow?" + urllib.parse.urlencode(fields)
urllib.request.urlopen(allow).read()
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Sandbox]:
    with sandbox(tmp_path / "sandbox") as running:
        yield running


def pepperstone(home: Path, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CTRADER_", "PEPPERSTONE_"))}
    return subprocess.run(
        [sys.executable, "-m", "pepperstone_adapter", "auth", *arguments],
        env={
            **kept,
            "PEPPERSTONE_HOME": str(home),
            "PEPPERSTONE_PASSPHRASE": "canary-passphrase",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            **environment,
        },
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_login_status_refresh_logout(broker: Sandbox, tmp_path: Path) -> None:
    script = tmp_path / "browser.py"
    script.write_text(BROWSER)
    server = f"http://127.0.0.1:{broker.ports.oauth}"
    known = broker.credentials
    done = pepperstone(
        tmp_path / "home", "login", "ctrader", "--client-id", known.client_id, "--server", server, "--port", str(free_port()),
        CTRADER_CLIENT_SECRET=known.client_secret, BROWSER=f"{sys.executable} {script} %s",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Logged in. Stored in: encrypted file" in done.stdout.replace("\n", " ")
    assert done.stdout.endswith(": pepperstone probe ctrader --account NUMBER\n")
    status = pepperstone(tmp_path / "home", "status", "--json")
    facts = json.loads(status.stdout)
    assert (facts["logged_in"], facts["refreshable"], facts["refresh_due"]) == (True, True, False)
    assert facts["seconds_left"] > 2_000_000
    assert facts["server"] == server
    # Neither goes to another server than the login came from.
    refreshed = pepperstone(tmp_path / "home", "refresh")
    assert refreshed.returncode == 0, refreshed.stderr
    again = pepperstone(tmp_path / "home", "login", "--port", str(free_port()), BROWSER=f"{sys.executable} {script} %s")
    assert again.returncode == 0, again.stderr
    gone = pepperstone(tmp_path / "home", "logout")
    assert gone.returncode == 0
    after = pepperstone(tmp_path / "home", "status")
    assert after.returncode == 4
    assert "pepperstone auth login ctrader" in after.stderr
    said = "".join(p.stdout + p.stderr for p in (done, status, refreshed, again, gone, after))
    for secret in (known.client_secret, known.access_token, known.refresh_token, "canary-passphrase"):
        assert secret not in said
    kept = [path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert not any(known.client_secret.encode() in data for data in kept)


def test_a_wrong_passphrase_ends_with_one_line_and_exit_code_4(broker: Sandbox, tmp_path: Path) -> None:
    script = tmp_path / "browser.py"
    script.write_text(BROWSER)
    known = broker.credentials
    server = f"http://127.0.0.1:{broker.ports.oauth}"
    pepperstone(
        tmp_path / "home", "login", "--client-id", known.client_id, "--server", server, "--port", str(free_port()),
        CTRADER_CLIENT_SECRET=known.client_secret, BROWSER=f"{sys.executable} {script} %s",
    )  # fmt: skip
    wrong = pepperstone(tmp_path / "home", "status", PEPPERSTONE_PASSPHRASE="another")
    assert wrong.returncode == 4
    assert wrong.stderr.count("\n") == 1
    assert "wrong passphrase" in wrong.stderr


def test_another_venue_is_refused(tmp_path: Path) -> None:
    done = pepperstone(tmp_path, "status", "mt5")
    assert done.returncode == 2
    assert "only ctrader" in done.stderr


def test_help_teaches_the_redirect_address(tmp_path: Path) -> None:
    done = pepperstone(tmp_path, "login", "--help")
    assert done.returncode == 0
    assert "http://127.0.0.1:8976/callback" in done.stdout
