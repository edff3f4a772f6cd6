"""The grid of a sweep, and what is found wrong with it before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.backtest.sweep import MAX_RUNS, axis_of, plan_sweep, run_sweep
from pepperstone_adapter.backtest.sweep_table import Axis
from pepperstone_adapter.common.errors import ConfigurationError, DataError
from tests.unit.backtest.test_job import store
from tests.unit.backtest.test_plan import load

__all__ = ["store"]  # the catalog of one day, a fixture

DAY = ("data.start=2020-01-15", "data.end=2020-01-16", "data.instruments=[EURUSD]")
SIZE = "strategies.0.config.size"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=1", ("1",)),
        ("a.b= 1 , x,true", ("1", "x", "true")),
        ("a.b=10:30:10", ("10", "20", "30")),
        ("a.b=10:35:10", ("10", "20", "30")),  # 40 lies beyond
        ("a.b=0.1:0.3:0.1", ("0.1", "0.2", "0.3")),  # no 0.30000000000000004
        ("a.b=1:-1:-0.5", ("1.0", "0.5", "0.0", "-0.5", "-1.0")),
        ("a.b=5:5:1", ("5",)),
        ("a.b=[X,Y],[Z]", ("[X,Y]", "[Z]")),
        ("a.b={k: 1, l: 2},{k: 2}", ("{k: 1, l: 2}", "{k: 2}")),
        ("a.b=2020-01-01T09:30:00Z,x=y", ("2020-01-01T09:30:00Z", "x=y")),
        (f"a.b=1:{MAX_RUNS}:1", tuple(str(n) for n in range(1, MAX_RUNS + 1))),
    ],
)
def test_values_of_a_key(text: str, values: tuple[str, ...]) -> None:
    assert axis_of(text) == Axis("a.b", values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write --over section.key=V1,V2"),
        ("a.b", "write --over section.key=V1,V2"),
        ("a.b=", "write --over section.key=V1,V2"),
        ("=1,2", "write --over section.key=V1,V2"),
        ("a.b=1,,2", "a value between the commas is empty"),
        ("a.b=1,2,", "a value between the commas is empty"),
        ("a.b=1,2,1", "1 stands there twice"),
        ("a.b=1:5:0", "steps of 0 do not lead from 1 to 5"),
        ("a.b=1:5:-1", "steps of -1 do not lead from 1 to 5"),
        ("a.b=5:1:1", "steps of 1 do not lead from 5 to 1"),
        (f"a.b=0:{MAX_RUNS}:1", "5,001 values; a sweep is at most 5,000 runs"),
        ("a.b=0:1:0.000000000000000000001", "a sweep is at most 5,000 runs"),
        ("output.dir=a,b", "changes no figure of a result"),
    ],
)
def test_b63_values_that_are_none(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        axis_of(text)
    assert words in str(caught.value)


def refused(folder: Path, over: list[str], *sets: str, **more: Any) -> str:
    load(folder)
    with pytest.raises(ConfigurationError) as caught:
        plan_sweep(folder / "run.yaml", over, (*DAY, *sets), **more)
    return str(caught.value)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("over", "words"),
    [
        (["account.balanc=1,2"], "--over account.balanc: unknown key; did you mean 'balance'?"),
        (["account.balance=1000,-5"], "--over account.balance: "),
        ([f"{SIZE}=1,2", "account.mode=hedgin,netting"], "did you mean 'hedging'?"),
        (["strategies.0.config.siz=1,2"], "did you mean 'size'"),
        (["strategies.1.config.size=1,2"], "'1' is not one of the 1 entries, counted from 0"),
        (["account.balance=1,2", "Account.Balance=3"], "--over account.balance: given twice"),
        (["data.end=2020-01-16,2020-01-17"], "--over data.end: also given with --set; leave one out"),
        (["account.currency=USD,EUR"], "amounts in several currencies have no order; use --by return_pct"),
        ([f"{SIZE}=1:100:1", "market.seed=1:51:1"], "100 x 51 are 5,100 runs, more than 5,000"),
    ],
)
def test_b63_a_grid_that_cannot_be_run(tmp_path: Path, over: list[str], words: str) -> None:
    said = refused(tmp_path, over)
    assert words in said
    assert len(said.splitlines()) == 1


@pytest.mark.usefixtures("store")
def test_all_wrong_values_are_told_at_once_and_right_ones_are_not(tmp_path: Path) -> None:
    said = refused(tmp_path, ["account.balance=x,1000,y", "account.currency=USD,PLN"], by="metrics.sharpe").splitlines()
    assert [line.split(":")[0] for line in said] == ["--over account.balance"] * 2 + ["--over account.currency"]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("date", "words"),
    [
        ("15/01/2020", "can be read in more than one way"),
        ("2020-01-15", "not within the period of the settings, 2020-01-15 to 2020-01-16"),
        ("2020-01-16", "not within the period of the settings"),
    ],
)
def test_b63_a_date_that_splits_nothing(tmp_path: Path, date: str, words: str) -> None:
    assert words in refused(tmp_path, [f"{SIZE}=1,2"], test_from=date)


@pytest.mark.usefixtures("store")
def test_a_period_that_no_combination_has_data_for(tmp_path: Path) -> None:
    load(tmp_path)
    with pytest.raises(DataError, match="the stored data of EURUSD ends at"):
        plan_sweep(tmp_path / "run.yaml", [f"{SIZE}=1,2"], (DAY[0], "data.end=2020-03-01", DAY[2]))


@pytest.mark.usefixtures("store")
def test_the_grid_in_the_order_of_the_command_line(tmp_path: Path) -> None:
    load(tmp_path)
    seen: list[tuple[int, int]] = []
    sweep = plan_sweep(
        tmp_path / "run.yaml", [f"{SIZE}=1,2", "market.seed=7,8"], DAY, test_from="2020-01-15T12:00:00Z",
        on_checked=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert sweep.combinations == (("1", "7"), ("1", "8"), ("2", "7"), ("2", "8"))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [run.folder for run in sweep.runs][:4] == ["0001", "0001-test", "0002", "0002-test"]
    assert sweep.runs[0].overrides == (*DAY, f"{SIZE}=1", "market.seed=7", "data.end=2020-01-15T12:00:00+00:00")
    assert sweep.runs[1].overrides[-1] == "data.start=2020-01-15T12:00:00+00:00"
    assert len({tuple(run.hashes.items()) for run in sweep.runs}) == 8


@pytest.mark.usefixtures("store")
def test_a_folder_that_holds_something_else_is_refused_before_any_run(tmp_path: Path) -> None:
    load(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    sweep = plan_sweep(tmp_path / "run.yaml", [f"{SIZE}=1,2"], DAY)
    with pytest.raises(ConfigurationError, match=r"holds files that are not a result \(there is no sweep.csv\)"):
        run_sweep(sweep, tmp_path)
