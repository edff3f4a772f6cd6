"""The instrument provider under this venue's name: symbol → `CurrencyPair` or `Cfd`, see `mapping.instruments`."""

from pepperstone_adapter.live.providers import BrokerInstrumentProvider as Mt5InstrumentProvider

__all__ = ["Mt5InstrumentProvider"]
