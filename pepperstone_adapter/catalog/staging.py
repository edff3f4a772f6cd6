"""All of an import or none of it, also when the process is killed.

Theory. New files are written into a folder of their own inside the catalog (same file system) and flushed. Then a
journal, itself renamed into place, lists what to remove and what to move where; from that moment the import has
happened, and applying the journal may be repeated until it succeeds. Whoever opens the catalog next finishes a journal
it finds and deletes folders without one. Removals come before moves: a reader in between sees rows missing, never
doubled, and the framework's own reader never sees a half-written file.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.files import FileLock, write_atomic

FOLDER = ".staging"
JOURNAL = "journal.json"
LOCK = ".lock"


def catalog_lock(catalog: Path) -> FileLock:
    """One writer at a time; ConfigurationError names the other one."""
    return FileLock(catalog / LOCK, f"the catalog {catalog}")


@contextmanager
def writing(catalog: Path) -> Iterator[None]:
    """Alone in a catalog that is made when it does not exist; when nothing was stored, what was made goes again."""
    places = (catalog / FOLDER, catalog / "data", catalog / LOCK, catalog, *catalog.parents)
    made = [place for place in places if not place.exists()]
    (catalog / "data").mkdir(parents=True, exist_ok=True)
    with catalog_lock(catalog):
        try:
            recover(catalog)
            yield
        except BaseException:
            # Another process may have stored something in the meantime: then the first of these is not empty.
            with suppress(OSError):
                for place in made:
                    if place.is_file():
                        place.unlink()
                    elif place.exists():
                        place.rmdir()
            raise


class Staging:
    """A scratch folder inside the catalog. Use as a context: what was not committed is gone at its end."""

    def __init__(self, catalog: Path) -> None:
        self._catalog = catalog
        self.folder = catalog / FOLDER / secrets.token_hex(6)

    def __enter__(self) -> "Staging":
        self.folder.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def commit(self, moves: Sequence[tuple[Path, Path]], removes: Sequence[Path] = ()) -> None:
        """Move staged files to their places and remove others, all or nothing.

        Parameters
        ----------
        moves
            ``(file in this folder, place in the catalog)``; an existing file there is replaced.
        removes
            Files of the catalog.
        """
        for staged, _ in moves:
            with staged.open("rb") as file:
                os.fsync(file.fileno())
        journal = {
            "removes": [str(p.relative_to(self._catalog)) for p in removes],
            "moves": [[str(s.relative_to(self.folder)), str(d.relative_to(self._catalog))] for s, d in moves],
        }
        write_atomic(self.folder / JOURNAL, json.dumps(journal))
        _apply(self._catalog, self.folder)


def recover(catalog: Path) -> None:
    """Finish committed imports that were cut short and clear abandoned ones; the caller holds the lock."""
    for folder in sorted((catalog / FOLDER).glob("*")):
        if (folder / JOURNAL).is_file():
            _apply(catalog, folder)
        shutil.rmtree(folder, ignore_errors=True)


def recover_if_needed(catalog: Path) -> None:
    """For readers: finish a committed import of a dead process. A living one finishes its own."""
    if any((catalog / FOLDER).glob(f"*/{JOURNAL}")):
        try:
            with catalog_lock(catalog):
                recover(catalog)
        except (ConfigurationError, OSError):
            return  # another process holds the lock, or the catalog is read-only here


def _apply(catalog: Path, folder: Path) -> None:
    journal = json.loads((folder / JOURNAL).read_text(encoding="utf-8"))
    places = {place for _, place in journal["moves"]}
    for name in journal["removes"]:
        if name not in places:
            (catalog / name).unlink(missing_ok=True)
    for staged, name in journal["moves"]:
        place = catalog / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (folder / staged).exists():
            (folder / staged).replace(place)
    (folder / JOURNAL).unlink()
