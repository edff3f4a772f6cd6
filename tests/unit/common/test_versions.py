"""The framework pin in the code is the pin of the package."""

import tomllib

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
