"""Settings into a plan, and the fingerprints of its inputs."""

from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from pepperstone_adapter.backtest.hashes import code_hash, settings_hash
from pepperstone_adapter.backtest.plan import chunk_rows, equity_step_s, framework_period, run_plan, strategy_of
from pepperstone_adapter.backtest.settings import BacktestSettings, load_backtest
from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.simulation.plan import Latency, Slippage, StoredBars, StoredQuotes

STRATEGY = """\
from nautilus_trader.trading import Strategy, StrategyConfig


class HoldConfig(StrategyConfig):
    def __init__(self, *, size: int, order_id_tag: str | None = None) -> None:
        self.size = size


class Hold(Strategy):
    def __init__(self, config: HoldConfig) -> None:
        super().__init__(config)
        self.size = config.size


class NotOne:
    pass


class NotOneConfig(StrategyConfig):
    pass
"""
BASE = {
    "data": {"catalog": "cat", "start": "2020-01-01", "end": "2020-02-01", "instruments": ["EURUSD", "XAUUSD"]},
    "strategies": [{"strategy": "./hold.py:Hold", "config": {"size": 3}}],
}


def load(folder: Path, *overrides: str) -> BacktestSettings:
    folder.mkdir(exist_ok=True)
    (folder / "hold.py").write_text(STRATEGY)
    (folder / "run.yaml").write_text(yaml.safe_dump(BASE))
    return load_backtest(folder / "run.yaml", overrides)


@pytest.mark.parametrize(
    ("period", "name"), [(BarPeriod.M1, "1-MINUTE"), (BarPeriod.H12, "12-HOUR"), (BarPeriod.W1, "1-WEEK")]
)
def test_names_of_bar_sizes(period: BarPeriod, name: str) -> None:
    assert framework_period(period) == name


def test_a_plan_says_what_the_settings_say(tmp_path: Path) -> None:
    plan = run_plan(load(tmp_path, "account.currency=EUR", "account.mode=netting", "market.latency.base_ms=50"))
    assert [spec.name for spec in plan.specs] == ["EURUSD", "XAUUSD"]
    assert plan.data[0] == StoredBars(catalog=tmp_path / "cat", symbol="EURUSD", period="1-HOUR")
    assert (plan.currency, plan.mode, plan.start_balance) == ("EUR", PositionMode.NETTING, Decimal(10_000))
    assert plan.latency == Latency(base_ms=50.0)
    assert plan.slippage["EURUSD"] == Slippage()
    assert (plan.start_ns, plan.end_ns) == (1_577_836_800 * 10**9, 1_580_515_200 * 10**9)
    assert plan.strategies[0].size == 3


@pytest.mark.parametrize(("days", "seconds"), [(1, 60), (30, 120), (1000, 3600)])
def test_equity_is_sampled_often_enough_and_not_without_end(days: int, seconds: int) -> None:
    assert equity_step_s(days * 86_400 * 10**9) == seconds


def test_chunks_show_progress_and_stay_within_the_settings() -> None:
    assert chunk_rows(500_000, 1_000_000) == 25_000
    assert chunk_rows(500_000, 10_000) == 2_000
    assert chunk_rows(1_000, 10_000_000) == 1_000


def test_ticks_come_from_stored_quotes(tmp_path: Path) -> None:
    plan = run_plan(load(tmp_path, "data.resolution=tick"))
    assert plan.data[1] == StoredQuotes(catalog=tmp_path / "cat", symbol="XAUUSD")


def test_spread_settings_replace_and_scale_the_table(tmp_path: Path) -> None:
    typical = run_plan(load(tmp_path)).terms.spreads
    plan = run_plan(load(tmp_path, "market.spread.points={EURUSD: 7}", "market.spread.scale=2"))
    assert set(plan.terms.spreads["EURUSD"].points) == {14}
    assert plan.terms.spreads["XAUUSD"].points == tuple(2 * p for p in typical["XAUUSD"].points)


def test_slippage_of_one_symbol(tmp_path: Path) -> None:
    plan = run_plan(
        load(
            tmp_path,
            "market.slippage={probability: 0.5, max_points: 2, symbols: {XAUUSD: {probability: 1.0, max_points: 9}}}",
        )
    )
    assert plan.slippage == {
        "EURUSD": Slippage(probability=0.5, min_points=0, max_points=2),
        "XAUUSD": Slippage(probability=1.0, min_points=0, max_points=9),
    }


def test_the_promise_of_orders_at_market_reaches_the_plan(tmp_path: Path) -> None:
    assert not run_plan(load(tmp_path)).only_market_orders
    assert run_plan(load(tmp_path, "market.only_market_orders=true")).only_market_orders


def test_leverage_and_profile_reach_the_terms(tmp_path: Path) -> None:
    retail, pro = (
        run_plan(load(tmp_path, f"account.leverage={c}", "account.platform=mt5")).terms for c in ("retail", "pro")
    )
    assert (retail.stop_out_level, pro.stop_out_level) == (50, 20)
    assert retail.leverage["EURUSD"][0].leverage == 30
    standard = run_plan(load(tmp_path, "account.profile=standard")).terms
    assert standard.commissions["EURUSD"].rate == 0
    assert sum(standard.spreads["EURUSD"].points) > sum(retail.spreads["EURUSD"].points)


def test_b13_a_class_that_is_no_strategy(tmp_path: Path) -> None:
    settings = load(tmp_path, "strategies.0.strategy=hold:NotOne")
    with pytest.raises(ConfigurationError, match=r"NotOne in .*hold\.py is not a Strategy"):
        run_plan(settings)


def test_a_missing_configuration_class(tmp_path: Path) -> None:
    settings = load(tmp_path, "strategies.0.config_class=HoldConfg")
    with pytest.raises(ConfigurationError, match=r"no class 'HoldConfg' \(did you mean 'HoldConfig'\?\)"):
        strategy_of(settings.strategies[0])


def test_a_refused_configuration_names_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, "strategies.0.config={sise: 3}")
    with pytest.raises(
        ConfigurationError,
        match=r"hold\.py: HoldConfig refused its config: no 'sise' \(did you mean 'size'\?\); it takes size$",
    ):
        strategy_of(settings.strategies[0])


def test_b19_a_bar_size_that_is_none_is_answered_with_those_that_are(tmp_path: Path) -> None:
    config = "{bar_type: EURUSD.PEPPERSTONE-7-MINUTE-BID-EXTERNAL}"
    settings = load(tmp_path, "strategies.0.strategy=ema_cross:EmaCross", f"strategies.0.config={config}")
    with pytest.raises(ConfigurationError, match=r"-SIZE-BID-EXTERNAL wants a size of 1-MINUTE, 2-MINUTE, .*1-WEEK"):
        strategy_of(settings.strategies[0])


def test_the_settings_hash_is_about_results_not_places(tmp_path: Path) -> None:
    one = settings_hash(load(tmp_path / "a"))
    assert one == settings_hash(load(tmp_path / "b"))
    assert one == settings_hash(load(tmp_path / "a", "output.dir=elsewhere", "data.chunk_rows=5000", "data.catalog=x"))
    for change in ("market.seed=2", "account.balance=10001", "data.end=2020-02-02", "strategies.0.config.size=4"):
        assert one != settings_hash(load(tmp_path / "a", change))


def test_the_code_hash_follows_the_strategy_file(tmp_path: Path) -> None:
    file = tmp_path / "hold.py"
    file.write_bytes(b"a = 1\n")
    one = code_hash([file])
    file.write_bytes(b"a = 1\r\n")
    assert code_hash([file]) == one
    file.write_bytes(b"a = 2\n")
    assert code_hash([file]) != one


def test_the_code_hash_follows_what_a_strategy_imports_from_beside_it(tmp_path: Path) -> None:
    def folder(name: str, helper: str) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "helpers.py").write_text(helper)
        (tmp_path / name / "more.py").write_text("from .helpers import b\n")
        (tmp_path / name / "hold.py").write_text("from .helpers import b\n")
        return tmp_path / name

    one, same, other = folder("one", "b = 1\n"), folder("same", "b = 1\n"), folder("other", "b = 2\n")
    assert code_hash([one / "hold.py"]) == code_hash([same / "hold.py"]) != code_hash([other / "hold.py"])
    both = [one / "hold.py", one / "more.py"]
    assert code_hash(both) == code_hash(both[::-1])
