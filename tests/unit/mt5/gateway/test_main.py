"""The gateway's command line: secrets from the environment only, unsafe options refused before a socket opens."""

from pathlib import Path

import pytest

from pepperstone_adapter.mt5.gateway.__main__ import main, options, parser
from pepperstone_adapter.mt5.gateway.options import BadOptions

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
        ([], {"PEPPERSTONE_MT5_GATEWAY_READ_TOKEN": TOKEN}, "every client could trade"),
        (["--terminal", "nosuch"], {}, "no module nosuch.*pip install MetaTrader5"),
    ],
)
def test_unsafe_options_are_refused(argv: list[str], env: dict[str, str], words: str) -> None:
    with pytest.raises(BadOptions, match=words):
        options(parser().parse_args(argv), env).check()


def test_a_gateway_without_a_token_says_who_can_trade() -> None:
    bare = options(parser().parse_args(["--port", "18816"]), {}).warning
    assert bare is not None
    assert "every user and program of this machine that reaches port 18816 can trade" in bare
    assert options(parser().parse_args([]), {"PEPPERSTONE_MT5_GATEWAY_TOKEN": TOKEN}).warning is None


def test_the_bundle_is_written_and_nothing_served(tmp_path: Path) -> None:
    target = tmp_path / "gateway.pyz"
    assert main(["--bundle", str(target)]) == 0
    assert target.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--certificate", "nosuch.pem", "--private-key", "nosuch.key"], "certificate nosuch.pem"),
        (["--state-dir", "{file}/below"], "order keys cannot be kept in"),
    ],
)
def test_what_is_wrong_is_named_and_not_the_port(
    argv: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    stand_in = ["--terminal", "json", "--port", "0", "--state-dir", str(tmp_path)]
    assert main([*stand_in, *(arg.format(file=file) for arg in argv)]) == 2
    assert words in capsys.readouterr().err
