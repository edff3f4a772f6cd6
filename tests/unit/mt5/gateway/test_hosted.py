"""A gateway inside another process: how it ends."""

import gc
import socket
import sys
import time
from pathlib import Path

import pytest

from pepperstone_adapter.mt5.gateway.hosted import HostedGateway
from pepperstone_adapter.mt5.gateway.options import GatewayOptions


def test_a_client_in_the_middle_of_its_greeting_ends_with_the_gateway(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = (sys.executable, "-c", "")
    hosted = HostedGateway(GatewayOptions(port=0, state_dir=tmp_path, worker_command=command))
    with socket.create_connection(("127.0.0.1", hosted.port), 30) as stranger:
        assert stranger.recv(100)
        while (
            hosted.supervisor.worker_pid is not None
        ):  # nor is there one to wait for, in whose end others would have ended
            time.sleep(0.001)
        hosted.stop()
        gc.collect()
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []
