"""The log of a database that orders wait for: grown at the start, written over, never lost."""

import os
import queue
import shutil
import sqlite3
from pathlib import Path

import pytest

from pepperstone_adapter.common.journal import LOG_PAGES, Flusher, open_journal
from tests.kit.journal import refuse_to_flush

FRAME = 24 + 4096  # of SQLite's log: a head of 24 bytes, and a page


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def write(db: sqlite3.Connection, count: int) -> None:
    for n in range(count):
        db.execute("INSERT INTO t VALUES (?)", (n,))


def test_commits_write_over_a_log_of_full_length(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    db = open_journal(path)
    db.execute("CREATE TABLE t (n INTEGER)")
    length = log_of(path).stat().st_size
    assert length >= (LOG_PAGES - 1) * FRAME
    write(db, 50)
    assert log_of(path).stat().st_size == length
    db.close()


def test_the_first_commits_are_at_the_beginning_of_the_log(tmp_path: Path) -> None:
    db = open_journal(tmp_path / "a.sqlite")
    _busy, frames, _moved = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert frames == 1  # the one that had its head flushed
    db.close()


def test_the_log_begins_anew_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    db = open_journal(path)
    db.execute("PRAGMA synchronous=OFF")  # its speed is not what is tested
    db.execute("CREATE TABLE t (n INTEGER)")
    write(db, 3 * LOG_PAGES)
    assert log_of(path).stat().st_size < 1.01 * LOG_PAGES * FRAME
    assert db.execute("SELECT COUNT(*) FROM t").fetchone() == (3 * LOG_PAGES,)
    db.close()


def test_a_commit_is_flushed_through_every_cache(tmp_path: Path) -> None:
    db = open_journal(tmp_path / "a.sqlite")
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert db.execute("PRAGMA fullfsync").fetchone() == (1,)
    db.close()


@pytest.mark.parametrize("commits", [0, 1, 50])
def test_what_a_killed_process_has_committed_is_there_again(tmp_path: Path, commits: int) -> None:
    """The files as they lie on the disk at that moment, the log's old content behind its new one included."""
    path, copy = tmp_path / "a.sqlite", tmp_path / "copy.sqlite"
    db = open_journal(path)
    db.execute("CREATE TABLE t (n INTEGER)")
    db.execute("PRAGMA user_version=7")
    write(db, commits)
    shutil.copy(path, copy)
    shutil.copy(log_of(path), log_of(copy))
    db.close()
    for _ in range(2):  # opened again, and once more: growing the log changes nothing
        again = open_journal(copy)
        assert again.execute("SELECT n FROM t ORDER BY n").fetchall() == [(n,) for n in range(commits)]
        assert again.execute("PRAGMA user_version").fetchone() == (7,)
        assert again.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        again.close()


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"something else entirely, long enough to be looked at")
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        open_journal(path)
    assert path.read_bytes().startswith(b"something else")


def test_a_flush_goes_to_the_log_and_says_what_the_disk_said(tmp_path: Path) -> None:
    path, said = tmp_path / "a.sqlite", queue.SimpleQueue[OSError]()
    db = open_journal(path)
    flusher = Flusher(path, said.put)
    assert os.path.sameopenfile(flusher._file, os.open(log_of(path), os.O_RDONLY))
    flusher.now()
    flusher.soon()
    refuse_to_flush(flusher)
    with pytest.raises(OSError, match="Invalid"):
        flusher.now()
    flusher.soon()
    assert isinstance(said.get(timeout=5), OSError)
    flusher.soon()  # and is tried again the next time
    assert isinstance(said.get(timeout=5), OSError)
    flusher.close()
    db.close()


def test_a_closed_flusher_leaves_no_thread_and_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    db = open_journal(path)
    flusher = Flusher(path, lambda _error: None)
    for _ in range(3):
        flusher.soon()
    flusher.close()
    flusher._thread.join(60)  # `close` waits for two seconds, and a disk may take longer
    assert not flusher._thread.is_alive()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(flusher._file)
    db.close()
