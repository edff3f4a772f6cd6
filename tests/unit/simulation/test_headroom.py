"""How many units are granted before the books must be looked at, worked out by hand."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule
from pepperstone_adapter.simulation.books import Books
from pepperstone_adapter.simulation.grid import Grid
from pepperstone_adapter.simulation.headroom import Headroom
from pepperstone_adapter.simulation.plan import AccountTerms, Slippage
from pepperstone_adapter.simulation.rates import Rates
from pepperstone_adapter.simulation.stop_out import MarginWatch
from pepperstone_adapter.simulation.tape import Rows, Tape
from tests.kit.runs import EURUSD, spec, terms

D = Decimal


def headroom(account: AccountTerms, slippage: Mapping[str, Slippage] = {}, symbol: Any = EURUSD) -> Headroom:
    """A window in which the BID was never below 1.09000 and the ASK never above 1.11000."""
    tape = Tape(symbol)
    bid, ask = (np.array([price, price], np.int64) for price in (109_000, 111_000))
    tape.load(Rows(np.array([1, 2], np.int64), (bid,) * 4, (ask,) * 4))
    tapes = {symbol.name: tape}
    watch = MarginWatch(tapes, Rates(tapes), "USD")
    watch.load(0, 3)
    return Headroom({symbol.name: symbol}, account, slippage, watch, "USD")


def test_units_are_granted_until_all_of_them_could_not_be_lost() -> None:
    # A unit can lose 0.02 and bind 1.11 / 30 = 0.037: 0.057, with the cushion 0.05985. Of 1,000.00: 16,708 units.
    room = headroom(terms([EURUSD]))
    assert not room.grants("EURUSD", 1.0)  # not measured yet
    room.measure([], D(1000), D(0))
    assert room.grants("EURUSD", 10_000)
    assert room.grants("EURUSD", 6_000)
    assert not room.grants("EURUSD", 1_000)
    assert room.grants("EURUSD", 700)
    room.close()
    assert not room.grants("EURUSD", 1)


def test_what_is_held_is_lost_first() -> None:
    # 10,000 long from 1.10000 are worth -100.00 at 1.09000 and bind 366.67: 533.33 of 1,000.00 are left, 8,911 units.
    grid = Grid(EURUSD)
    books = Books("USD", {"EURUSD": grid}, lambda *_: D(1))
    books.fill(1, "P", "S", grid, 1, 10_000 * 10**EURUSD.size_digits, 110_000)
    room = headroom(terms([EURUSD]))
    room.measure(books.tickets.values(), D(1000), D(11_000) / 30)
    assert not room.grants("EURUSD", 8_912)
    assert room.grants("EURUSD", 8_911)


def test_costs_and_slippage_count() -> None:
    # Per unit, without leverage: 0.02, twice 3.50 / 100,000, twice 50 points: 0.02107, with the cushion 0.0221235.
    rule = CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.50"), currency="USD")
    slips = {"EURUSD": Slippage(probability=0.1, min_points=0, max_points=50)}
    room = headroom(terms([EURUSD], leverage=None, commission=rule), slips)
    room.measure([], D("22.1235"), D(0))
    assert not room.grants("EURUSD", 1_000.1)
    assert room.grants("EURUSD", 999.9)


def test_fills_that_post_money_are_never_granted() -> None:
    # A commission in the base currency is posted right after the fill.
    cad = spec("USDCAD", quote_currency="USD")
    rule = CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.50"), currency="USD")
    room = headroom(terms([cad], commission=rule), symbol=cad)
    room.measure([], D(1_000_000), D(0))
    assert not room.grants("USDCAD", 0.0)
