"""`new-strategy` writes a strategy, settings and a test that pass as written, and overwrites nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from pepperstone_adapter.cli.main import main
from pepperstone_adapter.cli.scaffold import STRATEGY_TEMPLATES, StrategyName, commands_of_tests, python
from pepperstone_adapter.common.errors import ConfigurationError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for folder in ("strategies", "configs"):
        (tmp_path / folder).mkdir()
    return tmp_path


@pytest.mark.parametrize("text", ["my-idea", "MyIdea", "my_idea", "my idea"])
def test_one_name_is_written_in_three_ways(text: str) -> None:
    assert StrategyName.parse(text) == StrategyName("my-idea", "my_idea", "MyIdea")


@pytest.mark.parametrize("text", ["", "-", "2fast", "../x", "a/b", "idéa", "class", "os", "x.y", "none", "True"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a strategy; use words such as my-idea"):
        StrategyName.parse(text)


@pytest.mark.parametrize("template", STRATEGY_TEMPLATES)
def test_the_files_are_renamed_throughout_and_the_settings_hold(
    capsys: pytest.CaptureFixture[str], project: Path, template: str
) -> None:
    assert main(["new-strategy", "my-idea", "--template", template, "--dir", str(project)]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "wrote strategies/my_idea.py",
        "wrote configs/backtest/my-idea.yaml",
        "wrote tests/test_my_idea.py",
    ]
    source = (project / "strategies" / "my_idea.py").read_text()
    assert "class MyIdea(Strategy)" in source
    assert "class MyIdeaConfig(StrategyConfig" in source
    assert STRATEGY_TEMPLATES[template].class_name not in source
    assert main(["config", "check", str(project / "configs" / "backtest" / "my-idea.yaml")]) == 0


@pytest.mark.parametrize("name", ["order-side", "bar-type", "strategy"])
def test_a_name_that_the_template_has_for_something_else_is_refused(
    capsys: pytest.CaptureFixture[str], project: Path, name: str
) -> None:
    assert main(["new-strategy", name, "--dir", str(project)]) == 2
    assert "is a name that the template itself uses; choose another, such as my-" in capsys.readouterr().err
    assert list((project / "strategies").iterdir()) == []


def test_its_test_is_to_be_run_by_the_python_that_has_the_framework(
    capsys: pytest.CaptureFixture[str], project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", str(tmp_path))  # the launcher's environment is on no path
    assert main(["new-strategy", "my-idea", "--dir", str(project)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"  {python} -m pytest tests/test_my_idea.py"
    monkeypatch.setenv("PATH", str(python.parent))  # an activated one
    assert main(["new-strategy", "another", "--dir", str(project)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  python -m pytest tests/test_another.py"
    versioned = python.with_name("python3.13")  # as `python3.13 -m venv` starts it: the same one by another name
    versioned.symlink_to(python)
    monkeypatch.setattr(sys, "executable", str(versioned))
    assert main(["new-strategy", "third", "--dir", str(project)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  python -m pytest tests/test_third.py"


@pytest.mark.parametrize(
    ("there", "first"),
    [
        ({"pytest", "pip"}, []),
        ({"pip"}, ["{python} -m pip install pytest"]),
        (set(), ["uv pip install --python {python} pytest"]),  # an environment of uv has no pip
    ],
    ids=["pytest", "pip", "uv"],
)
@pytest.mark.parametrize("active", [True, False])
def test_where_pytest_is_not_installed_the_line_that_does_it_comes_first(
    there: set[str], first: list[str], active: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent) if active else "")
    own = "python" if active else sys.executable
    assert python() == own
    lines = commands_of_tests("tests/test_my_idea.py", installed=there.__contains__)
    assert lines == [
        *(line.format(python=own).replace(" --python python ", " ") for line in first),
        f"{own} -m pytest tests/test_my_idea.py",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("template", STRATEGY_TEMPLATES)
def test_the_test_passes_as_written(project: Path, template: str) -> None:
    assert main(["new-strategy", "my-idea", "--template", template, "--dir", str(project)]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        capture_output=True, text=True, cwd=project,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    (project / "tests").mkdir()
    (project / "tests" / "test_my_idea.py").write_text("mine")
    assert main(["new-strategy", "my-idea", "--dir", str(project)]) == 2
    assert "test_my_idea.py: already there; choose another name" in capsys.readouterr().err
    assert list((project / "strategies").iterdir()) == []


def test_outside_a_project_it_says_how_to_make_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["new-strategy", "my-idea", "--dir", str(tmp_path)]) == 2
    assert "is not in a project; make one with `pepperstone init DIR`" in capsys.readouterr().err


def test_an_unknown_template_is_answered_with_the_templates(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    assert main(["new-strategy", "my-idea", "-t", "breakot", "--dir", str(project)]) == 2
    assert capsys.readouterr().err == (
        "error: 'breakot' is not a template: ema, breakout, mean-reversion; did you mean 'breakout'?\n"
    )
