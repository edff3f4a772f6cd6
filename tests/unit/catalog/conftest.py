"""What the tests of stored data share: the command line in this process, and small files in real formats."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pepperstone_adapter.cli.main import main


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one error line."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


type Run = Callable[..., Ran]
type Write = Callable[..., Path]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`pepperstone data ...` in this process."""

    def call(*arguments: object) -> Ran:
        code = main(["data", *map(str, arguments)])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file; text is UTF-8."""

    def to_disk(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return to_disk
