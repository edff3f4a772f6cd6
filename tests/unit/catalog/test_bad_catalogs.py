"""Imports that do not agree with what is stored, and catalogs that cannot be trusted (B57 to B61)."""

from pathlib import Path

import pytest

from pepperstone_adapter.catalog.manifest import iso
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.common.errors import DataError
from tests.unit.catalog.conftest import Run, Write
from tests.unit.catalog.test_bad_inputs import GOOD, UTC, bar, bars


def test_b57_overlapping_files_are_joined_where_they_agree(run: Run, write: Write, tmp_path: Path) -> None:
    catalog = tmp_path / "c"
    assert run("import", write("EURUSD-1.csv", bars(*GOOD[:3])), "--catalog", catalog, *UTC).code == 0
    ran = run("import", write("EURUSD-2.csv", bars(*GOOD[1:], bar())), "--catalog", catalog, *UTC)
    assert ran.code == 0
    assert "2 rows stored, 2 were stored already" in ran.out
    store = CatalogStore(catalog)
    assert store.bars("EURUSD", "1-HOUR").close.tolist() == [110_441, 110_497, 110_402, 110_450, 110_455]
    assert len(store.framework_bars("EURUSD", "1-HOUR")) == 5


def test_b57_disagreeing_overlap_names_range_and_rows(run: Run, write: Write, tmp_path: Path) -> None:
    catalog = tmp_path / "c"
    run("import", write("EURUSD-1.csv", bars(*GOOD[:3])), "--catalog", catalog, *UTC)
    changed = GOOD[2].replace("1.10402", "1.10403")
    ran = run("import", write("EURUSD-2.csv", bars(GOOD[1], changed, GOOD[3])), "--catalog", catalog, *UTC)
    assert ran.code == 3
    assert (
        "EURUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL is already stored from 2024-01-02T02:00:00Z to 2024-01-02T03:00:00Z "
        "with different rows (the first: stored 2024-01-02T03:00:00Z 1.10497/1.10512/1.10391/1.10402, in the file "
        "2024-01-02T03:00:00Z 1.10497/1.10512/1.10391/1.10403)"
    ) in ran.line
    assert "--replace" in ran.line
    assert len(CatalogStore(catalog).bars("EURUSD", "1-HOUR")) == 3


def test_b58_same_range_other_content(run: Run, write: Write, tmp_path: Path) -> None:
    catalog = tmp_path / "c"
    good = write("EURUSD.csv", bars(*GOOD, bar()))
    assert run("import", good, "--catalog", catalog, *UTC).code == 0
    assert "stored already, nothing changed" in run("import", good, "--catalog", catalog, *UTC).out
    other = write("EURUSD_new.csv", bars(GOOD[1], GOOD[2].replace("1.10402", "1.10403"), GOOD[3]))
    assert run("import", other, "--catalog", catalog, *UTC).code == 3
    assert run("import", other, "--catalog", catalog, "--replace", *UTC).code == 0
    # the first and the last bar came from the old file and are still there
    assert CatalogStore(catalog).bars("EURUSD", "1-HOUR").close.tolist() == [
        110_441,
        110_497,
        110_403,
        110_450,
        110_455,
    ]
    # the old file is no longer what is stored, so importing it again is a change and must be asked for
    assert run("import", good, "--catalog", catalog, *UTC).code == 3


def test_b58_a_file_read_by_another_clock_leaves_none_of_its_old_rows(run: Run, write: Write, tmp_path: Path) -> None:
    catalog = tmp_path / "c"
    file, later = write("EURUSD.csv", bars(*GOOD)), write("EURUSD-later.csv", bars(bar("09:00:00")))
    assert run("import", file, "--catalog", catalog, *UTC).code == 0
    assert run("import", later, "--catalog", catalog, *UTC, "--period", "H1").code == 0
    # Bars of 0:00 to 3:00, two hours ahead of UTC, close at 23:00 to 2:00; those of 3:00 and 4:00 were of the wrong clock.
    assert run("import", file, "--catalog", catalog, "--zone", "+02:00", "--replace").code == 0
    found = CatalogStore(catalog).bars("EURUSD", "1-HOUR")
    hours = (found.ts_ns - 1_704_153_600_000_000_000) // 3_600_000_000_000  # from 2 January 2024
    assert hours.tolist() == [-1, 0, 1, 2, 10]
    assert found.close.tolist() == [110_441, 110_497, 110_402, 110_450, 110_455]
    # It is the other clock's import that is no longer stored, not this one.
    assert "nothing changed" in run("import", file, "--catalog", catalog, "--zone", "+02:00").out
    assert run("import", file, "--catalog", catalog, *UTC).code == 3


def test_b58_days_and_months_mixed_up_are_put_right_and_nothing_between_them_goes(
    run: Run, write: Write, tmp_path: Path
) -> None:
    catalog = tmp_path / "c"
    rows = "".join(f"03/04/2024 0{h}:00;1.1;1.2;1.0;1.1\n" for h in range(3))
    file = write("april.csv", "when;o;h;l;c\n" + rows)
    names = "columns: {time: when, open: o, high: h, low: l, close: c}\nkind: bars\nzone: utc\n"
    wrong = write("wrong.yaml", f"{names}time_form: MM/DD/YYYY hh:mm\n")
    right = write("right.yaml", f"{names}time_form: DD/MM/YYYY hh:mm\n")
    arguments = ("--symbol", "EURUSD", "--period", "H1", "--catalog", catalog)
    assert run("import", file, *arguments, "--columns", wrong).code == 0  # 4 March
    others = bars(
        "2024.03.04\t09:00:00\t1.3\t1.3\t1.3\t1.3\t1\t0\t0", "2024.03.20\t09:00:00\t1.2\t1.2\t1.2\t1.2\t1\t0\t0"
    )
    assert run("import", write("EURUSD.csv", others), *arguments, *UTC).code == 0
    assert run("import", file, *arguments, "--columns", right, "--replace").code == 0  # 3 April
    found = CatalogStore(catalog).bars("EURUSD", "1-HOUR")
    assert [iso(int(ns))[5:13] for ns in found.ts_ns] == ["03-04T10", "03-20T10", "04-03T01", "04-03T02", "04-03T03"]


@pytest.mark.parametrize("keep", [0, 10, -20])
def test_b59_a_truncated_file_is_named(keep: int, run: Run, write: Write, tmp_path: Path) -> None:
    run("import", write("EURUSD.csv", bars(*GOOD)), "--catalog", tmp_path / "c", *UTC)
    (stored,) = (tmp_path / "c").rglob("bars/*/*.parquet")
    stored.write_bytes(stored.read_bytes()[:keep] if keep else b"")
    for command in ("list", "check"):
        ran = run(command, "--catalog", tmp_path / "c")
        assert ran.code == 3
        assert f"error: {stored} is not a readable Parquet file" in ran.line
        assert "delete it and import its source again" in ran.line


def test_b59_a_file_that_another_process_took_away_meanwhile_is_called_that(
    run: Run, write: Write, tmp_path: Path
) -> None:
    run("import", write("EURUSD.csv", bars(*GOOD)), "--catalog", tmp_path / "c", *UTC)
    store = CatalogStore(tmp_path / "c")
    (series,) = store.series()
    (file,) = series.files
    file.unlink()
    with pytest.raises(DataError, match=r"is gone: another process .* run the command again"):
        store.digest(series)


def test_b59_what_was_removed_is_imported_again_beside_what_was_not(run: Run, write: Write, tmp_path: Path) -> None:
    catalog = ("--catalog", tmp_path / "c")
    first = write("EURUSD.csv", bars(*GOOD))
    later = write("EURUSD-later.csv", bars(*(row.replace("2024.01.02", "2024.01.03") for row in GOOD)))
    for file in (first, later):
        assert run("import", file, *catalog, *UTC).code == 0
    stored, _ = sorted((tmp_path / "c").rglob("bars/*/*.parquet"))
    whole = stored.read_bytes()
    assert "stored already" in run("import", first, *catalog, *UTC).out
    stored.write_bytes(whole[:-20])
    ran = run("import", first, *catalog, *UTC)
    assert (ran.code, "is not a readable Parquet file" in ran.line) == (3, True)
    stored.unlink()  # as the line says
    assert f"{len(GOOD)} rows stored" in run("import", first, *catalog, *UTC).out
    assert stored.read_bytes() == whole


def test_b59_a_file_with_another_name_is_named(run: Run, write: Write, tmp_path: Path) -> None:
    catalog = ("--catalog", tmp_path / "c")
    assert run("import", write("EURUSD.csv", bars(*GOOD)), *catalog, *UTC).code == 0
    (stored,) = (tmp_path / "c").rglob("bars/*/*.parquet")
    stranger = stored.rename(stored.with_name("notes.parquet"))
    later = write("EURUSD-later.csv", bars(*(row.replace("2024.01.02", "2024.01.03") for row in GOOD)))
    for command in (("list",), ("check",), ("import", later, *UTC)):
        ran = run(*command, *catalog)
        assert (ran.code, ran.line) == (
            3, f"error: {stranger} is not named like a file of the catalog (START_END.parquet); remove it"
        )  # fmt: skip


def test_b60_missing_catalog(run: Run, tmp_path: Path) -> None:
    for command in ("list", "check"):
        ran = run(command, "--catalog", tmp_path / "nowhere")
        assert ran.code == 3
        assert f"error: no catalog at {tmp_path / 'nowhere'}; import data first" in ran.line


def test_b61_a_newer_manifest_is_not_guessed_at(run: Run, write: Write, tmp_path: Path) -> None:
    file = write("EURUSD.csv", bars(*GOOD))
    run("import", file, "--catalog", tmp_path / "c", *UTC)
    (record,) = (tmp_path / "c" / "imports").glob("*.json")
    record.write_text(record.read_text().replace('"version": 1', '"version": 7'))
    ran = run("import", file, "--catalog", tmp_path / "c", *UTC)
    assert ran.code == 3
    assert "written by a newer importer (manifest version 7, this program knows 1)" in ran.line
