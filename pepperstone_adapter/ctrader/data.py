"""The market data client under this venue's name: `live.data` over a `CTraderSession`, nothing of its own."""

from pepperstone_adapter.live.data import BrokerDataClient as CTraderDataClient

__all__ = ["CTraderDataClient"]
