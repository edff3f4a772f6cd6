"""Recorded runs beside downloads of the same days, torn files, and prices of another venue; the files by hand."""

import time
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.catalog import layout
from pepperstone_adapter.catalog.bad_rows import BadRows
from pepperstone_adapter.catalog.columns import Chunk
from pepperstone_adapter.catalog.download_store import DownloadSeries
from pepperstone_adapter.catalog.recorded import keep
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.catalog.unkept import NOTE, write_note
from pepperstone_adapter.common.errors import DataError
from tests.unit.catalog.conftest import Run

SPEC = symbol_table.get("EURUSD")
DAY_NS = 86_400_000_000_000
MONDAY_NS = 1_790_553_600_000_000_000  # 2026-09-28
SECOND_NS = 1_000_000_000
RECORDED, DOWNLOADED = "ctrader DEMO-x1 run", "ctrader DEMO-x1"


def batch(identifier: str, rows: list[tuple[int, int, int]]) -> pa.RecordBatch:
    """Quotes ``(seconds after Monday, bid, ask)`` in points, as the framework's writer lays them out."""
    ts = pa.array([MONDAY_NS + s * SECOND_NS for s, _, _ in rows], layout.TIMESTAMP)
    columns = {
        "identifier": pa.array([identifier] * len(rows)),
        "bid_price": layout.decimals(np.array([b for _, b, _ in rows], np.int64), 5),
        "ask_price": layout.decimals(np.array([a for _, _, a in rows], np.int64), 5),
        "ts_event": ts,
        "ts_init": ts,
    }
    return pa.RecordBatch.from_pydict(columns)


def recording(catalog: Path, *batches: pa.RecordBatch, name: str = "quotes_1.feather.partial") -> Path:
    run = catalog / "live" / "run"
    file = run / "quotes" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as sink, pa.ipc.new_stream(sink, batches[0].schema) as stream:
        for one in batches:
            stream.write_batch(one)
    write_note(run, {"EURUSD": SPEC}, platform="ctrader", source=RECORDED)
    return run


def kept(run: Path, *, replace: bool = False) -> list[str]:
    return list(
        keep(
            run,
            run.parents[1],
            {"EURUSD": SPEC},
            platform="ctrader",
            source=RECORDED,
            now_ns=time.time_ns(),
            replace_stored=replace,
        )
    )


def download(catalog: Path, rows: list[tuple[int, int, int]], *, replace: bool = False) -> int:
    ts, bid, ask = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    chunk = Chunk(MONDAY_NS + ts * SECOND_NS, {"bid": bid, "ask": ask})
    series = DownloadSeries(catalog, SPEC, None, DOWNLOADED)
    return series.store(chunk, (MONDAY_NS, MONDAY_NS + DAY_NS), BadRows(), replace_stored=replace)


def stored(catalog: Path) -> list[tuple[int, int, int]]:
    quotes = CatalogStore(catalog).quotes("EURUSD")
    seconds = (quotes.ts_ns - MONDAY_NS) // SECOND_NS
    return list(zip(seconds.tolist(), quotes.bid.tolist(), quotes.ask.tolist(), strict=True))


TICKS = [(10, 108_500, 108_507), (11, 108_501, 108_508), (12, 108_502, 108_509), (13, 108_503, 108_510)]
SEEN = [TICKS[1], TICKS[3]]  # the node was not told of the tick between


def test_a_download_over_recorded_quotes_is_refused_and_replaces_them_when_told_to(tmp_path: Path) -> None:
    kept(recording(tmp_path, batch("EURUSD.PEPPERSTONE", SEEN)))
    with pytest.raises(DataError, match=r"EURUSD.PEPPERSTONE is already stored .* with different rows .*--replace"):
        download(tmp_path, TICKS)
    assert stored(tmp_path) == SEEN
    assert DownloadSeries(tmp_path, SPEC, None, DOWNLOADED).covered() == ()  # it will be asked for again
    assert download(tmp_path, TICKS, replace=True) == 4
    assert stored(tmp_path) == TICKS


def test_a_recording_over_downloaded_ticks_is_refused_and_replaces_them_when_told_to(tmp_path: Path, run: Run) -> None:
    download(tmp_path, TICKS)
    folder = recording(tmp_path, batch("EURUSD.PEPPERSTONE", SEEN))
    ran = run("recorded", "--catalog", tmp_path)
    assert (ran.code, stored(tmp_path)) == (3, TICKS)
    assert "with different rows" in ran.out
    assert f"the run's files stay in {folder}" in ran.out
    assert (folder / NOTE).exists()  # still to be kept
    assert run("recorded", folder, "--replace").code == 0
    assert stored(tmp_path) == [TICKS[0], *SEEN]  # its own range only: 11 s to 13 s
    assert not (folder / NOTE).exists()


def test_a_recording_that_repeats_the_download_adds_what_lies_beyond(tmp_path: Path) -> None:
    download(tmp_path, TICKS)
    beyond = (20, 108_600, 108_607)
    said = kept(recording(tmp_path, batch("EURUSD.PEPPERSTONE", [*TICKS[1:], beyond])))
    assert said[-1].startswith("recorded 1 quotes")
    assert stored(tmp_path) == [*TICKS, beyond]


@pytest.mark.parametrize("cut", [1, 40, 300])
def test_a_file_cut_in_its_last_batch_gives_those_before(tmp_path: Path, cut: int) -> None:
    whole = batch("EURUSD.PEPPERSTONE", TICKS[:2]), batch("EURUSD.PEPPERSTONE", TICKS[2:])
    folder = recording(tmp_path, *whole)
    (file,) = (folder / "quotes").iterdir()
    end_mark = 8
    file.write_bytes(file.read_bytes()[: -end_mark - cut])
    kept(folder)
    assert stored(tmp_path) == TICKS[:2]


def test_prices_of_another_venue_stay_with_the_run_and_a_warning_names_it(tmp_path: Path) -> None:
    other = recording(tmp_path, batch("EURUSD.DEMO2", TICKS), name="quotes_2.feather")
    said = kept(other)
    assert [line for line in said if line.startswith("warning: ")] == [
        "warning: recording: prices of venue DEMO2 do not go into the catalog, whose venue is PEPPERSTONE; "
        f"they stay in {other}"
    ]
    assert not (tmp_path / "data").exists()


def test_a_symbol_nobody_described_stays_with_the_run_and_a_warning_names_it(tmp_path: Path) -> None:
    folder = recording(tmp_path, batch("GBPUSD.PEPPERSTONE", TICKS))
    said = kept(folder)
    assert f"the broker's data of GBPUSD are not known; its prices stay in {folder}" in said[0]


def test_quotes_that_came_late_are_put_in_order_whatever_batch_they_are_in(tmp_path: Path) -> None:
    """The broker's time orders a recording, also over batches; what the node published again is left out."""
    rows = [(second, 108_500 + second, 108_507 + second) for second in range(40)]
    late = [*rows[3:12], rows[0], *rows[12:30], rows[2], rows[1], *rows[30:]]
    pieces = [late[at : at + 5] for at in range(0, len(late), 5)]
    kept(recording(tmp_path, *(batch("EURUSD.PEPPERSTONE", piece) for piece in pieces)))
    assert stored(tmp_path) == rows


def test_a_quote_published_again_at_the_beginning_of_a_batch_is_left_out(tmp_path: Path) -> None:
    def quote(event_s: int, init_s: int) -> pa.RecordBatch:
        made = batch("EURUSD.PEPPERSTONE", [(event_s, 108_500, 108_507)])
        init = pa.array([MONDAY_NS + init_s * SECOND_NS], layout.TIMESTAMP)
        return made.set_column(made.schema.get_field_index("ts_init"), "ts_init", init)

    kept(recording(tmp_path, quote(10, 11), quote(20, 20), quote(30, 31)))  # the second is stamped by this machine
    assert stored(tmp_path) == [(10, 108_500, 108_507), (30, 108_500, 108_507)]


def test_a_bar_that_was_handed_on_twice_is_kept_as_it_was_seen_first(tmp_path: Path) -> None:
    name = "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL"

    def bars(*rows: tuple[int, int]) -> pa.RecordBatch:
        """Minute of the close and price."""
        prices = layout.decimals(np.array([price for _, price in rows], np.int64), 5)
        ts = pa.array([MONDAY_NS + minute * 60 * SECOND_NS for minute, _ in rows], layout.TIMESTAMP)
        columns = dict.fromkeys(("open", "high", "low", "close"), prices) | {
            "identifier": pa.array([name] * len(rows)),
            "volume": layout.decimals(np.array([3] * len(rows), np.int64), 0),
            "ts_event": ts,
            "ts_init": ts,
        }
        return pa.RecordBatch.from_pydict(columns)

    run = recording(tmp_path, batch("EURUSD.PEPPERSTONE", TICKS))
    (run / "bars").mkdir()
    pieces = bars((1, 108_500), (2, 108_510)), bars((2, 108_999), (3, 108_520))
    with pa.ipc.new_stream(run / "bars" / "bars_1.feather", pieces[0].schema) as stream:
        for piece in pieces:
            stream.write_batch(piece)
    kept(run)
    found = CatalogStore(tmp_path).bars("EURUSD", "1-MINUTE", "BID")
    assert ((found.ts_ns - MONDAY_NS) // (60 * SECOND_NS)).tolist() == [1, 2, 3]
    assert found.close.tolist() == [108_500, 108_510, 108_520]


def test_what_a_killed_process_left_while_it_kept_a_run_is_cleared_away(tmp_path: Path) -> None:
    run = recording(tmp_path, batch("EURUSD.PEPPERSTONE", TICKS))
    (run / "keep-killed" / "0").mkdir(parents=True)
    kept(run)
    assert [folder.name for folder in run.iterdir() if folder.is_dir()] == ["quotes"]
    assert stored(tmp_path) == TICKS


def peak_bytes(folder: Path, batches: int) -> int:
    """Most memory held, beyond what was held before, while a run of so many batches of two symbols is kept."""
    rows = 5_000
    names = pa.array(["EURUSD.PEPPERSTONE", "GBPUSD.PEPPERSTONE"] * (rows // 2))

    def quotes(number: int) -> pa.RecordBatch:
        at = np.arange(number * rows, (number + 1) * rows, dtype=np.int64)
        ts = pa.array(MONDAY_NS + at * 1_000_000, layout.TIMESTAMP)
        columns = {
            "identifier": names,
            "bid_price": layout.decimals(108_500 + at % 97, 5),
            "ask_price": layout.decimals(108_507 + at % 97, 5),
            "ts_event": ts,
            "ts_init": ts,
        }
        return pa.RecordBatch.from_pydict(columns)

    run = folder / "live" / "run"
    file = run / "quotes" / "quotes_1.feather"
    file.parent.mkdir(parents=True)
    with file.open("wb") as sink, pa.ipc.new_stream(sink, quotes(0).schema) as stream:
        for number in range(batches):
            stream.write_batch(quotes(number))
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    specs = {name: symbol_table.get(name) for name in ("EURUSD", "GBPUSD")}
    try:
        (said,) = keep(run, folder, specs, platform="ctrader", source=RECORDED, now_ns=time.time_ns())
        assert said.startswith(f"recorded {batches * rows:,} quotes")
        return int(pool.max_memory() or 0) + tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


def test_memory_does_not_grow_with_the_length_of_a_run(tmp_path: Path) -> None:
    short, long = peak_bytes(tmp_path / "short", 160), peak_bytes(tmp_path / "long", 480)
    assert long < 1.5 * short  # the writer's two waiting row groups are not full in the short one
    assert long < 480 * 5_000 * 5 * 8 // 2  # half of what the long one's five columns take as 64-bit integers
