"""`run` and `run.ps1` are twins: the same uv, the same stamp of the same files, the same words. Only `run` is run here."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pepperstone_adapter.common.resources import resource_root
from pepperstone_adapter.common.started import VARIABLE

ROOT = resource_root()
BASH, POWERSHELL = (ROOT / "run").read_text("utf-8"), (ROOT / "run.ps1").read_text("ascii")


def test_both_pin_the_same_uv() -> None:
    (bash,) = re.findall(r"^uv_version=(\S+)$", BASH, re.M)
    (powershell,) = re.findall(r"^\$uvVersion = '(\S+)'$", POWERSHELL, re.M)
    assert bash == powershell


def test_both_set_up_again_when_the_same_files_change() -> None:
    for name in ("uv.lock", "pyproject.toml", ".python-version"):
        assert f"$root/{name}" in BASH
        assert f"'{name}'" in POWERSHELL
    assert "sync --locked" in BASH
    assert "sync --locked" in POWERSHELL


def test_both_know_the_same_words() -> None:
    for word in ("test", "uv"):
        assert f"== {word} ]]" in BASH
        assert f"-eq '{word}')" in POWERSHELL


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
@pytest.mark.parametrize(
    ("started", "told"), [(["./run"], "./run"), (["bash", "run"], "./run"), (["sub/../run"], "sub/../run")]
)
def test_the_command_is_told_how_it_was_started(tmp_path: Path, started: list[str], told: str) -> None:
    for name in ("uv.lock", "pyproject.toml", ".python-version"):
        (tmp_path / name).write_text("")
    (tmp_path / "sub").mkdir()
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    # As if everything were set up: the stamp of three empty files, and a program that says what it was told.
    (tmp_path / ".venv" / ".synced").write_text("4294967295 0\n")
    for name, text in (
        (programs / "python", ""),
        (programs / "pepperstone", f'echo "${VARIABLE}: $*"'),
        (tmp_path / "run", BASH),
    ):
        name.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        name.chmod(0o755)
    ran = subprocess.run([*started, "data", "list"], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == (f"{told}: data list\n", "")


def test_both_tell_it() -> None:
    assert f"export {VARIABLE}=" in BASH
    assert f"$env:{VARIABLE} = " in POWERSHELL
