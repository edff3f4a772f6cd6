from decimal import Decimal
from typing import Any

import pytest

from pepperstone_adapter.broker.symbols import SwapMode
from pepperstone_adapter.mt5.client.swaps import swap_gaps, swap_rates

D = Decimal


def row(mode: int, margin: str = "EUR", **changes: Any) -> dict[str, Any]:
    """EURUSD: a lot is 100,000 EUR, a point 0.00001 USD."""
    return {
        "name": "EURUSD",
        "swap_mode": mode,
        "swap_long": -3.0,
        "swap_short": 1.5,
        "trade_contract_size": 100_000.0,
        "digits": 5,
        "currency_base": "EUR",
        "currency_profit": "USD",
        "currency_margin": margin,
    } | changes


@pytest.mark.parametrize(
    ("mode", "margin", "expected"),
    [
        (0, "EUR", (SwapMode.DISABLED, D("-3"), D("1.5"))),
        (1, "EUR", (SwapMode.POINTS, D("-3"), D("1.5"))),
        # 3 EUR a lot: 100,000 EUR x 1.08 % / 360 = 3 EUR, at any price
        (2, "EUR", (SwapMode.PERCENT_ANNUAL, D("-1.08"), D("0.54"))),
        (3, "EUR", (SwapMode.PERCENT_ANNUAL, D("-1.08"), D("0.54"))),
        # 3 USD a lot: a point is worth 1 USD
        (3, "USD", (SwapMode.POINTS, D("-3"), D("1.5"))),
        (4, "EUR", (SwapMode.MONEY_PER_LOT, D("-3"), D("1.5"))),
        (5, "EUR", (SwapMode.PERCENT_ANNUAL, D("-3"), D("1.5"))),
        (6, "EUR", (SwapMode.PERCENT_ANNUAL, D("-3"), D("1.5"))),
        (7, "EUR", (SwapMode.POINTS, D("-3"), D("1.5"))),
        (8, "EUR", (SwapMode.POINTS, D("-3"), D("1.5"))),
    ],
)
def test_every_mode_of_the_terminal(mode: int, margin: str, expected: tuple[SwapMode, Decimal, Decimal]) -> None:
    assert swap_rates(row(mode, margin)) == expected


def test_an_index_in_its_own_currency_is_charged_in_points() -> None:
    # 2.5 USD a contract of 10 units with two digits: 2.5 = 10 x 25 x 0.01
    index = row(2, currency_base="USD", trade_contract_size=10.0, digits=2, swap_long=-2.5, swap_short=0.0)
    assert swap_rates(index) == (SwapMode.POINTS, D("-25"), D(0))


def test_what_our_terms_cannot_express_is_said_once_for_all_symbols() -> None:
    assert swap_rates(row(3, "GBP")) is None
    assert swap_rates(row(9)) is None
    assert swap_rates(row(2, name="GER40")) is None  # in EUR, quoted in USD, and its price is no rate of the two
    assert swap_gaps([row(mode) for mode in (0, 1, 2, 3, 4, 5)]) is None
    assert swap_gaps([row(9, swap_long=0.0, swap_short=0.0)]) is None  # nothing is charged
    told = swap_gaps([row(3, "GBP"), row(9, name="X"), row(6, name="Y"), row(1), row(7, name="Z"), row(8)])
    assert told == (
        "positions are closed and opened again at the broker's midnight, and stand under EXTERNAL then: Z, EURUSD; "
        "financing is shown as none, though the broker charges it: EURUSD (mode 3), X (mode 9); "
        "financing is counted from the price of the night, at the broker from the opening: Y"
    )
    assert "and 2 more" in str(swap_gaps([row(9, name=f"S{n}") for n in range(12)]))
