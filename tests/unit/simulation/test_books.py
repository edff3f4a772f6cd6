"""Tickets and exposure in integers, worked out by hand."""

from decimal import Decimal

import pytest

from pepperstone_adapter.simulation.books import LONG, SHORT, Books, Held
from pepperstone_adapter.simulation.grid import Grid, divided
from tests.kit.runs import EURUSD, spec

D = Decimal
EUR = Grid(EURUSD)  # 5 digits, whole units


def books(currency: str = "USD") -> Books:
    return Books(
        currency, {"EURUSD": EUR}, lambda source, target, _ts: D(2) if (source, target) == ("USD", "CHF") else D(9)
    )


def test_a_part_of_an_averaged_ticket_takes_its_share_of_the_cost() -> None:
    # 100 at 1.10000 and 200 at 1.10001 cost 330.00200; a third of it is 110.000666...: 11,000,067 points rounded up.
    own = books()
    own.fill(1, "P", "S", EUR, 1, 100, 110_000)
    own.fill(2, "P", "S", EUR, 1, 200, 110_001)
    ((ticket, opened, closed, profit),) = own.fill(3, "P", "S", EUR, -1, 100, 110_010)
    assert (opened, closed, profit) == (0, 100, 100 * 110_010 - 11_000_067)
    assert ticket.units == 200
    # What rounding took from the first part is in the rest: together exactly 300 x 1.10010 - 330.00200 = 0.02800.
    ((_, _, _, last),) = own.fill(4, "P", "S", EUR, -1, 200, 110_010)
    assert EUR.value(profit + last) == D("0.02800")
    assert not own.tickets
    assert ticket.closed_ns == 4


def test_a_reversal_closes_first_and_opens_the_rest() -> None:
    own = books()
    own.fill(1, "P", "S", EUR, 1, 100, 110_000)
    closed, opened = own.fill(2, "P", "S", EUR, -1, 250, 110_020)
    assert closed[2:] == (100, 2_000)
    assert (opened[1], opened[0].sign, opened[0].units) == (150, -1, 150)
    assert own.held["EURUSD", LONG][-1] == Held(2)
    assert own.held["EURUSD", SHORT][-1].steps == 150


def test_what_is_held_is_valued_at_the_rates_of_its_opening() -> None:
    # 100 at 1.10 are 110 USD and, at 2, 220 CHF; half of it is closed again.
    own = books("CHF")
    own.fill(1, "P", "S", EUR, 1, 100, 110_000)
    own.fill(2, "P", "S", EUR, -1, 50, 120_000)
    held = own.held["EURUSD", LONG][-1]
    assert (EUR.units(held.steps), EUR.value(held.notional), EUR.value(held.notional_usd)) == (50, D(110), D(55))
    own.forget()
    assert own.held["EURUSD", LONG] == [held]


@pytest.mark.parametrize(("amount", "by", "wanted"), [(5, 10, 1), (-5, 10, -1), (4, 10, 0), (-4, 10, 0), (15, 10, 2)])
def test_halves_are_rounded_away_from_zero(amount: int, by: int, wanted: int) -> None:
    assert divided(amount, by) == wanted


def test_values_in_minor_units() -> None:
    assert EUR.minor(123_500) == 124  # 1.235 USD
    assert EUR.minor(-123_500) == -124
    index = Grid(spec("GER40", digits=0, quote_currency="EUR", volume_step=D(1)))
    assert index.minor(7) == 700  # whole euros
