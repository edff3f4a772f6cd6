"""SQLite files whose commits an order waits for.

SQLite (WAL) flushes a commit once, at the end of its log; that flush is the price of an intent that survives a power
cut, and nothing else may be in its way. A log that grows makes the file system flush its own books of the file's
length as well. So the log is grown to its full length when the file is opened, and written over from then on; SQLite
moves what is in it to the main file each time the end is reached.

Measured on ext4, one process, in turn: a commit took 0.75 ms at the end of a growing log and 0.60 ms inside a grown
one, and the slowest of a hundred 6.5 and 1.2 ms; a bare flush took 0.56 ms.

What need not be on the disk at once is committed without the flush (``PRAGMA synchronous=NORMAL``): the system has it
then, and a process that is killed loses nothing of it. A `Flusher` puts it on the disk when the caller wants it: all
that was committed before, since the log is one file and is read back in its order.
"""

import os
import queue
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path

#: Length of the log in pages of 4 KiB. An order with its answer and its fill writes about seven.
LOG_PAGES = 2000
CLOSE_S = 2.0


def open_journal(path: Path | str) -> sqlite3.Connection:
    """Open (or make) a database in WAL mode with its log at full length; statements commit by themselves.

    A commit is flushed under ``PRAGMA synchronous=FULL``, which is how it is returned. ``:memory:`` is for tests.

    Raises
    ------
    sqlite3.Error
        When the file is no database (`sqlite3.DatabaseError` itself), or it cannot be opened or written
        (`sqlite3.OperationalError`).
    """
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA fullfsync=ON")  # macOS: through the drive's cache; other systems' flush does so anyway
        db.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        db.execute("PRAGMA synchronous=NORMAL")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        for _ in range(LOG_PAGES - 1):  # each writes one page to the log, and none is flushed
            db.execute(f"PRAGMA user_version={version}")
        db.execute("PRAGMA wal_checkpoint(RESTART)")
        db.execute(f"PRAGMA user_version={version}")  # the first commit of a log begun anew flushes its head
        db.execute("PRAGMA synchronous=FULL")
    except BaseException:
        db.close()
        raise
    return db


def flush_file(descriptor: int) -> None:
    """Return when the disk has what was written to a file. Raises `OSError`."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # a plain flush ends in the drive's cache
    elif hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def copy_log(db: sqlite3.Connection) -> None:
    """Put all that the log holds into the main file, flushed, and begin the log anew: the way back after a flush failed.

    Raises
    ------
    OSError
        It could not be done.
    """
    try:
        (busy, _, _) = db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    except sqlite3.Error as error:
        raise OSError(str(error)) from error
    if busy:
        raise OSError("another program reads it")


class Flusher:
    """Flushes the log of an open journal, in the caller's thread or in one of its own.

    Parameters
    ----------
    path
        Of the database.
    failed
        Told, in that thread, what the disk said when a flush failed that nobody waited for.

    Attributes
    ----------
    broken
        Whether a flush has ever failed. What it was to put on the disk may be lost for good, and with it all that the log
        holds behind it, although the next flush succeeds: systems report such an error once. See `copy_log`.
    """

    def __init__(self, path: Path, failed: Callable[[OSError], None]) -> None:
        self._file = os.open(f"{path}-wal", os.O_RDWR | getattr(os, "O_BINARY", 0))  # Windows flushes writers only
        self._failed = failed
        self.broken = False
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()  # False: the end
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def now(self) -> None:
        """Return when the disk has all that was committed so far. Raises `OSError`."""
        try:
            flush_file(self._file)
        except OSError:
            self.broken = True
            raise

    def soon(self) -> None:
        """Flush it beside the caller; returns at once."""
        self._asked.put(True)

    def close(self) -> None:
        """End the thread, after a flush that was asked for. To be called before the journal is closed."""
        self._asked.put(False)
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        going = True
        try:
            while going:
                asked = going = self._asked.get()
                while not self._asked.empty():  # one flush is for all of them
                    going = self._asked.get()
                if asked:
                    self._flush()
        finally:
            os.close(self._file)

    def _flush(self) -> None:
        try:
            self.now()
        except OSError as error:
            self._failed(error)
