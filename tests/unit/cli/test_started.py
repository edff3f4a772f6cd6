"""Hints name the command as it was started."""

import re
from pathlib import Path

import pytest

from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.cli.commands import COMMANDS
from pepperstone_adapter.cli.main import main
from pepperstone_adapter.cli.started import as_started
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.started import VARIABLE
from pepperstone_adapter.ctrader.client.tokens import login_hint
from pepperstone_adapter.live.history import bar_range, tick_range


@pytest.fixture(autouse=True)
def by_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "./run")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("run `pepperstone demo`; pepperstone data import --help", "run `./run demo`; ./run data import --help"),
        ("Usage: pepperstone [OPTIONS] COMMAND", "Usage: ./run [OPTIONS] COMMAND"),
        ("(see `pepperstone --help`)", "(see `./run --help`)"),
        ("start `pepperstone\n  mt5-gateway`", "start `./run\n  mt5-gateway`"),
        # Names of files and packages stay.
        ("/data/pepperstone live/x: no such file", "/data/pepperstone live/x: no such file"),
        (
            "pepperstone data.csv, pepperstone_adapter, Pepperstone live",
            "pepperstone data.csv, pepperstone_adapter, Pepperstone live",
        ),
        ("pepperstone data/x.csv: not found", "pepperstone data/x.csv: not found"),
    ],
)
def test_commands_of_a_text_are_put_into_the_words_of_the_start(text: str, shown: str) -> None:
    assert as_started(text) == shown


def test_without_a_launcher_it_is_pepperstone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    assert as_started("`pepperstone demo`") == "`pepperstone demo`"


def test_a_launcher_in_a_folder_with_a_space_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/my trading/run")
    assert as_started("pepperstone demo") == '"/my trading/run" demo'


@pytest.mark.parametrize(
    "arguments", [["--help"], ["data", "download", "--help"], ["backtest", "--help"], ["report"], []]
)
def test_help_says_what_can_be_typed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(arguments)
    told = capsys.readouterr()
    assert (told.out + told.err).startswith(
        f"Usage: {' '.join(['./run', *arguments])}".removesuffix(" --help") + " [OPTIONS]"
    )
    assert "pepperstone " not in told.out + told.err


def test_errors_do_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["report", "show", str(tmp_path)]) == 3
    assert f"run `./run backtest SETTINGS --out {tmp_path}`" in capsys.readouterr().err
    assert main(["doctr"]) == 2
    assert capsys.readouterr().err.endswith("(see `./run --help`)\n")


def test_what_comes_next_does_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["init", str(tmp_path / "mine"), "--no-data"]) == 0
    # In the new folder `./run` would be another file's name.
    assert f"\n  {Path('run').absolute()} backtest configs/backtest/demo.yaml\n" in capsys.readouterr().out
    assert main(["new-strategy", "my-idea", "--dir", str(tmp_path / "mine")]) == 0
    assert "\n  ./run backtest configs/backtest/my-idea.yaml\n" in capsys.readouterr().out


def test_what_init_writes_does_too(tmp_path: Path) -> None:
    project, launcher = tmp_path / "mine", Path("run").absolute()
    assert main(["init", str(project), "--no-data"]) == 0
    assert f"\n{launcher} doctor " in (project / "README.md").read_text()
    assert (
        f"\n#   {launcher} backtest configs/backtest/demo.yaml\n"
        in (project / "configs/backtest/demo.yaml").read_text()
    )
    assert main(["new-strategy", "my-idea", "--dir", str(project)]) == 0
    assert f"Run it:   {launcher} backtest " in (project / "configs/backtest/my-idea.yaml").read_text()
    written = [*project.glob("*.md"), *project.rglob("*.yaml")]
    assert len(written) > 5
    commands = re.compile(rf"pepperstone ({'|'.join(entry.name for entry in COMMANDS)})\b")
    assert [path.name for path in written if commands.search(path.read_text())] == []


def test_a_strategy_in_the_folder_of_the_launcher_is_run_with_a_path_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "strategies").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["new-strategy", "my-idea"]) == 0
    assert "Run it:   ./run backtest configs/" in (tmp_path / "configs/backtest/my-idea.yaml").read_text()


def test_lines_of_a_running_node_do_too() -> None:
    assert login_hint("mine") == "run `./run auth login ctrader --profile mine`"
    with pytest.raises(ConfigurationError, match=r"fill the catalog with `\./run data download` instead"):
        bar_range(BarPeriod.M1, 0, 10**18, None, 10**18)
    with pytest.raises(ConfigurationError, match=r"fill the catalog with `\./run data download` instead"):
        tick_range(0, 10**18, None, 10**18)
