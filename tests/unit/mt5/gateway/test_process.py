"""What differs by platform when a worker is started; the platform is an argument. What one says that cannot begin."""

import queue
import subprocess
import sys
from typing import Any

import pytest

from pepperstone_adapter.mt5.gateway.process import WorkerProcess, creation_flags


def test_windows_keeps_ctrl_c_and_windows_away_from_the_worker() -> None:
    assert creation_flags("win32") == 0x0800_0200


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_elsewhere_there_are_no_flags(platform: str) -> None:
    assert creation_flags(platform) == 0


@pytest.mark.skipif(sys.platform != "win32", reason="the names exist on Windows only")
def test_the_numbers_are_the_standard_librarys() -> None:
    flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW  # type: ignore[attr-defined]
    assert creation_flags("win32") == flags


def test_a_terminal_that_cannot_be_loaded_is_said_with_its_reason() -> None:
    said: queue.Queue[Any] = queue.Queue()
    WorkerProcess({"terminal": "json:no_such_terminal"}, said.put, said.put)
    dead, end = said.get(timeout=30), said.get(timeout=30)
    assert (dead["t"], dead["fn"]) == ("dead", "json:no_such_terminal")
    assert dead["error"] == [-10_003, "AttributeError: module 'json' has no attribute 'no_such_terminal'"]
    assert end == "worker ended with code 1"
