"""Where the strategies, settings and sample data that come with the project are: in a checkout or in the wheel.

The wheel carries them in `pepperstone_adapter/_bundled` (pyproject, force-include), so one that was installed with pip
offers the same as a clone. They are read-only to the program: it writes to the user's own folders.
"""

from pathlib import Path

from pepperstone_adapter.common.errors import ConfigurationError

_PACKAGE = Path(__file__).resolve().parents[1]


def resource_root() -> Path:
    """The folder that holds `strategies/`, `configs/` and `catalog/samples/`."""
    bundled = _PACKAGE / "_bundled"
    return bundled if bundled.is_dir() else _PACKAGE.parent


def resource(relative: str) -> Path:
    """A bundled file or folder by its path in the project, for example `catalog/samples`.

    Raises
    ------
    ConfigurationError
        When the installation does not have it.
    """
    path = resource_root() / relative
    if not path.exists():
        raise ConfigurationError(f"{path}: missing from this installation; install the package again")
    return path
