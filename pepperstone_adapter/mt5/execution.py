"""The execution client under this venue's name: `live.execution` over an `Mt5Session`, nothing of its own."""

from pepperstone_adapter.live.execution import BrokerExecutionClient as Mt5ExecutionClient

__all__ = ["Mt5ExecutionClient"]
