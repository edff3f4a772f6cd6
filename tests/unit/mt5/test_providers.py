"""The venue's names for the shared clients: MetaTrader adds nothing of its own to them."""

from pepperstone_adapter.live import data, execution, providers
from pepperstone_adapter.mt5 import data as mt5_data
from pepperstone_adapter.mt5 import execution as mt5_execution
from pepperstone_adapter.mt5 import providers as mt5_providers


def test_every_client_is_the_shared_one() -> None:
    faces = (mt5_data, mt5_execution, mt5_providers)
    shared = (data, execution, providers)
    for face, module in zip(faces, shared, strict=True):
        (name,) = face.__all__
        assert module.__name__ in {base.__module__ for base in getattr(face, name).__mro__}
