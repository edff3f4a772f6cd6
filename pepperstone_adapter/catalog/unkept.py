"""Runs whose recording is not catalog data yet: what a run notes about itself while it lives.

A run in order is kept when it ends (`recorded.keep`). One that was killed leaves the framework's files and this note
beside them: whose prices they are and the broker's symbols, which the files do not say. The note goes when the run is
kept, so a folder with a note and without its owner is one to keep by hand (`pepperstone data recorded`).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import InvalidOperation
from pathlib import Path

from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.catalog.specs import spec_json, spec_of
from pepperstone_adapter.common.errors import ConfigurationError, DataError
from pepperstone_adapter.common.files import FileLock, write_atomic

LIVE = "live"
NOTE, LOCK = "recording.json", "recording.lock"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNote:
    """`source` names platform, environment, account (masked) and broker; `specs` are the symbols the run had loaded."""

    platform: str
    source: str
    specs: Mapping[str, SymbolSpec]


def write_note(run: Path, specs: Mapping[str, SymbolSpec], *, platform: str, source: str) -> None:
    symbols = [spec_json(spec) for spec in specs.values()]
    content = {"version": VERSION, "platform": platform, "source": source, "symbols": symbols}
    write_atomic(run / NOTE, json.dumps(content, ensure_ascii=False) + "\n")


def read_note(run: Path) -> RunNote:
    """The note of a run.

    Raises
    ------
    ConfigurationError
        There is none: it was kept, or is no recorded run.
    DataError
        It is damaged.
    """
    path = run / NOTE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["version"] > VERSION:
            raise DataError(f"{path}: written by a newer version of this program; upgrade pepperstone_adapter")
        specs = [spec_of(entry) for entry in raw["symbols"]]
        return RunNote(platform=str(raw["platform"]), source=str(raw["source"]), specs={s.name: s for s in specs})
    except FileNotFoundError:
        raise ConfigurationError(
            f"{run} holds no recording that is left to keep (no {NOTE}); runs that ended in order are kept already"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, InvalidOperation) as error:
        raise DataError(f"{path} is damaged ({error}); the run's files stay in {run}") from error


def clear_note(run: Path) -> None:
    (run / NOTE).unlink(missing_ok=True)


def run_lock(run: Path) -> FileLock:
    """Held by whoever writes or keeps the run; it ends with its process, however that ends."""
    return FileLock(run / LOCK, f"the recording {run.name}")


def unkept(catalog: Path) -> Iterator[Path]:
    """Folders of runs that ended without being kept, oldest first; those still running are not among them."""
    notes = sorted((catalog / LIVE).glob(f"*/{NOTE}"), key=lambda path: (path.stat().st_mtime_ns, path))
    for note in notes:
        try:
            with run_lock(note.parent):
                pass
        except ConfigurationError:
            continue
        yield note.parent
