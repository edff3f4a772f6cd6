"""Reading back: the same rows by arrays, in pieces, and by the framework's own reader, engine and node."""

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.model import AccountType, BarType, Money, OmsType, Venue
from nautilus_trader.persistence import ParquetDataCatalog
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.catalog.rows import BarColumns, Cursor, bars_from_arrays, join_bars
from pepperstone_adapter.catalog.store import CatalogStore, build_samples
from pepperstone_adapter.common.errors import DataError
from tests.unit.catalog.conftest import Run

FEB_2020_NS = 1_580_515_200_000_000_000
MAR_2020_NS = 1_583_020_800_000_000_000


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> CatalogStore:
    return build_samples(tmp_path_factory.mktemp("catalog") / "data")


def test_samples_hold_what_their_readme_says(samples: CatalogStore) -> None:
    assert {(s.identifier, s.rows) for s in samples.series()} == {
        ("EURGBP.PEPPERSTONE-1-HOUR-BID-EXTERNAL", 18_733),
        ("GBPUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL", 18_734),
        ("GBPUSD.PEPPERSTONE-1-MINUTE-ASK-EXTERNAL", 4_185),
        ("GBPUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL", 4_185),
        ("USDJPY.PEPPERSTONE-1-HOUR-BID-EXTERNAL", 18_733),
        ("XAUUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL", 17_753),
        ("EURUSD.PEPPERSTONE", 9_500),
        ("USDJPY.PEPPERSTONE", 1_000),
    }


def test_the_federal_reserve_spoke_at_two_in_the_afternoon(samples: CatalogStore) -> None:
    """The proof of the samples' clock: 17 March 2021, 14:00 New York is 18:00 UTC, in the weeks only the US is on DST."""
    day = 1_615_939_200_000_000_000  # 2021-03-17 00:00 UTC
    bars = samples.bars("XAUUSD", "1-HOUR", start_ns=day, end_ns=day + 86_400_000_000_000)
    widest = int(np.argmax(bars.high - bars.low))
    assert (int(bars.ts_ns[widest]) - day) // 3_600_000_000_000 == 19  # the bar from 18:00 to 19:00


def test_building_again_changes_nothing(samples: CatalogStore) -> None:
    before = {p: p.stat().st_mtime_ns for p in samples.path.rglob("*.parquet")}
    build_samples(samples.path)
    assert {p: p.stat().st_mtime_ns for p in samples.path.rglob("*.parquet")} == before


@pytest.mark.parametrize("rows", [1, 1000, 7000, 1_000_000])
def test_pieces_make_the_whole(rows: int, samples: CatalogStore) -> None:
    whole = samples.bars("GBPUSD", "1-HOUR")
    pieces = list(samples.bar_chunks("GBPUSD", "1-HOUR", rows=rows))
    for name in ("ts_ns", "open", "high", "low", "close", "ticks"):
        assert np.array_equal(np.concatenate([getattr(p, name) for p in pieces]), getattr(whole, name))


def test_ranges_include_their_start_and_not_their_end(samples: CatalogStore) -> None:
    month = samples.bars("USDJPY", "1-HOUR", start_ns=FEB_2020_NS, end_ns=MAR_2020_NS)
    assert ((month.ts_ns >= FEB_2020_NS) & (month.ts_ns < MAR_2020_NS)).all()
    first, last = int(month.ts_ns[0]), int(month.ts_ns[-1])
    assert len(samples.bars("USDJPY", "1-HOUR", start_ns=first, end_ns=last)) == len(month) - 1
    assert len(samples.framework_bars("USDJPY", "1-HOUR", start_ns=first, end_ns=last)) == len(month) - 1
    assert len(samples.bars("USDJPY", "1-HOUR", start_ns=0, end_ns=1)) == 0
    assert len(samples.quotes("USDJPY", start_ns=0, end_ns=1)) == 0


def test_a_cursor_reads_every_row_once_and_in_order(samples: CatalogStore) -> None:
    whole = samples.bars("GBPUSD", "1-HOUR")
    first, last = int(whole.ts_ns[100]), int(whole.ts_ns[-100])
    cursor = Cursor(samples.bar_chunks("GBPUSD", "1-HOUR", "BID", first, last, rows=1), join_bars)
    edges = [
        first,
        first + 1,
        int(whole.ts_ns[500]),
        int(whole.ts_ns[500]) + 1,
        int(whole.ts_ns[7_000]),
        last,
        last + 1,
    ]
    parts = [cursor.until(edge) for edge in edges]
    assert [len(part) for part in parts] == [0, 1, 399, 1, 6_499, len(whole) - 7_100, 0]
    assert np.array_equal(np.concatenate([part.ts_ns for part in parts]), whole.ts_ns[100:-100])
    assert np.array_equal(np.concatenate([part.close for part in parts]), whole.close[100:-100])


def test_only_groups_that_can_hold_a_row_are_read(tmp_path: Path) -> None:
    # Three groups of 100,000 rows; the second is made unreadable, and a range in the third does not notice.
    ts = np.arange(1, 250_001, dtype=np.int64) * 10**9
    price = np.full(250_000, 110_000, np.int64)
    columns = BarColumns(ts_ns=ts, open=price, high=price, low=price, close=price, ticks=np.ones_like(ts))
    catalog = ParquetDataCatalog(str(tmp_path))
    catalog.write_bars(bars_from_arrays("EURUSD.PEPPERSTONE-1-SECOND-BID-EXTERNAL", 5, 0, columns))
    store = CatalogStore(tmp_path)
    (file,) = store.bar_series("EURUSD", "1-SECOND").files
    footer = pq.ParquetFile(file)
    assert footer.num_row_groups > 1
    start = footer.metadata.row_group(0).column(0).dictionary_page_offset or 4
    del footer
    spoiled = bytearray(file.read_bytes())
    spoiled[start : start + 64] = bytes(64)
    file.write_bytes(spoiled)
    late = store.bars("EURUSD", "1-SECOND", "BID", int(ts[-5]))
    assert late.ts_ns.tolist() == ts[-5:].tolist()
    with pytest.raises(OSError):
        store.bars("EURUSD", "1-SECOND", "BID", int(ts[0]), int(ts[5]))


def test_digest_depends_on_rows_and_not_on_files(samples: CatalogStore, run: Run, tmp_path: Path) -> None:
    series = samples.quote_series("EURUSD")
    assert series is not None
    text = (Path("catalog/samples") / "histdata-eurusd-2020-01.csv.gz").read_bytes()
    import gzip

    lines = gzip.decompress(text).decode().splitlines(keepends=True)
    for name, part in (("EURUSD-1.csv", lines[:4000]), ("EURUSD-2.csv", lines[4000:])):
        (tmp_path / name).write_text("".join(part))
        assert run("import", tmp_path / name, "--catalog", tmp_path / "c").code == 0
    split = CatalogStore(tmp_path / "c")
    other = split.quote_series("EURUSD")
    assert other is not None
    assert len(other.files) == 2
    assert split.digest(other) == samples.digest(series)
    assert split.digest(other, end_ns=other.end_ns) != samples.digest(series)


def test_what_is_not_stored_is_named_with_what_is(samples: CatalogStore) -> None:
    with pytest.raises(
        DataError, match=r"no 1-DAY BID bars of GBPUSD in the catalog .*; stored: EURGBP\.PEPPERSTONE-1-HOUR"
    ):
        samples.bars("GBPUSD", "1-DAY")
    with pytest.raises(DataError, match=r"no quotes of XAUUSD"):
        samples.quotes("XAUUSD")
    with pytest.raises(DataError, match=r"no instrument NAS100\.PEPPERSTONE"):
        samples.instrument("NAS100")


def test_the_engine_replays_stored_bars(samples: CatalogStore) -> None:
    class Counter(Strategy):
        def on_start(self) -> None:
            self.seen: list[int] = []
            self.subscribe_bars(BarType.from_str("XAUUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL"))

        def on_bar(self, bar: object) -> None:
            self.seen.append(bar.ts_event)  # type: ignore[attr-defined]

    engine = BacktestEngine(BacktestEngineConfig(logging=LoggerConfig(bypass_logging=True)))
    engine.add_venue(
        Venue("PEPPERSTONE"), OmsType.HEDGING, AccountType.MARGIN, [Money.from_str("10000 USD")],
        fee_model=MakerTakerFeeModel(Decimal(0), Decimal(0)),
    )  # fmt: skip
    engine.add_instrument(samples.instrument("XAUUSD"))
    engine.add_data(samples.framework_bars("XAUUSD", "1-HOUR", start_ns=FEB_2020_NS, end_ns=MAR_2020_NS))
    strategy = Counter(StrategyConfig())
    engine.add_strategy(strategy)
    engine.run()
    stored = samples.bars("XAUUSD", "1-HOUR", start_ns=FEB_2020_NS, end_ns=MAR_2020_NS)
    assert strategy.seen == stored.ts_ns.tolist()
    engine.dispose()


def test_list_names_range_rows_quality_size_and_source(run: Run, samples: CatalogStore) -> None:
    ran = run("list", "--catalog", samples.path)
    assert ran.code == 0
    line = next(x for x in ran.out.splitlines() if x.startswith("XAUUSD"))
    assert line.split()[:5] == ["XAUUSD", "1-HOUR-BID", "2019-03-01", "2022-03-04", "17,753"]
    assert line.rstrip().endswith("XAUUSD-h1.csv.gz")
    assert "99.67 %" in line
    listed = json.loads(run("list", "--catalog", samples.path, "--json", "--no-quality").out)
    assert [x["sources"] for x in listed if x["identifier"] == "EURUSD.PEPPERSTONE"] == [
        ["histdata-eurusd-2020-01.csv.gz"]
    ]
