"""The instrument provider under this venue's name: symbol → `CurrencyPair` or `Cfd`, see `mapping.instruments`."""

from pepperstone_adapter.live.providers import BrokerInstrumentProvider as CTraderInstrumentProvider

__all__ = ["CTraderInstrumentProvider"]
