"""Tables: never wider than the terminal, and whole in a pipe."""

import os
import re
import subprocess
import sys

import pytest

CODE = """
from rich.table import Table
from pepperstone_adapter.cli.tables import print_table
table = Table("name", "text", box=None, pad_edge=False)
table.add_row("[bold]", "word " * 28 + "end")
print_table(table)
"""


def test_a_pipe_gets_whole_lines(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    exec(CODE)  # noqa: S102
    assert capfd.readouterr().out.splitlines()[1].rstrip() == "[bold]  " + "word " * 28 + "end"


def test_a_terminal_gets_what_fits() -> None:
    lines = in_a_terminal(CODE, 60)
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(lines[1:]).split()) == "[bold] " + "word " * 28 + "end"


FIGURES = """
from rich.table import Table
from pepperstone_adapter.cli.tables import print_whole
table = Table("run", "net profit", "drawdown, of peak", "trades", box=None, pad_edge=False)
table.add_row("1", "-1,166.18", "28.43 %", "550")
print("left out:", print_whole(table))
"""


def test_figures_are_left_out_rather_than_cut() -> None:
    # Whole they are 3, 9, 9 (the word "drawdown,") and 6 wide, with two blanks between: they end at 14, 25 and 33.
    for width, figures, left_out in (
        (33, ["1", "-1,166.18", "28.43", "%", "550"], "[]"),
        (32, ["1", "-1,166.18", "28.43", "%"], "['trades']"),
        (24, ["1", "-1,166.18"], "['drawdown, of peak', 'trades']"),
    ):
        *_, row, told = in_a_terminal(FIGURES, width)
        assert row.split() == figures
        assert told == f"left out: {left_out}"
    assert [line.split() for line in in_a_terminal(FIGURES, 14)[:2]] == [["net"], ["run", "profit"]]


def in_a_terminal(code: str, width: int) -> list[str]:
    """The lines that a program prints on a terminal of so many columns, without colours."""
    ours, theirs = pytest.importorskip("pty").openpty()
    environ = {**os.environ, "COLUMNS": str(width), "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=theirs, env=environ) as child:
        assert child.wait() == 0
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        return re.sub(r"\x1b\[\d*m", "", terminal.read(65536).decode()).splitlines()
