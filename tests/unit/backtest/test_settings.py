"""Backtest settings: what is accepted, and the line a person gets for what is not."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from pepperstone_adapter.backtest.settings import BacktestSettings, load_backtest
from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.common.errors import ConfigurationError

STRATEGY = """\
raise RuntimeError("imported")


class Hold:
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "hold.py").write_text(STRATEGY)
    return tmp_path


def document(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "data": {"catalog": "cat", "start": "2020-01-01", "end": "2020-02-01", "instruments": ["EURUSD"]},
        "strategies": [{"strategy": "hold:Hold"}],
    }
    for path, value in changes.items():
        node, *rest = path.split("__")
        if rest:
            base.setdefault(node, {})[rest[0]] = value
        else:
            base[node] = value
    return base


def load(folder: Path, **changes: Any) -> BacktestSettings:
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(json.loads(json.dumps(document(**changes))), sort_keys=False))
    return load_backtest(file)


def refused(folder: Path, **changes: Any) -> str:
    with pytest.raises(ConfigurationError) as error:
        load(folder, **changes)
    assert error.value.exit_code == 2
    return str(error.value)


def test_the_least_that_is_needed(folder: Path) -> None:
    s = load(folder)
    assert (s.account.profile, s.account.platform, s.account.currency) == ("razor", "ctrader", "USD")
    assert (s.account.balance, s.account.mode) == (Decimal(10_000), PositionMode.HEDGING)
    assert s.data.bar_period is BarPeriod.H1
    assert s.data.catalog == folder / "cat"
    # 2020-01-01 is 18,262 days after the epoch, 2020-02-01 is 18,293.
    assert s.data.start_ns == 18_262 * 86_400 * 10**9
    assert s.data.end_ns == 18_293 * 86_400 * 10**9
    # Found, not imported: the file raises when it is.
    assert s.strategies[0].strategy == f"{(folder / 'strategies' / 'hold.py').resolve()}:Hold"


@pytest.mark.parametrize("output", [None, {"report": False}])
def test_without_a_folder_the_result_goes_below_the_one_the_command_is_run_in(folder: Path, output: Any) -> None:
    s = load(folder) if output is None else load(folder, output=output)
    assert s.output.dir == Path.cwd() / "out" / "backtest"


def test_a_time_with_a_zone_becomes_utc(folder: Path) -> None:
    s = load(folder, data__start="2020-01-01T02:30:00+02:00")
    assert s.data.start == datetime(2020, 1, 1, 0, 30, tzinfo=UTC)


def test_ticks_are_a_resolution(folder: Path) -> None:
    assert load(folder, data__resolution="tick").data.bar_period is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("03/04/2025", "can be read in more than one way; write an ISO-8601 date"),
        ("2020-01-01T09:30:00", "has no time zone; write an ISO-8601 date"),
        ("2020-13-01", "is not a date"),
        ("2020-03-08T02:30:00 America/New_York", "is not a date"),
        ("20200101", "can be read in more than one way"),
        (20200101, "expected a date, got 20200101"),
    ],
)
def test_b21_a_doubtful_date_is_refused(folder: Path, text: object, words: str) -> None:
    line = refused(folder, data__start=text)
    assert f"{folder}/run.yaml:3: data.start: " in line
    assert words in line


def test_b21_a_start_in_the_future_is_refused(folder: Path) -> None:
    assert "lies in the future" in refused(folder, data__start="2999-01-01", data__end="2999-02-01")


@pytest.mark.parametrize("end", ["2020-01-01", "2019-12-31"])
def test_b20_an_empty_period_is_refused(folder: Path, end: str) -> None:
    assert "start 2020-01-01T00:00:00+00:00 is not before end" in refused(folder, data__end=end)


@pytest.mark.parametrize("size", ["7-MINUTE", "0-MINUTE", "FORTNIGHT", "M0", "m1", "1h", "", "H", "5", "1x"])
def test_b19_an_unknown_bar_size_names_the_allowed(folder: Path, size: str) -> None:
    line = refused(folder, data__resolution=size)
    assert f"data.resolution: '{size}' is not a bar size" in line
    assert "; use one of M1, M2," in line
    assert line.endswith("D1, W1, tick")


@pytest.mark.parametrize(
    ("given", "meant"), [("1h", "H1"), ("m1", "M1"), ("15min", "M15"), ("PERIOD_H4", "H4"), ("60m", "H1"), ("1d", "D1")]
)
def test_b19_the_bar_sizes_of_other_platforms_get_a_suggestion(folder: Path, given: str, meant: str) -> None:
    assert f"'{given}' is not a bar size (did you mean {meant}?); use one of" in refused(folder, data__resolution=given)


def test_b03_one_name_where_a_list_stands(folder: Path) -> None:
    line = refused(folder, data__instruments="EURUSD")
    assert line.endswith("data.instruments: expected a list, got 'EURUSD'; write [EURUSD]")


@pytest.mark.parametrize("value", [0, -1, ".nan", ".inf", "1e309", "1,000.5", "10k", True, None, [1]])
def test_b12_a_balance_out_of_range_is_refused(folder: Path, value: object) -> None:
    file = folder / "run.yaml"
    text = yaml.safe_dump(document(), sort_keys=False)
    shown = value if isinstance(value, str) else json.dumps(value)
    file.write_text(f"account: {{balance: {shown}}}\n" if value != "1,000.5" else 'account: {balance: "1,000.5"}\n')
    with file.open("a") as out:
        out.write(text)
    with pytest.raises(ConfigurationError, match=r"run\.yaml:1: account\.balance: "):
        load_backtest(file)


@pytest.mark.parametrize(
    ("currency", "balance", "line"),
    [
        ("USD", "100.005", "account: balance 100.005 is no amount of USD; write 100.00 or 100.01"),
        ("JPY", "100000.5", "account: balance 100000.5 is no amount of JPY; write 100000 or 100001"),
    ],
)
def test_a_balance_is_whole_cents(folder: Path, currency: str, balance: str, line: str) -> None:
    assert line in refused(folder, account={"currency": currency, "balance": balance})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("slippage", {"probability": 1.5, "max_points": 1}),
        ("slippage", {"probability": 0.5}),
        ("slippage", {"min_points": 3, "max_points": 1}),
        ("slippage", {"max_points": 3}),
        ("slippage", {"probability": 0.5, "max_points": 3, "symbols": {"EURUSD": {"max_points": 20}}}),
        ("latency", {"base_ms": -1}),
        ("spread", {"scale": -0.5}),
        ("spread", {"points": {"EURUSD": -1}}),
        ("seed", -1),
    ],
)
def test_b12_market_values_have_ranges(folder: Path, key: str, value: object) -> None:
    assert f"market.{key}" in refused(folder, **{f"market__{key}": value})


@pytest.mark.parametrize("spread", [{"scale": 2}, {"points": {"EURUSD": 4}}])
def test_a_spread_that_quotes_would_not_have_is_refused(folder: Path, spread: object) -> None:
    line = refused(folder, data__resolution="tick", market__spread=spread)
    assert "market.spread: resolution tick replays the stored quotes with their own spread; leave it out" in line
    assert load(folder, data__resolution="tick", market__spread={"scale": 1}).market.spread.scale == 1


def test_slippage_that_is_switched_off_keeps_its_points(folder: Path) -> None:
    assert load(folder, market__slippage={"probability": 0, "max_points": 3}).market.slippage.max_points == 3


def test_b01_an_unknown_key_gets_a_suggestion(folder: Path) -> None:
    line = refused(folder, data__instrument=["EURUSD"])
    assert "data.instrument: unknown key; did you mean 'instruments'?" in line


def test_b02_a_missing_key_comes_with_an_example(folder: Path) -> None:
    broken = document()
    del broken["data"]["instruments"]
    (folder / "run.yaml").write_text(yaml.safe_dump(broken))
    with pytest.raises(ConfigurationError, match=r"data\.instruments: missing; add it, for example `instruments: \["):
        load_backtest(folder / "run.yaml")


def test_b03_a_wrong_type_names_what_came(folder: Path) -> None:
    line = refused(folder, data__chunk_rows="many")
    assert "data.chunk_rows" in line
    assert "'many'" in line


def test_b07_an_unset_variable_is_named(folder: Path) -> None:
    assert "NO_SUCH_CATALOG" in refused(folder, data__catalog="${NO_SUCH_CATALOG}")


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("os:system", "no strategy file for 'os:system'"),
        ("strategies.hold", "does not name a class; write module:Class or ./file.py:Class"),
        ("hold:", "does not name a class"),
        (":Hold", "does not name a class"),
        ("hold:Hold()", "does not name a class"),
        ("hold:Holt", "defines no class 'Holt' (did you mean 'Hold'?)"),
        ("../outside.py:Hold", "lies outside the folders strategies may come from"),
        ("/etc/passwd.py:Hold", "lies outside the folders strategies may come from"),
        ("./missing.py:Hold", "no strategy file for"),
        ("a-b.c:Hold", "is not a module name"),
    ],
)
def test_b13_a_strategy_path_is_checked_before_anything_is_imported(folder: Path, strategy: str, words: str) -> None:
    (folder.parent / "outside.py").write_text(STRATEGY)
    line = refused(folder, strategies=[{"strategy": strategy}])
    assert "run.yaml:8: strategies.0.strategy: " in line
    assert words in line


def test_b13_a_link_out_of_the_roots_is_outside(folder: Path) -> None:
    (folder.parent / "outside.py").write_text(STRATEGY)
    (folder / "link.py").symlink_to(folder.parent / "outside.py")
    assert "lies outside" in refused(folder, strategies=[{"strategy": "link:Hold"}])


@pytest.mark.parametrize(
    ("symbol", "words"),
    [
        ("EURUSDD", "did you mean EURUSD"),
        ("eurusd", "did you mean EURUSD"),
        ("ЕURUSD", "U+0415"),
        ("../etc/passwd", "../etc/passwd"),
    ],
)
def test_b15_to_b18_a_symbol_that_is_not_one(folder: Path, symbol: str, words: str) -> None:
    line = refused(folder, data__instruments=[symbol])
    assert "data.instruments" in line
    assert words in line


def test_an_instrument_stands_once(folder: Path) -> None:
    assert "EURUSD stands in the list twice" in refused(folder, data__instruments=["EURUSD", "USDJPY", "EURUSD"])


def test_market_settings_name_only_instruments_of_the_run(folder: Path) -> None:
    line = refused(folder, market__spread={"points": {"USDJPY": 3}})
    assert "market names USDJPY, which data.instruments does not list" in line


def test_a_run_needs_a_strategy(folder: Path) -> None:
    assert "strategies: has 0 entries; give 1 to 100 strategies" in refused(folder, strategies=[])


def test_strategy_names_are_unique(folder: Path) -> None:
    twice = [{"strategy": "hold:Hold", "name": "A"}, {"strategy": "hold:Hold", "name": "A"}]
    assert "the name A is used twice" in refused(folder, strategies=twice)


def test_a_symbol_override_must_fit_the_table(folder: Path) -> None:
    assert "symbols" in refused(folder, symbols={"EURUSD": {"volume_minn": 1000}})
    assert load(folder, symbols={"EURUSD": {"volume_min": 2000}}).symbols["EURUSD"] == {"volume_min": 2000}


def test_the_strategies_we_bring_are_found_from_anywhere(folder: Path) -> None:
    s = load(folder, strategies=[{"strategy": "strategies.ema_cross:EmaCross"}])
    assert s.strategies[0].strategy.endswith("ema_cross.py:EmaCross")


def test_overrides_win_over_the_file(folder: Path) -> None:
    load(folder)
    s = load_backtest(folder / "run.yaml", ["account.currency=EUR", "data.end=2020-01-05", "market.seed=9"])
    assert (s.account.currency, s.data.end.day, s.market.seed) == ("EUR", 5, 9)
