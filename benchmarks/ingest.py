"""CSV ticks to Parquet: our importer against framework objects built row by row, and against pyarrow doing less.

Prints one JSON line. All ways read the same generated file (TrueFX form, stamps with milliseconds and offset), in this
process, best of `--repeat` runs:

* import: `import_file` into an empty catalog: format detection, hash, all checks, exact 128-bit prices, manifest.
* objects: pandas reads the CSV, each row becomes a framework `QuoteTick`, the framework's catalog writes them. Measured
  on `--object-rows` of the rows (it is slow) and scaled.
* pyarrow: `pyarrow.csv.read_csv` with typed columns and `pyarrow.parquet.write_table`, nothing checked or converted.

`object_ratio` must be at least 10, `pyarrow_ratio` at most 3.
"""

import argparse
import gc
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from nautilus_trader.model import InstrumentId, Price, Quantity, QuoteTick
from nautilus_trader.persistence import ParquetDataCatalog

from pepperstone_adapter.catalog.importer import import_file
from pepperstone_adapter.catalog.request import ImportRequest
from pepperstone_adapter.catalog.store import CatalogStore


def write_ticks(path: Path, rows: int) -> None:
    """A random walk of EURUSD quotes, a few a second."""
    draw = np.random.default_rng(7)
    ms = 1_577_916_000_000 + np.cumsum(draw.integers(1, 600, rows))
    bid = 112_000 + np.cumsum(draw.integers(-3, 4, rows))
    ask = bid + draw.integers(0, 15, rows)
    stamp = np.datetime_as_string(ms.astype("datetime64[ms]"), unit="ms")
    with path.open("w", encoding="ascii") as file:
        file.write("timestamp,bid,ask\n")
        for s, b, a in zip(stamp.tolist(), (bid / 1e5).tolist(), (ask / 1e5).tolist(), strict=True):
            file.write(f"{s[:10]} {s[11:]}+00:00,{b:.5f},{a:.5f}\n")


def by_import(csv: Path, catalog: Path) -> None:
    import_file(ImportRequest(catalog=catalog, file=csv, symbol="EURUSD"))


def by_objects(csv: Path, catalog: Path) -> None:
    frame = pd.read_csv(csv)
    frame["ts"] = pd.to_datetime(frame["timestamp"], utc=True).dt.as_unit("ns").astype("int64")
    instrument_id, size = InstrumentId.from_str("EURUSD.PEPPERSTONE"), Quantity(1_000_000, 0)
    ticks = [
        QuoteTick(instrument_id, Price(row.bid, 5), Price(row.ask, 5), size, size, row.ts, row.ts)
        for row in frame.itertuples()
    ]
    catalog.mkdir()
    ParquetDataCatalog(str(catalog)).write_quote_ticks(ticks)


def by_pyarrow(csv: Path, catalog: Path) -> None:
    types = {"timestamp": pa.timestamp("ns", "UTC"), "bid": pa.float64(), "ask": pa.float64()}
    table = pyarrow.csv.read_csv(csv, convert_options=pyarrow.csv.ConvertOptions(column_types=types))
    catalog.mkdir()
    pq.write_table(table, catalog / "ticks.parquet")


def timed(folder: Path, run: Callable[[Path], None]) -> float:
    """Seconds of one run into a new folder."""
    target = folder / "catalog"
    shutil.rmtree(target, ignore_errors=True)
    gc.collect()
    start = time.perf_counter()
    run(target)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--object-rows", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        csv, few = folder / "EURUSD.csv", folder / "EURUSD-few.csv"
        write_ticks(csv, args.rows)
        write_ticks(few, args.object_rows)
        times: dict[str, list[float]] = {"import": [], "objects": [], "pyarrow": []}
        for _ in range(args.repeat):  # in turn, so that a busy moment of the machine meets all three
            times["import"].append(timed(folder, lambda out: by_import(csv, out)))
            stored = CatalogStore(folder / "catalog").quote_series("EURUSD")
            assert stored is not None
            assert stored.rows == args.rows
            times["pyarrow"].append(timed(folder, lambda out: by_pyarrow(csv, out)))
            times["objects"].append(timed(folder, lambda out: by_objects(few, out)) * args.rows / args.object_rows)
        import_s, objects_s, pyarrow_s = (min(times[way]) for way in ("import", "objects", "pyarrow"))
        print(
            json.dumps({
                "benchmark": "ingest", "rows": args.rows, "csv_bytes": csv.stat().st_size,
                "import_s": round(import_s, 3), "rows_per_s": round(args.rows / import_s),
                "objects_s": round(objects_s, 3), "pyarrow_s": round(pyarrow_s, 3),
                "object_ratio": round(objects_s / import_s, 2), "pyarrow_ratio": round(import_s / pyarrow_s, 2),
            })
        )  # fmt: skip


if __name__ == "__main__":
    main()
