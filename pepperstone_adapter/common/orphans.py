"""Processes that end with the one that started them, also where that is killed and can end nobody.

The starter names itself in an environment variable; who finds it there looks every now and then whether that is still its
parent. Windows does not tell; there such a process comes to its own end.
"""

import os
import sys
import threading
import time

VARIABLE = "PEPPERSTONE_STARTER"
LOOK_S = 0.5
ORPHANED = 130  # as after an interrupt


def environment() -> dict[str, str]:
    """That of a process which this one starts and which is to end with it."""
    return {**os.environ, VARIABLE: str(os.getpid())}


def end_with_starter() -> None:
    """End this process when its starter is gone, where there is one that wants it."""
    starter = os.environ.pop(VARIABLE, "")
    if starter and sys.platform != "win32":
        threading.Thread(target=_watch, args=(int(starter),), name="starter", daemon=True).start()


def _watch(starter: int) -> None:
    while os.getppid() == starter:
        time.sleep(LOOK_S)
    os._exit(ORPHANED)
