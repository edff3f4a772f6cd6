"""One piece of a download into the catalog, whole or not at all: rows, instrument, and what has been read so far.

The record of a download (one for each series and source, beside those of imports) holds the stretches of time that
were asked for and answered. It is replaced in the same commit that adds the rows, so after a kill at any point it says
no more and no less than what is stored.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from nautilus_trader.persistence import ParquetDataCatalog

from pepperstone_adapter import __version__
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.catalog import coverage, layout, manifest
from pepperstone_adapter.catalog.bad_rows import BadRows
from pepperstone_adapter.catalog.columns import Chunk
from pepperstone_adapter.catalog.coverage import Interval
from pepperstone_adapter.catalog.download_rows import BAR_ROLES, QUOTE_ROLES
from pepperstone_adapter.catalog.manifest import ImportRecord, SeriesRecord, iso
from pepperstone_adapter.catalog.merge import Merge, plan_merge, rows_between
from pepperstone_adapter.catalog.periods import bar_type_name, longest_ns
from pepperstone_adapter.catalog.staging import Staging, writing
from pepperstone_adapter.catalog.writing import SeriesKey, SeriesWriter
from pepperstone_adapter.common.versions import FRAMEWORK, installed
from pepperstone_adapter.mapping.instruments import DEFAULT_VENUE, instrument_from_spec

FORMAT = "download"
JOINED_ROWS = 250_000  # files of neighbouring pieces are put together up to this size


class Written(NamedTuple):
    """Rows of one stretch: how many, and the times of the first and the last."""

    rows: int
    first_ns: int
    last_ns: int


@dataclass(slots=True)
class DownloadSeries:
    """One series of one source on its way into the catalog at `catalog`.

    Attributes
    ----------
    period
        None for ticks.
    source
        Platform, environment, account (masked) and broker: whose prices these are.
    side
        ``BID`` or ``ASK``, of bars.
    form
        What the record calls the way they came: a download, or a recorded run.
    """

    catalog: Path
    spec: SymbolSpec
    period: BarPeriod | None
    source: str
    side: str = "BID"
    form: str = FORMAT
    _record: Path | None = field(default=None, init=False)

    @property
    def identifier(self) -> str:
        if self.period is None:
            return f"{self.spec.name}.{DEFAULT_VENUE}"
        return bar_type_name(self.spec.name, DEFAULT_VENUE, self.period, self.side)

    @property
    def kind(self) -> str:
        return "quotes" if self.period is None else "bars"

    @property
    def directory(self) -> Path:
        return self.catalog / "data" / self.kind / self.identifier

    def covered(self) -> tuple[Interval, ...]:
        """What was read by earlier runs and is still stored."""
        found = self._find()
        return () if found is None else coverage.without(found[1].rules["read_ns"], self._lost(found[1]))

    def lost(self) -> tuple[Interval, ...]:
        """What was read by earlier runs and lay in files that are gone."""
        found = self._find()
        return () if found is None else coverage.without(found[1].rules["read_ns"], self.covered())

    def begins_ns(self) -> int | None:
        """Where the broker's history was found to begin, if an earlier run looked for it."""
        found = self._find()
        begins: int | None = None if found is None else found[1].rules.get("history_begins_ns")
        return begins

    def store(
        self,
        chunk: Chunk,
        read: Interval,
        bad: BadRows,
        *,
        begins_ns: int | None = None,
        replace_stored: bool = False,
    ) -> int:
        """Add the rows of one stretch and mark it as read. Returns and raises as `store_chunks`."""
        return self.store_chunks([chunk], read, bad, begins_ns=begins_ns, replace_stored=replace_stored)

    def store_chunks(
        self,
        chunks: Iterable[Chunk],
        read: Interval | None,
        bad: BadRows,
        *,
        begins_ns: int | None = None,
        replace_stored: bool = False,
    ) -> int:
        """Add rows that come in chunks, in order of time; a stretch of any length in the same memory.

        Parameters
        ----------
        read
            What was asked for and answered; None = from the first row to the last.

        Returns
        -------
        int
            Rows that are new in the catalog.

        Raises
        ------
        DataError
            Stored rows differ from these and `replace_stored` is off; nothing has changed.
        ConfigurationError
            Another process is writing to the catalog.
        """
        with writing(self.catalog), Staging(self.catalog) as staging:
            old = self._find()
            written, merge = self._merge(staging, chunks, replace_stored=replace_stored)
            read = read or (written.first_ns, written.last_ns + 1)
            done = coverage.union(self.covered(), [read])
            if not merge.removes:
                merge = self._joined(staging, merge, coverage.around(done, read[0]))
            spans = {"read_ns": done, "stored_ns": self._spans(merge)}
            record = self._updated(old[1] if old else None, written, merge.stored, spans, bad, begins_ns)
            moves = [(path, self.directory / name) for path, name in merge.pieces]
            if moves:
                moves += self._instrument(staging)
            moves += self._superseded(staging, record, written) if replace_stored and merge.stored else []
            place = old[0] if old else self.catalog / manifest.FOLDER / record.name
            moves.append((_text(staging, record.as_json()), place))
            staging.commit(moves, merge.removes)
            self._record = place
        return merge.stored

    # -- rows -----------------------------------------------------------------------------------------------------

    def _merge(self, staging: Staging, chunks: Iterable[Chunk], *, replace_stored: bool) -> tuple[Written, Merge]:
        path = staging.folder / "rows.parquet"
        with SeriesWriter(self._key(), path) as writer:
            for chunk in chunks:
                writer.write(chunk)
        written = Written(writer.rows, writer.first_ns, writer.last_ns)
        if not written.rows:
            return written, Merge(pieces=(), removes=(), stored=0)
        source = f"{self.identifier} from {self.source}"
        merge = plan_merge(
            path, written.first_ns, written.last_ns, self.directory, replace=replace_stored, source=source
        )
        return written, merge

    def _key(self) -> SeriesKey:
        return SeriesKey(
            kind=self.kind,
            identifier=self.identifier,
            instrument_id=f"{self.spec.name}.{DEFAULT_VENUE}",
            digits=self.spec.digits,
            size_digits=int(instrument_from_spec(self.spec).size_precision),
            roles=QUOTE_ROLES if self.period is None else BAR_ROLES,
        )

    def _joined(self, staging: Staging, merge: Merge, read: Interval) -> Merge:
        """One file for the new rows and the stored file just before them, while both are small and all in between has
        been read: a download of many pieces must not leave as many files."""
        if len(merge.pieces) != 1:
            return merge
        new, name = merge.pieces[0]
        first, last = layout.file_range(name)
        before = [(*layout.range_of(f), f) for f in self.directory.glob("*.parquet")]
        neighbour = max((entry for entry in before if entry[1] < first), default=None)
        # A bar's stamp is its close: one that opened in time is stamped later than that.
        if neighbour is None or neighbour[0] < read[0] + (self.period is not None):
            return merge
        files = [neighbour[2], new]
        tables = list(rows_between(files[:1], *neighbour[:2]))
        if sum(map(len, tables)) + merge.stored > JOINED_ROWS:
            return merge
        tables += rows_between(files[1:], first, last)
        if any(table.schema.metadata != tables[-1].schema.metadata for table in tables):  # the symbol's digits changed
            return merge
        table = pa.concat_tables(tables).combine_chunks()
        path = staging.folder / "joined.parquet"
        with layout.writer(path, table.schema) as target:
            target.write_table(table, row_group_size=layout.ROW_GROUP_ROWS)
        pieces = ((path, layout.file_name(neighbour[0], last)),)
        return Merge(pieces=pieces, removes=(neighbour[2],), stored=merge.stored)

    def _instrument(self, staging: Staging) -> list[tuple[Path, Path]]:
        root = staging.folder / "instrument"
        root.mkdir()
        ParquetDataCatalog(str(root.resolve())).write_instruments([instrument_from_spec(self.spec)])
        return [(file, self.catalog / file.relative_to(root)) for file in root.rglob("*.parquet")]

    # -- the record -----------------------------------------------------------------------------------------------

    def _find(self) -> tuple[Path, ImportRecord] | None:
        for path, record in manifest.records(self.catalog, self._record):
            mine = record.format == self.form and record.source == self.source
            if mine and record.rules.get("series") == self.identifier:
                self._record = path
                return path, record
        return None

    def _spans(self, merge: Merge | None = None) -> tuple[Interval, ...]:
        """First and last row of each file of the series (now, or after a merge), as half-open intervals."""
        files = [f for f in self.directory.glob("*.parquet") if merge is None or f not in merge.removes]
        ranges = [layout.range_of(f) for f in files]
        ranges += [] if merge is None else [layout.file_range(name) for _, name in merge.pieces]
        return coverage.union((first, last + 1) for first, last in ranges)

    def _lost(self, record: ImportRecord) -> tuple[Interval, ...]:
        """Where rows lay, by the record, that no file spans any more; of bars their openings, with a bar at each end."""
        noted = record.rules.get("stored_ns", [[s.start_ns, s.end_ns + 1] for s in record.series])
        before_ns = 0 if self.period is None else longest_ns(self.period)
        return coverage.union((a - before_ns, b) for a, b in coverage.without(noted, self._spans()))

    def _updated(
        self,
        old: ImportRecord | None,
        written: Written,
        stored: int,
        spans: dict[str, tuple[Interval, ...]],
        bad: BadRows,
        begins_ns: int | None,
    ) -> ImportRecord:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if old is None:
            old = ImportRecord(
                source=self.source, sha256="", bytes=0, format=self.form, encoding="", symbol=self.spec.name,
                rules={"series": self.identifier}, series=(), imported_at=now,
            )  # fmt: skip
        rules: dict[str, Any] = {**old.rules, **{name: [list(i) for i in span] for name, span in spans.items()}}
        if begins_ns is not None:
            rules["history_begins_ns"] = begins_ns
            rules["history_begins"] = iso(begins_ns)
        return replace(
            old,
            rules=rules,
            series=self._series(old, written, stored),
            bad_rows=_added(old.bad_rows, bad.as_json()),
            notes={n: old.notes.get(n, 0) + bad.notes.get(n, 0) for n in {**old.notes, **bad.notes}},
            importer=__version__,
            framework=f"{FRAMEWORK} {installed(FRAMEWORK)}",
        )

    def _series(self, old: ImportRecord, written: Written, stored: int) -> tuple[SeriesRecord, ...]:
        rows, first, last = written
        if not rows:
            return old.series
        if old.series:
            was = old.series[0]
            first, last = min(first, was.start_ns), max(last, was.end_ns)
            rows, stored = rows + was.rows, stored + was.stored
        return (
            SeriesRecord(
                identifier=self.identifier, start_ns=first, end_ns=last, start=iso(first), end=iso(last), rows=rows,
                stored=stored,
            ),
        )  # fmt: skip

    def _superseded(self, staging: Staging, record: ImportRecord, written: Written) -> list[tuple[Path, Path]]:
        """Records of other sources whose rows these have taken the place of."""
        moves = []
        _, first, last = written
        for path, other in manifest.records(self.catalog):
            if path == self._record:
                continue
            changed = manifest.superseded(other, self.identifier, first, last, record.name)
            if changed is not None:
                moves.append((_text(staging, changed.as_json()), path))
        return moves


def _added(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    out = dict(old)
    for kind, entry in new.items():
        out[kind] = (
            {**entry, "rows": entry["rows"] + out[kind]["rows"], "first_text": out[kind]["first_text"]}
            if kind in out
            else entry
        )
    return out


def _text(staging: Staging, text: str) -> Path:
    path = staging.folder / f"{secrets.token_hex(4)}.json"
    path.write_text(text, encoding="utf-8")
    return path
