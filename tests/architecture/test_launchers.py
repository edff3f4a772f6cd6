"""`run` and `run.ps1` are twins: the same uv, the same stamp of the same files, the same words. Only `run` is run here."""

import re

from pepperstone_adapter.common.resources import resource_root

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
