"""The gateway's command line: secrets from the environment only, unsafe options refused before a socket opens."""

from pathlib import Path

import pytest

from pepperstone_adapter.mt5.gateway.__main__ import main, options, parser
from pepperstone_adapter.mt5.gateway.supervisor import BadOptions

TOKEN = "abcdefghij0123456789"


def test_secrets_come_from_the_environment_and_are_not_shown() -> None:
    args = parser().parse_args(["--login", "123", "--server", "Pepperstone-Demo"])
    made = options(args, {"PEPPERSTONE_MT5_PASSWORD": "s3cret", "PEPPERSTONE_MT5_GATEWAY_TOKEN": TOKEN})
    assert made.login == {"login": 123, "server": "Pepperstone-Demo", "password": "s3cret", "portable": None} or (
        made.login == {"login": 123, "server": "Pepperstone-Demo", "password": "s3cret"}
    )
    assert made.token == TOKEN
    assert "s3cret" not in repr(made)
    assert TOKEN not in repr(made)


def test_a_password_without_a_login_is_not_used() -> None:
    assert "password" not in options(parser().parse_args([]), {"PEPPERSTONE_MT5_PASSWORD": "s3cret"}).login


@pytest.mark.parametrize(
    ("argv", "env", "words"),
    [
        (["--host", "10.0.0.5"], {}, "token"),
        (["--host", "10.0.0.5"], {"PEPPERSTONE_MT5_GATEWAY_TOKEN": TOKEN}, "TLS"),
        ([], {"PEPPERSTONE_MT5_GATEWAY_TOKEN": "short"}, "weak"),
    ],
)
def test_unsafe_options_are_refused(argv: list[str], env: dict[str, str], words: str) -> None:
    with pytest.raises(BadOptions, match=words):
        options(parser().parse_args(argv), env).check()


def test_the_bundle_is_written_and_nothing_served(tmp_path: Path) -> None:
    target = tmp_path / "gateway.pyz"
    assert main(["--bundle", str(target)]) == 0
    assert target.stat().st_size > 10_000
