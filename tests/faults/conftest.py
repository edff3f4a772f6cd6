"""What the tests in virtual time (tier V, `test_client_*.py`) share."""

import pytest

from pepperstone_adapter.broker.session import BrokerSnapshot
from tests.kit.scripted_venue import World


@pytest.fixture
def world() -> World:
    """An account of a scripted venue, signed in and reconciled."""
    world = World().join()
    assert isinstance(world.firsts[0], BrokerSnapshot)
    return world
