"""The demo and the example settings, as a newcomer meets them."""

import gzip
import json
from pathlib import Path

import pytest

from pepperstone_adapter.backtest.plan import run_plan
from pepperstone_adapter.backtest.result import read_result
from pepperstone_adapter.backtest.settings import load_backtest
from pepperstone_adapter.cli.main import main
from pepperstone_adapter.common.resources import resource

EXAMPLES = sorted((Path(__file__).parents[2] / "configs" / "backtest").glob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: f.stem)
def test_every_example_makes_a_plan(file: Path) -> None:
    plan = run_plan(load_backtest(file))
    assert plan.strategies
    assert plan.data


def test_the_demo_is_a_portfolio() -> None:
    settings = load_backtest(EXAMPLES[[f.stem for f in EXAMPLES].index("demo")])
    assert len({s.strategy for s in settings.strategies}) == 2
    assert len(settings.data.instruments) >= 3
    assert (settings.account.profile, settings.account.currency) == ("razor", "USD")
    assert (settings.data.end - settings.data.start).days > 3 * 365 - 10


@pytest.mark.slow
def test_the_demo_from_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out" / "demo"
    code = main(["demo", "--out", str(out), "--catalog", str(tmp_path / "catalog")])
    shown = capsys.readouterr().out
    assert code == 0
    assert str(out / "report.html") in shown.replace("\n", "")
    result = read_result(out)
    assert result["trades"]["count"] > 100
    assert len(result["trades"]["by_symbol"]) >= 3
    assert len(result["trades"]["by_strategy"]) >= 2
    # The market data is there to be used again: a second demo imports nothing and gives the same events.
    assert main(["demo", "--out", str(out), "--catalog", str(tmp_path / "catalog"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["hashes"]
    assert (again["data"], again["events"]) == (result["hashes"]["data"], result["hashes"]["events"])
    # Whatever a user has put in place of the bundled rows stays, and the demo is still the demo.
    lines = gzip.decompress(resource("catalog/samples/GBPUSD-h1.csv.gz").read_bytes()).splitlines(keepends=True)
    (tmp_path / "GBPUSD_mine.csv").write_bytes(b"".join(lines[:99] + lines[100:200]))
    own = ["data", "import", str(tmp_path / "GBPUSD_mine.csv"), "--zone", "Europe/Athens", "--replace"]
    assert main([*own, "--catalog", str(tmp_path / "catalog")]) == 0
    assert main(["demo", "--out", str(out), "--catalog", str(tmp_path / "catalog")]) == 0
    told = capsys.readouterr().err.replace("\n", " ")
    assert "with different rows" in told
    assert str(tmp_path / "out" / "demo-catalog") in told
    assert read_result(out)["hashes"]["events"] == result["hashes"]["events"]
