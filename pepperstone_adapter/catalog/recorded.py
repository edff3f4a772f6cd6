"""A recorded live run into the catalog: the quotes and bars the framework's writer left, as catalog data.

The framework's own conversion keeps its stamps and names: a bar at the moment it was handed on instead of its close, a
quote at the moment it was seen. A catalog has one time for a row, the broker's, or a recording could lie beside no
import and no download. So the run's files are read here and stored as a download is: checked, whole or not at all, with
the instrument, a record of where the rows came from, and the broker's own symbols for their costs.

A quote that the node published again (to a new subscriber; stamped by this machine, prices unchanged) is left out.
Bars the framework built itself (``-INTERNAL``) follow from the quotes and stay with the run, as mid prices do.
"""

from collections.abc import Iterator, Mapping
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
from pepperstone_adapter.common.errors import PepperstoneError
from pepperstone_adapter.mapping.data import period_of
from pepperstone_adapter.mapping.instruments import DEFAULT_VENUE

FORMAT = "recording"
SIDES = {PriceType.BID: "BID", PriceType.ASK: "ASK"}


def keep(
    run: Path, catalog: Path, specs: Mapping[str, SymbolSpec], *, platform: str, source: str, now_ns: int
) -> Iterator[str]:
    """Store a finished run's quotes and bars; yields lines for a person.

    Parameters
    ----------
    run
        The folder of the run's files; they stay.
    specs
        The broker's symbols by name; series of others are not kept.
    source
        Whose prices these are, for the manifest.
    """
    if not run.is_dir():
        yield f"recording: nothing was written for run {run.name}"
        return
    found = [("quotes", name, table) for name, table in _tables(run / "quotes")]
    found += [("bars", name, table) for name, table in _tables(run / "bars")]
    known = {s.name: s for _, name, _ in found if (s := specs.get(_symbol(name))) is not None}
    if known:
        catalog.mkdir(parents=True, exist_ok=True)
        with catalog_lock(catalog):
            spec_store.remember(catalog, known.values(), platform=platform, source=source, now_ns=now_ns)
    stored = 0
    for kind, name, table in found:
        spec = known.get(_symbol(name))
        series = None if spec is None else _series(kind, name, catalog, spec, source)
        if series is None:
            continue
        chunk = _quotes(table, series) if kind == "quotes" else _bars(table, series, name)
        try:
            stored += series.store(chunk, (int(chunk.ts_ns[0]), int(chunk.ts_ns[-1]) + 1), BadRows())
        except PepperstoneError as error:
            yield f"recording: {error}; the run's files stay in {run}"
    yield f"recorded {stored:,} quotes and bars into {catalog} (run {run.name})"


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
    """Rows by series; a file that was cut short gives what is whole in it."""
    batches: list[pa.RecordBatch] = []
    for file in sorted(folder.glob("*.feather")):
        try:
            with pa.ipc.open_stream(file) as stream:
                batches += list(stream)
        except (pa.ArrowInvalid, EOFError, OSError):
            continue
    if not batches:
        return
    table = pa.Table.from_batches([b.select([n for n in b.schema.names if "metadata" not in n]) for b in batches])
    for identifier in sorted(set(table["identifier"].to_pylist())):
        yield identifier, table.filter(pa.compute.equal(table["identifier"], identifier)).combine_chunks()


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
