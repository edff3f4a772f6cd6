"""Hints in the words this program was started with: `./run demo` for who has only that, `pepperstone demo` else.

Texts are written with `pepperstone` and put into those words where they are shown: errors, help, what comes next, and the
files that are made for a person. Hints that can end in the log of a running node take them from `common.started` at once.
"""

import re

from pepperstone_adapter.cli.commands import COMMANDS
from pepperstone_adapter.common.started import command

_NAMES = "|".join(re.escape(entry.name) for entry in COMMANDS)
# Before a command or what stands for one in help; not as a part of a path.
_SPOKEN = re.compile(rf"(?<![\w/\\.-])pepperstone(?=\s+(?:(?:{_NAMES}|COMMAND)(?![\w./\\-])|\[OPTIONS\]|--\w))")


def as_started(text: str, *, elsewhere: bool = False) -> str:
    """A text for a person with its commands in the words of this start.

    Parameters
    ----------
    elsewhere
        The commands are for another folder than the one a person stands in.
    """
    return _SPOKEN.sub(lambda _found: command(elsewhere=elsewhere), text)
