"""How many processes the suite runs in."""

import os

import pytest


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Two more than there are cores: half of the suite's time is waiting for sockets, processes and disks."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return (os.process_cpu_count() or 1) + 2
