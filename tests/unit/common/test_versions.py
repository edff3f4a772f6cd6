"""The framework pin in the code is the pin of the package."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from pepperstone_adapter.common.resources import resource
from pepperstone_adapter.common.versions import FRAMEWORK, FRAMEWORK_PIN, check_framework, installed, version_line


def test_the_pin_is_the_one_in_pyproject() -> None:
    project = tomllib.loads(resource("pyproject.toml").read_text())["project"]
    assert f"{FRAMEWORK}=={FRAMEWORK_PIN}" in project["dependencies"]


def test_this_environment_runs_the_pinned_framework() -> None:
    check_framework()
    assert f"{FRAMEWORK} {FRAMEWORK_PIN}" in version_line()


def test_a_package_that_is_not_there_has_no_version() -> None:
    assert installed("no-such-distribution") is None


def test_another_framework_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    # A distribution that stands first on the path, as after `pip install nautilus_trader==1.231.0` in a user's folder.
    metadata = tmp_path / "nautilus_trader-1.231.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: nautilus_trader\nVersion: 1.231.0\n")
    done = subprocess.run(
        [sys.executable, "-m", "pepperstone_adapter", "backtest", "x.yaml"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "error: nautilus_trader 1.231.0; this release works with exactly 2.0.0rc7: "
        "pip install 'nautilus_trader==2.0.0rc7'\n"
    )
