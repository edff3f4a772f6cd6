"""Changes of the balance that are not fills: swaps, conversion fees, resets of a negative balance.

The framework lets Python change a balance through a `SimulationModule`, which it then calls for every row of data: 40 % of
the time of a run without trades. But a fill's commission changes the balance too and costs nothing while there is none.
So the broker keeps an instrument of its own, CASH, priced 1 and never shown to a strategy's data: a posting is a purchase
of one unit whose commission is the amount, and the sale of it (docs/adr, "Cash postings").
"""

from decimal import Decimal

from nautilus_trader.model import AssetClass, Cfd, Currency, InstrumentId, Price, Quantity, QuoteTick, Symbol, Venue

CASH_SYMBOL = "CASH"


def cash_instrument(venue: str, currency: str) -> Cfd:
    one = Quantity.from_int(1)
    return Cfd(
        InstrumentId(Symbol(CASH_SYMBOL), Venue(venue)),
        Symbol(CASH_SYMBOL),
        AssetClass.ALTERNATIVE,
        Currency.from_str(currency),
        0,
        0,
        Price.from_int(1),
        one,
        0,
        0,
        margin_init=Decimal(0),
        margin_maint=Decimal(0),
    )


def cash_quote(instrument_id: InstrumentId, ts_ns: int) -> QuoteTick:
    one, many = Price.from_int(1), Quantity.from_int(1_000_000)
    return QuoteTick(instrument_id, one, one, many, many, ts_ns, ts_ns)
