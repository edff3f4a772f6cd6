"""One file into the catalog: examined, read in blocks, checked, staged, compared with what is stored, published.

Memory is bounded by the size of a block, not of the file. Nothing is visible in the catalog before the last step, and
then all of it: bars or quotes of every series, the instrument, and the manifest's record.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from nautilus_trader.persistence import ParquetDataCatalog

from pepperstone_adapter import __version__
from pepperstone_adapter.catalog import formats, layout, manifest, plausible
from pepperstone_adapter.catalog.bad_rows import BadRows
from pepperstone_adapter.catalog.columns import crossed
from pepperstone_adapter.catalog.manifest import ImportRecord, SeriesRecord, iso
from pepperstone_adapter.catalog.merge import Merge, plan_merge, rows_between, stored_rows
from pepperstone_adapter.catalog.periods import bar_type_name, framework_period
from pepperstone_adapter.catalog.pipeline import FAR_NS, Pipeline
from pepperstone_adapter.catalog.request import ImportRequest, Reading, resolve
from pepperstone_adapter.catalog.source import OnProgress, sha256_of
from pepperstone_adapter.catalog.staging import Staging, writing
from pepperstone_adapter.catalog.writing import SeriesKey, SeriesWriter
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.common.versions import FRAMEWORK, installed
from pepperstone_adapter.mapping.instruments import DEFAULT_VENUE, Instrument, instrument_from_spec

NEAR_NS = 365 * 86_400_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOutcome:
    """What an import did. `stored` counts rows that are new; `unchanged` when the catalog held all of them already."""

    reading: Reading
    record: ImportRecord
    stored: int

    @property
    def unchanged(self) -> bool:
        return self.stored == 0

    @property
    def rows(self) -> int:
        return sum(s.rows for s in self.record.series)


def import_file(request: ImportRequest, on_progress: OnProgress | None = None) -> ImportOutcome:
    """Import one file; the catalog is created when it does not exist.

    Parameters
    ----------
    on_progress
        Called with bytes done and bytes in all, of the file as stored.

    Raises
    ------
    DataError
        The file, or rows in it, cannot be trusted; or stored rows contradict it; or the disk is full. The catalog is
        as it was.
    ConfigurationError
        Unknown symbol, zone or period; or another process is writing to the catalog.
    """
    layout.check_build()
    reading = resolve(request)
    try:
        with writing(request.catalog), ThreadPoolExecutor(1) as aside, Staging(request.catalog) as staging:
            sha256 = aside.submit(sha256_of, request.file)
            done = _done_before(request, reading, sha256)
            if done is not None:
                return ImportOutcome(reading=reading, record=done, stored=0)
            return _Import(request, reading, sha256, staging).run(on_progress)
    except OSError as error:
        raise DataError(
            f"{request.catalog}: cannot write ({error.strerror or error}); nothing was imported: make room or choose "
            "another --catalog"
        ) from error


def rules_of(request: ImportRequest, reading: Reading) -> dict[str, object]:
    """Everything that decides which rows come out of a file's bytes."""
    policy = reading.policy
    return {
        "zone": reading.clock.name if reading.clock else "offsets in the file",
        "period": reading.period.value if reading.period else "",
        "side": reading.side,
        "digits": reading.spec.digits,
        "stamp": reading.form.stamp,
        "skip_bad": policy.skip_bad,
        "allow": sorted(policy.allow),
        "sort": policy.sort,
        "duplicates": policy.duplicates,
        "round": policy.round_digits,
        "columns": request.column_map.model_dump(mode="json") if request.column_map else {},
    }


def _done_before(request: ImportRequest, reading: Reading, sha256: Future[str]) -> ImportRecord | None:
    """The record of an import of the same bytes by the same rules whose rows are all still stored."""
    rules = rules_of(request, reading)
    for _, record in manifest.records(request.catalog):
        by_same_rules = {k: v for k, v in record.rules.items() if k != "told_period"} == rules
        same = by_same_rules and record.symbol == reading.spec.name and record.bytes == reading.source.size
        if same and not any(s.replaced_by for s in record.series) and record.sha256 == sha256.result():
            folder = request.catalog / "data" / ("quotes" if reading.form.kind == formats.QUOTES else "bars")
            # A file that somebody removed, or that is damaged, is to be made up for.
            held = ((s, (folder / s.identifier).glob("*.parquet")) for s in record.series)
            if all(stored_rows(files, s.start_ns, s.end_ns) >= s.rows for s, files in held):
                return record
    return None


class _Import:
    """The steps of one import, with what they share."""

    def __init__(self, request: ImportRequest, reading: Reading, sha256: Future[str], staging: Staging) -> None:
        self.request, self.reading, self.sha256, self.staging = request, reading, sha256, staging
        self.catalog = request.catalog
        self.file = str(request.file)
        self.instrument: Instrument = instrument_from_spec(reading.spec)

    def run(self, on_progress: OnProgress | None) -> ImportOutcome:
        pipeline = Pipeline(self.reading, self.staging.folder, on_progress)
        writers = self._stage(pipeline)
        refusal = pipeline.refusal()
        if refusal is not None:
            raise refusal
        if not writers:
            raise DataError(f"{self.file} holds no rows that can be imported; export the data again")
        merges = []
        for writer in writers:
            self._check_sides(writer, pipeline.bad)
            merges.append(self._merge(writer))
        record = self._record(pipeline, writers, merges)
        self._publish(writers, merges, record)
        return ImportOutcome(reading=self.reading, record=record, stored=sum(m.stored for m in merges))

    def _stage(self, pipeline: Pipeline) -> list[SeriesWriter]:
        """Write all rows of the file to staged Parquet, one file a series."""
        writers: list[SeriesWriter] = []
        with ExitStack() as stack:
            for chunk in pipeline.chunks():
                if not writers:
                    self._check_price(chunk.values[self.reading.form.price_roles[0]], int(chunk.ts_ns[0]))
                    for i, key in enumerate(self._keys(pipeline)):
                        writer = SeriesWriter(key, self.staging.folder / f"series-{i}.parquet")
                        writers.append(stack.enter_context(writer))
                if pipeline.refusal() is None:  # once refused, the rest is only counted
                    for writer in writers:
                        writer.write(chunk)
        return writers

    def _keys(self, pipeline: Pipeline) -> Iterator[SeriesKey]:
        spec, form = self.reading.spec, self.reading.form
        instrument_id = f"{spec.name}.{DEFAULT_VENUE}"
        sizes = {"digits": spec.digits, "size_digits": int(self.instrument.size_precision)}
        if form.kind == formats.QUOTES:
            yield SeriesKey(
                kind="quotes", identifier=instrument_id, instrument_id=instrument_id, roles=("bid", "ask"), **sizes
            )
            return
        if pipeline.period is None:
            raise DataError(f"{self.file}: no bar period; give it with --period")
        for side in ("BID", "ASK") if form.two_sided else (self.reading.side,):
            prefix = f"{side.lower()}_" if form.two_sided else ""
            yield SeriesKey(
                kind="bars",
                identifier=bar_type_name(spec.name, DEFAULT_VENUE, pipeline.period, side),
                instrument_id=instrument_id,
                roles=tuple(prefix + name for name in formats.OHLC),
                **sizes,
            )

    def _check_price(self, points: np.ndarray, ts_ns: int) -> None:
        if "instrument" not in self.reading.policy.allow:
            plausible.check_price(self.reading.spec, points, self.file, self._stored_price(ts_ns))

    def _stored_price(self, ts_ns: int) -> int | None:
        """A stored price of the symbol within a year of `ts_ns`, in points."""
        symbol = f"{self.reading.spec.name}.{DEFAULT_VENUE}"
        files = [*(self.catalog / "data").glob(f"bars/{symbol}-*/*.parquet")]
        files += (self.catalog / "data" / "quotes" / symbol).glob("*.parquet")
        for file in files:
            first, last = layout.range_of(file)
            if first - NEAR_NS <= ts_ns <= last + NEAR_NS:
                nearest = min(max(ts_ns, first), last)
                table = next(rows_between([file], nearest, last), None)
                if table is not None and len(table):
                    digits = int(table.schema.metadata[b"price_precision"])
                    return int(layout.integers(table.column(0).slice(0, 1), digits)[0])
        return None

    def _check_sides(self, writer: SeriesWriter, bad: BadRows) -> None:
        """Bars of one side must not cross the stored bars of the other; those that may are counted."""
        if not self.reading.side:
            return
        name = writer.key.identifier
        other = name.replace("-BID-", "-ASK-") if self.reading.side == "BID" else name.replace("-ASK-", "-BID-")
        files = sorted((self.catalog / "data" / "bars" / other).glob("*.parquet"))
        four = ("open", "high", "low", "close")
        count, first = 0, 0
        for table in rows_between([writer.path], writer.first_ns, writer.last_ns) if files else ():
            ts = layout.nanoseconds(table["ts_init"])
            for stored in rows_between(files, int(ts[0]), int(ts[-1])):
                _, mine, theirs = np.intersect1d(ts, layout.nanoseconds(stored["ts_init"]), return_indices=True)
                ours = [layout.integers(table[n], writer.key.digits)[mine] for n in four]
                others = [layout.integers(stored[n], writer.key.digits)[theirs] for n in four]
                wrong = crossed(ours, others) if self.reading.side == "BID" else crossed(others, ours)
                if wrong.any():
                    first = first or int(ts[mine[np.argmax(wrong)]])
                    count += int(wrong.sum())
        if count and "crossed" in self.reading.policy.tolerated:
            bad.add("crossed", count, hint=f"first at {iso(first)}")
        elif count:
            raise DataError(
                f"{self.file}: {count:,} bars have bid above ask against the stored {other} (first at {iso(first)}); "
                "is --side right? --allow crossed imports them"
            )

    def _merge(self, writer: SeriesWriter) -> Merge:
        directory = self.catalog / "data" / writer.key.kind / writer.key.identifier
        records = manifest.records(self.catalog) if self.request.replace else ()
        same = [s for _, record in records if record.sha256 == self.sha256.result() for s in record.series]
        before = [
            (s.start_ns, s.end_ns + 1) for s in same if s.identifier == writer.key.identifier and not s.replaced_by
        ]
        return plan_merge(
            writer.path, writer.first_ns, writer.last_ns, directory, replace=self.request.replace, source=self.file,
            before=before,
        )  # fmt: skip

    def _record(self, pipeline: Pipeline, writers: list[SeriesWriter], merges: list[Merge]) -> ImportRecord:
        rules = rules_of(self.request, self.reading)
        if pipeline.period is not None:
            rules["told_period"] = framework_period(pipeline.period)
        series = tuple(
            SeriesRecord(
                identifier=w.key.identifier, start_ns=w.first_ns, end_ns=w.last_ns, start=iso(w.first_ns),
                end=iso(w.last_ns), rows=w.rows, stored=m.stored,
            )
            for w, m in zip(writers, merges, strict=True)
        )  # fmt: skip
        return ImportRecord(
            source=self.request.file.name,
            sha256=self.sha256.result(),
            bytes=self.reading.source.size,
            format=self.reading.form.name,
            encoding=self.reading.source.facts(),
            symbol=self.reading.spec.name,
            rules=rules,
            series=series,
            bad_rows=pipeline.bad.as_json(),
            notes=dict(pipeline.bad.notes),
            imported_at=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            importer=__version__,
            framework=f"{FRAMEWORK} {installed(FRAMEWORK)}",
        )

    def _publish(self, writers: list[SeriesWriter], merges: list[Merge], record: ImportRecord) -> None:
        moves: list[tuple[Path, Path]] = []
        removes: list[Path] = []
        for writer, merge in zip(writers, merges, strict=True):
            directory = self.catalog / "data" / writer.key.kind / writer.key.identifier
            moves += [(path, directory / name) for path, name in merge.pieces]
            removes += merge.removes
        if not moves:  # every row is stored already
            return
        moves += self._instrument_move()
        for path, old in manifest.records(self.catalog) if removes else ():
            changed = None
            for s in record.series:
                # Of the same bytes all rows are gone.
                span = (0, FAR_NS) if old.sha256 == record.sha256 else (s.start_ns, s.end_ns)
                changed = manifest.superseded(changed or old, s.identifier, *span, record.name) or changed
            if changed is not None:
                moves.append((self._staged_text(f"old-{path.name}", changed.as_json()), path))
        moves.append((self._staged_text(record.name, record.as_json()), self.catalog / manifest.FOLDER / record.name))
        self.staging.commit(moves, removes)

    def _staged_text(self, name: str, text: str) -> Path:
        path = self.staging.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def _instrument_move(self) -> list[tuple[Path, Path]]:
        """The symbol's definition as the framework itself writes it, beside the data it explains."""
        root = self.staging.folder / "instrument"
        root.mkdir()
        ParquetDataCatalog(str(root.resolve())).write_instruments([self.instrument])
        return [(file, self.catalog / file.relative_to(root)) for file in root.rglob("*.parquet")]
