"""Files that are whole or absent, locks that say who holds them, and names that cannot leave their folder."""

import contextlib
import datetime as dt
import os
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pepperstone_adapter.common.errors import ConfigurationError

# What every file system we run on takes literally; everything else is written as %XX.
_SAFE = re.compile(rb"[A-Za-z0-9._-]")
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|\Z)", re.IGNORECASE)
_MAX_NAME_BYTES = 200


@contextlib.contextmanager
def atomic_writer(path: str | Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name only when the block ends well.

    The bytes go to a temporary file in the same folder, are flushed to the disk and renamed over `path`; an error
    leaves what was there before. Missing folders are made.

    Parameters
    ----------
    path
        The final name.
    mode
        Permission bits, held from the first byte on (0o600 for secrets); the umask applies.

    Raises
    ------
    OSError
        When the folder cannot be written, the disk is full, or `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(21, "is a folder, a file was meant", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(temporary, flags, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # it is not there, or cannot be: what went wrong is what counts
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)
        raise
    _sync_folder(path.parent)


def write_atomic(path: str | Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a whole file at once (see `atomic_writer`); text is written as UTF-8 with the line ends it has."""
    with atomic_writer(path, mode) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def file_name_of(identifier: str) -> str:
    """A file name for an identifier from outside (symbol, account, run name).

    Different identifiers give different names; letters, digits, `.`, `_` and `-` stand for themselves and every other
    byte of the UTF-8 text becomes `%XX`, so no identifier can name a folder, a device or a hidden file.

    Raises
    ------
    ConfigurationError
        When the identifier is empty or its name would be longer than 200 bytes.
    """
    if not identifier:
        raise ConfigurationError("an empty identifier cannot name a file")
    data = identifier.encode("utf-8", "surrogatepass")
    name = "".join(chr(b) if _SAFE.match(bytes([b])) else f"%{b:02X}" for b in data)
    # `.hidden`, `..`, `name.` and the device names of Windows are taken by the file system.
    if name[0] == "." or _WINDOWS_DEVICE.match(name):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if name[-1] == ".":
        name = f"{name[:-1]}%2E"
    if len(name) > _MAX_NAME_BYTES:
        raise ConfigurationError(f"'{identifier[:40]}...' is too long to name a file")
    return name


class FileLock:
    """One process at a time, by a lock of the operating system on a file: it ends with the process, however that ends.

    The file holds the owner's PID and start time, so that the second process can say who is in the way.

    Parameters
    ----------
    path
        The lock file; it stays behind, empty of meaning, when the lock is released.
    purpose
        What the lock protects, for the error (`catalog`, `account 123`).

    Raises
    ------
    ConfigurationError
        On entry, when another process (or another lock object) holds it.
    """

    def __init__(self, path: str | Path, purpose: str) -> None:
        self._path = Path(path)
        self._purpose = purpose
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Held open until __exit__: closing the file is what releases the lock.
        file = self._path.open("a+b")
        if not _try_lock(file):
            file.seek(0)
            holder = file.read().decode(errors="replace").strip() or "another process"
            file.close()
            raise ConfigurationError(
                f"{self._purpose} is in use by {holder}; stop that process or wait for it (lock: {self._path})"
            )
        started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        file.truncate(0)
        file.write(f"PID {os.getpid()} since {started}\n".encode())
        file.flush()
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


if sys.platform == "win32":
    import msvcrt

    # A Windows lock also stops readers, so it stands far behind the text that names the holder.
    _LOCKED_BYTE = 1 << 30

    def _try_lock(file: IO[bytes]) -> bool:
        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _sync_folder(folder: Path) -> None:
        """Windows has no way to flush a folder; the rename itself is journalled."""

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _sync_folder(folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
