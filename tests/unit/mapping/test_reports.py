"""Reports of fills: a commission never changes how much a position holds."""

from decimal import Decimal

import pytest
from nautilus_trader.model import AccountId, Currency

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.orders import Deal, DealEntry, Side
from pepperstone_adapter.mapping.instruments import instrument_from_spec
from pepperstone_adapter.mapping.reports import ReportMaker


def deal(symbol: str, price: str) -> Deal:
    return Deal(
        deal_id="1",
        order_id="2",
        position_id="3",
        symbol=symbol,
        side=Side.BUY,
        units=Decimal(24_000),
        price=Decimal(price),
        ts_ns=1,
        entry=DealEntry.IN,
        commission=Decimal("-0.72"),
    )


@pytest.mark.parametrize(
    ("symbol", "price", "told"),
    [
        ("EURUSD", "1.10000", "0.72 USD"),
        # In USD, the base of USDJPY, the framework would take 0.72 units out of the position: 0.72 x 150.123 = 108.09.
        ("USDJPY", "150.123", "108 JPY"),
        ("EURGBP", "0.85000", "0.72 USD"),
        ("US500", "5000.0", "0.72 USD"),
    ],
)
def test_a_commission_is_never_told_in_the_currency_that_was_bought(symbol: str, price: str, told: str) -> None:
    instrument = instrument_from_spec(symbol_table.get(symbol))
    reports = ReportMaker(AccountId("PEPPERSTONE-1"), Currency.from_str("USD"), netting=False)
    report = reports.fill(deal(symbol, price), instrument, 1)
    assert str(report.commission) == told
    base = getattr(instrument, "base_currency", None)
    assert report.commission.currency != base
