"""Bars of the hour that clocks repeat in autumn, in files whose times are a server's wall clock; a market that never closes.

Europe/Athens goes from 04:00 (UTC+3) back to 03:00 (UTC+2) at 01:00 UTC on 27 October 2024; New York + 7 h from 09:00 back to
08:00 at 06:00 UTC on 3 November 2024.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.catalog.manifest import iso
from pepperstone_adapter.catalog.quality import check_series
from pepperstone_adapter.catalog.store import CatalogStore
from tests.unit.catalog.conftest import Ran, Run, Write

HEADER = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
ATHENS = ("Europe/Athens", "2024.10.27", 3, datetime(2024, 10, 26, 23, tzinfo=UTC))  # 02:00 of the wall clock
NEW_YORK = ("new-york+7", "2024.11.03", 8, datetime(2024, 11, 3, 4, tzinfo=UTC))  # 07:00

type Import = Callable[..., Ran]


def row(hour: int, opened: int, minute: int = 0, day: str = "2024.10.27", volume: int = 7) -> str:
    prices = f"{opened}.00\t{opened + 50}.00\t{opened - 50}.00\t{opened}.00"
    return f"{day}\t{hour:02d}:{minute:02d}:00\t{prices}\t{volume}\t0\t0\n"


@pytest.fixture
def imported(run: Run, write: Write, tmp_path: Path) -> Import:
    def call(rows: Sequence[str], *options: str, period: str = "H1", zone: str = "Europe/Athens") -> Ran:
        file = write("BTCUSD.csv", HEADER + "".join(rows))
        return run("import", file, "--catalog", tmp_path / "c", "--zone", zone, "--period", period, *options)

    return call


def stored(catalog: Path, period: str = "1-HOUR") -> list[tuple[str, int]]:
    """Close and open price of each bar."""
    bars = CatalogStore(catalog).bars("BTCUSD", period)
    return [(iso(int(t)), int(o) // 100) for t, o in zip(bars.ts_ns, bars.open, strict=True)]


@pytest.mark.parametrize("place", [ATHENS, NEW_YORK], ids=lambda place: place[0])
@pytest.mark.parametrize(("period", "step"), [("M1", 1), ("M15", 15), ("M30", 30), ("H1", 60)])
def test_both_passes_come_at_their_own_utc(
    period: str, step: int, place: tuple[str, str, int, datetime], imported: Import, tmp_path: Path
) -> None:
    zone, day, hour, begins = place
    walls = [(h, m) for h in (hour - 1, hour, hour, hour + 1) for m in range(0, 60, step)]
    rows = [row(h, 65_000 + i, m, day) for i, (h, m) in enumerate(walls)]
    ran = imported(rows, period=period, zone=zone)
    assert ran.code == 0, ran.err
    assert f"{2 * 60 // step} rows in a repeated hour (clocks go back), resolved by order" in ran.out
    # Four hours of UTC without a hole; a bar is stamped with its close.
    ends = [begins + timedelta(minutes=step * (i + 1)) for i in range(len(walls))]
    found = stored(tmp_path / "c", "1-HOUR" if period == "H1" else f"{step}-MINUTE")
    assert found == [(f"{end:%Y-%m-%dT%H:%M:%SZ}", 65_000 + i) for i, end in enumerate(ends)]


def test_bars_stamped_with_their_close_have_both_passes(run: Run, write: Write, tmp_path: Path) -> None:
    # The hour until the clock goes back closes in the moment that begins the second 03:00.
    times = ("02:00", "03:00", "03:00", "04:00", "05:00")
    rows = "".join(f"2024-10-27 {t}:00,{65_000 + i},{65_100 + i},64900,65050\n" for i, t in enumerate(times))
    columns = write(
        "map.yaml",
        "kind: bars\ncolumns: {time: t, open: o, high: h, low: l, close: c}\nzone: Europe/Athens\nstamp: close\n",
    )
    file = write("BTCUSD.csv", "t,o,h,l,c\n" + rows)
    ran = run("import", file, "--catalog", tmp_path / "c", "--columns", columns, "--period", "H1")
    assert ran.code == 0, ran.err
    assert stored(tmp_path / "c") == [
        ("2024-10-26T23:00:00Z", 65_000),
        ("2024-10-27T00:00:00Z", 65_001),
        ("2024-10-27T01:00:00Z", 65_002),
        ("2024-10-27T02:00:00Z", 65_003),
        ("2024-10-27T03:00:00Z", 65_004),
    ]


FIRST, SECOND, COPY = row(3, 65_001), row(3, 65_002), row(3, 65_001, volume=9)


@pytest.mark.parametrize(
    ("rows", "doubles"),
    [
        ([row(2, 65_000), FIRST, FIRST, row(4, 65_003)], 1),  # a row that stands twice
        ([row(2, 65_000), FIRST, COPY, row(4, 65_003)], 1),  # an hour that was not over yet, and the whole of it
        ([row(2, 65_000), FIRST, SECOND, row(3, 65_004), row(4, 65_003)], 1),  # three of an hour that comes twice
        ([FIRST, SECOND, row(4, 65_003), row(5, 65_004)], 1),  # nothing before them says that the oldest comes first
        ([row(12, 65_000), row(13, 65_001), row(13, 65_002), row(14, 65_003)], 1),  # an hour like any other
    ],
    ids=["copy", "completed", "three", "begins-with-them", "another-hour"],
)
def test_what_cannot_be_told_stays_a_double(rows: list[str], doubles: int, imported: Import) -> None:
    ran = imported(rows)
    assert ran.code == 3
    assert f"{doubles} row with the time of the row before (first at " in ran.line


def test_a_file_with_the_newest_row_first_is_not_guessed(imported: Import) -> None:
    ran = imported([row(4, 65_003), SECOND, FIRST, row(2, 65_000)], "--sort")
    assert ran.code == 3
    assert "1 row with the time of the row before" in ran.line


def test_shorter_bars_that_stand_still_are_doubles(imported: Import) -> None:
    # Was the second 03:45 written twice, or is it the only bar of the second pass? The next row does not say.
    quarters = [row(h, 65_000 + 10 * h + m, m) for h, m in ((2, 45), (3, 0), (3, 15), (3, 30), (3, 45))]
    ran = imported([*quarters, row(3, 65_099, 45), row(4, 65_100)], period="M15")
    assert ran.code == 3
    assert "1 row with the time of the row before" in ran.line


def test_the_second_pass_may_come_in_the_next_block_of_a_file(imported: Import, tmp_path: Path) -> None:
    # A last line without its end is read as a block of its own.
    ran = imported([row(1, 64_999), row(2, 65_000), FIRST, SECOND.rstrip("\n")])
    assert ran.code == 0, ran.err
    assert stored(tmp_path / "c")[2:] == [("2024-10-27T01:00:00Z", 65_001), ("2024-10-27T02:00:00Z", 65_002)]


@pytest.mark.parametrize(
    ("day", "rows", "ends"),
    [
        # 09:00 to 09:59 of 10 March 2024 never was: the bar of 08:00 lasts three hours, from 06:00 UTC.
        ("2024.03.10", (0, 4, 8, 12, 16), ("10T02", "10T06", "10T09", "10T13", "10T17")),
        # 08:00 to 08:59 of 3 November was twice: it lasts five hours, from 05:00 UTC.
        ("2024.11.03", (0, 4, 8, 12, 16), ("03T01", "03T05", "03T10", "03T14", "03T18")),
    ],
    ids=["forwards", "back"],
)
def test_bars_of_hours_end_on_the_wall_clock_of_a_day_that_changes_it(
    day: str, rows: tuple[int, ...], ends: tuple[str, ...], imported: Import, tmp_path: Path
) -> None:
    ran = imported([row(h, 65_000 + h, day=day) for h in rows], period="H4", zone="new-york+7")
    assert ran.code == 0, ran.err
    month = day[:7].replace(".", "-")
    assert stored(tmp_path / "c", "4-HOUR") == [
        (f"{month}-{end}:00:00Z", 65_000 + h) for h, end in zip(rows, ends, strict=True)
    ]
    always = replace(symbol_table.get("BTCUSD"), hours=TradingHours.always())
    store = CatalogStore(tmp_path / "c")
    quality = check_series(store, store.series()[0], {"BTCUSD": always})
    assert (quality.due, quality.sound, quality.counts["off_grid"]) == (5, 5, 0)
