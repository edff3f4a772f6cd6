"""Quality of stored series, with slots counted by hand."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.hours import Holiday, TradingHours
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.catalog import layout
from pepperstone_adapter.catalog import specs as spec_store
from pepperstone_adapter.catalog.columns import Chunk
from pepperstone_adapter.catalog.importer import import_file
from pepperstone_adapter.catalog.manifest import iso
from pepperstone_adapter.catalog.quality import SeriesQuality, check_series
from pepperstone_adapter.catalog.request import ImportRequest, Policy
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.catalog.writing import SeriesKey, SeriesWriter
from pepperstone_adapter.common.resources import resource
from tests.unit.catalog.conftest import Run, Write

DAY_S = 86_400
HEADER = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"


def spec() -> SymbolSpec:
    """EURUSD that trades Monday to Friday 08:00 to 12:00 UTC, four H1 bars a day, shut on Wednesday 3 January 2024."""
    hours = TradingHours(
        zone="UTC",
        intervals=tuple((d * DAY_S + 8 * 3600, d * DAY_S + 12 * 3600) for d in range(1, 6)),
        holidays=(Holiday(day=date(2024, 1, 3)),),
    )
    return replace(symbol_table.get("EURUSD"), hours=hours)


@pytest.fixture
def judged(write: Write, tmp_path: Path) -> Callable[..., SeriesQuality]:
    """Import rows ``[MM-]DD HH [prices]`` of 2024, January by default, as H1 bars and judge them."""

    def call(*rows: str) -> SeriesQuality:
        lines = []
        for row in rows:
            day, hour, *prices = row.split()
            o, h, low, c = prices or ("1.10000", "1.10010", "1.09990", "1.10000")
            date_text = f"2024.{day.replace('-', '.')}" if "-" in day else f"2024.01.{day}"
            lines.append(f"{date_text}\t{hour}:00:00\t{o}\t{h}\t{low}\t{c}\t5\t0\t0\n")
        file = write("EURUSD.csv", HEADER + "".join(lines))
        request = ImportRequest(
            catalog=tmp_path / "c", file=file, zone="utc", period="H1", specs={"EURUSD": spec()},
            policy=Policy(allow=frozenset({"instrument"})),
        )  # fmt: skip
        import_file(request)
        store = CatalogStore(tmp_path / "c")
        return check_series(store, store.series()[0], {"EURUSD": spec()})

    return call


def test_a_range_counts_what_is_missing_at_its_ends(judged: Callable[..., SeriesQuality], tmp_path: Path) -> None:
    judged("04 09", "04 10", "04 11", "05 08")  # rows close at 10, 11, 12 and at 9 of the next day
    store = CatalogStore(tmp_path / "c")

    def check(first: str, last: str) -> tuple[int, int, int]:
        ends = [int(datetime.fromisoformat(f"2024-01-{t}:00+00:00").timestamp()) * 10**9 for t in (first, last)]
        quality = check_series(store, store.series()[0], {"EURUSD": spec()}, *ends)
        return quality.due, quality.sound, quality.rows

    # Bars that close from 9:00 on the 4th until before 12:00 on the 5th: 9, 10, 11, 12 and 9, 10, 11.
    assert check("04T09:00", "05T12:00") == (7, 4, 4)
    assert check("04T10:30", "04T12:00") == (1, 1, 1)
    # The whole of the week that begins on the 1st: Monday, Tuesday, Thursday, Friday of four bars each.
    assert check("01T00:00", "08T00:00") == (16, 4, 4)
    assert check("10T00:00", "11T00:00") == (4, 0, 0)


@pytest.mark.parametrize(("rows", "sound"), [(180, 180), (120, 120)])
def test_both_passes_of_a_repeated_hour_are_due(rows: int, sound: int, write: Write, tmp_path: Path) -> None:
    # Sunday 3 November 2024: New York's clock goes from 02:00 back to 01:00 at 06:00 UTC; the server's (+7 h) from 09:00
    # to 08:00. A market that never closes has 60 minutes of 07:00, 60 of 08:00 and 60 more: the last may be missing.
    lines = [
        f"2024.11.03\t{hour:02d}:{minute:02d}:00\t65000\t65010\t64990\t65000\t5\t0\t0\n"
        for hour in (7, 8, 8)
        for minute in range(60)
    ]
    end = "2024.11.03\t09:00:00\t65000\t65010\t64990\t65000\t5\t0\t0\n"
    always = replace(symbol_table.get("BTCUSD"), hours=TradingHours.always())
    import_file(
        ImportRequest(
            catalog=tmp_path / "c", file=write("BTCUSD.csv", HEADER + "".join(lines[:rows]) + end), zone="new-york+7",
            period="M1", specs={"BTCUSD": always}, policy=Policy(allow=frozenset({"instrument"})),
        )
    )  # fmt: skip
    store = CatalogStore(tmp_path / "c")
    quality = check_series(store, store.series()[0], {"BTCUSD": always})
    assert (quality.due, quality.sound, quality.missing) == (181, sound + 1, 180 - sound)
    assert [(iso(g.start_ns), g.slots) for g in quality.gaps] == ([("2024-11-03T06:00:00Z", 60)] if sound < 180 else [])


def test_hours_weekend_and_holiday_are_not_missing(judged: Callable[..., SeriesQuality]) -> None:
    days = ("02", "04", "05", "08")  # Tuesday, Thursday, Friday, Monday: Wednesday is the holiday
    quality = judged(*(f"{d} {h:02d}" for d in days for h in range(8, 12)))
    assert (quality.due, quality.sound, quality.missing, quality.gap_count) == (16, 16, 0, 0)
    assert quality.percent == 100
    assert not any(quality.counts.values())


def test_the_hours_the_broker_told_are_those_a_series_is_judged_by(
    judged: Callable[..., SeriesQuality], tmp_path: Path, run: Run
) -> None:
    saturday = [f"06 {hour:02}" for hour in range(24)]
    judged(*saturday)
    store = CatalogStore(tmp_path / "c")
    assert check_series(store, store.series()[0]).counts["outside"] == 24  # the table: shut on a Saturday
    assert run("check", "--catalog", tmp_path / "c").code == 3
    told = replace(symbol_table.get("EURUSD"), hours=TradingHours.always())
    spec_store.remember(tmp_path / "c", [told], platform="ctrader", source="ctrader SANDBOX-x1", now_ns=0)
    q = check_series(store, store.series()[0])
    assert (q.counts["outside"], q.sound, q.due, q.percent) == (0, 24, 24, 100.0)
    assert run("check", "--catalog", tmp_path / "c").code == 0


def test_a_past_holiday_of_the_table_counts_beside_the_hours_the_broker_told(
    judged: Callable[..., SeriesQuality], tmp_path: Path
) -> None:
    judged("01 10", "02 10")
    table = symbol_table.get("EURUSD").hours
    told = replace(symbol_table.get("EURUSD"), hours=replace(table, holidays=()))
    assert any((h.day.month, h.day.day) == (1, 1) for h in table.holidays)
    store = CatalogStore(tmp_path / "c")
    by_table = check_series(store, store.series()[0])
    spec_store.remember(tmp_path / "c", [told], platform="ctrader", source="ctrader DEMO-x1", now_ns=0)
    assert check_series(store, store.series()[0]).due == by_table.due < 25


def test_a_gap_over_a_night_is_one_gap(judged: Callable[..., SeriesQuality]) -> None:
    quality = judged("02 08", "02 09", "04 09", "04 10", "04 11")
    # missing: Tuesday 10:00 and 11:00, (Wednesday shut), Thursday 08:00: 8 due, 5 there
    assert (quality.due, quality.sound, quality.missing, quality.gap_count) == (8, 5, 3, 1)
    assert quality.percent == 62.5
    (gap,) = quality.gaps
    assert (iso(gap.start_ns), iso(gap.end_ns), gap.slots) == ("2024-01-02T10:00:00Z", "2024-01-04T09:00:00Z", 3)


def test_bars_outside_trading_hours_are_told_and_cost_nothing(judged: Callable[..., SeriesQuality]) -> None:
    quality = judged("02 08", "02 09", "02 10", "02 11", "02 12", "03 08")
    assert quality.counts["outside"] == 2
    assert iso(quality.first_ns["outside"]) == "2024-01-02T12:00:00Z"
    assert (quality.due, quality.sound) == (4, 4)


def test_a_spike_is_not_a_sound_bar_and_a_new_level_is(judged: Callable[..., SeriesQuality]) -> None:
    spike = "1.10000 1.16000 1.09990 1.10000"  # 5.45 % above both neighbours
    level = "1.16500 1.16510 1.16490 1.16500"  # prices jump and stay: no spike
    quality = judged("02 08", f"02 09 {spike}", "02 10", f"02 11 {level}", f"04 08 {level}")
    assert quality.counts["spikes"] == 1
    assert iso(quality.first_ns["spikes"]) == "2024-01-02T10:00:00Z"
    assert (quality.due, quality.sound) == (5, 4)


@pytest.mark.parametrize("place", [0, 4])
def test_a_spike_at_either_end_has_one_neighbour_to_tell_it_by(
    judged: Callable[..., SeriesQuality], place: int
) -> None:
    far = "1.16000 1.16010 1.15990 1.16000"  # all of the bar is 5.45 % away
    hours = ["02 08", "02 09", "02 10", "02 11", "04 08"]
    quality = judged(*(f"{hour} {far}" if i == place else hour for i, hour in enumerate(hours)))
    assert (quality.counts["spikes"], quality.due, quality.sound, quality.missing) == (1, 5, 4, 0)


def test_a_last_bar_that_moves_far_by_itself_is_no_spike(judged: Callable[..., SeriesQuality]) -> None:
    quality = judged("02 08", "02 09", "02 10 1.10000 1.16010 1.10000 1.16000")
    assert (quality.counts["spikes"], quality.sound) == (0, 3)


def test_rows_that_are_not_sound_are_found_and_not_missing(judged: Callable[..., SeriesQuality]) -> None:
    spike = "1.10000 1.16000 1.09990 1.10000"
    quality = judged("02 08", f"02 09 {spike}", "02 11")
    # 10:00 is missing; 09:00 is there, and not sound
    assert (quality.due, quality.sound, quality.missing, quality.gap_count) == (4, 2, 1, 1)
    assert [(iso(g.start_ns), g.slots) for g in quality.gaps] == [("2024-01-02T10:00:00Z", 1)]
    assert quality.percent == 50


@pytest.mark.parametrize(("at", "length"), [(299_999, 1), (300_000, 1), (299_998, 2), (299_999, 2), (300_000, 2)])
@pytest.mark.parametrize("stays", [False, True])
def test_a_spike_where_two_pieces_of_a_long_series_meet_is_found_and_a_new_level_is_none(
    at: int, length: int, stays: bool, tmp_path: Path
) -> None:
    # Three row groups of 100,000 are read at a time: the neighbour of the one is in the next piece.
    ts = np.arange(400_000, dtype=np.int64) * 10**9 + 1_704_182_400 * 10**9
    bid = np.full(len(ts), 110_000, np.int64)
    bid[at : None if stays else at + length] = 116_000
    name = "EURUSD.PEPPERSTONE"
    path = tmp_path / "data" / "quotes" / name / layout.file_name(int(ts[0]), int(ts[-1]))
    path.parent.mkdir(parents=True)
    key = SeriesKey(kind="quotes", identifier=name, instrument_id=name, digits=5, size_digits=0, roles=("bid", "ask"))
    with SeriesWriter(key, path) as writer:
        writer.write(Chunk(ts, {"bid": bid, "ask": bid + 10}))
    store = CatalogStore(tmp_path)
    quality = check_series(store, store.series()[0])
    found = (quality.counts["spikes"], quality.first_ns.get("spikes"))
    assert found == ((0, None) if stays else (length, ts[at]))


BEYOND = ("1.10000 1.16000 1.09990 1.16000", "1.16000 1.16010 1.10000 1.10000")  # up by 5.45 % and back, in two bars
BELOW = ("1.10000 1.10000 1.04000 1.04000", "1.04000 1.10000 1.04000 1.10000")  # down by 5.45 % and back


@pytest.mark.parametrize("pair", [BEYOND, BELOW])
def test_two_bars_there_and_back_are_a_spike_and_three_are_a_level(
    judged: Callable[..., SeriesQuality], tmp_path: Path, pair: tuple[str, str]
) -> None:
    hours = [f"{day} {hour:02d}" for day in ("02", "04") for hour in range(8, 12)]
    quality = judged(*(f"{hour} {pair[i - 3]}" if i in (3, 4) else hour for i, hour in enumerate(hours)))
    assert (quality.counts["spikes"], quality.sound, quality.due) == (2, 6, 8)
    assert iso(quality.first_ns["spikes"]) == "2024-01-02T12:00:00Z"
    assert [m.findings for m in quality.months] == [{"spikes": 2}]


def test_three_bars_at_another_price_are_no_spike(judged: Callable[..., SeriesQuality]) -> None:
    flat = "1.16000 1.16010 1.15990 1.16000"
    hours = [f"{day} {hour:02d}" for day in ("02", "04") for hour in range(8, 12)]
    far = {2: BEYOND[0], 3: flat, 4: BEYOND[1]}
    assert judged(*(f"{hour} {far.get(i, '')}".strip() for i, hour in enumerate(hours))).counts["spikes"] == 0


def stored(path: Path, identifier: str, digits: int, ts: np.ndarray, **columns: np.ndarray) -> Path:  # type: ignore[type-arg]
    """A file as another program might have left it in a catalog; prices in points of `digits`."""
    kind = "bars" if "open" in columns else "quotes"
    name = identifier.split("-")[0]
    file = path / "data" / kind / identifier / layout.file_name(int(ts[0]), int(ts[-1]))
    file.parent.mkdir(parents=True)
    key = SeriesKey(
        kind=kind,
        identifier=identifier,
        instrument_id=name,
        digits=digits,
        size_digits=0,
        roles=tuple(name for name in columns if name != "ticks"),
    )
    with SeriesWriter(key, file) as writer:
        writer.write(Chunk(ts, columns))
    return file


MIDNIGHT = 1_704_153_600  # Tuesday 2 January 2024
HOUR_NS = 3_600 * 10**9


def flat_bars(path: Path, period: str, ts: np.ndarray) -> SeriesQuality:  # type: ignore[type-arg]
    price = np.full(len(ts), 110_000, np.int64)
    stored(
        path,
        f"EURUSD.PEPPERSTONE-{period}-BID-EXTERNAL",
        5,
        ts,
        open=price,
        high=price,
        low=price,
        close=price,
        ticks=price,
    )
    store = CatalogStore(path)
    return check_series(store, store.series()[0])


@pytest.mark.parametrize("early", [299_000, 299_999])  # inside of a piece, and its last row
def test_rows_out_of_order_are_counted_the_same_where_two_pieces_meet(early: int, tmp_path: Path) -> None:
    # Pieces of 300,000 rows. Row 299,998 is stamped ten seconds late, at the time of row 300,008: until that one comes, all
    # are earlier than a row before them: 299,999 to 300,007, and the one that is stamped a minute early, if it is another.
    ts = np.arange(400_000, dtype=np.int64) * 10**9 + MIDNIGHT * 10**9
    ts[299_998] += 10 * 10**9
    ts[early] -= 60 * 10**9
    bid = np.full(len(ts), 110_000, np.int64)
    stored(tmp_path, "EURUSD.PEPPERSTONE", 5, ts, bid=bid, ask=bid + 10)
    store = CatalogStore(tmp_path)
    quality = check_series(store, store.series()[0])
    assert quality.rows == 400_000
    assert quality.counts["disorder"] == (9 if early == 299_999 else 10)


def test_bars_off_the_grid_of_their_period_are_found(tmp_path: Path) -> None:
    # Ten hours that close on the hour, and one of 10:17 in the place of 10:00.
    ts = MIDNIGHT * 10**9 + np.arange(8, 18, dtype=np.int64) * HOUR_NS
    ts[2] += 17 * 60 * 10**9
    quality = flat_bars(tmp_path, "1-HOUR", ts)
    assert (quality.counts["off_grid"], quality.due - quality.sound) == (1, 1)
    assert iso(quality.first_ns["off_grid"]) == "2024-01-02T10:17:00Z"
    assert [(m.name, m.findings) for m in quality.months] == [("2024-01", {"off_grid": 1})]


@pytest.mark.parametrize(
    ("period", "step_h", "first_h"),
    [("1-DAY", 24, 22), ("4-HOUR", 4, 2), ("1-WEEK", 168, 22), ("1-HOUR", 1, 0.5)],
)
def test_bars_of_a_clock_that_nobody_told_are_not_off_the_grid(
    period: str, step_h: int, first_h: float, tmp_path: Path
) -> None:
    # Days that end at 17:00 New York, four-hour bars of such days, and hours of a zone that is half an hour off.
    ts = MIDNIGHT * 10**9 + np.array([first_h + step_h * n for n in range(6)]).astype(np.int64) * HOUR_NS
    ts += int(first_h % 1 * HOUR_NS)
    assert flat_bars(tmp_path, period, ts).counts["off_grid"] == 0


def test_the_grid_is_that_of_the_clock_a_file_was_imported_with(write: Write, tmp_path: Path) -> None:
    # Hours of Bombay, UTC+5:30, and days of a server whose day ends at 17:00 New York, over the change of its clock.
    lines = [f"2024.01.02\t{hour:02d}:00:00\t1.1\t1.1\t1.1\t1.1\t5\t0\t0\n" for hour in range(9, 15)]
    days = [f"2024.03.{day:02d}\t00:00:00\t1.1\t1.1\t1.1\t1.1\t5\t0\t0\n" for day in (6, 7, 8, 11, 12, 13)]
    for name, rows, zone, period in (("H", lines, "Asia/Kolkata", "H1"), ("D", days, "new-york+7", "D1")):
        request = ImportRequest(
            catalog=tmp_path / name, file=write(f"{name}.csv", HEADER + "".join(rows)), symbol="EURUSD", zone=zone,
            period=period, policy=Policy(allow=frozenset({"instrument"})),
        )  # fmt: skip
        import_file(request)
        store = CatalogStore(tmp_path / name)
        assert check_series(store, store.series()[0]).counts["off_grid"] == 0


@pytest.mark.parametrize("said", [3, 5])
def test_prices_with_more_digits_than_their_file_says_are_found(said: int, tmp_path: Path) -> None:
    # USDJPY with three digits; two of six quotes have five.
    ts = MIDNIGHT * 10**9 + np.arange(8, 14, dtype=np.int64) * HOUR_NS
    bid = np.array([15_000_000, 15_000_100, 15_000_123, 15_000_200, 15_000_200, 15_000_300], np.int64)
    ask = bid + np.array([100, 100, 100, 100, 105, 100])
    file = stored(tmp_path, "USDJPY.PEPPERSTONE", 5, ts, bid=bid, ask=ask)
    table = pq.read_table(file)
    digits = {b"price_precision": str(said).encode()}
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, **digits}), file)
    store = CatalogStore(tmp_path)
    quality = check_series(store, store.series()[0])
    kind = "digits" if said == 3 else "off_tick"
    assert (quality.counts[kind], iso(quality.first_ns[kind])) == (2, "2024-01-02T10:00:00Z")
    assert quality.by_month == {"2024-01": {kind: 2}}
    assert sum(quality.counts.values()) == 2


def test_a_last_quote_at_the_beginning_of_a_slot_is_in_a_slot_that_is_due(tmp_path: Path) -> None:
    ts = MIDNIGHT * 10**9 + np.arange(3, dtype=np.int64) * 300 * 10**9  # 00:00, 00:05, 00:10
    price = np.full(3, 110_000, np.int64)
    stored(tmp_path, "EURUSD.PEPPERSTONE", 5, ts, bid=price, ask=price)
    store = CatalogStore(tmp_path)
    quality = check_series(store, store.series()[0])
    assert (quality.due, quality.sound, quality.counts["outside"]) == (3, 3, 0)


def test_what_is_found_is_counted_by_month(judged: Callable[..., SeriesQuality], tmp_path: Path, run: Run) -> None:
    spike = "1.10000 1.16000 1.09990 1.10000"
    judged("01-30 08", f"01-30 09 {spike}", "01-31 11", "02-01 08", f"02-01 09 {spike}", "02-01 10", "02-03 10")
    ran = run("check", "--catalog", tmp_path / "c", "--json")
    (found,) = json.loads(ran.out)
    by_month = {m["month"]: m["findings"] for m in found["months"]}
    assert by_month["2024-01"]["spikes"] == by_month["2024-02"]["spikes"] == 1
    assert by_month["2024-02"]["outside"] == 1  # the Saturday
    shown = run("check", "--catalog", tmp_path / "c").out
    assert "2024-01: 1 row far from the neighbours" in shown
    assert "2024-02: 1 row far from the neighbours, 1 row outside trading hours" in shown


def test_a_range_inside_a_gap_holds_nothing(judged: Callable[..., SeriesQuality], tmp_path: Path) -> None:
    judged("04 08", "04 09", "05 10", "05 11")
    store = CatalogStore(tmp_path / "c")
    start, end = (
        int(datetime.fromisoformat(f"2024-01-{t}:00+00:00").timestamp()) * 10**9 for t in ("04T11:00", "05T10:00")
    )
    quality = check_series(store, store.series()[0], {"EURUSD": spec()}, start, end)
    assert (quality.due, quality.sound, quality.rows) == (3, 0, 0)  # bars that close at 11:00, 12:00 and 9:00


def test_months_have_their_own_percentage(judged: Callable[..., SeriesQuality]) -> None:
    quality = judged("01-30 08", "01-31 08", "01-31 09", "01-31 10", "01-31 11", "02-01 08", "02-01 11")
    # Tuesday 30 January misses 09:00, 10:00, 11:00: 5 of 8; Thursday 1 February misses 09:00 and 10:00: 2 of 4
    assert [(m.name, m.due, m.sound, m.percent) for m in quality.months] == [
        ("2024-01", 8, 5, 62.5),
        ("2024-02", 4, 2, 50.0),
    ]


def test_an_import_counts_crossed_bars_that_it_may_keep(run: Run, tmp_path: Path) -> None:
    samples = resource("catalog/samples")
    catalog = ("--catalog", tmp_path / "c")
    assert run("import", samples / "fxcm-gbpusd-m1-bid.csv.gz", *catalog).code == 0
    refused = run("import", samples / "fxcm-gbpusd-m1-ask.csv.gz", *catalog)
    assert refused.code == 3
    assert "122 bars have bid above ask against the stored" in refused.line
    kept = run("import", samples / "fxcm-gbpusd-m1-ask.csv.gz", *catalog, "--allow", "crossed")
    assert kept.code == 0
    assert "  122 rows with bid above ask\n" in kept.out


def test_samples_are_nearly_whole(run: Run, tmp_path: Path) -> None:
    assert run("import", "--samples", "--catalog", tmp_path / "c").code == 0
    ran = run("check", "--catalog", tmp_path / "c", "--json", "--threshold", "98")
    assert ran.code == 3
    assert ran.err.count(" %") == 2, ran.err  # the threshold, and one series below it
    assert run("check", "--catalog", tmp_path / "c", "--json", "--threshold", "96.8").code == 0
    found = {q["identifier"]: q for q in json.loads(ran.out)}
    assert len(found) == 8
    assert found["XAUUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL"]["quality"] == pytest.approx(99.6744, abs=1e-4)
    assert found["XAUUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL"]["findings"] == {}  # no bar outside trading hours
    ask = found["GBPUSD.PEPPERSTONE-1-MINUTE-ASK-EXTERNAL"]
    assert ask["findings"]["crossed"]["rows"] == 122  # counted with numpy alone; 68 of them by open or close
    (month,) = ask["months"]
    assert month | {"findings": {}} == {
        "month": "2012-02",
        "due": 4191,
        "sound": 4057,
        "quality": 96.8027,
        "findings": {},
    }
    assert month["findings"] == {kind: found["rows"] for kind, found in ask["findings"].items()}
    ran = run("check", "GBPUSD", "--catalog", tmp_path / "c", "--threshold", "99")
    assert ran.code == 3
    assert "quality below 99 %: GBPUSD.PEPPERSTONE-1-MINUTE-ASK-EXTERNAL 96.80 %" in ran.err
    ran = run("check", "EURJPY", "--catalog", tmp_path / "c")
    assert ran.code == 2
    assert "no data of EURJPY" in ran.line
