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
    ours, theirs = pytest.importorskip("pty").openpty()
    environ = {**os.environ, "COLUMNS": "60", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", CODE], stdout=theirs, env=environ) as child:
        assert child.wait() == 0
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        lines = re.sub(r"\x1b\[\d*m", "", terminal.read(65536).decode()).splitlines()
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(lines[1:]).split()) == "[bold] " + "word " * 28 + "end"
