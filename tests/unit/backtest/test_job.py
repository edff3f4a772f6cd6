"""What is asked of the stored data before a run, and what is said about it: on eight H1 bars of one day."""

from dataclasses import replace
from pathlib import Path

import pytest

from pepperstone_adapter.backtest.job import check_period, rows_of, run_backtest
from pepperstone_adapter.backtest.quality import data_quality
from pepperstone_adapter.backtest.result import read_result, write_result
from pepperstone_adapter.backtest.settings import BacktestSettings
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.catalog import specs as spec_store
from pepperstone_adapter.catalog.importer import import_file
from pepperstone_adapter.catalog.quality import check_series
from pepperstone_adapter.catalog.request import ImportRequest
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.common.errors import DataError
from tests.kit.records import random_trades, record_of
from tests.unit.backtest.test_plan import load
from tests.unit.backtest.test_result import FACTS

HEADER = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\n"


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    """EURUSD, Wednesday 15 January 2020: bars that close at 09:00 to 16:00 UTC."""
    rows = (f"2020.01.15\t{h:02d}:00:00\t1.11000\t1.11010\t1.10990\t1.11000\t5\n" for h in range(8, 16))
    (tmp_path / "EURUSD.csv").write_text(HEADER + "".join(rows))
    import_file(ImportRequest(catalog=tmp_path / "cat", file=tmp_path / "EURUSD.csv", zone="utc"))
    return CatalogStore(tmp_path / "cat")


def between(folder: Path, start: str, end: str) -> BacktestSettings:
    return load(folder, f"data.start={start}", f"data.end={end}", "data.instruments=[EURUSD]")


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2020-01-08T09:00:01Z", "2020-01-22T16:00:00Z", None),
        ("2020-01-08T08:00:00Z", "2020-01-16", "begins at 2020-01-15T09:00:00Z, data.start is 2020-01-08T08:00:00Z"),
        ("2020-01-15", "2020-01-22T17:00:00Z", "ends at 2020-01-15T16:00:00Z, data.end is 2020-01-22T17:00:00Z"),
        ("2019-01-01", "2021-01-01", "begins at .* and ends at "),
    ],
)
def test_a_week_may_be_missing_at_each_end(
    store: CatalogStore, tmp_path: Path, start: str, end: str, words: str | None
) -> None:
    settings = between(tmp_path, start, end)
    if words is None:
        check_period(settings, store)
        return
    with pytest.raises(DataError, match=f"the stored data of EURUSD {words}"):
        check_period(settings, store)


def test_a_run_first_puts_back_the_result_a_killed_one_left_hidden(store: CatalogStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = load(
        tmp_path, "data.start=2019-01-01", "data.end=2021-01-01", "data.instruments=[EURUSD]", f"output.dir={out}"
    )
    write_result(out, record_of(random_trades(3)), FACTS)
    out.rename(out.with_name(f".{out.name}.0a1b2c3d.old"))
    with pytest.raises(DataError, match="choose a period within the data"):
        run_backtest(settings, "test")
    assert read_result(out)["trades"]["count"] == 3


@pytest.mark.parametrize(
    ("start", "end", "percent"),
    [
        ("2020-01-15T09:00:00Z", "2020-01-15T16:01:00Z", 100.0),
        ("2020-01-15T05:00:00Z", "2020-01-15T17:00:00Z", 100 * 8 / 12),  # closes at 5:00 to 16:00
        ("2020-01-15T16:00:00Z", "2020-01-15T20:00:00Z", 25.0),
    ],
)
def test_quality_is_of_the_runs_period(
    store: CatalogStore, tmp_path: Path, start: str, end: str, percent: float
) -> None:
    found = data_quality(between(tmp_path, start, end), store)
    assert found.percent == {"EURUSD": pytest.approx(percent)}
    assert found.findings == {"EURUSD": {}}


def test_rows_of_a_part_of_the_series(store: CatalogStore, tmp_path: Path) -> None:
    # 09:00 to 16:00 are seven hours and eight bars: half of the time, half of the bars.
    assert rows_of(between(tmp_path, "2020-01-15T09:00:00Z", "2020-01-15T12:30:00Z"), store) == 4


def test_quality_is_that_of_the_check_where_a_broker_told_no_past_holidays(store: CatalogStore, tmp_path: Path) -> None:
    table = symbol_table.get("EURUSD")
    told = replace(table, hours=replace(table.hours, holidays=()))
    spec_store.remember(tmp_path / "cat", [told], platform="ctrader", source="ctrader DEMO-x1", now_ns=0)
    settings = between(tmp_path, "2019-12-31", "2020-01-16")
    (series,) = store.series()
    by_check = check_series(store, series, None, settings.data.start_ns, settings.data.end_ns)
    by_table = check_series(store, series, {"EURUSD": table}, settings.data.start_ns, settings.data.end_ns)
    # New Year's Day is not due; hours of one's own are taken as they are.
    assert data_quality(settings, store).percent == {"EURUSD": by_check.percent} == {"EURUSD": by_table.percent}
    own = load(
        tmp_path, "data.start=2019-12-31", "data.end=2020-01-16", "data.instruments=[EURUSD]",
        "symbols.EURUSD.hours={zone: UTC, week: {wednesday: '08:00-16:00'}}",
    )  # fmt: skip
    assert data_quality(own, store).percent == {"EURUSD": pytest.approx(100 * 8 / 24)}  # 1, 8 and 15 January
