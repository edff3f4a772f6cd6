"""The frame around every command: what is printed, where, and with which exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pepperstone_adapter.cli.commands import COMMANDS, CommandTable, Entry, is_installed
from pepperstone_adapter.cli.main import main


def test_help_lists_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for entry in COMMANDS:
        assert (f"\n  {entry.name} " in out) == is_installed(entry)


@pytest.mark.parametrize(
    "arguments", [["config", "check", "--help"], ["config", "--help", "check"], ["--help", "config"]]
)
def test_help_is_about_the_command_named_before_it(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    named = " ".join(arguments[: arguments.index("--help")])
    assert capsys.readouterr().out.startswith(f"Usage: pepperstone {named}".rstrip() + " [OPTIONS]")


@pytest.mark.parametrize(
    ("arguments", "near"), [(["doctr", "--help"], "doctor"), (["config", "chek", "--help"], "check")]
)
def test_help_for_a_misspelt_command_is_the_right_name(
    arguments: list[str], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert f"Did you mean '{near}'" in capsys.readouterr().err


def test_help_after_two_dashes_is_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--", "--help"]) == 2
    assert capsys.readouterr().err == "error: --help: no such file\n"


def test_a_command_without_its_file_is_not_listed() -> None:
    missing = Entry("teleport", "teleport", "Trade", "")
    assert not is_installed(missing)
    assert set(CommandTable(name="x").commands) == {entry.name for entry in COMMANDS if is_installed(entry)}


def test_version_names_framework_and_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert "nautilus_trader 2.0.0rc7, Python 3.1" in capsys.readouterr().out


def test_no_command_shows_the_help_and_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("Usage: pepperstone [OPTIONS] COMMAND")


def test_a_misspelt_command_is_answered_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctr"]) == 2
    assert capsys.readouterr().err == (
        "error: No such command 'doctr'. Did you mean 'doctor'? (see `pepperstone --help`)\n"
    )


def test_where_a_command_is_missing_those_there_are_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "out/demo"]) == 2
    assert capsys.readouterr().err == (
        "error: No such command 'out/demo'; there are show, compare (see `pepperstone report --help`)\n"
    )


def test_a_misspelt_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--jso"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: No such option: --jso")
    assert err.count("\n") == 1


def test_settings_errors_are_lines_with_exit_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "backtest.yaml"
    path.write_text("a: 1\na: 2\n")
    assert main(["config", "check", str(path)]) == 2
    assert capsys.readouterr().err == f"error: {path}:2: duplicate key 'a'; it is already set at {path}:1\n"


def test_debug_shows_the_traceback_wherever_it_stands(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments in (["--debug", "config", "check", str(tmp_path)], ["config", "check", str(tmp_path), "--debug"]):
        assert main(arguments) == 2
        err = capsys.readouterr().err
        assert err.startswith("Traceback (most recent call last):")
        assert err.endswith(f"error: {tmp_path}: is a folder; name the settings file in it\n")


def frame_of(script: str) -> str:
    return f"""
import sys, typer
from pepperstone_adapter.cli import commands
from pepperstone_adapter.cli.main import main
module = type(sys)("pepperstone_adapter.cli.probe_of_test")
sys.modules[module.__name__] = module
def command():
{script}
module.command = command
commands.is_installed = lambda entry: True
commands.COMMANDS = (commands.Entry("go", "probe_of_test", "Test", "Go."),)
sys.exit(main(sys.argv[1:]))
"""


def run(script: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, with one more command made by `script`."""
    return subprocess.run(
        [sys.executable, "-c", frame_of(script), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
    )


@pytest.mark.parametrize(
    ("script", "code", "err"),
    [
        ("  raise KeyboardInterrupt", 130, "error: interrupted\n"),
        (
            "  raise KeyError('x\\ny')",
            1,
            "error: unexpected KeyError: 'x\\ny'; run it again with --debug to see where, and report it\n",
        ),
        ("  open('/no/such/file')", 2, "error: /no/such/file: No such file or directory\n"),
        ("  raise typer.Exit(3)", 3, ""),
        ("  return 7", 7, ""),
        ("  return None", 0, ""),
        (
            "  from pepperstone_adapter.common.errors import DataError; raise DataError('row 3: no bid\\nrow 9: old')",
            3,
            "error: row 3: no bid\nerror: row 9: old\n",
        ),
        (
            "  from pepperstone_adapter.common.errors import CredentialsError; raise CredentialsError('log in')",
            4,
            "error: log in\n",
        ),
        (
            "  from pepperstone_adapter.common.errors import ConnectFailed; raise ConnectFailed('no route')",
            5,
            "error: no route\n",
        ),
    ],
)
def test_every_end_has_its_exit_code_and_at_most_a_line_for_each_problem(script: str, code: int, err: str) -> None:
    result = run(script, "go")
    assert (result.returncode, result.stderr) == (code, err)


def test_a_bug_shows_its_traceback_with_debug() -> None:
    result = run("  raise KeyError('x')", "go", "--debug")
    assert result.returncode == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.endswith("error: unexpected KeyError: 'x'\n")


FULL = "error: standard output: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("script", "code", "err"),
    [
        ("  typer.echo('x')", 2, FULL),
        ("  sys.stdout.write('x')", 2, FULL),  # buffered: seen at the end only
        ("  from rich.console import Console; Console().print('x')", 2, FULL),
        ("  sys.stdout.write('x')\n  if not UNBUFFERED: return 7\n  sys.stdout.write('y')", 0, FULL),
        ("  raise OSError(28, 'No space left on device')", 1, None),  # another file's: not the output's
    ],
)
def test_f94_an_output_that_takes_nothing_is_one_line_and_never_a_bug(
    script: str, code: int, err: str | None, unbuffered: str
) -> None:
    command = [sys.executable, "-c", frame_of(script.replace("UNBUFFERED", repr(unbuffered))), "go"]
    code = code or (2 if unbuffered else 7)  # a command that has a code of its own keeps it
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environ)
        assert result.returncode == code
        assert result.stderr == err if err is not None else result.stderr.startswith("error: unexpected OSError")
        both = subprocess.run(
            command, stdout=full, stderr=full, env=environ
        )  # nobody can be told: the code still tells
        assert both.returncode == code


def test_a_reader_that_has_left_a_pipe_is_no_error_to_talk_about() -> None:
    command = [sys.executable, "-c", frame_of("  [typer.echo('x' * 1000) for _ in range(1000)]"), "go"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_no_color_reaches_every_console() -> None:
    result = run("  import os; print(os.environ.get('NO_COLOR'))", "go", "--no-color", NO_COLOR="")
    assert result.stdout == "1\n"


def test_completion_offers_commands_and_their_options() -> None:
    def complete(line: str) -> str:
        environ = {
            **os.environ, "_PEPPERSTONE_COMPLETE": "complete_bash", "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split()) - (not line.endswith(" "))),
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-m", "pepperstone_adapter"], capture_output=True, text=True, env=environ
        ).stdout

    assert "doctor" in complete("pepperstone do").split()
    assert "check" in complete("pepperstone config ch").split()
    assert "--json" in complete("pepperstone doctor --").split()


def test_a_question_that_nobody_answers_is_a_usage_error() -> None:
    result = run("  typer.prompt('Client id')", "go")
    assert result.returncode == 2
    assert result.stderr.endswith("error: the input ended where an answer was wanted; give it as an option\n")
