"""A plain connection may go to this machine and nowhere else."""

import pytest

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.network.loopback import is_loopback, loopback_connect
from pepperstone_adapter.network.tls import Endpoint


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "::", "example.com", "localhost.example.com", "127.0.0.1.nip.io"])
def test_elsewhere(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigurationError, match="only go to this machine"):
        loopback_connect(None, Endpoint(host=host, port=1), 1.0)
