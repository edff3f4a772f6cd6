"""When the probe asks how far back ticks reach: at an hour that had some."""

from datetime import UTC, datetime

import pytest

from pepperstone_adapter.mt5.client.probe import wednesday_noon


@pytest.mark.parametrize(
    ("asked", "noon"),
    [
        ("2026-11-21 18:00", "2026-11-18 12:00"),  # a Saturday
        ("2026-11-19 00:00", "2026-11-18 12:00"),
        ("2026-11-18 12:00", "2026-11-18 12:00"),
        ("2026-11-18 11:59", "2026-11-11 12:00"),
        ("2026-11-17 23:00", "2026-11-11 12:00"),
    ],
)
def test_the_last_wednesday_noon(asked: str, noon: str) -> None:
    def second(text: str) -> int:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())

    assert wednesday_noon(second(asked)) == second(noon)
