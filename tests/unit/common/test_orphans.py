"""Who outlives nobody: a process that ends when the one that started it is killed."""

import os
import subprocess
import sys
import threading

import pytest

from pepperstone_adapter.common import orphans

# The child says that it is there, and then waits for what never comes; its end closes the pipe that both have as output.
CHILD = "import sys, threading; from pepperstone_adapter.common import orphans; orphans.end_with_starter(); \
print('there', orphans.VARIABLE in __import__('os').environ, flush=True); threading.Event().wait()"
PARENT = "import subprocess, sys; from pepperstone_adapter.common import orphans; \
subprocess.Popen([sys.executable, '-c', sys.argv[1]], env=orphans.environment()).wait()"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell who lost its parent")
def test_a_process_ends_after_its_starter_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "there False\n"  # what it starts itself is not bound to it
        parent.kill()
        assert parent.stdout.read() == ""


def test_who_was_started_by_a_person_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(orphans.VARIABLE, raising=False)
    before = threading.active_count()
    orphans.end_with_starter()
    assert threading.active_count() <= before  # threads of earlier tests may end meanwhile
    assert orphans.environment()[orphans.VARIABLE] == str(os.getpid())
