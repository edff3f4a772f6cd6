"""Hints in the words this program was started with: `./run demo` for who has only that, `pepperstone demo` else.

The launchers tell by which words they were called, in an environment variable. Hints are written with `pepperstone`
everywhere and put into those words where they are shown: errors, help, and what comes next.
"""

import os
import re
from pathlib import Path

from pepperstone_adapter.cli.commands import COMMANDS

VARIABLE = "PEPPERSTONE_COMMAND"
_NAMES = "|".join(re.escape(entry.name) for entry in COMMANDS)
# Before a command or what stands for one in help; not as a part of a path.
_SPOKEN = re.compile(rf"(?<![\w/\\.-])pepperstone(?=\s+(?:(?:{_NAMES}|COMMAND)(?![\w./\\-])|\[OPTIONS\]|--\w))")


def as_started(text: str, *, elsewhere: bool = False) -> str:
    """A text for a person with its commands in the words of this start.

    Parameters
    ----------
    elsewhere
        The commands are for another folder, where a relative path to the launcher leads nowhere.
    """
    words = os.environ.get(VARIABLE) or "pepperstone"
    if elsewhere and ("/" in words or "\\" in words):
        words = str(Path(words).absolute())
    return _SPOKEN.sub(lambda _found: f'"{words}"' if " " in words else words, text)
