"""All of an import or none of it: after a kill at any point, and beside another writer."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from nautilus_trader.persistence import ParquetDataCatalog

from pepperstone_adapter.catalog.importer import import_file
from pepperstone_adapter.catalog.request import ImportRequest, Policy
from pepperstone_adapter.catalog.staging import JOURNAL, Staging, catalog_lock
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.common.errors import ConfigurationError, DataError

ANY_PRICE = Policy(allow=frozenset({"instrument"}))
ROW = "2024-01-02 {h:02d}:{m:02d}:{s:02d}Z,1.1{p:04d},1.20000\n"


def write_ticks(path: Path, rows: int, price: int = 0) -> Path:
    body = (ROW.format(h=i // 3600, m=i // 60 % 60, s=i % 60, p=(i + price) % 9973) for i in range(rows))
    path.write_text("timestamp,bid,ask\n" + "".join(body))
    return path


def files_of(catalog: Path) -> dict[str, bytes]:
    skipped = (".lock", ".staging")
    return {
        str(p.relative_to(catalog)): p.read_bytes()
        for p in sorted(catalog.rglob("*"))
        if p.is_file() and not p.relative_to(catalog).parts[0].startswith(skipped)
    }


def failing(catalog: Path, tmp_path: Path) -> None:
    """An import whose third row is bad."""
    file = write_ticks(tmp_path / "EURUSD.csv", 3)
    file.write_text(file.read_text().replace("00:00:02Z,1.1", "00:00:02Z,x"))
    with pytest.raises(DataError, match="no number"):
        import_file(ImportRequest(catalog=catalog, file=file, symbol="EURUSD", policy=ANY_PRICE))


def test_a_first_import_that_fails_leaves_no_catalog(tmp_path: Path) -> None:
    failing(tmp_path / "new" / "catalog", tmp_path)
    assert not (tmp_path / "new").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    failing(mine, tmp_path)
    assert list(mine.iterdir()) == []  # a folder of the user's own stays


def test_an_import_that_fails_takes_nothing_from_a_catalog(tmp_path: Path) -> None:
    catalog = tmp_path / "c"
    import_file(ImportRequest(catalog=catalog, file=write_ticks(tmp_path / "EURUSD.csv", 3), policy=ANY_PRICE))
    before = files_of(catalog)
    failing(catalog, tmp_path)
    assert files_of(catalog) == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    failing(other, tmp_path)
    assert [p.name for p in other.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("done", range(5))
def test_a_commit_cut_short_anywhere_is_finished_by_the_next_reader(done: int, tmp_path: Path) -> None:
    """The journal is written, and `done` of its five steps (two removals, three moves) have happened."""
    catalog = tmp_path / "c"
    (catalog / "data").mkdir(parents=True)
    for name in ("old-1", "old-2"):
        (catalog / "data" / name).write_text("old")
    folder = catalog / ".staging" / "abc"
    folder.mkdir(parents=True)
    moves = [["a", "data/old-2"], ["b", "data/new-1"], ["c", "imports/record.json"]]
    for name, _ in moves:
        (folder / name).write_text(name)
    (folder / JOURNAL).write_text(json.dumps({"removes": ["data/old-1", "data/old-2"], "moves": moves}))
    if done >= 1:
        (catalog / "data" / "old-1").unlink()
    for name, place in moves[: max(0, done - 1)]:
        (catalog / place).parent.mkdir(exist_ok=True)
        (folder / name).replace(catalog / place)
    CatalogStore(catalog)
    assert files_of(catalog) == {"data/old-2": b"a", "data/new-1": b"b", "imports/record.json": b"c"}
    assert not list(catalog.glob(".staging/*"))


def test_what_was_staged_and_not_committed_never_happened(tmp_path: Path) -> None:
    catalog = tmp_path / "c"
    file = write_ticks(tmp_path / "EURUSD.csv", 10)
    import_file(ImportRequest(catalog=catalog, file=file))
    before = files_of(catalog)
    folder = catalog / ".staging" / "dead"
    folder.mkdir(parents=True)
    (folder / "series-0.parquet").write_bytes(b"half of a file")
    assert len(CatalogStore(catalog).quotes("EURUSD")) == 10
    more = write_ticks(tmp_path / "EURUSD-2.csv", 20)
    import_file(ImportRequest(catalog=catalog, file=more))  # the next writer clears it
    assert not folder.exists()
    assert set(before) <= set(files_of(catalog))


def test_an_exception_in_staging_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()

    def fail() -> None:
        with Staging(tmp_path / "c") as staging:
            (staging.folder / "x").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list((tmp_path / "c").glob(".staging/*"))


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    catalog = tmp_path / "c"
    file = write_ticks(tmp_path / "EURUSD.csv", 10)
    catalog.mkdir()
    with catalog_lock(catalog), pytest.raises(ConfigurationError, match="is in use by PID"):
        import_file(ImportRequest(catalog=catalog, file=file))
    assert import_file(ImportRequest(catalog=catalog, file=file)).stored == 10


IMPORT = """
import sys
from pathlib import Path
from pepperstone_adapter.catalog.importer import import_file
from pepperstone_adapter.catalog.request import ImportRequest
print("ready", flush=True)
import_file(ImportRequest(catalog=Path(sys.argv[1]), file=Path(sys.argv[2]), replace=True))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_killed_at_any_time_the_catalog_holds_the_old_rows_or_the_new(tmp_path: Path) -> None:
    old, new = write_ticks(tmp_path / "EURUSD-old.csv", 40_000), write_ticks(tmp_path / "EURUSD-new.csv", 60_000, 1)
    base, both = tmp_path / "base", []
    import_file(ImportRequest(catalog=base, file=old))
    for delay_ms in (0, 10, 20, 30, 40, 50, 60, 75, 90, 120):
        catalog = tmp_path / f"c{delay_ms}"
        shutil.copytree(base, catalog)
        process = subprocess.Popen(
            [sys.executable, "-c", IMPORT, str(catalog), str(new)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay_ms / 1000)  # now the power goes
        process.send_signal(signal.SIGKILL)
        process.wait()
        store = CatalogStore(catalog)
        bid = store.quotes("EURUSD").bid
        both.append((len(bid), int(bid[0])))
        assert len(ParquetDataCatalog(str(catalog)).query_quote_ticks(["EURUSD.PEPPERSTONE"])) == len(bid)
        import_file(ImportRequest(catalog=catalog, file=new, replace=True))
        assert len(CatalogStore(catalog).quotes("EURUSD")) == 60_000
    assert set(both) <= {(40_000, 110_000), (60_000, 110_001)}
