"""The bundled samples: real market data in its original formats (`catalog/samples/README.md`)."""

import gzip
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from nautilus_trader.model import Currency, CurrencyPair, InstrumentId, Price, Quantity, Symbol
from nautilus_trader.persistence import ParquetDataCatalog

from pepperstone_adapter.catalog import layout, volume

SAMPLES = Path(__file__).parents[2] / "catalog" / "samples"
_DIGITS = {"GBPUSD": 5, "EURGBP": 5, "EURUSD": 5, "USDJPY": 3, "XAUUSD": 2}


def build(dest: Path) -> None:
    if (dest / "data").is_dir():
        return
    staging = dest.with_name(dest.name + ".building")
    shutil.rmtree(staging, ignore_errors=True)
    (staging / "data").mkdir(parents=True)
    catalog = ParquetDataCatalog(str(staging.resolve()))
    for symbol, digits in _DIGITS.items():
        catalog.write_instruments(
            [
                CurrencyPair(
                    InstrumentId.from_str(f"{symbol}.PEPPERSTONE"),
                    Symbol(symbol),
                    Currency.from_str(symbol[:3]),
                    Currency.from_str(symbol[3:]),
                    digits,
                    0,
                    Price(10**-digits, digits),
                    Quantity.from_str("1" if symbol == "XAUUSD" else "1000"),
                    0,
                    0,
                )
            ]
        )
    for symbol in ("GBPUSD", "USDJPY", "EURGBP", "XAUUSD"):
        with gzip.open(SAMPLES / f"{symbol}-h1.csv.gz") as file:
            frame = pd.read_csv(file)
        local = pd.to_datetime(frame["Date"]) - timedelta(hours=7) + timedelta(hours=1)
        ts = (
            local.dt.tz_localize("America/New_York")
            .dt.tz_convert("UTC")
            .to_numpy()
            .astype("datetime64[ns]")
            .astype(np.int64)
        )
        bar_type = f"{symbol}.PEPPERSTONE-1-HOUR-BID-EXTERNAL"
        arrays = [
            layout.decimals(np.rint(frame[n].to_numpy()).astype(np.int64), _DIGITS[symbol])
            for n in ("open", "high", "low", "close")
        ]
        arrays.append(
            layout.decimals(volume.stored_units(frame["tick_volume"].to_numpy().astype(np.int64), bar_type), 0)
        )
        arrays += [layout.timestamps(ts)] * 2
        schema = layout.bar_schema(bar_type, f"{symbol}.PEPPERSTONE", _DIGITS[symbol], 0)
        folder = staging / "data" / "bars" / bar_type
        folder.mkdir(parents=True)
        with layout.writer(folder / layout.file_name(int(ts[0]), int(ts[-1])), schema) as out:
            out.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=layout.ROW_GROUP_ROWS)
    staging.rename(dest)
