"""What the documents say is so: links lead somewhere, commands exist, code runs, nothing names a machine."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pepperstone_adapter.cli.commands import COMMANDS, is_installed, load
from pepperstone_adapter.cli.main import main
from pepperstone_adapter.common.resources import resource_root

ROOT = resource_root()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TRACKED = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT).stdout.split("\n")
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What a reader's machine does not have.
MACHINE = re.compile(r"(^|[\s\"'`(=])(/work/|/tmp/|/root/|/home/|\.\./shared)|\breference/[a-z]")


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def blocks(language: str) -> list[tuple[str, str, str]]:
    found = ((document, *match.groups()) for document in DOCUMENTS for match in BLOCK.finditer(document.read_text()))
    return [(document.name, title or "", text) for document, kind, title, text in found if kind == language]


def commands() -> list[str]:
    """Every `pepperstone` command line the documents show, in blocks and in running text."""
    shown = set()
    for document in DOCUMENTS:
        text = document.read_text()
        inline = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
        lines = [line for *_, block in blocks("bash") for line in block.splitlines()]
        for line in [*inline, *lines]:
            words = re.sub(r"\s+#.*", "", line.strip())
            words = re.sub(r"^(\./run|\.\\run\.ps1|uv run pepperstone)(?= )", "pepperstone", words)
            if re.match(r"pepperstone (?!test\b)[a-z]", words) and "…" not in words:
                shown.add(words)
    return sorted(shown)


def kind_of(document: dict[str, object]) -> str:
    """Whose settings a block shows, by keys that only they have."""
    if {"time_form", "columns"} & set(document):
        return "columns"
    return "live" if "accounts" in document else "backtest" if "strategies" in document else "download"


def test_there_are_documents_and_commands() -> None:
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"} <= {path.name for path in DOCUMENTS}
    assert "pepperstone demo" in commands()
    assert len(commands()) > 10


def test_the_design_leads_to_every_decision() -> None:
    design = (ROOT / "docs" / "design.md").read_text()
    assert set(re.findall(r"\]\((adr/[^)]+)\)", design)) == {f"adr/{f.name}" for f in (ROOT / "docs" / "adr").iterdir()}


@pytest.mark.parametrize("document", names(DOCUMENTS))
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("line", commands())
def test_commands_and_their_options_exist(line: str) -> None:
    words = [word for word in shlex.split(line)[1:] if word not in ("ARGS", "COMMAND")]
    entry = next((entry for entry in COMMANDS if entry.name == words[0]), None)
    assert entry is not None, f"no command '{words[0]}'"
    if not is_installed(entry):
        pytest.skip("not part of this installation")
    command = load(entry)
    rest = words[1:]
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        alternatives = rest[0].split("|")
        assert set(alternatives) <= set(command.commands), rest[0]
        command, rest = command.commands[alternatives[0]], rest[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in rest if word.startswith("-")}
    assert used <= known | {"--help", "--debug"}


@pytest.mark.parametrize("tracked", [name for name in TRACKED if name])
def test_no_file_names_a_machine(tracked: str) -> None:
    path = ROOT / tracked
    if path.suffix in (".gz", ".bin", ".png", ".lock", ".parquet", ".jsonl") or not path.is_file():
        return
    if path == Path(__file__):
        return
    found = [line for line in path.read_text(errors="replace").splitlines() if MACHINE.search(line)]
    assert not found


@pytest.mark.parametrize(("document", "title", "text"), blocks("python"))
def test_python_is_python(document: str, title: str, text: str) -> None:
    compile(text, f"{document}:{title}", "exec")


@pytest.mark.parametrize(("document", "title", "text"), blocks("yaml"))
def test_settings_in_documents_hold(document: str, title: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "strategies").symlink_to(ROOT / "strategies")
    if document == "writing-a-strategy.md":
        (tmp_path / "new_high.py").write_text(next(text for *_, title, text in blocks("python") if "new_high" in title))
    settings = tmp_path / "x.yaml"
    settings.write_text(text)
    assert main(["config", "check", str(settings), "--kind", kind_of(yaml.safe_load(text))]) == 0


def test_the_guide_to_a_first_strategy_trades(tmp_path: Path) -> None:
    project = tmp_path / "mytrading"
    assert main(["init", str(project)]) == 0
    for _, title, text in blocks("python") + blocks("yaml"):
        if title:
            (project / title).parent.mkdir(parents=True, exist_ok=True)
            (project / title).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pepperstone_adapter", "backtest", "configs/backtest/new-high.yaml"],
        capture_output=True, text=True, cwd=project,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    fills = (project / "out" / "new-high" / "fills.csv").read_text().splitlines()
    assert len(fills) > 10
