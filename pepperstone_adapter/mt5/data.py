"""The market data client under this venue's name: `live.data` over an `Mt5Session`, nothing of its own."""

from pepperstone_adapter.live.data import BrokerDataClient as Mt5DataClient

__all__ = ["Mt5DataClient"]
