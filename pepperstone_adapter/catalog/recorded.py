"""A recorded live run into the catalog: the quotes and bars the framework's writer left, as catalog data.

The framework's own conversion keeps its stamps and names: a bar at the moment it was handed on instead of its close, a
quote at the moment it was seen. A catalog has one time for a row, the broker's, or a recording could lie beside no
import and no download. So the run's files are read here and stored as a download is: checked, whole or not at all, with
the instrument, a record of where the rows came from, and the broker's own symbols for their costs.

A quote that the node published again (to a new subscriber; stamped by this machine, prices unchanged) is left out.
Bars the framework built itself (``-INTERNAL``) follow from the quotes and stay with the run, as mid prices do.
"""

from collections.abc import Iterable, Iterator, Mapping
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
from pepperstone_adapter.catalog.staging import catalog_lock
from pepperstone_adapter.catalog.unkept import clear_note
from pepperstone_adapter.common.errors import PepperstoneError
from pepperstone_adapter.mapping.data import period_of
from pepperstone_adapter.mapping.instruments import DEFAULT_VENUE

FORMAT = "recording"
SIDES = {PriceType.BID: "BID", PriceType.ASK: "ASK"}


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
    found = [("quotes", name, table) for name, table in _tables(run / "quotes")]
    found += [("bars", name, table) for name, table in _tables(run / "bars")]
    if not found:
        clear_note(run)
        yield f"recording: nothing was written for run {run.name}"
        return
    yield from _left_out((name for _, name, _ in found), specs, run)
    known = {s.name: s for _, name, _ in found if (s := specs.get(_symbol(name))) is not None}
    if known:
        catalog.mkdir(parents=True, exist_ok=True)
        with catalog_lock(catalog):
            spec_store.remember(catalog, known.values(), platform=platform, source=source, now_ns=now_ns)
    stored, refused = 0, False
    for kind, name, table in found:
        spec = known.get(_symbol(name))
        series = None if spec is None else _series(kind, name, catalog, spec, source)
        if series is None:
            continue
        chunk = _quotes(table, series) if kind == "quotes" else _bars(table, series, name)
        try:
            span = (int(chunk.ts_ns[0]), int(chunk.ts_ns[-1]) + 1)
            stored += series.store(chunk, span, BadRows(), replace_stored=replace_stored)
        except PepperstoneError as error:
            refused = True
            yield f"recording: {error}; the run's files stay in {run}"
    if not refused:
        clear_note(run)
    yield f"recorded {stored:,} quotes and bars into {catalog} (run {run.name})"


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


def _tables(folder: Path) -> Iterator[tuple[str, pa.Table]]:
    """Rows by series; a file that was cut short gives what is whole in it.

    The framework writes to ``*.feather.partial`` and renames it when it closes the file, which a killed run never does.
    """
    batches: list[pa.RecordBatch] = []
    for file in sorted([*folder.glob("*.feather"), *folder.glob("*.feather.partial")]):
        try:
            with pa.ipc.open_stream(file) as stream:
                batches.extend(_until_cut(stream))
        except (pa.ArrowInvalid, EOFError, OSError):
            continue  # not even its beginning
    if not batches:
        return
    table = pa.Table.from_batches([b.select([n for n in b.schema.names if "metadata" not in n]) for b in batches])
    for identifier in sorted(set(table["identifier"].to_pylist())):
        yield identifier, table.filter(pa.compute.equal(table["identifier"], identifier)).combine_chunks()


def _until_cut(stream: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches before the place where a killed process or a full disk ended the file."""
    while True:
        try:
            yield stream.read_next_batch()
        except (StopIteration, pa.ArrowInvalid, EOFError, OSError):
            return


def _quotes(table: pa.Table, series: DownloadSeries) -> Chunk:
    seen, stamped = layout.nanoseconds(table["ts_init"]), layout.nanoseconds(table["ts_event"])
    bid, ask = (layout.integers(table[name], series.spec.digits) for name in ("bid_price", "ask_price"))
    again = np.zeros(len(bid), np.bool_)
    again[1:] = (bid[1:] == bid[:-1]) & (ask[1:] == ask[:-1]) & (stamped[1:] == seen[1:])
    chunk = Chunk(stamped, {"bid": bid, "ask": ask}).take(~again)
    return chunk.take(np.argsort(chunk.ts_ns, kind="stable"))


def _bars(table: pa.Table, series: DownloadSeries, identifier: str) -> Chunk:
    values = {role: layout.integers(table[role], series.spec.digits) for role in BAR_ROLES}
    values["ticks"] = volume.tick_volume(layout.integers(table["volume"], 0), identifier)
    closes, first = np.unique(layout.nanoseconds(table["ts_event"]), return_index=True)
    return Chunk(closes, {name: column[first] for name, column in values.items()})
