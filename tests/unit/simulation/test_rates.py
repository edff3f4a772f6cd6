from decimal import Decimal

import numpy as np
import pytest

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.simulation.rates import Rates, path, require_paths
from pepperstone_adapter.simulation.tape import Rows, Tape

EURUSD, USDJPY, GBPUSD = (symbol_table.get(name) for name in ("EURUSD", "USDJPY", "GBPUSD"))


def tape(spec, bid: int, ask: int) -> Tape:  # type: ignore[no-untyped-def]
    out = Tape(spec)
    b, a = np.array([bid], np.int64), np.array([ask], np.int64)
    out.load(Rows(np.array([10], np.int64), (b,) * 4, (a,) * 4))
    return out


def test_paths_go_direct_inverse_and_over_one_other() -> None:
    specs = [EURUSD, USDJPY]
    assert path(specs, "EUR", "EUR") == ()
    assert path(specs, "EUR", "USD") == (("EURUSD", False),)
    assert path(specs, "JPY", "USD") == (("USDJPY", True),)
    assert path(specs, "EUR", "JPY") == (("EURUSD", False), ("USDJPY", False))
    assert path(specs, "GBP", "USD") is None


def test_rates_at_the_middle() -> None:
    rates = Rates({"EURUSD": tape(EURUSD, 110_000, 110_020), "USDJPY": tape(USDJPY, 149_990, 150_010)})
    assert rates.mid("EUR", "USD", 10) == Decimal("1.1001")
    assert rates.mid("JPY", "USD", 99) == 1 / Decimal(150)
    assert rates.mid("EUR", "JPY", 10) == Decimal("1.1001") * 150
    with pytest.raises(LookupError, match="no price of EURUSD yet"):
        rates.mid("EUR", "USD", 9)


def test_a_missing_way_names_the_symbols_to_add() -> None:
    known = symbol_table.load().values()
    with pytest.raises(ConfigurationError, match=r"GBP to USD .* add GBPUSD to the instruments"):
        require_paths([EURUSD], [("GBP", "USD")], known)
    with pytest.raises(ConfigurationError, match="no known symbols convert it"):
        require_paths([EURUSD], [("XXX", "USD")], known)
    require_paths([GBPUSD], [("GBP", "USD"), ("USD", "USD")], known)
