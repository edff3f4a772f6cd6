"""Reading the catalog, and building one from the bundled samples.

Two ways out of it, both from the same Parquet files:

* arrays, for a runner that adds spreads or merges sides: `CatalogStore.bars`, `.quotes` and, in bounded pieces,
  `.bar_chunks`, `.quote_chunks`. Prices are integer points (``10**-digits`` of the symbol), times UTC nanoseconds.
* framework objects: `CatalogStore.framework_bars`, `.framework_quotes` (the framework's own reader, the fastest there
  is: a million bars in 0.4 s) and `.instrument`; `catalog.rows` makes them of arrays of your own.

Rules every series keeps: a bar's `ts_event` and `ts_init` are its CLOSE (a strategy sees a bar when it is complete, as
in live trading; exports stamp the opening, the importers add one period); ascending, no two bars of a series at one
time; volume as `catalog.volume` explains. Instrument ids are ``<SYMBOL>.PEPPERSTONE``, bar types
``<SYMBOL>.PEPPERSTONE-1-HOUR-BID-EXTERNAL`` (and ``-ASK-``).

Signatures
----------
build_samples(dest: Path) -> CatalogStore
    Build a catalog from the bundled samples at `dest`; does nothing when it is complete already.
CatalogStore(path: Path)
    Raises DataError when there is no catalog at `path`.
    .series() -> list[Series]                          what is stored: kind, identifier, symbol, range, rows, bytes
    .bar_series(symbol, period, side="BID") -> Series | None
    .instrument(symbol), .instruments()                framework instruments as stored
    .bars(symbol, period, side="BID", start_ns=None, end_ns=None) -> BarColumns
    .bar_chunks(symbol, period, side="BID", start_ns=None, end_ns=None, rows=250_000) -> Iterator[BarColumns]
    .quotes(symbol, start_ns=None, end_ns=None) -> QuoteColumns
    .quote_chunks(symbol, start_ns=None, end_ns=None, rows=250_000) -> Iterator[QuoteColumns]
    .framework_bars(symbol, period, side="BID", start_ns=None, end_ns=None) -> list[Bar]
    .framework_quotes(symbol, start_ns=None, end_ns=None) -> list[QuoteTick]
    .count(series, start_ns, end_ns) -> int             rows of a range
    .digest(series, start_ns=None, end_ns=None) -> str sha256 over the rows, for `hashes.data` of a result

`start_ns` is inclusive, `end_ns` exclusive; None means open. `period` is the framework's form: ``1-MINUTE``, ``1-HOUR``
(`catalog.periods` knows ``M1`` and ``H1`` as well).
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from nautilus_trader.model import Bar, QuoteTick
from nautilus_trader.persistence import ParquetDataCatalog

from pepperstone_adapter.catalog import layout, volume
from pepperstone_adapter.catalog.columns import Bools, Int64s
from pepperstone_adapter.catalog.merge import stored_rows
from pepperstone_adapter.catalog.rows import BarColumns, QuoteColumns, join_bars, join_quotes
from pepperstone_adapter.catalog.staging import recover_if_needed
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.mapping.instruments import DEFAULT_VENUE

CHUNK_ROWS = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One stored series.

    Attributes
    ----------
    kind
        ``bars`` or ``quotes``.
    identifier
        Bar type or instrument id: the name of the series' directory.
    period, side
        ``1-HOUR`` and ``BID`` | ``ASK`` for bars; empty for quotes.
    digits, size_digits
        Decimals of prices and of sizes: the most of any of the files.
    start_ns, end_ns
        First and last `ts_init`, both inclusive.
    """

    kind: str
    identifier: str
    symbol: str
    period: str
    side: str
    digits: int
    size_digits: int
    start_ns: int
    end_ns: int
    rows: int
    bytes: int
    files: tuple[Path, ...]


class CatalogStore:
    """The market data stored at `path` (the framework's catalog root; its files live in ``path/data``).

    Raises
    ------
    DataError
        `path` holds no catalog.
    """

    def __init__(self, path: Path) -> None:
        if not (path / "data").is_dir():
            raise DataError(f"no catalog at {path}; import data first: pepperstone data import FILE --catalog {path}")
        recover_if_needed(path)
        self.path = path
        self._framework = ParquetDataCatalog(str(path.resolve()))

    def series(self) -> list[Series]:
        """Everything stored, by kind and identifier."""
        out = []
        for kind in ("bars", "quotes"):
            root = self.path / "data" / kind
            if root.is_dir():
                out += [s for d in sorted(root.iterdir()) if d.is_dir() and (s := _read_series(kind, d))]
        return out

    def bar_series(self, symbol: str, period: str, side: str = "BID") -> Series | None:
        return _read_series("bars", self._bar_directory(symbol, period, side))

    def quote_series(self, symbol: str) -> Series | None:
        return _read_series("quotes", self.path / "data" / "quotes" / f"{symbol}.{DEFAULT_VENUE}")

    def instruments(self) -> list[Any]:
        return list(self._framework.instruments())

    def instrument(self, symbol: str) -> Any:
        """The framework's instrument as stored; DataError when there is none."""
        found = self._framework.instruments([f"{symbol}.{DEFAULT_VENUE}"])
        if not found:
            raise DataError(
                f"no instrument {symbol}.{DEFAULT_VENUE} in the catalog at {self.path}; import its data first"
            )
        return found[-1]

    def bars(
        self, symbol: str, period: str, side: str = "BID", start_ns: int | None = None, end_ns: int | None = None
    ) -> BarColumns:
        """All bars of a range at once."""
        parts = list(self.bar_chunks(symbol, period, side, start_ns, end_ns, rows=10_000_000))
        return join_bars(parts)

    def bar_chunks(
        self,
        symbol: str,
        period: str,
        side: str = "BID",
        start_ns: int | None = None,
        end_ns: int | None = None,
        rows: int = CHUNK_ROWS,
        *,
        finer: bool = False,
    ) -> Iterator[BarColumns]:
        """Bars of a range in pieces of about `rows`, with memory for one piece; `finer` looks for digits too many."""
        series = self._require(self.bar_series(symbol, period, side), f"{period} {side} bars of {symbol}")
        for batch in _batches(series, start_ns, end_ns, rows):
            units = layout.integers(batch["volume"], series.size_digits) // 10**series.size_digits
            prices = {n: layout.integers(batch[n], series.digits) for n in ("open", "high", "low", "close")}
            yield BarColumns(
                ts_ns=layout.nanoseconds(batch["ts_init"]),
                ticks=volume.tick_volume(units, series.identifier),
                finer=_finer(batch, series, prices) if finer else None,
                **prices,
            )

    def quotes(self, symbol: str, start_ns: int | None = None, end_ns: int | None = None) -> QuoteColumns:
        """All quotes of a range at once."""
        parts = list(self.quote_chunks(symbol, start_ns, end_ns, rows=10_000_000))
        return join_quotes(parts)

    def quote_chunks(
        self,
        symbol: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        rows: int = CHUNK_ROWS,
        *,
        finer: bool = False,
    ) -> Iterator[QuoteColumns]:
        """Quotes of a range in pieces of about `rows`, with memory for one piece; `finer` looks for digits too many."""
        series = self._require(self.quote_series(symbol), f"quotes of {symbol}")
        for batch in _batches(series, start_ns, end_ns, rows):
            prices = {n: layout.integers(batch[n], series.digits) for n in ("bid_price", "ask_price")}
            yield QuoteColumns(
                ts_ns=layout.nanoseconds(batch["ts_init"]),
                bid=prices["bid_price"],
                ask=prices["ask_price"],
                finer=_finer(batch, series, prices) if finer else None,
            )

    def framework_bars(
        self, symbol: str, period: str, side: str = "BID", start_ns: int | None = None, end_ns: int | None = None
    ) -> list[Bar]:
        """Bars as the framework's objects, by its own reader."""
        series = self._require(self.bar_series(symbol, period, side), f"{period} {side} bars of {symbol}")
        return self._framework.query_bars([series.identifier], start_ns, None if end_ns is None else end_ns - 1)

    def framework_quotes(self, symbol: str, start_ns: int | None = None, end_ns: int | None = None) -> list[QuoteTick]:
        """Quotes as the framework's objects, by its own reader."""
        series = self._require(self.quote_series(symbol), f"quotes of {symbol}")
        return self._framework.query_quote_ticks([series.identifier], start_ns, None if end_ns is None else end_ns - 1)

    def count(self, series: Series, start_ns: int, end_ns: int) -> int:
        """Rows of a range; of most files their number is enough."""
        return stored_rows(series.files, start_ns, end_ns - 1)

    def digest(self, series: Series, start_ns: int | None = None, end_ns: int | None = None) -> str:
        """sha256 over identifier, digits and the rows of a range: equal rows give equal digests, however filed."""
        sha = hashlib.sha256(f"{series.identifier} {series.digits} {series.size_digits}".encode())
        for batch in _batches(series, start_ns, end_ns, CHUNK_ROWS):
            for name in batch.schema.names:
                for chunk in batch[name].chunks:
                    width = chunk.type.bit_width // 8
                    start = chunk.offset * width
                    sha.update(memoryview(chunk.buffers()[1])[start : start + len(chunk) * width])
        return sha.hexdigest()

    def _bar_directory(self, symbol: str, period: str, side: str) -> Path:
        return self.path / "data" / "bars" / f"{symbol}.{DEFAULT_VENUE}-{period}-{side}-EXTERNAL"

    def _require(self, series: Series | None, what: str) -> Series:
        if series is None:
            stored = ", ".join(s.identifier for s in self.series()) or "nothing"
            raise DataError(f"no {what} in the catalog at {self.path}; stored: {stored}")
        return series


def build_samples(dest: Path) -> CatalogStore:
    """Build a catalog from the bundled samples at `dest`; does nothing when it is complete already."""
    from pepperstone_adapter.catalog.samples import build

    build(dest)
    return CatalogStore(dest)


def _read_series(kind: str, directory: Path) -> Series | None:
    files = sorted(directory.glob("*.parquet")) if directory.is_dir() else []
    if not files:
        return None
    rows = digits = size_digits = 0
    for file in files:
        footer = layout.open_parquet(file)
        layout.check_schema(file, footer.schema_arrow)
        rows += footer.metadata.num_rows
        # A broker may give a symbol other digits; a row of the finest file must not lose one.
        said = footer.schema_arrow.metadata
        digits = max(digits, int(said[b"price_precision"]))
        size_digits = max(size_digits, int(said[b"size_precision"]))
    ranges = [layout.range_of(f) for f in files]
    identifier = directory.name
    instrument_id, period, side = identifier, "", ""
    if kind == "bars":
        instrument_id, step, unit, side, _source = identifier.rsplit("-", 4)
        period = f"{step}-{unit}"
    return Series(
        kind=kind,
        identifier=identifier,
        symbol=instrument_id.removesuffix(f".{DEFAULT_VENUE}"),
        period=period,
        side=side,
        digits=digits,
        size_digits=size_digits,
        start_ns=ranges[0][0],
        end_ns=max(last for _, last in ranges),
        rows=rows,
        bytes=sum(f.stat().st_size for f in files),
        files=tuple(files),
    )


def _finer(batch: pa.Table, series: Series, prices: Mapping[str, Int64s]) -> Bools:
    """Rows of which a price has more digits than the files say."""
    masks = [layout.finer(batch[name], series.digits, points) for name, points in prices.items()]
    return np.asarray(np.logical_or.reduce(masks))


def _batches(series: Series, start_ns: int | None, end_ns: int | None, rows: int) -> Iterator[pa.Table]:
    """Tables of about `rows` with the rows of ``[start_ns, end_ns)``; opens only the row groups that can hold some."""
    low = series.start_ns if start_ns is None else start_ns
    high = series.end_ns + 1 if end_ns is None else end_ns
    pending: list[pa.Table] = []
    for file in series.files:
        first, last = layout.range_of(file)
        if last < low or first >= high:
            continue
        source = layout.open_parquet(file)
        for group in range(source.num_row_groups):
            if not layout.meets(source.metadata.row_group(group), low, high):
                continue
            table = source.read_row_group(group)
            ts = layout.nanoseconds(table["ts_init"])
            if not len(ts) or ts[-1] < low or ts[0] >= high:
                continue
            a, b = np.searchsorted(ts, [low, high])
            if a == b:
                continue
            pending.append(table.slice(a, b - a))
            if sum(len(t) for t in pending) >= rows:
                yield pa.concat_tables(pending)
                pending = []
    if pending:
        yield pa.concat_tables(pending)
