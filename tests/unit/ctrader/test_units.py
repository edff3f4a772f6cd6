"""The wire's numbers, exact."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.ctrader.client import units as u

D = Decimal


@pytest.mark.parametrize(
    ("wire", "digits", "points"),
    [
        (114_791, 5, 114_791),  # EURUSD 1.14791
        (2_528_164_000, 2, 2_528_164),  # an index at 25281.64
        (15_012_300, 3, 150_123),  # USDJPY 150.123
        (11_479_150, 1, 1_148),  # 114.7915 shown with one digit: 114.8, half up
        (123, 7, 12_300),  # more digits than the wire can say
    ],
)
def test_prices_become_points_of_the_symbol(wire: int, digits: int, points: int) -> None:
    assert u.points(wire, digits) == points


@given(st.integers(1, 10**12), st.integers(0, 5))
def test_a_price_of_the_symbol_survives_the_wire(points: int, digits: int) -> None:
    assert u.points(points * 10 ** (5 - digits), digits) == points


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(85287.21, 2, "85287.21"), (85197.2, 2, "85197.20"), (1.1 + 2.2, 5, "3.30000"), (1.100005, 5, "1.100005")],
)
def test_doubles_are_read_as_the_number_that_was_meant(value: float, digits: int, expected: str) -> None:
    assert str(u.price(value, digits)) == expected


@given(st.integers(1, 10**9), st.integers(0, 5))
def test_a_price_we_send_is_read_back_the_same(points: int, digits: int) -> None:
    price = D(points).scaleb(-digits)
    assert u.price(u.wire_price(price, digits), digits) == price


def test_distances_volumes_and_money() -> None:
    assert u.wire_distance(D("90.01")) == 9_001_000  # as recorded
    assert str(u.distance(9_001_000, 2)) == "90.01"
    assert u.distance(123, 2) == D("0.00123")
    assert (u.units(1), u.units(10_000_000)) == (D("0.01"), D(100_000))
    assert u.wire_volume(D("0.01")) == 1
    assert u.money(-2772, 2) == D("-27.72")
    assert u.money(5, 8) == D("0.00000005")


@pytest.mark.parametrize(
    "bad",
    [
        lambda: u.wire_price(D("1.123456"), 5),
        lambda: u.wire_distance(D("0.000001")),
        lambda: u.wire_distance(D(0)),
        lambda: u.wire_volume(D("0.001")),
        lambda: u.wire_volume(D(-1)),
    ],
)
def test_what_does_not_fit_the_wire_is_refused(bad) -> None:
    with pytest.raises(DataError):
        bad()
