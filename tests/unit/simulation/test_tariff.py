"""The quick way to a commission charges what the rule says."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.model import Currency

from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, SymbolSpec
from pepperstone_adapter.simulation.fees import Tariff, commission
from pepperstone_adapter.simulation.grid import Grid
from tests.kit.runs import EURUSD, spec

D = Decimal
FINE = spec("BTCUSD", digits=2, contract_size=D(3), volume_step=D("0.01"))


@given(
    kind=st.sampled_from(CommissionKind),
    rate=st.decimals("0", "50", places=3),
    minimum=st.sampled_from([D(0), D("0.50"), D(2)]),
    steps=st.integers(1, 10**8),
    points=st.integers(1, 10**7),
    symbol=st.sampled_from([EURUSD, FINE]),
)
def test_the_same_cents(
    kind: CommissionKind, rate: Decimal, minimum: Decimal, steps: int, points: int, symbol: SymbolSpec
) -> None:
    rule = CommissionRule(kind=kind, rate=rate, currency="USD", minimum=minimum)
    units, price = D(steps).scaleb(-symbol.size_digits), D(points).scaleb(-symbol.digits)
    slow, _ = commission(rule, symbol, units, price, "USD", lambda *_: D(1))
    tariff = Tariff(rule, symbol, Grid(symbol), Currency.from_str("USD"))
    charge, money = tariff.charge(steps, points)
    assert D(charge.minor).scaleb(-2) == slow
    assert money.as_decimal() == slow
