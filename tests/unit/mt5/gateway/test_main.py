"""The gateway's command line: secrets from the environment only, unsafe addresses refused, one runnable file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pepperstone_adapter.mt5.gateway.__main__ import bundle, main, options, parser
from pepperstone_adapter.mt5.gateway.supervisor import BadOptions, GatewayOptions

TOKEN = "abcdefghij0123456789"
ENV = {"PEPPERSTONE_MT5_PASSWORD": "canary-password", "PEPPERSTONE_MT5_GATEWAY_TOKEN": TOKEN}


def test_secrets_come_from_the_environment_and_show_nowhere() -> None:
    made = options(parser().parse_args(["--login", "42", "--server", "Pepperstone-Demo"]), ENV)
    assert made.login == {"login": 42, "server": "Pepperstone-Demo", "password": "canary-password"}
    assert made.token == TOKEN
    assert "canary-password" not in repr(made)
    assert TOKEN not in repr(made)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"host": "10.0.0.5"}, "needs a token"),
        ({"host": "10.0.0.5", "token": TOKEN}, "needs TLS"),
        ({"token": "changeme"}, "too weak"),
        ({"token": "a" * 40}, "too weak"),
        ({"read_token": "short"}, "read token is too weak"),
    ],
)
def test_what_is_unsafe_does_not_start(fields: dict[str, str], problem: str) -> None:
    with pytest.raises(BadOptions, match=problem):
        GatewayOptions(**fields).check()  # type: ignore[arg-type]


def test_loopback_needs_nothing() -> None:
    GatewayOptions().check()


def test_a_refusal_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--host", "10.0.0.5", "--state-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "error: listening on 10.0.0.5 needs a token; set PEPPERSTONE_MT5_GATEWAY_TOKEN\n"
    )


def test_the_bundle_runs_by_itself(tmp_path: Path) -> None:
    target = tmp_path / "gateway.pyz"
    bundle(target)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(target), "--help"], capture_output=True, text=True, env=env, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "Serve a MetaTrader 5 terminal" in done.stdout
