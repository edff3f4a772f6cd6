"""Where every stored row came from: one JSON record an import, in `imports/` of the catalog."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.common.files import file_name_of

FOLDER = "imports"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRecord:
    """Rows of one series: in the file (`rows`, from `start` to `end`, ISO UTC) and newly stored by it (`stored`)."""

    identifier: str
    start_ns: int
    end_ns: int
    start: str
    end: str
    rows: int
    stored: int
    replaced_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRecord:
    """One import. `rules` is everything that decides what rows come out of the bytes."""

    source: str
    sha256: str
    bytes: int
    format: str
    encoding: str
    symbol: str
    rules: dict[str, Any]
    series: tuple[SeriesRecord, ...]
    bad_rows: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    imported_at: str = ""
    importer: str = ""
    framework: str = ""
    version: int = VERSION

    @property
    def name(self) -> str:
        return f"{self.imported_at.replace(':', '-')}-{file_name_of(self.source)[:100]}.json"

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def iso(ns: int) -> str:
    """UTC nanoseconds as ISO 8601, with as many digits of the second as needed."""
    seconds, rest = divmod(ns, 1_000_000_000)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def records(catalog: Path, only: Path | None = None) -> Iterator[tuple[Path, ImportRecord]]:
    """All records of a catalog, oldest first; just one file of them with `only`.

    Raises
    ------
    DataError
        A damaged record, or one written by a newer version of this program.
    """
    for path in sorted((catalog / FOLDER).glob("*.json")) if only is None else [only]:
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            version = raw["version"]
            if version > VERSION:
                raise DataError(
                    f"{path}: written by a newer importer (manifest version {version}, this program knows {VERSION}); "
                    "upgrade pepperstone_adapter"
                )
            raw["series"] = tuple(SeriesRecord(**s) for s in raw["series"])
            yield path, ImportRecord(**raw)
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path} is a damaged import record ({error}); delete it and import its source again"
            ) from error


def superseded(record: ImportRecord, identifier: str, start_ns: int, end_ns: int, by: str) -> ImportRecord | None:
    """The record with those of its series marked that a replacement of a range touches; None when it touches none."""

    def touched(s: SeriesRecord) -> bool:
        return s.identifier == identifier and s.start_ns <= end_ns and s.end_ns >= start_ns and not s.replaced_by

    if not any(touched(s) for s in record.series):
        return None
    return replace(record, series=tuple(replace(s, replaced_by=by) if touched(s) else s for s in record.series))
