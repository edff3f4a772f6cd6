"""The execution client under this venue's name: `live.execution` over a `CTraderSession`, nothing of its own."""

from pepperstone_adapter.live.execution import BrokerExecutionClient as CTraderExecutionClient

__all__ = ["CTraderExecutionClient"]
