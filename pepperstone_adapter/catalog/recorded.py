"""A recorded live run into the catalog: the quotes and bars the framework's writer left, as catalog data.

The framework's own conversion keeps its stamps and names: a bar at the moment it was handed on instead of its close, a
quote at the moment it was seen. A catalog has one time for a row, the broker's, or a recording could lie beside no
import and no download. So the run's files are read here and stored as a download is: checked, whole or not at all, with
the instrument, a record of where the rows came from, and the broker's own symbols for their costs.

A quote that the node published again (to a new subscriber; stamped by this machine, prices unchanged) is left out.
Bars the framework built itself (``-INTERNAL``) follow from the quotes and stay with the run, as mid prices do.

A run of weeks is kept in the memory of one of minutes: its files hold all series in the order they were seen, so they
are read once, batch by batch, each series goes to sorted runs in a scratch folder, and from there to the catalog.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from nautilus_trader.model import BarType, PriceType

from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.catalog import layout, volume
from pepperstone_adapter.catalog import specs as spec_store
from pepperstone_adapter.catalog.bad_rows import BadRows
from pepperstone_adapter.catalog.columns import Chunk
from pepperstone_adapter.catalog.download_rows import BAR_ROLES
from pepperstone_adapter.catalog.download_store import DownloadSeries
from pepperstone_adapter.catalog.ordering import Sorter
from pepperstone_adapter.catalog.staging import catalog_lock
from pepperstone_adapter.catalog.unkept import clear_note
from pepperstone_adapter.common.errors import PepperstoneError
from pepperstone_adapter.mapping.data import period_of
from pepperstone_adapter.mapping.instruments import DEFAULT_VENUE

FORMAT = "recording"
SIDES = {PriceType.BID: "BID", PriceType.ASK: "ASK"}
SCRATCH = "keep-"
RUN_ROWS = 50_000  # of one series in memory while a run's files are read


def keep(
    run: Path,
    catalog: Path,
    specs: Mapping[str, SymbolSpec],
    *,
    platform: str,
    source: str,
    now_ns: int,
    replace_stored: bool = False,
) -> Iterator[str]:
    """Store a finished run's quotes and bars; yields lines for a person. The run's note goes when nothing was refused.

    Parameters
    ----------
    run
        The folder of the run's files; they stay.
    specs
        The broker's symbols by name; series of others are not kept.
    source
        Whose prices these are, for the manifest.
    replace_stored
        Put the run's rows in place of stored ones that differ.
    """
    if not _files(run / "quotes") and not _files(run / "bars"):
        clear_note(run)
        yield f"recording: nothing was written for run {run.name}"
        return
    for left in run.glob(f"{SCRATCH}*"):  # of a process that was killed here
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=run) as scratch:
        found = _Recording(Path(scratch), catalog, specs, source)
        for kind in ("quotes", "bars"):
            for batch in _batches(run / kind):
                found.add(kind, batch)
        yield from _left_out(found.names, specs, run)
        known = {s.name: s for name in sorted(found.names) if (s := specs.get(_symbol(name))) is not None}
        if known:
            catalog.mkdir(parents=True, exist_ok=True)
            with catalog_lock(catalog):
                spec_store.remember(catalog, known.values(), platform=platform, source=source, now_ns=now_ns)
        stored, refused = 0, False
        for rows in found.series():
            try:
                stored += rows.series.store_chunks(rows.sorted(), None, BadRows(), replace_stored=replace_stored)
            except PepperstoneError as error:
                refused = True
                yield f"recording: {error}; the run's files stay in {run}"
    if not refused:
        clear_note(run)
    yield f"recorded {stored:,} quotes and bars into {catalog} (run {run.name})"


@dataclass(slots=True)
class _Recording:
    """What is found in a run's files, by series."""

    scratch: Path
    catalog: Path
    specs: Mapping[str, SymbolSpec]
    source: str
    names: set[str] = field(default_factory=set)
    _rows: dict[tuple[str, str], "_Rows | None"] = field(default_factory=dict)

    def add(self, kind: str, batch: pa.RecordBatch) -> None:
        """Share the rows of a batch out to their series."""
        names = pa.compute.unique(batch["identifier"]).to_pylist()
        self.names.update(names)
        for name in names:
            if (kind, name) not in self._rows:
                self._rows[kind, name] = self._begin(kind, name)
            rows = self._rows[kind, name]
            if rows is not None:
                rows.add(batch if len(names) == 1 else batch.filter(pa.compute.equal(batch["identifier"], name)))

    def _begin(self, kind: str, name: str) -> "_Rows | None":
        spec = self.specs.get(_symbol(name))
        series = None if spec is None else _series(kind, name, self.catalog, spec, self.source)
        if series is None:
            return None
        folder = self.scratch / str(len(self._rows))
        folder.mkdir()
        return _Rows(series, name, Sorter(folder, RUN_ROWS))

    def series(self) -> list["_Rows"]:
        return [rows for _, rows in sorted(self._rows.items()) if rows is not None]


@dataclass(slots=True)
class _Rows:
    """One series' rows on their way through the sort."""

    series: DownloadSeries
    identifier: str
    sorter: Sorter
    _pending: list[Chunk] = field(default_factory=list)
    _held: int = 0
    _last: tuple[int, int] = (0, 0)  # prices of the newest quote

    def add(self, batch: pa.RecordBatch) -> None:
        chunk = self._quotes(batch) if self.series.period is None else self._bars(batch)
        self._pending.append(chunk)
        self._held += len(chunk)
        if self._held >= RUN_ROWS:
            self._spill()

    def _spill(self) -> None:
        self.sorter.add(Chunk.join(self._pending))
        self._pending, self._held = [], 0

    def sorted(self) -> Iterator[Chunk]:
        """In order of the broker's time; of bars with one close the first that was seen."""
        if self._pending:
            self._spill()
        for chunk in self.sorter.sorted():
            again = np.zeros(len(chunk), np.bool_)
            if self.series.period is not None:
                again[1:] = chunk.ts_ns[1:] == chunk.ts_ns[:-1]
            yield chunk.take(~again)

    def _quotes(self, batch: pa.RecordBatch) -> Chunk:
        seen, stamped = layout.nanoseconds(batch["ts_init"]), layout.nanoseconds(batch["ts_event"])
        digits = self.series.spec.digits
        bid, ask = (layout.integers(batch[name], digits) for name in ("bid_price", "ask_price"))
        last, self._last = self._last, (int(bid[-1]), int(ask[-1]))
        same = (bid == np.concatenate(([last[0]], bid[:-1]))) & (ask == np.concatenate(([last[1]], ask[:-1])))
        return Chunk(stamped, {"bid": bid, "ask": ask}).take(~(same & (stamped == seen)))

    def _bars(self, batch: pa.RecordBatch) -> Chunk:
        values = {role: layout.integers(batch[role], self.series.spec.digits) for role in BAR_ROLES}
        values["ticks"] = volume.tick_volume(layout.integers(batch["volume"], 0), self.identifier)
        return Chunk(layout.nanoseconds(batch["ts_event"]), values)


def _left_out(names: Iterable[str], specs: Mapping[str, SymbolSpec], run: Path) -> Iterator[str]:
    """What stays with the run though a person may look for it in the catalog: a catalog has one venue."""
    instruments = {
        BarType.from_str(n).instrument_id.value if "-EXTERNAL" in n or "-INTERNAL" in n else n for n in names
    }
    strange = sorted({name.rpartition(".")[2] for name in instruments} - {DEFAULT_VENUE})
    if strange:
        yield (
            f"warning: recording: prices of venue {', '.join(strange)} do not go into the catalog, whose venue is "
            f"{DEFAULT_VENUE}; they stay in {run}"
        )
    unknown = sorted(s for name in instruments if (s := _symbol(name)) and s not in specs)
    if unknown:
        yield f"warning: recording: the broker's data of {', '.join(unknown)} are not known; its prices stay in {run}"


def _symbol(identifier: str) -> str:
    """``EURUSD`` of ``EURUSD.PEPPERSTONE`` or of a bar type on it; nothing for another venue's."""
    instrument = identifier.split(f".{DEFAULT_VENUE}", 1)
    return instrument[0] if len(instrument) == 2 and instrument[1][:1] in ("", "-") else ""


def _series(kind: str, identifier: str, catalog: Path, spec: SymbolSpec, source: str) -> DownloadSeries | None:
    period: BarPeriod | None = None
    side = "BID"
    if kind == "bars":
        bar_type = BarType.from_str(identifier)
        period, price = period_of(bar_type), bar_type.spec.price_type
        if period is None or price not in SIDES or not bar_type.is_externally_aggregated():
            return None
        side = SIDES[price]
    return DownloadSeries(catalog, spec, period, source, side=side, form=FORMAT)


def _files(folder: Path) -> list[Path]:
    """The framework writes to ``*.feather.partial`` and renames it when it closes the file, which a killed run never
    does."""
    return sorted([*folder.glob("*.feather"), *folder.glob("*.feather.partial")])


def _batches(folder: Path) -> Iterator[pa.RecordBatch]:
    """Rows as they were seen; a file that was cut short gives what is whole in it."""
    for file in _files(folder):
        try:
            with pa.ipc.open_stream(file) as stream:
                yield from (batch for batch in _until_cut(stream) if batch.num_rows)
        except (pa.ArrowInvalid, EOFError, OSError):
            continue  # not even its beginning


def _until_cut(stream: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches before the place where a killed process or a full disk ended the file."""
    while True:
        try:
            yield stream.read_next_batch()
        except (StopIteration, pa.ArrowInvalid, EOFError, OSError):
            return
