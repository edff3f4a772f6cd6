"""Orders on the close of a session's last bar are taken; in the night they are not."""

from datetime import UTC, datetime

import pytest

from pepperstone_adapter.broker.symbol_table import get
from pepperstone_adapter.simulation.sessions import accepts_orders


def ns(utc: str) -> int:
    return int(datetime.fromisoformat(utc).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("symbol", "utc", "taken"),
    [
        ("EURUSD", "2024-01-09 22:00:00", True),  # 17:00 New York, a daily bar closes; trading stopped at 16:59
        ("EURUSD", "2024-01-12 22:00:00", True),  # Friday, trading stopped at 16:55
        ("EURUSD", "2024-01-12 22:01:00", False),
        ("EURUSD", "2024-01-13 12:00:00", False),
        ("EURUSD", "2024-07-12 21:00:00", True),
        ("XAUUSD", "2024-01-09 22:00:00", True),
        ("XAUUSD", "2024-01-09 22:30:00", False),
        ("AAPL.US", "2024-01-09 21:00:00", True),  # 16:00 New York
        ("AAPL.US", "2024-01-09 22:00:00", False),
        ("EURUSD", "2024-12-25 12:00:00", False),
    ],
)
def test_when_orders_are_taken(symbol: str, utc: str, taken: bool) -> None:
    assert accepts_orders(get(symbol).hours, ns(utc)) is taken
