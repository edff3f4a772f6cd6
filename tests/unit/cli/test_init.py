"""`init` makes a whole project or nothing."""

from pathlib import Path

import pytest

from pepperstone_adapter.cli.main import main
from pepperstone_adapter.cli.scaffold import python
from pepperstone_adapter.common.resources import resource


def test_a_project_has_everything_and_its_settings_hold(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    project = tmp_path / "mytrading"
    assert main(["init", str(project), "--no-data"]) == 0
    out = capsys.readouterr().out
    assert f"cd {project}" in out
    assert {path.name for path in project.iterdir()} >= {"README.md", ".gitignore", "strategies", "configs", "tests"}
    assert project.stat().st_mode & 0o777 == 0o755
    for source in resource("strategies").glob("*.py"):
        assert (project / "strategies" / source.name).read_bytes() == source.read_bytes()
    settings = sorted((project / "configs" / "backtest").glob("*.yaml"))
    assert main(["config", "check", *map(str, settings)]) == 0
    # What it says to do next is there to be done.
    assert all((project / word).is_file() for word in out.split() if word.endswith(".yaml"))
    readme = (project / "README.md").read_text()
    assert "$" not in readme
    assert f"\n{python()} -m pytest " in readme


def test_a_project_comes_with_data(tmp_path: Path) -> None:
    project = tmp_path / "mytrading"
    assert main(["init", str(project)]) == 0
    assert list((project / "catalog" / "data").rglob("*.parquet"))


def test_an_empty_folder_is_taken_and_a_full_one_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir()
    full.mkdir()
    (full / "mine.txt").write_text("x")
    assert main(["init", str(empty), "--no-data"]) == 0
    capsys.readouterr()
    assert main(["init", str(full), "--no-data"]) == 2
    assert capsys.readouterr().err == f"error: {full}: exists and is not an empty folder; name a new one\n"
    assert main(["init", str(full / "mine.txt"), "--no-data"]) == 2
    assert sorted(path.name for path in full.iterdir()) == ["mine.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "full"]


def test_a_folder_that_cannot_be_made_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "project", tmp_path / ("n" * 255)):
        assert main(["init", str(folder)]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"error: {folder}: cannot be made (")
        assert err.endswith("); name a folder you may write\n")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
