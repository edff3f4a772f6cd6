"""The hours of FX and gold against three years of real hourly bars: the market traded when the table says it did.

The bars are another broker's (`catalog/samples/README.md`). Its server clock follows the European daylight saving: on
20 March 2019, between the American and the European change, the 14:00 New York statement of the Federal Reserve moved
the bar of 20:00, which is 18:00 UTC at UTC+2; New York + 7 h would have made it 21:00.
"""

import csv
import gzip
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pepperstone_adapter.broker.symbol_table import get
from pepperstone_adapter.common.resources import resource

HOUR_NS = 3_600_000_000_000
SERVER = ZoneInfo("Europe/Athens")


def open_hours(file: Path) -> dict[int, int]:
    """Start of each bar (UTC ns) -> its range in points."""
    with gzip.open(file, "rt", encoding="utf-8") as rows:
        return {
            int(datetime.fromisoformat(row["Date"]).replace(tzinfo=SERVER).timestamp()) * 10**9: round(
                float(row["high"]) - float(row["low"])
            )
            for row in csv.DictReader(rows)
        }


@pytest.mark.parametrize(
    ("symbol", "missing_percent", "outside"),
    [("GBPUSD", 0.3, 0), ("USDJPY", 0.3, 0), ("EURGBP", 0.3, 0), ("XAUUSD", 0.5, 0)],
)
def test_bars_exist_where_the_table_is_open(symbol: str, missing_percent: float, outside: int) -> None:
    hours = get(symbol).hours
    bars = open_hours(resource(f"catalog/samples/{symbol}-h1.csv.gz"))
    first, last = min(bars), max(bars)

    spans = hours.open_intervals(first, last + HOUR_NS)
    expected = {h * HOUR_NS for a, b in spans for h in range(a // HOUR_NS, -(-b // HOUR_NS))}

    assert len(bars) > 17_000
    assert len(bars.keys() - expected) <= outside, sorted(bars.keys() - expected)[:5]
    assert 100 * len(expected - bars.keys()) / len(expected) < missing_percent


def test_the_sample_clock_is_the_european_one() -> None:
    bars = open_hours(resource("catalog/samples/USDJPY-h1.csv.gz"))
    statement = int(datetime(2019, 3, 20, 14, tzinfo=ZoneInfo("America/New_York")).timestamp()) * 10**9

    around = {k: bars[statement + k * HOUR_NS] for k in range(-3, 3)}

    assert max(around, key=lambda k: around[k]) == 0
    assert around[0] > 3 * around[1]
