"""A settings file of the wrong kind: one line says what it seems to be and which command takes it."""

from pathlib import Path

import pytest

from pepperstone_adapter.cli.main import main
from pepperstone_adapter.common.resources import resource

COMMANDS = {
    "backtest": ("backtest", "sweep --over market.seed=1,2"),
    "live": ("live",),
    "download": ("data download",),
    "sandbox": ("sandbox",),
    "columns": ("data import prices.csv --symbol EURUSD --columns",),
}
A_FILE = {
    "backtest": "demo.yaml",
    "live": "ctrader-sandbox.yaml",
    "download": "ctrader-demo.yaml",
    "sandbox": "default.yaml",
    "columns": "gmt-time.yaml",
}


@pytest.mark.parametrize(
    ("kind", "command", "given"),
    [(kind, c, given) for kind, commands in COMMANDS.items() for c in commands for given in COMMANDS if given != kind],
)
def test_a_file_of_another_kind_is_answered_with_what_it_is_and_its_command(
    kind: str, command: str, given: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"  # in a folder that says nothing
    file.write_bytes((resource("configs") / given / A_FILE[given]).read_bytes())
    words = command.split()
    assert main([words[0], str(file), *words[1:]] if words[0] == "sweep" else [*words, str(file)]) == 2
    its = "data import CSV --columns" if given == "columns" else COMMANDS[given][0]
    assert capsys.readouterr().err == (
        f"error: {file}: seems to be a {given} file, not a {kind} file; it is for `pepperstone {its} {file}`\n"
    )


def test_so_it_is_with_a_mistake_in_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "live.yaml"
    file.write_text("accounts: [{platform: ctrader, account: 1}]\nstatus_intervall_s: 5\nstrategies: []\n")
    assert main(["backtest", str(file)]) == 2
    assert capsys.readouterr().err.endswith(
        f"seems to be a live file, not a backtest file; it is for `pepperstone live {file}`\n"
    )


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        # A sandbox file may have both keys; it has other accounts.
        ("accounts: [{platform: ctrader, account: 1}]\nsymbols: [EURUSD]\n", "2: symbols: unknown key; known keys: "),
        # A backtest file may have both keys; it must have data as well.
        ("account: {platform: ctrader}\nstrategies: []\n", "1: account: unknown key; did you mean 'accounts'?"),
        ("data\n", "1: settings must be `key: value` lines"),
    ],
    ids=["sandbox", "backtest", "none"],
)
def test_a_mistake_in_a_file_of_the_right_kind_is_told_as_it_is(
    text: str, wrong: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "live.yaml"
    file.write_text(text)
    assert main(["live", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {file}:{wrong}")
