"""How many processes the suite runs in, and what they keep for each other."""

import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

# The suite starts hundreds of processes of one package. Where an environment forbids to keep compiled code (containers
# often do), each would compile it again, which is half of the time a process needs to start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell that runs the suite in the background has it ignore Ctrl-C, and so would every process the suite starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes is the machine's affair: beside other work one of microseconds has stood still for a second.
settings.register_profile("suite", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Two more than there are cores: half of the suite's time is waiting for sockets, processes and disks."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return (os.process_cpu_count() or 1) + 2
