"""The words this program was started with: a launcher tells them in an environment variable."""

import os
from pathlib import Path

VARIABLE = "PEPPERSTONE_COMMAND"


def command(*, elsewhere: bool = False) -> str:
    """What to type for this program: `./run` for who has only that, `pepperstone` else.

    Parameters
    ----------
    elsewhere
        It is to be typed in another folder, where a relative path to the launcher leads nowhere.
    """
    words = os.environ.get(VARIABLE) or "pepperstone"
    if elsewhere and ("/" in words or "\\" in words):
        words = str(Path(words).absolute())
    return f'"{words}"' if " " in words else words
