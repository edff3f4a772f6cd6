from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.broker.symbols import LeverageTier
from pepperstone_adapter.simulation.margin import Side, symbol_margin, tiered_margin

D = Decimal
TIERS = (LeverageTier(up_to_usd=D(1000), leverage=D(100)), LeverageTier(up_to_usd=None, leverage=D(10)))


def test_each_slice_at_its_own_leverage() -> None:
    # 1,000 / 100 + 500 / 10
    assert tiered_margin(D(1500), D(1500), TIERS) == D(60)
    # In euros at 1.25 dollars: 1,200 EUR = 1,500 USD: 60 USD = 48 EUR.
    assert tiered_margin(D(1200), D(1500), TIERS) == D(48)
    assert tiered_margin(D(0), D(0), TIERS) == 0


@pytest.mark.parametrize(("rule", "wanted"), [("max_side", 60), ("sum", 64), ("net", 20)])
def test_hedged_sides(rule: str, wanted: int) -> None:
    # Long 1,500, short 400: 60 and 4; net of 1,100: 10 + 10.
    long, short = Side(D(1500), D(1500), D(1500)), Side(D(400), D(400), D(400))
    assert symbol_margin(long, short, TIERS, rule) == wanted
    assert symbol_margin(short, long, TIERS, rule) == wanted


@given(a=st.integers(0, 10**7), b=st.integers(0, 10**7))
def test_margin_grows_with_the_notional(a: int, b: int) -> None:
    low, high = sorted((D(a), D(b)))
    assert tiered_margin(low, low, TIERS) <= tiered_margin(high, high, TIERS)
