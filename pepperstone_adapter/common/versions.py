"""Which versions run here, and whether the framework is the one this release was proved with."""

import platform
import sys
from importlib import metadata

from pepperstone_adapter import __version__
from pepperstone_adapter.common.errors import ConfigurationError

# Its adapter seam still moves between pre-releases, so nothing near it will do (design D1).
FRAMEWORK = "nautilus_trader"
FRAMEWORK_PIN = "2.0.0rc7"


def installed(package: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def version_line() -> str:
    """One line for `--version` and bug reports."""
    framework = installed(FRAMEWORK) or "not installed"
    return f"pepperstone {__version__} ({FRAMEWORK} {framework}, Python {platform.python_version()}, {sys.platform})"


def check_framework() -> None:
    """Refuse to go on with another framework than the pinned one.

    Raises
    ------
    ConfigurationError
        With the version found and the command that puts the right one in place.
    """
    found = installed(FRAMEWORK)
    if found != FRAMEWORK_PIN:
        raise ConfigurationError(
            f"{FRAMEWORK} {found or 'is not installed'}; this release works with exactly {FRAMEWORK_PIN}: "
            f"pip install '{FRAMEWORK}=={FRAMEWORK_PIN}'"
        )
