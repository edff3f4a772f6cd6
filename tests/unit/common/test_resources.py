"""The bundled strategies, settings and samples are found where the program runs from."""

import pytest

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.resources import resource, resource_root


def test_a_checkout_serves_its_own_folders() -> None:
    assert (resource_root() / "pyproject.toml").is_file()
    assert resource("pepperstone_adapter/common") == resource_root() / "pepperstone_adapter" / "common"


def test_what_is_not_there_is_an_error_with_its_path() -> None:
    with pytest.raises(ConfigurationError, match=r"catalog/samples/none\.csv: missing from this installation"):
        resource("catalog/samples/none.csv")
