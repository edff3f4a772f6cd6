"""ASK below BID in stored rows: a round trip would earn the difference from nobody. Such rows are counted and shown, and no
order fills at them: a bar gets the ASK of the symbol's spread table, a quote is left out."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import yaml

from pepperstone_adapter.backtest.run import run
from pepperstone_adapter.catalog.importer import import_file
from pepperstone_adapter.catalog.quality import check_series
from pepperstone_adapter.catalog.request import ImportRequest, Policy
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.cli.main import main
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.simulation.plan import StoredBars
from tests.kit.runs import EURUSD, NS, bars, buy, close_all, plan_steps, quotes, run_steps, run_with, utc

D = Decimal
HEADER = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\n"
HOURS = range(8, 16)
CROSSED_HOUR = 10  # the bar whose ASK lies 5 pips below its BID


def test_a_crossed_bar_fills_at_the_ask_of_the_spread_table() -> None:
    # BID 1.10000 throughout; ASK 1.10020 but 1.09950 at row 2. The table says 10 points: 1.10010.
    market = bars(
        EURUSD, [1.1] * 6, ask=[1.1002, 1.1002, (1.1002, 1.1002, 1.0995, 1.0995), (1.1002,) * 4, 1.1002, 1.1002]
    )
    record = run_steps(market, {2: buy(100_000), 3: close_all()}, spread=10)
    assert [f.price for f in record.fills] == [D("1.10010"), D("1.10000")]
    assert record.end_balance == D(100_000) - D(10)  # 1 pip of 100,000; trading on 1.09950 would have earned 50
    assert (record.bars, record.crossed_rows) == (6, 1)


@pytest.mark.parametrize("at", range(4))
def test_any_of_the_four_prices_tells(at: int) -> None:
    bid = (1.1, 1.101, 1.099, 1.1)
    ask = [1.1002, 1.1012, 1.0992, 1.1002]
    ask[at] = bid[at] - 0.00001
    market = bars(
        EURUSD, [bid, bid, bid], ask=[(1.1002, 1.1012, 1.0992, 1.1002), tuple(ask), (1.1002, 1.1012, 1.0992, 1.1002)]
    )
    assert run_steps(market, {}, spread=10).crossed_rows == 1


def test_equal_prices_are_no_crossed_market() -> None:
    record = run_steps(bars(EURUSD, [1.1] * 3, ask=[1.1] * 3), {1: buy(100_000)}, spread=10)
    assert record.crossed_rows == 0
    assert [f.price for f in record.fills] == [D("1.10000")]


def test_windows_count_the_same() -> None:
    closes = [1.1] * 5_000
    ask = [1.1002] * 5_000
    crossed = np.arange(7, 5_000, 97)
    for i in crossed:
        ask[i] = 1.0998
    # A bar opens at the close before it, so the ASK of the bar after a crossed one opens below its BID as well.
    plan, _ = plan_steps(bars(EURUSD, closes, ask=ask), {}, spread=10)
    expected = 2 * len(crossed)
    assert run(plan).crossed_rows == expected
    small, _ = plan_steps(bars(EURUSD, closes, ask=ask), {}, spread=10, chunk_size=333)
    assert run(small).crossed_rows == expected


def test_without_a_spread_table_a_crossed_bar_is_refused() -> None:
    plan, _ = plan_steps(bars(EURUSD, [1.1] * 3, ask=[1.0999] * 3), {}, spread=10)
    plan.terms.spreads.clear()  # type: ignore[attr-defined]
    with pytest.raises(
        ConfigurationError, match=r"3 bars of EURUSD have an ASK below the BID.*market\.spread\.points\.EURUSD"
    ):
        run(plan)


def test_a_crossed_quote_is_left_out() -> None:
    rows = [(1.1, 1.1002)] * 3 + [(1.1, 1.0995)] + [(1.1, 1.1002)] * 3
    record, steps = run_with(quotes(EURUSD, rows), {2: buy(100_000), 4: close_all()})
    assert (record.ticks, record.crossed_rows) == (6, 1)
    assert steps.count == 5
    assert [f.price for f in record.fills] == [D("1.10020"), D("1.10000")]
    assert record.fills[1].ts_ns - record.fills[0].ts_ns == 3 * NS  # rows 2 and 5: the one between them is gone


# --- from the file to the report

FLIP = """\
from nautilus_trader.model import BarType, OrderSide
from nautilus_trader.trading import Strategy, StrategyConfig


class FlipConfig(StrategyConfig):
    def __init__(self, *, bar_type, order_id_tag=None) -> None:
        self.bar_type = BarType.from_str(bar_type)


class Flip(Strategy):
    def __init__(self, config: FlipConfig) -> None:
        super().__init__(config)
        self.bar_type = config.bar_type

    def on_start(self) -> None:
        self.subscribe_bars(self.bar_type)

    def on_bar(self, bar) -> None:
        if not self.cache.positions_open():
            quantity = self.cache.instrument(self.bar_type.instrument_id).make_qty(10_000)
            self.submit_order(self.order_factory.market(self.bar_type.instrument_id, OrderSide.BUY, quantity))
        else:
            self.close_all_positions(self.bar_type.instrument_id)
"""


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """EURUSD H1, Wednesday 15 January 2020, eight bars of each side; one ASK bar lies below its BID bar."""
    for side, level in (("BID", "1.11000"), ("ASK", "1.11010")):
        lines = []
        for hour in HOURS:
            price = "1.10950" if side == "ASK" and hour == CROSSED_HOUR else level
            lines.append(f"2020.01.15\t{hour:02d}:00:00\t{price}\t{price}\t{price}\t{price}\t5\n")
        file = tmp_path / f"EURUSD-{side}.csv"
        file.write_text(HEADER + "".join(lines))
        import_file(
            ImportRequest(
                catalog=tmp_path / "cat", file=file, symbol="EURUSD", zone="utc", side=side,
                policy=Policy(allow=frozenset({"crossed"})),
            )
        )  # fmt: skip
    return tmp_path / "cat"


@pytest.fixture
def settings(tmp_path: Path, stored: Path) -> Path:
    (tmp_path / "flip.py").write_text(FLIP)
    file = tmp_path / "run.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "data": {
                    "catalog": str(stored), "start": "2020-01-15", "end": "2020-01-16", "instruments": ["EURUSD"],
                    "resolution": "H1",
                },
                "strategies": [
                    {"strategy": "./flip.py:Flip", "config": {"bar_type": "EURUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL"}}
                ],
                "output": {"dir": "out"},
            }
        )
    )  # fmt: skip
    return file


def test_a_run_shows_the_crossed_rows(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", str(settings)]) == 0
    printed = capsys.readouterr().out
    said = "1 row with ASK below BID (EURUSD), given the ASK of the spread table"
    assert said in " ".join(printed.split())
    result = json.loads((settings.parent / "out" / "result.json").read_text())
    assert result["data"]["findings_by_instrument"] == {"EURUSD": {"crossed": 1}}
    assert result["data"]["crossed_rows"] == 1
    # Eight sound BID bars and seven sound ASK bars of the 24 hours that are due.
    assert result["data"]["quality_by_instrument"]["EURUSD"] == pytest.approx(100 * 7 / 24, abs=1e-6)
    report = (settings.parent / "out" / "report.html").read_text()
    assert said in report
    assert all(float(line.split(",")[9]) >= 1.11 for line in fills(settings.parent / "out"))


def fills(out: Path) -> list[str]:
    return (out / "fills.csv").read_text().splitlines()[1:]


@pytest.mark.parametrize("at", range(4))
def test_the_check_finds_it_in_any_price(stored: Path, at: int, tmp_path: Path, judge: Callable[[Path], int]) -> None:
    # One price of the ASK bar at 12:00 a point below the BID's, bars of different shape on the two sides.
    bid = ["1.11000", "1.11100", "1.10900", "1.11000"]
    ask = ["1.11010", "1.11110", "1.10910", "1.11010"]
    ask[at] = f"{float(bid[at]) - 0.00001:.5f}"
    for side, row in (("BID", bid), ("ASK", ask)):
        file = tmp_path / f"later-{side}.csv"
        file.write_text(HEADER + f"2020.01.16\t12:00:00\t{chr(9).join(row)}\t5\n")
        import_file(
            ImportRequest(
                catalog=stored, file=file, symbol="EURUSD", zone="utc", period="H1", side=side,
                policy=Policy(allow=frozenset({"crossed"})),
            )
        )  # fmt: skip
    assert judge(stored) == 2


@pytest.fixture
def judge() -> Callable[[Path], int]:
    def crossed(catalog: Path) -> int:
        store = CatalogStore(catalog)
        series = store.bar_series("EURUSD", "1-HOUR", "ASK")
        assert series is not None
        return check_series(store, series).counts["crossed"]

    return crossed


def test_data_check_names_it(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "EURUSD", "--catalog", str(stored), "--threshold", "0"]) == 0
    assert "1 row with ASK below BID (first 2020-01-15T11:00:00Z)" in capsys.readouterr().out


def test_a_window_without_any_ask_bar_gets_the_spread_table(stored: Path, settings: Path, tmp_path: Path) -> None:
    lines = "".join(f"2020.01.16\t{hour:02d}:00:00\t1.11\t1.11\t1.11\t1.11\t5\n" for hour in HOURS)
    (tmp_path / "EURUSD-bid-only.csv").write_text(HEADER + lines)
    import_file(ImportRequest(catalog=stored, file=tmp_path / "EURUSD-bid-only.csv", symbol="EURUSD", zone="utc"))
    assert main(["backtest", str(settings), "--set", "data.start=2020-01-16", "--set", "data.end=2020-01-17"]) == 0
    bought = [line.split(",")[9] for line in fills(settings.parent / "out") if ",BUY," in line]
    assert bought
    assert all(float(price) > 1.11 for price in bought)


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """EURUSD H1 of the same day: BID from 8 to 15 without the bar of 11, ASK from 7 to 17."""
    for side, hours in (("BID", [h for h in HOURS if h != 11]), ("ASK", range(7, 18))):
        lines = [f"2020.01.15\t{hour:02d}:00:00{'\t1.11000' * 4}\t5\n" for hour in hours]
        file = tmp_path / f"uneven-{side}.csv"
        file.write_text(HEADER + "".join(lines))
        import_file(
            ImportRequest(catalog=tmp_path / "uneven", file=file, symbol="EURUSD", zone="utc", side=side, period="H1")
        )
    return tmp_path / "uneven"


@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_ask_bars_without_a_bid_bar_are_counted_wherever_they_are(uneven: Path, chunk: int | None) -> None:
    # At 7, before the first BID bar; at 11, within; at 16 and 17, after the last.
    plan, _ = plan_steps([1.1], {})
    plan = replace(plan, data=(StoredBars(symbol="EURUSD", period="1-HOUR", catalog=uneven),), strategies=())
    assert run(replace(plan, chunk_size=chunk)).lone_ask_rows == 4
    until_noon = utc(2020, 1, 15, 12, 30)  # the bars of 7 and 11 are named by their ends, 8 and 12
    assert run(replace(plan, chunk_size=chunk, end_ns=until_noon)).lone_ask_rows == 2


def test_a_run_shows_the_ask_bars_without_a_bid_bar(
    settings: Path, uneven: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", str(settings), "--set", f"data.catalog={uneven}"]) == 0
    said = "4 rows of ASK prices without a BID bar of their time, left out"
    assert said in " ".join(capsys.readouterr().out.split())
    assert json.loads((settings.parent / "out" / "result.json").read_text())["data"]["lone_ask_rows"] == 4
    assert said in (settings.parent / "out" / "report.html").read_text()
